"""Selection: which program leads, and whether it leads by more than chance.

30 questions are few, so a lead is reported with its interval, and a program is *accepted* only when
the paired bootstrap over questions puts it above what was accepted before. The best is named
always, accepted or not: under "area" the largest frontier area, under "accuracy" (the paper's rule)
the program with the most accurate single beta.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autotts.discover.scoring import Reference
from autotts.evaluate.compare import clears_noise
from autotts.evaluate.frontiers import Curve

By = Literal["area", "accuracy"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A program that may be selected: its trial's name and its curve."""

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
class Verdict:
    """Whether a candidate clears its own noise against what was accepted before.

    difference, low, high: of frontier areas, in points of accuracy, at 95 %.
    """

    accepted: bool
    difference: float
    low: float
    high: float
    words: str


def choose(candidates: Sequence[Candidate], reference: Reference, by: By) -> Choice | None:
    """The best of the candidates, the earliest among equals; None if there is none."""
    best: Choice | None = None
    for candidate in candidates:
        accuracy = 100 * candidate.curve.points().accuracy.mean(axis=0)
        at = int(np.argmax(accuracy))
        score = reference.area(candidate.curve) if by == "area" else float(accuracy[at])
        if best is None or score > best.score:
            best = Choice(candidate.name, float(candidate.curve.betas[at]), score)
    return best


def judge(
    candidate: Candidate, incumbent: Candidate, reference: Reference, *, seed: int
) -> Verdict:
    """Whether a candidate's frontier area is above the incumbent's by more than chance."""
    found = clears_noise(
        candidate.curve,
        incumbent.curve,
        rng=np.random.default_rng(seed),
        reference=reference.curve,
    )
    difference = found.difference
    estimate, low, high = (
        100 * float(x) for x in (difference.estimate, difference.low, difference.high)
    )
    verdict = "accepted" if found.accepted else "not beyond chance"
    words = (
        f"area {estimate:+.2f} points against {incumbent.name} (95 %: {low:+.2f} to {high:+.2f}):"
        f" {verdict}"
    )
    return Verdict(found.accepted, estimate, low, high, words)
