"""Draws: in which order an episode gets the recorded trajectories of its question."""

import functools
import random
from dataclasses import dataclass

import numpy as np

from autotts.errors import SpecError

MAX_DRAWS = 100_000


@dataclass(frozen=True, slots=True)
class Deal:
    """How orders are dealt, in words, so that another machine can deal the same.

    draws, ceiling, seed: as `orders` takes them.
    kept: how many draws of them are kept, the first ones; None for all.
    """

    draws: str
    ceiling: int
    seed: int = 0
    kept: int | None = None

    def orders(self, branches: np.ndarray) -> np.ndarray:
        """`[Q, D, ceiling]` int32, of questions with so many branches `[Q]`.

        Raises:
            SpecError: the draws are none.
        """
        dealt = orders(
            self.draws,
            questions=len(branches),
            branches=branches,
            ceiling=self.ceiling,
            seed=self.seed,
        )
        return np.ascontiguousarray(dealt[:, : self.kept])


def orders(
    spec: str, *, questions: int, branches: int | np.ndarray, ceiling: int, seed: int = 0
) -> np.ndarray:
    """The draws that a SPEC names.

    Args:
        spec: `reference:D` shuffles with `random.Random(s)` for s in 0..D-1, the same order for
            every question that has as many branches, as the released research code does.
            `recorded` is one draw, the order of the recording: that of a live episode.
            `subsets:D` draws anew for each question from a NumPy generator.
        branches: recorded per question; one number, or `[questions]`.
        ceiling: how many of them an episode may open; the rest of an order is not needed.
        seed: of `subsets`; `reference` has its own.

    Returns:
        `[questions, D, ceiling]` int32: trajectories in the order in which they are opened;
        -1 after the last one of a question that has fewer.

    Raises:
        SpecError: the SPEC is not one of these.
    """
    counts = np.broadcast_to(np.asarray(branches), (questions,))
    if spec == "recorded":
        places = np.arange(ceiling, dtype=np.int32)
        return np.where(places < counts[:, None, None], places, np.int32(-1))
    kind, _, count = spec.partition(":")
    if kind not in ("reference", "subsets") or not count.isdecimal():
        raise SpecError(
            f"draws {spec!r}: need reference:N or subsets:N, such as reference:100; or recorded"
        )
    draws = int(count)
    if not 1 <= draws <= MAX_DRAWS:
        raise SpecError(f"draws {spec!r}: N must be from 1 to {MAX_DRAWS}")
    out = np.full((questions, draws, ceiling), -1, np.int32)
    if kind == "reference":
        for count in np.unique(counts).tolist():
            shuffled = _reference(draws, count)[:, :ceiling]
            out[counts == count, :, : shuffled.shape[1]] = shuffled
        return out
    rng = np.random.default_rng(seed)
    for q, count in enumerate(counts.tolist()):
        everyone = np.broadcast_to(np.arange(count, dtype=np.int32), (draws, count))
        out[q, :, :count] = rng.permuted(everyone, axis=1)[:, :ceiling]
    return out


@functools.lru_cache(maxsize=8)
def _reference(draws: int, branches: int) -> np.ndarray:
    """`[draws, branches]` int32, as `random.Random(s)` shuffles them for s in 0..draws-1."""
    shuffled = np.empty((draws, branches), np.int32)
    for s in range(draws):
        order = list(range(branches))
        random.Random(s).shuffle(order)
        shuffled[s] = order
    return shuffled
