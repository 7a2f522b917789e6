"""Comparing controllers: bands for a curve, differences between two, and which of many is best.

All of it resamples questions (see `autotts.evaluation.statistics`): what is drawn in one resample
counts for every store of a dataset, every setting, both controllers and the reference, whose
frontiers are then drawn anew. A budget is a share of what the reference spends on the same
questions, SC@64 by custom, so each model has its own budget in tokens and stores count equally."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from autotts.evaluation import statistics
from autotts.evaluation.frontiers import (
    BUDGET_FRACTIONS,
    Curve,
    Points,
    accuracy_at_fractions,
    frontier_area,
    mixture_at,
    tokens_to_reach,
)
from autotts.evaluation.statistics import (
    LEVEL,
    RESAMPLES,
    Best,
    Difference,
    FloatArray,
    Interval,
    Resamples,
)

By = Literal["area", "accuracy"]
"""The figure by which the best is chosen."""

AreasOf = Callable[[Curve], FloatArray]
"""The areas of a curve by store under the resamples at hand: `[R, S]`."""

AreaScore = Callable[[Curve, AreasOf], FloatArray]
"""What a curve is judged by, `[R]`; see `families.FamilyJudgement`."""


def mean_of_stores(curve: Curve, areas_of: AreasOf) -> FloatArray:
    """The mean area, each store counting once."""
    means: FloatArray = areas_of(curve).mean(axis=-1)
    return means


AREA_RANGE = (min(BUDGET_FRACTIONS), max(BUDGET_FRACTIONS))
_AREA_GRID = 33  # budgets at which a question's share in an area is read


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether a candidate's frontier clears its own noise, and the difference that says so."""

    accepted: bool
    difference: Difference


@dataclass(frozen=True, slots=True)
class Pick:
    """The best of many curves or settings; `beta` is None where whole curves were ranked."""

    controller: str
    beta: float | None
    best: Best


