"""The audit: did a compiled run decide by what it had revealed, and by nothing else?

A compiled program has the probes of its stores in reach. A secret sample of its episodes is run
again blind, in fresh workers that hold nothing, and must make the same requests and give the
same answers. What makes them is then a policy that can't look ahead, whatever its code says.
"""

from collections.abc import Sequence

import numpy as np

from autotts import control
from autotts.replay.task import Cell
from autotts.sandbox.blind_run import BlindRun, Place

_CONFIDENCE = 0.95


def bound(sample: int) -> float:
    """The share of episodes that may differ when none of `sample` did, at 95 % confidence.

    >>> round(bound(600), 4)
    0.005
    """
    return 1.0 - (1.0 - _CONFIDENCE) ** (1.0 / sample) if sample else 1.0


def draw_sample(cells: Sequence[Cell], size: int, rng: np.random.Generator) -> list[Place]:
    """`size` episodes of the cells, or all if there are fewer, without repetition.

    Every episode is as likely as any other, and each question has its share: then groups, in
    which a question occurs once, are full, and few. `bound` holds as it does for a plain sample,
    since with shares kept the chance of missing all that differ is at most as large.
    """
    tasks = [cell.task for cell in cells]
    datasets = sorted({task.store.dataset for task in tasks})
    asked = np.concatenate(
        [(datasets.index(t.store.dataset) << 32) + t.pairs[:, 0].astype(np.int64) for t in tasks]
    )
    total = len(asked)
    # Questions in random order too: spaced evenly over a known one, whole questions go together.
    _, question = np.unique(asked, return_inverse=True)
    by_question = np.lexsort((rng.random(total), rng.permutation(question.max() + 1)[question]))
    size = min(size, total)
    # Evenly spaced from a random start, in whole numbers, so that none comes twice.
    spaced = (int(rng.integers(total)) + np.arange(size) * total) // size
    picked = np.sort(by_question[spaced])
    ends = np.cumsum([len(task.pairs) for task in tasks])
    owner = np.searchsorted(ends, picked, side="right")
    return [
        (int(c), int(t - (ends[c - 1] if c else 0))) for c, t in zip(owner, picked, strict=True)
    ]


def differing(results: np.ndarray, logs: Sequence[np.ndarray], blind: BlindRun) -> list[int]:
    """Which episodes of a run are not the same in a blind run of them.

    Args:
        results: `[T, len(compiled.RESULTS)]` of the run.
        logs: of the run.
        blind: the same tasks, in the same order.
    """
    unequal = (results != blind.results).any(axis=1)
    return [
        t
        for t, (words, others) in enumerate(zip(logs, blind.logs, strict=True))
        if unequal[t] or not _same_decisions(words, others)
    ]


def _same_decisions(words: np.ndarray, others: np.ndarray) -> bool:
    """Whether two logs ask for the same. Notes are not decisions: their last bits may differ."""
    return np.array_equal(words, others) or np.array_equal(
        control.decisions(words), control.decisions(others)
    )
