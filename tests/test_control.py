"""The promises of the control space, over random pools, programs and budgets."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotts import control
from autotts.engine import compiled
from autotts.engine.interpreted import Env
from autotts.errors import BudgetSpent, ControlError
from autotts.replay import episodes, log
from autotts.replay.task import Rules
from autotts.stores import Pool
from bare_pools import one_draw, store_of


def make_pool(billing, lengths, rests, interval=100):
    """A pool of one question: branch i has `lengths[i]` intervals and ends on answer i % 3."""
    n, deepest = len(lengths), max(lengths)
    probes = np.full((1, n, deepest), -1, np.int32)
    for i, length in enumerate(lengths):
        probes[0, i, :length] = [(i + k) % 3 for k in range(length)]
    totals = [interval * (length - 1) + rest for length, rest in zip(lengths, rests, strict=True)]
    return Pool(
        probes=probes,
        lengths=np.array([lengths], np.int32),
        tokens=np.array([totals], np.int32),
        finals=np.array([[i % 3 for i in range(n)]], np.int32),
        failed=np.array([2], np.int32),
        n_codes=np.array([4], np.int32),
        interval=interval,
        billing=billing,
    )


def begin(pool, rules=None, log_words=0):
    """An environment at the start of the pool's question, and its memory."""
    task = one_draw(store_of(pool), rules=rules or Rules())
    memory = episodes.make_memory(task, log_words)
    episodes.aim(memory, task, 0, 0)
    return Env(memory), memory


@st.composite
def pools(draw):
    n = draw(st.integers(2, 6))
    lengths = draw(st.lists(st.integers(1, 6), min_size=n, max_size=n))
    rests = draw(st.lists(st.integers(1, 260), min_size=n, max_size=n))
    return make_pool(draw(st.sampled_from(["reference", "exact"])), lengths, rests)


def act_at_random(env, rng, actions):
    """Make admissible requests until none is left, or these many are made."""
    for _ in range(actions):
        active = env.active()
        kind = rng.integers(5)
        if kind == 0 and env.room > 0:
            env.branch(int(rng.integers(1, env.room + 1)), probe=bool(rng.integers(2)))
        elif len(active) == 0:
            if env.room == 0:
                return
            env.branch(1)
        else:
            ids = rng.permutation(active)[: rng.integers(1, len(active) + 1)]
            if kind == 1:
                env.finish(ids)
            elif kind == 2 and len(active) > 1:
                env.prune(ids[:1])
            else:
                times = rng.integers(1, 4, len(ids))
                env.advance(ids, times, probe=bool(rng.integers(2)))


@given(pools(), st.integers(0, 2**31), st.integers(0, 20))
def test_every_token_is_charged_once(pool, seed, probe_tokens):
    """What is spent is what the branches were charged; nothing is charged twice or for free."""
    env, memory = begin(pool, Rules(probe_tokens=probe_tokens))
    act_at_random(env, np.random.default_rng(seed), 30)
    assert env.spent == env.tokens.sum()
    assert env.spent == memory.arrays["decoded"][: env.n].sum() + memory["probe_spent"]
    assert memory["sequential"] <= env.spent
    totals = pool.tokens[0, : env.n]
    decoded = memory.arrays["decoded"][: env.n]
    overshoot = np.maximum(totals, pool.lengths[0, : env.n] * pool.interval)
    assert (decoded <= overshoot).all()
    if pool.billing == "exact":
        assert (decoded[env.finished] == totals[env.finished]).all()


@given(pools(), st.integers(0, 2**31), st.integers(0, 20))
def test_state_follows_from_what_was_asked(pool, seed, probe_tokens):
    """Replaying the log of requests gives the same cost, whoever made them."""
    rules = Rules(probe_tokens=probe_tokens)
    env, memory = begin(pool, rules, log_words=4096)
    act_at_random(env, np.random.default_rng(seed), 30)
    out = np.zeros(len(compiled.RESULTS), np.int64)
    compiled.end()(memory.address, 0, env.vote(), out)
    words = memory.arrays["log"][: memory["log_at"]].copy()
    kept = control.Log(words, np.array([len(words)]))
    task = one_draw(store_of(pool), rules=rules)
    again, steps = log.replay(kept, out[1:2], task, trace=True)
    assert again.results[0].tolist() == out.tolist()
    assert steps[:, control.STEP.index("tokens")].sum() == env.spent


@settings(max_examples=200)
@given(pools(), st.integers(0, 2**31), st.integers(50, 2500), st.integers(0, 20))
def test_a_budget_is_overrun_by_at_most_one_rest(pool, seed, budget, probe_tokens):
    """What a branch has left past its last interval can't be known before; one may overrun."""
    env, memory = begin(pool, Rules(budget=budget, probe_tokens=probe_tokens))
    with contextlib.suppress(BudgetSpent):
        act_at_random(env, np.random.default_rng(seed), 40)
    rests = pool.tokens[0] - (pool.lengths[0] - (pool.billing == "exact")) * pool.interval
    assert env.spent <= budget + max(0, rests.max())
    assert memory["overrun"] == max(0, env.spent - budget)


