"""The trusted side of the compiled driver: a sealed worker with a program's code, cell after cell.

What a program's schedule says is asked in a worker of its own, and reaches this one as numbers. So
it serves every program that differs from the first in its schedule alone, and nothing is compiled
for other constants. The worker holds the probes of the stores in use, and runs the episodes in an
order that nobody told it before. It gives back integers in shared memory, a chunk at a time into
one of two places, and computes the next chunk while this side copies and accounts for the last.
"""

import json
import math
import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotts.control import Log
from autotts.engine import compiled
from autotts.errors import ControllerError, SandboxError
from autotts.programs import Source, check_named
from autotts.replay.episodes import Episodes, memory_rules
from autotts.replay.log import replay
from autotts.replay.task import Cell, Task
from autotts.sandbox.allowance import LOG_WORDS, Allowance, sizes
from autotts.sandbox.confine import seal
from autotts.sandbox.confine.tier import Tier
from autotts.sandbox.shared_memory import MAX_CHUNK, Board, Layout
from autotts.sandbox.wire import channel
from autotts.sandbox.worker import Worker, Zygote, read_numbers, source_payload

_CHUNK_SECONDS = 0.05
_COMPILER_BYTES = 1 << 30
"""Address space for the compiler, beside what the program may use."""
_MOST_RUNS = 16
"""How often a worker may run before it is started anew; its processor time is limited for all."""


class NotCompiled(Exception):
    """The program does not compile; its message says why and in which line."""


class EpisodeFailed(Exception):
    """Episode `index` of cell `cell` failed; run it blind for line and message."""

    def __init__(self, cell: int, index: int) -> None:
        super().__init__(cell, index)
        self.cell = cell
        self.index = index


@dataclass(slots=True)
class CompiledRun:
    """What a compiled run gave, cell by cell; `logs` by (cell, episode) where kept."""

    episodes: list[Episodes]
    parameters: list[dict[str, float]]
    logs: dict[tuple[int, int], np.ndarray]
    tier: Tier
    text: str = ""


class CodeWorker:
    """A sealed worker that holds a program's code, compiled, and the data of stores.

    It runs every program that differs from the first in its schedule alone: schedules are asked
    in workers of their own (`ask`), and what they say comes here as numbers.
    """

    def __init__(
        self,
        zygote: Zygote,
        source: Source,
        kinds: Mapping[str, type],
        layout: Layout,
        allowance: Allowance,
        how: Mapping[str, Any],
    ) -> None:
        """Compile a program.

        Args:
            kinds: int or float for each of its parameters.
            layout: of the cells that it will run; their data is shared.
            how: `unsafe` and `without`, for `Zygote.fork`.

        Raises:
            NotCompiled: it doesn't compile within the allowance.
            ProgramError, ControllerError, SandboxError
        """
        self.zygote = zygote
        self._code = (source.code_digest, tuple(kinds.items()))
        self._allowance = allowance
        self._board = Board(layout.arrays)
        seconds = allowance.program_seconds + len(layout.names) * allowance.cell_seconds
        limits = seal.Limits(
            memory_bytes=allowance.memory_bytes + _COMPILER_BYTES,
            cpu_seconds=int(_MOST_RUNS * seconds) + 1,
            exec_pages=True,
        )
        self._runs = 0
        self._worker: Worker | None = None
        try:
            self._worker = zygote.fork(
                limits, files=self._board.files, shared=self._board.layout, **how
            )
            talk = Talk(self._worker, source, allowance)
            self._tier, _ = talk.load(source.without_schedule(kinds))
            talk.compile()
        except BaseException:
            self.close()
            raise

    def serves(
        self, zygote: Zygote, source: Source, kinds: Mapping[str, type], layout: Layout
    ) -> bool:
        """Whether a program's code is here, for these kinds of parameters, and the cells' data."""
        same = zygote is self.zygote and self._code == (source.code_digest, tuple(kinds.items()))
        # What was printed is told as the program's that was running, so it must have been none.
        silent = self._worker is not None and not self._worker.inbox.text
        return same and silent and self._runs < _MOST_RUNS and self._board.has(layout.arrays)

    def run(
        self,
        source: Source,
        cells: Sequence[Cell],
        layout: Layout,
        parameters: Sequence[dict[str, float]],
        keep: Sequence[np.ndarray],
    ) -> CompiledRun:
        """Run a program that this is the code of; see `Sandbox.run_compiled`.

        Args:
            layout: of the cells.
            parameters: of each cell, as the program's schedule says.
        """
        assert self._worker is not None
        self._runs += 1
        run = CompiledRun([], list(parameters), {}, self._tier)
        talk = Talk(self._worker, source, self._allowance)
        sweep = _Sweep(talk, self._board, self._allowance)
        for c, cell in enumerate(cells):
            talk.begin(cell, layout.names[c], parameters[c])
            episodes, logs = sweep.cell(c, cell.task, keep[c])
            run.episodes.append(episodes)
            run.logs.update(logs)
        run.text = talk.printed()
        return run

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the worker for the block, so that it can't signal to others by what it does."""
        assert self._worker is not None
        os.kill(self._worker.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._worker.pid, signal.SIGCONT)

    def close(self) -> None:
        if self._worker is not None:
            self._worker.drop()
        self._board.close()


