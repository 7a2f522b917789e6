"""Episodes in this process: trusted programs, compiled, or interpreted where they don't compile."""

import math
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from autotts.control import Log
from autotts.engine import compiled, interpreted
from autotts.engine.cache import address
from autotts.errors import ControlError, ControllerError, ProgramError, SandboxError
from autotts.programs import Program, check_named, load_trusted
from autotts.programs.needs import signals_read
from autotts.replay.driver import How, OnRan, Ran
from autotts.replay.episodes import Episodes, aim, make_memory, pool_header
from autotts.replay.task import Cell, Task, program_of

_CHUNKS_A_THREAD = 4
_FIRST_LOG_WORDS = 1 << 16
_LOADED: dict[Any, Any] = {}


class InProcess:
    """Runs trusted programs in this process, with its rights.

    Each thread takes the next cell, or with few cells the next part of one: some take longer than
    others.
    """

    def __init__(self, jobs: int | None = None) -> None:
        """
        Args:
            jobs: threads, at most one a core; all cores by default.
        """
        cores = os.cpu_count() or 1
        self._jobs = min(jobs or cores, cores)

    def run(
        self,
        cells: Sequence[Cell],
        *,
        audit: int = 0,
        keep_log: bool = False,
        on_ran: OnRan | None = None,
    ) -> list[Ran]:
        """Run a program over cells; see `Driver.run`. What is trusted is not audited.

        Raises:
            SandboxError: the program is somebody else's.
            SpecError: it has no parameter that a cell names.
            ProgramError: it does not load.
            ControllerError: an episode failed; it names question, draw, line and reason.
        """
        source = program_of(cells)
        if not source.trusted:
            raise SandboxError(f"{source.path} is not trusted: it runs in the sandbox only")
        program = load_trusted(source)
        parameters = _parameters(program, cells)
        how = How("compiled")
        try:
            entry = address(compile_program(program))
        except ProgramError as error:
            how = How("interpreted", reason=str(error))
            played = _interpreted(program, parameters, cells, keep_log)
        else:
            played = self._compiled(entry, program, parameters, cells, keep_log)
        ran = []
        for cell, values, episodes in zip(cells, parameters, played, strict=True):
            ran.append(Ran(cell, values, episodes, how))
            if on_ran:
                on_ran(ran[-1])
        return ran

    def _compiled(
        self,
        entry: int,
        program: Program,
        parameters: Sequence[dict[str, float]],
        cells: Sequence[Cell],
        keep_log: bool,
    ) -> Iterator[Episodes]:
        """The episodes of each cell, in order, as they are done."""
        compiled.run()  # loaded once, and not by every thread
        split = [self._split(cell.task, len(cells)) for cell in cells]
        parts = [
            (values, task)
            for values, tasks in zip(parameters, split, strict=True)
            for task in tasks
        ]

        reads = signals_read(program.source)

        def run(part: tuple[dict[str, float], Task]) -> Episodes:
            values, task = part
            episodes = run_compiled(
                entry, list(values.values()), task, keep_log=keep_log, reads=reads
            )
            if task.pool.on_disk is not None:
                asked = task.pairs[:, 0]
                task.pool.on_disk.release(int(asked.min()), int(asked.max()) + 1)
            return episodes

        threads = ThreadPoolExecutor(self._jobs)
        try:
            done = map(run, parts) if 1 in (self._jobs, len(parts)) else threads.map(run, parts)
            for values, cell, tasks in zip(parameters, cells, split, strict=True):
                own = [next(done) for _ in tasks]
                results = np.concatenate([part.results for part in own])
                logs = [part.log for part in own if part.log is not None]
                episodes = Episodes(results, Log.join(logs) if keep_log else None)
                raise_failed(program, values, cell.task, episodes)
                yield episodes
        finally:
            threads.shutdown(cancel_futures=True)

    def _split(self, task: Task, cells: int) -> list[Task]:
        """A task in as many parts as keep all threads busy to the end, with so many cells."""
        count = math.ceil(self._jobs * _CHUNKS_A_THREAD / cells) if self._jobs > 1 else 1
        count = max(count, task.pool.parts)
        if count == 1 or len(task.pairs) < 2:
            return [task]
        return [
            task.some(pairs) for pairs in np.array_split(task.pairs, min(count, len(task.pairs)))
        ]


def _parameters(program: Program, cells: Sequence[Cell]) -> list[dict[str, float]]:
    """Of each cell; a schedule is asked once for each setting."""
    asked: dict[int, dict[str, float]] = {}
    for spec in (cell.spec for cell in cells):
        if id(spec) not in asked:
            check_named(spec, program.kinds)
            asked[id(spec)] = program.parameters(spec.beta, spec.named)
    return [asked[id(cell.spec)] for cell in cells]


def _interpreted(
    program: Program,
    parameters: Sequence[dict[str, float]],
    cells: Sequence[Cell],
    keep_log: bool,
) -> Iterator[Episodes]:
    for values, cell in zip(parameters, cells, strict=True):
        yield run_interpreted(program.solve, values, cell.task, keep_log=keep_log)


