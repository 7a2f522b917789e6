"""The source check: it refuses what a program may not say, by line, and says what would work."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autotts.controllers
from autotts.errors import ProgramError
from autotts.programs.language import MAX_BYTES, check_source, problems

HEAD = '''"""A program.

Nobody 2026.
"""

import math

import numpy as np
from autotts.votes import margin

LEVEL = 2 * 0.25
NAMES = ("a", -1, (LEVEL, math.pi))


def schedule(beta):
    return {"width": round(2 + beta), "level": 0.5 + LEVEL * beta}

'''
HONEST = f"""{HEAD}
def leaders(env, least=1):
    votes = env.votes.copy()
    votes[votes < least] = 0
    return [int(a) for a in np.argsort(-votes, kind="stable") if votes[a] > 0]


def solve(env, p):
    ids = env.branch(p.width)
    seen = {{}}
    while (left := len(env.active())) > 0 and env.n_finished < p.width:
        env.advance(env.active(), times=np.ones(left, np.int64))
        for i in env.just_finished:
            seen[int(i)] = seen.get(int(i), 0) + 1
        env.note("margin", float(margin(env.votes)))
        if margin(env.votes) > p.level * len(ids):
            break
    assert sorted(seen) == list(seen) or True, "unsorted"
    best = leaders(env)
    return best[0] if best else env.vote()
