"""Evidence, the fitted vote and the value of going on: right about stores whose truth is known."""

import math
import warnings

import numpy as np
import polars as pl
import pytest

from autotts import control, programs, stores
from autotts.diagnosis import choice, value
from autotts.diagnosis.evidence import FEATURES, evidence
from autotts.evaluation import Experiment
from autotts.replay.in_process import InProcess
from autotts.replay.task import cells_of
from known_truth import store


def explored(one, *, draws=6, widths=(8, 24), seed=0, failed="vote"):
    """Races that end when every branch has, with what was asked."""
    task = Experiment(draws=f"subsets:{draws}", seed=seed, failed=failed).task(one)
    specs = [programs.parse(f"race-prune:width={width},margin=1000") for width in widths]
    return InProcess().run(cells_of([task], specs), keep_log=True)


@pytest.fixture(scope="module")
def decoys(tmp_path_factory):
    return store(tmp_path_factory.mktemp("known"), "decoy", seed=1)


def by_hand(trace, answers):
    """Features of each answer at the end of an episode, from its trace, read slowly."""
    shows, shown, times, depth, first = {}, {}, {}, {}, {}
    finished, pruned = [], set()
    for row in trace.iter_rows(named=True):
        i, a = row["branch"], row["answer"]
        if row["action"] == "prune":
            pruned.add(i)
            continue
        depth[i] = row["depth"]
        shows[i] = a
        shown.setdefault(i, set()).add(a)
        if row["action"] == "branch":
            first[i] = a
        if row["action"] == "finish":
            finished.append(i)
        else:
            times[i, a] = times.get((i, a), 0) + 1
    mean = np.mean([depth[i] for i in finished])
    found = {}
    for a in answers:
        own = [i for i in finished if shows[i] == a]
        early = sum(0.9 ** finished.index(i) for i in own)
        running = [i for i in shows if i not in pruned and i not in finished and shows[i] == a]
        found[a] = {
            "votes": math.log(len(own)),
            "running": math.log(1 + len(running)),
            "left": math.log(1 + sum(a in shown[i] and shows[i] != a for i in shows)),
            "given_up": math.log(1 + sum(shows[i] == a for i in pruned)),
            "early": math.log(early / len(own)),
            "short": np.mean([1 - depth[i] / mean for i in own]),
            "first": float(shows[finished[0]] == a),
            "at_once": np.mean([first[i] == a for i in own]),
            "steady": np.mean([times.get((i, a), 0) / depth[i] for i in own]),
        }
    return found


def test_evidence_is_what_the_trace_shows(decoys):
    """At the end of each episode, against features read from its trace one by one."""
    (ran,) = explored(decoys, draws=1, widths=(12,))
    seen = evidence([ran])
    trace = ran.trace()
    for q in range(0, 48, 5):
        (last,) = np.flatnonzero(seen.episode == q)[-1:]
        part = slice(seen.starts[last], seen.starts[last + 1])
        one = trace.filter(pl.col("question") == q)
        ended = one.filter(pl.col("action") == "finish")["answer"]
        gold = decoys.answers[q][decoys.gold[q]]
        hand = by_hand(one, ended.unique().to_list())
        assert seen.spent[last] == ran.tokens[q]
        assert seen.finished[last] == len(ended)
        rows = sorted(map(tuple, np.round(seen.features[part], 9).tolist()))
        assert rows == sorted(
            tuple(round(float(features[name]), 9) for name in FEATURES)
            for features in hand.values()
        )
        mine = {tuple(row) for row in np.round(seen.features[part][seen.right[part]], 9).tolist()}
        assert bool(mine) == (gold in hand)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return store(tmp_path_factory.mktemp("known"), "signal", seed=1, questions=36, branches=24)


def test_what_signals_tell_is_of_the_finishers_of_an_answer(told):
    """At the end of each episode, against the pool; intervals without a value don't count."""
    told = stores.load(told.path)
    pool = told.pool
    pool.signals["confidence"][0, :, 0] = -np.inf
    pool.signals["confidence"][1, :4, :] = -np.inf
    (ran,) = explored(told, draws=1, widths=(12,))
    seen = evidence([ran])
    assert seen.names[-4:] == ("mean_confidence", "last_confidence", "mean_length", "last_length")
    for q in range(36):
        (last,) = np.flatnonzero(seen.episode == q)[-1:]
        steps = ran.steps(q, q + 1)
        ended = steps[steps[:, 2] == control.FINISH, 3]
        rows = ran.task.orders[q, 0][ended]
        values = pool.signals["confidence"][q][rows].astype(float)
        values[~np.isfinite(values)] = np.nan
        with warnings.catch_warnings(action="ignore"):
            means = np.nanmean(values, axis=1)
        ends = values[np.arange(len(rows)), pool.lengths[q][rows] - 1]
        finals = pool.finals[q][rows]
        with warnings.catch_warnings(action="ignore"):
            expected = [
                [
                    np.nan_to_num(np.nanmean(of[finals == a]) - np.nanmean(of))
                    for of in (means, ends)
                ]
                for a in dict.fromkeys(finals.tolist())
            ]
        part = slice(seen.starts[last], seen.starts[last + 1])
        assert seen.features[part][:, -4:-2] == pytest.approx(np.array(expected))


