"""What the two sides of a sandbox have agreed on: frames of words, and the shared memory's halves.

A frame is `[W]` counts of words, then the words, slot by slot. Requests are records of
`header, words...` with `kind | flag << 3 | count << 4` as header: BRANCH has k; CONTINUE the ids,
then the times; FINISH, PROBE and PRUNE the ids; NOTE a name and bits; ANSWER an id. PRUNE and
NOTE reveal nothing and travel with the next record. A reply has for each slot that asked the
words that `broker._write_reply` has.
"""

from typing import Any

import numpy as np

from autotts.engine import compiled

ANSWER = 6
"""A kind of record beside those of `control`: the end of an episode."""
REPLY_HEAD = 8
BLOCK_HEAD = 5
READY_SIZES = {"ceiling": 128, "intervals": 128, "n_codes": 256}


def outgoing_words(ceiling: int) -> int:
    """Most words a slot sends in one frame: one request for all branches, and what came before."""
    return 1024 + 4 * max(ceiling, READY_SIZES["ceiling"])


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
