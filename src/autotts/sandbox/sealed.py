"""The trusted side of the compiled driver: one sealed worker per program, cell after cell.

The worker holds the probes of the stores in use, and runs the episodes in an order that nobody
told it before. It gives back integers in shared memory, a chunk at a time into one of two
places, and computes the next chunk while this side copies and accounts for the last.
"""

import fcntl
import hashlib
import json
import mmap
import os
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotts.errors import ControllerError, SandboxError
from autotts.programs import Source, Spec, check_named
from autotts.replay import compiled
from autotts.replay.episodes import Episodes, Log, failed_codes
from autotts.replay.log import replay
from autotts.sandbox import channel, guest, seal
from autotts.sandbox.cells import LOG_WORDS, Allowance, Cell
from autotts.sandbox.channel import Ended, Flooded, Stalled
from autotts.sandbox.tier import Tier
from autotts.sandbox.worker import Worker, Zygote, read_numbers, source_payload

MAX_CHUNK = 1024
"""Most episodes that a worker runs before it shows what it did."""
_CHUNK_SECONDS = 0.05
_COMPILER_BYTES = 1 << 30
"""Address space for the compiler, beside what the program may use."""
_MAX_PARAMETERS = 1 << 14


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
    """What a compiled run gave: see `Outcome`; `logs` by (cell, episode) where kept."""

    episodes: list[Episodes]
    parameters: list[dict[str, float]]
    logs: dict[tuple[int, int], np.ndarray]
    tier: Tier
    text: str = ""


class _Board:
    """Shared memory: the cells' data, which the worker only reads, and places for results."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        arrays: dict[str, np.ndarray] = {}
        # The cells of a sweep share their arrays, so one look at each is enough.
        shared = [(id(cell.pool), id(cell.orders), cell.rules.abstain) for cell in cells]
        named = {
            key: self._name_arrays(cell, arrays)
            for key, cell in dict(zip(shared, cells, strict=True)).items()
        }
        self.names = [named[key] for key in shared]
        places, offset = {}, 0
        for name, array in arrays.items():
            places[name] = (offset, array.shape, array.dtype.str)
            offset += -(-array.nbytes // 64) * 64
        self.layout = {"data": places, "episodes": MAX_CHUNK, "log_words": LOG_WORDS}
        data = _memory_file(offset)
        for name, array in arrays.items():
            os.pwrite(data, array.tobytes(), places[name][0])
        _no_more(data, writing=False)
        size = 2 * 8 * (MAX_CHUNK * (len(compiled.RESULTS) + 1) + LOG_WORDS)
        results = _memory_file(size)
        _no_more(results, writing=True)
        self.files = [data, results]
        self._results = mmap.mmap(results, size)
        self.halves = guest.halves(self._results, MAX_CHUNK, LOG_WORDS)

    @staticmethod
    def _name_arrays(cell: Cell, arrays: dict[str, np.ndarray]) -> list[str]:
        """Names of what the driver needs for a cell; what is equal is there once."""
        pool = cell.pool
        needed = {
            "failed": failed_codes(pool, cell.rules),
            "orders": cell.orders,
            "probes": pool.probes,
            "lengths": pool.lengths,
            "tokens": pool.tokens,
            "finals": pool.finals,
        }
        names = []
        for name, array in needed.items():
            content = np.ascontiguousarray(array)
            digest = hashlib.blake2b(content.data, digest_size=12).hexdigest()
            names.append(f"{name} {content.shape} {digest}")
            arrays.setdefault(names[-1], content)
        return names

    def take(self, half: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Own copies of a chunk's results, log ends and words.

        The worker can still write to where they came from, so nothing is checked there.

        Raises:
            SandboxError: the ends are outside the log.
        """
        place = self.halves[half]
        results, ends = place["results"][:count].copy(), place["ends"][:count].copy()
        used = int(ends[-1])
        if not 0 <= used <= LOG_WORDS:
            raise SandboxError("a worker's log does not add up")
        return results, ends, place["log"][:used].copy()

    def close(self) -> None:
        self.halves.clear()
        self._results.close()
        for file in self.files:
            os.close(file)


