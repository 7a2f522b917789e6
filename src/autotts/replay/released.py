"""Programs written for the released AutoTTS research code, run unmodified in this process.

Such a program is a class: `Class(config={...}).solve(question)`, over a question object whose
calls and costs are those of the released loader. They are kept as they are, with what the control
space forbids: a branch that has finished may be read again, and is charged its rest again.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autotts.engine import compiled
from autotts.errors import ControllerError, ProgramError
from autotts.replay.episodes import Episodes, Rules, episode_failed, failed_codes
from autotts.stores import Pool


class Question:
    """One question in one draw, as a released program sees it. Answers are strings."""

    def __init__(self, pool: Pool, answers: tuple[str, ...], order: np.ndarray, q: int) -> None:
        self._pool = pool
        self._answers = answers
        self._order = order
        self._q = q
        self._advances: list[int] = []
        self._costs: list[int] = []

    def probe_new(self) -> tuple[str, int, bool]:
        """Open the next branch: (answer, index, finished)."""
        index = self._open()
        answer, finished = self.probe_more(index)
        return answer, index, finished

    def probe_more(self, index: int) -> tuple[str, bool]:
        """One more interval of a branch: (answer, finished)."""
        if not 0 <= index < len(self._advances):
            raise ValueError(f"probe_more({index}): {len(self._advances)} branches are open")
        i = self._order[index]
        # Billed exactly, a branch's last interval is its rest, and ends it.
        whole = int(self._pool.lengths[self._q, i]) - (self._pool.billing == "exact")
        if self._advances[index] < whole:
            code = self._pool.probes[self._q, i, self._advances[index]]
            self._advances[index] += 1
            self._costs[index] += self._pool.interval
            return self._answers[code], False
        total = int(self._pool.tokens[self._q, i])
        self._costs[index] += max(0, total - self._pool.interval * whole)
        return self._answers[self._pool.finals[self._q, i]], True

    def get_new_branch_final_answer(self) -> str:
        """Open the next branch and read it to its end."""
        i = self._order[self._open()]
        self._advances[-1] = int(self._pool.lengths[self._q, i])
        self._costs[-1] = int(self._pool.tokens[self._q, i])
        return self._answers[self._pool.finals[self._q, i]]

    def get_seq_and_total_tokens(self) -> tuple[int, int]:
        """(sequential, total) tokens; the released loader doesn't count sequential ones."""
        return 0, sum(self._costs)

    def get_cost_per_branch_active(self) -> list[int]:
        """Tokens charged to each open branch."""
        return list(self._costs)

    def _open(self) -> int:
        if len(self._advances) >= len(self._order):
            raise ValueError(f"all {len(self._order)} branches are open")
        self._advances.append(0)
        self._costs.append(0)
        return len(self._advances) - 1


def _load_class(path: Path, name: str) -> Callable[..., Any]:
    """The class of a released program.

    Raises:
        ProgramError: the file doesn't run, or has no such class.
    """
    spec = importlib.util.spec_from_file_location(f"released_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ProgramError(f"{path}: can't be imported as Python")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ProgramError(f"{path}: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise ProgramError(f"{path}: there is no class {name}")
    return found


def run_released(
    path: Path,
    name: str,
    config: dict[str, float],
    pool: Pool,
    answers: tuple[tuple[str, ...], ...],
    orders: np.ndarray,
    pairs: np.ndarray,
    rules: Rules,
) -> Episodes:
    """Run a released program, class `name` of a file, over episodes.

    There are no budget and no costs of probes for these. An answer that is not among the pool's
    strings is a wrong one.

    Raises:
        ProgramError: the file doesn't run, or has no such class.
        ControllerError: an episode failed.
    """
    make = _load_class(path, name)
    failed = failed_codes(pool, rules)
    results = np.zeros((len(pairs), len(compiled.RESULTS)), np.int64)
    codes = [{text: code for code, text in enumerate(known)} for known in answers]
    for e, (q, d) in enumerate(pairs.tolist()):
        question = Question(pool, answers[q], orders[q, d], q)
        try:
            answer = make(config=dict(config)).solve(question)
        except Exception as error:
            raise episode_failed(error, str(path), q, d) from error
        if answer is not None and not isinstance(answer, str):
            raise ControllerError(
                f"{path}: question {q}, draw {d}: solve returned {answer!r}; an answer is a string"
            )
        code = codes[q].get(answer, -1) if answer is not None else -1
        sequential, tokens = question.get_seq_and_total_tokens()
        width = len(question.get_cost_per_branch_active())
        kept = -1 if code == failed[q] else code
        results[e] = (compiled.ANSWERED, kept, tokens, sequential, 0, width, 0, 0)
    return Episodes(pairs, results)
