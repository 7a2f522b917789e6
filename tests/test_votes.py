"""The vocabulary of controller programs."""

import inspect
from collections import Counter
from itertools import groupby

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc

from autotts import votes
from autotts.programs import language

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


FUNCTIONS = (
    "majority", "top_two", "margin", "total", "share", "distinct", "entropy", "beta_tail",
    "beta_confidence", "tally", "mode", "streak", "runs", "deepest_first", "dissent", "outliers",
)  # fmt: skip
MOST, LEAST = 2**63 - 1, -(2**63)
far = st.sampled_from([LEAST, -(2**32), -3, -1, 0, 1, 2, 5, 2**16 - 1, 2**16, 2**32, 2**62, MOST])
far_ids = st.lists(far, max_size=4).map(lambda v: np.array(v, np.int64))
sizes = st.integers(0, 6).map(lambda n: np.arange(n) % 3)


def jitted(name, boundscheck):
    """A function as a program calls it."""
    function = getattr(votes, name)
    count = len(inspect.signature(function).parameters)
    names = ", ".join(f"x{k}" for k in range(count))
    call = eval(f"lambda {names}: function({names})", {"function": function})
    return numba.njit(call, boundscheck=boundscheck)


COMPILED = {(name, check): jitted(name, check) for name in FUNCTIONS for check in (False, True)}


def outcome(function, arguments):
    """What a call gives and does to its arguments, or its error."""
    own = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    try:
        result = function(*own)
    except (IndexError, ValueError) as error:
        return type(error), str(error)
    return repr(_plain((result, own)))


def same_everywhere(name, *arguments):
    """The outcome of a function, which is the same interpreted and compiled both ways."""
    expected = outcome(getattr(votes, name), arguments)
    for check in (False, True):
        assert outcome(COMPILED[name, check], arguments) == expected
    return expected


def test_every_function_is_held_to_its_bounds():
    assert set(FUNCTIONS) == language.VOTES


@pytest.mark.parametrize("name", ["majority", "distinct", "streak", "runs"])
@given(far_ids)
def test_functions_of_one_array_read_nothing_beyond_it(name, values):
    same_everywhere(name, values)


@pytest.mark.parametrize(
    "name", ["top_two", "margin", "total", "share", "entropy", "beta_confidence"]
)
@given(st.lists(st.integers(0, 2**31 - 1), max_size=4).map(lambda v: np.array(v, np.int64)))
def test_large_counts_give_the_same(name, values):
    if name == "beta_confidence":  # by the size of the second count it takes long
        values = np.minimum(values, 2_000)
    same_everywhere(name, values)


@given(far, far)
def test_beta_tail_refuses_what_is_no_count(first, second):
    if 1_000 < min(first, second) < 2**31:  # by the size of the smaller it takes long
        return
    refused = not (0 <= first < 2**31 and 0 <= second < 2**31)
    assert (same_everywhere("beta_tail", first, second)[0] is ValueError) == refused


@pytest.mark.parametrize("name", ["tally", "mode"])
@given(far_ids, st.lists(st.booleans(), max_size=5).map(lambda v: np.array(v, bool)))
def test_answers_have_ids_and_a_mask_as_long(name, answers, mask):
    said = same_everywhere(name, answers, mask)[0]
    if len(mask) < len(answers):
        assert said is ValueError
    else:
        refused = (answers[mask[: len(answers)]] >= votes.MOST_ANSWERS).any()
        assert (said is IndexError) == refused


@given(far_ids, sizes)
def test_no_depth_is_read_of_a_branch_that_is_none(branches, depth):
    said = same_everywhere("deepest_first", branches, depth)[0]
    assert (said is IndexError) == out_of_range(branches, len(depth))


@given(far_ids, sizes, sizes, far)
def test_no_dissent_is_counted_of_a_branch_that_is_none(branches, counted, answers, winner):
    said = same_everywhere("dissent", counted, branches, answers, winner)[0]
    assert (said is IndexError) == out_of_range(branches, min(len(counted), len(answers)))


@given(far_ids, sizes, far, far)
def test_no_outlier_is_a_branch_that_is_none(branches, counted, patience, keep):
    said = same_everywhere("outliers", branches, counted, patience, keep)[0]
    assert (said is IndexError) == out_of_range(branches, len(counted))


def out_of_range(branches, size):
    return bool(((branches < 0) | (branches >= size)).any())
