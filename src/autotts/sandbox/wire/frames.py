"""What the two sides of a sandbox have agreed on: frames of words, and the shared memory's halves.

A frame is `[W]` counts of words, then the words, slot by slot: records of `control.requests`. PRUNE
and NOTE reveal nothing and travel with the next record, which is one of another kind. A reply has
for each slot that asked the words that `broker._write_reply` has.
"""

from typing import Any

import numpy as np

from autotts.engine import compiled

REPLY_HEAD = 9
BLOCK_HEAD = 6
READY_SIZES = {"ceiling": 128, "intervals": 128, "n_codes": 256}


def longest_record(ceiling: int) -> int:
    """Words of the longest record: it names all branches, or is a note."""
    return max(1 + ceiling, 3)


def outgoing_words(ceiling: int) -> int:
    """Most words a slot sends in one frame: a request, and the prunings and notes before it."""
    return 1024 + 2 * longest_record(max(ceiling, READY_SIZES["ceiling"]))


def halves(buffer: Any, episodes: int, log_words: int) -> list[dict[str, np.ndarray]]:
    """The two places for a chunk of results in a buffer; both sides see it alike."""
    width = len(compiled.RESULTS)
    return [
        {
            "results": np.ndarray((episodes, width), np.int64, buffer, half),
            "ends": np.ndarray(episodes, np.int64, buffer, half + 8 * episodes * width),
            "log": np.ndarray(log_words, np.int64, buffer, half + 8 * episodes * (width + 1)),
        }
        for half in (0, half_bytes(episodes, log_words))
    ]


def half_bytes(episodes: int, log_words: int) -> int:
    """The size of each of `halves`."""
    return 8 * (episodes * (len(compiled.RESULTS) + 1) + log_words)
