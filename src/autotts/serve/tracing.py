"""The trace of a live episode while it goes on, piece by piece, for whoever looks on."""

from collections.abc import Sequence
from typing import Any

from autotts import control
from autotts.inference.branch import ServedBranch
from autotts.live import GrowingPool
from autotts.replay.traces import TRACED


class LiveTrace:
    """What happens in an episode, as a trace has it."""

    def __init__(self, pool: GrowingPool, branches: Sequence[ServedBranch]) -> None:
        """
        Args:
            branches: those being decoded, in order.
        """
        self._pool, self._branches = pool, branches
        self._steps: list[list[int]] = []
        self._answers = 0
        pool.keep_steps()

    def read(self) -> None:
        """Take over what happened; before each request that decodes."""
        steps = self._pool.take_steps()
        asked = steps[steps[:, control.STEP.index("kind")] != control.NOTE]
        self._steps += asked[:, TRACED].tolist()

    def take(self) -> dict[str, Any]:
        """What is new: steps, answers that were not known before, and what is being decoded."""
        self.read()
        steps, self._steps = self._steps, []
        answers = self._pool.answers[self._answers :]
        self._answers += len(answers)
        depths = self._pool.memory.arrays["depth"]
        ahead = [
            [i, branch.intervals - int(depths[i])]
            for i, branch in enumerate(self._branches)
            if branch.intervals > depths[i]
        ]
        return {"steps": steps, "answers": answers, "ahead": ahead}
