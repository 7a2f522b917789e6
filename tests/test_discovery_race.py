"""A race of candidates: what it costs, whom it drops, and what a run records of it."""

import numpy as np
import pytest

from autotts.discovery.assembly import plan
from autotts.discovery.explorer import Proposal
from autotts.discovery.race import LEVEL, SWEEPS, bernstein, race
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import RunLimits
from autotts.discovery.sweeps import Reference, SampledEpisodes
from autotts.errors import ControllerError, SpecError
from autotts.evaluation.frontiers import Curve
from discover_toy import Scripted, program, session, settings, store_folder

EPISODES = (2_000, 2_000)
STORES = (("a", "d"), ("b", "d"))


def reference():
    """SC@64 spends 1,000 tokens on either store."""
    one = {key: np.full((1, 10, 1), 1_000.0) for key in STORES}
    return Reference(
        Curve("sc", np.ones(1), {"d": np.arange(10)}, {k: one[k] > 0 for k in one}, one)
    )


class Played:
    """Candidates that are right with some probability at 100, 300 and 600 tokens; counts them."""

    def __init__(self, probabilities, seed):
        rng = np.random.default_rng(seed)
        luck = rng.random((len(STORES), max(EPISODES)))  # of the episode: candidates are paired
        self._right = [(luck < p).astype(float) for p in probabilities]
        self.areas = [100 * right.mean() for right in self._right]
        self.episodes = 0

    def __call__(self, candidate, picks):
        self.episodes += sum(map(len, picks))
        return SampledEpisodes(
            tuple(np.stack([self._right[candidate][s][p]] * 3) for s, p in enumerate(picks)),
            tuple(np.outer((100.0, 300.0, 600.0), np.ones(len(p))) for p in picks),
        )


def run(probabilities, seed=0):
    play = Played(probabilities, seed)
    return play, race(len(probabilities), play, EPISODES, reference(), seed=seed)


def test_losers_are_dropped_early_and_the_best_is_kept():
    play, found = run([0.5, 0.2, 0.1, 0.1, 0.3, 0.25, 0.2, 0.1])
    assert found.standings[0].dropped == ""
    losers = found.standings[1:]
    assert all("surely behind" in one.dropped and one.low > 0 for one in losers)
    assert min(one.share for one in losers) < found.standings[0].share
    assert found.sweeps == pytest.approx(play.episodes / sum(EPISODES))
    assert found.sweeps < 1.5


@pytest.mark.parametrize("candidates", [4, 16, 100])
def test_small_variants_cost_no_more_than_three_sweeps(candidates):
    """They are not told apart by so few episodes; the nearest are swept whole."""
    _, found = run(np.linspace(0.49, 0.51, candidates))
    whole = [one for one in found.standings if not one.dropped]
    assert len(whole) >= 1
    assert found.sweeps + len(whole) <= SWEEPS + 1e-9
    assert candidates == 4 or all(
        "episodes were spent" in one.dropped for one in found.standings if one.dropped
    )


def test_none_is_called_surely_behind_that_is_not():
    """At most 5 % of races by the promise, and far fewer, since the bound is generous."""
    wrong = 0
    for seed in range(40):
        play, found = run(np.random.default_rng(seed).uniform(0.4, 0.6, 6), seed)
        best = max(play.areas)
        wrong += any(
            "surely" in one.dropped and area == best
            for one, area in zip(found.standings, play.areas, strict=True)
        )
    assert wrong <= 40 * LEVEL


def test_a_candidate_that_fails_is_out():
    play = Played([0.5] * 5, 0)

    def fails(candidate, picks):
        if candidate == 2:
            raise ControllerError("went wrong")
        return play(candidate, picks)

    found = race(5, fails, EPISODES, reference(), seed=0)
    assert (found.standings[2].area, found.standings[2].dropped) == (None, "went wrong")


def test_an_interval_holds_the_mean():
    rng = np.random.default_rng(0)
    inside = [
        abs(x.mean() - 0.1) <= bernstein(x, 1.0, 0.05)
        for x in (rng.random((400, 200)) < 0.1).astype(float)
    ]
    assert np.mean(inside) >= 0.95
    assert bernstein(np.zeros(1), 1.0, 0.05) == np.inf


class Many(Scripted):
    """Five programs a round: three that can be told apart, one again, one that is none."""

    def propose(self, turn):
        (first,) = super().propose(turn)
        texts = [program(2, 1), program(3, 1), program(4, 2), "no program"]
        return [first, *(Proposal(text, idea=str(k)) for k, text in enumerate(texts))]


def test_a_run_sweeps_only_what_its_race_leaves(tmp_path):
    made = settings(
        store_folder(tmp_path / "store"), proposals=5, race=True, draws="reference:12",
        limits=RunLimits(rounds=1), traces=False,
    )  # fmt: skip
    RunFolder.create(tmp_path / "run", made)
    session(tmp_path / "run", Many(tmp_path / "sent"))
    state = RunFolder(tmp_path / "run").state
    raced = state.races[1]
    assert sorted(raced.standings) == [0, 1, 2, 3]
    for index, standing in raced.standings.items():
        scored = state.scored[1, index]
        assert bool(scored.points) == (not standing.dropped)
        assert standing.dropped in ("", *scored.errors)
    whole = sum(not standing.dropped for standing in raced.standings.values())
    assert whole >= 1
    assert raced.sweeps + whole <= SWEEPS + 1e-9
    assert state.evaluations == raced.counts + whole + 1  # and the try
    assert state.best is not None
    # What is there already is not raced again.
    session(tmp_path / "run", Many(tmp_path / "sent"), RunLimits(rounds=1))
    assert RunFolder(tmp_path / "run").state.races == state.races


def test_a_race_judges_by_mean_areas_alone(tmp_path):
    store = store_folder(tmp_path)
    for other in ({"judge": "worst"}, {"selection": "accuracy"}):
        with pytest.raises(SpecError, match="mean areas of stores"):
            plan(store, name="run", race=True, **other)
