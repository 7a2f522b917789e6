"""Episodes: what came out of them, what they asked for, and the memory they are played in."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from autotts.control import Log
from autotts.engine import compiled
from autotts.engine.memory import Memory
from autotts.engine.pool import PoolHeader
from autotts.replay.task import Task


@dataclass(frozen=True, slots=True)
class Episodes:
    """What came out of the episodes of a task.

    results: `[E, len(compiled.RESULTS)]` int64.
    log: what they asked for, if it was kept.
    """

    results: np.ndarray
    log: Log | None = None

    def column(self, name: str) -> np.ndarray:
        """`[E]` one of `compiled.RESULTS`."""
        return self.results[:, compiled.RESULTS.index(name)]


def memory_rules(task: Task) -> dict[str, Any]:
    """What `Memory` takes of what holds in every episode of a task: billing, prices and budgets."""
    pool, rules = task.pool, task.rules
    return {
        "interval": pool.interval,
        "billing": pool.billing,
        "budget": rules.budget,
        "cost_budget": rules.cost_budget,
        "prices": pool.prices.tolist(),
        # Where nothing can be probed, nothing is charged for it.
        "probe_tokens": 0 if pool.probes is None else rules.probe_tokens,
        "wide": rules.cost_budget >= 0
        or pool.probes is None
        or pool.ends is not None
        or bool(pool.models)
        or bool(pool.signals),
        "signals": list(pool.signals),
        "most_answers": pool.shown,
    }


def make_memory(task: Task, log_words: int = 0) -> Memory:
    """Memory for the episodes of a task, one after the other."""
    return Memory(
        ceiling=task.ceiling,
        intervals=task.pool.depth,
        n_codes=int(task.pool.n_codes.max()),
        log_words=log_words,
        **memory_rules(task),
    )


def failed_codes(task: Task) -> np.ndarray:
    """`[Q]` int64: the code that counts as no answer, -1 where there is none."""
    failed = task.pool.failed
    if task.rules.abstain:
        return failed.astype(np.int64)
    return np.full(len(failed), -1, np.int64)


def pool_columns(task: Task) -> dict[str, np.ndarray]:
    """What `PoolHeader` takes: the pool in the task's orders, with what its rules make of it."""
    pool = task.pool
    columns = {
        "orders": task.orders,
        "probes": pool.probes,
        "ends": pool.ends,
        "lengths": pool.lengths,
        "totals": pool.tokens,
        "finals": pool.finals,
        "failed": failed_codes(task),
        "ceilings": task.ceilings,
        "makers": pool.model,
    }
    return {name: column for name, column in columns.items() if column is not None}


def pool_header(task: Task) -> PoolHeader:
    """The task's pool, for compiled code."""
    return PoolHeader(task.pool.signals, **pool_columns(task))


def aim(memory: Memory, task: Task, q: int, d: int) -> None:
    """Begin an episode of draw d of question q in `memory`."""
    header = pool_header(task)
    memory.pool = header
    compiled.begin()(memory.address, header.address, q, d)
