"""Objectives of a search: one definition, from scoring to `finalize`."""

from types import SimpleNamespace

import numpy as np
import pytest

from autotts import stores
from autotts.discovery.assembly import finalize, plan
from autotts.discovery.explorers.offline.bench import Bench, SweepMeans
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.scoring import Scorer
from autotts.errors import SpecError
from autotts.evaluation import Experiment
from autotts.evaluation.frontiers import Points, frontier_area
from autotts.evaluation.objectives import FORECAST, SHOWN
from autotts.evaluation.study.leaderboard import leaderboard
from discover_toy import Scripted, session, settings, store_folder
from test_forecasting import SPEED


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return store_folder(tmp_path_factory.mktemp("stores"))


@pytest.mark.parametrize("objective", ["tokens", "sequential", "cost", "seconds", "usd"])
def test_an_area_is_that_of_the_leaderboard(store, objective, tmp_path):
    """Where it is forecast, what a run has kept says the same without a log."""
    server = SPEED if objective in FORECAST else None
    made = settings(store, objective=objective, server_model=server)
    for _ in range(2):
        with Scorer([stores.load(store)], made, tmp_path) as scorer:
            area = scorer.reference().area(scorer.baseline("asc").curve)
    board = leaderboard(
        [store], ["asc"], objective=objective, server=server, betas=made.betas,
        experiment=Experiment(draws=made.draws, max_branches=16),
    )  # fmt: skip
    assert area == pytest.approx(board.boards[0].entries[0].area)


def test_seconds_stand_in_the_settings_of_a_run_and_need_a_server(store, tmp_path):
    made, _ = plan(store, name="run", objective="seconds", server_model=SPEED)
    assert RunFolder.create(tmp_path / "run", made).settings.server_model == SPEED
    with pytest.raises(SpecError, match="give --server-model FILE"):
        plan(store, name="run", objective="seconds")


def test_the_offline_explorer_counts_seconds_as_its_run_does(store):
    """The area of a made-up sweep, at shares of what the run's reference takes."""
    made = settings(store, objective="seconds", server_model=SPEED)
    with Scorer([stores.load(store)], made) as scorer:
        reference = scorer.reference()
    shares, right = np.array([0.2, 0.5, 1.2]), np.array([0.3, 0.5, 0.6])
    spends = shares * reference.tokens
    turn = SimpleNamespace(
        seed=0, rules=made.rules, stores=[store], objective="seconds", server_model=SPEED,
        judge="mean", family_weight="stores",
    )  # fmt: skip
    even = np.ones((1, 4))
    sweep = SweepMeans(*((values[:, None] * even,) for values in (right, spends, spends)))
    low, high = (share * reference.tokens[0] for share in reference.span)
    assert Bench(turn).area(sweep)[0] == pytest.approx(
        100 * frontier_area(Points(spends, right), low, high)
    )


def test_a_run_is_judged_by_its_objective_to_the_end(store, tmp_path):
    """Wide races are as fast as narrow ones, and dearer: another area, told at other shares."""
    held_out = store_folder(tmp_path / "held", "held", seed=1)
    areas = {}
    for objective in ("tokens", "sequential"):
        folder = tmp_path / objective
        made = settings(store, held_out, objective=objective, traces=False)
        RunFolder.create(folder, made)
        end = session(folder, Scripted(tmp_path / "sent"))
        assert RunFolder(folder).settings.objective == objective
        areas[objective] = end.best.area
        found = finalize(folder, trust=True, say=lambda text: None).controllers
        shown = [f"{share:g}" for share in SHOWN[objective]]
        assert all(list(figures.fractions) == shown for figures in found.values())
        assert end.best.points[-1].fraction == pytest.approx(
            RunFolder(folder).state.best.points[-1].fraction
        )
    assert areas["tokens"] != areas["sequential"]