def curve_intervals(
    curve: Curve,
    *,
    rng: np.random.Generator,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> pl.DataFrame:
    """Accuracy and tokens at each beta, the mean of the stores, with pointwise intervals.

    Returns:
        Columns beta, accuracy, accuracy_low, accuracy_high, tokens, tokens_low, tokens_high.
    """
    points = curve.points(_drawn(curve, rng=rng, resamples=resamples))
    columns: dict[str, FloatArray] = {"beta": curve.betas}
    for name, values in (("accuracy", points.accuracy), ("tokens", points.tokens)):
        columns |= _columns(name, values.mean(axis=1), curve, level)
    return pl.DataFrame(columns)


def frontier_band(
    curve: Curve,
    *,
    rng: np.random.Generator,
    reference: Curve | None = None,
    fractions: Sequence[float] = BUDGET_FRACTIONS,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> pl.DataFrame:
    """The frontier at shares of the reference's tokens, with a pointwise band.

    Args:
        reference: whose dearest setting is the whole budget; the curve itself if not given.

    Returns:
        Columns fraction, budget (tokens per question, mean of the stores), accuracy, accuracy_low,
        accuracy_high.
    """
    drawn = _drawn(curve, rng=rng, resamples=resamples)
    budget = _reference(curve, reference).dearest_tokens(drawn)
    accuracy = accuracy_at_fractions(curve.points(drawn), budget, fractions)
    return pl.DataFrame(
        {
            "fraction": np.asarray(fractions, np.float64),
            "budget": np.asarray(fractions) * budget[0].mean(),
            **_columns("accuracy", accuracy, curve, level),
        }
    )


def area(
    curve: Curve,
    *,
    rng: np.random.Generator,
    reference: Curve | None = None,
    span: tuple[float, float] = AREA_RANGE,
    score: AreaScore = mean_of_stores,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval:
    """Mean accuracy of the frontier over log tokens, mean of the stores, with its interval.

    Args:
        reference: whose dearest setting is the whole budget; the curve itself if not given.
        span: from which to which share of it.
        score: makes one figure of the areas by store.
    """
    drawn = _drawn(curve, rng=rng, resamples=resamples)
    areas = _areas(curve, _reference(curve, reference), drawn, span, score)
    low, high = statistics.bounds(areas[1:], questions=_smallest(curve), level=level)
    return Interval(float(areas[0]), float(low), float(high), level)


def compare(
    a: Curve,
    b: Curve,
    *,
    rng: np.random.Generator,
    reference: Curve | None = None,
    fractions: Sequence[float] = BUDGET_FRACTIONS,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> pl.DataFrame:
    """Two frontiers at equal tokens.

    The rows share their questions and say nearly the same thing several times over; for one
    verdict on the whole see `clears_noise`.

    Args:
        reference: whose dearest setting is the whole budget; `b` if not given.
        rng: consumed.

    Returns:
        A row per fraction: fraction, budget (tokens per question, mean of the stores), accuracy_a,
        accuracy_b, difference (a - b) with low, high and probability (that it is positive),
        detectable (the smallest true difference that this comparison finds with 80 % power),
        better, worse and equal (questions, seen from a), verdict.
    """
    reference = _reference(b, reference)
    drawn = _paired_draw(a, b, reference, rng=rng, resamples=resamples)
    budget = reference.dearest_tokens(drawn)
    accuracy = [accuracy_at_fractions(c.points(drawn), budget, fractions) for c in (a, b)]
    own_budget = budget[0][:, None] * np.asarray(fractions)
    signs = _signs(a, b, *(mixture_at(c.points(), own_budget) for c in (a, b)), level=level)
    questions = _smallest(a)
    gap = accuracy[0] - accuracy[1]
    rows = [
        statistics.difference(gap[:, g], signs[g], questions=questions, level=level)
        for g in range(len(fractions))
    ]
    error = gap[1:].std(axis=0) * np.sqrt(questions / max(questions - 1, 1))
    return pl.DataFrame(
        {
            "fraction": np.asarray(fractions, np.float64),
            "budget": np.asarray(fractions) * budget[0].mean(),
            "accuracy_a": accuracy[0][0],
            "accuracy_b": accuracy[1][0],
            **_rows("difference", rows),
            "detectable": statistics.detectable(error, degrees=questions - 1, level=level),
            "verdict": [_verdict(row.sign) for row in rows],
        }
    )


def compare_tokens(
    a: Curve,
    b: Curve,
    *,
    rng: np.random.Generator,
    accuracies: Sequence[float] | None = None,
    reference: Curve | None = None,
    fractions: Sequence[float] = BUDGET_FRACTIONS,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> pl.DataFrame:
    """Two frontiers at equal accuracy: the tokens that each needs to reach it.

    The targets are b's own accuracies at `fractions` of the reference: what share of b's tokens
    does `a` save while being as good as b? With `accuracies` given ("tokens to reach X") they stand
    for the budgets at which b reaches them, or `a` where b never does. In a resample the target is
    the accuracy at that budget, not X itself: an easier or harder set of questions moves both
    curves up or down together by ten times what lies between them, and X with them.

    Returns:
        A row per target: accuracy, tokens_a and tokens_b (per question, mean of the stores;
        infinite where never reached), saving (1 - tokens_a / tokens_b) with low, high and
        probability (that it is positive), better, worse and equal (questions, better where `a`
        spends less; null where one never gets there), verdict. Where neither reaches a target in a
        resample the saving could be anything, and the interval says so.
    """
    reference = _reference(b, reference)
    drawn = _paired_draw(a, b, reference, rng=rng, resamples=resamples)
    budget = reference.dearest_tokens(drawn)
    points = [c.points(drawn) for c in (a, b)]
    if accuracies is None:
        targets = accuracy_at_fractions(points[1], budget, fractions)
    else:
        targets = _moving_targets(points, np.asarray(accuracies, np.float64), budget)
    shares = [tokens_to_reach(p, targets, budget) for p in points]
    with np.errstate(divide="ignore", invalid="ignore"):
        saving = 1 - shares[0] / shares[1]
    own_budgets = [budget[0][:, None] * share[0] for share in shares]
    settings = [mixture_at(c.points(), x) for c, x in zip((a, b), own_budgets, strict=True)]
    signs = -_signs(a, b, *settings, level=level, spent=True)
    questions = _smallest(a)
    rows = [
        statistics.difference(saving[:, g], signs[g], questions=questions, level=level)
        for g in range(targets.shape[1])
    ]
    reached = np.isfinite(shares[0][0] + shares[1][0])
    return pl.DataFrame(
        {
            "accuracy": targets[0],
            "tokens_a": own_budgets[0].mean(axis=0),
            "tokens_b": own_budgets[1].mean(axis=0),
            **_rows("saving", rows),
            "verdict": [_verdict(row.sign) for row in rows],
        }
    ).with_columns(pl.when(pl.Series(reached)).then(pl.col(name)).alias(name) for name in _COUNTS)


def _moving_targets(
    points: Sequence[Points], accuracies: FloatArray, budget: FloatArray
) -> FloatArray:
    """What the accuracies of the sample turn into in each resample: `[1 + R, G]`.

    Args:
        points: `[1 + R, S, B]` of a and of b.
        budget: `[1 + R, S]`.
    """
    targets = np.broadcast_to(accuracies, (len(budget), len(accuracies))).copy()
    for curve in points:  # b last, so that its budgets count where both get there
        sample = Points(curve.tokens[0], curve.accuracy[0])
        share = tokens_to_reach(sample, accuracies, budget[0])
        reached = np.isfinite(share)
        moved = accuracy_at_fractions(curve, budget, share[reached])
        targets[:, reached] = moved + (accuracies[reached] - moved[0])
    return targets


def clears_noise(
    candidate: Curve,
    incumbent: Curve,
    *,
    rng: np.random.Generator,
    reference: Curve | None = None,
    span: tuple[float, float] = AREA_RANGE,
    score: AreaScore = mean_of_stores,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Acceptance:
    """Whether a candidate's frontier area is above the incumbent's by more than chance.

    Accepted when the paired interval of the difference lies above zero, so an equal candidate gets
    through with probability (1 - level) / 2. It says nothing of how many candidates were tried;
    `best` does.

    Args:
        reference: whose dearest setting is the whole budget; the incumbent if not given.
        span: from which to which share of it the area is taken.
        score: as in `area`.
    """
    reference = _reference(incumbent, reference)
    drawn = _paired_draw(candidate, incumbent, reference, rng=rng, resamples=resamples)
    pair = (candidate, incumbent)
    gap = np.subtract(*(_areas(c, reference, drawn, span, score) for c in pair))
    budgets = reference.dearest_tokens()[:, None] * np.geomspace(*span, _AREA_GRID)
    settings = [mixture_at(c.points(), budgets).mean(axis=1, keepdims=True) for c in pair]
    signs = _signs(candidate, incumbent, *settings, level=level)[0]
    found = statistics.difference(gap, signs, questions=_smallest(candidate), level=level)
    return Acceptance(found.sign > 0, found)


def setting_difference(
    a: Curve,
    beta_a: float,
    b: Curve,
    beta_b: float,
    *,
    rng: np.random.Generator,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval:
    """The accuracy of one setting minus that of another, mean of the stores.

    Args:
        rng: consumed.
    """
    _check_pair(a, b)
    drawn = _drawn(a, rng=rng, resamples=resamples)
    one, other = (
        curve.points(drawn).accuracy[..., curve.betas == beta].mean(axis=(1, 2))
        for curve, beta in ((a, beta_a), (b, beta_b))
    )
    gap = one - other
    low, high = statistics.bounds(gap[1:], questions=_smallest(a), level=level)
    return Interval(float(gap[0]), float(low), float(high), level)


def best(
    curves: Sequence[Curve],
    *,
    rng: np.random.Generator,
    by: By = "area",
    reference: Curve | None = None,
    span: tuple[float, float] = AREA_RANGE,
    score: AreaScore = mean_of_stores,
    resamples: int = RESAMPLES,
) -> Pick:
    """The best of many curves (or of all their settings), less what choosing it adds by luck.

    Args:
        by: "area" ranks curves by frontier area; "accuracy", the paper's rule, ranks every beta of
            every curve by accuracy alone.
        reference: for the area; the first curve if not given.
        span, score: of the area, as in `area`.
    """
    if not curves:
        raise ValueError("the best of no curves: give at least one")
    reference = _reference(curves[0], reference)
    for other in curves:
        _check_pair(other, reference)
    drawn = _drawn(reference, rng=rng, resamples=resamples)
    names: list[tuple[str, float | None]]
    if by == "area":
        names = [(c.controller, None) for c in curves]
        scores = np.stack([_areas(c, reference, drawn, span, score) for c in curves], axis=1)
    else:
        names = [(c.controller, float(beta)) for c in curves for beta in c.betas]
        means = [c.points(drawn).accuracy.mean(axis=1) for c in curves]
        scores = np.concatenate(means, axis=1)
    found = statistics.best_of(scores[0], scores[1:], questions=_smallest(reference))
    return Pick(*names[found.index], found)


_COUNTS = ("better", "worse", "equal")


def _verdict(sign: int) -> str:
    return {1: "a better", -1: "b better", 0: "can't tell"}[sign]


def _rows(name: str, rows: Sequence[Difference]) -> dict[str, list[float] | list[int]]:
    fields = ("low", "high", "probability", *_COUNTS)
    columns = {field: [getattr(row, field) for row in rows] for field in fields}
    return {name: [row.estimate for row in rows], **columns}


def _columns(
    name: str, replicates: FloatArray, curve: Curve, level: float
) -> dict[str, FloatArray]:
    questions = _smallest(curve)
    low, high = statistics.bounds(replicates[1:], questions=questions, level=level)
    if name == "accuracy":
        # Where all is right, or all wrong, every resample is the same: see `accuracy_interval`.
        slack = statistics.slack_of_certainty(questions, level=level) if questions > 1 else 1.0
        certain, hopeless = (np.isclose(replicates, share).all(axis=0) for share in (1.0, 0.0))
        low = np.where(certain, 1 - slack, np.maximum(low, 0.0))
        high = np.where(hopeless, slack, np.minimum(high, 1.0))
    return {name: replicates[0], f"{name}_low": low, f"{name}_high": high}


def _smallest(curve: Curve) -> int:
    """Questions in the smallest dataset, whose resampling is the least sure."""
    return min(curve.design(dataset).units for dataset in curve.questions)


def _reference(curve: Curve, reference: Curve | None) -> Curve:
    if reference is None:
        return curve
    _check_pair(curve, reference)
    return reference


def _check_pair(a: Curve, b: Curve) -> None:
    if a.stores != b.stores:
        only = sorted(set(a.stores) ^ set(b.stores))
        raise ValueError(
            f"{a.controller} and {b.controller} were run on different stores, {only} on one of "
            "them only; compare them on the stores that both have"
        )
    for dataset, ids in a.questions.items():
        if not np.array_equal(ids, b.questions[dataset]):
            raise ValueError(
                f"{a.controller} and {b.controller} were run on different questions of {dataset}; "
                "a paired comparison needs the same ones"
            )


def _drawn(curve: Curve, *, rng: np.random.Generator, resamples: int) -> Mapping[str, Resamples]:
    """Per dataset; the datasets are resampled apart, the models of one together."""
    return {
        dataset: statistics.question_resamples(curve.design(dataset), rng=rng, resamples=resamples)
        for dataset in sorted(curve.questions)
    }


def _paired_draw(
    a: Curve, b: Curve, reference: Curve, *, rng: np.random.Generator, resamples: int
) -> Mapping[str, Resamples]:
    _check_pair(a, b)
    _check_pair(a, reference)
    return _drawn(a, rng=rng, resamples=resamples)


def _areas(
    curve: Curve,
    reference: Curve,
    drawn: Mapping[str, Resamples],
    span: tuple[float, float],
    score: AreaScore,
) -> FloatArray:
    """What a curve is judged by in each resample: `[R]`."""
    budget = reference.dearest_tokens(drawn)
    low, high = (share * budget for share in span)
    return score(curve, lambda one: frontier_area(one.points(drawn), low, high))


def _signs(
    a: Curve,
    b: Curve,
    settings_a: FloatArray,
    settings_b: FloatArray,
    *,
    level: float,
    spent: bool = False,
) -> NDArray[np.int64]:
    """Which of two mixtures of settings each question prefers, over all models that answered it.

    Args:
        settings_a, settings_b: `[S, G, B]` weights of the settings, as `mixture_at` gives them.
        spent: compare tokens rather than accuracy.

    Returns:
        `[G, questions of all datasets]`.
    """
    found = []
    for dataset in sorted(a.questions):
        sides = []
        places = [k for k, store in enumerate(a.stores) if store[1] == dataset]
        for k in places:
            pair = (
                np.tensordot(settings[k], (c.tokens if spent else c.correct)[a.stores[k]], axes=1)
                for c, settings in ((a, settings_a), (b, settings_b))
            )
            sides.append(statistics.question_differences(*pair))
        gap = np.mean([side[0] for side in sides], axis=0)
        variance = np.sum([side[1] for side in sides], axis=0) / len(places) ** 2
        found.append(statistics.signs(gap, variance, level=level))
    return np.concatenate(found, axis=-1)
