"""Every finding, on pools made by hand where the answer is known."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts import programs, stores
from autotts.diagnosis.findings import PARTS, findings_of, summarise
from autotts.engine.interpreted import BudgetSpent
from autotts.errors import SpecError
from autotts.evaluation import Execution, Experiment, run_cells
from autotts.replay.driver import How, Ran
from autotts.replay.in_process import run_interpreted
from autotts.replay.task import Cell, Rules
from autotts.stores import Branch, Recording, Store
from bare_pools import BY_HAND, one_draw

INTERVAL = 10
Row = tuple[str, str]
"""Probe answers, one letter an interval, and the final answer. R is the right one."""


def pool(*rows: Row, billing: str = "exact") -> Store:
    """A store of one question; a branch is 10 tokens for each probe."""
    branches = [Branch(list(probes), INTERVAL * len(probes), final) for probes, final in rows]
    return stores.build(
        [Recording("What?", "R", branches)],
        model="toy",
        dataset="hand",
        interval_tokens=INTERVAL,
        billing=billing,
    )


def play(store: Store, solve: Callable[..., Any], *, rules: Rules | None = None) -> Ran:
    """One episode of `solve`, which gets the branches in the order of the store."""
    task = one_draw(store, rules=rules or Rules())
    episodes = run_interpreted(solve, {}, task, keep_log=True)
    return Ran(Cell(task, BY_HAND), {}, episodes, How("interpreted"))


def finding(store: Store, solve: Callable[..., Any], **settings: Any) -> dict[str, Any]:
    """The one finding of one episode."""
    horizon = settings.pop("horizon", 16)
    return findings_of([play(store, solve, **settings)], horizon=horizon).row(0, named=True)


def read(env: Any, branches: int) -> None:
    """Open so many branches and read them to their ends."""
    env.branch(branches)
    if env.n_finished < env.n:
        env.finish(env.active())


def test_a_right_answer_needs_no_more():
    def solve(env, p):
        read(env, 1)
        return env.vote()

    found = finding(pool(("XR", "R"), ("XX", "X")), solve)
    assert found["verdict"] == "right"
    assert found["early_intervals"] == found["early_branches"] == 0
    assert (found["tokens"], found["needed"], found["late"]) == (20, 20, False)


def test_more_intervals_of_active_branches_would_have_made_it_right():
    """Three more: the right branch ends at depth 4 and its one vote is the only one."""

    def solve(env, p):
        env.branch(2)
        return env.vote()

    found = finding(pool(("XXXX", "R"), ("XXXXXX", "X")), solve)
    assert found["verdict"] == "early"
    assert found["early_intervals"] == 3
    assert found["early_intervals_tokens"] == 2 * 3 * INTERVAL
    assert found["early_branches"] == 0


def test_going_on_pays_the_released_recordings_last_call():
    """`reference` billing: a branch of 4 whole intervals ends one call after its last."""

    def solve(env, p):
        env.branch(2)
        return env.vote()

    found = finding(pool(("XXXX", "R"), ("XXXXXX", "X"), billing="reference"), solve)
    assert found["early_intervals"] == 4
    assert found["early_intervals_tokens"] == (3 + 4) * INTERVAL


def test_further_branches_would_have_made_it_right():
    """Two more votes outvote the one there is, and cost both branches whole."""

    def solve(env, p):
        read(env, 1)
        return env.vote()

    store = pool(("X", "X"), ("RRR", "R"), ("RR", "R"), ("X", "X"))
    found = finding(store, solve)
    assert found["verdict"] == "early"
    assert (found["early_branches"], found["early_branches_tokens"]) == (2, 50)
    assert (found["right_opened"], found["right_unopened"]) == (0, 2)
    beyond = finding(store, solve, horizon=1)
    assert (beyond["verdict"], beyond["early_branches"]) == ("unopened", 0)


def test_the_vote_was_settled_before_the_end():
    """After two of four equal votes nothing changes any more: it never did after the first."""

    def solve(env, p):
        for _ in range(4):
            read(env, 1)
        return env.vote()

    found = finding(pool(("X", "X"), ("RR", "R"), ("RR", "R"), ("RR", "R")), solve)
    assert found["verdict"] == "right"
    assert found["late"]
    assert found["settled_tokens"] == 10 + 20 + 20
    assert (found["needed"], found["after_settled"]) == (50, 20)


def test_within_a_round_branches_count_in_the_order_of_the_batch():
    def solve(env, p):
        env.branch(3)
        env.finish(np.array([2, 0, 1]))
        return env.vote()

    found = finding(pool(("XX", "X"), ("XR", "R"), ("XR", "R")), solve)
    assert found["settled_tokens"] == 30 + 10


def prune_first(env, p):
    env.branch(2)
    env.prune(0)
    env.finish(1)
    return env.vote()


def test_pruning_cost_the_vote():
    """Branches 0 and 1 end right and were pruned; they would have outvoted branch 2."""

    def solve(env, p):
        env.branch(3)
        env.prune(np.array([0, 1]))
        env.finish(2)
        return env.vote()

    found = finding(pool(("YRR", "R"), ("YRRR", "R"), ("XX", "X")), solve)
    assert (found["verdict"], found["pruning"]) == ("pruned", -1)
    assert (found["n_pruned"], found["pruned_right"], found["unpruned_tokens"]) == (2, 2, 50)
    assert (found["on_pruned"], found["needed"], found["after_settled"]) == (20, 10, 10)


def test_pruning_saved_the_vote():
    def solve(env, p):
        env.branch(3)
        env.prune(np.array([0, 1]))
        env.finish(2)
        return env.vote()

    found = finding(pool(("XX", "X"), ("XX", "X"), ("RR", "R")), solve)
    assert (found["verdict"], found["pruning"], found["pruned_right"]) == ("right", 1, 0)


def test_pruning_a_right_branch_without_changing_the_vote():
    """X was first, so one vote each stays X."""

    found = finding(pool(("XR", "R"), ("XX", "X")), prune_first)
    assert (found["pruned_right"], found["pruning"]) == (1, 0)
    assert found["verdict"] == "outvoted"


def test_outvoted_says_by_how_much():
    def solve(env, p):
        read(env, 4)
        return env.vote()

    found = finding(pool(("X", "X"), ("R", "R"), ("X", "X"), ("Y", "Y")), solve)
    assert found["verdict"] == "outvoted"
    assert (found["right_votes"], found["answer_votes"]) == (1, 2)


def test_right_only_in_passing_is_outvoted_too():
    def solve(env, p):
        env.advance(env.branch(), 2)
        return env.vote()

    found = finding(pool(("XRX", "X")), solve)
    assert found["verdict"] == "outvoted"
    assert (found["right_shown"], found["right_opened"], found["right_votes"]) == (1, 0, 0)


def test_right_among_unopened_branches_only():
    """One right branch of two is not enough to win the vote within the horizon."""

    def solve(env, p):
        read(env, 2)
        return env.vote()

    found = finding(pool(("X", "X"), ("X", "X"), ("R", "R")), solve)
    assert found["verdict"] == "unopened"
    assert found["right_unopened"] == 1


def test_a_hopeless_question_takes_all_the_tokens():
    def solve(env, p):
        read(env, 2)
        return env.vote()

    found = finding(pool(("XX", "X"), ("X", "X"), ("Y", "Y")), solve)
    assert found["verdict"] == "hopeless"
    assert (found["on_hopeless"], found["needed"], found["after_settled"]) == (30, 0, 0)


def test_a_controller_that_votes_by_latest_answers_is_judged_by_them():
    """One branch has finished on X, the two that still run show R."""

    def solve(env, p):
        env.branch(3)
        env.advance(env.active(), 1)
        return env.answer[1]

    found = finding(pool(("XX", "X"), ("XRRR", "R"), ("XRRR", "R")), solve)
    assert (found["vote_rule"], found["reproduced"], found["verdict"]) == ("latest", True, "right")


def test_no_answer_is_wrong_and_never_settled():
    def solve(env, p):
        read(env, 1)
        return -1

    found = finding(pool(("R", "R")), solve)
    assert (found["correct"], found["reproduced"]) == (False, False)
    assert found["verdict"] == "outvoted"
    assert not found["late"]


def test_failed_extractions_that_abstain_do_not_vote():
    def solve(env, p):
        read(env, 3)
        return env.vote()

    store = pool(("EEE", "ERR"), ("E", "ERR"), ("R", "R"))
    voting = finding(store, solve)
    assert (voting["verdict"], voting["right_votes"], voting["answer_votes"]) == ("outvoted", 1, 2)
    abstaining = finding(store, solve, rules=Rules(abstain=True))
    assert (abstaining["verdict"], abstaining["right_votes"]) == ("right", 1)


def test_without_a_log_there_is_no_diagnosis():
    ran = play(pool(("RR", "R"), ("RR", "R")), prune_first)
    bare = replace(ran, episodes=replace(ran.episodes, log=None))
    with pytest.raises(SpecError, match="without traces"):
        findings_of([bare])


def make(env: Any, moves: list[str]) -> None:
    """Open a branch and make those of the moves that are possible, as far as a budget lets."""
    with contextlib.suppress(BudgetSpent):
        env.branch()
        for move in moves:
            active = env.active()
            if move == "open" and env.room:
                env.branch()
            elif len(active) and move in ("advance", "skip"):
                env.advance(active, probe=move == "advance")
            elif len(active) and move != "open":
                (env.finish if move == "finish" else env.prune)(active[:1])


a_few_moves = st.lists(st.sampled_from(["open", "advance", "skip", "finish", "prune"]), max_size=12)
billings = st.sampled_from(["exact", "reference"])


rules = st.builds(
    Rules,
    budget=st.none() | st.integers(0, 120),
    probe_tokens=st.integers(0, 9),
    abstain=st.booleans(),
)
some_fail = st.lists(
    st.tuples(st.text("RXE", min_size=1, max_size=5), st.sampled_from("RXE")),
    min_size=2,
    max_size=6,
)
"""Branches of which an E is a failed extraction."""


def pool_with_failures(rows: list[Row], billing: str) -> Store:
    named = [([{"E": "ERR"}.get(a, a) for a in (*probes, final)]) for probes, final in rows]
    return pool(*((answers[:-1], answers[-1]) for answers in named), billing=billing)


@given(some_fail, a_few_moves, billings, rules)
def test_parts_add_up_and_verdicts_agree_with_the_evidence(rows, moves, billing, rules):
    """Whatever a controller does, every token has one place and every verdict its reason."""

    def solve(env, p):
        make(env, moves)
        return env.vote()

    ran = play(pool_with_failures(rows, billing), solve, rules=rules)
    found = findings_of([ran])
    row = found.row(0, named=True)
    assert sum(row[part] for part in PARTS) == row["tokens"]
    assert row["tokens"] == ran.episodes.column("tokens")[0]
    assert row["reproduced"]
    assert row["correct"] == (row["verdict"] == "right") == ran.correct[0]
    assert (row["verdict"] == "hopeless") == all("R" not in "".join(r) for r in rows)
    assert 0 <= row["settled_tokens"] <= row["tokens"]
    assert row["pruned_right"] <= row["n_pruned"]
    if row["verdict"] == "early":
        assert row["early_intervals"] or row["early_branches"]


@given(some_fail, a_few_moves, billings, rules, st.booleans())
def test_going_on_does_what_a_controller_that_goes_on_does(rows, moves, billing, rules, open_more):
    """The control space itself, asked to go on, gives the same vote for the same tokens.

    Going on is counted without the probes it would need, and no budget holds.
    """
    store, horizon = pool_with_failures(rows, billing), 4

    def after(k: int) -> Ran:
        def solve(env, p):
            make(env, moves)
            env._memory["budget"] = -1
            for _ in range(k):
                if open_more and env.room:
                    branch = env.branch()
                    if not env.finished[branch]:
                        env.finish(branch)
                elif not open_more and len(env.active()):
                    env.advance(env.active())
            return env.vote()

        return play(store, solve, rules=rules)

    row = findings_of([after(0)], horizon=horizon).row(0, named=True)
    name = "early_branches" if open_more else "early_intervals"
    gone_on = [after(k) for k in range(horizon + 1)]
    right = [k for k in range(1, horizon + 1) if gone_on[k].correct[0]]
    expected = 0 if row["correct"] or not right else right[0]
    assert row[name] == expected
    if expected:
        columns = [one.episodes.column for one in gone_on]
        spent = [column("tokens")[0] - column("probe_tokens")[0] for column in columns]
        assert row[f"{name}_tokens"] == spent[expected] - spent[0]


@given(some_fail, a_few_moves, billings, rules)
def test_pruning_is_taken_back_as_the_control_space_would(rows, moves, billing, rules):
    """On a state in which no branch was pruned, `finish` and `vote` give the same."""
    store = pool_with_failures(rows, billing)
    taken_back = []

    def solve(env, p):
        make(env, moves)
        return env.vote()

    def without(env, p):
        make(env, moves)
        env._memory["budget"] = -1
        arrays = env._memory.arrays
        pruned, spent = np.flatnonzero(env.pruned), env.spent
        arrays["pruned"][pruned] = False
        arrays["seen"][pruned] = 0
        if len(pruned):
            env.finish(pruned)
        vote = env.vote()
        code = arrays["code_of"][vote] if vote >= 0 else -1
        taken_back.extend([len(pruned), env.spent - spent, code == store.gold[0]])
        return vote

    ran = play(store, solve, rules=rules)
    task = ran.task
    run_interpreted(without, {}, task)
    row = findings_of([ran]).row(0, named=True)
    right = bool(row["correct"]) - row["pruning"]
    assert [row["n_pruned"], row["unpruned_tokens"], right] == taken_back


def test_a_branch_cut_inside_an_interval_goes_on_from_there():
    """The budget pays for half of the second interval, so that much less is left at the end."""

    def solve(env, p):
        env.finish(env.branch())
        return env.vote()

    found = finding(pool(("XXXX", "R")), solve, rules=Rules(budget=15))
    assert (found["tokens"], found["verdict"], found["early_intervals"]) == (15, "early", 3)
    assert found["early_intervals_tokens"] == 40 - 15


def test_an_unreadable_answer_passed_without_a_probe_hides_nothing():
    """Read, it would: then the branch shows no answer."""

    def solve(env, p):
        env.advance(env.branch(), probe=p is None)
        return env.vote()

    store = pool_with_failures([("REX", "X"), ("X", "X")], "exact")
    found = finding(store, lambda env, p: solve(env, ()), rules=Rules(abstain=True))
    assert (found["vote"], found["verdict"]) == (store.gold[0], "right")
    found = finding(store, lambda env, p: solve(env, None), rules=Rules(abstain=True))
    assert (found["vote"], found["answer"]) == (-1, -1)


def test_summaries_by_any_column():
    store = pool(("XX", "X"), ("RR", "R"), ("RR", "R"))
    one = findings_of([play(store, prune_first)])
    table = summarise(pl.concat([one, one.with_columns(beta=1.0)]), by=["beta"])
    assert table["beta"].to_list() == [0.5, 1.0]
    assert table["episodes"].to_list() == [1, 1]
    assert table["accuracy"].to_list() == [1.0, 1.0]


def test_episodes_of_a_cell(recorded, tmp_path):
    """What a whole evaluation found adds up to what it measured."""
    folder = stores.import_recordings(recorded / "scout/Qwen3-0.6B/aime24.json", tmp_path)[0]
    store = stores.load(folder)
    ran = run_cells(
        [store], programs.parse("asc"),
        experiment=Experiment(draws="reference:3"), execution=Execution(traces=True),
    )  # fmt: skip
    found = findings_of(ran)
    assert found["correct"].to_list() == ran[0].correct.tolist()
    assert found["tokens"].to_list() == ran[0].tokens.tolist()
    assert found["reproduced"].all()