def _memory_file(size: int) -> int:
    """A descriptor of memory without a name; a temporary file where the system has no such."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("autotts", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        file, path = tempfile.mkstemp()
        os.unlink(path)
    os.truncate(file, size)
    return file


def _no_more(file: int, *, writing: bool) -> None:
    """Fix the size of a file of memory, and without `writing` its content, for everybody."""
    if hasattr(os, "memfd_create"):
        kinds = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        if not writing:
            kinds |= fcntl.F_SEAL_WRITE
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, kinds)


def run_compiled(
    zygote: Zygote,
    source: Source,
    cells: Sequence[Cell],
    allowance: Allowance,
    *,
    keep: Sequence[np.ndarray],
    **how: Any,
) -> CompiledRun:
    """Run a program over cells, compiled, in one sealed worker.

    Args:
        keep: for each cell `[E]` bool, of which episodes to keep the log.
        how: `unsafe` and `without`, for `Zygote.fork`.

    Raises:
        NotCompiled: it doesn't compile within the allowance.
        EpisodeFailed: an episode failed.
        ProgramError, ControllerError, SandboxError
    """
    board = _Board(cells)
    try:
        limits = seal.Limits(
            memory_bytes=allowance.memory_bytes + _COMPILER_BYTES,
            cpu_seconds=int(allowance.program_seconds + len(cells) * allowance.cell_seconds) + 1,
            exec_pages=True,
        )
        worker = zygote.fork(limits, files=board.files, shared=board.layout, **how)
        with worker:
            run = _Run(worker, source, cells, allowance, board)
            return run.all(keep)
    finally:
        board.close()


def ask_parameters(
    zygote: Zygote, source: Source, cells: Sequence[Cell], allowance: Allowance, **how: Any
) -> list[dict[str, float]]:
    """Load a program in a worker of its own, and ask what its schedule gives for each cell.

    Raises:
        ProgramError: it does not load, or its schedule fails.
        SpecError: it has no parameter that a cell names.
        ControllerError, SandboxError
    """
    limits = seal.Limits(allowance.memory_bytes, int(allowance.program_seconds) + 1)
    with zygote.fork(limits, **how) as worker:
        run = _Run(worker, source, cells, allowance)
        run.load()
        return [run.begin(c) for c in range(len(cells))]


class _Run:
    """A compiled run, while its worker lives."""

    def __init__(
        self,
        worker: Worker,
        source: Source,
        cells: Sequence[Cell],
        allowance: Allowance,
        board: _Board | None = None,
    ) -> None:
        self._worker = worker
        self._source = source
        self._cells = cells
        self._allowance = allowance
        self._board = board
        self._rng = np.random.default_rng()
        self._chunk = 4

    def all(self, keep: Sequence[np.ndarray]) -> CompiledRun:
        tier = self.load()
        self._compile()
        run = CompiledRun([], [], {}, tier)
        for c, kept in enumerate(keep):
            run.parameters.append(self.begin(c))
            episodes, logs = self._cell(c, kept)
            run.episodes.append(episodes)
            run.logs.update(logs)
        self._worker.end()
        run.text = self._worker.inbox.text
        return run

    def _exchange(
        self, kind: int, payload: bytes, accept: dict[int, int], seconds: float, what: str
    ) -> tuple[int, bytes]:
        deadline = time.monotonic() + seconds
        try:
            self._worker.inbox.send(kind, payload, deadline)
            return self._worker.inbox.receive(accept, deadline)
        except (Stalled, Ended, Flooded) as error:
            raise self._worker.failed(error, self._source, what) from error

    def load(self) -> Tier:
        """Let the sealed worker load the program, and check the parameters that were named."""
        tier = self._worker.hello()
        accept = {channel.LOADED: _MAX_PARAMETERS, channel.FAILED: channel.MAX_FAILED}
        seconds = self._allowance.program_seconds
        kind, payload = self._exchange(
            channel.SOURCE, source_payload(self._source), accept, seconds, "loading the program"
        )
        if kind == channel.FAILED:
            raise self._worker.failure(self._source, payload)[1]
        kinds = {name: int if k == "int" else float for name, k in read_numbers(payload).items()}
        for cell in self._cells:
            spec = Spec(self._source.path, self._source, cell.beta, dict(cell.named))
            check_named(spec, kinds)
        return tier

    def _compile(self) -> None:
        accept = {channel.COMPILED: 0, channel.FAILED: channel.MAX_FAILED}
        seconds = self._allowance.program_seconds
        try:
            kind, payload = self._exchange(channel.COMPILE, b"", accept, seconds, "compiling")
        except ControllerError as error:
            raise NotCompiled(str(error)) from error
        if kind == channel.FAILED:
            raise NotCompiled(str(self._worker.failure(self._source, payload)[1]))

    def begin(self, c: int) -> dict[str, float]:
        """Let the worker get ready for a cell; what its parameters are, as it says."""
        cell = self._cells[c]
        rules = cell.rules
        asked = {
            "beta": cell.beta,
            "named": dict(cell.named),
            "arrays": self._board.names[c] if self._board else [],
            "memory": {
                **cell.sizes,
                "interval": cell.pool.interval,
                "billing": cell.pool.billing,
                "budget": rules.budget,
                "probe_cost": rules.probe_cost,
            },
        }
        accept = {channel.PARAMETERS: _MAX_PARAMETERS, channel.FAILED: channel.MAX_FAILED}
        kind, payload = self._exchange(
            channel.CELL, json.dumps(asked).encode(), accept, self._allowance.program_seconds,
            "schedule",
        )  # fmt: skip
        if kind == channel.FAILED:
            raise self._worker.failure(self._source, payload)[1]
        return checked_parameters(payload)

    def _cell(self, c: int, kept: np.ndarray) -> tuple[Episodes, dict[tuple[int, int], np.ndarray]]:
        """Run one cell's episodes in an order of our own."""
        cell = self._cells[c]
        pairs = np.ascontiguousarray(cell.pairs, np.int64)
        order = self._rng.permutation(len(pairs))
        results = np.zeros((len(pairs), len(compiled.RESULTS)), np.int64)
        logs: dict[tuple[int, int], np.ndarray] = {}
        deadline = time.monotonic() + self._allowance.cell_seconds
        for at, (claims, ends, words) in self._chunks(pairs[order], deadline):
            mine = order[at : at + len(claims)]
            bad = np.flatnonzero(claims[:, 0] != compiled.ANSWERED)
            if len(bad):
                raise EpisodeFailed(c, int(mine[bad[0]]))
            results[mine] = _account(cell, pairs[mine], claims[:, 1], Log(words, ends))
            for j in np.flatnonzero(kept[mine]):
                logs[c, int(mine[j])] = words[ends[j - 1] if j else 0 : ends[j]].copy()
        log = join([logs[c, e] for e in range(len(pairs))]) if kept.all() else None
        return Episodes(pairs, results, log), logs

    def _chunks(self, pairs: np.ndarray, deadline: float) -> Any:
        """Run `pairs` `[E, 2]`; yields where a chunk begins and what the worker says of it."""
        board = self._board
        assert board is not None
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
                words = np.concatenate([[half], pairs[first:last].ravel()])
                self._send(channel.RUN, words.tobytes(), deadline)
                running.append((half, first, last))
            half, first, last = running.popleft()
            done = self._done(last - first, deadline)
            now = time.monotonic()
            if now - began < _CHUNK_SECONDS:
                self._chunk = min(2 * self._chunk, MAX_CHUNK)
            elif now - began > 4 * _CHUNK_SECONDS:
                self._chunk = max(1, self._chunk // 4)
            began = now
            if done == 0:
                raise ControllerError(
                    f"{self._source.path}: an episode asks for more than {LOG_WORDS:,} words"
                )
            if first + done < last:
                waiting.appendleft((first + done, last))
            chunk = board.take(half, done)
            free.append(half)
            yield first, chunk

    def _send(self, kind: int, payload: bytes, deadline: float) -> None:
        try:
            self._worker.inbox.send(kind, payload, deadline)
        except (Stalled, Ended, Flooded) as error:
            raise self._worker.failed(error, self._source, "running") from error

    def _done(self, count: int, deadline: float) -> int:
        """How many episodes of a chunk the worker has run."""
        accept = {channel.DONE: 8, channel.FAILED: channel.MAX_FAILED}
        soon = min(deadline, time.monotonic() + self._allowance.episode_seconds)
        try:
            kind, payload = self._worker.inbox.receive(accept, soon)
        except (Stalled, Ended, Flooded) as error:
            raise self._worker.failed(error, self._source, "an episode") from error
        if kind == channel.FAILED:
            raise ControllerError(str(self._worker.failure(self._source, payload)[1]))
        (done,) = channel.words(payload) if len(payload) == 8 else (-1,)
        if not 0 <= done <= count:
            raise SandboxError(f"a worker says it ran {done} of {count} episodes")
        return int(done)


def _account(cell: Cell, pairs: np.ndarray, codes: np.ndarray, log: Log) -> np.ndarray:
    """What really came out of episodes that a worker says it has run, from what they asked for.

    Args:
        pairs: `[E, 2]` int64 of the episodes.
        codes: `[E]` the answers that the worker says they gave.
        log: what they asked for; nobody else may hold its memory.

    Raises:
        SandboxError: no program could have written that log, or given that answer.
    """
    try:
        episodes, _ = replay(log, codes, cell.pool, cell.orders, pairs, cell.rules)
    except ValueError as error:
        raise SandboxError(f"a worker's log can't be read: {error}") from error
    if (episodes.column("status") != compiled.ANSWERED).any():
        raise SandboxError("a worker's log asks for what can't be, or answers what was not seen")
    return episodes.results


def checked_parameters(payload: bytes) -> dict[str, float]:
    """Parameters as a worker says its schedule gives them; shown, never scored."""
    said = read_numbers(payload)
    for name, value in said.items():
        if type(value) not in (int, float) or not np.isfinite(value):
            raise SandboxError(f"a worker says that {name} is {value!r}")
    return said


def join(logs: Sequence[np.ndarray]) -> Log:
    """One log of the words of each episode."""
    return Log(
        np.concatenate(logs) if logs else np.zeros(0, np.int64),
        np.cumsum([len(words) for words in logs], dtype=np.int64),
    )
