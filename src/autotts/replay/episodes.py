"""Episodes: what came out of them, what they asked for, and the memory they are played in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autotts.engine import compiled
from autotts.engine.memory import Memory
from autotts.replay.task import Task


@dataclass(frozen=True, slots=True)
class Log:
    """What episodes asked for, in the words of `control.write_log`.

    words: int64, all episodes one behind the other.
    ends: `[E]` where each one's words end.
    """

    words: np.ndarray
    ends: np.ndarray

    @classmethod
    def by_episode(cls, words: Sequence[np.ndarray]) -> "Log":
        """The log of episodes with these words each."""
        return cls(
            np.concatenate([np.zeros(0, np.int64), *words]),
            np.cumsum([len(one) for one in words], dtype=np.int64),
        )

    def of(self, episode: int) -> np.ndarray:
        """The words of one episode."""
        first = self.ends[episode - 1] if episode else 0
        return self.words[first : self.ends[episode]]

    def part(self, first: int, last: int) -> "Log":
        """The log of episodes first to last - 1."""
        start = self.ends[first - 1] if first else 0
        end = self.ends[last - 1] if last else 0
        return Log(self.words[start:end], self.ends[first:last] - start)


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


def join_logs(logs: Sequence[Log]) -> Log | None:
    """One log of several, in order."""
    if len(logs) < 2:
        return logs[0] if logs else None
    offsets = np.cumsum([0, *(len(log.words) for log in logs[:-1])])
    return Log(
        np.concatenate([log.words for log in logs]),
        np.concatenate([log.ends + offset for log, offset in zip(logs, offsets, strict=True)]),
    )


def make_memory(task: Task, log_words: int = 0) -> Memory:
    """Memory for the episodes of a task, one after the other."""
    pool, rules = task.pool, task.rules
    return Memory(
        ceiling=task.ceiling,
        intervals=pool.probes.shape[2],
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


def aim(memory: Memory, task: Task, q: int, d: int) -> None:
    """Begin an episode of draw d of question q in `memory`."""
    pool = task.pool
    compiled.begin()(memory.address)
    memory.point("order", task.orders[q, d])
    memory.point("probes", pool.probes[q])
    memory.point("lengths", pool.lengths[q])
    memory.point("totals", pool.tokens[q])
    memory.point("finals", pool.finals[q])
    memory["failed"] = int(failed_codes(task)[q])
    memory["log_at"] = 0
    memory["log_full"] = 0
