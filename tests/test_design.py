"""Weights and groups of questions: what they do to means and to intervals."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts import stores
from autotts.errors import SpecError, StoreError
from autotts.evaluation import Experiment, evaluate, statistics
from autotts.evaluation.design import Design, design_of, joined
from autotts.evaluation.study.leaderboard import leaderboard
from autotts.stores import Branch, Recording

weights_of = st.lists(st.floats(0, 9), min_size=1, max_size=9).filter(lambda w: sum(w) > 0.1)


@given(weights_of, st.data())
def test_resamples_count_every_question_by_its_weight(weights, data):
    """Rows add up to 1, the sample comes first, and who weighs nothing is never there."""
    groups = data.draw(st.lists(st.integers(0, 2), min_size=len(weights), max_size=len(weights)))
    for clusters in (None, np.unique(groups, return_inverse=True)[1]):
        design = Design(len(weights), np.array(weights), clusters)
        drawn = statistics.question_weights(design, rng=np.random.default_rng(0), resamples=20)
        np.testing.assert_allclose(drawn.sum(axis=1), 1)
        np.testing.assert_allclose(drawn[0], np.array(weights) / sum(weights))
        assert not drawn[:, np.array(weights) == 0].any()
        assert 1 <= design.units <= len(weights)
        kept = statistics.question_resamples(design, rng=np.random.default_rng(0), resamples=20)
        np.testing.assert_array_equal(kept.means(np.eye(len(weights))), drawn)


@given(st.integers(2, 5), st.integers(2, 9))
def test_a_question_that_is_asked_several_times_counts_once(times, questions):
    """Copies that are resampled together change neither a mean nor its interval."""
    values = np.random.default_rng(questions).random((questions, 3))
    copies = Design(questions * times, clusters=np.repeat(np.arange(questions), times))
    once = statistics.mean_interval(values, rng=np.random.default_rng(1))
    again = statistics.mean_interval(
        np.repeat(values, times, axis=0), rng=np.random.default_rng(1), design=copies
    )
    assert copies.units == questions
    np.testing.assert_allclose(
        (again.estimate, again.low, again.high), (once.estimate, once.low, once.high)
    )


def test_equal_weights_are_no_weights():
    values = np.random.default_rng(0).random((30, 4)) < 0.6
    plain, even = (
        statistics.accuracy_interval(values, rng=np.random.default_rng(1), design=design)
        for design in (None, Design(30, np.full(30, 0.1)))
    )
    assert even.estimate == pytest.approx(plain.estimate)
    assert (even.low, even.high) == pytest.approx((plain.low, plain.high))


def test_intervals_cover_where_questions_come_in_groups_or_a_topic_is_thinned():
    """12 groups of 5, and 60 questions of which the hard half was drawn four times as often."""
    rng = np.random.default_rng(3)
    groups = Design(60, clusters=np.repeat(np.arange(12), 5))
    thinned = Design(60, np.repeat([1.0, 4.0], [48, 12]))
    covered = np.zeros(3)
    for _ in range(250):
        shared = rng.normal(size=12).repeat(5) + 0.5 * rng.normal(size=60)
        by_topic = np.repeat([-1.0, 1.0], [48, 12]) + rng.normal(size=60)
        for k, (values, design) in enumerate(
            ((shared, groups), (shared, None), (by_topic, thinned))
        ):
            found = statistics.mean_interval(values[:, None], rng=rng, design=design, resamples=300)
            covered[k] += found.low <= 0 <= found.high
    assert covered[0] >= 0.9 * 250
    assert covered[1] < 0.75 * 250  # as if each question were evidence of its own
    assert covered[2] >= 0.9 * 250


def test_datasets_side_by_side_keep_their_groups_apart():
    one = Design(3, np.array([1.0, 1.0, 2.0]), np.array([0, 0, 1]))
    both = joined([one, Design(2)])
    assert both.clusters.tolist() == [0, 0, 1, 2, 3]
    np.testing.assert_allclose(both.weights, [0.75, 0.75, 1.5, 1, 1])
    assert joined([Design(3), Design(2)]).weights is None


@pytest.fixture(scope="module")
def store():
    """Two topics: two questions that are always right, and one that never is and counts four."""
    every = [
        Recording(
            f"{q}?", "1", [Branch(None, 100 * (q + 1), "01"[q < 2]) for _ in range(4)],
            weight=(1, 1, 4)[q], groups={"topic": "aab"[q]},
        )
        for q in range(3)
    ]  # fmt: skip
    return stores.build(every, model="m", dataset="d", interval_tokens=100)


def once(store, **settings):
    return evaluate(store, "sc:width=2", experiment=Experiment(draws="subsets:2", **settings))


def test_results_are_weighted_means(store):
    (row,) = once(store).results()
    assert row["accuracy"] == pytest.approx(100 * 2 / 6)
    assert row["tokens"] == pytest.approx((200 + 400 + 4 * 600) / 6)
    (curve,) = once(store).curves().values()
    assert curve.points().accuracy == pytest.approx(2 / 6)
    assert curve.dearest_tokens() == pytest.approx(row["tokens"])
    (plain,) = once(replace(store, weights=None)).results()
    assert plain["accuracy"] == pytest.approx(100 * 2 / 3)


def test_groups_are_resampled_together_where_they_are_named(store):
    """Two topics say less than three questions; which is said where the grouping is unknown."""
    unweighted = replace(store, weights=None)
    apart, together = (
        once(unweighted, cluster=cluster).results()[0] for cluster in (None, "topic")
    )
    assert together["accuracy"] == apart["accuracy"]
    assert together["accuracy_low"] < apart["accuracy_low"] or apart["accuracy_low"] == 0
    assert design_of(unweighted, "topic").units == 1  # of 2/3 and 1/3, rounded down
    with pytest.raises(SpecError, match=r"cluster source: m/d has no .* its groupings: topic"):
        once(store, cluster="source")


def test_keys_of_what_is_kept_know_the_grouping():
    assert "cluster" not in Experiment().key()
    assert Experiment(cluster="topic").key()["cluster"] == "topic"


def test_models_of_a_dataset_must_count_questions_alike(store):
    other = replace(
        store, weights=np.array([1.0, 2, 3]),
        manifest=store.manifest.model_copy(update={"model": "n"}),
    )  # fmt: skip
    with pytest.raises(StoreError, match="n/d: its questions have other weights"):
        once([store, other]).curves()


def test_a_leaderboard_counts_by_weight(store):
    """Who is right where the weight is, is ahead."""
    found = leaderboard(
        store, ["sc:width=1", "sc:width=2"], experiment=Experiment(draws="subsets:2")
    )
    dearest = {one.controller: one.accuracy for one in found.boards[0].entries}
    assert dearest == {
        "sc:width=1": pytest.approx(100 / 3), "sc:width=2": pytest.approx(100 / 3)
    }  # fmt: skip


def recorded(order, model, *, by_id=False, last="5"):
    """Six questions of two branches each, which are right or wrong by the question."""
    recordings = [
        Recording(
            "How many?" if by_id else f"How many {q}?", "1",
            [Branch(None, 100 * q + n + 1, str(q % 2)) for n in range(2)],
            id=f"q{last if q == 5 else q}" if by_id else None,
            weight=q + 1,
        )
        for q in order
    ]  # fmt: skip
    return stores.build(recordings, model=model, dataset="d", interval_tokens=100)


@pytest.mark.parametrize("by_id", [False, True])
def test_models_are_paired_by_question_and_not_by_its_place(by_id):
    one, other = (
        recorded(order, model, by_id=by_id)
        for order, model in ((range(6), "a"), ([3, 0, 5, 1, 4, 2], "b"))
    )
    found = evaluate([other, one], "sc:width=2", experiment=Experiment("subsets:2"))
    (curve,) = found.curves().values()
    for values in (curve.correct, curve.tokens):
        np.testing.assert_array_equal(values[one.key], values[other.key])
    assert curve.rows[other.key].tolist() == [1, 3, 5, 0, 4, 2]
    assert curve.design("d").shares.tolist() == design_of(one).shares.tolist()


def test_models_of_one_dataset_with_other_questions_are_refused():
    pair = [recorded(range(6), "a", by_id=True), recorded(range(6), "b", by_id=True, last="6")]
    with pytest.raises(StoreError, match=r"b/d has 6 questions and a/d 6, .*'q5' is in one alone"):
        evaluate(pair, "sc", experiment=Experiment("subsets:2")).curves()
