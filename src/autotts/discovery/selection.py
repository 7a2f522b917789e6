"""Selection: which program leads, and by how much of it may be chance.

The best is named always: under "area" the largest frontier area, under "accuracy" (the paper's
rule) the program with the most accurate single beta.

A program is *accepted* when it is ahead of what was accepted before in a large enough share of
bootstrap resamples of the questions, both resampled together. Climbing and reporting ask for
different shares. 30 questions leave a standard error of some 0.7 points in the difference of two
frontier areas; asking for 95 % (two-sided) then lets one in eight steps of +0.6 points through, and
the climb stalls, while a step too many costs little: the next program is held against an equal of
the last one. 80 % lets half of such steps through, and one in five that are worth nothing. What is
said of a lead, here and on the held-out stores, has its 95 % interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autotts.discovery.explorer import Trial
from autotts.discovery.sweeps import Reference
from autotts.evaluation.compare import clears_noise
from autotts.evaluation.frontiers import Curve
from autotts.evaluation.statistics import in_percent

By = Literal["area", "accuracy"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a program is held against: its name among others', and its curve."""

    name: str
    curve: Curve


@dataclass(frozen=True, slots=True)
class Choice:
    """The best of the candidates.

    beta: the most accurate one, for the paper's rule.
    score: area or accuracy, in percent.
    """

    name: str
    beta: float
    score: float


@dataclass(frozen=True, slots=True)
class Lead:
    """How far a candidate's frontier area is above another's, in points of accuracy.

    low, high: at 95 %.
    probability: share of resamples of the questions in which it is above.
    """

    other: str
    difference: float
    low: float
    high: float
    probability: float

    @property
    def words(self) -> str:
        return (
            f"area {self.difference:+.2f} points against {self.other} (95 %: {self.low:+.2f} to"
            f" {self.high:+.2f}; ahead in {int(100 * self.probability)}% of resamples)"
        )

    @property
    def beyond_chance(self) -> bool:
        return self.low > 0


def choose(trials: Sequence[Trial], by: By) -> Choice | None:
    """The best of trials that have a sweep, the earliest among equals; None if there is none."""
    best: Choice | None = None
    for trial in trials:
        top = max(trial.points, key=lambda point: point.accuracy)
        score = trial.score(by)
        if score is not None and (best is None or score > best.score):
            best = Choice(trial.name, top.beta, score)
    return best


def lead(curve: Curve, other: Candidate, reference: Reference, *, seed: int) -> Lead:
    """How far the frontier area of a curve is above another's."""
    found = clears_noise(
        curve,
        other.curve,
        rng=np.random.default_rng(seed),
        reference=reference.curve,
        span=reference.span,
        score=reference.score,
    ).difference
    points = in_percent(found)
    return Lead(other.name, points.estimate, points.low, points.high, points.probability)
