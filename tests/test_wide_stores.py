"""Stores with all that not every recording has: every driver does the same, and bills alike.

What is drawn at random: billing, whether questions differ in their number of branches, whether
answers were probed, whether intervals hold numbers of tokens of their own; budgets, probe costs
and failed answers. `toy_env` is the oracle that shares no code.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wide_stores
from attacks import toy
from autotts import programs
from autotts.engine import cache, compiled
from autotts.errors import ControllerError
from autotts.replay import in_process, log
from autotts.replay.task import Cell, Rules, Task
from toy_env import ToyEnv, play

EVERYTHING = '''
"""Uses every part of the Env table, by the parity of what it sees."""

import numpy as np

def schedule(beta):
    return {"width": 3, "probes": round(2 * beta)}

def solve(env, p):
    env.branch(max(1, min(p.width, env.room)), probe=False)
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
        active = env.active()
        if len(active) > 2:
            if (env.answer[active[-1]] + env.depth[active[-1]]) % 2 == 0:
                env.finish(active[:2])
            else:
                env.prune(np.array([active[-1]]))
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
    )
    rules = Rules(
        budget=draw(st.sampled_from([-1, 0, 150, 700, 1_500, 4_000])),
        probe_cost=draw(st.sampled_from([0, 7])),
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
            outcome.probe_tokens, outcome.width, outcome.rounds, outcome.overrun,
        ]  # fmt: skip


def toy_env(task: Task, q: int, d: int) -> ToyEnv:
    pool, rules = task.pool, task.rules
    return ToyEnv(
        wide_stores.trajectories(task, q, d),
        interval=pool.interval, billing=pool.billing, ceiling=task.ceiling,
        budget=rules.budget, probe_tokens=rules.probe_cost,
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
    for kind in range(16):
        billing = ["reference", "exact"][kind % 2]
        ragged, probes, uneven = (bool(kind >> bit & 1) for bit in (1, 2, 3))
        pool = wide_stores.make_pool(
            kind, billing=billing, ragged=ragged, probes=probes, uneven=uneven
        )
        task = wide_stores.make_task(pool, Rules(budget=(-1, 1_500)[kind % 3 > 0]), seed=kind)
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
    episode, _, kind, branch, depth, _, tokens = steps.T
    action = kind != log.control.NOTE
    spent = np.bincount(episode[action], tokens[action], minlength=len(task.pairs))
    assert spent.tolist() == ran.column("tokens").tolist()
    pool = task.pool
    for e, (q, d) in enumerate(task.pairs.tolist()):
        mine = action & (episode == e)
        decoded = 0
        for i in np.unique(branch[mine]):
            own = mine & (branch == i)
            row = task.orders[q, d, i]
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
        if ran.column("overrun")[e] > 0 or task.rules.budget < 0:
            assert charged == decoded
        else:  # a branch that was cut at the budget has decoded a part of an interval more
            assert charged >= decoded


def test_what_can_not_be_probed_says_so():
    pool = wide_stores.make_pool(1, billing="exact", ragged=False, probes=False, uneven=False)
    task = wide_stores.make_task(pool, Rules(), seed=1)
    source = toy.program(EVERYTHING)
    values = {"width": 3, "probes": 1}
    with pytest.raises(ControllerError, match="this recording has final answers only"):
        in_process.run_interpreted(programs.load(source).solve, values, task)