def test_reference_billing_ends_a_branch_one_call_after_its_last_probe():
    env, _ = begin(make_pool("reference", [2], [130]))
    env.branch()
    env.advance(0)
    assert (env.depth[0], env.spent, env.finished[0]) == (2, 200, False)
    env.advance(0)
    assert (env.depth[0], env.spent, env.finished[0]) == (2, 230, True)


def test_reference_billing_charges_whole_intervals_even_past_the_end():
    env, _ = begin(make_pool("reference", [2], [30]))
    env.branch()
    env.advance(0, times=9)
    assert (env.spent, env.finished[0]) == (200, True)


def test_exact_billing_ends_a_branch_in_the_call_that_decodes_its_last_token():
    env, _ = begin(make_pool("exact", [2, 1], [30, 7]))
    env.branch()
    env.advance(0)
    assert (env.depth[0], env.spent, env.finished[0]) == (2, 130, True)
    assert env.branch() == 1
    assert (env.spent, env.finished[1], env.just_finished.tolist()) == (137, True, [1])


def test_sequential_tokens_are_the_longest_decode_of_each_round():
    env, memory = begin(make_pool("reference", [3, 2], [100, 50]))
    env.branch(2)
    env.finish(np.array([0, 1]))
    assert memory["sequential"] == 100 + 200
    assert env.rounds == 2


def test_probing_is_an_action_of_its_own_where_advancing_does_not_reveal():
    env, memory = begin(make_pool("reference", [3], [100]), Rules(probe_tokens=7))
    env.branch(1, probe=False)
    assert env.answer.tolist() == [-1]
    env.advance(0, probe=False)
    assert env.history(0).tolist() == [-1, -1]
    env.probe(0)
    assert env.history(0).tolist() == [-1, 0]
    assert (env.spent, memory["probe_spent"], env.rounds) == (207, 7, 3)
    with pytest.raises(ControlError, match="branch 0 was probed at depth 2 already"):
        env.probe(0)


def test_a_failed_extraction_abstains_when_asked_to():
    pool = make_pool("reference", [1, 1, 1], [50, 50, 50])
    env, _ = begin(pool, Rules(abstain=True))
    env.branch(3)
    env.finish(env.active())
    assert env.answer.tolist() == [0, 1, -1]
    assert env.votes.tolist() == [1, 1]


def test_the_vote_is_the_first_finished_of_equals_not_the_first_revealed():
    env, _ = begin(make_pool("reference", [3, 1], [100, 100]))
    env.branch(2)
    env.finish(1)
    env.finish(0)
    assert env.votes.tolist() == [1, 1]
    assert env.vote() == env.answer[1]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda env: env.advance(5), r"advance\(5, times=1\): there is no branch 5; branches 0 to"),
        (lambda env: env.advance(-1), "there is no branch -1"),
        (lambda env: env.advance(10**8), "there is no branch 100000000"),
        (lambda env: env.advance(np.array([0, 0])), "branch 0 is named twice"),
        (lambda env: env.advance(np.array([], np.int64)), "no branch is named"),
        (lambda env: env.advance(0, times=0), "times must be at least 1, not 0"),
        (
            lambda env: env.advance(np.array([0, 1]), np.array([1])),
            "times must be an integer, or 2",
        ),
        (lambda env: env.advance(0.5), "must be an integer or an integer array"),
        (lambda env: env.advance(np.array([0.0])), "one-dimensional integer array"),
        (
            lambda env: env.prune(2),
            r"prune\(2\): branch 2 is finished; active branches are \[0, 1\]",
        ),
        (lambda env: env.advance(3), "branch 3 is pruned"),
        (lambda env: env.branch(9), r"branch\(9\): 4 branches are open and 2 more may be"),
        (lambda env: env.branch(0), "k must be at least 1, not 0"),
        (lambda env: env.history(9), r"history\(9\): branches 0 to 3 are open"),
    ],
)
def test_what_is_not_admitted_names_what_was_asked_and_what_is_true(ask, message):
    env, memory = begin(make_pool("reference", [3] * 6, [100] * 6))
    env.branch(4)
    env.finish(2)
    env.prune(3)
    before = memory.header.copy()
    with pytest.raises(ControlError, match=message):
        ask(env)
    names = ("n", "n_finished", "spent", "sequential", "rounds")
    assert [memory[name] for name in names] == [
        int(before[compiled.jit.FIELDS[name]]) for name in names
    ]


def test_views_can_not_be_written_through():
    env, _ = begin(make_pool("reference", [3], [100]))
    env.branch()
    for name in ("depth", "tokens", "answer", "finished", "pruned", "votes"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(env, name)[0] = 1