def test_a_signal_that_tells_is_found_and_no_other(told):
    found = choice.fit(evidence(explored(told)), seed=0)
    kept = set(found.weights) - {"votes"}
    assert kept
    assert kept <= {"mean_confidence", "last_confidence"}
    assert all(found.weights[name] > 0 for name in kept)
    assert found.right > found.plain + 0.1


def test_only_signals_that_all_stores_have_are_looked_at(told, decoys):
    (one,), (other,) = explored(told, draws=1, widths=(8,)), explored(decoys, draws=1, widths=(8,))
    assert evidence([one, other]).names == tuple(FEATURES)


def test_checkpoints_ascend_and_each_costs_a_third_more(decoys):
    seen = evidence(explored(decoys, draws=2))
    same = np.diff(seen.episode) == 0
    assert (np.diff(seen.episode) >= 0).all()
    growth = seen.spent[1:][same] / seen.spent[:-1][same]
    assert (growth >= 1).all()
    ends = np.append(np.diff(seen.episode) > 0, True)
    assert (growth[~ends[1:][same]] >= 1.3).all()
    assert (seen.active + seen.finished <= seen.opened).all()


def test_a_decoy_that_branches_leave_is_found(decoys):
    """Its finishers hold it from the start, others leave it: either is found and votes it down."""
    found = choice.fit(evidence(explored(decoys)), seed=0)
    best = found.gains[0]
    assert best.feature in {"left", "at_once"}
    assert found.weights[best.feature] < 0
    assert found.right > found.plain + 0.1
    assert best.low > 0


def test_a_length_slope_is_found(tmp_path):
    found = choice.fit(evidence(explored(store(tmp_path, "length", seed=1))), seed=0)
    assert set(found.weights) & {"short", "early"}
    assert "left" not in found.weights
    assert found.right > found.plain


def test_nothing_is_found_where_there_is_nothing(tmp_path):
    """In at most one of ten stores: all features together are to pass in 5 % at the most."""
    found = 0
    for seed in range(10):
        fitted = choice.fit(
            evidence(explored(store(tmp_path, "none", seed=seed), draws=4, widths=(16,))), seed=0
        )
        found += set(fitted.weights) != {"votes"}
    assert found <= 1


def test_weights_are_where_the_likelihood_is_flat(decoys):
    """Moving any weight a little lowers the penalised likelihood, computed here anew."""
    seen = evidence(explored(decoys, draws=3))
    names = ["votes", "left", "short"]
    weights = choice.weigh(seen, names)
    kept = seen.contested
    states = [np.arange(*seen.starts[s : s + 2]) for s in np.flatnonzero(kept)]
    counts = np.bincount(seen.key[kept])[seen.key[kept]]
    columns = seen.features[:, [list(FEATURES).index(name) for name in names]]
    scale = columns[kept[seen.state]].std(axis=0)

    def objective(b):
        score = columns @ b
        fits = [score[a][seen.right[a]][0] - np.log(np.exp(score[a]).sum()) for a in states]
        return np.sum(fits / np.sqrt(counts)) - choice.RIDGE * ((b * scale) ** 2).sum()

    best = np.array([weights[name] for name in names])
    for column in range(3):
        for step in (-0.01, 0.01):
            assert objective(best + step * np.eye(3)[column]) < objective(best)


def test_too_few_questions_are_no_fit(tmp_path):
    few = evidence(explored(store(tmp_path, "none", seed=3, questions=8)))
    assert choice.fit(few, seed=0) is None


def test_going_on_is_worth_less_the_further_the_leader_is_ahead(decoys):
    seen = evidence(explored(decoys))
    found = value.fit(seen, {"votes": 1.5, "left": -1.1}, seed=0)
    assert found.slope > 0.2
    first, last = found.states[0], found.states[-1]
    assert first.gain > last.gain
    assert first.right < last.right
    for row in found.states:
        assert row.gain_low <= row.gain <= row.gain_high


def test_the_leader_is_who_the_plain_vote_names(decoys):
    """With a weight on votes alone: the most frequent, the first to finish among equals."""
    (ran,) = explored(decoys, draws=2, widths=(12,))
    seen = evidence([ran])
    stands = value.standings(seen, {"votes": 1.0})
    ends = np.flatnonzero(np.append(np.diff(seen.episode) > 0, True))
    assert np.array_equal(stands.right[ends], ran.correct[seen.episode[ends]])


def test_a_part_is_what_a_fit_to_it_would_see(decoys):
    seen = evidence(explored(decoys, draws=2))
    kept = seen.key % 2 == 0
    some = seen.only(kept)
    assert np.array_equal(some.features, seen.features[kept[seen.state]])
    assert np.array_equal(some.contested, seen.contested[kept])
