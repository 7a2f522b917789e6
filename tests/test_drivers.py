"""Tasks, cells and drivers: what can't be built, and who runs where."""

import numpy as np
import pytest

from autotts import programs, stores
from autotts.errors import SandboxError
from autotts.evaluation import Cell, Experiment, Local
from autotts.replay.driver import How, Ran, Verdict
from autotts.replay.in_process import InProcess
from autotts.replay.released import Released
from autotts.replay.task import Task, cells_of, program_of
from autotts.sandbox.sandbox import Sandbox


@pytest.fixture(scope="module")
def task(simulated) -> Task:
    return Experiment("reference:3").task(stores.load(simulated))


def test_a_task_has_only_episodes_that_there_are(task):
    with pytest.raises(ValueError, match=r"got \[\[4, 0\]\]"):
        task.some(np.array([[0, 0], [4, 0]]))
    with pytest.raises(ValueError, match=r"got \[\[0, -1\]\]"):
        task.some(np.array([[0, -1]]))
    with pytest.raises(ValueError, match="orders must be"):
        Task(task.store, task.orders[:2], task.pairs)


def test_only_all_episodes_lie_by_question(task):
    assert task.by_question(np.arange(12)).tolist() == np.arange(12).reshape(4, 3).tolist()
    with pytest.raises(ValueError, match="2 episodes are not all 4 x 3"):
        task.some(task.pairs[:2]).by_question(np.zeros(2))


def test_cells_that_run_together_are_of_one_program(task):
    cells = cells_of([task], [programs.parse("asc"), programs.parse("sc")])
    with pytest.raises(ValueError, match="of one program, got asc, sc"):
        InProcess().run(cells)
    with pytest.raises(ValueError, match="got none"):
        program_of([])


def test_trust_alone_says_where_a_program_runs(save):
    with Local() as local:
        theirs = programs.parse(str(save(programs.find("sc").text)))
        assert isinstance(local.choose(programs.parse("sc")), InProcess)
        assert isinstance(local.choose(theirs), Sandbox)
        released = programs.parse(f"reference:{theirs.source.path}:Mine")
        assert isinstance(local.choose(released), Released)


def test_what_is_not_trusted_never_runs_in_process(task, save):
    spec = programs.parse(str(save("raise SystemExit('it ran')")))
    with pytest.raises(SandboxError, match=r"mine\.py is not trusted"):
        InProcess().run([Cell(task, spec)])


@pytest.mark.parametrize("jobs", [1, 2])
def test_few_cells_and_many_come_to_the_same(task, jobs):
    """Few are cut into parts, of many each is one; their order is that of the cells."""
    specs = [programs.parse("cmc").at(beta / 10) for beta in range(11)]
    told: list[Ran] = []
    many = InProcess(jobs).run(cells_of([task], specs), keep_log=True, on_ran=told.append)
    assert told == many
    for spec, one in zip(specs, many, strict=True):
        (alone,) = InProcess(jobs).run([Cell(task, spec)], keep_log=True)
        assert one.spec is spec
        assert np.array_equal(one.episodes.results, alone.episodes.results)
        assert one.trace().equals(alone.trace())


def test_steps_of_some_episodes_are_those_of_all(task):
    (ran,) = InProcess().run([Cell(task, programs.parse("asc"))], keep_log=True)
    parts = [ran.steps(first, first + 4) for first in range(0, 12, 4)]
    for k, part in enumerate(parts):
        part[:, 0] += 4 * k
    every = ran.steps()
    assert np.array_equal(np.concatenate(parts), every)
    chosen = np.array([7, 2])
    found = ran.steps_of(chosen)
    for k, e in enumerate(chosen):
        assert np.array_equal(found[found[:, 0] == k, 1:], every[every[:, 0] == e, 1:])


@pytest.mark.parametrize(
    "how",
    [
        How("compiled"),
        How("sealed", "sealed", Verdict("clean", 600, 0, 0.005), printed="hello"),
        How("blind", "unsealed", Verdict("blind", 10, 3, 0.0, "3 of 10 differ"), "asked for"),
    ],
)
def test_how_comes_back_from_its_record(how):
    assert How.of(how.record()) == how


def test_words_say_what_an_audit_covers():
    assert How("compiled").words == ""
    assert How("sealed", "sealed").words == "unaudited"
    assert "600 episodes" in How("sealed", "sealed", Verdict("clean", 600)).words
    assert How("blind", "sealed").words == "replayed blind"
