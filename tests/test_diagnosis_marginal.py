"""The marginal value of going on: states by hand, statistics against the textbook."""

import numpy as np
import polars as pl
import pytest

from autotts import stores
from autotts.diagnosis import marginal
from autotts.replay.driver import How, Ran
from autotts.replay.in_process import run_interpreted
from autotts.replay.task import Cell
from autotts.stores import Branch, Recording
from bare_pools import BY_HAND, one_draw


def play(rows, solve):
    """One episode on branches of 10 tokens a probe; R is right."""
    branches = [Branch(list(probes), 10 * len(probes), final) for probes, final in rows]
    store = stores.build(
        [Recording("What?", "R", branches)],
        model="toy",
        dataset="hand",
        interval_tokens=10,
        billing="exact",
    )
    task = one_draw(store)
    episodes = run_interpreted(solve, {}, task, keep_log=True)
    return Ran(Cell(task, BY_HAND), {}, episodes, How("interpreted"))


def test_the_state_at_a_checkpoint():
    """After three rounds: one branch has ended on X, one was pruned, one shows R twice."""

    def solve(env, p):
        env.branch(3)
        env.advance(env.active())
        env.prune(1)
        while env.n_finished < 2:
            env.advance(env.active())
        return env.answer[2]

    ran = play([("XX", "X"), ("YYY", "Y"), ("XRRRR", "R")], solve)
    rows = marginal.states(ran, checkpoints=[60, 70, 10_000]).to_dicts()
    assert [row["checkpoint"] for row in rows] == [60, 70]
    first = rows[0]
    assert (first["opened"], first["active"], first["finished"], first["pruned"]) == (3, 1, 1, 1)
    assert (first["distinct"], first["leader_votes"], first["margin"]) == (1, 1, 1)
    assert (first["share"], first["confidence"]) == (1.0, 0.75)
    assert (first["agreement"], first["streak"], first["depth"]) == (0.0, 1.0, 2.0)
    assert (first["right"], first["gain"]) == (False, 0)
    assert (rows[1]["streak"], rows[1]["gain"]) == (2.0, 1)


def test_an_episode_that_ends_has_nowhere_to_go_on_to():
    def solve(env, p):
        env.branch(2)
        return env.vote()

    assert marginal.states(play([("RR", "R"), ("XX", "X")], solve), checkpoints=[10, 20]).is_empty()


@pytest.fixture
def made() -> pl.DataFrame:
    """States of 20 questions at two checkpoints; streak predicts gains, depth does not."""
    rng = np.random.default_rng(5)
    size = 1200
    streak = rng.integers(0, 50, size)
    gain = (rng.random(size) < 0.3 - 0.005 * streak).astype(np.int64)
    gain -= (rng.random(size) < 0.05) & (gain == 0)
    return pl.DataFrame(
        {
            "dataset": "toy",
            "question": rng.integers(0, 20, size),
            "checkpoint": rng.choice([10, 20], size),
            "gain": gain,
            "right": False,
            **{name: rng.random(size) for name in marginal.FEATURES},
        }
    ).with_columns(pl.Series("streak", streak.astype(np.float64)))


def test_predictors_are_ranked_and_agree_with_the_definition(made):
    found = marginal.predictors(made, rng=np.random.default_rng(0))
    best = found.row(0, named=True)
    assert best["feature"] == "streak"
    assert best["auc_high"] < 0.5
    assert best["correlation_high"] < 0
    wins = pairs = 0.0
    for part in made.partition_by("checkpoint"):
        up = part.filter(pl.col("gain") > 0)["streak"].to_numpy()[:, None]
        rest = part.filter(pl.col("gain") <= 0)["streak"].to_numpy()[None, :]
        wins += (up > rest).sum() + (up == rest).sum() / 2
        pairs += up.size * rest.size
    assert best["auc"] == pytest.approx(wins / pairs, abs=1e-9)
    assert set(found["feature"]) == set(marginal.FEATURES)


def test_gains_by_checkpoint(made):
    table = marginal.gains(made)
    assert table["episodes"].sum() == made.height
    assert (table["gain"] - (table["gained"] - table["lost"])).abs().max() < 1e-12


def test_nothing_is_predicted_where_nothing_gains(made):
    none = made.with_columns(gain=pl.lit(0))
    assert marginal.predictors(none, rng=np.random.default_rng(0)).is_empty()
