"""Programs written for the released AutoTTS research code, run unmodified in this process.

Such a program is a class: `Class(config={...}).solve(question)`, over a question object whose
calls and costs are those of the released loader. They are kept as they are, with what the control
space forbids: a branch that has finished may be read again, and is charged its rest again.
"""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autotts.engine import compiled
from autotts.errors import ControllerError, ProgramError, SpecError
from autotts.programs import Spec
from autotts.replay.driver import How, OnRan, Ran
from autotts.replay.episodes import Episodes, failed_codes
from autotts.replay.in_process import episode_failed
from autotts.replay.task import Cell, Task, program_of
from autotts.stores import Pool, Store

_HOW = How("released")


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
            code = self._pool.require_probes()[self._q, i, self._advances[index]]
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


class Released:
    """Runs programs of the released research code in this process, with its rights."""

    def run(
        self,
        cells: Sequence[Cell],
        *,
        audit: int = 0,
        keep_log: bool = False,
        on_ran: OnRan | None = None,
    ) -> list[Ran]:
        """Run class `entry` of a file over cells; see `Driver.run`. Nothing is audited.

        There are no budget and no costs of probes for these. An answer that is not among the
        pool's strings is a wrong one.

        Raises:
            SpecError: there is a budget, a cost of probes, or a log to keep; or a store has what
                that code does not know.
            ProgramError: the file doesn't run, or has no such class.
            ControllerError: an episode failed.
        """
        source = program_of(cells)
        ran = []
        for cell in cells:
            spec, rules = cell.spec, cell.task.rules
            if rules.budget is not None or rules.probe_tokens or keep_log:
                raise SpecError(
                    f"{spec.text}: a program of the released code can be given no budget and no"
                    " cost of probes, and leaves no trace"
                )
            _require_known(spec, cell.task.store)
            config = {**spec.named, "beta": spec.beta}
            make = _load_class(Path(source.path), spec.entry)
            ran.append(Ran(cell, config, _play(make, source.path, config, cell.task), _HOW))
            if on_ran:
                on_ran(ran[-1])
        return ran


def _require_known(spec: Spec, store: Store) -> None:
    """Refuse what the released code, which reads rectangles of probes, knows nothing of."""
    pool = store.pool
    unknown = {
        "no probes": pool.probes is None,
        "questions with fewer branches than others": not pool.exists.all(),
        "intervals that differ in their tokens": pool.ends is not None,
        "several models": bool(pool.models),
    }
    found = ", ".join(name for name, there in unknown.items() if there)
    if found:
        raise SpecError(
            f"{spec.text}: {store.name} has {found}, which programs of the released code can't"
            " replay; name a program with schedule(beta) and solve(env, p)"
        )


def _play(make: Callable[..., Any], path: str, config: dict[str, float], task: Task) -> Episodes:
    """Episodes of a released program, one after the other."""
    store = task.store
    failed = failed_codes(task)
    results = np.zeros((len(task.pairs), len(compiled.RESULTS)), np.int64)
    codes = [{text: code for code, text in enumerate(known)} for known in store.answers]
    for e, (q, d) in enumerate(task.pairs.tolist()):
        question = Question(task.pool, store.answers[q], task.orders[q, d], q)
        try:
            answer = make(config=dict(config)).solve(question)
        except Exception as error:
            raise episode_failed(error, path, q, d) from error
        if answer is not None and not isinstance(answer, str):
            raise ControllerError(
                f"{path}: question {q}, draw {d}: solve returned {answer!r}; an answer is a string"
            )
        code = codes[q].get(answer, -1) if answer is not None else -1
        sequential, tokens = question.get_seq_and_total_tokens()
        width = len(question.get_cost_per_branch_active())
        kept = -1 if code == failed[q] else code
        results[e] = (compiled.ANSWERED, kept, tokens, sequential, 0, width, 0, 0, tokens, 0)
    return Episodes(results)
