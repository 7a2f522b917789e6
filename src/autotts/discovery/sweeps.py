"""Sweeps, and what they are told in: the figures of a program over all betas and stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from autotts.discovery.explorer import Record, SweepPoint
from autotts.evaluation.compare import AreaScore, mean_of_stores
from autotts.evaluation.families import FamilyJudgement
from autotts.evaluation.frontiers import Curve, accuracy_at_fractions, frontier_area
from autotts.evaluation.objectives import SHOWN, SPANS, Objective, mean_of
from autotts.evaluation.result import curves_of
from autotts.evaluation.statistics import FloatArray
from autotts.replay.driver import How, Ran
from autotts.stores import StoreKey


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """A program over all betas and stores.

    ran: what came out, by beta, then by store.
    curve: all of it, to compare with others; its tokens are what the run's objective counts.
    notes: how it ran, for the record.
    spends: `[E]` of each of `ran`, the tokens of the curve, where they are a forecast: that takes
        logs, which are not kept.
    """

    ran: Sequence[Ran]
    curve: Curve
    notes: Record
    spends: Sequence[np.ndarray] | None = None

    @classmethod
    def of(
        cls,
        ran: Sequence[Ran],
        seconds: float,
        objective: Objective = "tokens",
        spends: Sequence[np.ndarray] | None = None,
    ) -> "Sweep":
        """From what ran, and how long it took."""
        (curve,) = curves_of(ran, objective, spends=spends).values()
        return cls(ran, curve, {**ran[0].how.record(), "seconds": seconds}, spends)

    @property
    def how(self) -> How:
        return self.ran[0].how

    @property
    def by_tokens(self) -> Curve:
        """The curve over tokens, whatever the objective."""
        (curve,) = curves_of(self.ran).values()
        return curve

    @property
    def sequential(self) -> dict[StoreKey, np.ndarray]:
        """Per store, `[B]` mean sequential tokens."""
        return {
            store: np.array(
                [
                    mean_of(one, one.episodes.column("sequential_tokens"))
                    for one in self.ran
                    if one.store.key == store
                ]
            )
            for store in self.curve.stores
        }


class SweepFigures(NamedTuple):
    """What the record of a run says of a sweep.

    points: its means, by beta.
    area: of its frontier, in percent.
    fractions: accuracy in percent at the shares of SC@64's tokens that are shown.
    families: area in percent by family of models.
    """

    points: tuple[SweepPoint, ...]
    area: float
    fractions: dict[str, float]
    families: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class SampledEpisodes:
    """Some episodes of a program: per store, `[B, n]` whether each was right, and what it spent."""

    correct: tuple[FloatArray, ...]
    spent: tuple[FloatArray, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """SC@64 on the stores: what budgets are shares of.

    curve: of one beta, 1; its tokens are what the objective counts.
    whole_tokens: `[S]` its tokens per question, where the objective is another.
    judgement: makes one figure of the areas by store; their mean if not given.
    """

    curve: Curve
    objective: Objective = "tokens"
    whole_tokens: np.ndarray | None = None
    judgement: FamilyJudgement | None = None

    @property
    def tokens(self) -> np.ndarray:
        """`[S]` what it spends per question, as the objective counts."""
        return self.curve.dearest_tokens()

    @property
    def span(self) -> tuple[float, float]:
        """Shares of that between which frontiers are compared."""
        return SPANS[self.objective]

    @property
    def score(self) -> AreaScore:
        """What one figure is made by of the areas by store."""
        return mean_of_stores if self.judgement is None else self.judgement

    def store_areas(self, curve: Curve) -> FloatArray:
        """`[S]` mean accuracy in percent of a curve's frontier over the budgets that count."""
        low, high = (share * self.tokens for share in self.span)
        return 100 * frontier_area(curve.points(), low, high)

    def area(self, curve: Curve) -> float:
        """What a curve is judged by, in percent: by default the mean of its areas by store."""
        return float(self.score(curve, self.store_areas))

    def by_family(self, curve: Curve) -> dict[str, float]:
        """Area in percent by family of models."""
        if self.judgement is None:
            return {}
        return self.judgement.by_family(curve, self.store_areas(curve))

    def figures(self, sweep: Sweep) -> SweepFigures:
        """All that is told of a sweep in figures."""
        curve, shown = sweep.curve, SHOWN[self.objective]
        accuracy = 100 * accuracy_at_fractions(curve.points(), self.tokens, shown)
        fractions = {f"{share:g}": float(a) for share, a in zip(shown, accuracy, strict=True)}
        return SweepFigures(self.points(sweep), self.area(curve), fractions, self.by_family(curve))

    def points(self, sweep: Sweep) -> tuple[SweepPoint, ...]:
        """The means of a sweep, by beta."""
        curve = sweep.by_tokens if self.objective != "tokens" else sweep.curve
        means = curve.points()
        whole = self.tokens if self.whole_tokens is None else self.whole_tokens
        accuracy = 100 * means.accuracy
        sequential = np.mean([sweep.sequential[key] for key in curve.stores], axis=0)
        shares = means.tokens / whole[:, None]
        return tuple(
            SweepPoint(
                beta=float(beta),
                accuracy=float(accuracy[:, b].mean()),
                tokens=float(means.tokens[:, b].mean()),
                sequential_tokens=float(sequential[b]),
                fraction=float(shares[:, b].mean()),
                stores={
                    "/".join(store): (float(accuracy[s, b]), float(means.tokens[s, b]))
                    for s, store in enumerate(curve.stores)
                },
            )
            for b, beta in enumerate(curve.betas)
        )
