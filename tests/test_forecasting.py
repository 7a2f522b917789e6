"""Seconds and dollars of episodes on a server that was measured."""

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import autotts
from autotts import stores
from autotts.answers import FAILED
from autotts.cli import app
from autotts.errors import SpecError
from autotts.evaluation import Experiment, Local
from autotts.evaluation.forecasting import dollars_of, seconds_of
from autotts.evaluation.objectives import spent
from autotts.inference.prices import TokenPrices
from autotts.inference.speed import (
    WAITS,
    ServerSpeed,
    TimedRound,
    measure_speed,
    read_speed,
    speeds_of,
)
from autotts.programs import parse
from autotts.replay.task import Cell
from autotts.stores import Branch, Recording, build
from scripted_branches import ScriptedBranches

SPEED = ServerSpeed(
    at_once=(1, 2, 4),
    reading_seconds=(0.04, 0.04, 0.04),
    waiting_seconds=(1.0, 1.0, 1.0),
    asking_seconds=(0.4, 0.4, 0.4),
    token_seconds=(0.01, 0.015, 0.02),
    prompt_tokens=50,
    prices=TokenPrices(prompt=1.0, cached=0.1, decoded=10.0),
)


def ran(spec, *branches, failed_answer="", **rules):
    """An episode on one question whose branches have these answers by interval, and lengths."""
    recorded = [Branch(answers, tokens, answers[-1]) for answers, tokens in branches]
    store = build(
        [Recording("q", "A", recorded)], model="m", dataset="d", billing="exact",
        interval_tokens=100, failed_answer=failed_answer,
    )  # fmt: skip
    with Local() as driver:
        cell = Cell(Experiment(draws="recorded", **rules).task(store), parse(spec))
        return driver.run([cell], keep_log=True)[0]


def seconds_in(ran):
    return seconds_of(ran, SPEED, prompt_tokens=50, probe_tokens=10)


def test_a_branch_alone_waits_for_each_request_and_decodes_its_tokens():
    """Three requests of 100, 100 and 50 tokens."""
    (seconds,) = seconds_in(ran("sc:width=1", ("AAA", 250)))
    assert seconds == pytest.approx(3.0 + 2 * 1.0 + 250 * 0.01)


def test_when_a_branch_has_ended_the_other_is_as_fast_as_one_alone():
    (seconds,) = seconds_in(ran("sc:width=2", ("AAA", 250), ("A", 50)))
    together, alone = 3.0 + 50 * 0.015, 50 * 0.01
    then = 2 * 1.0 + 150 * 0.01
    assert seconds == pytest.approx(together + alone + then)


def test_probes_take_their_time():
    """Parallel-probe asks both branches at the end of each interval that is not the last."""
    (seconds,) = seconds_in(ran("parallel-probe", ("AA", 200), ("AA", 200)))
    (without,) = seconds_in(ran("sc:width=2", ("AA", 200), ("AA", 200)))
    assert seconds == pytest.approx(without + 0.4 + 10 * 0.015)


@pytest.mark.parametrize("rules", [{"failed": "abstain"}, {"probe_tokens": 7}])
def test_probes_take_as_long_whatever_they_say_and_cost(rules):
    said = [("AA", 200), ((FAILED, FAILED), 200)]
    seconds = [
        seconds_in(ran("parallel-probe", *said, failed_answer=FAILED, **how)) for how in ({}, rules)
    ]
    assert seconds[0] == pytest.approx(seconds[1])


def test_money_counts_what_is_read_again():
    """Fresh: the prompt, and a token of each later request; the rest of what is sent is cached."""
    (dollars,) = dollars_of(
        ran("sc:width=1", ("AAA", 250)), SPEED.prices, prompt_tokens=50, probe_tokens=10
    )
    sent = 50 + 150 + 250
    fresh = 50 + 2
    assert dollars == pytest.approx((fresh + 0.1 * (sent - fresh) + 10 * 250) / 1e6)


def test_between_what_was_measured_it_is_interpolated_and_beyond_it_a_server_is_full():
    assert SPEED.at("token_seconds", np.array([1, 3, 4, 8])).tolist() == pytest.approx(
        [0.01, 0.0175, 0.02, 0.04]
    )


