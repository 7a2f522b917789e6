"""The trace of a live episode while it goes on, piece by piece, for whoever looks on."""

import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
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


class TraceFile:
    """A file that a trace is written to as it goes on, a line a piece; see `docs/serve.md`."""

    def __init__(self, folder: Path, *, controller: str, beta: float) -> None:
        """
        Args:
            folder: made if it is not there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w.-]", "-", controller)[:60]
        began = time.strftime("%Y%m%d-%H%M%S")
        path = folder / f"{began}-{name}-{secrets.token_hex(4)}.trace.jsonl"
        self._file = path.open("x", encoding="utf-8")
        self.add({"autotts_trace": 1, "controller": controller, "beta": beta})

    def add(self, piece: Mapping[str, Any]) -> None:
        """Write a piece."""
        self._file.write(json.dumps(piece) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