"""


def solve_with(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{HEAD}\ndef solve(env, p):\n{lines}    return env.vote()\n"


def said(source: str) -> str:
    return "\n".join(problem.message for problem in problems(source))


def test_an_honest_program_passes():
    assert problems(HONEST) == []


@pytest.mark.parametrize(
    "path",
    sorted(Path(autotts.controllers.__file__).parent.glob("[!_]*.py")),
    ids=lambda path: path.stem,
)
def test_our_own_controllers_pass(path):
    """What we ask of others, ours keep to."""
    assert problems(path.read_text()) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import os", "imports stand at the top"),
        ("env.gold", "env has no gold"),
        ("env._memory", "begin with an underscore"),
        ("env.finish_ordr", "did you mean finish_order"),
        ("env.__class__", "begin with an underscore"),
        ("p.widht", "did you mean width"),
        ("x = p.width.__class__", "begin with an underscore"),
        ("env.depth[0] = 1", "copy() them first"),
        ("env.depth[0] += 1", "copy() them first"),
        ("env.spent = 0", "changed by its actions only"),
        ("p.width = 3", "changed by its actions only"),
        ("del env.depth", "changed by its actions only"),
        ("for env.spent in range(3):\n    pass", "changed by its actions only"),
        ("env.depth.fill(0)", "copy() them first"),
        ("np.add(1, 2, out=env.tokens)", "copy() them first"),
        ("getattr(env, 'gold')", "may not look into itself"),
        ("eval('1')", "may not look into itself"),
        ("exec('x = 1')", "may not look into itself"),
        ("open('x')", "no files"),
        ("globals()", "may not look into itself"),
        ("type(env)", "may not look into itself"),
        ("__import__('os')", "may not look into itself"),
        ("__builtins__", "may not look into itself"),
        ("breakpoint()", "may not look into itself"),
        ("id(env)", "compare the values"),
        ("hash(1)", "compare the values"),
        ("input()", "no input"),
        ("str(env)", "use numbers"),
        ("'{0.__class__}'.format(env)", ".format is not an attribute"),
        ("np.load('x')", "np.load may not be used"),
        ("np.memmap('x')", "np.memmap may not be used"),
        ("np.fromfile('x')", "np.fromfile may not be used"),
        ("np.frombuffer(b'x')", "np.frombuffer may not be used"),
        ("np.ctypeslib", "np.ctypeslib may not be used"),
        ("np.testing", "np.testing may not be used"),
        ("np.lib.stride_tricks", "np.lib may not be used"),
        ("np.random.random()", "default_rng(a number)"),
        ("np.random.default_rng()", "needs a number as its seed"),
        ("np.random.default_rng(None)", "needs a number as its seed"),
        ("f = np", "is a module"),
        ("env.tokens.view(np.int8)", ".view is not an attribute"),
        ("env.tokens.strides", ".strides is not an attribute"),
        ("env.tokens.tofile('x')", ".tofile is not an attribute"),
        ("env.tokens.base", ".base is not an attribute"),
        ("env.tokens.ctypes", ".ctypes is not an attribute"),
        ("env.tokens.__array_interface__", "begin with an underscore"),
        ("math.sqr(2)", "did you mean sqrt"),
        ("np.argsort(env.tokens)", 'kind="stable"'),
        ("env.tokens.argsort(kind='quicksort')", 'kind="stable"'),
        ("np.argpartition(env.tokens, 1)", "not stable"),
        ("x = [1]\nx.sort()", "sorted(x)"),
        ("x = {1, 2}", "sets are not allowed"),
        ("x = {i for i in range(3)}", "sets are not allowed"),
        ("x = set()", "sets are not allowed"),
        ("try:\n    pass\nexcept ValueError:\n    pass", "`try` is not allowed"),
        ("with env:\n    pass", "`with` is not allowed"),
        ("yield 1", "`yield` is not allowed"),
        ("class A:\n    pass", "classes are not allowed"),
        ("global LEVEL", "keeps nothing from one episode"),
        ("def f():\n    nonlocal env\nf()", "`nonlocal` is not allowed"),
        ("match env.n:\n    case 1:\n        pass", "`match` is not allowed"),
        ("def f(memo=[]):\n    return memo", "a number, text or a tuple"),
        ("f = lambda x=[]: x", "a number, text or a tuple"),
        ("def f(x: print()) -> int:\n    return 1", "an annotation may not call"),
        ("np = 3", "choose another name"),
        ("x = 1j", "complex numbers"),
        ("x = undefined_name", "is not defined"),
        ("raise SystemExit", "is not defined"),
        ("raise Exception('x')", "raise ValueError"),
        ("schedule(0.5)", "called by the driver only"),
        ("env.note(p.width, 1)", "stands there in quotes"),
        ("__x = 1", "begin with two underscores"),
        ("async def f():\n    pass", "`async` is not allowed"),
    ],
)
def test_what_may_not_be_said_in_solve(body, message):
    assert message in said(solve_with(body))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import os", "import os: a program may import numpy, math and autotts.votes"),
        ("import numpy.random", "a program may import"),
        ("from numpy import load", "np.load may not be used"),
        ("from numpy import *", "one by one"),
        ("from autotts.votes import np", "autotts.votes has no function np"),
        ("from autotts.votes import majorty", "did you mean majority?"),
        ("from . import votes", "one by one"),
        ("from autotts.engine import jit", "a program may import"),
        ("import autotts.votes", "write `from autotts.votes import"),
        ("MEMORY = {}", "what can change is made inside `solve`"),
        ("MEMORY = []", "what can change is made inside `solve`"),
        ("MEMORY = np.zeros(3)", "what can change is made inside `solve`"),
        ("NUMBER = print()", "what can change is made inside `solve`"),
        ("print('hello')", "outside functions"),
        ("for i in range(3): pass", "outside functions"),
        ("solve.memory = 1", "outside functions"),
        ("class A: pass", "classes are not allowed"),
        ("@print\ndef helper(x):\n    return x", "decorators are not allowed"),
        ("def helper(x=print()):\n    return x", "a number, text or a tuple"),
        ("LEVEL = 3", "already defined on line"),
        ("def schedule(beta):\n    return {}", "already defined on line"),
    ],
)
def test_what_may_not_be_said_outside_functions(line, message):
    assert message in said(HONEST + "\n" + line + "\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def solve(env, p):", "def solve(env):", "write `def solve(env, p)`"),
        ("def solve(env, p):", "def solve(env, p, gold=0):", "with exactly these arguments"),
        ("def solve(env, p):", "def resolve(env, p):", "`def solve(env, p)` is missing"),
        ("def schedule(beta):", "def schedule(b):", "write `def schedule(beta)`"),
        ("def schedule(beta):", "def schedule(*beta):", "write `def schedule(beta)`"),
        ('"""A program.\n\nNobody 2026.\n"""', "", "begin with a docstring"),
    ],
)
def test_schedule_and_solve_stand_as_they_must(old, new, message):
    assert message in said(HONEST.replace(old, new))


def test_a_problem_names_file_line_and_reason():
    with pytest.raises(ProgramError, match=r"mine\.py:20: env has no gold"):
        check_source(solve_with("env.gold"), "mine.py")


def test_every_problem_is_told_in_order_of_lines():
    found = problems(solve_with("env.gold\nopen('x')\ntry:\n    pass\nfinally:\n    pass"))
    assert [p.line for p in found] == sorted(p.line for p in found)
    assert len(found) == 3


@pytest.mark.parametrize(
    "source",
    [
        "def solve(:",
        "x = '\0'",
        "(" * 300 + ")" * 300,
        "-" * 20_000 + "1",
        "[" * 90 + "]" * 90,
        "x = " + "+".join("1" for _ in range(9_000)),
        "x" * (MAX_BYTES + 1),
        "\ud800",
    ],
    ids=range(8),
)
def test_what_can_not_be_parsed_is_a_problem_and_no_crash(source):
    assert problems(source)


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_has_an_answer(text):
    """The check raises nothing but `ProgramError`, whatever it is given."""
    assert isinstance(problems(text), list)


@pytest.mark.parametrize(
    ("constant", "reason"),
    [
        ("0x" + "f" * 4000, "below 2\\*\\*63"),
        ("2" + "0" * 30, "below 2\\*\\*63"),
        ('"\\ud800"', "lone surrogates"),
    ],
)
def test_constants_that_break_what_reads_them_are_refused(constant, reason):
    at_module = HONEST.replace("def schedule", f"LARGE = {constant}\n\n\ndef schedule", 1)
    in_solve = HONEST.replace("    return best[0]", f"    x = {constant}\n    return best[0]")
    for text in (at_module, in_solve):
        (problem,) = problems(text)
        assert re.search(reason, problem.message)


def test_text_that_utf_8_can_not_hold_is_refused():
    assert "can't be parsed" in problems(HONEST + "# \ud800\n")[0].message
