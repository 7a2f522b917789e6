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

    draws: `reference:D` shuffles with `random.Random(s)` for s in 0..D-1, the same order for every
        question that has as many branches, as the released research code does. `subsets:D` draws
        anew for each question from a NumPy generator. `recorded` is one draw, the order of the
        recording: that of a live episode.
    ceiling: how many branches an episode may open; the rest of an order is not needed.
    seed: of `subsets`; `reference` has its own.
    kept: how many draws of them are kept, the first ones; None for all.
    """

    draws: str
    ceiling: int
    seed: int = 0
    kept: int | None = None

    def orders(self, branches: np.ndarray) -> np.ndarray:
        """The orders of questions with so many branches `[Q]`.

        Returns:
            `[Q, D, ceiling]` int32: trajectories in the order in which they are opened; -1 after
            the last one of a question that has fewer.

        Raises:
            SpecError: the draws are none.
        """
        dealt = self._dealt(branches)
        return np.ascontiguousarray(dealt[:, : self.kept])

    def _dealt(self, branches: np.ndarray) -> np.ndarray:
        if self.draws == "recorded":
            places = np.arange(self.ceiling, dtype=np.int32)
            return np.where(places < branches[:, None, None], places, np.int32(-1))
        kind, _, count = self.draws.partition(":")
        if kind not in ("reference", "subsets") or not count.isdecimal():
            raise SpecError(
                f"draws {self.draws!r}: need reference:N or subsets:N, such as reference:100; or"
                " recorded"
            )
        draws = int(count)
        if not 1 <= draws <= MAX_DRAWS:
            raise SpecError(f"draws {self.draws!r}: N must be from 1 to {MAX_DRAWS}")
        out = np.full((len(branches), draws, self.ceiling), -1, np.int32)
        if kind == "reference":
            for n in np.unique(branches).tolist():
                shuffled = _reference(draws, n)[:, : self.ceiling]
                out[branches == n, :, : shuffled.shape[1]] = shuffled
            return out
        rng = np.random.default_rng(self.seed)
        for q, n in enumerate(branches.tolist()):
            everyone = np.broadcast_to(np.arange(n, dtype=np.int32), (draws, n))
            out[q, :, :n] = rng.permuted(everyone, axis=1)[:, : self.ceiling]
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
