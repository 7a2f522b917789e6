"""What lengths and signals tell, on pools made by hand where it is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts.stores import Branch, Recording, build, length_slopes
from autotts.stores.measures import auc, mean_ranks


def store_of(*questions):
    """Each question as (tokens, right) of its branches."""
    return build(
        [
            Recording(
                f"q{q}", "1", [Branch(["1" if r else "2"], t, "1" if r else "2") for t, r in rows]
            )
            for q, rows in enumerate(questions)
        ],
        model="m", dataset="d", interval_tokens=1_000_000,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "slope"),
    [
        ([(10, True), (20, False)], -1.0),
        ([(20, True), (10, False)], 1.0),
        ([(10, True), (20, True)], 0.0),
        ([(10, False), (20, False)], 0.0),
        ([(10, True), (10, False)], 0.0),  # equally long
        ([(10, True), (20, True), (30, False), (40, False)], -1.2),
        # Places 0, 1/2, 1/2, 1: one of the two in the middle is right, which says nothing.
        ([(10, True), (20, True), (20, False), (30, False)], -1.0),
    ],
)
def test_a_slope_by_hand(rows, slope):
    assert length_slopes(store_of(rows))[0] == pytest.approx(slope)


def test_a_single_branch_has_no_slope():
    assert np.isnan(length_slopes(store_of([(10, True)]))[0])


def test_an_area_under_the_curve_by_hand():
    """Pairs of one question only: 1 of 1 in the first, 1/2 + 1 of 2 in the second."""
    values = np.array([0.1, 5.0, 9.0, 5.0, 0.2, -np.inf])
    right = np.array([False, True, True, False, True, False])
    question = np.array([0, 1, 2, 1, 0, 1])
    assert auc(values, right, question) == pytest.approx(2.5 / 3)
    alone = question == 2
    assert np.isnan(auc(values[alone], right[alone], question[alone]))


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 3)), min_size=1))
def test_an_area_is_the_share_of_pairs_told_apart(rows):
    question, right, values = (np.array(column) for column in zip(*rows, strict=True))
    pairs = [
        np.sign(values[i] - values[j]) / 2 + 0.5
        for i in np.flatnonzero(right)
        for j in np.flatnonzero(~right)
        if question[i] == question[j]
    ]
    found = auc(values, right, question)
    assert found == pytest.approx(np.mean(pairs)) if pairs else np.isnan(found)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_ranks_are_those_of_a_sorted_list(values):
    ordered = sorted(values)
    for value, rank in zip(values, mean_ranks(np.array(values)), strict=True):
        places = [k for k, other in enumerate(ordered) if other == value]
        assert rank == sum(places) / len(places)
