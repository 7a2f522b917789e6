"""Controllers that weigh branches by a signal, on stores where it is known what it tells."""

import numpy as np
import pytest

from autotts import programs, stores
from autotts.engine import cache
from autotts.evaluation import Experiment, evaluate
from autotts.programs.needs import signals_read
from autotts.replay.episodes import memory_rules
from autotts.replay.in_process import InProcess, compile_program, run_compiled
from autotts.replay.task import Cell
from autotts.simulation import simulate

NAMES = ("cdg", "deepconf", "deepconf-offline", "distri-voting")
FEW = Experiment("subsets:6")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Confidence tells right from wrong branches well."""
    out = tmp_path_factory.mktemp("stores")
    return stores.load(
        simulate(out, questions=20, branches=64, signals={"confidence": 0.85}, dataset="told")
    )


@pytest.fixture(scope="module")
def untold(tmp_path_factory):
    """No signal."""
    out = tmp_path_factory.mktemp("stores")
    return stores.load(simulate(out, questions=20, branches=64))


def accuracy(store, spec):
    (row,) = evaluate(store, spec, experiment=FEW).results()
    return row["accuracy"]


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_that_tells_helps(told, name):
    """Against a vote of as many branches."""
    assert accuracy(told, name) > accuracy(told, "sc:width=34") + 4


@pytest.mark.parametrize("name", ["cdg", "deepconf-offline", "distri-voting"])
def test_without_the_signal_they_vote(untold, name):
    assert accuracy(untold, f"{name}:width=20") == accuracy(untold, "sc:width=20")


def test_deepconf_gives_up_doubtful_branches(told):
    """Its later branches cost less than whole ones."""
    (row,) = evaluate(told, "deepconf:consensus=1.1", experiment=FEW).results()
    assert row["tokens"] < 0.95 * row["width"] * told.pool.tokens.mean()


@pytest.mark.parametrize("name", [*NAMES, "sc", "asc"])
def test_signals_that_a_program_does_not_read_are_left_alone(told, name):
    """It does the same in memory that has them all."""
    task = FEW.task(told)
    program = programs.load_trusted(programs.find(name))
    values = program.parameters(0.5)
    (ran,) = InProcess(jobs=1).run([Cell(task, programs.parse(name))], keep_log=True)
    entry = cache.address(compile_program(program))
    every = run_compiled(entry, list(values.values()), task, keep_log=True)
    assert np.array_equal(ran.episodes.results, every.results)
    assert np.array_equal(ran.episodes.log.words, every.log.words)
    assert memory_rules(task, signals_read(program.source))["wide"] == (name in NAMES)
