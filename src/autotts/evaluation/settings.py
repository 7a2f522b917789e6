"""What results depend on, and how they are computed: the experiment and its execution."""

import difflib
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from typing import ParamSpec, TypeVar

import numpy as np

from autotts.control import MOST_COST
from autotts.errors import SpecError
from autotts.evaluation.design import design_of
from autotts.replay.draws import Deal
from autotts.replay.task import Rules, Task, all_pairs
from autotts.sandbox.allowance import SAMPLE
from autotts.stores import Store

P = ParamSpec("P")
R = TypeVar("R")


_LATER: Mapping[str, object] = {"cost_budget": None, "cluster": None}
"""Fields of `Experiment` that came after sweeps were first kept, with their defaults."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """All that a result depends on beside program and store. Cache keys hold the whole of it.

    draws: `reference:N`, `subsets:N` or `recorded`.
    budget: tokens an episode may spend; None for no limit.
    probe_tokens: tokens that a probe costs.
    max_branches: most branches an episode may open.
    failed: "vote" or "abstain": how an unreadable answer is treated.
    seed: of `subsets` draws and of the bootstrap.
    cost_budget: what an episode may cost, tokens times the price of their model as the store's
        manifest has it; with one model, tokens. None for no limit.
    cluster: the grouping of the stores, such as their topic, whose groups of questions intervals
        resample whole; None to resample questions one by one.
    """

    draws: str = "reference:100"
    budget: int | None = None
    probe_tokens: int = 0
    max_branches: int = 64
    failed: str = "vote"
    seed: int = 0
    cost_budget: float | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        if self.failed not in ("vote", "abstain"):
            raise SpecError(f"failed {self.failed!r}: need vote or abstain")
        if self.max_branches < 1:
            raise SpecError(f"max branches {self.max_branches}: need at least 1")
        if self.probe_tokens < 0:
            raise SpecError(f"probe tokens {self.probe_tokens}: need 0 or more")
        if self.budget is not None and self.budget < 1:
            raise SpecError(f"budget {self.budget}: need at least 1 token")
        if self.cost_budget is not None and not 0 < self.cost_budget < math.inf:
            raise SpecError(f"cost budget {self.cost_budget}: need more than 0")

    def fresh(self) -> "Experiment":
        """The same on as many other draws."""
        count = self.draws.partition(":")[2] or "1"
        return replace(self, draws=f"subsets:{count}", seed=self.seed + 1)

    def task(self, store: Store, pairs: np.ndarray | None = None) -> Task:
        """The episodes on a store.

        Args:
            pairs: `[E, 2]` int64 (question, draw) of the episodes; all by default.

        Raises:
            SpecError: the draws are none, a budget does not pay for one interval, or the store
                has no grouping of that name.
        """
        design_of(store, self.cluster)  # before anything is played
        interval = store.pool.interval + self.probe_tokens
        if self.budget is not None and self.budget < interval:
            raise SpecError(
                f"budget {self.budget} is too small: one interval with its probe costs {interval}"
                f" tokens on {store.name}"
            )
        branches = store.pool.lengths.shape[1]
        several = bool(store.pool.models)
        # Of several models any may be asked for, so an order has all branches.
        ceiling = branches if several else min(self.max_branches, branches)
        deal = Deal(self.draws, ceiling, self.seed)
        orders = deal.orders(store.pool.n_branches)
        rules = Rules(
            budget=self.budget,
            cost_budget=self._cost_units(store, interval),
            max_branches=self.max_branches if several else None,
            probe_tokens=self.probe_tokens,
            abstain=self.failed == "abstain",
        )
        episodes = all_pairs(orders) if pairs is None else pairs
        return Task(store, orders, episodes, rules, deal, self.cluster)

    def _cost_units(self, store: Store, interval: int) -> int | None:
        """The cost budget in the store's cost units."""
        if self.cost_budget is None:
            return None
        units = int(Decimal(repr(self.cost_budget)).scaleb(store.manifest.cost_scale))
        least = interval * int(store.pool.prices.min())
        if units < least:
            raise SpecError(
                f"cost budget {self.cost_budget:g} is too small: one interval with its probe costs"
                f" {store.cost_of(least):g} on {store.name}, by its cheapest model"
            )
        if units >= MOST_COST:
            raise SpecError(f"cost budget {self.cost_budget:g} is more than can be counted")
        return units

    def tasks(self, stores: Sequence[Store]) -> list[Task]:
        """The episodes on each store."""
        return [self.task(store) for store in stores]

    def record(self) -> dict[str, str | int | float | None]:
        """All of it, for JSON."""
        return asdict(self)

    def key(self) -> dict[str, str | int | float | None]:
        """All of it, for keys of what is kept.

        A field that came later is left out while it has its default, under which results are what
        they were before: what earlier code kept is found.
        """
        return {
            name: value for name, value in self.record().items() if _LATER.get(name, ...) != value
        }


LOCAL = "local"
"""This machine alone, without Ray."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How programs are run. No figure depends on it, but how far it can be believed.

    jobs: how many parts of the work run at a time: threads in this process, or groups of sealed
        workers; as many as there are cores by default.
    timeout_seconds: wall clock that a program given by path may take for one store and beta; one
        that does not get on with an episode is stopped after seconds, more above 600.
    audit: episodes of a program given by path that are replayed blind; 0 for none.
    traces: whether to keep what every episode asked for; see `Ran.trace`.
    unsafe: run such a program even where no process can be sealed.
    on: where programs run: "local", "ray" or "ray://HOST:PORT"; see `distributed.OnRay`.
    stores_at: how the machines of a cluster get stores, see there.
    """

    jobs: int | None = None
    timeout_seconds: float = 600.0
    audit: int = SAMPLE
    traces: bool = False
    unsafe: bool = False
    on: str = LOCAL
    stores_at: str = ""

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise SpecError(f"jobs {self.jobs}: need at least 1")
        if not self.timeout_seconds > 0:
            raise SpecError(f"timeout {self.timeout_seconds}: need more than 0 seconds")
        if self.audit < 0:
            raise SpecError(f"audit {self.audit}: need 0 or more episodes")


def explaining(function: Callable[P, R]) -> Callable[P, R]:
    """Say, of a setting given to a function by itself, where it belongs."""
    taken = inspect.signature(function).parameters

    @functools.wraps(function)
    def call(*args: P.args, **given: P.kwargs) -> R:
        for name in given:
            if name not in taken:
                raise TypeError(_belongs(function.__name__, name, given[name], taken))
        return function(*args, **given)

    return call


def _belongs(function: str, name: str, value: object, taken: Iterable[str]) -> str:
    for kind in (Experiment, Execution):
        if name in {field.name for field in fields(kind)}:
            keyword = kind.__name__.lower()
            return (
                f"{function}() takes no {name}: give it {keyword}=autotts.{kind.__name__}"
                f"({name}={value!r})"
            )
    near = difflib.get_close_matches(name, taken, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(taken)}"
    return f"{function}() takes no {name}: {hint}"
