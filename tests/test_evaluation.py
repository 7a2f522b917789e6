"""Evaluation: what is in its results, what its settings do, and how programs by path are run."""

import dataclasses
import json
import time

import numpy as np
import polars as pl
import pytest

from autotts import programs, stores
from autotts.errors import ControllerError, ProgramError, SpecError, TookTooLong
from autotts.evaluation import Execution, Experiment, evaluate, run_cells
from autotts.evaluation.result import episode_frame
from autotts.replay.task import cells_of
from autotts.sandbox.allowance import Allowance
from autotts.sandbox.sandbox import Sandbox

EXPERIMENT = Experiment(draws="reference:3")
FIELDS = {field.name for field in dataclasses.fields(Experiment)}
READ_ALL = '''
"""Read `width` branches to their ends, side by side."""

def schedule(beta):
    return {"width": round(2 + 6 * beta)}

def solve(env, p):
    env.branch(min(p.width, env.room))
    while len(env.active()) > 0:
        env.advance(env.active())
    return env.vote()
'''


@pytest.fixture(scope="module")
def store(simulated):
    return stores.load(simulated)


def run(store, *specs, betas=None, **settings):
    experiment = {name: value for name, value in settings.items() if name in FIELDS}
    execution = {name: value for name, value in settings.items() if name not in FIELDS}
    return evaluate(
        [store], specs, betas=betas,
        experiment=Experiment(**{"draws": "reference:3", **experiment}),
        execution=Execution(**execution),
    )  # fmt: skip


# Results.


def test_a_result_has_the_keys_that_were_promised(store):
    (row,) = run(store, "sc:width=5").results()
    assert row.keys() >= {
        "model", "dataset", "controller", "params", "beta", "episodes", "accuracy", "tokens",
        "sequential_tokens", "probe_tokens", "width", "rounds",
    }  # fmt: skip
    assert (row["model"], row["dataset"], row["controller"]) == ("simulated", "sim", "sc:width=5")
    assert (row["params"], row["beta"], row["episodes"], row["width"]) == ({"width": 5}, 0.5, 12, 5)


def test_results_are_means_over_the_episodes(store):
    evaluation = run(store, "asc")
    (row,) = evaluation.results()
    episodes = evaluation.episodes
    assert row["accuracy"] == pytest.approx(100 * episodes["correct"].mean())
    for name in ("tokens", "sequential_tokens", "probe_tokens", "width", "rounds"):
        assert row[name] == pytest.approx(episodes[name].mean())
    assert 0 <= row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"] <= 100


def test_what_is_done_to_results_changes_no_others(store):
    evaluation = run(store, "sc:width=5")
    first = evaluation.results()
    first[0]["accuracy"] = -1.0
    assert evaluation.results()[0]["accuracy"] >= 0
    assert evaluation.frame()["accuracy"][0] >= 0


def test_there_is_a_row_for_every_episode(store):
    episodes = run(store, "sc:width=2", "asc").episodes
    assert episodes.columns[:6] == ["model", "dataset", "controller", "beta", "question", "draw"]
    assert episodes.schema["correct"] == pl.Boolean
    assert {episodes.schema[name] for name in episodes.columns[7:-1]} == {pl.Int64}
    assert episodes.schema["cost"] == pl.Float64
    assert (episodes["cost"] == episodes["tokens"]).all()
    keys = episodes.select("controller", "question", "draw").rows()
    assert keys == [(c, q, d) for c in ("sc:width=2", "asc") for q in range(4) for d in range(3)]


