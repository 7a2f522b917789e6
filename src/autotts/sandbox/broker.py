"""The trusted half of the blind driver: it holds the pools, reveals, charges and logs.

Frames come from a worker that nothing is believed of: every count, id and length is checked
before it is used, and the actions are those of `control`, which check the rest. A record that
can't be read ends the group with a `SandboxError`; one that the state does not admit is told to
the program, which raises.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types

from autotts import control
from autotts.errors import ControllerError, SandboxError
from autotts.replay import compiled, jit
from autotts.replay.memory import Memory
from autotts.sandbox.kernel import RECEIVED, kernel
from autotts.sandbox.lockstep import ANSWER, BLOCK_HEAD, REPLY_HEAD, outgoing_words

_I64 = types.int64
_WORDS = types.int64[::1]
_UNREADABLE = -1


@kernel(_I64(_I64, RECEIVED, _I64, _I64, _WORDS, _I64, _WORDS))
def answer_slot(
    header: int, frame: Any, at: int, end: int, reply: Any, out_at: int, ended: Any
) -> int:
    """Perform the records `frame[at:end]` of one slot; returns where its reply ends.

    The reply is `rule, branch, value` if a rule was broken. Else it is `0, n, n_finished,
    n_answers, spent, rounds, before, blocks`, then for each branch of the request its id, the
    depths from and to which it went, its tokens and answer, and the answers revealed at those
    depths; then, with blocks, the branches that finished, in order.

    Args:
        ended: `[2]`, set to 1 and the answer's id when the episode answers.

    Returns:
        -1 if the records can't be read.
    """
    s = jit.state_at(header)
    depths = jit.array_at(s.arena_address, 8, s.ceiling)
    rule = 0
    kind = control.NOTE
    first = count = n_before = 0
    while at < end:
        word = frame[at]
        kind, flag, count = word & 7, (word >> 3) & 1, word >> 4
        at += 1
        room = end - at
        single = kind == control.BRANCH or kind == ANSWER
        if count < 1 or count > room or (single and count != 1) or kind > ANSWER:
            return _UNREADABLE
        if (flag and kind != control.BRANCH and kind != control.CONTINUE) or (
            kind == control.NOTE and count != 2
        ):
            return _UNREADABLE
        length = 2 * count if kind == control.CONTINUE else count
        last = kind != control.PRUNE and kind != control.NOTE
        if length > room or (last and length != room):
            return _UNREADABLE
        first = at
        at += length
        ids = frame[first : first + count]
        n_before = s.n
        if kind == control.NOTE:
            control.note(s, ids[0], ids[1])
        elif kind == ANSWER:
            ended[0] = 1
            ended[1] = ids[0]
        elif kind == control.BRANCH:
            rule = control.branch(s, ids[0], flag == 1)
        else:
            if kind != control.PRUNE:
                rule = control.check_ids(s, ids)
                for j in range(count):
                    if rule == 0:
                        depths[j] = s.depth[ids[j]]
            if rule == 0:
                if kind == control.CONTINUE:
                    rule = control.advance(s, ids, frame[first + count : at], flag == 1)
                elif kind == control.FINISH:
                    rule = control.finish(s, ids)
                elif kind == control.PROBE:
                    rule = control.probe(s, ids)
                else:
                    rule = control.prune(s, ids)
        if rule and not last:
            return _UNREADABLE
    reply[out_at] = rule
    if rule:
        reply[out_at + 1] = s.error_branch
        reply[out_at + 2] = s.error_value
        return out_at + 3
    blocks = 0
    if kind == control.BRANCH:
        blocks = s.n - n_before
    elif kind == control.CONTINUE or kind == control.FINISH or kind == control.PROBE:
        blocks = count
    reply[out_at + 1] = s.n
    reply[out_at + 2] = s.n_finished
    reply[out_at + 3] = s.n_answers
    reply[out_at + 4] = s.spent
    reply[out_at + 5] = s.rounds
    reply[out_at + 6] = s.before
    reply[out_at + 7] = blocks
    out_at += REPLY_HEAD
    for j in range(blocks):
        if kind == control.BRANCH:
            i, low = n_before + j, 0
        else:
            i = frame[first + j]
            low = s.depth[i] - 1 if kind == control.PROBE else depths[j]
        high = s.depth[i]
        reply[out_at] = i
        reply[out_at + 1] = low
        reply[out_at + 2] = high
        reply[out_at + 3] = s.tokens[i]
        reply[out_at + 4] = s.answer[i]
        out_at += BLOCK_HEAD
        for d in range(low, high):
            reply[out_at] = s.history[i * s.intervals + d]
            out_at += 1
    if blocks:
        for j in range(s.before, s.n_finished):
            reply[out_at] = s.finish_order[j]
            out_at += 1
    return out_at


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
        self._playing = np.ones(len(memories), np.bool_)
        sizes = [REPLY_HEAD + m["ceiling"] * (BLOCK_HEAD + 2 + m["intervals"]) for m in memories]
        self._reply = np.zeros(sum(sizes), np.int64)
        self._most_words = [outgoing_words(m["ceiling"]) for m in memories]
        self.results = np.zeros((len(memories), len(compiled.RESULTS)), np.int64)

    @property
    def playing(self) -> bool:
        """Whether some episode has not ended."""
        return bool(self._playing.any())

    @property
    def max_bytes(self) -> int:
        """The largest frame that a worker may send."""
        return 8 * (len(self._memories) + sum(self._most_words))

    def answer(self, frame: np.ndarray) -> np.ndarray:
        """Perform what a worker asks, and return what that revealed.

        Args:
            frame: int64 words as received.

        Raises:
            SandboxError: the frame is not one, or asks for what can't be asked.
            ControllerError: an episode goes on and on.
        """
        width = len(self._memories)
        if len(frame) < width:
            raise SandboxError(f"a frame of {len(frame)} words for {width} episodes")
        counts = frame[:width].tolist()
        if min(counts) < 0 or sum(counts) != len(frame) - width:
            raise SandboxError("the counts of a frame don't add up to its length")
        perform = answer_slot()
        ended = np.zeros(2, np.int64)
        start, end = width, 0
        for k, count in enumerate(counts):
            if not count:
                if self._playing[k]:
                    raise SandboxError(f"episode {k} goes on and asks for nothing")
                continue
            if not self._playing[k] or count > self._most_words[k]:
                raise SandboxError(f"episode {k} asks for {count} words, out of turn or too many")
            memory = self._memories[k]
            ended[0] = 0
            end = perform(memory.address, frame, start, start + count, self._reply, end, ended)
            if end == _UNREADABLE:
                raise SandboxError(f"episode {k} sent a record that can't be read")
            start += count
            if ended[0]:
                self._end(k, int(ended[1]))
            elif memory["log_full"]:
                raise ControllerError(f"an episode asks for more than {memory['log_size']} words")
        return self._reply[:end]

    def log(self, k: int) -> np.ndarray:
        """The words of slot k's log."""
        memory = self._memories[k]
        return memory.arrays["log"][: memory["log_at"]].copy()

    def _end(self, k: int, answer: int) -> None:
        memory = self._memories[k]
        compiled.end()(memory.address, 0, answer, self.results[k])
        self._playing[k] = False
