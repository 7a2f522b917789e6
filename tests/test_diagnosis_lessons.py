"""What episodes teach beyond their verdicts, on pools made by hand where the answer is known."""

import polars as pl
import pytest
from hypothesis import given

from autotts.diagnosis import lessons, pools, show
from autotts.diagnosis.findings import findings_of
from autotts.diagnosis.hindsight import WEIGHTS
from autotts.replay.task import Rules
from test_diagnosis_findings import (
    INTERVAL,
    a_few_moves,
    billings,
    make,
    play,
    pool,
    pool_with_failures,
    rules,
    some_fail,
)


def looked(store, solve, rules=Rules()):  # noqa: B008
    """One episode, looked back on."""
    ran = [play(store, solve, rules=rules)]
    found = findings_of(ran)
    return found, ran, lessons.hindsight_of(found, ran)


def read_all(env, p):
    """Read every branch of the draw side by side to its end."""
    env.branch(5)
    while env.active().size:
        env.advance(env.active())
    return env.vote()


def finish_all(env, p):
    """The same without reading anything on the way."""
    env.branch(5, probe=False)
    env.finish(env.active())
    return env.vote()


STORE = pool(("X", "X"), ("AXX", "X"), ("AR", "R"), ("RRRR", "R"), ("AAXXX", "X"))
"""Right: 2 of 5 branches, which end after 2 and 4 intervals; the winner: after 1, 3, and 5."""


def test_a_question_lost_but_winnable():
    found, ran, _ = looked(STORE, read_all)
    (row,) = lessons.winnable(found, ran).rows(named=True)
    assert (row["points"], row["right_share"], row["winner_share"]) == (100.0, 0.4, 0.6)
    assert (row["right_first"], row["right_median"]) == (2, 3.0)
    assert (row["winner_first"], row["winner_median"]) == (1, 3.0)


def test_hopeless_questions_come_last_and_right_ones_not_at_all():
    found, ran, _ = looked(STORE, read_all)
    hopeless = found.with_columns(question=pl.lit(0, pl.Int64))
    assert lessons.winnable(found.with_columns(correct=pl.lit(True)), ran).is_empty()
    nowhere = [play(pool(*[("XX", "X")] * 5), read_all)]
    (row,) = lessons.winnable(hopeless, nowhere).rows(named=True)
    assert (row["right_share"], row["right_first"], row["right_median"]) == (0.0, None, None)
    assert row["hopeless"]


def test_hopeless_means_the_same_everywhere():
    """No branch shows the right answer; one that showed it and left it is something to win."""
    left = pool(*[("RX", "X")] * 5)
    found, ran, _ = looked(left, finish_all)
    (row,) = lessons.winnable(found, ran).rows(named=True)
    assert (row["hopeless"], row["right_share"]) == (False, 0.0)
    assert pools.summary(left)["hopeless"].to_list() == [0.0]
    assert found["verdict"].to_list() != ["hopeless"]
    nowhere = pool(*[("XX", "X")] * 5)
    found, ran, _ = looked(nowhere, finish_all)
    assert lessons.winnable(found, ran)["hopeless"].to_list() == [True]
    assert pools.summary(nowhere)["hopeless"].to_list() == [1.0]
    assert found["verdict"].to_list() == ["hopeless"]


@pytest.mark.parametrize("solve", [read_all, finish_all])
def test_answers_held_kept_and_left(solve):
    """Three branches begin with A and leave it, one of them for R; X and R are kept."""
    _, _, past = looked(STORE, solve)
    table = lessons.held(past).filter(pl.col("held") > 0)
    rows = {(r["right"], r["held"]): r for r in table.iter_rows(named=True)}
    a = next(r for r in rows.values() if r["kept"] == 0)
    assert (a["held"], a["left_for_right"], a["left_for_wrong"]) == (3, 1, 2)
    right = table.filter("right")
    assert (right["held"].sum(), right["kept"].sum()) == (2, 2)
    wrong = table.filter(~pl.col("right"))
    assert wrong["kept"].sum() == 3
    assert (
        wrong["held"].sum()
        == wrong.select("kept", "left_for_right", "left_for_wrong").sum().sum_horizontal().item()
    )


def test_ranks_are_in_the_order_in_which_an_episode_shows_answers():
    """X, A and R are shown in the first round, in that order."""
    _, _, past = looked(STORE, read_all)
    held = lessons.held(past).filter(pl.col("held") > 0)
    assert held.select("rank", "right", "held").rows() == [
        (1, False, 3),
        (2, False, 3),
        (3, True, 2),
    ]


def test_other_weights():
    """The right branches have 2 of 5 votes and change little; lengths speak for the short X."""
    _, _, past = looked(STORE, read_all)
    votes = {row["weight"]: row for row in lessons.revotes(past).iter_rows(named=True)}
    assert votes["count"]["accuracy"] == 0
    assert votes["count"]["difference"] == 0
    assert votes["first 1 finished"]["accuracy"] == 0  # X
    # X, R, X among the first three: 1/length 1 + 1/3 + 1/5 against 1/2 + 1/4.
    assert votes["first 3 finished"]["accuracy"] == 0
    assert votes["1/length"]["accuracy"] == 0
    # kept: X 1 + 2/3 + 3/5, R 1/2 + 1; first halved: X 1/2 + 1 + 1, R 1 + 1/2.
    assert votes["kept"]["accuracy"] == votes["first halved"]["accuracy"] == 0