def test_what_made_the_results_stands_with_them(store):
    made_by = run(store, "sc", failed="abstain", seed=7, draws="subsets:3").made_by()
    source = programs.find("sc")
    assert made_by["programs"] == {"sc": source.digest}
    assert made_by["stores"] == [
        {
            "model": "simulated",
            "dataset": "sim",
            "digest": store.digest,
            "billing": "reference",
            "interval_tokens": 500,
        }
    ]
    assert made_by["drivers"] == ["compiled"]
    assert (made_by["draws"], made_by["seed"]) == ("subsets:3", 7)
    assert (made_by["billing"], made_by["failed"]) == (["reference"], "abstain")
    assert made_by["budget"] is None
    assert made_by.keys() >= {"version", "numpy", "numba", "program_digest", "max_branches"}


def test_json_has_the_results_and_what_made_them(store, tmp_path):
    evaluation = run(store, "sc:width=3")
    evaluation.write_json(tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written == {
        "results": evaluation.results(),
        "made_by": evaluation.made_by(),
        "cut_widths": [],
    }


# Settings.


def test_a_sweep_moves_the_specs_that_name_no_beta(store):
    ran = run(store, "sc", "cmc:beta=1", betas=[0, 0.5, 1]).ran
    assert [(one.spec.text, one.spec.beta) for one in ran] == [
        ("sc", 0), ("sc", 0.5), ("sc", 1), ("cmc:beta=1", 1.0),
    ]  # fmt: skip
    assert [one.parameters["width"] for one in ran[:3]] == [4, 34, 64]


def test_a_parameter_whose_name_ends_in_beta_is_no_beta(trust):
    spec = trust(READ_ALL.replace("width", "min_beta"), min_beta=3)
    assert not spec.fixed
    assert not programs.parse("race-beta:width=9").fixed
    assert programs.parse("race-beta:width=9,beta=0.5").fixed


def test_named_parameters_hold_at_every_beta(store):
    ran = run(store, "asc:threshold=0.9", betas=[0, 1]).ran
    assert [one.parameters["threshold"] for one in ran] == [0.9, 0.9]


def test_a_budget_is_kept_but_for_one_rest(store):
    episodes = run(store, "sc:width=9", "cmc", budget=20_000).episodes
    assert (episodes["tokens"] - episodes["overrun"] <= 20_000).all()
    assert episodes["tokens"].max() > 15_000


def test_probes_cost_what_is_asked(store):
    free = run(store, "parallel-probe:width=4").episodes
    charged = run(store, "parallel-probe:width=4", probe_tokens=30).episodes
    assert (charged["tokens"] - charged["probe_tokens"]).equals(free["tokens"])
    assert (charged["probe_tokens"] % 30 == 0).all()
    assert charged["probe_tokens"].min() > 0


def test_an_episode_opens_no_more_branches_than_it_may(store):
    assert run(store, "sc:width=64", max_branches=6).episodes["width"].max() == 6
    assert run(store, "sc:width=64").episodes["width"].max() == 16


def test_a_failed_extraction_votes_or_abstains():
    """Two of three branches failed: they win the vote, or leave it to the third."""
    failed = stores.Branch(["ERR"], 400, "ERR")
    branches = [failed, stores.Branch(["7"], 450, "7"), failed]
    store = stores.build(
        [stores.Recording("?", "7", branches)], model="toy", dataset="toy", interval_tokens=500
    )
    assert not run(store, "sc:width=3").episodes["correct"].any()
    assert run(store, "sc:width=3", failed="abstain").episodes["correct"].all()


def test_the_number_of_threads_changes_nothing(store):
    one, three = (run(store, "cmc", jobs=jobs).episodes for jobs in (1, 3))
    assert one.equals(three)


def test_subsets_follow_the_seed(store):
    def drawn(seed):
        return run(store, "sc:width=3", draws="subsets:5", seed=seed).episodes["tokens"].to_list()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"failed": "maybe"}, "failed 'maybe': need vote or abstain"),
        ({"max_branches": 0}, "max branches 0: need at least 1"),
        ({"probe_tokens": -1}, "probe tokens -1: need 0 or more"),
        ({"budget": 0}, "budget 0: need at least 1 token"),
    ],
)
def test_an_experiment_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(SpecError, match=message):
        Experiment(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jobs": 0}, "jobs 0: need at least 1"),
        ({"timeout_seconds": 0}, "timeout 0: need more than 0 seconds"),
        ({"timeout_seconds": float("nan")}, "timeout nan: need more than 0 seconds"),
        ({"audit": -1}, "audit -1: need 0 or more"),
    ],
)
def test_an_execution_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(SpecError, match=message):
        Execution(**settings)