def test_a_server_model_survives_its_file(tmp_path):
    path = tmp_path / "speed.json"
    SPEED.write(path)
    assert read_speed(path) == SPEED
    said = json.loads(path.read_text())
    for broken in ({**said, "at_once": [2, 1, 4]}, {**said, "token_seconds": [1.0]}, {}, []):
        path.write_text(json.dumps(broken))
        with pytest.raises(SpecError):
            read_speed(path)
    with pytest.raises(SpecError, match="doctor"):
        spent(ran("sc:width=1", ("A", 50)), "seconds")
    with pytest.raises(SpecError, match="no prices"):
        spent(ran("sc:width=1", ("A", 50)), "usd", replace(SPEED, prices=TokenPrices()))


def test_speeds_are_found_from_rounds_whose_branches_end_early():
    """Seconds are made of SPEED: when some have ended the others go on faster."""
    rng = np.random.default_rng(0)

    def timed(n, kind, prompt=0):
        tokens = rng.integers(1, 40, size=n)
        going = (tokens[:, None] >= np.arange(1, 41)).sum(axis=0)
        steps = np.cumsum(SPEED.at("token_seconds", going))
        wait = SPEED.at(f"{kind}_seconds", np.full(n, n))
        wait += prompt * SPEED.at("reading_seconds", np.full(n, n))
        return TimedRound(kind, wait + steps[tokens - 1], tokens, prompt)

    rounds = [timed(n, kind) for n in (1, 2, 4) for kind in (*WAITS, "waiting")]
    rounds += [timed(n, "waiting", 50) for n in (1, 2, 4)]
    found = speeds_of(rounds, SPEED.at_once)
    for values, of in zip(found, ("reading", *WAITS, "token"), strict=True):
        assert values == pytest.approx(getattr(SPEED, f"{of}_seconds"))


def test_a_server_is_measured_by_what_it_takes():
    found = asyncio.run(measure_speed(ScriptedBranches(), at_once=(1, 3), repeats=1))
    assert found.at_once == (1, 3)
    assert all(0 <= value < 5 for value in (*found.reading_seconds, *found.asking_seconds))
    assert found.made_by["model"]
    deep = asyncio.run(measure_speed(ScriptedBranches(), at_once=(1,), repeats=1, depth=200))
    assert deep.depth >= 200
    assert deep.prompt_tokens == found.prompt_tokens > 50


def test_results_and_choices_have_seconds_and_dollars(simulated, tmp_path):
    path = tmp_path / "speed.json"
    SPEED.write(path)
    few = ["--draws", "reference:4", "--server-model", str(path)]
    command = ["evaluate", str(simulated), "-c", "sc:width=4", *few]
    shown = CliRunner().invoke(app, [*command, "--json", str(tmp_path / "out.json")])
    assert shown.exit_code == 0, shown.output
    assert "seconds" in shown.output
    record = json.loads((tmp_path / "out.json").read_text())
    (row,) = record["results"]
    assert row["seconds"] > 0
    assert row["usd"] > row["tokens"] * 10 / 1e6
    assert record["made_by"]["server_model"]["prompt_tokens"] == 50
    found = autotts.choose(
        stores.load(simulated), "sc", budget=f"{10 * row['seconds']}s", betas=[0.0, 0.1],
        server=SPEED, experiment=Experiment(draws="reference:4"),
    )  # fmt: skip
    assert found.objective == "seconds"
    assert found.settings[0].spent.estimate < found.settings[1].spent.estimate
    assert any("one question at a time" in remark for remark in found.remarks)


def test_two_controllers_are_compared_at_equal_seconds(simulated, tmp_path):
    """Budgets are shares of what the vote takes; all of these are seconds, or dollars."""
    path = tmp_path / "speed.json"
    SPEED.write(path)
    command = ["compare", "sc", "short-mk", str(simulated), "--draws", "reference:4"]
    command += ["--beta", "0,0.2", "--server-model", str(path), "--json", str(tmp_path / "out")]
    found = {}
    for objective, head in (("seconds", "equal seconds"), ("usd", "equal dollars")):
        shown = CliRunner().invoke(app, [*command, "--objective", objective])
        assert shown.exit_code == 0, shown.output
        assert head in shown.output
        found[objective] = json.loads((tmp_path / "out").read_text())
    record = found["seconds"]
    whole = next(row for row in record["results"] if row["controller"] == "sc:beta=1")
    for row in record["at_tokens"]:
        assert row["budget"] == pytest.approx(row["fraction"] * whole["seconds"])
    assert found["usd"]["at_tokens"][0]["budget"] < 1
    assert found["usd"]["at_tokens"][-1]["accuracy_a"] > 0
    refused = CliRunner().invoke(app, [*command[:6], "--objective", "seconds"])
    assert "give --server-model FILE" in str(refused.exception)
