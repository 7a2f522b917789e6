"""Compiled sealed, blind sealed and in this process: the same decisions, the same results."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks import HONEST, toy
from autotts import programs, stores
from autotts.engine import compiled, linking
from autotts.errors import ControllerError, ProgramError, SandboxError, SpecError
from autotts.replay.episodes import Episodes
from autotts.replay.in_process import run_interpreted
from autotts.replay.task import Cell, Rules
from autotts.sandbox.allowance import Allowance
from autotts.sandbox.blind_run import group_tasks
from autotts.sandbox.compiled_run import Talk

SMALL = ["short-mk", "asc", "margin"]
"""Controllers that compile soon."""


def interpreted(source: programs.Source, cell: Cell) -> Episodes:
    program = programs.load(source)
    values = program.parameters(cell.spec.beta, cell.spec.named)
    return run_interpreted(program.solve, values, cell.task, keep_log=True)


def assert_same(results: np.ndarray, logs: list[np.ndarray], expected: Episodes) -> None:
    assert np.array_equal(results, expected.results)
    for e, words in enumerate(logs):
        assert np.array_equal(words, expected.log.of(e))


@pytest.mark.parametrize("name", programs.built_in())
def test_blind_is_what_runs_in_process(name):
    """Every controller of ours decides the same when it holds no data."""
    source = programs.find(name)
    cell = toy.make_cell(ceiling=20)
    run = toy.blind(source, cell)
    assert_same(run.results, run.logs, interpreted(source, cell))


@pytest.mark.parametrize("name", SMALL)
def test_compiled_is_what_runs_in_process(name):
    source = programs.find(name)
    cell = toy.make_cell(ceiling=20, n_draws=30)
    run = toy.compiled(source, cell)
    expected = interpreted(source, cell)
    assert np.array_equal(run.episodes[0].results, expected.results)
    assert np.array_equal(run.episodes[0].log.words, expected.log.words)
    assert np.array_equal(run.episodes[0].log.ends, expected.log.ends)
    assert run.parameters[0] == programs.load(source).parameters(cell.spec.beta)


HELPED = '''"""Helpers that call each other, NumPy and the vocabulary; one has a name of ours."""

import numpy as np

from autotts.votes import outliers


def schedule(beta):
    return {"width": 4 + round(8 * beta), "first": 3}


def entry(env, order):
    """The answer that most of these branches ended on."""
    counts = np.zeros(env.n_answers + 1, np.int64)
    for i in order:
        counts[env.answer[i]] += 1
    return largest(counts[:-1])


def largest(counts):
    return int(np.argmax(counts)) if len(counts) else -1


def solve(env, p):
    env.branch(min(p.width, env.room))
    while env.n_finished < p.first and len(env.active()):
        for i in outliers(env.active(), env.depth, 4, 3):
            env.prune(i)
        env.advance(env.active())
    return entry(env, env.finish_order)
'''


def test_what_a_program_calls_is_linked_and_does_the_same():
    """Helpers, NumPy and vocabulary are optimised with the program, once, and decide the same."""
    source = programs.Source("helped", "helped.py", HELPED, trusted=False)
    cell = toy.make_cell(ceiling=20, n_draws=30)
    run = toy.compiled(source, cell)
    expected = interpreted(source, cell)
    assert np.array_equal(run.episodes[0].results, expected.results)
    assert np.array_equal(run.episodes[0].log.words, expected.log.words)


def test_what_is_linked_once_is_not_made_machine_code_by_itself(monkeypatch):
    made = []
    finish = linking._finish
    monkeypatch.setattr(
        linking, "_finish", lambda library: (made.append(library.name), finish(library))
    )
    program = programs.load(programs.Source("helped", "helped.py", HELPED, trusted=True))
    compiled.compile_program(program.solve, program.kinds, key=None, boundscheck=True)
    assert made == ["<entry>_fresh"]


def test_other_constants_compile_nothing(monkeypatch):
    """A program that differs in its schedule alone runs in the worker that has its code."""
    compiled = []
    compile_code = Talk.compile
    monkeypatch.setattr(Talk, "compile", lambda talk: compiled.append(1) or compile_code(talk))
    cell = toy.make_cell(ceiling=20, n_draws=30)
    keep = [np.ones(len(cell.task.pairs), np.bool_)]
    other = HONEST.replace('"width": 4', '"width": 3')
    box = toy.sandbox()
    for text in (HONEST, other, "# A comment.\n" + HONEST, HONEST):
        source = toy.program(text)
        run = box.run_compiled(toy.played(source, cell), keep)
        assert np.array_equal(run.episodes[0].results, interpreted(source, cell).results)
    assert len(compiled) == 1
    another = toy.program(HONEST.replace("env.vote()", "-1"))
    run = box.run_compiled(toy.played(another, cell), keep)
    assert np.array_equal(run.episodes[0].results, interpreted(another, cell).results)
    assert len(compiled) == 2
    elsewhere = toy.make_cell(ceiling=20, n_draws=31)
    box.run_compiled(toy.played(another, elsewhere), [np.ones(len(elsewhere.task.pairs), np.bool_)])
    assert len(compiled) == 3


EVERYTHING = '''
"""Uses every part of the Env table, by the parity of what it sees."""

import numpy as np

def schedule(beta):
    return {"width": 3, "share": 0.5}

def solve(env, p):
    first = env.branch()
    if not env.finished[first]:
        env.prune(first)
    ids = env.branch(p.width, probe=False)
    env.note("before", env.spent * p.share)
    while len(env.active()) > 0 and env.rounds < 12:
        active = env.active()
        before, seen = env.depth.copy(), env.rounds % 2 == 0
        env.advance(active, times=1 + active % 2, probe=seen)
        for i in env.active():
            if not seen and env.depth[i] > before[i] and env.history(i)[-1] < 0:
                env.probe(i)
        if env.room > 1 and env.rounds % 3 == 0:
            env.branch(min(2, env.room))
        if len(env.active()) > 2:
            last = env.active()[-1]
            if env.answer[last] % 2 == 0:
                env.finish(env.active()[:1])
            else:
                env.prune(np.array([last]))
        env.note("seen", env.n_answers + env.n_finished + len(env.just_finished))
    if env.votes.sum() > 0 and env.finish_order[0] > 2:
        return env.answer[env.finish_order[0]]
    return env.vote()
'''


@given(
    seed=st.integers(0, 10**6),
    billing=st.sampled_from(["reference", "exact"]),
    budget=st.sampled_from([None, 0, 150, 900, 4_000]),
    probe_tokens=st.sampled_from([0, 7]),
    abstain=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_blind_shows_what_in_process_shows(seed, billing, budget, probe_tokens, abstain):
    """On any pool, under any rules, every part of `env` is the same without the data."""
    rules = Rules(budget=budget, probe_tokens=probe_tokens, abstain=abstain)
    pool = toy.make_pool(seed, questions=4, branches=9, depth=4, codes=3, billing=billing)
    cell = toy.make_cell(pool, n_draws=2, seed=seed, rules=rules, ceiling=8)
    source = toy.program(EVERYTHING)
    run = toy.blind(source, cell, jobs=1)
    assert_same(run.results, run.logs, interpreted(source, cell))


def test_one_worker_runs_many_cells():
    """Stores, betas and rules differ; the program is compiled once."""
    cells = [
        toy.make_cell(toy.make_pool(1)),
        toy.make_cell(toy.make_pool(2, billing="exact"), beta=1.0),
        toy.make_cell(toy.make_pool(3, depth=11), rules=Rules(probe_tokens=5)),
        toy.make_cell(toy.make_pool(1), rules=Rules(abstain=True, budget=700)),
    ]
    source = programs.find("short-mk")
    ran = toy.sandbox().run(toy.played(source, *cells), keep_log=True, audit=50)
    assert [(one.how.driver, one.how.audit.status) for one in ran] == [("sealed", "clean")] * 4
    for cell, one in zip(cells, ran, strict=True):
        expected = interpreted(source, cell)
        assert np.array_equal(one.episodes.results, expected.results)
        assert np.array_equal(one.episodes.log.words, expected.log.words)


def test_named_parameters_take_the_place_of_the_schedule():
    source = toy.program(HONEST)
    for mode in ("compiled", "blind"):
        (ran,) = toy.sandbox().run(toy.played(source, toy.make_cell(width=2)), mode=mode)
        assert ran.parameters == {"width": 2}
        assert (ran.episodes.column("width") == 2).all()
    for mode in ("compiled", "blind"):
        with pytest.raises(SpecError, match="did you mean width"):
            toy.sandbox().run(toy.played(source, toy.make_cell(widht=2)), mode=mode)


def test_what_does_not_compile_runs_blind_and_says_why():
    """A program that Numba can't type works, slower, and the user is told the line."""
    text = HONEST.replace("p.width", "len({1: env.n, 'two': p.width, 3: [], 4: ()})")
    source = toy.program(text)
    (ran,) = toy.sandbox().run(toy.played(source, toy.make_cell()), audit=10)
    assert ran.how.driver == "blind"
    assert ran.how.audit.status == "blind"
    assert "len({1: env.n" in ran.how.reason
    assert np.array_equal(ran.episodes.results, interpreted(source, toy.make_cell()).results)
    with pytest.raises(ProgramError, match=re.escape("len({1: env.n")):
        toy.sandbox().run(toy.played(source, toy.make_cell()), mode="compiled")


