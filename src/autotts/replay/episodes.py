"""Episodes: what came out of them, what they asked for, and the memory they are played in."""

from dataclasses import dataclass

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


def make_memory(task: Task, log_words: int = 0) -> Memory:
    """Memory for the episodes of a task, one after the other."""
    pool, rules = task.pool, task.rules
    return Memory(
        ceiling=task.ceiling,
        intervals=pool.depth,
        n_codes=int(pool.n_codes.max()),
        interval=pool.interval,
        billing=pool.billing,
        budget=rules.budget,
        probe_cost=rules.probe_cost,
        log_words=log_words,
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
    return {
        "orders": task.orders,
        "probes": pool.require_probes(),
        "lengths": pool.lengths,
        "totals": pool.tokens,
        "finals": pool.finals,
        "failed": failed_codes(task),
    }


def pool_header(task: Task) -> PoolHeader:
    """The task's pool, for compiled code."""
    return PoolHeader(**pool_columns(task))


def aim(memory: Memory, task: Task, q: int, d: int) -> None:
    """Begin an episode of draw d of question q in `memory`."""
    header = pool_header(task)
    memory.pool = header
    compiled.begin()(memory.address, header.address, q, d)
