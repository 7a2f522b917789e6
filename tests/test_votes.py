"""The vocabulary of controller programs."""

from collections import Counter
from itertools import groupby

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc

from autotts import votes

counts = st.lists(st.integers(0, 140), max_size=6).map(lambda v: np.array(v, np.int64))
ids = st.lists(st.integers(-1, 4), max_size=20).map(lambda v: np.array(v, np.int64))


@given(st.integers(0, 400), st.integers(0, 400))
def test_beta_tail_is_the_beta_distribution(first, second):
    """In the table and beyond it."""
    expected = 1 - betainc(first + 1, second + 1, 0.5)
    assert votes.beta_tail(first, second) == pytest.approx(expected, abs=1e-14, rel=1e-12)


def test_beta_tail_is_exact_where_floats_are():
    """A threshold such as 0.9375 is met, not missed by a rounding."""
    assert votes.beta_tail(3, 0) == 0.9375
    assert votes.beta_tail(7, 7) == 0.5
    assert votes.beta_tail(1, 2) + votes.beta_tail(2, 1) == 1


def test_beta_tail_does_not_jump_at_the_end_of_the_table():
    """Odds grow with every vote for the leader and sink with every one against."""
    for second in (0, 60, 127, 128, 129, 140):
        along = [votes.beta_tail(first, second) for first in range(120, 160)]
        assert along == sorted(along)
    for first in (3_000, 20_000):
        assert votes.beta_tail(first, first) == pytest.approx(0.5)


def test_no_votes_give_no_confidence():
    """BetaConf is 0 for an empty pool, not 1/2."""
    assert votes.beta_confidence(np.zeros(3, np.int64)) == 0
    assert votes.beta_confidence(np.zeros(0, np.int64)) == 0
    assert votes.beta_confidence(np.array([1, 1])) == 0.5


@given(counts)
def test_top_two_are_the_largest_counts(v):
    first, second, *_ = [*sorted(v.tolist(), reverse=True), 0, 0]
    assert votes.top_two(v) == (first, second)
    assert votes.margin(v) == first - second
    assert votes.distinct(v) == np.count_nonzero(v)
    assert votes.share(v) == (first / v.sum() if first else 0)
    assert votes.majority(v) == (v.argmax() if first else -1)


@given(counts)
def test_entropy_is_shannons_over_its_largest(v):
    p = v[v > 0] / max(1, v.sum())
    most = np.log(v.sum()) if v.sum() > 1 else 1.0
    assert votes.entropy(v) == pytest.approx(-(p * np.log(p)).sum() / most, abs=1e-12)


@pytest.mark.parametrize(("v", "expected"), [([9], 0), ([0, 4, 0], 0), ([1, 1, 1], 1), ([1], 0)])
def test_entropy_is_exact_at_its_ends(v, expected):
    assert votes.entropy(np.array(v)) == expected


@given(ids, st.randoms(use_true_random=False))
def test_mode_is_what_counter_gives(answers, random):
    """Ties go to the first seen; those masked out and those without an answer do not vote."""
    mask = np.array([random.random() < 0.7 for _ in answers], bool)
    given_ = [a for a, m in zip(answers.tolist(), mask, strict=True) if m and a >= 0]
    expected = Counter(given_).most_common(1)[0][0] if given_ else -1
    assert votes.mode(answers, mask) == expected
    assert votes.tally(answers, mask).sum() == len(given_)


@given(ids)
def test_runs_and_streak_are_runs_of_equal_answers(history):
    grouped = [(a, len(list(same))) for a, same in groupby(history.tolist())]
    assert votes.runs(history).tolist() == [length for a, length in grouped if a >= 0]
    last = grouped[-1] if grouped and grouped[-1][0] >= 0 else (-1, 0)
    assert votes.streak(history) == last[1]


@given(ids.map(lambda depth: depth + 1), st.randoms(use_true_random=False))
def test_deepest_first_is_a_stable_sort(depth, random):
    some = [i for i in range(len(depth)) if random.random() < 0.8]
    expected = sorted(some, key=lambda i: -depth[i])
    given_ = np.array(some, np.int64)
    assert votes.deepest_first(given_, depth).tolist() == expected
    assert given_.tolist() == some


@given(ids.map(lambda counts: counts + 1), st.integers(0, 5), st.integers(0, 5))
def test_outliers_leave_as_many_as_asked(counts, patience, keep):
    branches = np.arange(len(counts))
    over = sorted(np.flatnonzero(counts >= patience).tolist(), key=lambda i: -counts[i])
    expected = over[: max(0, len(counts) - keep)]
    assert votes.outliers(branches, counts, patience, keep=keep).tolist() == expected


def test_dissent_counts_steps_in_a_row():
    counts = np.array([2, 2, 2])
    votes.dissent(counts, np.array([0, 1]), np.array([5, 6, 6]), 5)
    assert counts.tolist() == [0, 3, 2]


def everything(v, answers, mask, depth, branches):
    off = depth.copy()
    votes.dissent(off, branches, answers, 1)
    first, second = votes.top_two(v)
    return (
        (votes.majority(v), first, second, votes.margin(v), votes.total(v), votes.distinct(v)),
        (votes.share(v), votes.entropy(v), votes.beta_confidence(v), votes.beta_tail(first, 9)),
        (votes.mode(answers, mask), votes.streak(answers)),
        (votes.tally(answers, mask), votes.runs(answers), votes.deepest_first(branches, depth)),
        (votes.outliers(branches, depth, 2, 1), off),
    )


compiled = numba.njit(everything)


@given(counts, ids, st.integers(0, 2**20 - 1))
def test_compiled_and_interpreted_give_the_same(v, answers, bits):
    """To the last bit: a decision may hang on it."""
    mask = np.array([bits >> i & 1 for i in range(len(answers))], bool)
    arguments = (v, answers, mask, np.abs(answers), np.arange(len(answers)))
    assert repr(_plain(compiled(*arguments))) == repr(_plain(everything(*arguments)))


def _plain(value):
    if isinstance(value, tuple):
        return tuple(_plain(v) for v in value)
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
