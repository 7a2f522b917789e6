"""Stores with all that not every recording has: every driver does the same, and bills alike.

What is drawn at random: billing, whether questions differ in their number of branches, whether
answers were probed, whether intervals hold numbers of tokens of their own; budgets, probe costs
and failed answers. `toy_env` is the oracle that shares no code.
"""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wide_stores
from attacks import toy
from autotts import programs
from autotts.engine import cache, compiled
from autotts.errors import ControllerError, SpecError
from autotts.evaluation import Evaluation, Execution, Experiment
from autotts.replay import in_process, log
from autotts.replay.task import Cell, Rules, Task
from autotts.stores.manifest import PricedModel
from bare_pools import store_of
from toy_env import ToyEnv, play

EVERYTHING = '''
"""Uses every part of the Env table, by the parity of what it sees."""

import numpy as np

def schedule(beta):
    return {"width": 3, "probes": round(2 * beta)}

def cheapest(env):
    best = -1
    for m in range(env.n_models):
        if env.room_of(m) > 0 and (best < 0 or env.price[m] < env.price[best]):
            best = m
    return best

def solve(env, p):
    first = cheapest(env)
    if first < 0:
        return env.vote()
    env.branch(min(p.width, env.room_of(first)), probe=False, model=first)
    while len(env.active()) > 0 and env.rounds < 14:
        active = env.active()
        seen = env.rounds % 2 == 0
        before = env.depth.copy()
        env.advance(active, times=1 + active % 2, probe=seen)
        for i in env.active():
            if p.probes and not seen and env.depth[i] > before[i] and env.history(i)[-1] < 0:
                env.probe(i)
        if env.room > 1 and env.rounds % 3 == 0:
            env.branch(min(2, env.room))
        other = cheapest(env)
        if other >= 0 and env.rounds % 4 == 1:
            env.branch(model=other)
        active = env.active()
        if len(active) > 2:
            kind = env.answer[active[-1]] + env.depth[active[-1]] + env.model[active[-1]]
            if kind % 2 == 0 and env.cost + 3_000 != env.cost_budget:
                env.finish(active[:2])
            else:
                env.prune(np.array([active[-1]]))
        env.note("cost", env.cost)
        for i in env.active():
            seen_signals = env.signal("confidence", i)
            if len(seen_signals) > 0 and seen_signals[-1] + env.signal("entropy", i).max() > 1.5:
                env.prune(np.array([i]))
        env.note("seen", env.n_answers + env.n_finished + len(env.just_finished))
    if env.votes.sum() > 0 and env.finish_order[0] > 2:
        return env.answer[env.finish_order[0]]
    return env.vote()
'''


@st.composite
def tasks(draw) -> Task:
    seed = draw(st.integers(0, 10**6))
    pool = wide_stores.make_pool(
        seed,
        billing=draw(st.sampled_from(["reference", "exact"])),
        ragged=draw(st.booleans()),
        probes=draw(st.booleans()),
        uneven=draw(st.booleans()),
        models=draw(st.sampled_from([1, 1, 2, 3])),
        signals=draw(st.integers(0, 2)),
    )
    rules = Rules(
        budget=draw(st.sampled_from([None, None, 0, 150, 700, 1_500, 4_000])),
        cost_budget=draw(st.sampled_from([None, None, 0, 400, 2_500, 9_000, 40_000])),
        max_branches=draw(st.sampled_from([None, 5])),
        probe_tokens=draw(st.sampled_from([0, 7])),
        abstain=draw(st.booleans()),
    )
    return wide_stores.make_task(pool, rules, seed=seed)


def everything(task: Task) -> tuple[programs.Source, Cell, dict[str, float]]:
    """The program, its cell, and its parameters; of a store without probes it asks for none."""
    source = toy.program(EVERYTHING)
    named = {"probes": int(task.pool.probes is not None)}
    return (
        source,
        Cell(task, programs.Spec("everything", source, 0.5, named)),
        {"width": 3, **named},
    )


@settings(max_examples=60)
@given(tasks())
def test_every_environment_sees_the_same(task):
    """Compiled, interpreted and by the letter of the Env table."""
    source, _, values = everything(task)
    program = programs.load(source)
    entry = cache.address(in_process.compile_program(program))
    fast = in_process.run_compiled(entry, list(values.values()), task, keep_log=True)
    slow = in_process.run_interpreted(program.solve, values, task, keep_log=True)
    assert fast.results.tolist() == slow.results.tolist()
    assert np.array_equal(fast.log.words, slow.log.words)
    for (q, d), result in zip(task.pairs.tolist(), slow.results.tolist(), strict=True):
        outcome = play(program.solve, values, toy_env(task, q, d))
        code = -1 if outcome.answer is None else int(outcome.answer)
        assert result == [
            compiled.ANSWERED, code, outcome.tokens, outcome.sequential_tokens,
            outcome.probe_tokens, outcome.width, outcome.rounds, outcome.overrun, outcome.cost,
            outcome.cost_overrun,
        ]  # fmt: skip


