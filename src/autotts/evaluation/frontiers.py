"""Curves of accuracy against tokens, and the frontiers that nothing on them beats.

**Accuracy as a function of tokens.** For a budget t it is the best accuracy measured at t tokens or
fewer; between two settings it is a straight line in log tokens. That is an estimate of what the
knob would do in between, and a good one: from 3 of CMC's 11 betas on the AIME24 stores it gives the
accuracies of all 11 at 0.1 to 0.6 of SC@64's tokens to within 0.25 points. Randomising between two
settings would surely reach the chord in tokens, but that is a poor estimate (up to 1.1 points
below), and the concave hull of a noisy curve takes the best of all pairs of settings (up to 0.2
points above what is measured at the same place): luck that the running best takes far less of.
The running best takes some: with one draw of its own per setting and question it was 2.3 points too
high on simulated curves, 1.1 with two, nothing to be seen with eight; and nothing where, as in
replay, a draw is the same branches at every beta.

**Below the cheapest setting** there is no other setting to go to, and a coin is the honest way: use
the cheapest setting for a share of the questions and answer nothing, for nothing, otherwise.
Accuracy is then a straight line in tokens down to (0, 0). So a curve that starts later falls off
steadily instead of dropping to nothing, and a frontier area neither jumps when a sweep's first
point moves across the lower limit nor rewards leaving cheap settings out. **Past the dearest
setting** accuracy stays at the best: nobody has to spend what a budget allows.

Accuracies are shares in [0, 1]. Leading axes of `Points` (resamples, stores) are carried along, so
a whole bootstrap of a frontier is one call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autotts.errors import StoreError
from autotts.evaluation.design import Design
from autotts.evaluation.statistics import FloatArray, Resamples, Values
from autotts.stores import StoreKey

BUDGET_FRACTIONS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Shares of SC@64's tokens at which frontiers are compared."""

