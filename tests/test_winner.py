"""The best of many, as found and on fresh draws."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autotts import programs, stores
from autotts.evaluation import Execution, Experiment, evaluate, run_cells
from autotts.evaluation.compare import Pick, area
from autotts.evaluation.frontiers import Curve, curve
from autotts.evaluation.result import curves_of
from autotts.evaluation.winner import Rerun, Winner, run_afresh, winner, winner_of
from autotts.stores import Branch, Recording, Store

EXPERIMENT = Experiment(draws="reference:4", max_branches=16)


def coins(name: str, rng: np.random.Generator, *, draws: int) -> Curve:
    """A controller that is right every other time, at one beta."""
    right = rng.random((30, draws)) < 0.5
    return curve(name, {(("m", "exam"), 0.5): (right, np.ones(right.shape))})


def toy(questions: int, *, model: str = "toy", seed: int = 0) -> Store:
    rng = np.random.default_rng(seed)
    recordings = []
    for q in range(questions):
        finals = np.where(rng.random(16) < 0.9 - 0.1 * q, "A", "B").tolist()
        branches = [Branch([final] * 3, 30, final) for final in finals]
        recordings.append(Recording(f"Question {q}?", "A", branches))
    return stores.build(
        recordings, model=model, dataset="coins", interval_tokens=10, billing="exact"
    )


@pytest.fixture(scope="module")
def store() -> Store:
    return toy(8)


def test_fresh_draws_show_what_the_choice_added() -> None:
    """The best of many equal controllers, chosen on few draws, falls back to where all are."""
    rng = np.random.default_rng(0)
    many = [coins(f"c{k}", rng, draws=2) for k in range(100)]
    chosen: list[Pick] = []

    def rerun(choice: Pick) -> Rerun:
        chosen.append(choice)
        return coins(choice.controller, rng, draws=64), ""

    found = winner(many, rerun, rng=rng)
    assert found.found == 100 * max(c.points().accuracy.max() for c in many) > 60
    assert found.fresh == pytest.approx(50, abs=4)
    assert found.luck == pytest.approx(found.found - 50, abs=5)
    assert found.name == f"{chosen[0].controller} at beta 0.5"
    assert found.candidates == "100 settings"


def test_the_chosen_setting_runs_again_with_all_its_questions(store: Store) -> None:
    evaluation = evaluate([store], ["sc", "asc"], betas=[0.0, 1.0], experiment=EXPERIMENT)
    found = winner_of(evaluation)
    assert found is not None
    best = max(evaluation.ran, key=lambda ran: float(ran.correct.mean()))
    assert found.name == f"{best.spec.text} at beta {best.spec.beta:g}"
    assert found.found == pytest.approx(100 * best.correct.mean())
    (again,) = run_cells([store], best.spec, experiment=EXPERIMENT.fresh())
    assert found.fresh == pytest.approx(100 * again.correct.mean())


def test_several_stores_are_said(store: Store) -> None:
    pair = [store, toy(8, model="other", seed=1)]
    found = winner_of(evaluate(pair, ["sc", "asc"], experiment=EXPERIMENT))
    assert found is not None
    assert found.words.startswith("Most accurate of 2 settings, mean of 2 stores: ")


def test_whole_curves_are_measured_again_by_their_area(store: Store) -> None:
    evaluation = evaluate([store], ["sc", "asc"], betas=[0.0, 0.5, 1.0], experiment=EXPERIMENT)
    found = winner_of(evaluation, by="area", among=["sc", "asc"], reference="sc")
    assert found is not None
    assert found.candidates == "2 controllers"
    curves, rng = evaluation.curves(), np.random.default_rng(0)
    areas = {n: area(c, rng=rng, reference=curves["sc"]).estimate for n, c in curves.items()}
    assert found.name == max(areas, key=lambda name: areas[name])
    assert found.found == pytest.approx(100 * areas[found.name])
    (fresh,) = curves_of(run_afresh(evaluation, found.name, [0.0, 0.5, 1.0])).values()
    again = area(fresh, rng=rng, reference=curves["sc"])
    assert found.fresh == pytest.approx(100 * again.estimate)


def test_a_sweep_may_come_back_where_one_beta_was_chosen(store: Store) -> None:
    evaluation = evaluate([store], ["sc"], betas=[0.0, 1.0], experiment=EXPERIMENT)
    curves = evaluation.curves()
    rng = np.random.default_rng(0)
    found = winner([curves["sc"]], lambda choice: (curves["sc"], ""), rng=rng)
    assert found.fresh == found.found


def test_there_must_be_something_to_choose_from(store: Store) -> None:
    assert winner_of(evaluate([store], ["sc"], experiment=EXPERIMENT)) is None
    other = toy(6, model="other")
    assert winner_of(evaluate([store, other], ["sc", "asc"], experiment=EXPERIMENT)) is None


def test_words_say_all_of_it() -> None:
    found = Winner("cmc at beta 1", "9 settings", "accuracy", 65.4167, 64.875, 0.498)
    assert found.words == (
        "Most accurate of 9 settings: cmc at beta 1, 65.42 % as found, 64.88 % on fresh draws of"
        " the same questions; picking the best of 9 overstates it by about 0.50 points."
    )
    for luck in (0.0, -0.001, 0.0049):
        words = replace(found, luck=luck).words
        assert words.endswith("picking the best of 9 overstates it by less than 0.01 points.")
    unknown = Winner("cmc", "2 controllers", "area", 51.5, 51.06)
    assert unknown.words == (
        "Largest frontier area of 2 controllers: cmc, 51.50 as found, 51.06 on fresh draws of the"
        " same questions."
    )


def test_the_fresh_run_of_a_program_by_path_is_audited(store: Store, save: Any) -> None:
    """What looks ahead may do so on fresh draws alone, and a figure of those must not say clean."""
    spec = str(save(programs.find("short-mk").text))
    evaluation = evaluate(
        [store], [spec], betas=[0.0, 1.0], experiment=EXPERIMENT, execution=Execution(audit=9)
    )
    found = winner_of(evaluation)
    assert found is not None
    assert "the fresh run was audited: 9 episodes replayed blind" in found.words
    unaudited = replace(evaluation, execution=Execution(audit=0))
    found = winner_of(unaudited)
    assert found is not None
    assert found.words.endswith("; the fresh run was unaudited.")
