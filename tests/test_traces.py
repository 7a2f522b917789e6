"""Traces: every step of an episode, in a table and in words."""

import numpy as np
import polars as pl
import pytest

from autotts import programs, stores
from autotts.cli.evaluate import write_trace
from autotts.cli.trace import describe
from autotts.errors import SpecError
from autotts.evaluation import Execution, Experiment, evaluate, run_cells
from autotts.simulation import simulate

THREE = Experiment(draws="reference:3")
TRACED = Execution(traces=True)
EVERYTHING = '''
"""One of every action."""

def schedule(beta):
    return {"width": 3}

def solve(env, p):
    env.branch(p.width, probe=False)
    env.probe(1)
    env.note("width", p.width)
    env.prune(0)
    env.advance(env.active())
    env.finish(2)
    return env.vote()
'''


@pytest.fixture
def toy():
    """One question of three branches: 1,700 tokens in four probes, 900 in two, 1,450 in three."""
    branches = [
        stores.Branch(["1", "1", "2", "2"], 1_700, "2"),
        stores.Branch(["3", "4"], 900, "4"),
        stores.Branch(["4", "4", "4"], 1_450, "4"),
    ]
    return stores.build(
        [stores.Recording("?", "4", branches)], model="toy", dataset="toy", interval_tokens=500
    )


@pytest.fixture
def traced(toy, trust):
    """That program on that question, opened in order 2, 1, 0."""
    experiment = Experiment(draws="reference:5", probe_tokens=10)
    assert experiment.task(toy).orders[0, 4].tolist() == [2, 1, 0]
    (ran,) = run_cells(
        [toy], trust(EVERYTHING), experiment=experiment, execution=TRACED,
        pairs=np.array([[0, 4]]),
    )  # fmt: skip
    return ran


def test_every_action_stands_in_the_trace(traced):
    """With its round, branch, depth, the answer it revealed and the tokens it cost."""
    columns = ("round", "action", "branch", "depth", "answer", "tokens", "note", "value")
    assert traced.trace().select(columns).rows() == [
        (1, "branch", 0, 1, None, 500, None, None),
        (1, "branch", 1, 1, None, 500, None, None),
        (1, "branch", 2, 1, None, 500, None, None),
        (2, "probe", 1, 1, "3", 10, None, None),
        (2, "note", -1, -1, None, 0, "width", 3.0),
        (2, "prune", 0, 1, None, 0, None, None),
        (3, "continue", 1, 2, "4", 510, None, None),
        (3, "continue", 2, 2, "1", 510, None, None),
        (4, "finish", 2, 4, "2", 700, None, None),
    ]


def test_a_person_can_follow_an_episode(traced):
    assert describe(traced) == [
        "mine at beta 0.5",
        "toy/toy, question 0, draw 4",
        "width=3",
        "",
        "branch  a letter an interval: the answer probed there, '.' none; how it ended",
        "     0  .  pruned in round 2",
        "     1  AB  left open",
        "     2  .C..  finished on D in round 4",
        "",
        "answers: A=3, B=4, C=1, D=2",
        "",
        "round 1               1,500 tokens  open 3",
        "round 2                  10 tokens  probe 1; prune 0; width = 3",
        "round 3               1,020 tokens  advance 2",
        "round 4                 700 tokens  branch 2 ends on D",
        "",
        "answered 2 (wrong: it is 4) after 3,230 tokens",
        "in 4 rounds, 1,720 tokens one after the other",
    ]


@pytest.mark.parametrize("spec", ["cmc", "parallel-probe:width=8", "asc", "budget-forcing"])
def test_the_tokens_of_a_trace_are_those_of_its_episodes(simulated, spec):
    experiment = Experiment(draws="subsets:3", probe_tokens=7)
    evaluation = evaluate([stores.load(simulated)], [spec], experiment=experiment, execution=TRACED)
    steps = evaluation.ran[0].trace()
    sums = steps.group_by("question", "draw", maintain_order=True).agg(
        pl.col("tokens").sum().cast(pl.Int64),
        pl.col("branch").max().cast(pl.Int64).alias("width") + 1,
        pl.col("round").max().cast(pl.Int64).alias("rounds"),
    )
    columns = ("tokens", "width", "rounds")
    assert sums.select(columns).equals(evaluation.episodes.select(columns))


def test_recording_a_trace_changes_no_result(simulated):
    store = stores.load(simulated)
    plain, traced = (
        evaluate([store], ["cmc"], experiment=THREE, execution=Execution(traces=traces))
        for traces in (False, True)
    )
    assert plain.episodes.equals(traced.episodes)


def test_interpreted_and_compiled_leave_the_same_trace(simulated, trust):
    """A program that doesn't compile for one word of it does the same steps."""
    store = stores.load(simulated)
    plain = trust(EVERYTHING)
    (compiled,) = evaluate([store], [plain], experiment=THREE, execution=TRACED).ran
    spread = trust(EVERYTHING.replace("env.probe(1)", "env.probe(*[1])"))
    (interpreted,) = evaluate([store], [spread], experiment=THREE, execution=TRACED).ran
    assert (compiled.how.driver, interpreted.how.driver) == ("compiled", "interpreted")
    assert compiled.trace().equals(interpreted.trace())


def test_a_trace_that_was_not_kept_can_not_be_had(simulated):
    (ran,) = evaluate([stores.load(simulated)], ["asc"], experiment=THREE).ran
    with pytest.raises(SpecError, match="asc was run without traces"):
        ran.trace()


def test_a_round_takes_at_most_200_bytes_on_disk(tmp_path):
    """The widest and longest of our controllers, on a store of the size of the recorded ones."""
    store = stores.load(simulate(tmp_path / "s", questions=30, branches=128))
    for spec in (programs.parse("cmc:beta=1"), programs.parse("parallel-probe")):
        (ran,) = run_cells([store], spec, experiment=THREE, execution=TRACED)
        write_trace(tmp_path / spec.name, ran)
        (file,) = (tmp_path / spec.name).iterdir()
        assert file.stat().st_size <= 200 * ran.episodes.column("rounds").sum()
        assert pl.read_parquet(file).equals(ran.trace())