def test_a_budget_pays_for_one_interval_at_least(store):
    with pytest.raises(SpecError, match="one interval with its probe costs 510 tokens on"):
        run(store, "sc", budget=509, probe_tokens=10)


def test_curves_hold_every_episode_of_a_sweep(store):
    found = evaluate([store], ["sc", "asc"], betas=[1.0, 0.5], experiment=EXPERIMENT)
    curves = found.curves()
    assert list(curves) == ["sc", "asc"]
    sweep = curves["asc"]
    assert sweep.betas.tolist() == [0.5, 1.0]
    for one in found.ran[2:]:
        at = sweep.betas.tolist().index(one.spec.beta)
        key = (store.model, store.dataset)
        assert sweep.correct[key][at].ravel().tolist() == one.correct.tolist()
        assert sweep.tokens[key][at].ravel().tolist() == one.tokens.tolist()


def test_fresh_draws_are_as_many_others(store):
    for draws in ("reference:7", "subsets:7"):
        experiment = Experiment(draws=draws, seed=3, max_branches=8)
        first, other = (e.task(store).orders for e in (experiment, experiment.fresh()))
        assert first.shape == other.shape
        assert not np.array_equal(first, other)


def test_some_episodes_can_be_run_alone(store):
    pairs = np.array([[3, 1], [0, 2]])
    (ran,) = run_cells([store], programs.parse("asc"), experiment=EXPERIMENT, pairs=pairs)
    whole = run(store, "asc").episodes
    for q, d in pairs.tolist():
        one = episode_frame(ran).filter(question=q, draw=d)
        assert one.equals(whole.filter(question=q, draw=d))


def test_cells_are_told_as_they_are_done(store):
    told = []
    evaluate([store], ["sc", "asc"], experiment=EXPERIMENT, on_ran=told.append)
    assert [one.spec.text for one in told] == ["sc", "asc"]


# How programs are run.


def test_ours_run_compiled_in_this_process(store):
    ran = run(store, "sc", "autotts.controllers.short_mk").ran
    assert [one.how.record() for one in ran] == [{"driver": "compiled"}] * 2


def test_a_program_given_by_path_is_sealed_and_audited(store, save, trust):
    """It comes to the same as in this process."""
    evaluation = run(store, str(save(READ_ALL, "theirs.py")), betas=[0, 1])
    assert [one.how.driver for one in evaluation.ran] == ["sealed", "sealed"]
    (row, _) = evaluation.results()
    assert row["audit"]["status"] == "clean"
    assert row["audit"]["sample"] == 24
    assert evaluation.made_by()["tiers"] == ["sealed"]
    ours = run(store, trust(READ_ALL), betas=[0, 1])
    numbers = pl.exclude("controller")
    assert evaluation.episodes.select(numbers).equals(ours.episodes.select(numbers))


def test_a_program_that_does_not_compile_runs_blind(store, save):
    text = READ_ALL.replace("round(2 + 6 * beta)", "4").replace(
        "env.branch(min(p.width, env.room))", "env.branch(min({'w': p.width}['w'], env.room, *[9]))"
    )
    evaluation = run(store, str(save(text)))
    (row,) = evaluation.results()
    assert row["driver"] == "blind"
    assert row["audit"]["status"] == "blind"
    assert row["width"] == 4


