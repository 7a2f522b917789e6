"""Episodes in this process: a trusted program over a pool, compiled or interpreted."""

import os
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from autotts.engine import compiled, interpreted
from autotts.engine.memory import Memory
from autotts.errors import ControlError, ControllerError, ProgramError
from autotts.programs import Program
from autotts.stores import Pool

_CHUNKS_A_THREAD = 4
_FIRST_LOG_WORDS = 1 << 16
_LOADED: dict[Any, Any] = {}


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds in every episode of a run; how many branches one may open, its draws say.

    budget: tokens, -1 for none.
    probe_cost: tokens of a probe.
    abstain: whether a failed extraction is no answer, instead of an answer that votes.
    """

    budget: int = -1
    probe_cost: int = 0
    abstain: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """What episodes asked for, in the words of `control.write_log`.

    words: int64, all episodes one behind the other.
    ends: `[E]` where each one's words end.
    """

    words: np.ndarray
    ends: np.ndarray

    @classmethod
    def by_episode(cls, words: Sequence[np.ndarray]) -> "Log":
        """The log of episodes with these words each."""
        return cls(
            np.concatenate([np.zeros(0, np.int64), *words]),
            np.cumsum([len(one) for one in words], dtype=np.int64),
        )

    def of(self, episode: int) -> np.ndarray:
        """The words of one episode."""
        first = self.ends[episode - 1] if episode else 0
        return self.words[first : self.ends[episode]]


@dataclass(frozen=True, slots=True)
class Episodes:
    """What came out of episodes.

    pairs: `[E, 2]` int64, (question, draw) of each.
    results: `[E, len(compiled.RESULTS)]` int64.
    log: what they asked for, if it was kept.
    """

    pairs: np.ndarray
    results: np.ndarray
    log: Log | None = None

    def column(self, name: str) -> np.ndarray:
        """`[E]` one of `compiled.RESULTS`."""
        return self.results[:, compiled.RESULTS.index(name)]


def all_pairs(orders: np.ndarray) -> np.ndarray:
    """`[Q * D, 2]` every (question, draw) of the orders `[Q, D, W]`, question by question."""
    questions, draws, _ = orders.shape
    return np.stack(np.divmod(np.arange(questions * draws), draws), axis=1)


def make_memory(pool: Pool, rules: Rules, ceiling: int, log_words: int = 0) -> Memory:
    """Memory for episodes over a pool."""
    return Memory(
        ceiling=ceiling,
        intervals=pool.probes.shape[2],
        n_codes=int(pool.n_codes.max()),
        interval=pool.interval,
        billing=pool.billing,
        budget=rules.budget,
        probe_cost=rules.probe_cost,
        log_words=log_words,
    )


def failed_codes(pool: Pool, rules: Rules) -> np.ndarray:
    """`[Q]` int64: the code that counts as no answer, -1 where there is none."""
    if rules.abstain:
        return pool.failed.astype(np.int64)
    return np.full(len(pool.failed), -1, np.int64)


def aim(memory: Memory, pool: Pool, rules: Rules, orders: np.ndarray, q: int, d: int) -> None:
    """Begin an episode of draw d of question q in `memory`."""
    compiled.begin()(memory.address)
    memory.point("order", orders[q, d])
    memory.point("probes", pool.probes[q])
    memory.point("lengths", pool.lengths[q])
    memory.point("totals", pool.tokens[q])
    memory.point("finals", pool.finals[q])
    memory["failed"] = int(failed_codes(pool, rules)[q])
    memory["log_at"] = 0
    memory["log_full"] = 0


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
    pool: Pool,
    orders: np.ndarray,
    pairs: np.ndarray,
    rules: Rules,
    *,
    keep_log: bool = False,
    jobs: int | None = None,
) -> Episodes:
    """Run a compiled program.

    Args:
        entry: address of the program, from `cache.address(compile_program(...))`.
        values: its parameters, in order.
        orders: `[Q, D, W]` int16 draws; W is the ceiling.
        pairs: `[E, 2]` int64 episodes to run.
        jobs: threads, at most one a core; all cores by default.

    An episode may have failed: see the column `status`.
    """
    cores = os.cpu_count() or 1
    jobs = min(jobs or cores, cores)
    compiled.run()  # loaded once, and not by every thread
    pairs = np.ascontiguousarray(pairs, np.int64)
    # Some questions take longer than others, so threads fetch several chunks each.
    parts_wanted = min(len(pairs), jobs * _CHUNKS_A_THREAD) if jobs > 1 else 1
    chunks = np.array_split(pairs, max(1, parts_wanted))

    def run(chunk: np.ndarray) -> tuple[np.ndarray, Log | None]:
        return _run_chunk(entry, values, pool, orders, np.ascontiguousarray(chunk), rules, keep_log)

    if len(chunks) == 1:
        parts = [run(chunks[0])]
    else:
        with ThreadPoolExecutor(jobs) as threads:
            parts = list(threads.map(run, chunks))
    results = np.concatenate([part for part, _ in parts])
    return Episodes(pairs, results, join_logs([log for _, log in parts if log is not None]))


def join_logs(logs: Sequence[Log]) -> Log | None:
    """One log of several, in order."""
    if len(logs) < 2:
        return logs[0] if logs else None
    offsets = np.cumsum([0, *(len(log.words) for log in logs[:-1])])
    return Log(
        np.concatenate([log.words for log in logs]),
        np.concatenate([log.ends + offset for log, offset in zip(logs, offsets, strict=True)]),
    )


def _run_chunk(
    entry: int,
    values: Sequence[float],
    pool: Pool,
    orders: np.ndarray,
    pairs: np.ndarray,
    rules: Rules,
    keep_log: bool,
) -> tuple[np.ndarray, Log | None]:
    log_words = _FIRST_LOG_WORDS if keep_log else 0
    memory = make_memory(pool, rules, orders.shape[2], log_words)
    memory.set_parameters(values)
    results = np.zeros((len(pairs), len(compiled.RESULTS)), np.int64)
    ends = np.zeros(len(pairs), np.int64)
    failed = failed_codes(pool, rules)
    words = np.empty(0, np.int64)
    kept = done = 0
    while done < len(pairs):
        first = done
        done = compiled.run()(
            entry, memory.address, pairs, first, failed, orders,
            pool.probes, pool.lengths, pool.tokens, pool.finals, ends, results,
        )  # fmt: skip
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
        return results, None
    return results, Log(words[:kept], ends)


def run_interpreted(
    solve: Callable[..., Any],
    values: dict[str, float],
    pool: Pool,
    orders: np.ndarray,
    pairs: np.ndarray,
    rules: Rules,
    *,
    keep_log: bool = False,
) -> Episodes:
    """Run a program interpreted, one episode after the other; see `run_compiled`.

    Raises:
        ControllerError: an episode failed; it names question, draw, line and reason.
    """
    log_words = _FIRST_LOG_WORDS if keep_log else 0
    memory = make_memory(pool, rules, orders.shape[2], log_words)
    p = interpreted.parameters(values)
    results = np.zeros((len(pairs), len(compiled.RESULTS)), np.int64)
    logs = []
    for e, (q, d) in enumerate(pairs.tolist()):
        while True:
            aim(memory, pool, rules, orders, q, d)
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
    return Episodes(pairs, results, Log.by_episode(logs) if keep_log else None)


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
    program: Program, values: dict[str, float], pool: Pool, orders: np.ndarray,
    episodes: Episodes, rules: Rules,
) -> None:  # fmt: skip
    """Raise for the first episode that failed, run again interpreted for line and message.

    Raises:
        ControllerError: if one failed.
    """
    failed = np.flatnonzero(episodes.column("status") != compiled.ANSWERED)
    if not len(failed):
        return
    pair = episodes.pairs[failed[:1]]
    run_interpreted(program.solve, values, pool, orders, pair, rules)
    question, draw = pair[0]
    raise ControllerError(
        f"{program.source.path}: question {question}, draw {draw}: the episode fails compiled and"
        " not interpreted; an index out of bounds does that"
    )
