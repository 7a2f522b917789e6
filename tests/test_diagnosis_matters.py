"""What matters on some stores is what is known of how they were made."""

from types import SimpleNamespace

import numpy as np
import pytest

from autotts.diagnosis.matters import _hypotheses, patience, what_matters
from autotts.diagnosis.value import States, Value
from autotts.evaluation import Experiment
from known_truth import store


def matters(folder, truth, *, questions=32):
    one = store(folder, truth, seed=2, questions=questions, branches=16)
    return what_matters([Experiment(draws="subsets:2").task(one)], seed=0)


def test_a_decoy_gives_a_hypothesis_to_vote_it_down(tmp_path):
    found = matters(tmp_path, "decoy")
    first = found.hypotheses[0]
    best = found.vote.gains[0].feature
    assert best in {"left", "at_once"}
    assert f"`{best}`" in first.idea
    assert f"weight {found.vote.weights[best]:+.1f}" in first.idea
    assert "beyond chance" in first.because
    assert "not beyond chance" not in first.because
    assert len(found.hypotheses) <= 3


def test_where_votes_alone_tell_no_feature_is_beyond_chance(tmp_path):
    found = matters(tmp_path, "none")
    assert set(found.vote.weights) == {"votes"}
    features = [one for one in found.hypotheses if one.idea.startswith("Choose")]
    assert all("not beyond chance" in one.because for one in features)


def test_the_stop_is_advised_from_where_on_nothing_is_gained():
    """Not at a lead with nothing to gain below one that gains."""
    rows = ((-np.inf, 1, 8, 3, 12), (1, 2, 0.1, 0, 0.2), (2, 3, 1, -1, 3), (3, 4, 0, 0, 0.1))
    states = tuple(States(low, high, 9, 0.5, *gains) for low, high, *gains in rows)
    (one,) = _hypotheses(None, Value(-2.0, 0.5, 0.1, states))
    assert "ahead by 3 or more" in one.idea
    assert "below 1" in one.idea
    assert "+8.0 [+3.0, +12.0]" in one.because
    assert _hypotheses(None, Value(-2.0, 0.5, 0.1, states[:3])) == ()


def test_few_questions_say_nothing_of_votes(tmp_path):
    assert matters(tmp_path, "decoy", questions=8).vote is None


@pytest.mark.parametrize(
    ("depths", "rounds"), [([30], 12), ([18, 59], 12), ([150], 60), ([10, 10], 4), ([1], 1)]
)
def test_a_branch_may_disagree_for_a_share_of_its_intervals_however_long_these_are(depths, rounds):
    lengths = (np.array([[0, depth - 1, depth + 1]]) for depth in depths)
    tasks = [SimpleNamespace(pool=SimpleNamespace(lengths=one)) for one in lengths]
    assert patience(tasks) == rounds