@pytest.mark.parametrize("unknown", ["env.branch(*[4])", "env.branch(*[4], probe=True)"])
def test_a_program_of_ours_that_does_not_compile_runs_interpreted(store, trust, unknown):
    """Numba refuses the first, and breaks an assertion of its own on the second."""
    spec = trust(READ_ALL.replace("env.branch(min(p.width, env.room))", unknown))
    evaluation = run(store, spec)
    assert evaluation.made_by()["drivers"] == ["interpreted"]
    assert evaluation.episodes["width"].to_list() == [4] * 12


def test_a_program_that_looks_ahead_is_not_believed(store, save):
    """What reads beside the environment is refused before anything runs."""
    text = READ_ALL.replace("    env.branch", "    env.header\n    env.branch")
    with pytest.raises(ProgramError, match=r"mine\.py:\d+:.*header"):
        run(store, str(save(text)))


def test_an_endless_program_is_stopped(store, save):
    text = READ_ALL.replace("env.advance(env.active())", "env.depth.sum()")
    with pytest.raises(TookTooLong, match=r"mine\.py: .*took too long") as raised:
        run(store, str(save(text)), timeout_seconds=1.0)
    line = 1 + text.splitlines().index("    while len(env.active()) > 0:")
    assert "one store at one beta takes more than 1 s" in str(raised.value)
    assert f"does a loop never end? while on line {line}\n" in str(raised.value)
    assert "--timeout allows longer; it is 1 s now" in str(raised.value)


def test_an_episode_without_an_end_is_stopped_long_before_the_time_for_all(store, save):
    """A first word within seconds: compiled, an episode takes some microseconds."""
    text = READ_ALL.replace("env.advance(env.active())", "env.depth.sum()")
    began = time.monotonic()
    with pytest.raises(TookTooLong, match="no episode ended within 3 s"):
        run(store, str(save(text)))
    assert time.monotonic() - began < 60


def test_more_time_for_a_store_is_more_time_for_an_episode():
    assert Allowance.of_cell(1.0).compiled_seconds == Allowance().compiled_seconds
    assert Allowance.of_cell(1200.0).compiled_seconds == 2 * Allowance().compiled_seconds
    assert Allowance.of_cell(1200.0).episode_seconds == 2 * Allowance().episode_seconds


def test_an_audit_alone_gives_its_verdict(store, save):
    spec = programs.parse(str(save(READ_ALL)))
    with Sandbox() as box:
        verdict = box.audit(cells_of(EXPERIMENT.tasks([store]), [spec]))
    assert (verdict.status, verdict.sample, verdict.differing) == ("clean", 12, 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("env.advance(9)", r"advance\(9, times=1\): there is no branch 9; branches 0 to 4 are"),
        ("env.branch(100)", r"branch\(100\): 5 branches are open and 11 more may be"),
        ("env.prune(0); env.advance(0)", "branch 0 is pruned"),
        ("env.finish(0); env.advance(0)", "branch 0 is finished"),
        ("env.advance(env.active()[:0])", "no branch is named"),
        ("1 // (p.width - 5)", "ZeroDivisionError"),
    ],
)
def test_an_episode_that_fails_names_file_line_and_question(store, trust, line, message):
    """Compiled code has no line; the episode is run again interpreted, which has."""
    text = READ_ALL.replace("    while", f"    {line}\n    while")
    with pytest.raises(ControllerError, match=rf"mine\.py:9: question 0, draw 0: .*{message}"):
        run(store, trust(text))


def test_an_answer_that_was_never_revealed_is_refused(store, trust):
    spec = trust(READ_ALL.replace("env.vote()", "99"))
    with pytest.raises(ControllerError, match=r"draw 0: solve returned 99;.*on line 7"):
        run(store, spec)


def test_an_answer_that_is_no_id_is_refused(store, trust):
    """A float doesn't compile; interpreted, it is refused where it comes up."""
    spec = trust(READ_ALL.replace("env.vote()", "0.5"))
    with pytest.raises(ControllerError, match=r"mine\.py: question 0, draw 0: solve returned 0.5"):
        run(store, spec)
