"""What fills a growing pool: a recording, or a server."""

from typing import Protocol

import numpy as np

from autotts import control
from autotts.live.pool import ActionRequest, GrowingPool
from autotts.stores import Store


class Trajectories(Protocol):
    """Where the branches of one question come from."""

    async def cover(self, request: ActionRequest) -> None:
        """See to it that the pool has what this request will read; decode it if need be.

        Args:
            request: one that control admits.

        Raises:
            ServerError: it can't be had.
        """
        ...


class RecordedTrajectories:
    """The trajectories of a recorded question, revealed as they are asked for.

    What replay reads from a store, a live episode gets from here: so it is held to do the same.
    """

    def __init__(self, store: Store, question: int, order: np.ndarray, pool: GrowingPool) -> None:
        """
        Args:
            order: `[W]` the recorded branch that each branch of the episode is.
        """
        self._recorded, self._answers = store.pool, store.answers[question]
        self._question = question
        self._order = order
        self._pool = pool
        self.decoded = 0
        """Intervals handed out, ends included: what a server would have been asked for."""

    async def cover(self, request: ActionRequest) -> None:
        if request.kind == control.PRUNE:
            return
        state = self._pool.memory.arrays
        for i, times in zip(request.ids.tolist(), request.times.tolist(), strict=True):
            depth = int(state["depth"][i])
            if request.kind == control.PROBE:
                self._show(i, depth)
            else:
                last = depth + times if times else self._length(i) + 1
                self._decode(i, depth, last, probe=request.probe)

    def _length(self, i: int) -> int:
        return int(self._recorded.lengths[self._question, self._order[i]])

    def _show(self, i: int, depth: int) -> None:
        if self._recorded.probes is None:
            return
        code = self._recorded.probes[self._question, self._order[i], depth - 1]
        self._pool.show(i, depth, self._answers[code])

    def _signal(self, i: int, depth: int) -> None:
        at = self._question, self._order[i], depth - 1
        given = {name: float(values[at]) for name, values in self._recorded.signals.items()}
        self._pool.signal(i, depth, given)

    def _decode(self, i: int, first: int, last: int, *, probe: bool) -> None:
        length, exact = self._length(i), self._recorded.billing == "exact"
        for depth in range(first + 1, last + 1):
            self.decoded += 1
            if depth > length - exact:
                at = self._question, self._order[i]
                final = self._answers[self._recorded.finals[at]]
                self._pool.end(i, length, int(self._recorded.tokens[at]), final)
                if exact:
                    self._signal(i, depth)
                return
            self._signal(i, depth)
            if probe:
                self._show(i, depth)
