"""The log of requests: what an episode asked for, in words of int64.

A log is one record after the other, and a record is a head and its body:

    head   bits 63..32  count: how many words the body has
           bits 31..16  of a BRANCH the model, else 0
           bits 15..8   flag: 1 if a BRANCH or CONTINUE also probes
           bits 7..0    kind

    kind                  body
    BRANCH                k, the number of branches to open
    CONTINUE              for each branch: its id in the lower half, its times in the upper
    FINISH, PROBE, PRUNE  the ids
    NOTE                  digest of the name, bits of the float64
    ANSWER                id of the answer, -1 for none

What a blind program sends to the broker is records too; only there an ANSWER occurs. Every other
module reads and writes records through this one. `LOG_VERSION` changes with the layout.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from autotts.control.state import State

# What reads a log is called for every record: as calls these took a tenth of a replay's time.
_inlined = register_jitable(forceinline=True)

LOG_VERSION = 3

BRANCH, CONTINUE, FINISH, PROBE, PRUNE, NOTE, ANSWER = range(7)
"""Kinds of requests. All but ANSWER are kinds of steps too; a FINISH step ends a branch."""

_KIND_BITS = 0xFF
_FLAG_BITS, _MODEL_BITS = 0xFF, 0xFFFF
_FLAG_AT, _MODEL_AT, _COUNT_AT = 8, 16, 32
_TIMES_AT, _ID_BITS = 32, (1 << 32) - 1


@register_jitable
def pack_head(kind: int, flag: bool, count: int, model: int = 0) -> int:
    """The head of a record whose body has `count` words."""
    return kind | (int(flag) << _FLAG_AT) | (model << _MODEL_AT) | (count << _COUNT_AT)


@_inlined
def unpack_head(head: int, room: int, ceiling: int) -> tuple[int, bool, int, int]:
    """Kind, flag, model and count of a record; the count is -1 if no program could have written it.

    Args:
        head: any word: it may come from a worker that nothing is believed of.
        room: words behind the head.
        ceiling: most branches that a request may name.
    """
    # A right shift keeps the sign, so the count of a negative word is negative, and is refused.
    kind, flag, count = head & _KIND_BITS, (head >> _FLAG_AT) & _FLAG_BITS, head >> _COUNT_AT
    model = (head >> _MODEL_AT) & _MODEL_BITS
    # What has no meaning is not let in; whether there is such a model is for the action to say.
    known = kind <= ANSWER and flag <= (1 if kind in (BRANCH, CONTINUE) else 0)
    known = known and (model == 0 or kind == BRANCH)
    if kind in (BRANCH, ANSWER):
        known = known and count == 1
    elif kind == NOTE:
        known = known and count == 2
    else:
        known = known and 1 <= count <= ceiling
    return kind, flag != 0, model, count if known and count <= room else -1


@register_jitable
def pack_times(branch: int, times: int) -> int:
    """The word by which a CONTINUE asks for `times` intervals, up to `MAX_TIMES`, of a branch."""
    return branch | (times << _TIMES_AT)


@_inlined
def unpack_times(body: Any, ids: Any, times: Any) -> None:
    """Write what a CONTINUE asks for, `[k]` words, to `ids` `[k]` and `times` `[k]`."""
    for j in range(len(body)):
        ids[j] = body[j] & _ID_BITS
        times[j] = body[j] >> _TIMES_AT


@register_jitable
def log_head(s: State, kind: int, flag: bool, count: int, model: int = 0) -> int:
    """Begin a record in the log; returns where its `count` words go, -1 if nothing is logged.

    The caller of a CONTINUE writes its words, by `pack_times`.
    """
    if s.log_size == 0:
        return -1
    at = s.log_at
    if at + 1 + count > s.log_size:
        s.log_full = 1
        return -1
    s.log[at] = pack_head(kind, flag, count, model)
    s.log_at = at + 1 + count
    return at + 1


@register_jitable
def log_word(s: State, kind: int, flag: bool, word: int, model: int = 0) -> None:
    """Log a BRANCH or an ANSWER."""
    at = log_head(s, kind, flag, 1, model)
    if at >= 0:
        s.log[at] = word


@register_jitable
def log_ids(s: State, kind: int, ids: Any) -> None:
    """Log a FINISH, PROBE or PRUNE."""
    at = log_head(s, kind, False, len(ids))
    if at >= 0:
        for j in range(len(ids)):
            s.log[at + j] = ids[j]


@register_jitable
def log_note(s: State, name: int, bits: int) -> None:
    """Log a NOTE."""
    at = log_head(s, NOTE, False, 2)
    if at >= 0:
        s.log[at] = name
        s.log[at + 1] = bits


@functools.cache
def note_digest(name: str) -> int:
    """The int64 by which the log knows a note's name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=7).digest(), "big")


class Record(NamedTuple):
    """One request of a log: its words `[1 + count]`, head and body."""

    kind: int
    flag: bool
    model: int
    words: np.ndarray


def records(words: np.ndarray) -> Iterator[Record]:
    """The requests of one episode's log, in order.

    Raises:
        ValueError: these words are no log.
    """
    at = 0
    while at < len(words):
        room = len(words) - at - 1
        kind, flag, model, count = unpack_head(int(words[at]), room, room)
        if count < 0:
            raise ValueError(f"no record begins at word {at} of {len(words)} of a log")
        yield Record(kind, flag, model, words[at : at + 1 + count])
        at += 1 + count


def decisions(words: np.ndarray) -> np.ndarray:
    """The words of a log without its notes, which ask for nothing."""
    kept = [record.words for record in records(words) if record.kind != NOTE]
    return np.concatenate([words[:0], *kept])


def models_opened(words: np.ndarray) -> np.ndarray:
    """int64 `[n]` the model of each branch that a log opens."""
    asked = [(r.model, int(r.words[1])) for r in records(words) if r.kind == BRANCH]
    return np.repeat([model for model, _ in asked], [k for _, k in asked]).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Log:
    """What episodes asked for.

    words: int64, the records of all episodes one behind the other.
    ends: `[E]` where each one's words end.
    version: of the layout of records; only this module's own can be read.
    """

    words: np.ndarray
    ends: np.ndarray
    version: int = LOG_VERSION

    def __post_init__(self) -> None:
        if self.version != LOG_VERSION:
            raise ValueError(f"a log of version {self.version}; this reads version {LOG_VERSION}")

    @classmethod
    def by_episode(cls, words: Sequence[np.ndarray]) -> "Log":
        """The log of episodes with these words each."""
        return cls(
            np.concatenate([np.zeros(0, np.int64), *words]),
            np.cumsum([len(one) for one in words], dtype=np.int64),
        )

    @classmethod
    def join(cls, logs: Sequence["Log"]) -> "Log":
        """One log of several, in order; at least one."""
        if len(logs) == 1:
            return logs[0]
        offsets = np.cumsum([0, *(len(log.words) for log in logs[:-1])])
        return cls(
            np.concatenate([log.words for log in logs]),
            np.concatenate([log.ends + offset for log, offset in zip(logs, offsets, strict=True)]),
        )

    def of(self, episode: int) -> np.ndarray:
        """The words of one episode."""
        return self.part(episode, episode + 1).words

    def part(self, first: int, last: int) -> "Log":
        """The log of episodes first to last - 1."""
        start = self.ends[first - 1] if first else 0
        end = self.ends[last - 1] if last else 0
        return Log(self.words[start:end], self.ends[first:last] - start)
