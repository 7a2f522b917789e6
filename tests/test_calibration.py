"""A program live against the forecast of a store that was collected from the same model."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from autotts import programs, stores
from autotts.collect import Item, Plan, collect, plan_of
from autotts.errors import SpecError
from autotts.evaluation import Experiment, Local
from autotts.live import InThisProcess
from autotts.programs.loading import load_trusted
from autotts.replay.task import Cell
from autotts.serve.calibration import FIGURES, Questions, forecast
from scripted_branches import ScriptedBranches

EXPERIMENT = Experiment(max_branches=12)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Twelve questions, a right answer in six of ten branches, 40 branches each."""
    plan = Plan(
        model="toy",
        dataset="sums",
        branches=40,
        interval=10,
        max_tokens=200,
        prompt="{question}",
        probe="so \\boxed{",
        probe_tokens=5,
    )
    items = [Item(str(k), f"question {k}", "42") for k in range(12)]
    out = tmp_path_factory.mktemp("collected")
    collected, _ = asyncio.run(collect(plan, items, [ScriptedBranches()], out))
    return collected


def played_by(store, server, name, repetitions=4):
    spec = programs.parse(name)
    program = load_trusted(spec.source)
    values = program.parameters(spec.beta, dict(spec.named))
    questions = Questions(store, server, plan_of(store), EXPERIMENT)
    return spec, asyncio.run(
        questions.play(lambda pool: InThisProcess(program, values, pool), repetitions, at_once=8)
    )


def calibrated(store, server, names, **more):
    played = [played_by(store, server, name, **more) for name in names]
    with Local() as driver:
        return forecast(store, played, EXPERIMENT, driver)


FIVE = ["sc:width=8", "asc", "short-mk:beta=0.1", "race-prune", "cmc"]


def test_the_same_model_does_what_its_store_forecasts(store):
    found = calibrated(store, ScriptedBranches(), FIVE)
    assert [[one.figure for one in figures] for figures in found] == [list(FIGURES)] * len(FIVE)
    for one in (one for figures in found for one in figures):
        assert one.low <= one.low_alone <= one.expected <= one.high_alone <= one.high
        assert one.holds, one


def test_a_model_that_changed_is_found_out(store):
    changed = ScriptedBranches(right=0.1, longest=150)
    ((accuracy, tokens, _),) = calibrated(store, changed, ["sc:width=8"])
    assert not accuracy.holds
    assert accuracy.live < accuracy.low
    assert tokens.live > tokens.high


def test_questions_count_as_much_as_in_evaluate(store):
    weights = np.zeros(len(store.gold))
    weights[3] = 2.0
    spec, played = played_by(store, ScriptedBranches(), "sc:width=3")
    with Local() as driver:
        ((_, tokens, _),) = forecast(
            replace(store, weights=weights), [(spec, played)], EXPERIMENT, driver
        )
    assert tokens.live == played.tokens[3].mean() != played.tokens.mean()
    assert tokens.holds


def test_a_store_that_does_not_say_how_it_was_asked_is_refused(tmp_path):
    from autotts import simulation

    simulated = stores.load(simulation.simulate(tmp_path, questions=2, branches=4))
    with pytest.raises(SpecError, match="was not collected by"):
        plan_of(simulated)


def test_live_episodes_are_a_store_on_which_the_same_program_does_the_same(store):
    spec, played = played_by(store, ScriptedBranches(), "race-prune", repetitions=2)
    recorded = played.store(store, spec, EXPERIMENT)
    experiment = Experiment(draws="recorded", max_branches=EXPERIMENT.max_branches)
    with Local() as driver:
        (ran,) = driver.run([Cell(experiment.task(recorded), spec)])
    assert ran.tokens.tolist() == played.tokens.ravel().tolist()
    assert ran.correct.tolist() == played.accuracy.ravel().astype(bool).tolist()
