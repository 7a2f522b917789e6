"""What branches tell before they are compared: their length, and a signal, about being right.

Everything that votes in the order in which branches finish lives on the slope of accuracy on
length, and everything that weighs or cuts branches by a signal on how well it tells right from
wrong. Both differ from one family of models to the next.
"""

from collections.abc import Callable

import numpy as np

from autotts.errors import StoreError
from autotts.stores.schema import Store

Values = np.ndarray


def length_slopes(store: Store) -> np.ndarray:
    """How much likelier than a question's shortest branch its longest one is to be right.

    In each question, a line is put through whether a branch is right over the branch's place by
    length, from 0 for the shortest to 1 for the longest; equally long branches share the mean of
    their places. Of branches that are all right, or all wrong, it is flat.

    Returns:
        float64 `[Q]` slopes in shares of right answers, from -1.5 to 1.5; nan for a question with
        a single branch. Their mean is the store's slope.
    """
    pairs = zip(store.pool.tokens, store.correct, store.pool.n_branches, strict=True)
    return np.array([slope(lengths[:n], right[:n]) for lengths, right, n in pairs])


def signal_auc(store: Store, name: str) -> float:
    """How well the last value of a signal tells right branches from wrong ones of their question.

    Returns:
        The share of pairs of a right and a wrong branch of one question in which the right one has
        the larger value, equal ones half; nan where no question has both.

    Raises:
        StoreError: the store has no such signal.
    """
    pool = store.pool
    if name not in pool.signals:
        raise StoreError(
            f"{store.name} has no signal {name}; it has {', '.join(sorted(pool.signals)) or 'none'}"
        )
    last = np.maximum(pool.lengths, 1).astype(np.int64)[:, :, None] - 1
    values = np.take_along_axis(pool.signals[name], last, axis=2)[:, :, 0]
    there = pool.exists
    return auc(values[there], store.correct[there], np.nonzero(there)[0])


def slope(lengths: Values, right: Values) -> float:
    """The slope of one question with these branches `[n]`, as in `length_slopes`."""
    if len(lengths) < 2:
        return float("nan")
    places = mean_ranks(lengths) / (len(lengths) - 1) - 0.5
    spread = float((places**2).mean())
    if spread == 0:  # all are equally long
        return 0.0
    return float((places * right).mean() / spread)


def auc(values: Values, right: Values, question: Values) -> float:
    """The share of pairs of a right and a wrong branch of one question that are told apart.

    Args:
        values, right, question: `[R]` of each branch.
    """
    return shifted_auc(values, right, question)(0.0)


def shifted_auc(values: Values, right: Values, question: Values) -> Callable[[float], float]:
    """`auc` by what is added to the values of right branches."""
    # Of complex numbers the real part is compared first: one search does for all questions.
    wrong, told = (_keys(values[which], question[which]) for which in (~right, right))
    before, after = (np.searchsorted(wrong.real, told.real, side) for side in ("left", "right"))
    pairs = (after - before).sum()

    def found(by: float) -> float:
        moved = told.copy()
        moved.imag += by
        below = np.searchsorted(wrong, moved, "left") + np.searchsorted(wrong, moved, "right")
        return float((below / 2 - before).sum() / pairs) if pairs else float("nan")

    return found


def _keys(values: Values, question: Values) -> np.ndarray:
    keys = np.empty(len(values), np.complex128)
    keys.real, keys.imag = question, values
    keys.sort()
    return keys


def mean_ranks(values: Values) -> np.ndarray:
    """`[n]` rank of each value from 0, ascending; equal values have the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray(((2 * ends - counts - 1) / 2)[place])


def accuracy_by_length(store: Store, parts: int = 4) -> np.ndarray:
    """float64 `[parts]` share of right branches, from the shortest to the longest of a question.

    Branches are put in parts of their own question by their place in length, equally long ones
    sharing the mean of their places; questions count alike, and so do branches within a question's
    part. nan where no question has a branch in a part.
    """
    shares = np.full((len(store.gold), parts), np.nan)
    pairs = zip(store.pool.tokens, store.correct, store.pool.n_branches, strict=True)
    for q, (lengths, right, n) in enumerate(pairs):
        part = ((mean_ranks(lengths[:n]) + 0.5) * parts / n).astype(np.int64)
        counts = np.bincount(part, minlength=parts)
        hits = np.bincount(part, weights=right[:n], minlength=parts)
        shares[q, counts > 0] = hits[counts > 0] / counts[counts > 0]
    there = ~np.isnan(shares)
    total, known = np.where(there, shares, 0.0).sum(axis=0), there.sum(axis=0)
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)