_BISECTIONS = 24  # of a range of log tokens some 3 wide: to one token in five million


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Mean tokens and accuracy of a controller's settings.

    tokens: `[..., B]` tokens per question.
    accuracy: `[..., B]` share of right answers.
    """

    tokens: FloatArray
    accuracy: FloatArray

    def __post_init__(self) -> None:
        if self.tokens.shape != self.accuracy.shape or not self.tokens.ndim or not self.tokens.size:
            raise ValueError(
                f"points need tokens and accuracy of one shape with at least one setting, "
                f"got {self.tokens.shape} and {self.accuracy.shape}"
            )


@dataclass(frozen=True, slots=True)
class Spacing:
    """How evenly a sweep covers log tokens.

    steps: factor in tokens from each setting to the next dearer one.
    widest: the largest of them; `widest_after` is the index, in order of tokens, of its lower end.
    evenness: effective number of steps over their number: 1 when all factors are equal, near
        1 / (B - 1) when one step covers everything.
    """

    steps: tuple[float, ...]
    widest: float
    widest_after: int
    evenness: float


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Every episode of one controller's sweep over beta.

    betas: `[B]` ascending.
    questions: per dataset, `[Q]` ids; the models of a dataset share them.
    correct: per store, bool `[B, Q, D]`.
    tokens: per store, `[B, Q, D]`.
    designs: per dataset, how its questions count; all the same where it is not named.
    rows: per store, `[Q]` the numbers that its questions have in the store, which may have them in
        an order of its own; 0 to Q-1 where it is not named.
    """

    controller: str
    betas: FloatArray
    questions: Mapping[str, NDArray[np.int64]]
    correct: Mapping[StoreKey, Values]
    tokens: Mapping[StoreKey, Values]
    designs: Mapping[str, Design] = field(default_factory=dict)
    rows: Mapping[StoreKey, NDArray[np.int64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.correct or self.correct.keys() != self.tokens.keys():
            raise ValueError(
                f"{self.controller}: needs correct and tokens of the same stores, "
                f"got {sorted(self.correct)} and {sorted(self.tokens)}"
            )
        if not len(self.betas) or (np.diff(self.betas) <= 0).any():
            raise ValueError(f"{self.controller}: betas must ascend, got {self.betas.tolist()}")
        for (model, dataset), correct in self.correct.items():
            shape, tokens = correct.shape, self.tokens[model, dataset].shape
            wanted = (len(self.betas), len(self.questions.get(dataset, ())))
            if len(shape) != 3 or shape[:2] != wanted or shape != tokens or not correct.size:
                raise ValueError(
                    f"{self.controller} on {model}/{dataset}: {wanted[0]} betas and {wanted[1]} "
                    f"questions, but correct has shape {shape} and tokens {tokens}"
                )

    def design(self, dataset: str) -> Design:
        """How the questions of a dataset count."""
        return self.designs.get(dataset) or Design(len(self.questions[dataset]))

    @property
    def stores(self) -> tuple[StoreKey, ...]:
        return tuple(sorted(self.correct))

    def points(self, drawn: Mapping[str, Resamples] | None = None) -> Points:
        """Means per store and beta.

        Args:
            drawn: per dataset, R resamples of its questions.

        Returns:
            Points `[S, B]`, or `[1 + R, S, B]` of the sample and its resamples, stores in the order
            of `stores`.
        """
        return Points(self._means(self.tokens, drawn), self._means(self.correct, drawn))

    def dearest_tokens(self, drawn: Mapping[str, Resamples] | None = None) -> FloatArray:
        """Tokens per question of the setting that spends most.

        Args:
            drawn: as in `points`.

        Returns:
            `[S]`, or `[1 + R, S]`.
        """
        tokens = self.points().tokens.mean(axis=0)
        dearest: FloatArray = self._means(self.tokens, drawn)[..., int(np.argmax(tokens))]
        return dearest

    def _means(
        self, values: Mapping[StoreKey, Values], drawn: Mapping[str, Resamples] | None
    ) -> FloatArray:
        means = []
        for model, dataset in self.stores:
            per_question = values[model, dataset].mean(axis=2)
            if drawn is not None:
                means.append(drawn[dataset].means(per_question))
            elif self.design(dataset).weights is None:
                means.append(per_question.mean(axis=1))
            else:
                means.append(per_question @ self.design(dataset).shares)
        return np.stack(means, axis=-2)


def curve(
    controller: str,
    cells: Mapping[tuple[StoreKey, float], tuple[Values, Values]],
    *,
    questions: Mapping[str, NDArray[np.int64]] | None = None,
    designs: Mapping[str, Design] | None = None,
    rows: Mapping[StoreKey, NDArray[np.int64]] | None = None,
) -> Curve:
    """A curve from arrays.

    Args:
        cells: per store and beta, `(correct, tokens)`, each `[Q, D]`.
        questions: per dataset, `[Q]` ids; 0 to Q-1 if not given.
        designs, rows: as in `Curve`.

    Raises:
        StoreError: models of one dataset have other questions.
    """
    stores = sorted({store for store, _ in cells})
    betas = sorted({beta for _, beta in cells})
    missing = [(s, b) for s in stores for b in betas if (s, b) not in cells]
    if missing or not cells:
        raise ValueError(f"{controller}: every store needs every beta; missing {missing or 'all'}")
    correct = {s: np.stack([cells[s, b][0] for b in betas]) for s in stores}
    tokens = {s: np.stack([cells[s, b][1] for b in betas]) for s in stores}
    if questions is None:
        questions = _numbered(controller, correct)
    swept = np.array(betas, np.float64)
    return Curve(controller, swept, questions, correct, tokens, designs or {}, rows or {})


def frontier(points: Points) -> NDArray[np.bool_]:
    """Which settings nothing beats: no other is at least as accurate for as few tokens.

    Of settings equal in both, the first counts.

    Returns:
        bool `[..., B]`.
    """
    order = np.lexsort((-points.accuracy, points.tokens), axis=-1)
    accuracy = np.take_along_axis(points.accuracy, order, axis=-1)
    before = np.maximum.accumulate(accuracy, axis=-1)[..., :-1]
    first = np.full((*accuracy.shape[:-1], 1), -np.inf)
    kept = accuracy > np.concatenate([first, before], axis=-1)
    mask = np.empty_like(kept)
    np.put_along_axis(mask, order, kept, axis=-1)
    return mask


def accuracy_at(points: Points, budgets: ArrayLike) -> FloatArray:
    """Accuracy of the frontier at these budgets (see the head of this module).

    Args:
        points: `[..., B]`.
        budgets: `[G]` or `[..., G]` tokens per question.

    Returns:
        `[..., G]`.
    """
    return _Frontier(points).at(_log(np.asarray(budgets, np.float64)))


def accuracy_at_fractions(
    points: Points, reference_tokens: ArrayLike, fractions: ArrayLike = BUDGET_FRACTIONS
) -> FloatArray:
    """Accuracy at shares of a reference's tokens, each store at its own budget, then their mean.

    Args:
        points: `[..., S, B]`.
        reference_tokens: `[S]` or `[..., S]` tokens per question, such as SC@64's on each store.
        fractions: `[G]`.

    Returns:
        `[..., G]`.
    """
    reference = np.asarray(reference_tokens, np.float64)
    budgets = reference[..., None] * np.asarray(fractions, np.float64)
    means: FloatArray = accuracy_at(points, budgets).mean(axis=-2)
    return means


def mixture_at(points: Points, budgets: ArrayLike) -> FloatArray:
    """How `accuracy_at` mixes the settings: its value is the sum of weights times accuracies.

    Args:
        points: `[..., B]`.
        budgets: `[G]` or `[..., G]` tokens per question.

    Returns:
        `[..., G, B]`; a row adds up to 1, or to less below the cheapest setting.
    """
    return _Frontier(points).mixture(_log(np.asarray(budgets, np.float64)))


def frontier_area(points: Points, low: ArrayLike, high: ArrayLike) -> FloatArray:
    """Mean accuracy of the frontier over log tokens from `low` to `high`.

    Exact: the frontier is a line in tokens below the cheapest setting and straight pieces in log
    tokens above it.

    Args:
        points: `[..., B]`.
        low, high: tokens per question, numbers or `[...]`.

    Returns:
        `[...]`.
    """
    shape = points.tokens.shape[:-1]
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if not ((low > 0) & (low < high)).all():
        raise ValueError(f"an area needs 0 < low < high, got low {low} and high {high}")
    start = np.broadcast_to(np.log(low), shape)
    end = np.broadcast_to(np.log(high), shape)
    line = _Frontier(points)
    cheapest = line.logs[..., 0]
    reached = np.clip(cheapest, start, end)
    below = line.best[..., 0] * (np.exp(reached - cheapest) - np.exp(start - cheapest))
    x = np.clip(line.logs, reached[..., None], end[..., None])
    x = np.concatenate([x, end[..., None]], axis=-1)
    y = line.at(x)
    above = ((y[..., 1:] + y[..., :-1]) / 2 * np.diff(x, axis=-1)).sum(axis=-1)
    area: FloatArray = (below + above) / (end - start)
    return area


def tokens_to_reach(points: Points, accuracy: ArrayLike, reference_tokens: ArrayLike) -> FloatArray:
    """The smallest share of the reference at which the stores' mean accuracy reaches a target.

    Args:
        points: `[..., S, B]`.
        accuracy: `[G]` or `[..., G]` targets.
        reference_tokens: `[S]` or `[..., S]`; ones, to have the answer in tokens.

    Returns:
        `[..., G]`; infinite where the target is never reached, 0 where it asks for nothing.
    """
    line = _Frontier(points)
    shape = points.tokens.shape[:-2]
    # A target that is itself a measured accuracy is reached, whatever the rounding.
    targets = np.asarray(accuracy, np.float64) - 1e-12
    targets = np.broadcast_to(targets, (*shape, targets.shape[-1]))
    reference = _log(np.broadcast_to(reference_tokens, points.tokens.shape[:-1]))

    def mean(shares: FloatArray) -> FloatArray:
        values: FloatArray = line.at(shares[..., None, :] + reference[..., :, None]).mean(axis=-2)
        return values

    # Below the cheapest setting of all, the mean is a line in tokens through (0, 0).
    cheapest = (line.logs[..., 0] - reference).min(axis=-1)[..., None]
    at_cheapest = mean(cheapest)
    # Above it the stores' bends have no common inverse to write down.
    low = np.broadcast_to(cheapest, targets.shape)
    high = np.broadcast_to((line.logs[..., -1] - reference).max(axis=-1)[..., None], targets.shape)
    reached = mean(high) >= targets
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        enough = mean(middle) >= targets
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        linear = np.exp(cheapest) * np.maximum(targets, 0.0) / at_cheapest
    shares = np.where(targets <= at_cheapest, linear, np.exp(high))
    return np.where(reached, np.where(targets <= 0, 0.0, shares), np.inf)


def spacing(tokens: FloatArray) -> Spacing:
    """How evenly a sweep covers log tokens.

    Args:
        tokens: `[B]` tokens per question of each setting.
    """
    if tokens.ndim != 1 or len(tokens) < 2:
        raise ValueError(f"spacing needs the tokens of two settings or more, got {tokens.shape}")
    gaps = np.diff(np.sort(_log(np.maximum(tokens, 1.0))))
    steps = np.exp(gaps)
    widest = int(np.argmax(gaps))
    total = gaps.sum()
    evenness = float(total**2 / (len(gaps) * (gaps**2).sum())) if total > 0 else 0.0
    return Spacing(tuple(steps.tolist()), float(steps[widest]), widest, evenness)


def isotonic_violation(tokens: FloatArray) -> FloatArray:
    """The largest fall of tokens from one beta to a larger one, as a share of the former.

    Args:
        tokens: `[..., B]` by ascending beta.

    Returns:
        `[...]` in [0, 1]; 0 where tokens never fall.
    """
    highest = np.maximum(np.maximum.accumulate(tokens, axis=-1), 1e-300)
    violation: FloatArray = (1 - tokens / highest).max(axis=-1)
    return violation


class _Frontier:
    """The settings of `Points` in order of tokens, with the best accuracy so far.

    order: `[..., B]` the settings in that order.
    logs, best: `[..., B]` log tokens, and the best accuracy at so many or fewer.
    widths, slopes: `[..., B - 1]` of the straight pieces between the settings.
    """

    def __init__(self, points: Points) -> None:
        # A setting that spends nothing has no log. One token is as good as none, and so is the
        # millionth part of the dearest, where seconds or dollars are counted.
        dearest = points.tokens.max(axis=-1, keepdims=True)
        least = np.clip(1e-6 * dearest, np.finfo(np.float64).tiny, 1.0)
        logs = np.log(np.maximum(points.tokens, least))
        self.order = np.lexsort((-points.accuracy, logs), axis=-1)
        self.logs: FloatArray = np.take_along_axis(logs, self.order, axis=-1)
        accuracy = np.take_along_axis(points.accuracy, self.order, axis=-1)
        self.best: FloatArray = np.maximum.accumulate(accuracy, axis=-1)
        self.widths = np.diff(self.logs, axis=-1)
        rises = np.diff(self.best, axis=-1)
        steps = self.widths > 0
        self.slopes = np.divide(rises, self.widths, out=np.zeros(steps.shape), where=steps)

    def at(self, x: FloatArray) -> FloatArray:
        """Accuracy at log tokens x: `[..., G]` to `[..., G]`.

        Summed ramp by ramp: the bootstrap asks for thousands of curves of a dozen settings, and
        looking up each place among them takes several times as long.
        """
        values: FloatArray = self.best[..., :1] * np.exp(np.minimum(x - self.logs[..., :1], 0.0))
        for b in range(self.widths.shape[-1]):
            here = np.s_[..., b : b + 1]
            values += self.slopes[here] * np.clip(x - self.logs[here], 0.0, self.widths[here])
        return values

    def mixture(self, x: FloatArray) -> FloatArray:
        """Weights of the settings at log tokens x: `[..., G]` to `[..., G, B]`."""
        x = np.broadcast_to(x, (*self.logs.shape[:-1], x.shape[-1]))
        last = self.logs.shape[-1] - 1
        passed = (self.logs[..., None, :] <= x[..., :, None]).sum(axis=-1)
        left, right = np.maximum(passed - 1, 0), np.minimum(passed, last)
        start = np.take_along_axis(self.logs, left, axis=-1)
        width = np.take_along_axis(self.logs, right, axis=-1) - start
        share = np.divide(x - start, width, out=np.zeros(x.shape), where=width > 0)
        scale = np.exp(np.minimum(x - self.logs[..., :1], 0.0))
        # Where the best so far was measured, in the order of the points as they were given.
        fresh = np.diff(self.best, axis=-1, prepend=-np.inf) > 0
        holder = np.maximum.accumulate(np.where(fresh, np.arange(fresh.shape[-1]), 0), axis=-1)
        holder = np.take_along_axis(self.order, holder, axis=-1)
        settings = np.arange(fresh.shape[-1])
        low = np.take_along_axis(holder, left, axis=-1)[..., None] == settings
        high = np.take_along_axis(holder, right, axis=-1)[..., None] == settings
        weights: FloatArray = (scale * (1 - share))[..., None] * low
        weights += (scale * share)[..., None] * high
        return weights


def _log(values: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        logs: FloatArray = np.log(values)
    return logs


def _numbered(controller: str, correct: Mapping[StoreKey, Values]) -> dict[str, NDArray[np.int64]]:
    """Per dataset, 0 to Q-1.

    Args:
        correct: per store, `[B, Q, D]`.
    """
    questions: dict[str, NDArray[np.int64]] = {}
    for (model, dataset), values in correct.items():
        count = values.shape[1]
        known = len(questions.setdefault(dataset, np.arange(count)))
        if known != count:
            raise StoreError(
                f"{controller}: {model}/{dataset} has {count} questions and another model's"
                f" {dataset} {known}; models of one dataset must share theirs"
            )
    return questions
