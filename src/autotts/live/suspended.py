"""Programs that run suspended: up to their next request, and on once it was performed.

    program (a greenlet, or a sealed worker)          whoever plays the episode
    solve -> env.advance(ids) ---- ActionRequest ---------> admit, cover, perform
             returns, or raises <---- rule -----------+

A program of ours runs in this process: what it does between two requests takes a millisecond at
the most, and the event loop waits for it. One of somebody else runs sealed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from greenlet import getcurrent, greenlet

from autotts import control
from autotts.engine import compiled, interpreted
from autotts.engine.memory import Memory
from autotts.programs import Program


@dataclass(frozen=True, slots=True, eq=False)
class ActionRequest:
    """What a program asks for: one action on some branches.

    kind: `control.BRANCH`, CONTINUE, FINISH, PROBE or PRUNE.
    ids: int64 `[k]` the branches; of a BRANCH those that it will open.
    times: int64 `[k]` intervals for each; of a BRANCH 1, of others 0.
    probe: whether the answer at each depth passed is asked for.
    """

    kind: int
    ids: np.ndarray
    times: np.ndarray
    probe: bool


class Suspended(Protocol):
    """A program in the middle of an episode."""

    def resume(self, rule: int) -> "ActionRequest | np.ndarray":
        """Go on until the next request.

        Args:
            rule: what the last request broke, 0 for nothing; ignored the first time.

        Returns:
            What it asks for; or, when it has answered, what is known of the episode,
            `[len(compiled.RESULTS)]` int64.

        Raises:
            Whatever the program raises.
        """
        ...


class _Env(interpreted.Env):
    """The Env table over a state whose actions are somebody else's to perform."""

    def __init__(self, memory: Memory, wait: Callable[[ActionRequest], int]) -> None:
        super().__init__(memory)

        def ask(kind: int, ids: np.ndarray, times: np.ndarray | int, probe: int = 0) -> int:
            times = np.broadcast_to(np.int64(times), ids.shape)
            return wait(ActionRequest(kind, ids, np.ascontiguousarray(times), probe != 0))

        def branch(header: int, k: int, probe: int) -> int:
            return ask(control.BRANCH, np.arange(self.n, self.n + max(k, 0)), 1, probe)

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


class _InProcess:
    def __init__(self, program: Program, parameters: Mapping[str, float], memory: Memory) -> None:
        self._memory = memory
        self._program = program
        self._parameters = interpreted.parameters(parameters)
        self._greenlet = greenlet(self._run)

    def _run(self, _: int) -> np.ndarray:
        hub = getcurrent().parent
        assert hub is not None
        out = np.zeros(len(compiled.RESULTS), np.int64)
        env = _Env(self._memory, hub.switch)
        interpreted.run_episode(self._program.solve, self._parameters, env, out)
        return out

    def resume(self, rule: int) -> ActionRequest | np.ndarray:
        given: ActionRequest | np.ndarray = self._greenlet.switch(rule)
        return given


def in_process(program: Program, parameters: Mapping[str, float], memory: Memory) -> Suspended:
    """A program of ours, suspended before its first line. Not for code of others."""
    return _InProcess(program, parameters, memory)
