"""Programs that run suspended: up to their next request, and on once it was performed.

    program (a greenlet, or a sealed worker)      `episode.play`
    solve -> env.advance(ids) -- ActionRequest -> admitted? then cover
             returns, or raises <--------------- proceed: perform, and go on

A program of ours runs in this process: what it does between two requests takes a millisecond at
the most, and the event loop waits for it. One of somebody else runs sealed.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from greenlet import getcurrent, greenlet

from autotts import control
from autotts.engine import compiled, interpreted
from autotts.engine.memory import Memory
from autotts.live.pool import ActionRequest, GrowingPool
from autotts.programs import Program


class Suspended(Protocol):
    """A program in the middle of an episode."""

    async def proceed(self) -> "ActionRequest | np.ndarray":
        """Perform what was asked for last, and let the program go on until it asks again.

        Of a request that control does not admit, the program is told the rule, and raises.

        Returns:
            What it asks for; or, when it has answered, what is known of the episode,
            `[len(compiled.RESULTS)]` int64.

        Raises:
            Whatever the program raises, if it is ours; ControllerError, if it is sealed.
        """
        ...

    def close(self) -> None:
        """End it, wherever it is."""
        ...


Suspend = Callable[[GrowingPool], Suspended]
"""A program with its parameters, ready to be played on a pool."""


class _Env(interpreted.Env):
    """The Env table over a state whose actions are somebody else's to perform."""

    def __init__(self, memory: Memory, wait: Callable[[ActionRequest], int]) -> None:
        super().__init__(memory)

        def ask(
            kind: int, ids: np.ndarray, times: np.ndarray | int, probe: int = 0, model: int = 0
        ) -> int:
            times = np.ascontiguousarray(np.broadcast_to(np.int64(times), ids.shape))
            return wait(ActionRequest(kind, ids, times, probe != 0, model))

        def branch(header: int, k: int, probe: int, model: int) -> int:
            return ask(control.BRANCH, np.arange(self.n, self.n + max(k, 0)), 1, probe, model)

        def advance(
            header: int, at: int, stride: int, k: int, times_at: int, times_stride: int, probe: int
        ) -> int:
            times = self._times[:k].copy() if times_stride else int(self._times[0])
            return ask(control.CONTINUE, self._ids[:k].copy(), times, probe)

        def batch(kind: int) -> Callable[[int, int, int, int], int]:
            return lambda header, at, stride, k: ask(kind, self._ids[:k].copy(), 0)

        self._actions = {
            **self._actions,
            "branch": branch,
            "advance": advance,
            "finish": batch(control.FINISH),
            "probe": batch(control.PROBE),
            "prune": batch(control.PRUNE),
        }

    def end(self) -> None:
        """Let go of the memory. Actions refer to their state: it would wait for a full collection
        of cycles, which are rare in a large process."""
        self._actions = {}


class InThisProcess:
    """A program of ours, suspended before its first line. Not for code of others."""

    def __init__(
        self, program: Program, parameters: Mapping[str, float], pool: GrowingPool
    ) -> None:
        self._pool = pool
        self._program = program
        self._parameters = interpreted.parameters(parameters)
        self._asked: ActionRequest | None = None
        self._greenlet = greenlet(self._run)

    def _run(self, _: int) -> np.ndarray:
        hub = getcurrent().parent
        assert hub is not None
        out = np.zeros(len(compiled.RESULTS), np.int64)
        env = _Env(self._pool.memory, hub.switch)
        try:
            interpreted.run_episode(self._program.solve, self._parameters, env, out)
        finally:
            env.end()
        return out

    async def proceed(self) -> ActionRequest | np.ndarray:
        rule = self._pool.perform(self._asked) if self._asked else 0
        given: ActionRequest | np.ndarray = self._greenlet.switch(rule)
        self._asked = given if isinstance(given, ActionRequest) else None
        return given

    def close(self) -> None:
        # Else it would be ended by whichever thread collects it, which greenlets refuse.
        self._greenlet.throw()
