"""Draws: the order in which an episode gets the recorded branches."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts.errors import SpecError
from autotts.replay.draws import Deal


def dealt(spec, *, questions, branches, ceiling, seed=0):
    return Deal(spec, ceiling, seed).orders(np.broadcast_to(branches, (questions,)))


def test_reference_shuffles_as_the_released_code_does():
    """`random.Random(s)` shuffles the list of branches, and the first ones are read."""
    orders = dealt("reference:20", questions=3, branches=128, ceiling=64)
    for seed in range(20):
        shuffled = list(range(128))
        random.Random(seed).shuffle(shuffled)
        assert orders[:, seed].tolist() == [shuffled[:64]] * 3


@given(
    st.sampled_from(["reference:3", "subsets:3"]),
    st.integers(1, 4),
    st.integers(1, 40),
    st.data(),
)
def test_a_draw_names_no_branch_twice(spec, questions, branches, data):
    ceiling = data.draw(st.integers(1, branches))
    orders = dealt(spec, questions=questions, branches=branches, ceiling=ceiling)
    assert orders.shape == (questions, 3, ceiling)
    assert orders.dtype == np.int32
    assert orders.flags.c_contiguous
    ascending = np.sort(orders, axis=-1)
    assert (np.diff(ascending) > 0).all()
    assert ascending.min() >= 0
    assert ascending.max() < branches


@pytest.mark.parametrize("spec", ["reference:3", "subsets:3"])
def test_questions_with_fewer_branches_get_all_of_them(spec):
    """Each order is of the branches that there are, then -1; a question alone gets the same."""
    counts = np.array([5, 1, 9, 5])
    orders = dealt(spec, questions=4, branches=counts, ceiling=7)
    for q, count in enumerate(counts.tolist()):
        for order in orders[q].tolist():
            kept = min(count, 7)
            assert len(set(order[:kept])) == kept
            assert set(order[:kept]) <= set(range(count))
            assert order[kept:] == [-1] * (7 - kept)
    if spec == "reference:3":
        assert orders[0].tolist() == orders[3].tolist()
        alone = dealt(spec, questions=1, branches=9, ceiling=7)
        assert orders[2].tolist() == alone[0].tolist()


def test_orders_of_40_000_branches_and_of_40_000_questions():
    many = dealt("reference:2", questions=1, branches=40_000, ceiling=64)
    assert many.max() > 2**15
    assert dealt("subsets:2", questions=40_000, branches=1, ceiling=1).shape[0] == 40_000


def test_subsets_are_drawn_anew_for_each_question():
    orders = dealt("subsets:5", questions=6, branches=128, ceiling=64, seed=3)
    assert len({row.tobytes() for row in orders.reshape(30, 64)}) == 30


def test_subsets_follow_their_seed_and_nothing_else():
    def drawn(seed):
        np.random.seed(seed + 1)  # noqa: NPY002
        return dealt("subsets:5", questions=2, branches=20, ceiling=9, seed=seed).tolist()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_every_branch_comes_first_equally_often():
    """The mean over 4,000 draws of ten branches is within five standard errors of 400."""
    orders = dealt("subsets:4000", questions=1, branches=10, ceiling=2)
    counts = np.bincount(orders[0, :, 0], minlength=10)
    assert np.abs(counts - 400).max() < 5 * np.sqrt(4000 * 0.1 * 0.9)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("reference", "need reference:N or subsets:N, such as reference:100"),
        ("reference:", "need reference:N"),
        ("reference:-1", "need reference:N"),
        ("bootstrap:9", "need reference:N or subsets:N"),
        ("subsets:1.5", "need reference:N or subsets:N"),
        ("reference:0", "N must be from 1 to 100000"),
        ("subsets:100001", "N must be from 1 to 100000"),
    ],
)
def test_what_is_no_draw_is_refused(spec, message):
    with pytest.raises(SpecError, match=message):
        dealt(spec, questions=2, branches=9, ceiling=3)
