"""What a controller spends, in the unit that matters: tokens, latency or money."""

from typing import Literal

import numpy as np

from autotts.errors import SpecError
from autotts.evaluation.compare import AREA_RANGE
from autotts.evaluation.design import design_of
from autotts.evaluation.forecasting import dollars_of, seconds_of
from autotts.evaluation.frontiers import BUDGET_FRACTIONS
from autotts.evaluation.statistics import FloatArray
from autotts.inference.speed import ServerSpeed
from autotts.replay.driver import Ran

Objective = Literal["tokens", "sequential", "cost", "seconds", "usd"]
"""Tokens, tokens one after the other (the proxy of latency), tokens times their price in the store;
and, on a server that was measured, seconds and dollars."""

FORECAST: tuple[Objective, ...] = ("seconds", "usd")
"""Objectives that need a server model."""

TIMED: tuple[Objective, ...] = ("sequential", "seconds")
"""Objectives that count how long an episode takes."""

_PROBE_TOKENS = 10
"""That a probe decodes, where neither the store nor the rules say how many."""

_COLUMNS: dict[str, str] = {"tokens": "tokens", "sequential": "sequential_tokens"}

SPANS: dict[Objective, tuple[float, float]] = {
    "tokens": AREA_RANGE,
    "sequential": (0.3, 1.5),
    "cost": AREA_RANGE,
    "seconds": (0.3, 1.5),
    "usd": AREA_RANGE,
}
"""Shares of what SC@64 spends between which frontiers are compared. Its branches run side by side:
one branch alone takes about half its time, and who opens branches one by one takes more than it."""


SHOWN: dict[Objective, tuple[float, ...]] = {
    "tokens": BUDGET_FRACTIONS,
    "sequential": (0.3, 0.5, 0.75, 1.0, 1.5),
    "cost": BUDGET_FRACTIONS,
    "seconds": (0.3, 0.5, 0.75, 1.0, 1.5),
    "usd": BUDGET_FRACTIONS,
}
"""Shares at which accuracies are shown."""

UNITS: dict[Objective, str] = {
    "tokens": "tokens",
    "sequential": "sequential tokens",
    "cost": "cost",
    "seconds": "seconds",
    "usd": "dollars",
}
"""What each counts, in words."""


def spent(ran: Ran, objective: Objective, server: ServerSpeed | None = None) -> FloatArray:
    """`[E]` what each episode spent; costs are in the unit of the store's prices.

    Args:
        server: on which seconds and dollars are forecast; then the cell was run with its log.

    Raises:
        SpecError: the objective needs a server model, or one with prices.
    """
    if objective == "cost":
        return ran.cost
    if objective not in FORECAST:
        return np.asarray(ran.episodes.column(_COLUMNS[objective]), np.float64)
    require_server(objective, server)
    assert server is not None
    known = {"prompt_tokens": _prompt_tokens(ran, server), "probe_tokens": _probe_tokens(ran)}
    if objective == "seconds":
        return seconds_of(ran, server, **known)
    return dollars_of(ran, server.prices, **known)


def require_server(objective: Objective, server: ServerSpeed | None) -> None:
    """Raises SpecError if an objective needs a server model, or one with prices."""
    if objective not in FORECAST:
        return
    if server is None:
        raise SpecError(
            f"{objective} are forecast for a server that was measured: give --server-model FILE,"
            " which `autotts doctor --server URL --speed FILE` writes"
        )
    if objective == "usd" and not server.prices.decoded:
        raise SpecError(
            "the server model has no prices: `autotts doctor --speed FILE --price-written 2.5`"
            " writes them into it, dollars per million tokens"
        )


def _prompt_tokens(ran: Ran, server: ServerSpeed) -> float:
    """Tokens of a prompt, mean over the store's branches; of that of the server model where the
    store was not collected, and so has not counted them."""
    pool, sent = ran.store.pool, ran.store.used.get("prompt_tokens")
    if sent is None or "server_model" not in ran.store.manifest.sampling:
        return server.prompt_tokens
    # Each request sent the prompt and what was decoded before.
    requests = pool.lengths[pool.exists].astype(np.int64)
    before = pool.interval * requests * (requests - 1) // 2
    return float(max(1.0, ((sent[pool.exists] - before) / requests).mean()))


def _probe_tokens(ran: Ran) -> float:
    """Tokens that a probe decodes: as the rules have it, or as it was when the store was made."""
    pool = ran.store.pool
    if ran.task.rules.probe_tokens:
        return ran.task.rules.probe_tokens
    spent = ran.store.used.get("probe_tokens")
    probes = int((pool.lengths[pool.exists] - 1).sum())  # what a branch ends on is read in its text
    return float(spent.sum()) / probes if spent is not None and probes else _PROBE_TOKENS


def mean_of(ran: Ran, values: np.ndarray) -> float:
    """The mean of one value per episode `[E]`, questions counted as their store weighs them."""
    if ran.store.weights is None:
        return float(values.mean())
    return design_of(ran.store).mean(ran.task.by_question(values))


def forecast_means(ran: Ran, server: ServerSpeed | None) -> dict[str, float]:
    """Mean seconds and dollars of a question, for results; what is not known is left out."""
    if server is None:
        return {}
    known = FORECAST if server.prices.decoded else FORECAST[:1]
    return {name: mean_of(ran, spent(ran, name, server)) for name in known}
