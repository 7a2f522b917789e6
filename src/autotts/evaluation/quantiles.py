"""Quantiles of the normal and of Student's distribution, for whole degrees of freedom.

SciPy has both. Importing it for them took longer than an evaluation.
"""

import functools
import math
from statistics import NormalDist

import numpy as np

_HALVINGS = 60

normal_quantile = NormalDist().inv_cdf
"""The value that a standard normal variable stays below with a probability."""


def normal_tail(value: float) -> float:
    """Probability that a standard normal variable stays below `value`, exact far below 0 too."""
    return math.erfc(-value / math.sqrt(2)) / 2


@functools.cache
def student_quantile(probability: float, degrees: int) -> float:
    """The value that Student's t stays below with a probability.

    For whole degrees the distribution is a finite sum of powers of a cosine (Abramowitz and Stegun
    1964, 26.7.3 and 26.7.4); its argument is found by halving.

    Args:
        probability: in (0, 1).
        degrees: of freedom, at least 1.
    """
    if not 0 < probability < 1 or degrees < 1:
        raise ValueError(f"no quantile for probability {probability} and {degrees} degrees")
    odd = degrees % 2
    k = np.arange(1, degrees // 2)
    ratios = 2 * k / (2 * k + 1) if odd else (2 * k - 1) / (2 * k)
    terms = np.concatenate([[1.0], np.cumprod(ratios)]) if degrees > 1 else np.zeros(1)
    powers = 2 * np.arange(len(terms)) + odd

    def inside(angle: float) -> float:
        """Probability that |t| is below sqrt(degrees) * tan(angle)."""
        series = math.sin(angle) * float(terms @ np.cos(angle) ** powers)
        return 2 / math.pi * (angle + series) if odd else series

    wanted = abs(2 * probability - 1)
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < wanted else (low, middle)
    return math.copysign(math.sqrt(degrees) * math.tan(low), probability - 0.5)