@dataclass(slots=True)
class Schedules:
    """What a program says of itself: kinds of parameters, and their values in each cell."""

    kinds: dict[str, type]
    parameters: list[dict[str, float]]
    text: str


def ask(
    zygote: Zygote, source: Source, cells: Sequence[Cell], allowance: Allowance, **how: Any
) -> Schedules:
    """Load a program in a worker of its own, and ask what its schedule gives for each cell.

    Raises:
        ProgramError: it does not load, or its schedule fails.
        SpecError: it has no parameter that a cell names.
        ControllerError, SandboxError
    """
    limits = seal.Limits(allowance.memory_bytes, int(allowance.program_seconds) + 1)
    with zygote.fork(limits, **how) as worker:
        talk = Talk(worker, source, allowance)
        _, kinds = talk.load(source)
        for cell in cells:
            check_named(cell.spec, kinds)
        parameters = [talk.begin(cell, {}, cell.spec.named) for cell in cells]
        for told in parameters:
            if {name: type(value) for name, value in told.items()} != kinds:
                raise SandboxError("a worker names other parameters than those of its program")
        worker.end()
        return Schedules(kinds, parameters, worker.inbox.text)


class Talk:
    """The trusted side's words with a worker, about one program."""

    def __init__(self, worker: Worker, source: Source, allowance: Allowance) -> None:
        self._worker = worker
        self._source = source
        self._allowance = allowance

    def _exchange(
        self, kind: int, payload: bytes, accept: dict[int, int], seconds: float, what: str
    ) -> tuple[int, bytes]:
        deadline = time.monotonic() + seconds
        with self._worker.doing(what, self._source):
            self._worker.inbox.send(kind, payload, deadline)
            return self._worker.inbox.receive(accept, deadline)

    def load(self, source: Source) -> tuple[Tier, dict[str, type]]:
        """Let the sealed worker load a program; what it reached, and the kinds of parameters."""
        tier = self._worker.hello()
        accept = {channel.LOADED: channel.MAX_NAMED, channel.FAILED: channel.MAX_FAILED}
        seconds = self._allowance.program_seconds
        kind, payload = self._exchange(
            channel.SOURCE, source_payload(source), accept, seconds, "loading the program"
        )
        if kind == channel.FAILED:
            raise self._worker.failure(self._source, payload)[1]
        said = read_numbers(payload)
        return tier, {name: int if kind == "int" else float for name, kind in said.items()}

    def compile(self) -> None:
        """Let the worker compile what it has loaded."""
        accept = {channel.COMPILED: 0, channel.FAILED: channel.MAX_FAILED}
        seconds = self._allowance.program_seconds
        try:
            kind, payload = self._exchange(channel.COMPILE, b"", accept, seconds, "compiling")
        except ControllerError as error:
            raise NotCompiled(str(error)) from error
        if kind == channel.FAILED:
            raise NotCompiled(str(self._worker.failure(self._source, payload)[1]))

    def begin(
        self, cell: Cell, names: Mapping[str, str], named: Mapping[str, float]
    ) -> dict[str, float]:
        """Let the worker get ready for a cell; what its parameters are, as it says.

        Args:
            names: of the columns of the cell's pool, where the worker has data.
            named: parameters in place of what the schedule gives.
        """
        asked = {
            "beta": cell.spec.beta,
            "named": dict(named),
            "arrays": dict(names),
            "memory": {**sizes(cell.task), **memory_rules(cell.task)},
        }
        accept = {channel.PARAMETERS: channel.MAX_NAMED, channel.FAILED: channel.MAX_FAILED}
        kind, payload = self._exchange(
            channel.CELL, json.dumps(asked).encode(), accept, self._allowance.program_seconds,
            "schedule",
        )  # fmt: skip
        if kind == channel.FAILED:
            raise self._worker.failure(self._source, payload)[1]
        return checked_parameters(payload)

    def start(self, half: int, pairs: np.ndarray, deadline: float) -> None:
        """Let the worker run episodes `[n, 2]`, and write to one half of the board."""
        words = np.concatenate([[half], pairs.ravel()])
        with self._worker.doing("running", self._source):
            self._worker.inbox.send(channel.RUN, words.tobytes(), deadline)

    def done(self, count: int, deadline: float) -> int:
        """How many of `count` episodes, begun first, the worker has run; at least one."""
        accept = {channel.DONE: 8, channel.FAILED: channel.MAX_FAILED}
        allowance = self._allowance
        seconds = min(allowance.compiled_seconds, allowance.episode_seconds)
        soon = time.monotonic() + seconds
        limit = f"no episode ended within {seconds:g} s"
        if deadline < soon:
            soon, limit = deadline, allowance.cell_limit
        with self._worker.doing("an episode", self._source, limit):
            kind, payload = self._worker.inbox.receive(accept, soon)
        if kind == channel.FAILED:
            raise ControllerError(str(self._worker.failure(self._source, payload)[1]))
        (done,) = channel.words(payload) if len(payload) == 8 else (-1,)
        if not 0 <= done <= count:
            raise SandboxError(f"a worker says it ran {done} of {count} episodes")
        if done == 0:
            raise ControllerError(
                f"{self._source.path}: an episode asks for more than {LOG_WORDS:,} words"
            )
        return int(done)

    def printed(self) -> str:
        """What the program has printed so far."""
        with self._worker.doing("an episode", self._source):
            self._worker.inbox.drain()
        return self._worker.inbox.text