def toy_env(task: Task, q: int, d: int) -> ToyEnv:
    pool, rules = task.pool, task.rules
    return ToyEnv(
        wide_stores.trajectories(task, q, d),
        interval=pool.interval, billing=pool.billing, ceiling=task.ceiling,
        budget=rules.budget, cost_budget=rules.cost_budget, prices=pool.prices.tolist(),
        probe_tokens=rules.probe_tokens,
        failed=str(pool.failed[q]) if rules.abstain else None, unprobed=pool.probes is None,
    )  # fmt: skip


@settings(max_examples=12)
@given(tasks())
def test_blind_shows_what_in_process_shows(task):
    source, cell, values = everything(task)
    expected = in_process.run_interpreted(programs.load(source).solve, values, task, keep_log=True)
    run = toy.blind(source, cell, jobs=1)
    assert np.array_equal(run.results, expected.results)
    for e, words in enumerate(run.logs):
        assert np.array_equal(words, expected.log.of(e))


def test_sealed_is_what_runs_in_process():
    """One worker, which compiles the program once, and stores of every kind."""
    cells, expected = [], []
    source = toy.program(EVERYTHING)
    for kind in range(32):
        billing = ["reference", "exact"][kind % 2]
        ragged, probes, uneven, several = (bool(kind >> bit & 1) for bit in (1, 2, 3, 4))
        pool = wide_stores.make_pool(
            kind, billing=billing, ragged=ragged, probes=probes, uneven=uneven,
            models=3 if several else 1, signals=kind % 3,
        )  # fmt: skip
        rules = Rules(budget=1_500 if kind % 3 else None, cost_budget=9_000 if kind % 5 else None)
        task = wide_stores.make_task(pool, rules, seed=kind)
        _, cell, values = everything(task)
        cells.append(cell)
        solve = programs.load(source).solve
        expected.append(in_process.run_interpreted(solve, values, task, keep_log=True))
    keep = [np.ones(len(cell.task.pairs), np.bool_) for cell in cells]
    run = toy.sandbox().run_compiled(cells, keep)
    for ran, known in zip(run.episodes, expected, strict=True):
        assert np.array_equal(ran.results, known.results)
        assert np.array_equal(ran.log.words, known.log.words)


@settings(max_examples=60)
@given(tasks())
def test_what_is_charged_is_what_was_decoded(task):
    """By the steps of the trace, and by the tokens of the store up to where each branch came."""
    source, _, values = everything(task)
    solve = programs.load(source).solve
    ran = in_process.run_interpreted(solve, values, task, keep_log=True)
    codes = ran.column("code")
    again, steps = log.replay(ran.log, codes, task, trace=True)
    assert np.array_equal(again.results, ran.results)
    episode, _, kind, branch, depth, _, tokens, model = steps.T
    action = kind != log.control.NOTE
    spent = np.bincount(episode[action], tokens[action], minlength=len(task.pairs))
    assert spent.tolist() == ran.column("tokens").tolist()
    pool = task.pool
    units = tokens * pool.prices[model]
    cost = np.bincount(episode[action], units[action], minlength=len(task.pairs))
    assert cost.tolist() == ran.column("cost").tolist()
    for e, (q, d) in enumerate(task.pairs.tolist()):
        mine = action & (episode == e)
        decoded = 0
        rows = task.rows(q, d, log.control.models_opened(ran.log.of(e)))
        for i in np.unique(branch[mine]):
            own = mine & (branch == i)
            row = rows[i]
            assert pool.model is None or (pool.model[q, row] == model[own]).all()
            deepest = int(depth[own].max())
            whole = deepest * pool.interval
            if pool.ends is not None:
                whole = int(pool.ends[q, row, deepest - 1]) if deepest else 0
            if (kind[own] == log.control.FINISH).any():
                whole = max(whole, int(pool.tokens[q, row]))
                if pool.billing == "exact":
                    whole = int(pool.tokens[q, row])
            decoded += whole
        charged = int(ran.column("tokens")[e] - ran.column("probe_tokens")[e])
        if task.rules.budget is None and task.rules.cost_budget is None:
            assert charged == decoded
        else:  # a branch that was cut at the budget has decoded a part of an interval more
            assert charged >= decoded