def compile_program(program: Program, *, boundscheck: bool = False) -> Any:
    """Compile a program, or find it in the cache.

    Raises:
        ProgramError: it doesn't compile; the message has the line that stopped the compiler.
    """
    # Code that was loaded stays loaded, so the same program must not be loaded twice.
    same = (program.source.code_digest, tuple(program.kinds.items()), boundscheck)
    if same not in _LOADED:
        _LOADED[same] = _compile(program, boundscheck=boundscheck)
    return _LOADED[same]


def _compile(program: Program, *, boundscheck: bool) -> Any:
    try:
        return compiled.compile_program(
            program.solve,
            program.kinds,
            key=program.source.code_digest,
            boundscheck=boundscheck,
        )
    # On code that it doesn't know Numba fails in any way, its own assertions included.
    except Exception as error:
        reason = str(error) if isinstance(error, NumbaError) else repr(error)
        raise ProgramError(f"{program.source.path} doesn't compile: {reason}") from error


def run_compiled(
    entry: int,
    values: Sequence[float],
    task: Task,
    *,
    keep_log: bool = False,
    reads: frozenset[str] | None = None,
) -> Episodes:
    """Run a compiled program, in this thread.

    Args:
        entry: address of the program, from `cache.address(compile_program(...))`.
        values: its parameters, in order.
        reads: the signals that it reads, None for all: those of no use to it are not looked at.

    An episode may have failed: see the column `status`.
    """
    pairs = np.ascontiguousarray(task.pairs, np.int64)
    log_words = _FIRST_LOG_WORDS if keep_log else 0
    memory, pool = make_memory(task, log_words, reads), pool_header(task, reads)
    memory.set_parameters(values)
    results = np.zeros((len(pairs), len(compiled.RESULTS)), np.int64)
    ends = np.zeros(len(pairs), np.int64)
    words = np.empty(0, np.int64)
    kept = done = 0
    while done < len(pairs):
        first = done
        done = compiled.run()(entry, memory.address, pool.address, pairs, first, ends, results)
        if keep_log and done > first:
            used = int(ends[done - 1])
            if kept + used > len(words):
                # In one piece, by what the episodes so far took: new memory costs more than copies.
                room = max((kept + used) * len(pairs) // done, 2 * len(words))
                words, old = np.empty(room, np.int64), words
                words[:kept] = old[:kept]
            words[kept : kept + used] = memory.arrays["log"][:used]
            ends[first:done] += kept
            kept += used
        elif done == first:
            log_words *= 2
            memory.point("log", np.zeros(log_words, np.int64))
            memory["log_size"] = log_words
        memory["log_at"] = memory["log_full"] = 0
    if not keep_log:
        return Episodes(results)
    return Episodes(results, Log(words[:kept], ends))


def run_interpreted(
    solve: Callable[..., Any],
    values: dict[str, float],
    task: Task,
    *,
    keep_log: bool = False,
) -> Episodes:
    """Run a program interpreted, one episode after the other; see `run_compiled`.

    Raises:
        ControllerError: an episode failed; it names question, draw, line and reason.
    """
    log_words = _FIRST_LOG_WORDS if keep_log else 0
    memory = make_memory(task, log_words)
    p = interpreted.parameters(values)
    results = np.zeros((len(task.pairs), len(compiled.RESULTS)), np.int64)
    logs = []
    for e, (q, d) in enumerate(task.pairs.tolist()):
        while True:
            aim(memory, task, q, d)
            try:
                interpreted.run_episode(solve, p, interpreted.Env(memory), results[e])
            except Exception as error:
                raise episode_failed(error, solve.__code__.co_filename, q, d) from error
            if results[e, 0] != compiled.LOG_FULL:
                break
            log_words *= 2
            memory.point("log", np.zeros(log_words, np.int64))
            memory["log_size"] = log_words
        if keep_log:
            logs.append(memory.arrays["log"][: memory["log_at"]].copy())
    return Episodes(results, Log.by_episode(logs) if keep_log else None)


def episode_failed(error: Exception, path: str, question: int, draw: int) -> ControllerError:
    """The error of a program in an episode, with the line of its file that was running."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if os.path.abspath(frame.filename) == os.path.abspath(path)
    ]
    where = f"{path}:{own[-1].lineno}" if own else path
    kind = "" if isinstance(error, ControlError) else f"{type(error).__name__}: "
    return ControllerError(f"{where}: question {question}, draw {draw}: {kind}{error}")


def raise_failed(
    program: Program, values: dict[str, float], task: Task, episodes: Episodes
) -> None:
    """Raise for the first episode that failed, run again interpreted for line and message.

    Raises:
        ControllerError: if one failed.
    """
    failed = np.flatnonzero(episodes.column("status") != compiled.ANSWERED)
    if not len(failed):
        return
    pair = task.pairs[failed[:1]]
    run_interpreted(program.solve, values, task.some(pair))
    question, draw = pair[0]
    raise ControllerError(
        f"{program.source.path}: question {question}, draw {draw}: the episode fails compiled and"
        " not interpreted; an index out of bounds does that"
    )
