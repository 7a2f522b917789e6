"""The traces of a round: some of its episodes, branch by branch, for an explorer to look at.

A sample, not a selection: of each beta and each verdict the same few, whichever questions they are
of. They show what usually happens; the digest names the extreme ones.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from autotts.diagnosis import VERDICTS, show
from autotts.replay.driver import Ran

LIMIT_BYTES = 64 * 1024
EACH = 2
"""Episodes of a verdict at a beta, of different questions where there are."""

_SHOWN = (*VERDICTS[1:-1], VERDICTS[0])
"""First what can be mended, then what is right; of hopeless episodes there is nothing to learn."""

_HEAD = """\
# Traces of {name}

A sample of its episodes: for each kind of mistake, and of right answers, up to {each} at each of
beta {betas}. Answers are letters, in the order in which an episode revealed them.
"""


def sample(ran: Sequence[Ran], found: pl.DataFrame, *, limit_bytes: int = LIMIT_BYTES) -> str:
    """Episodes of one controller in words and letters, whole ones for as long as they fit.

    The first of every verdict and beta come before the second of any. The same episodes give the
    same text.

    Args:
        ran: what was run, with its logs.
        found: its findings.
    """
    cells = {(one.store.model, one.store.dataset, one.spec.beta): one for one in ran}
    betas = sorted({one.spec.beta for one in ran})
    text = _HEAD.format(
        name=ran[0].spec.text, each=EACH, betas=", ".join(f"{beta:g}" for beta in betas)
    )
    for row in _pick(found).iter_rows(named=True):
        one = cells[row["model"], row["dataset"], row["beta"]]
        shown = f"\n```text\n{show(one, found, row['question'], row['draw'])}```\n"
        if len((text + shown).encode()) > limit_bytes:
            break
        text += shown
    return text


def _pick(found: pl.DataFrame) -> pl.DataFrame:
    """Which episodes are shown, in order."""
    keys = ["verdict", "beta"]
    # Shuffled by NumPy, whose streams are the same on every machine and in every version.
    return (
        found[np.random.default_rng(0).permutation(found.height)]
        .filter(pl.col("verdict").is_in(_SHOWN))
        .unique([*keys, "dataset", "question"], keep="first", maintain_order=True)
        .with_columns(
            nth=pl.int_range(pl.len()).over(keys),
            kind=pl.col("verdict").cast(pl.String).replace_strict(_SHOWN, range(len(_SHOWN))),
        )
        .filter(pl.col("nth") < EACH)
        .sort("nth", "kind", "beta")
    )
