"""What a controller program may compute on votes and answers: pure functions, nothing remembered.

Shared vocabulary: `votes` `[A]` counts by answer id (`env.votes`); `answers` `[n]` answer ids by
branch (`env.answer`); `history` `[k]` answer ids of one branch by depth (`env.history(i)`); an id
of -1 is no answer, and never counts. All arrays are int64, masks bool. Every tie is broken by a
rule that stands in the docstring. The functions give the same results compiled and interpreted.

Every id is checked here, for Numba's `boundscheck` ends at the functions it compiles for others: an
id that is out of range would read or write any memory of the process. The errors are IndexError for
an id and ValueError for a size, the same compiled and interpreted. Masks and counts may be longer
than what they are for: `[ceiling]` where `[n]` is asked.
"""

import math
from typing import Any

import numpy as np
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@register_jitable
def majority(votes: Ints) -> int:
    """The answer with most votes, the lowest id among equals; -1 if there are no votes.

    `env.vote()` breaks ties by finishing order instead, as the released code does.

    >>> majority(np.array([1, 3, 3]))
    1
    """
    best = -1
    most = 0
    for a in range(len(votes)):
        if votes[a] > most:
            best = a
            most = votes[a]
    return best


def top_two(votes: Ints) -> tuple[int, int]:
    """The two largest counts; 0 for what is missing.

    >>> first, second = top_two(np.array([2, 5, 1]))
    >>> int(first), int(second)
    (5, 2)
    """
    # Interpreted, a sort in C beats a loop by far; compiled, the loop beats a sort.
    second, first = sorted([0, 0, *votes.tolist()])[-2:]
    return first, second


@overload(top_two)
def _top_two_compiled(votes: Any) -> Any:
    def look(votes: Any) -> tuple[int, int]:
        first = 0
        second = 0
        for v in votes:
            second = max(second, min(first, v))
            first = max(first, v)
        return first, second

    return look


@register_jitable
def margin(votes: Ints) -> int:
    """How many votes the leader is ahead of the runner-up."""
    first, second = top_two(votes)
    return first - second


@register_jitable
def total(votes: Ints) -> int:
    """How many votes there are."""
    count = 0
    for v in votes:
        count += v
    return count


@register_jitable
def share(votes: Ints) -> float:
    """The leader's share of the votes, in [0, 1]; 0 if there are none."""
    count = total(votes)
    return top_two(votes)[0] / count if count > 0 else 0.0


@register_jitable
def distinct(votes: Ints) -> int:
    """How many answers have a vote."""
    count = 0
    for v in votes:
        if v > 0:
            count += 1
    return count


@register_jitable
def entropy(votes: Ints) -> float:
    """Entropy of the votes over log(number of votes), in [0, 1].

    0 when they all agree, 1 when no two do; 0 for fewer than two votes. One minus this is the
    Certaindex of a multi-branch program (Fu et al. 2024, arXiv 2412.20993).
    """
    count = total(votes)
    if count < 2:
        return 0.0
    spread = 0.0
    for v in votes:
        if v > 0:
            spread += v * math.log(v)
    # -sum v/n log(v/n) = log n - sum v log v / n; exactly 0 and 1 at the ends.
    return 1.0 - spread / (count * math.log(count))


MOST_ANSWERS = 1 << 16
"""Answer ids are below it: a pool has at most 2**15 answers."""

_MOST_COUNT = 2**31
_TABULATED = 129


def _beta_table() -> NDArray[np.float64]:
    """`[129, 129]` of P(p > 1/2), p ~ Beta(first + 1, second + 1).

    From I(a, b) = (I(a - 1, b) + I(a, b - 1)) / 2 for the regularised incomplete beta function
    at 1/2: only halves are summed, so there is nothing to lose but the last bits.
    """
    table = np.empty((_TABULATED, _TABULATED))
    halves = 0.5 ** np.arange(1, _TABULATED + 1)
    table[:, 0] = 1.0 - halves
    table[0, :] = halves
    for first in range(1, _TABULATED):
        for second in range(1, _TABULATED):
            table[first, second] = (table[first - 1, second] + table[first, second - 1]) / 2
    return table


_BETA = _beta_table()


@register_jitable
def beta_tail(first: int, second: int) -> float:
    """P(p > 1/2) for p ~ Beta(first + 1, second + 1), whatever the order of the two.

    Raises:
        ValueError: a count is below 0, or 2**31 and more.

    >>> float(beta_tail(3, 0))
    0.9375
    """
    if first < 0 or second < 0 or first >= _MOST_COUNT or second >= _MOST_COUNT:
        raise ValueError("beta_tail: counts go from 0 to 2**31 - 1")
    if first < _TABULATED and second < _TABULATED:
        return float(_BETA[first, second])
    # The same as P(Binomial(n, 1/2) <= first): sum the shorter tail, halving as it grows.
    n = first + second + 1
    term = 1.0
    tail = 1.0
    halvings = 0
    for k in range(1, min(first, second) + 1):
        term *= (n - k + 1) / k
        tail += term
        while tail > 1.0:
            term /= 2
            tail /= 2
            halvings += 1
    # Below 2**-1100 there is nothing, and the exponent must fit a C int.
    tail = math.ldexp(tail, int(max(halvings - n, -1100)))
    return tail if first < second else 1.0 - tail


