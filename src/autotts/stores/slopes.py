"""Whether short answers are the right ones: the slope of accuracy on length.

Everything that votes in the order in which branches finish lives on this slope, and it differs from
one family of models to the next.
"""

import numpy as np

from autotts.stores.schema import Store


def length_slopes(store: Store) -> np.ndarray:
    """How much likelier than a question's shortest branch its longest one is to be right.

    In each question, a line is put through whether a branch is right over the branch's place by
    length, from 0 for the shortest to 1 for the longest; equally long branches share the mean of
    their places. Of branches that are all right, or all wrong, it is flat.

    Returns:
        float64 `[Q]` slopes in shares of right answers, from -1.5 to 1.5; nan for a question with
        a single branch. Their mean is the store's slope.
    """
    slopes = []
    for lengths, right, count in zip(
        store.pool.tokens, store.correct, store.pool.n_branches, strict=True
    ):
        slopes.append(_slope(lengths[:count], right[:count]))
    return np.array(slopes)


def _slope(lengths: np.ndarray, right: np.ndarray) -> float:
    """The slope of one question with these branches `[n]`."""
    if len(lengths) < 2:
        return float("nan")
    places = mean_ranks(lengths) / (len(lengths) - 1) - 0.5
    spread = float((places**2).mean())
    if spread == 0:  # all are equally long
        return 0.0
    return float((places * right).mean() / spread)


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """`[n]` rank of each value from 0, ascending; equal values have the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray(((2 * ends - counts - 1) / 2)[place])
