"""What was understood of recordings, for a person to look at before it is written."""

from collections.abc import Iterable, Iterator

import numpy as np

from autotts.answers import judged_by
from autotts.stores.importing.sample import Gathered
from autotts.stores.importing.samples import SampleColumns
from autotts.stores.regrading import spelled_differently
from autotts.stores.schema import Store
from autotts.text import clean, counted, percent, shorten

_AS = {
    "exact": "as strings",
    "math": "as mathematics",
    "choice": "as letters of choices",
    "code": "by what programs do",
}
_MOST_NAMED = 8


def notes_on(
    graded: Store,
    exact: Store,
    gathered: Gathered,
    format_name: str,
    columns: SampleColumns | None,
    files: int,
) -> Iterator[str]:
    """What was understood of a store, a line each.

    Args:
        graded, exact: the store as it will be written, and by strings.
    """
    pool = graded.pool
    counts = pool.n_branches
    several = f"{counts.min()} to {counts.max()}" if counts.min() < counts.max() else counts.max()
    made = f" from {files} files" if files > 1 else ""
    yield (
        f"{graded.name}: {format_name}{made}, {len(counts):,} questions x {several} branches,"
        f" {int(pool.tokens.sum(dtype='int64')):,} tokens"
    )
    probed = "answers known at the end only" if pool.probes is None else "answers at each interval"
    size = "of their own size" if pool.ends is not None else f"of {pool.interval:,} tokens"
    signals = f", signals {', '.join(pool.signals)}" if pool.signals else ""
    yield f"  intervals {size}; {probed}{signals}"
    yield _graded(graded, exact)
    if columns is not None and columns.told:
        yield f"  columns read as {columns.told}"
    if columns is not None and columns.unread:
        yield f"  columns not read: {named(columns.unread)}"
    if gathered.read:
        yield f"  {gathered.read:,} answers were read in what the model wrote"
    if gathered.tokens_counted:
        yield f"  tokens {gathered.tokens_counted}"
    yield from _doubts(graded, gathered)


def _graded(graded: Store, exact: Store) -> str:
    branches = exact.pool.n_branches.sum()
    right, as_strings = (s.correct.sum() / branches for s in (graded, exact))
    equality = graded.manifest.equality
    if equality == "exact":
        told = f"  answers compared {_AS[equality]}: {percent(right)} % of branches right"
        questions, share = spelled_differently(graded)
        if questions:
            told += (
                f"; {counted(questions, 'question')} with equal answers in other spellings, without"
                f" which {percent(share)} % are: --equality math or choice"
            )
        return told
    told = f"  answers compared {_AS[equality]}: {percent(right)} % of branches right, as strings"
    told += f" {percent(as_strings)} %"
    if equality == "math" and not judged_by("math"):
        told += '; formulas only by their form: pip install "autotts[math]" compares them truly'
    return told


def _doubts(graded: Store, gathered: Gathered) -> Iterator[str]:
    """What may be wrong with the recordings."""
    pool, texts = graded.pool, graded.texts
    if gathered.left_out:
        failed = counted(gathered.left_out, "sample")
        yield f"  left out: {failed} that failed (no tokens and no answer)"
    if empty := len(gathered.questions) - len(texts):
        yield f"  left out: {counted(empty, 'question')} without any other sample"
    unread = (pool.finals == pool.failed[:, None]) & (pool.finals >= 0)
    if unread.any():
        yield f"  no answer could be read in {counted(int(unread.sum()), 'branch')}"
    if gathered.sparse:
        odd = counted(gathered.sparse, "response")
        yield f"  check the token counts: {odd} with far more characters than so many tokens have"
    if pool.ends is None and pool.probes is not None and (uneven := int(_uneven(graded).sum())):
        yield (
            f"  check the token counts: {counted(uneven, 'branch')} with a number of intervals that"
            " they don't make"
        )
    if len(set(texts)) < len(texts):
        repeated = counted(len(texts) - len(set(texts)), "question")
        yield f"  the text of another is that of {repeated}; ids tell them apart"
    lost = [q for q, right in enumerate(graded.correct) if not right.any()]
    if lost:
        names = [graded.ids[q] if graded.ids else str(q) for q in lost]
        hopeless = counted(len(lost), "question")
        yield f"  no branch gives the true answer of {hopeless}: {named(names)}"


def _uneven(store: Store) -> np.ndarray:
    """bool `[Q, N]` branches that have not about as many intervals as tokens."""
    pool = store.pool
    whole = pool.tokens // pool.interval
    return np.asarray(pool.exists & (abs(pool.lengths - whole) > 1))


def named(names: Iterable[object]) -> str:
    """Some names in words: the first few, and how many more."""
    found = [clean(shorten(str(name), 40)) for name in names]
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ", ".join(found[:_MOST_NAMED]) + more
