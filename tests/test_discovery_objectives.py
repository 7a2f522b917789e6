"""Objectives of a search: one definition, from scoring to `finalize`."""

import pytest

from autotts import stores
from autotts.discovery.assembly import finalize
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.scoring import Scorer
from autotts.evaluation import Experiment
from autotts.evaluation.objectives import SHOWN
from autotts.evaluation.study.leaderboard import leaderboard
from discover_toy import Scripted, session, settings, store_folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return store_folder(tmp_path_factory.mktemp("stores"))


@pytest.mark.parametrize("objective", ["tokens", "sequential", "cost"])
def test_an_area_is_that_of_the_leaderboard(store, objective):
    made = settings(store, objective=objective)
    with Scorer([stores.load(store)], made) as scorer:
        area = scorer.reference().area(scorer.baseline("asc").curve)
    board = leaderboard(
        [store], ["asc"], objective=objective, betas=made.betas,
        experiment=Experiment(draws=made.draws, max_branches=16),
    )  # fmt: skip
    assert area == pytest.approx(board.boards[0].entries[0].area)


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