@settings(max_examples=60)
@given(tasks())
def test_a_budget_of_either_kind_is_overrun_by_at_most_one_unknown_decode(task):
    """By what one branch turned out to hold, which could not be known before."""
    source, _, values = everything(task)
    ran = in_process.run_interpreted(programs.load(source).solve, values, task)
    pool, rules = task.pool, task.rules
    most = int(pool.tokens.max()) + pool.interval
    budgets = [("tokens", rules.budget, "overrun", most)]
    budgets += [("cost", rules.cost_budget, "cost_overrun", most * int(pool.prices.max()))]
    for spent, budget, overrun, at_most in budgets:
        over = 0 if budget is None else np.maximum(ran.column(spent) - budget, 0)
        assert (ran.column(overrun) == over).all()
        assert (ran.column(overrun) <= at_most).all()


CHEAP_FIRST = """
def schedule(beta):
    return {"width": 2}

def solve(env, p):
    for m in range(env.n_models):
        if env.room_of(m) > 0:
            env.branch(min(p.width, env.room_of(m)), model=m)
    if len(env.active()) > 0:
        env.finish(env.active())
    return env.vote()
"""


def two_models():
    """A store of two models at 0.5 and 2.25 a token, which is 50 and 225 cost units."""
    pool = wide_stores.make_pool(5, billing="exact", models=2)
    prices = [("small", 50, "0.5"), ("large", 225, "2.25")]
    models = tuple(PricedModel(name=n, price=p, price_text=t) for n, p, t in prices)
    return store_of(replace(pool, models=models), cost_scale=2)


def test_results_have_the_cost_in_what_prices_are_in():
    experiment = Experiment("reference:4")
    ran = ran_with_log(two_models(), experiment)
    (row,) = Evaluation([ran], experiment, Execution()).results()
    paid = ran.trace().group_by("model").agg(pl.col("tokens").sum()).sort("tokens")
    price = {"small": 0.5, "large": 2.25}
    cost = sum(price[model] * tokens for model, tokens in paid.iter_rows())
    assert row["cost"] == pytest.approx(cost / len(ran.task.pairs))
    assert row["cost"] != row["tokens"]


def ran_with_log(store, experiment):
    source = programs.Source("cheap", "cheap.py", CHEAP_FIRST, trusted=True)
    cell = Cell(experiment.task(store), programs.Spec("cheap", source, 0.5, {}))
    return in_process.InProcess().run([cell], keep_log=True)[0]


def test_a_cost_budget_is_in_what_prices_are_in():
    store = two_models()
    assert Experiment(cost_budget=1_000.5).task(store).rules.cost_budget == 100_050
    ran = ran_with_log(store, Experiment("reference:4", cost_budget=400))
    assert 0 < ran.cost.max() <= 400
    assert ran_with_log(store, Experiment("reference:4")).cost.max() > 400
    with pytest.raises(SpecError, match="one interval with its probe costs 50 on toy/toy, by its"):
        Experiment(cost_budget=49).task(store)


def test_a_model_that_is_not_there_or_has_no_branches_left_says_so():
    store = two_models()
    for body, why in (
        ("env.branch(model=2)", "there is no model 2; models are 0 to 1"),
        ("env.room_of(-1)", "there is no model -1; models are 0 to 1"),
        ("env.branch(8, model=1)", r"model 1 has \d more branches for this question; env.room_of"),
    ):
        text = (
            f"def schedule(beta):\n    return {{}}\ndef solve(env, p):\n    {body}\n    return -1"
        )
        for trusted in (True, False):
            source = programs.Source("asks", "asks.py", text, trusted=trusted)
            cell = Cell(Experiment("reference:1").task(store), programs.Spec("a", source, 0.5, {}))
            driver = in_process.InProcess() if trusted else toy.sandbox()
            with pytest.raises(ControllerError, match=why):
                driver.run([cell])


def test_what_can_not_be_probed_says_so():
    pool = wide_stores.make_pool(1, billing="exact", ragged=False, probes=False, uneven=False)
    task = wide_stores.make_task(pool, Rules(), seed=1)
    source = toy.program(EVERYTHING)
    values = {"width": 3, "probes": 1}
    with pytest.raises(ControllerError, match="this recording has final answers only"):
        in_process.run_interpreted(programs.load(source).solve, values, task)
