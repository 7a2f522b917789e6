"""How sure we are: intervals, paired differences, the winner's curse and power.

The unit that is resampled is the question, with all its draws and all the models that answered it
(or the group of questions, where a `Design` says that they belong together).
Draws of one question share its difficulty, so they are not independent evidence about another
question; and the mean over a question's draws already carries the noise of those draws, so
resampling draws inside a resampled question would count that noise twice. Simulated, 30 questions,
nominal 95 %: whole questions cover 93 to 95 %, for accuracies and paired differences, at 1, 4 and
100 draws; questions and then draws 92 to 98 %; draws alone 0 to 88 %, and episodes as if they were
independent 26 % at 100 draws. `benchmarks/interval_coverage.py` prints all of it.

Scores per question are computed once; a resample is then a vector of weights over questions, and
all resamples of all points are one matrix product.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from autotts.evaluation.design import Design
from autotts.evaluation.extremes import moved_out
from autotts.evaluation.quantiles import normal_quantile, normal_tail, student_quantile

FloatArray = NDArray[np.float64]
Values = NDArray[Any]

LEVEL = 0.95
RESAMPLES = 2_000
_MOST_WEIGHTS = 1 << 23
"""Weights of questions in resamples that are held together to weigh one column: 64 MB."""
_AT_ONCE = 1 << 20
"""Weights, or draws, that are made at a time where they are not held: 8 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the interval that covers the truth with probability `level`.

    Infinite where the data say nothing on that side: one question, or a target never reached.
    """

    estimate: float
    low: float
    high: float
    level: float

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"level must be in (0, 1), got {self.level}")
        if not self.low <= self.high:
            raise ValueError(f"an interval needs low <= high, got [{self.low}, {self.high}]")


@dataclass(frozen=True, slots=True)
class Difference:
    """What one controller has over another on the same questions.

    probability: share of resamples in which the difference is positive (ties count half).
    better, worse, equal: questions whose own difference is positive, negative, or within what its
        draws can tell.
    """

    estimate: float
    low: float
    high: float
    level: float
    probability: float
    better: int
    worse: int
    equal: int

    @property
    def sign(self) -> int:
        """1 or -1 where the interval excludes zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)


_Found = TypeVar("_Found", Interval, Difference)


def in_percent(found: _Found) -> _Found:
    """An interval, or a difference, of shares as it is published: in percent, or in points."""
    return replace(found, estimate=100 * found.estimate, low=100 * found.low, high=100 * found.high)


@dataclass(frozen=True, slots=True)
class Best:
    """The best of many and what the choice itself adds to its score.

    index: which candidate.
    estimate: its score as measured.
    optimism: how much of that is expected to be luck of the choice.
    candidates: how many it was chosen from.
    corrected: the estimate without the optimism.
    interval: (low, high) as if it had not been chosen, and `chosen` corrected for the choice: in
        every resample the best is chosen anew among all candidates, and how far its score there is
        from its own is how far the estimate may be from the truth. None where the number of
        questions was not given.
    """

    index: int
    estimate: float
    optimism: float
    candidates: int
    interval: tuple[float, float] | None = None
    chosen: tuple[float, float] | None = None

    @property
    def corrected(self) -> float:
        return self.estimate - self.optimism


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """How often each question is in each resample, for means of as many columns as there are.

    A byte a question and resample, an eighth of the weights, which are made a few resamples at a
    time: of 40,000 questions 80 MB in place of 640.

    design: how questions count.
    drawn: uint8 `[R, U]`, as `Design.drawn` counts. No count comes near 256, where all of them are
        one on average: its probability has 500 zeros.
    """

    design: Design
    drawn: NDArray[np.uint8]

    def means(self, values: FloatArray) -> FloatArray:
        """The means over questions in the sample and in each resample.

        Args:
            values: `[K, Q]`.

        Returns:
            `[1 + R, K]`, the sample itself first.
        """
        means = np.empty((1 + len(self.drawn), len(values)))
        for block in _blocks(len(self.drawn), self.design.questions, _AT_ONCE):
            weights, first = self.design.weights_of(self.drawn[block]), 1 + block.start
            if block.start == 0:
                weights, first = np.vstack([self.design.shares, weights]), 0
            # Not `@`: BLAS threads cost more than so small a product.
            means[first : 1 + block.stop] = np.einsum("rq,kq->rk", weights, values)
        return means


