"""Bounds of accuracies near 0 or 1, where a handful of questions have all that is rare.

On thirty questions that are right 95 % of the time, two or three may have all the wrong answers.
How many more such questions there are is hardly seen by drawing those few again: of 15 and 30
questions with 30 draws, bootstrap bounds cover 85 to 91 % at 95 % and at 10 %, and the truth is on
the rare side of them. So that bound is moved out to that of a Student interval of the log-odds,
which grow the faster the nearer they come to 0 and 1: both cover 91 to 98 %. Nothing moves where
five questions or more have what is rarer, right answers or wrong ones.
`benchmarks/interval_coverage.py` prints it.
"""

import math

import numpy as np
from numpy.typing import NDArray

from autotts.evaluation.design import Design, worth
from autotts.evaluation.quantiles import student_quantile

FEW = 5
"""Questions with what is rare, below which bounds are moved out."""


def moved_out(
    low: float, high: float, accuracies: NDArray[np.float64], *, design: Design, level: float
) -> tuple[float, float]:
    """Bounds of a mean accuracy, moved out where few questions have the wrong, or right, answers.

    Args:
        low, high: bounds by resampling.
        accuracies: `[Q]` the share of draws that are right.
        level: coverage, in (0, 1).
    """
    units, mean = design.units, float(design.shares @ accuracies)
    if units < 2 or not 0 < mean < 1:
        return low, high
    residuals = design.by_unit(accuracies - mean)
    error = math.sqrt(float(residuals @ residuals) * units / (units - 1))
    odds = math.log(mean / (1 - mean))
    reach = student_quantile((1 + level) / 2, units - 1) * error / (mean * (1 - mean))
    if worth(design.by_unit(1 - accuracies)) < FEW:
        low = min(low, _share(odds - reach))
    if worth(design.by_unit(accuracies)) < FEW:
        high = max(high, _share(odds + reach))
    return low, high


def _share(log_odds: float) -> float:
    """Of log-odds however large: `exp` would overflow for two questions at a level near 1."""
    return (1 + math.tanh(log_odds / 2)) / 2
