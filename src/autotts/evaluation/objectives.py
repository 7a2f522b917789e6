"""What a controller spends, in the unit that matters: tokens, latency or cost."""

from typing import Literal

import numpy as np

from autotts.evaluation.compare import AREA_RANGE
from autotts.evaluation.frontiers import BUDGET_FRACTIONS
from autotts.evaluation.statistics import FloatArray
from autotts.replay.driver import Ran

Objective = Literal["tokens", "sequential", "cost"]
"""Tokens, tokens one after the other (the proxy of latency), or tokens times their price."""

_COLUMNS: dict[str, str] = {"tokens": "tokens", "sequential": "sequential_tokens"}

SPANS: dict[Objective, tuple[float, float]] = {
    "tokens": AREA_RANGE,
    "sequential": (0.3, 1.5),
    "cost": AREA_RANGE,
}
"""Shares of what SC@64 spends between which frontiers are compared. Its branches run side by side:
one branch alone takes about half its time, and who opens branches one by one takes more than it."""


SHOWN: dict[Objective, tuple[float, ...]] = {
    "tokens": BUDGET_FRACTIONS,
    "sequential": (0.3, 0.5, 0.75, 1.0, 1.5),
    "cost": BUDGET_FRACTIONS,
}
"""Shares at which accuracies are shown."""

UNITS: dict[Objective, str] = {
    "tokens": "tokens",
    "sequential": "sequential tokens",
    "cost": "cost",
}
"""What each counts, in words."""


def spent(ran: Ran, objective: Objective) -> FloatArray:
    """`[E]` what each episode spent; costs are in the unit of the store's prices."""
    if objective == "cost":
        return ran.cost
    return np.asarray(ran.episodes.column(_COLUMNS[objective]), np.float64)