def question_resamples(
    design: Design, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Resamples:
    """Resamples of questions; those of `question_weights` for the same generator.

    Args:
        design: how questions count.
        rng: consumed.
    """
    _check_resampling(design.questions, resamples)
    counts = np.empty((resamples, design.drawn_units), np.uint8)
    for block in _blocks(resamples, design.questions, _AT_ONCE):
        counts[block] = design.drawn(block.stop - block.start, rng=rng)
    return Resamples(design, counts)


def question_weights(
    design: int | Design, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> FloatArray:
    """Weights of the questions in each resample.

    Args:
        design: how questions count; how many there are, where all count the same.
        rng: consumed.

    Returns:
        `[1 + resamples, Q]`, each row adds up to 1. Row 0 is the sample itself.
    """
    design = Design(design) if isinstance(design, int) else design
    questions = design.questions
    _check_resampling(questions, resamples)
    weights = np.empty((1 + resamples, questions))
    weights[0] = design.shares
    for block in _blocks(resamples, questions, _MOST_WEIGHTS):
        drawn = design.drawn(block.stop - block.start, rng=rng)
        weights[1 + block.start : 1 + block.stop] = design.weights_of(drawn)
    return weights


def _check_resampling(questions: int, resamples: int) -> None:
    if questions < 1 or resamples < 1:
        raise ValueError(
            f"resampling needs at least 1 question and 1 resample, got {questions}, {resamples}"
        )


def _blocks(resamples: int, questions: int, most: int) -> list[slice]:
    """Resamples a few at a time, so that what is made beside them stays small."""
    at_once = max(1, most // questions)
    return [slice(k, min(k + at_once, resamples)) for k in range(0, resamples, at_once)]


def resampled_means(
    values: FloatArray,
    *,
    rng: np.random.Generator,
    design: Design | None = None,
    resamples: int = RESAMPLES,
) -> FloatArray:
    """The mean over questions in the sample and in each resample of its questions.

    Of many questions the resamples are drawn one question at a time, which comes to the same: it
    takes a tenth of the time of weights, and no memory for them.

    Args:
        values: `[Q]`.
        rng: consumed.
        design: how questions count; all the same without.

    Returns:
        `[1 + resamples]`, the sample itself first.
    """
    design, questions = design or Design(len(values)), len(values)
    if len(_blocks(resamples, max(questions, 1), _MOST_WEIGHTS)) < 2:
        return question_weights(design, rng=rng, resamples=resamples) @ values
    means = np.empty(1 + resamples)
    means[0] = design.mean(values[:, None])
    for block in _blocks(resamples, questions, _AT_ONCE):
        count = block.stop - block.start
        if design.even:
            drawn = values[rng.integers(questions, size=(count, questions))].mean(axis=1)
        else:
            drawn = design.weights_of(design.drawn(count, rng=rng)) @ values
        means[1 + block.start : 1 + block.stop] = drawn
    return means


def bounds(
    replicates: FloatArray, *, questions: int, level: float = LEVEL
) -> tuple[FloatArray, FloatArray]:
    """Expanded percentile bounds of a resampled statistic.

    A percentile interval of n questions is too short, by sqrt((n - 1) / n) and by taking normal for
    Student quantiles; asking for quantiles further out repairs both (Hesterberg 2015,
    https://arxiv.org/abs/1411.5279, section 5.3). At 30 questions 95 % asks for 1.9 and 98.1 %.

    Args:
        replicates: `[R, ...]` the statistic in each resample; nan where it is undefined, which
            counts as anything at all and widens the interval on both sides.
        questions: resampled in each (of the smallest dataset if there are several); with weights
            or clusters, the `units` of their design.

    Returns:
        Two arrays `[...]`.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    if questions < 2:
        nothing = np.full(replicates.shape[1:], np.inf)
        return -nothing, nothing
    degrees = questions - 1
    tail = normal_tail(math.sqrt(questions / degrees) * student_quantile((1 - level) / 2, degrees))
    unknown = np.isnan(replicates)
    # "lower" and "higher" do no arithmetic between neighbours, which may be infinite.
    low = np.quantile(np.where(unknown, -np.inf, replicates), tail, axis=0, method="lower")
    high = np.quantile(np.where(unknown, np.inf, replicates), 1 - tail, axis=0, method="higher")
    return low, high


def mean_interval(
    values: Values,
    *,
    rng: np.random.Generator,
    design: Design | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval:
    """Interval of a mean over questions and draws, such as tokens per question.

    Args:
        values: `[Q, D]`.
        rng: consumed.
        design: how questions count; all the same without.
    """
    per_question = _matrix(values).mean(axis=1)
    design = design or Design(len(per_question))
    means = resampled_means(per_question, rng=rng, design=design, resamples=resamples)
    low, high = bounds(means[1:], questions=design.units, level=level)
    return Interval(float(means[0]), float(low), float(high), level)


def accuracy_interval(
    correct: Values,
    *,
    rng: np.random.Generator,
    design: Design | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval:
    """Interval of mean accuracy, a share in [0, 1].

    Where every answer is right (or every one wrong) there is nothing to resample; the exact
    binomial bound for that many questions takes its place. Where few questions have the wrong
    answers, or the right ones, resampling says too little: see `evaluation.extremes`.

    Args:
        correct: `[Q, D]` whether the answer to question q was right on draw d.
        rng: consumed.
        design: how questions count; all the same without.
    """
    design = design or Design(len(correct))
    interval = mean_interval(correct, rng=rng, design=design, level=level, resamples=resamples)
    slack = slack_of_certainty(design.units, level=level)
    low, high = moved_out(
        interval.low, interval.high, correct.mean(axis=1), design=design, level=level
    )
    low = 1 - slack if correct.all() else max(low, 0.0)
    high = min(high, 1.0) if correct.any() else slack
    return Interval(interval.estimate, low, high, level)


def slack_of_certainty(questions: int, *, level: float = LEVEL) -> float:
    """How far from the truth a share of 0 or 1 may be, by the exact binomial bound."""
    return float(1 - ((1 - level) / 2) ** (1 / questions))


def paired_difference(
    a: Values,
    b: Values,
    *,
    rng: np.random.Generator,
    design: Design | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Difference:
    """The mean of `a` minus that of `b` on the same questions.

    Args:
        a: `[Q, D]` of one controller.
        b: `[Q, E]` of the other. With E = D, draw d is taken to be the same draw for both.
        rng: consumed.
        design: how questions count; all the same without.
    """
    gap, variance = question_differences(a, b)
    design = design or Design(len(gap))
    means = resampled_means(gap, rng=rng, design=design, resamples=resamples)
    return difference(means, signs(gap, variance, level=level), questions=design.units, level=level)


def difference(
    replicates: FloatArray, question_signs: Values, *, questions: int, level: float = LEVEL
) -> Difference:
    """A `Difference` from its resamples and its signs.

    Args:
        replicates: `[1 + R]`, the sample itself first.
        question_signs: 1, 0 or -1 for each question.
        questions: as in `bounds`.
    """
    low, high = bounds(replicates[1:], questions=questions, level=level)
    return Difference(
        estimate=float(replicates[0]),
        low=float(low),
        high=float(high),
        level=level,
        probability=float(probability_positive(replicates[1:])),
        better=int((question_signs > 0).sum()),
        worse=int((question_signs < 0).sum()),
        equal=int((question_signs == 0).sum()),
    )


def probability_positive(replicates: FloatArray) -> FloatArray:
    """Share of resamples above zero; a tie or an undefined one counts half.

    Args:
        replicates: `[R, ...]`.
    """
    share: FloatArray = (0.5 + 0.5 * np.nan_to_num(np.sign(replicates))).mean(axis=0)
    return share


def question_differences(a: Values, b: Values) -> tuple[FloatArray, FloatArray]:
    """Each question's difference and the variance that its draws leave in it.

    Args:
        a: `[..., Q, D]`.
        b: `[..., Q, E]`; with E = D, draw d is taken to be the same draw for both.

    Returns:
        Two arrays `[..., Q]`; the variance is 0 where there is one draw.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape[:-1] != b.shape[:-1]:
        raise ValueError(f"paired values need the same questions, got {a.shape} and {b.shape}")
    gap: FloatArray = a.mean(axis=-1) - b.mean(axis=-1)
    if a.shape[-1] == b.shape[-1]:
        return gap, _mean_variance(a - b)
    return gap, _mean_variance(a) + _mean_variance(b)


def signs(gap: FloatArray, variance: FloatArray, *, level: float = LEVEL) -> NDArray[np.int64]:
    """1 or -1 where a question's difference is beyond what its draws can tell, else 0.

    Args:
        gap, variance: `[..., Q]` as `question_differences` gives them.
    """
    noise = -normal_quantile((1 - level) / 2) * np.sqrt(variance)
    rounding = 1e-9 * np.maximum(1.0, np.abs(gap).max(initial=0.0))
    return np.where(np.abs(gap) <= noise + rounding, 0, np.sign(gap)).astype(np.int64)


def best_of(estimates: FloatArray, replicates: FloatArray, *, questions: int | None = None) -> Best:
    """The best of many candidates, and the winner's curse on its score.

    In every resample the best is chosen by the resample and judged by the sample. The sample is no
    truth, though: its candidates lie further apart than the true ones by the very noise in
    question, which would make the choice look surer and hide a third of the optimism where all are
    equal. So the candidates are first drawn together by the share of their spread that is noise.

    Args:
        estimates: `[K]` score of each candidate, larger is better.
        replicates: `[R, K]` their scores in each resample, paired.
        questions: as in `bounds`; without it there are no intervals.
    """
    if estimates.ndim != 1 or replicates.shape[1:] != estimates.shape or not estimates.size:
        raise ValueError(
            f"need [K] estimates and [R, K] replicates, got {estimates.shape}, {replicates.shape}"
        )
    index = int(np.argmax(estimates))
    noise = replicates - estimates
    picked, optimism = np.full(len(noise), index), 0.0
    if len(estimates) > 1:
        # What moves all candidates alike has no part in the choice.
        own = noise - noise.mean(axis=1, keepdims=True)
        spread = float(estimates.var(ddof=1))
        noise_variance = float((own**2).sum(axis=1).mean()) / (len(estimates) - 1)
        kept = max(0.0, 1 - noise_variance / spread) if spread > 0 else 0.0
        picked = np.argmax(kept * (estimates - estimates.mean()) + noise, axis=1)
        optimism = max(float(own[np.arange(len(own)), picked].mean()), 0.0)
    estimate = float(estimates[index])
    intervals: list[tuple[float, float] | None] = [None, None]
    if questions is not None:
        off = noise[np.arange(len(noise)), picked]
        for k, values in enumerate((replicates[:, index], estimate - off)):
            low, high = bounds(values, questions=questions)
            intervals[k] = float(low), float(high)
    return Best(index, estimate, optimism, len(estimates), *intervals)


def detectable(
    standard_error: float | FloatArray, *, degrees: int, level: float = LEVEL, power: float = 0.8
) -> FloatArray:
    """The smallest true difference that a two-sided test at `level` finds with this power.

    Args:
        standard_error: of the paired difference.
        degrees: of freedom, questions - 1; with none, no difference can be shown.
    """
    if degrees < 1:
        return np.full(np.shape(standard_error), np.inf)
    quantiles = student_quantile((1 + level) / 2, degrees) + student_quantile(power, degrees)
    return np.asarray(quantiles * np.asarray(standard_error), dtype=np.float64)


def detectable_difference(
    a: Values,
    b: Values,
    *,
    questions: int | None = None,
    draws: int | None = None,
    level: float = LEVEL,
    power: float = 0.8,
) -> float:
    """The smallest difference that this many questions and draws can show, given two controllers.

    The variance of paired differences is split into what the questions and what the draws bring,
    so the answer can be had for other numbers of either.

    Args:
        a, b: `[Q, D]` values of the two on the same questions and draws.
        questions, draws: planned; as observed if not given.
    """
    gap, within = question_differences(_matrix(a), _matrix(b))
    observed, count = a.shape[1], questions or len(gap)
    if draws is not None and draws != observed and (observed < 2 or a.shape != b.shape):
        raise ValueError(
            f"the noise of {draws} draws can't be told from shapes {a.shape} and {b.shape}; "
            "it takes two or more draws, the same for both"
        )
    total = gap.var(ddof=1) if len(gap) > 1 else np.inf
    noise = within.mean()
    between = max(total - noise, 0.0)
    variance = total if draws is None else between + noise * observed / draws
    return float(detectable(np.sqrt(variance / count), degrees=count - 1, level=level, power=power))


def _matrix(values: Values) -> FloatArray:
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"values must be a non-empty [Q, D] matrix, got shape {values.shape}")
    return values.astype(np.float64)


def _mean_variance(values: FloatArray) -> FloatArray:
    """Variance of the mean over the last axis, 0 for a single value: `[..., D]` to `[...]`."""
    draws = values.shape[-1]
    if draws < 2:
        return np.zeros(values.shape[:-1])
    variance: FloatArray = values.var(axis=-1, ddof=1) / draws
    return variance
