"""Request logs replayed: what episodes cost and answered, and their traces, from what they asked.

A log says what was asked, not what happened. Replaying it against the store, through the same
actions, gives cost and score without believing the program, or the process it ran in.
"""

import functools
from typing import Any

import numpy as np
from numba import types
from numba.extending import register_jitable

from autotts import control
from autotts.control import Log
from autotts.engine import compiled, jit
from autotts.engine.cache import compile_cached
from autotts.engine.memory import Memory
from autotts.replay.episodes import Episodes, make_memory, pool_header
from autotts.replay.task import Task

NOT_ADMITTED = 100
"""Status of an episode whose log no program could have written."""


@register_jitable(forceinline=True)
def ask_again(s: Any, at: int, end: int) -> Any:
    """Make the request at word `at` of an episode's log, which ends at `end`, again.

    Returns:
        Where the next request begins, -1 if this one was not admitted; its kind and its flag.
    """
    kind, flag, model, count = control.unpack_head(s.log[at], end - at - 1, s.ceiling)
    if count < 0:
        return -1, kind, flag
    words, times = compiled.read_body(s, s.log_address + 8 * (at + 1), kind, count)
    if control.perform(s, kind, flag, model, words, times):
        return -1, kind, flag
    return at + 1 + count, kind, flag


@register_jitable
def _replay_episode(s: Any, at: int, end: int) -> bool:
    """Make every request of an episode's log again; whether each was admitted."""
    while at < end:
        at, _, _ = ask_again(s, at, end)
        if at < 0:
            return False
    return True


def _replay(header: int, pool_header: int, pairs: Any, ends: Any, codes: Any, out: Any) -> int:
    """Replay the log of `pairs` `[E, 2]`, which answered `codes` `[E]`, into `out`.

    Returns how many intervals were decoded.
    """
    s, pool = jit.state_at(header), jit.pool_at(pool_header)
    first = intervals = 0
    for e in range(len(pairs)):
        compiled.aim(s, pool, pairs[e, 0], pairs[e, 1])
        s.episode = e
        admitted = _replay_episode(s, first, ends[e])
        answer = s.id_of[codes[e]] if codes[e] >= 0 else -1
        if codes[e] >= 0 and answer < 0:
            answer = s.n_answers
        compiled.conclude(s, 0, answer, out[e])
        if not admitted:
            out[e, 0] = NOT_ADMITTED
        first = ends[e]
        for i in range(s.n):
            intervals += s.depth[i]
        control.reset(s)
    return intervals


@functools.cache
def _compiled_replay() -> Any:
    pairs, words = types.int64[:, ::1], types.int64[::1]
    signature = types.int64(types.int64, types.int64, pairs, words, words, types.int64[:, ::1])
    return compile_cached(_replay, signature, key="replay", error_model="numpy", nogil=True)


def replay(
    log: Log,
    codes: np.ndarray,
    task: Task,
    *,
    trace: bool = False,
) -> tuple[Episodes, np.ndarray]:
    """Recompute episodes from their log.

    Args:
        codes: `[E]` int64 the answers given, as codes of the pool, -1 for none.
        trace: whether to write the steps too.

    Returns:
        The episodes, with status `NOT_ADMITTED` where the log breaks a rule and `NO_SUCH_ANSWER`
        where the answer was never revealed; and the steps `[M, len(control.STEP)]` int64.

    Raises:
        ValueError: the arrays don't belong together.
    """
    memory, ends = lay_in(log, codes, task)
    pairs, header = task.pairs, pool_header(task)
    results = np.zeros((len(pairs), len(compiled.RESULTS)), np.int64)
    arguments = (
        memory.address,
        header.address,
        np.ascontiguousarray(pairs, np.int64),
        ends,
        np.ascontiguousarray(codes, np.int64),
        results,
    )
    intervals = _compiled_replay()(*arguments)
    episodes = Episodes(results, log)
    if not trace:
        return episodes, np.empty((0, len(control.STEP)), np.int64)
    # A branch's intervals, its end, its pruning, and a word a probe or a note at the most.
    room = intervals + 2 * int(episodes.column("width").sum()) + len(log.words)
    make_room(memory, room)
    _compiled_replay()(*arguments)
    steps = memory.arrays["steps"].reshape(room, len(control.STEP))
    return episodes, steps[: memory["steps_at"]]


def make_room(memory: Memory, steps: int) -> None:
    """Let so many steps of a trace be written."""
    memory.point("steps", np.zeros(steps * len(control.STEP), np.int64))
    memory["steps_size"] = steps


def lay_in(log: Log, codes: np.ndarray, task: Task) -> tuple[Memory, np.ndarray]:
    """Memory in which compiled code finds the log, and `[E]` where each episode's words end.

    Raises:
        ValueError: the arrays don't belong together.
    """
    pool, pairs = task.pool, task.pairs
    ends = np.ascontiguousarray(log.ends, np.int64)
    if len(ends) != len(pairs) or len(codes) != len(pairs):
        raise ValueError(f"{len(pairs)} episodes, {len(ends)} logs and {len(codes)} answers")
    # Compared, not subtracted: a difference of numbers that a worker made up may overflow.
    if len(ends) and (ends[0] < 0 or np.any(ends[1:] < ends[:-1]) or ends[-1] > len(log.words)):
        raise ValueError("the log's ends must ascend and lie within its words")
    limits = pool.n_codes[pairs[:, 0]]
    if np.any(codes < -1) or np.any(codes >= limits):
        raise ValueError("an answer is not a code of its question's pool")
    memory = make_memory(task)
    # Read there, and not written: `log_size` is 0.
    memory.point("log", np.ascontiguousarray(log.words, np.int64))
    return memory, ends
