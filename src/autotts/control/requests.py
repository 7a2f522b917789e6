"""The log of requests: what an episode asked for, in words of int64."""

import functools
from hashlib import blake2b
from typing import Any

from numba.extending import register_jitable

from autotts.control.state import State


@register_jitable
def write_log(s: State, kind: int, flag: bool, count: int) -> int:
    """Note a request in the log; returns where its `count` words go, -1 if nothing is logged."""
    if s.log_size == 0:
        return -1
    at = s.log_at
    if at + 1 + count > s.log_size:
        s.log_full = 1
        return -1
    s.log[at] = kind | (int(flag) << 3) | (count << 4)
    s.log_at = at + 1 + count
    return at + 1


@register_jitable
def log_ids(s: State, kind: int, ids: Any) -> None:
    at = write_log(s, kind, False, len(ids))
    if at >= 0:
        for j in range(len(ids)):
            s.log[at + j] = ids[j]


@functools.cache
def note_digest(name: str) -> int:
    """The int64 by which the log knows a note's name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=7).digest(), "big")