class _Sweep:
    """Cells of a program, one after the other, in a worker that has its code."""

    def __init__(self, talk: Talk, board: Board, allowance: Allowance) -> None:
        self._talk = talk
        self._board = board
        self._allowance = allowance
        self._rng = np.random.default_rng()
        self._chunk = 4

    def cell(
        self, c: int, task: Task, kept: np.ndarray
    ) -> tuple[Episodes, dict[tuple[int, int], np.ndarray]]:
        """Run the episodes of cell number c in an order of our own."""
        pairs = np.ascontiguousarray(task.pairs, np.int64)
        order = self._rng.permutation(len(pairs))
        results = np.zeros((len(pairs), len(compiled.RESULTS)), np.int64)
        logs: dict[tuple[int, int], np.ndarray] = {}
        deadline = time.monotonic() + self._allowance.cell_seconds
        for at, (claims, ends, words) in self._chunks(pairs[order], deadline):
            mine = order[at : at + len(claims)]
            bad = np.flatnonzero(claims[:, 0] != compiled.ANSWERED)
            if len(bad):
                raise EpisodeFailed(c, int(mine[bad[0]]))
            log = Log(words, ends)
            results[mine] = _account(task.some(pairs[mine]), claims[:, 1], log)
            for j in np.flatnonzero(kept[mine]):
                logs[c, int(mine[j])] = log.of(int(j)).copy()
        whole = Log.by_episode([logs[c, e] for e in range(len(pairs))]) if kept.all() else None
        return Episodes(results, whole), logs

    def _chunks(self, pairs: np.ndarray, deadline: float) -> Any:
        """Run `pairs` `[E, 2]`; yields where a chunk begins and what the worker says of it."""
        waiting = deque([(0, len(pairs))])
        running: deque[tuple[int, int, int]] = deque()
        free = [0, 1]
        began = time.monotonic()
        while waiting or running:
            while waiting and free:
                first, last = waiting.popleft()
                if last - first > self._chunk:
                    waiting.appendleft((first + self._chunk, last))
                    last = first + self._chunk
                half = free.pop(0)
                self._talk.start(half, pairs[first:last], deadline)
                running.append((half, first, last))
            half, first, last = running.popleft()
            done = self._talk.done(last - first, deadline)
            now = time.monotonic()
            if now - began < _CHUNK_SECONDS:
                self._chunk = min(2 * self._chunk, MAX_CHUNK)
            elif now - began > 4 * _CHUNK_SECONDS:
                self._chunk = max(1, self._chunk // 4)
            began = now
            if first + done < last:
                waiting.appendleft((first + done, last))
            chunk = self._board.take(half, done)
            free.append(half)
            yield first, chunk


def _account(task: Task, codes: np.ndarray, log: Log) -> np.ndarray:
    """What really came out of episodes that a worker says it has run, from what they asked for.

    Args:
        codes: `[E]` the answers that the worker says they gave.
        log: what they asked for; nobody else may hold its memory.

    Raises:
        SandboxError: no program could have written that log, or given that answer.
    """
    try:
        episodes, _ = replay(log, codes, task)
    except ValueError as error:
        raise SandboxError(f"a worker's log can't be read: {error}") from error
    if (episodes.column("status") != compiled.ANSWERED).any():
        raise SandboxError("a worker's log asks for what can't be, or answers what was not seen")
    return episodes.results


def checked_parameters(payload: bytes) -> dict[str, float]:
    """Parameters as a worker says its schedule gives them: numbers of 64 bits."""
    said = read_numbers(payload)
    for name, value in said.items():
        whole = type(value) is int and abs(value) < 2**63
        if not (whole or (type(value) is float and math.isfinite(value))):
            raise SandboxError(f"a worker says that {name} is {str(value)[:80]}")
    return said
