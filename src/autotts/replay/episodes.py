"""Episodes: what came out of them, what they asked for, and the memory they are played in."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from autotts.control import Log
from autotts.engine import compiled
from autotts.engine.memory import Memory
from autotts.engine.pool import PoolHeader
from autotts.replay.task import Task, limit


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


def memory_rules(task: Task, reads: frozenset[str] | None = None) -> dict[str, Any]:
    """What `Memory` takes of what holds in every episode of a task: billing, prices and budgets.

    Args:
        reads: the signals that are read; None for all.
    """
    pool, rules = task.pool, task.rules
    signals = _signals(task, reads)
    return {
        "interval": pool.interval,
        "billing": pool.billing,
        "budget": limit(rules.budget),
        "cost_budget": limit(rules.cost_budget),
        "prices": pool.prices.tolist(),
        # Where nothing can be probed, nothing is charged for it.
        "probe_tokens": 0 if pool.probes is None else rules.probe_tokens,
        "wide": rules.cost_budget is not None
        or pool.probes is None
        or pool.ends is not None
        or bool(pool.models)
        or bool(signals),
        "signals": list(signals),
        "most_answers": pool.shown,
    }


def _signals(task: Task, reads: frozenset[str] | None) -> dict[str, np.ndarray]:
    recorded = task.pool.signals
    return {name: recorded[name] for name in recorded if reads is None or name in reads}


def make_memory(task: Task, log_words: int = 0, reads: frozenset[str] | None = None) -> Memory:
    """Memory for the episodes of a task, one after the other; `reads` as of `memory_rules`."""
    return Memory(
        ceiling=task.ceiling,
        intervals=task.pool.depth,
        n_codes=int(task.pool.n_codes.max()),
        log_words=log_words,
        **memory_rules(task, reads),
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


def pool_header(task: Task, reads: frozenset[str] | None = None) -> PoolHeader:
    """The task's pool, for compiled code; `reads` as of `memory_rules`."""
    return PoolHeader(_signals(task, reads), **pool_columns(task))


def aim(memory: Memory, task: Task, q: int, d: int) -> None:
    """Begin an episode of draw d of question q in `memory`."""
    header = pool_header(task)
    memory.pool = header
    compiled.begin()(memory.address, header.address, q, d)