@register_jitable
def beta_confidence(votes: Ints) -> float:
    """BetaConf: P(p > 1/2), p ~ Beta(v1 + 1, v2 + 1), of the two largest counts v1 and v2.

    How sure it is that the leader would beat the runner-up in a long run; 0 without votes.
    1 - I_{1/2}(v1 + 1, v2 + 1) in Aggarwal et al. 2023, arXiv 2305.11860.
    """
    first, second = top_two(votes)
    return beta_tail(first, second) if first > 0 else 0.0


@register_jitable
def tally(answers: Ints, mask: Mask) -> Ints:
    """Votes `[A]` by answer id of the `answers` `[n]` where `mask` `[n]`; -1 does not vote.

    Raises:
        IndexError: an answer id is 2**16 or more.
        ValueError: `mask` is shorter than `answers`.
    """
    if len(mask) < len(answers):
        raise ValueError("the mask must be as long as the answers")
    last = -1
    for i in range(len(answers)):
        if mask[i] and answers[i] > last:
            last = answers[i]
    if last >= MOST_ANSWERS:
        raise IndexError("answer ids go from -1 to 2**16 - 1")
    votes = np.zeros(last + 1, np.int64)
    for i in range(len(answers)):
        if mask[i] and answers[i] >= 0:
            votes[answers[i]] += 1
    return votes


@register_jitable
def mode(answers: Ints, mask: Mask) -> int:
    """The most frequent of the `answers` `[n]` where `mask` `[n]`; -1 if there is none.

    Among equals the one that the lowest index has: what `Counter.most_common` gives.

    Raises:
        IndexError: an answer id is 2**16 or more.
        ValueError: `mask` is shorter than `answers`.

    >>> mode(np.array([4, 7, 7, 4, -1]), np.ones(5, bool))
    4
    """
    votes = tally(answers, mask)
    best = -1
    for i in range(len(answers)):
        a = int(answers[i])
        if mask[i] and a >= 0 and (best < 0 or votes[a] > votes[best]):
            best = a
    return best


@register_jitable
def streak(history: Ints) -> int:
    """How many answers at the end of `history` `[k]` are equal; 0 if the last is no answer.

    >>> streak(np.array([2, 1, 1, 1]))
    3
    """
    last = len(history) - 1
    if last < 0 or history[last] < 0:
        return 0
    length = 1
    while length <= last and history[last - length] == history[last]:
        length += 1
    return length


@register_jitable
def runs(history: Ints) -> Ints:
    """Lengths, in order, of the runs of equal answers in `history` `[k]`; -1 parts runs.

    >>> runs(np.array([5, 5, 2, -1, 2, 2])).tolist()
    [2, 1, 2]
    """
    lengths = np.zeros(len(history), np.int64)
    n = 0
    for k in range(len(history)):
        if history[k] < 0:
            continue
        if k == 0 or history[k] != history[k - 1]:
            n += 1
        lengths[n - 1] += 1
    return lengths[:n]


def _sort_deepest_first(ids: Ints, depth: Ints) -> None:
    """Sort in place, stably; every id must be checked."""
    ids[:] = ids[np.argsort(-depth[ids], kind="stable")]


@overload(_sort_deepest_first)
def _sort_deepest_first_compiled(ids: Any, depth: Any) -> Any:
    # By insertion: branches advanced together are nearly sorted already.
    def sort(ids: Any, depth: Any) -> None:
        for k in range(1, len(ids)):
            i = ids[k]
            at = k
            while at > 0 and depth[ids[at - 1]] < depth[i]:
                ids[at] = ids[at - 1]
                at -= 1
            ids[at] = i

    return sort


@register_jitable
def deepest_first(ids: Ints, depth: Ints) -> Ints:
    """`ids` `[m]` by `depth` `[n]`, the deepest first; equals keep their order.

    Raises:
        IndexError: an id is not from 0 to n - 1.

    >>> deepest_first(np.array([0, 1, 2]), np.array([4, 9, 4])).tolist()
    [1, 0, 2]
    """
    for i in ids:
        if i < 0 or i >= len(depth):
            raise IndexError("deepest_first: an id is no index of the depths")
    ordered = ids.copy()
    _sort_deepest_first(ordered, depth)
    return ordered


@register_jitable
def dissent(counts: Ints, ids: Ints, answers: Ints, winner: int) -> None:
    """Count in place, for each of `ids`, for how long its answer has not been `winner`.

    `counts` `[n]` and `answers` `[n]` are by branch; agreeing again starts from 0.

    Raises:
        IndexError: an id is not from 0 to n - 1; what stands before it is counted.
    """
    n = min(len(counts), len(answers))
    for i in ids:
        if i < 0 or i >= n:
            raise IndexError("dissent: an id is no index of the counts and answers")
        if answers[i] == winner:
            counts[i] = 0
        else:
            counts[i] += 1


@register_jitable
def outliers(ids: Ints, counts: Ints, patience: int, keep: int) -> Ints:
    """Those of `ids` `[m]` whose `counts` `[n]` reach `patience`, the largest counts first.

    At most m - keep of them, so that `keep` remain; equals in the order of `ids`.

    Raises:
        IndexError: an id is not from 0 to n - 1.

    >>> outliers(np.array([0, 1, 2]), np.array([5, 3, 7]), patience=4, keep=1).tolist()
    [2, 0]
    """
    n = 0
    for i in ids:
        if i < 0 or i >= len(counts):
            raise IndexError("outliers: an id is no index of the counts")
        n += counts[i] >= patience
    if n == 0:
        return ids[:0]
    found = np.empty(n, np.int64)
    n = 0
    for i in ids:
        if counts[i] >= patience:
            found[n] = i
            n += 1
    _sort_deepest_first(found, counts)
    return found[: max(0, len(ids) - max(0, keep))]
