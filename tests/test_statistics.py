import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autotts.evaluation import statistics
from autotts.evaluation.design import Design
from autotts.evaluation.extremes import moved_out
from autotts.evaluation.statistics import (
    Interval,
    accuracy_interval,
    best_of,
    bounds,
    detectable_difference,
    mean_interval,
    paired_difference,
    question_differences,
    question_weights,
    signs,
)

FloatArray = NDArray[np.float64]


def exam(
    rng: np.random.Generator, *, questions: int, draws: int, lead: float = 0.0
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two controllers on questions most of which are easy or hopeless; each has its own luck."""
    difficulty = rng.normal(0.0, 2.0, (questions, 1))
    right = [
        rng.random((questions, draws))
        < 1 / (1 + np.exp(difficulty - gain - rng.normal(0.0, 0.4, (questions, 1))))
        for gain in (lead, 0.0)
    ]
    return right[0], right[1]


def test_an_interval_cannot_be_upside_down() -> None:
    with pytest.raises(ValueError, match="low <= high"):
        Interval(0.5, 0.6, 0.4, 0.95)
    with pytest.raises(ValueError, match="level must be in"):
        Interval(0.5, 0.4, 0.6, 95)


@given(st.integers(1, 40), st.integers(1, 20))
def test_weights_of_a_resample_add_up_to_one_and_the_sample_comes_first(
    questions: int, resamples: int
) -> None:
    weights = question_weights(questions, rng=np.random.default_rng(0), resamples=resamples)
    assert weights.shape == (1 + resamples, questions)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights[0], 1 / questions)


def test_the_same_generator_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random((30, 5))
    first, second = (mean_interval(values, rng=np.random.default_rng(7)) for _ in range(2))
    assert first == second
    assert first.low < first.estimate < first.high


def test_one_question_bounds_nothing() -> None:
    rng = np.random.default_rng(0)
    assert mean_interval(np.ones((1, 50)), rng=rng).high == np.inf
    found = accuracy_interval(np.array([[True, False]]), rng=rng)
    assert (found.low, found.high) == (0, 1)
    assert paired_difference(np.ones((1, 9)), np.zeros((1, 9)), rng=rng).sign == 0


def test_a_clean_sheet_is_no_proof_of_perfection() -> None:
    """Where no question failed, the binomial bound says how often one still may."""
    rng = np.random.default_rng(0)
    perfect = accuracy_interval(np.ones((30, 4), dtype=bool), rng=rng)
    assert (perfect.estimate, perfect.high) == (pytest.approx(1), 1)
    assert perfect.low == pytest.approx(0.025 ** (1 / 30))
    hopeless = accuracy_interval(np.zeros((30, 4), dtype=bool), rng=rng)
    assert (hopeless.low, hopeless.high) == (0, pytest.approx(1 - 0.025 ** (1 / 30)))


def test_what_is_undefined_in_a_resample_widens_the_interval_on_both_sides() -> None:
    replicates = np.linspace(0.0, 1.0, 1_000)
    low, high = bounds(replicates, questions=30)
    assert 0.01 < low < 0.03
    replicates[500:550] = np.nan
    low, high = bounds(replicates, questions=30)
    assert (low, high) == (-np.inf, np.inf)


@pytest.mark.parametrize("values", [np.zeros((0, 3)), np.zeros(4), np.zeros((3, 0))])
def test_values_must_be_questions_by_draws(values: FloatArray) -> None:
    with pytest.raises(ValueError, match="non-empty"):
        mean_interval(values, rng=np.random.default_rng(0))


def test_pairs_must_be_of_the_same_questions() -> None:
    with pytest.raises(ValueError, match="same questions"):
        paired_difference(np.ones((3, 2)), np.ones((4, 2)), rng=np.random.default_rng(0))


@pytest.mark.parametrize("draws", [1, 4, 50])
def test_accuracy_intervals_cover(draws: int) -> None:
    """Nominal 95 % intervals hold the truth 90 to 98 % of the time, whatever the draws.

    The truth is 0.5 by symmetry.
    """
    rng = np.random.default_rng(draws)
    hits = 0
    for _ in range(400):
        correct, _ = exam(rng, questions=30, draws=draws)
        found = accuracy_interval(correct, rng=rng, resamples=400)
        hits += found.low <= 0.5 <= found.high
    assert 0.90 <= hits / 400 <= 0.98


@pytest.mark.parametrize("draws", [1, 4, 50])
def test_paired_differences_cover(draws: int) -> None:
    rng = np.random.default_rng(draws)
    ahead, behind = exam(rng, questions=200_000, draws=1, lead=0.5)
    true = ahead.mean() - behind.mean()
    hits = 0
    for _ in range(400):
        a, b = exam(rng, questions=30, draws=draws, lead=0.5)
        found = paired_difference(a, b, rng=rng, resamples=400)
        hits += found.low <= true <= found.high
    assert 0.90 <= hits / 400 <= 0.98


def test_pairing_is_worth_it() -> None:
    """Two controllers share the difficulty of a question, which a difference takes away."""
    rng = np.random.default_rng(0)
    a, b = exam(rng, questions=30, draws=50, lead=0.5)
    apart = accuracy_interval(a, rng=rng)
    paired = paired_difference(a, b, rng=rng)
    assert paired.high - paired.low < 0.7 * (apart.high - apart.low)


def test_a_question_counts_for_one_side_only_beyond_what_its_draws_can_tell() -> None:
    a = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    b = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]])
    assert signs(*question_differences(a, b)).tolist() == [1, 0, -1, 0]
    found = paired_difference(a, b, rng=np.random.default_rng(0))
    assert (found.better, found.worse, found.equal) == (1, 1, 2)


def test_draws_may_differ_in_number() -> None:
    gap, variance = question_differences(np.ones((2, 3)), np.zeros((2, 8)))
    assert (gap.tolist(), variance.tolist()) == ([1, 1], [0, 0])


def test_swapping_the_sides_turns_everything_around() -> None:
    a, b = exam(np.random.default_rng(3), questions=30, draws=8, lead=1.0)
    there = paired_difference(a, b, rng=np.random.default_rng(0))
    back = paired_difference(b, a, rng=np.random.default_rng(0))
    assert there.estimate == pytest.approx(-back.estimate)
    assert there.probability == pytest.approx(1 - back.probability)
    assert (there.better, there.worse) == (back.worse, back.better)
    assert there.sign == -back.sign == 1


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_the_expected_optimism_of_the_best_is_what_the_choice_truly_adds(spread: float) -> None:
    """Within a quarter, whether the candidates are all equal or differ as much as the noise."""
    rng = np.random.default_rng(0)
    truly, expected = [], []
    for _ in range(300):
        means = rng.normal(0.0, spread, 20)
        shared = rng.normal(0.0, 5.0, (30, 1))
        scores = means + shared + rng.normal(0.0, np.sqrt(30), (30, 20))
        replicates = question_weights(30, rng=rng, resamples=200) @ scores
        best = best_of(replicates[0], replicates[1:])
        assert best.estimate == replicates[0].max()
        assert best.corrected <= best.estimate
        truly.append(best.estimate - means[best.index] - shared.mean())
        expected.append(best.optimism)
    assert np.mean(expected) == pytest.approx(np.mean(truly), rel=0.25)


def test_one_candidate_has_no_luck_in_being_chosen() -> None:
    best = best_of(np.array([0.6]), np.array([[0.5], [0.7]]))
    assert (best.index, best.optimism, best.corrected) == (0, 0, 0.6)
    with pytest.raises(ValueError, match="replicates"):
        best_of(np.array([0.6, 0.7]), np.array([[0.5]]))


def test_power_is_what_it_says() -> None:
    """A lead of just the detectable size is found in about 80 of 100 exams."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(10_000, 1))
    size = detectable_difference(noise, np.zeros_like(noise), questions=30)
    found = 0
    for _ in range(400):
        sample = size + rng.normal(size=(30, 1))
        found += paired_difference(sample, np.zeros((30, 1)), rng=rng, resamples=400).sign > 0
    assert 0.74 <= found / 400 <= 0.86


def test_more_draws_help_only_against_the_noise_of_draws() -> None:
    rng = np.random.default_rng(0)
    own = rng.normal(0.0, 0.1, (300, 1))
    a, b = own + rng.normal(0.0, 0.4, (300, 16)), np.zeros((300, 16))
    now = detectable_difference(a, b)
    assert detectable_difference(a, b, draws=16) == pytest.approx(now)
    assert detectable_difference(a, b, draws=4) == pytest.approx(now * np.sqrt(5 / 2), rel=0.1)
    assert detectable_difference(a, b, draws=10**9) == pytest.approx(now / np.sqrt(2), rel=0.1)
    assert detectable_difference(a, b, questions=1200) == pytest.approx(now / 2, rel=0.01)
    assert detectable_difference(a[:1], b[:1]) == np.inf
    with pytest.raises(ValueError, match="draws can't be told"):
        detectable_difference(a[:, :1], b[:, :1], draws=4)


def test_resamples_of_many_questions_are_spread_like_those_of_few(monkeypatch):
    """Drawn one question at a time: the same mean and the same spread, without weights."""
    values = np.random.default_rng(0).random(50)
    few = statistics.resampled_means(values, rng=np.random.default_rng(1), resamples=20_000)
    weights = question_weights(50, rng=np.random.default_rng(1), resamples=20_000)
    assert np.array_equal(few, weights @ values)
    monkeypatch.setattr(statistics, "_MOST_WEIGHTS", 50 * 7_000)
    many = statistics.resampled_means(values, rng=np.random.default_rng(1), resamples=20_000)
    monkeypatch.setattr(statistics, "_AT_ONCE", 50 * 30)
    again = statistics.resampled_means(values, rng=np.random.default_rng(1), resamples=20_000)
    assert np.array_equal(many, again)
    assert many[0] == pytest.approx(few[0], rel=1e-14)
    assert len(many) == len(few)
    error = values.std() / np.sqrt(50)
    for means in (few, many):
        assert means[1:].mean() == pytest.approx(values.mean(), abs=4 * error / np.sqrt(20_000))
        assert means[1:].std() == pytest.approx(error, rel=0.02)
        high = np.quantile(means[1:], 0.975)
        assert high == pytest.approx(values.mean() + 1.96 * error, rel=0.01)


def test_weights_of_many_questions_are_those_of_all_at_once(monkeypatch):
    once = question_weights(50, rng=np.random.default_rng(1))
    monkeypatch.setattr(statistics, "_MOST_WEIGHTS", 50 * 7)
    assert np.array_equal(once, question_weights(50, rng=np.random.default_rng(1)))


def test_the_interval_of_the_best_is_corrected_for_choosing_it():
    """Of 16 equal candidates the best looks better than it is; the corrected interval covers it."""
    rng = np.random.default_rng(7)
    questions, candidates, trials = 30, 16, 150
    covered = np.zeros(2)
    for _ in range(trials):
        shared = rng.normal(0, 0.05, (questions, 1))
        scores = 0.5 + shared + rng.normal(0, 0.15, (questions, candidates))
        replicates = statistics.question_weights(questions, rng=rng, resamples=400) @ scores
        found = statistics.best_of(replicates[0], replicates[1:], questions=questions)
        for k, (low, high) in enumerate((found.interval, found.chosen)):
            covered[k] += low <= 0.5 <= high
    naive, corrected = covered / trials
    assert corrected >= 0.92
    assert naive < corrected - 0.1


@pytest.mark.parametrize("sign", [0, 1])
def test_accuracies_near_the_ends_cover(sign: int) -> None:
    """Where two or three questions of 30 have all the wrong (or right) answers: 88 % without."""
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(300):
        sure = rng.random(30) < 0.85
        chance = np.abs(sign - np.where(sure, 1.0, rng.beta(2.0, 1.0, 30)))
        correct = rng.random((30, 30)) < chance[:, None]
        found = statistics.accuracy_interval(correct, rng=rng, resamples=400)
        covered += found.low <= abs(sign - 0.95) <= found.high
    assert covered >= 0.92 * 300


def test_only_the_side_of_what_is_rare_is_moved_and_only_where_few_have_it() -> None:
    accuracies = np.array([0.5, 0.8] + [1.0] * 28)
    moved = moved_out(0.95, 1.0, accuracies, design=Design(30), level=0.95)
    assert moved[0] < 0.93
    assert moved[1] == 1.0
    other = moved_out(0.0, 0.05, 1 - accuracies, design=Design(30), level=0.95)
    assert other == pytest.approx((0.0, 1 - moved[0]))
    many = np.array([0.5] * 6 + [1.0] * 24)
    assert moved_out(0.85, 0.95, many, design=Design(30), level=0.95) == (0.85, 0.95)
    groups = Design(30, clusters=np.array([0] * 6 + [1 + k for k in range(24)]))
    assert moved_out(0.85, 0.95, many, design=groups, level=0.95)[0] < 0.8
    assert moved_out(0.2, 0.9, np.array([0.5]), design=Design(1), level=0.95) == (0.2, 0.9)
    two = np.array([0.001, 0.999])
    assert moved_out(0.001, 0.999, two, design=Design(2), level=0.999_999) == (0, 1)