def test_an_error_names_line_question_and_draw():
    """Compiled, the episode that failed is run again blind to say so."""
    text = HONEST.replace("    return env.vote()", "    return 10 // (env.n - 4)")
    for mode in ("compiled", "blind"):
        with pytest.raises(ControllerError) as raised:
            toy.sandbox().run(toy.played(toy.program(text), toy.make_cell()), mode=mode)
        message = str(raised.value)
        assert "mine.py:11: ZeroDivisionError" in message
        assert "line 11, in solve: return 10 // (env.n - 4)" in message
        assert "in question " in message


def test_what_is_not_admitted_is_told_as_in_process():
    text = HONEST.replace("env.active()", "3 + env.active()")
    with pytest.raises(ControllerError, match=r"there is no branch 4; branches 0 to 3 are open"):
        toy.blind(toy.program(text), toy.make_cell())


def test_what_a_program_prints_is_shown():
    text = HONEST.replace(
        "    return env.vote()", '    print("n is", env.n)\n    return env.vote()'
    )
    for mode in ("compiled", "blind"):
        cells = toy.played(toy.program(text), toy.make_cell(n_draws=1))
        (ran,) = toy.sandbox().run(cells, mode=mode)
        assert "n is 4" in ran.how.printed


def test_a_budget_that_is_spent_ends_the_episode_everywhere():
    cell = toy.make_cell(rules=Rules(budget=1_000))
    expected = interpreted(toy.program(HONEST), cell)
    assert (expected.column("tokens") <= 1_100).all()
    run = toy.blind(toy.program(HONEST), cell)
    assert_same(run.results, run.logs, expected)
    assert np.array_equal(
        toy.compiled(toy.program(HONEST), cell).episodes[0].results, expected.results
    )


