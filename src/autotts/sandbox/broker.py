"""The trusted half of the blind driver: it holds the pools, reveals, charges and logs.

Frames come from a worker that nothing is believed of: every count, id and length is checked
before it is used, and the actions are those of `control`, which check the rest. A frame that
can't be read ends the group with a `SandboxError`; a request that the state does not admit is
told to the program, which raises.

    worker: `guest.blind`, no data                     this side: the pools, one Memory a slot

    slot 0  solve -> ask() -> its log's words -+
    slot 1  solve -> ask() -> its log's words -+-- gather()
    ...     suspended till the reply           |
                                               v
            frame  | W counts | records of slot 0 | records of slot 1 | ...
                                               |  ASK
                                               v
            answer_frame(): for each slot whose episode goes on
                unpack_head()  is it a record, with room, for this state? else the group ends
                perform()      control's own action: charges, reveals, writes this side's log
                _write_reply() what the request revealed, and no more
                                               |
            reply  | slot 0 | slot 1 | ...     |  REPLY; none for a slot that has answered
                                               v
            absorb(): into the states of the slots, which go on

A slot sends PRUNEs and NOTEs, which reveal nothing, and then at most one record of another kind.
Its reply is `rule, branch, value` where a rule was broken; after that it may only ANSWER.
Nothing is ever read from the worker's memory, and no address crosses: ids and counts do.
"""

# Numba's decorators and array functions have no types.
# mypy: disable-error-code="no-any-return,untyped-decorator"

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types
from numba.extending import register_jitable

from autotts import control
from autotts.engine import compiled, jit
from autotts.engine.memory import Memory
from autotts.errors import ControllerError, SandboxError
from autotts.sandbox.wire.frames import BLOCK_HEAD, REPLY_HEAD, outgoing_words
from autotts.sandbox.wire.kernel import RECEIVED, kernel

_I64 = types.int64
_WORDS = types.int64[::1]

_UNREADABLE, _OUT_OF_TURN, _LOGS_TOO_MUCH = -1, -2, -3
_PLAYS, _ANSWERS, _WAS_REFUSED = range(3)
"""How a slot stands after a frame: what was refused something may only answer."""


@register_jitable
def _is_last(kind: int) -> bool:
    """Whether nothing may follow a record of this kind in a slot's words of one frame."""
    return kind != control.PRUNE and kind != control.NOTE


@register_jitable
def _perform(s: Any, kind: int, flag: bool, model: int, words: Any, times: Any, depths: Any) -> int:
    """Do what one record asks for; returns the rule it breaks. Keeps where branches were."""
    if kind == control.CONTINUE or kind == control.FINISH or kind == control.PROBE:
        # Checked here as well, for an id is an index from now on.
        rule = control.check_ids(s, words)
        if rule:
            return rule
        for j in range(len(words)):
            depths[j] = s.depth[words[j]]
    return control.perform(s, kind, flag, model, words, times)


@register_jitable
def _write_reply(
    s: Any, kind: int, ids: Any, n_before: int, depths: Any, reply: Any, at: int
) -> int:
    """Write what a request revealed; returns where that ends.

    `0, n, n_finished, n_answers, spent, cost, rounds, before, blocks`, then for each branch of the
    request its id, the depths from and to which it went, its tokens, its answer, its model, and
    the answers revealed at those depths, and the bits of each signal there; then the branches that
    finished, in order.
    """
    blocks = 0
    if kind == control.BRANCH:
        blocks = s.n - n_before
    elif _is_last(kind) and kind != control.ANSWER:
        blocks = len(ids)
    head = (0, s.n, s.n_finished, s.n_answers, s.spent, s.cost, s.rounds, s.before, blocks)
    for j in range(REPLY_HEAD):
        reply[at + j] = head[j]
    at += REPLY_HEAD
    for j in range(blocks):
        i, low = n_before + j, 0
        if kind != control.BRANCH:
            i = ids[j]
            low = s.depth[i] - 1 if kind == control.PROBE else depths[j]
        high = s.depth[i]
        block = (i, low, high, s.tokens[i], s.answer[i], s.model[i])
        for k in range(BLOCK_HEAD):
            reply[at + k] = block[k]
        at += BLOCK_HEAD
        for d in range(low, high):
            reply[at] = s.history[i * s.intervals + d]
            at += 1
        for j in range(s.n_signals):
            bits = jit.array_at(s.signals_address + 8 * (j * s.slots + i) * s.intervals, 8, high)
            for d in range(low, high):
                reply[at] = bits[d]
                at += 1
    if blocks:
        for j in range(s.before, s.n_finished):
            reply[at] = s.finish_order[j]
            at += 1
    return at