@pytest.mark.parametrize(
    ("rows", "weight"),
    [
        ((("RR", "R"), ("XXX", "X"), ("XXXX", "X")), "first 1 finished"),
        ((("R", "R"), ("XXX", "X"), ("XXXX", "X")), "1/length"),
        ((("RR", "R"), ("AAX", "X"), ("AAAX", "X")), "kept"),
        ((("ARR", "R"), ("ARR", "R"), ("XX", "X"), ("XX", "X"), ("XX", "X")), "first halved"),
    ],
)
def test_a_weight_that_makes_the_vote_right(rows, weight):
    """Each pool is wrong by count and right by its weight."""

    def solve(env, p):
        env.branch(len(rows))
        while env.active().size:
            env.advance(env.active())
        return env.vote()

    _, _, past = looked(pool(*rows), solve)
    votes = {row["weight"]: row for row in lessons.revotes(past).iter_rows(named=True)}
    assert votes["count"]["accuracy"] == 0
    assert (votes[weight]["accuracy"], votes[weight]["difference"]) == (1, 1)
    assert votes[weight]["changed"] == 1


def test_streaks_by_whether_a_finished_branch_agrees():
    """The first branch ends on X; the second then shows X twice and R once, and ends on R."""

    def solve(env, p):
        env.finish(env.branch())
        env.branch()
        for _ in range(3):
            env.advance(env.active())
        return env.vote()

    _, _, past = looked(pool(("X", "X"), ("XXRR", "R"), billing="reference"), solve)
    rows = {(r["streak"], r["finished"]): r for r in lessons.streaks(past).iter_rows(named=True)}
    assert rows[1, "none finished"]["probes"] == 1  # the first branch's own
    assert (rows[1, "agrees"]["probes"], rows[1, "agrees"]["right"]) == (1, 0)
    assert (rows[2, "agrees"]["probes"], rows[2, "agrees"]["final"]) == (1, 0)
    assert (rows[1, "disagrees"]["probes"], rows[1, "disagrees"]["right"]) == (1, 1)
    assert (rows[2, "disagrees"]["probes"], rows[2, "disagrees"]["final"]) == (1, 1)


def test_what_was_not_read_makes_no_streak():
    _, _, past = looked(STORE, finish_all)
    assert lessons.streaks(past).is_empty()


def test_an_unreadable_answer_passed_without_reading_hides_nothing():
    """Read, it would: then the branch has no vote, and nothing was right at the end."""

    def solve(env, probe):
        env.advance(env.branch(), probe=probe)
        return env.vote()

    store, abstain = pool_with_failures([("REX", "X"), ("X", "X")], "exact"), Rules(abstain=True)
    for probe, vote, stop in ((False, store.gold[0], INTERVAL), (True, -1, INTERVAL)):
        _, _, (past,) = looked(store, lambda env, p, probe=probe: solve(env, probe), abstain)
        assert past.votes[0, WEIGHTS.index("count")] == vote
        assert past.stops[0] == stop


@given(some_fail, a_few_moves, billings, rules)
def test_counted_again_the_vote_is_what_it_was(rows, moves, billing, rules):
    """Whatever was read, skipped, pruned or cut by a budget."""

    def solve(env, p):
        make(env, moves)
        return env.vote()

    _, (ran,), (past,) = looked(pool_with_failures(rows, billing), solve, rules)
    assert past.votes[0, WEIGHTS.index("count")] == ran.codes[0]
    assert past.stops[0] <= ran.tokens[0]
    if ran.codes[0] == ran.store.gold[0]:
        assert past.stops[0] >= 0


def test_the_best_stop_in_hindsight():
    """Right after the first branch, wrong in the end: it would have saved two branches."""

    def solve(env, p):
        for _ in range(3):
            env.finish(env.branch())
        return env.vote()

    store = pool(("RR", "R"), ("XXX", "X"), ("XXXX", "X"))
    _, _, past = looked(store, solve)
    (row,) = lessons.stops(past).rows(named=True)
    assert (row["accuracy"], row["best_accuracy"]) == (0, 1)
    # The vote is right as soon as the first branch shows R, one interval in.
    assert (row["tokens"], row["stop"], row["saved"]) == (9 * INTERVAL, INTERVAL, 8 * INTERVAL)


def test_an_episode_that_is_never_right_saves_nothing():
    _, _, past = looked(pool(*[("XX", "X")] * 5), read_all)
    (row,) = lessons.stops(past).rows(named=True)
    assert (row["stop"], row["saved"], row["best_accuracy"]) == (None, 0, 0)


def test_a_trace_explains_its_signs():
    found, ran, _ = looked(STORE, read_all)
    told = show(ran[0], found, 0, 0)
    assert "'.' no answer, or not read; '?' any answer after the first 52" in told
    assert "~" not in told


def test_a_trace_of_what_was_not_read_shows_what_the_store_has():
    """Letters as read_all's are, after those that the program saw: X and R, by their ends."""
    found, ran, _ = looked(STORE, finish_all)
    told = show(ran[0], found, 0, 0)
    assert "'~' the program read none of this branch's intervals" in told
    assert [line.split()[1] for line in told.splitlines()[-4:]] == [
        "~CAA",
        "~CB",
        "~BBBB",
        "~CCAAA",
    ]


def test_only_what_was_decoded_is_shown_of_an_unread_branch():
    def solve(env, p):
        env.branch(1, probe=False)
        env.finish(env.branch(1, probe=False))
        return env.vote()

    found, ran, _ = looked(pool(("AXXX", "X"), ("RR", "R")), solve)
    lines = show(ran[0], found, 0, 0).splitlines()
    assert lines[-2].split() == ["0", "~B", "left", "open"]
    assert lines[-1].split()[:2] == ["1", "~AA"]
