import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autotts.errors import StoreError
from autotts.evaluation.frontiers import (
    BUDGET_FRACTIONS,
    Curve,
    Points,
    accuracy_at,
    accuracy_at_fractions,
    curve,
    frontier,
    frontier_area,
    isotonic_violation,
    mixture_at,
    spacing,
    tokens_to_reach,
)

FloatArray = NDArray[np.float64]


def points(*pairs: tuple[float, float]) -> Points:
    """Points from (tokens, accuracy)."""
    tokens, accuracy = np.array(pairs, dtype=np.float64).T
    return Points(tokens, accuracy)


sweeps = st.lists(st.tuples(st.floats(1.0, 1e6), st.floats(0.0, 1.0)), min_size=1, max_size=8).map(
    lambda pairs: points(*pairs)
)


def test_on_the_frontier_is_what_nothing_beats() -> None:
    found = frontier(points((300, 0.5), (100, 0.4), (200, 0.4), (400, 0.6), (400, 0.55)))
    assert found.tolist() == [True, True, False, True, False]
    assert frontier(points((10, 0.5), (10, 0.5))).tolist() == [True, False]


@given(sweeps)
def test_the_frontier_is_the_definition(measured: Points) -> None:
    """A point is kept if no other is as good in both; of equal ones the first."""
    pairs = list(zip(measured.tokens, -measured.accuracy, strict=True))
    expected = [
        not any(
            other[0] <= pair[0] and other[1] <= pair[1] and (other != pair or j < i)
            for j, other in enumerate(pairs)
        )
        for i, pair in enumerate(pairs)
    ]
    assert frontier(measured).tolist() == expected


def test_accuracy_between_settings_is_a_line_in_log_tokens() -> None:
    measured = points((100, 0.4), (10_000, 0.8))
    np.testing.assert_allclose(accuracy_at(measured, [100, 1_000, 10_000]), [0.4, 0.6, 0.8])


def test_below_the_cheapest_setting_accuracy_is_a_line_in_tokens_to_nothing() -> None:
    measured = points((100, 0.4), (200, 0.5))
    np.testing.assert_allclose(accuracy_at(measured, [0, 25, 50, 100]), [0, 0.1, 0.2, 0.4])


def test_past_the_dearest_setting_and_where_more_tokens_hurt_the_best_stays() -> None:
    measured = points((100, 0.4), (200, 0.6), (400, 0.3))
    np.testing.assert_allclose(accuracy_at(measured, [200, 300, 400, 10**9]), 0.6)


@given(sweeps, st.lists(st.floats(0.0, 1e7), min_size=1, max_size=5))
def test_accuracy_never_falls_with_tokens_and_is_the_mixture_it_says(
    measured: Points, budgets: list[float]
) -> None:
    budgets = sorted(budgets)
    values = accuracy_at(measured, budgets)
    assert (np.diff(values) >= -1e-12).all()
    weights = mixture_at(measured, budgets)
    assert (weights >= 0).all()
    assert (weights.sum(axis=-1) <= 1 + 1e-12).all()
    np.testing.assert_allclose(weights @ measured.accuracy, values, atol=1e-9)


@given(sweeps)
def test_at_a_setting_accuracy_is_the_best_so_far(measured: Points) -> None:
    best = [measured.accuracy[measured.tokens <= t].max() for t in measured.tokens]
    np.testing.assert_allclose(accuracy_at(measured, measured.tokens), best, atol=1e-9)


@given(sweeps, st.floats(1.0, 1e5), st.floats(1.1, 1e3))
def test_the_area_is_the_mean_over_log_tokens(measured: Points, low: float, span: float) -> None:
    grid = np.geomspace(low, low * span, 20_001)
    values = accuracy_at(measured, grid)
    expected = ((values[1:] + values[:-1]) / 2).mean()
    assert frontier_area(measured, low, low * span) == pytest.approx(expected, abs=1e-3)


def test_an_area_does_not_jump_where_the_cheapest_setting_crosses_its_lower_end() -> None:
    """No cliff: a sweep that starts a little above the range loses a little."""
    inside = frontier_area(points((99.9, 0.5), (1_000, 0.6)), 100, 1_000)
    outside = frontier_area(points((100.1, 0.5), (1_000, 0.6)), 100, 1_000)
    assert outside == pytest.approx(inside, abs=1e-3)
    far = frontier_area(points((200, 0.5), (1_000, 0.6)), 100, 1_000)
    assert far < outside


@pytest.mark.parametrize(("low", "high"), [(0, 10), (10, 10), (20, 10)])
def test_an_area_needs_a_range(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="low < high"):
        frontier_area(points((1, 0.5)), low, high)


@given(sweeps, st.floats(1.0, 1e5), st.floats(1.1, 1e3))
def test_an_area_depends_on_no_unit(measured: Points, low: float, span: float) -> None:
    """Seconds and dollars are often less than one."""
    small = Points(1e-4 * measured.tokens, measured.accuracy)
    assert frontier_area(small, 1e-4 * low, 1e-4 * low * span) == pytest.approx(
        frontier_area(measured, low, low * span), abs=1e-9
    )