@register_jitable
def _answer_slot(
    s: Any, frame: Any, at: int, end: int, reply: Any, out_at: int, stands: Any
) -> int:
    """Perform the records `frame[at:end]` of one slot; returns where its reply ends.

    The reply is `rule, branch, value` if a rule was broken, else as `_write_reply` has it.

    Args:
        stands: how the slot stands, and the id it answers.
    """
    # Behind the ids and times of a CONTINUE, which `read_body` puts there.
    depths = jit.array_at(s.arena_address + 16 * s.ceiling, 8, s.ceiling)
    address = frame.ctypes.data
    kind = control.NOTE
    n_before = s.n
    may_only_answer = stands[0] == _WAS_REFUSED
    stands[0] = _PLAYS
    words = jit.array_at(address, 8, 0)
    while at < end:
        room = end - at - 1
        kind, flag, model, count = control.unpack_head(frame[at], room, s.ceiling)
        if count < 0 or (_is_last(kind) and count != room):
            return _UNREADABLE
        if may_only_answer and kind != control.ANSWER:
            return _OUT_OF_TURN
        words, times = compiled.read_body(s, address + 8 * (at + 1), kind, count)
        at += 1 + count
        if kind == control.ANSWER:
            stands[0] = _ANSWERS
            stands[1] = words[0]
        else:
            rule = _perform(s, kind, flag, model, words, times, depths)
            if rule and not _is_last(kind):
                return _UNREADABLE
            if rule:
                stands[0] = _WAS_REFUSED
                reply[out_at] = rule
                reply[out_at + 1] = s.error_branch
                reply[out_at + 2] = s.error_value
                return out_at + 3
    if s.log_full:
        return _LOGS_TOO_MUCH
    return _write_reply(s, kind, words, n_before, depths, reply, out_at)


@kernel(
    _I64(
        _WORDS, _WORDS, types.boolean[::1], RECEIVED, _WORDS, types.int64[:, ::1],
        types.int64[:, ::1],
    )
)  # fmt: skip
def answer_frame(
    headers: Any, most_words: Any, playing: Any, frame: Any, reply: Any, stands: Any, results: Any
) -> Any:
    """Perform what a frame asks for; returns the length of the reply, or why there is none.

    Args:
        most_words: `[W]` words that each slot may send.
        playing: `[W]` whose episode goes on; updated.
        stands: `[W, 2]` how each slot stands, and the id that it answers; updated.
        results: `[W, len(compiled.RESULTS)]` of the episodes that end; written.
    """
    width = len(headers)
    if len(frame) < width:
        return _UNREADABLE
    start, end = width, 0
    for k in range(width):
        count = frame[k]
        if (count > 0) != playing[k] or count > most_words[k]:
            return _OUT_OF_TURN
        if count < 0 or count > len(frame) - start:
            return _UNREADABLE
        if count:
            s = jit.state_at(headers[k])
            end = _answer_slot(s, frame, start, start + count, reply, end, stands[k])
            if end < 0:
                return end
            if stands[k, 0] == _ANSWERS:
                compiled.conclude(s, 0, stands[k, 1], results[k])
                playing[k] = False
            start += count
    return end if start == len(frame) else _UNREADABLE


class Broker:
    """The episodes of one group of a blind run, one per slot.

    results: `[W, len(compiled.RESULTS)]` int64, as the in-process drivers give them.
    """

    def __init__(self, memories: Sequence[Memory]) -> None:
        """
        Args:
            memories: for each slot its state, pointing at its question, with room for the log.
        """
        self._memories = memories
        self._headers = np.array([m.address for m in memories], np.int64)
        self._playing = np.ones(len(memories), np.bool_)
        self._stands = np.zeros((len(memories), 2), np.int64)
        sizes = [
            REPLY_HEAD + m["slots"] * (BLOCK_HEAD + 2 + (1 + m["n_signals"]) * m["intervals"])
            for m in memories
        ]
        self._reply = np.empty(sum(sizes), np.int64)
        self._most_words = np.array([outgoing_words(m["slots"]) for m in memories], np.int64)
        self.results = np.zeros((len(memories), len(compiled.RESULTS)), np.int64)

    @property
    def playing(self) -> bool:
        """Whether some episode has not ended."""
        return bool(self._playing.any())

    @property
    def max_bytes(self) -> int:
        """The largest frame that a worker may send."""
        return 8 * (len(self._memories) + int(self._most_words.sum()))

    def answer(self, frame: np.ndarray) -> np.ndarray:
        """Perform what a worker asks for, and return what that revealed.

        Args:
            frame: int64 words as received.

        Raises:
            SandboxError: the frame is not one, or asks out of turn.
            ControllerError: an episode goes on and on.
        """
        size = answer_frame()(
            self._headers, self._most_words, self._playing, frame, self._reply, self._stands,
            self.results,
        )  # fmt: skip
        if size == _LOGS_TOO_MUCH:
            raise ControllerError(
                f"an episode asks for more than {self._memories[0]['log_size']:,} words"
            )
        if size < 0:
            raise SandboxError(
                "a worker sent a frame that can't be read"
                if size == _UNREADABLE
                else "a worker spoke for an episode out of turn, or said too much"
            )
        return self._reply[:size]

    def log(self, k: int) -> np.ndarray:
        """The words of slot k's log."""
        memory = self._memories[k]
        return memory.arrays["log"][: memory["log_at"]].copy()
