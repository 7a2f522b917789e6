"""Folds leave out questions, and families of models where there are several."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts.diagnosis import choice
from autotts.diagnosis.evidence import Evidence
from autotts.diagnosis.folds import split


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.integers(6, 40), st.integers(0, 99))
def test_nothing_is_learned_from_what_is_left_out(names, questions, seed):
    """Neither from the question, nor from a store of the family; and all are left out once."""
    _, family = np.unique(names, return_inverse=True)
    folds = split(family, questions, 6, np.random.default_rng(seed))
    several = family.max() > 0
    assert folds.of.shape == (len(family), questions)
    for f, taught in enumerate(folds.taught):
        stores, known = taught.stores, taught.questions
        out = folds.of == f
        assert out.any()
        assert not known[out.any(axis=0)].any()
        assert stores.any()
        assert known.any()
        if several:
            assert not set(family[stores]) & set(family[out.any(axis=1)])
        else:
            assert stores.all()
    assert set(np.unique(folds.of)) == set(range(len(folds.taught)))


def planted(signs, questions=24, seed=0):
    """A checkpoint with two answers for each store and question.

    In a store with +1 the right answer was `left` by more branches, with -1 by fewer.
    """
    rng = np.random.default_rng(seed)
    stores, count = len(signs), len(signs) * questions
    names = ("votes", "left")
    features = np.zeros((2 * count, 2))
    right = np.tile([True, False], count)
    features[:, 0] = rng.normal(size=2 * count)
    features[:, 1] = np.where(right, np.repeat(signs, 2 * questions), 0) + 0.5 * rng.normal(
        size=2 * count
    )
    ones = np.ones(count, np.int64)
    return Evidence(
        np.tile(np.arange(questions), stores), np.repeat(np.arange(stores), questions),
        np.arange(count), ones, ones, ones, ones, np.arange(0, 2 * count + 1, 2), names, features,
        right,
    )  # fmt: skip


@pytest.mark.parametrize(("signs", "holds"), [((1, 1, 1, 1), True), ((1, 1, 1, -1), False)])
def test_a_feature_that_says_the_opposite_in_another_family_is_not_kept(signs, holds):
    """By questions alone the three stores that agree speak for it in each other's folds."""
    seen = planted(signs)
    assert "left" in choice.fit(seen, seed=0).weights
    found = choice.fit(seen, seed=0, family=np.array([0, 0, 0, 1]))
    assert ("left" in found.weights) == holds
