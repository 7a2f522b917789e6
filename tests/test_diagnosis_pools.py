"""Pool statistics, on pools made by hand where they can be counted."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from any_stores import any_stores
from autotts import stores
from autotts.diagnosis import pools
from autotts.stores import Branch, Recording, Store

INTERVAL = 10


def pool(*rows: tuple[str, str], gold: str = "R", billing: str = "exact") -> Store:
    """A store of one question; a branch has a probe for each letter and 10 tokens a probe."""
    branches = [Branch(list(probes), INTERVAL * len(probes), final) for probes, final in rows]
    return stores.build(
        [Recording("What?", gold, branches)],
        model="toy",
        dataset="hand",
        interval_tokens=INTERVAL,
        billing=billing,
    )


def test_the_summary_counts_shares():
    store = pool(("RR", "R"), ("XE", "ERR"), ("XXXX", "X"), ("X", "R"))
    row = pools.summary(store).row(0, named=True)
    assert row["branch_accuracy"] == 0.5
    assert row["failed_finals"] == 0.25
    assert (row["hopeless"], row["always"]) == (0, 0)
    assert row["tokens_mean"] == (20 + 20 + 40 + 10) / 4


def test_accuracy_under_mathematical_equality():
    branches = [Branch(["0"], 10, answer) for answer in ("1/2", "0.5", r"\frac{1}{2}", "2")]
    store = stores.build(
        [Recording("Half?", "1/2", branches)], model="toy", dataset="hand", interval_tokens=10
    )
    row = pools.summary(store).row(0, named=True)
    assert (row["branch_accuracy"], row["branch_accuracy_math"]) == (0.25, 0.75)
    assert pools.summary(store, mathematical=False)["branch_accuracy_math"].to_list() == [None]


def test_whole_branches_are_billed_as_the_store_says():
    recording = Recording("What?", "R", [Branch(["R", "R"], 12, "R"), Branch(["R"], 17, "R")])
    for billing, tokens in (("exact", [12, 17]), ("reference", [20, 17])):
        store = stores.build(
            [recording], model="toy", dataset="hand", interval_tokens=10, billing=billing
        )
        assert pools.whole_tokens(store.pool)[0].tolist() == tokens


def test_the_first_to_finish_vote():
    """Two short right branches beat six long wrong ones as long as only the first two vote."""
    store = pool(*[("RR", "R")] * 2, *[("XXXX", "X")] * 6)
    table = pools.first_finishers(store, races=[8], n_draws=5)
    accuracy = dict(table.select("first", "accuracy").iter_rows())
    assert accuracy == {1: 1.0, 2: 1.0, 4: 1.0, 8: 0.0}
    tokens = dict(table.select("first", "tokens").iter_rows())
    assert tokens[2] == 8 * 20
    assert tokens[8] == 2 * 20 + 6 * 40


@given(
    arrays(np.int64, st.tuples(st.integers(1, 3), st.integers(1, 7)), elements=st.integers(0, 3))
)
def test_votes_are_counted_and_ties_go_to_the_first(finals):
    for row, voted in zip(finals.tolist(), pools.vote(finals).tolist(), strict=True):
        assert voted == max(row, key=lambda code: (row.count(code), -row.index(code)))


def test_streaks():
    store = pool(("RXXRR", "R"), ("XX", "X"))
    assert pools.streaks(store.pool)[0].tolist() == [[1, 1, 2, 1, 2], [1, 2, 0, 0, 0]]


def test_reliability_by_streak():
    store = pool(("XRRR", "R"), ("XXXX", "X"))
    table = pools.by_streak(store)
    rows = {row["streak"]: row for row in table.iter_rows(named=True)}
    assert rows[1]["probes"] == 3 / 8  # X, R of the first; X of the second
    assert rows[1]["reliability"] == 1 / 3
    assert rows[2]["probes"] == 4 / 8  # RR, RRR; XX, XXX
    assert rows[2]["reliability"] == 0.5
    assert rows[4]["probes"] == 1 / 8
    assert rows[4]["reliability"] == 0.0
    assert rows[8]["reliability"] is None


def test_hazard_and_reliability_by_depth():
    store = pool(("R", "R"), ("XR", "R"), ("XXXX", "X"), ("XXXX", "X"))
    rows = {row["depth"]: row for row in pools.by_depth(store).iter_rows(named=True)}
    assert (rows[1]["running"], rows[1]["hazard"], rows[1]["ends_right"]) == (1.0, 0.25, 1.0)
    assert (rows[2]["running"], rows[2]["reliability"]) == (0.75, 1 / 3)
    assert (rows[3]["running"], rows[3]["hazard"], rows[3]["ends_right"]) == (0.5, 0.5, 0.0)


def test_a_feature_that_separates_has_area_one_or_zero():
    recordings = [
        Recording(
            f"What {q}?",
            "R",
            [Branch(["R"] * (k + 1), 10 * (k + 1), "R" if k < 3 else "X") for k in range(6)],
        )
        for q in range(3)
    ]
    store = stores.build(recordings, model="toy", dataset="hand", interval_tokens=10)
    table = pools.branch_features(store, depth=2)
    rows = {(row["feature"], row["known"]): row for row in table.iter_rows(named=True)}
    assert rows["tokens", "whole"]["auc"] == 0.0
    assert rows["changes", "whole"]["auc"] == 0.5
    assert rows["tokens", "whole"]["questions"] == 3


def test_onset_is_where_the_final_answer_stays():
    store = pool(("XRXRR", "R"), ("XXX", "R"), ("XX", "X"))
    rows = {row["right"]: row for row in pools.onset(store).iter_rows(named=True)}
    assert rows[True]["onset"] == (4 + 4) / 2  # the second never shows it: past its three
    assert rows[True]["wasted"] == 1 / 8
    assert rows[False]["onset"] == 1


def test_ceilings_buy_the_cheapest_right_answers_first():
    """Question 0 shows the answer after 10 tokens, question 1 after 30, question 2 never."""
    shown = [("R", "R"), ("XXR", "R"), ("X", "X")]
    store = stores.build(
        [
            Recording(f"What {q}?", "R", [Branch(list(probes), 10 * len(probes), final)] * 2)
            for q, (probes, final) in enumerate(shown)
        ],
        model="toy",
        dataset="hand",
        interval_tokens=10,
        billing="exact",
    )
    table = pools.ceilings(store, budgets=[3, 4, 13, 14, 1000], n_draws=2)
    assert table["probe"].to_list() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    # Two draws of each question can be bought one by one.
    assert table["race"].to_list() == pytest.approx([1 / 6, 1 / 3, 1 / 2, 2 / 3, 2 / 3])
    assert table["settled"].to_list() == table["race"].to_list()


def test_ceilings_of_recorded_data(recorded, tmp_path):
    """Nothing is above `probe`, and more tokens are never worse."""
    folder = stores.import_recordings(recorded / "scout/Qwen3-0.6B/aime24.json", tmp_path)[0]
    table = pools.ceilings(stores.load(folder), n_draws=2)
    for name in ("probe", "race", "settled"):
        assert table[name].is_sorted()
        assert (table[name] <= table["probe"]).all()


@given(store=any_stores())
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_any_store_is_described(store):
    """Whatever a recording has or lacks: the branches that there are count, and no others."""
    frames = pools.describe(store)
    row = frames["summary"].row(0, named=True)
    golds = store.golds or [(code,) for code in store.gold.tolist()]
    there = [
        (int(store.pool.finals[q, i]) in golds[q], int(store.pool.finals[q, i]) == failed)
        for q, failed in enumerate(store.pool.failed.tolist())
        for i in range(int(store.pool.n_branches[q]))
    ]
    right, failures = np.mean(there, axis=0)
    assert row["branch_accuracy"] == pytest.approx(right)
    assert row["failed_finals"] == pytest.approx(failures)
    assert row["branch_accuracy_math"] >= row["branch_accuracy"] - 1e-12
    assert (row["failed_probes"] is None) == (store.pool.probes is None)
    bands = frames["by_depth"]
    assert bands["running"][0] == 1.0
    assert (bands["reliability"].null_count() == len(bands)) == (store.pool.probes is None)
    assert frames["by_streak"].is_empty() == (store.pool.probes is None)
    for name in ("race", "settled"):
        assert frames["ceilings"][name].is_sorted()
        assert frames["ceilings"][name][-1] <= frames["ceilings"]["probe"][-1] + 1e-12


def test_questions_with_fewer_branches_change_nothing_of_the_others():
    """Beside a question with one branch, six branches are raced as without it."""
    six = Recording("What?", "R", [Branch(["X", "R"], 20 + i, "RX"[i % 2]) for i in range(6)])
    one = Recording("Who?", "R", [Branch(["X"], 5, "X")])
    alone, beside = (
        stores.build(list(r), model="toy", dataset="hand", interval_tokens=10, billing="reference")
        for r in ([six], [six, one])
    )
    costs = [pools.ceilings(store, budgets=[10, 20, 30, 10**6]) for store in (alone, beside)]
    for name in ("probe", "race", "settled"):
        assert costs[1][name][-1] == costs[0][name][-1] / 2
    onsets = [pools.onset(store).filter(pl.col("right")) for store in (alone, beside)]
    assert onsets[0].equals(onsets[1])
    assert pools.summary(beside)["tokens_mean"][0] == pytest.approx((6 * 22.5 + 10) / 7)


def test_no_race_is_run_where_the_branches_don_t_do():
    """Frames keep their columns, so that whoever reads them needs no other case."""
    few = pool(("RR", "R"), ("XX", "X"))
    assert pools.first_finishers(few).is_empty()
    assert pools.first_finishers(few).columns == ["race", "first", "accuracy", "tokens"]
    assert pools.branch_features(pool(("R", "R"))).is_empty()
    assert "auc" in pools.branch_features(pool(("R", "R"))).columns


@given(arrays(np.int64, (3, 9), elements=st.integers(0, 4)))
def test_votes_of_prefixes_are_the_votes_of_each(finals):
    votes = pools.prefix_votes(finals)
    for k in range(1, 10):
        np.testing.assert_array_equal(votes[:, k - 1], pools.vote(finals[:, :k]))