def test_a_question_occurs_once_in_a_group():
    """So that what a program remembers of a question is never of use."""
    cells = [toy.make_cell(toy.make_pool(s)) for s in range(3)]
    places = [(c, e) for c, cell in enumerate(cells) for e in range(len(cell.task.pairs))]
    groups = group_tasks(cells, places, np.random.default_rng(0))
    assert sorted(t for group in groups for t in group) == list(range(len(places)))
    for group in groups:
        questions = [int(cells[c].task.pairs[e, 0]) for c, e in (places[t] for t in group)]
        assert len(set(questions)) == len(questions)


def test_nothing_runs_that_the_check_refuses():
    with pytest.raises(ProgramError, match=r"mine\.py:1: import os"):
        toy.sandbox().run(toy.played(toy.program("import os\n" + HONEST), toy.make_cell()))


def test_what_can_not_be_sealed_is_refused():
    """Without seccomp generated code runs only if the user says so, and the result says so."""
    box = toy.sandbox(without=["seccomp"])
    for mode in ("compiled", "blind"):
        with pytest.raises(SandboxError, match="can't seal generated code"):
            box.run(toy.played(toy.program(HONEST), toy.make_cell()), mode=mode)
    (ran,) = toy.sandbox(without=["seccomp"], unsafe=True).run(
        toy.played(toy.program(HONEST), toy.make_cell()), mode="blind"
    )
    assert ran.how.tier == "unsealed"


def test_recorded_data_gives_the_same_everywhere(recorded, tmp_path):
    """One recorded store, one draw, our longest controllers: blind as interpreted."""
    stores.import_recordings(recorded / "scout" / "Qwen3-0.6B" / "aime24.json", tmp_path)
    store = stores.load(stores.find([tmp_path])[0])
    cell = toy.make_cell(store.pool, n_draws=1, beta=1.0, ceiling=64, rules=Rules())
    for name in ("cmc", "parallel-probe"):
        source = programs.find(name)
        run = toy.blind(source, cell)
        assert_same(run.results, run.logs, interpreted(source, cell))


@pytest.mark.parametrize("driver", [toy.compiled, toy.blind])
def test_a_worker_that_can_not_seal_itself_is_no_fault_of_the_program(driver):
    with pytest.raises(SandboxError, match="could not seal itself"):
        driver(toy.program(HONEST), toy.make_cell(n_draws=1), without=[["no name of a layer"]])


def test_an_unknown_mode_is_an_error():
    with pytest.raises(ValueError, match="mode 'blnid': need one of auto, compiled, blind"):
        toy.sandbox().run(toy.played(toy.program(HONEST), toy.make_cell(n_draws=1)), mode="blnid")


def test_a_program_that_is_slow_to_load_is_told_so():
    slow = HONEST.replace("def schedule", "while True:\n    pass\n\ndef schedule", 1)
    hasty = Allowance(program_seconds=0.5)
    with pytest.raises(ControllerError, match="loading the program: the program took too long"):
        toy.blind(toy.program(slow), toy.make_cell(n_draws=1), hasty)
