"""What a try tells: figures that add up, differences that are those of the areas."""

import numpy as np
import pytest

from autotts.discovery.feedback import _by_question, _noise, _question_gains, _store_areas
from autotts.discovery.sweeps import Reference
from autotts.evaluation.frontiers import Curve, curve

STORES = (("m", "d"), ("n", "e"))
BETAS = (0.0, 0.5, 1.0)


def made(seed: int, draws: int = 6) -> Curve:
    """A program's curve on two stores of five questions."""
    rng = np.random.default_rng(seed)
    cells = {
        (store, beta): (
            rng.random((5, draws)) < 0.3 + 0.4 * beta,
            rng.integers(500, 600, (5, draws)) * (1 + 5 * beta),
        )
        for store in STORES
        for beta in BETAS
    }
    return curve("p", cells)


@pytest.fixture
def reference() -> Reference:
    cells = {(store, 1.0): (np.ones((5, 2), bool), np.full((5, 2), 5_000)) for store in STORES}
    return Reference(curve("sc", cells))


def test_the_area_is_the_mean_of_the_stores_and_of_the_questions(reference: Reference) -> None:
    """So per store and per question are parts of one figure."""
    found = made(1)
    area = reference.area(found)
    assert np.mean(list(_store_areas(found, reference).values())) == pytest.approx(area)
    parts = _by_question(found, reference)
    assert np.mean([part.mean() for part in parts.values()]) == pytest.approx(area, abs=0.5)


def test_gains_by_question_are_those_of_the_area(reference: Reference) -> None:
    one, other = made(1), made(2)
    gains = _question_gains(one, other, reference)
    assert {name.split()[0] for name in gains} == {"m/d", "n/e"}
    difference = reference.area(one) - reference.area(other)
    assert sum(gains.values()) / 10 == pytest.approx(difference, abs=0.5)
    assert _question_gains(one, one, reference) == {}


def test_noise_falls_with_the_draws(reference: Reference) -> None:
    """One draw says nothing of it; a hundred leave less than six."""
    assert _noise(made(1, draws=1), reference) == 0
    assert 0 < _noise(made(1, draws=100), reference) < _noise(made(1, draws=6), reference)