def test_leading_axes_are_carried_along() -> None:
    """A bootstrap of several stores at once gives what one at a time gives."""
    rng = np.random.default_rng(0)
    many = Points(rng.uniform(10, 1_000, (5, 3, 6)), rng.random((5, 3, 6)))
    low, high = rng.uniform(10, 50, (5, 3)), rng.uniform(100, 500, (5, 3))
    at, mask = accuracy_at(many, [20, 200]), frontier(many)
    area, mixture = frontier_area(many, low, high), mixture_at(many, [20, 200])
    for r, s in itertools.product(range(5), range(3)):
        one = Points(many.tokens[r, s], many.accuracy[r, s])
        np.testing.assert_allclose(at[r, s], accuracy_at(one, [20, 200]))
        np.testing.assert_allclose(mixture[r, s], mixture_at(one, [20, 200]))
        np.testing.assert_allclose(area[r, s], frontier_area(one, low[r, s], high[r, s]))
        assert mask[r, s].tolist() == frontier(one).tolist()


def test_each_store_has_its_own_budget() -> None:
    """Half of a store's reference buys what half of that store's reference buys."""
    cheap, dear = points((50, 0.2), (100, 0.4)), points((5_000, 0.6), (10_000, 0.8))
    both = Points(np.stack([cheap.tokens, dear.tokens]), np.stack([cheap.accuracy, dear.accuracy]))
    found = accuracy_at_fractions(both, [100, 10_000], [0.5, 1.0])
    np.testing.assert_allclose(found, [0.4, 0.6])
    assert len(accuracy_at_fractions(both, [100, 10_000])) == len(BUDGET_FRACTIONS)


@given(sweeps, sweeps, st.floats(0.0, 1.2))
def test_tokens_to_reach_is_the_inverse_of_accuracy_at(
    first: Points, second: Points, target: float
) -> None:
    size = min(len(first.tokens), len(second.tokens))
    both = Points(
        np.stack([first.tokens[:size], second.tokens[:size]]),
        np.stack([first.accuracy[:size], second.accuracy[:size]]),
    )
    reference = np.array([1e3, 1e5])
    (share,) = tokens_to_reach(both, [target], reference)
    if np.isinf(share):
        assert accuracy_at_fractions(both, reference, [1e12]) < target
    else:
        assert accuracy_at_fractions(both, reference, [share * 1.0001])[0] >= target - 1e-9
        assert accuracy_at_fractions(both, reference, [share * 0.9999])[0] <= target + 1e-9


def test_tokens_to_reach_what_was_measured_are_the_tokens_measured() -> None:
    one = Points(np.array([[100.0, 300.0, 500.0]]), np.array([[0.3, 0.7, 0.7]]))
    found = tokens_to_reach(one, [0, 0.15, 0.3, 0.7, 0.71], [1])
    np.testing.assert_allclose(found, [0, 50, 100, 300, np.inf], rtol=1e-6)


def test_spacing_says_how_evenly_a_sweep_covers_log_tokens() -> None:
    even = spacing(np.array([100.0, 200.0, 400.0, 800.0]))
    assert even.evenness == pytest.approx(1)
    assert even.steps == pytest.approx((2, 2, 2))
    uneven = spacing(np.array([100.0, 101.0, 10_000.0, 102.0]))
    assert uneven.evenness < 0.4
    assert (uneven.widest, uneven.widest_after) == (pytest.approx(10_000 / 102), 2)
    assert spacing(np.array([5.0, 5.0])).evenness == 0
    with pytest.raises(ValueError, match="two settings"):
        spacing(np.array([5.0]))


def test_a_fall_in_tokens_is_measured_from_the_highest_before_it() -> None:
    assert isotonic_violation(np.array([1.0, 2.0, 2.0, 9.0])) == 0
    assert isotonic_violation(np.array([10.0, 20.0, 18.0, 15.0, 30.0])) == pytest.approx(0.25)
    stores = isotonic_violation(np.array([[1.0, 2.0], [2.0, 1.0]]))
    np.testing.assert_allclose(stores, [0, 0.5])


def test_a_curve_cannot_be_built_wrong() -> None:
    cell = (np.ones((3, 2), dtype=bool), np.ones((3, 2)))
    good = curve("c", {(("m", "d"), 0.0): cell, (("m", "d"), 1.0): cell})
    assert good.points().accuracy.tolist() == [[1, 1]]
    with pytest.raises(ValueError, match="missing"):
        curve("c", {(("m", "d"), 0.0): cell, (("n", "d"), 1.0): cell})
    few = (np.ones((2, 2), dtype=bool), np.ones((2, 2)))
    with pytest.raises(StoreError, match="n/d has 2 questions"):
        curve("c", {(("m", "d"), 0.0): cell, (("n", "d"), 0.0): few})
    with pytest.raises(ValueError, match="missing all"):
        curve("c", {})
    with pytest.raises(ValueError, match="ascend"):
        Curve("c", np.array([1.0, 0.0]), good.questions, good.correct, good.tokens)
    with pytest.raises(ValueError, match="questions, but correct has shape"):
        Curve("c", good.betas, {"d": np.arange(4)}, good.correct, good.tokens)
    with pytest.raises(ValueError, match="same stores"):
        Curve("c", good.betas, good.questions, good.correct, {})
    with pytest.raises(ValueError, match="one shape"):
        Points(np.ones(3), np.ones(2))
