"""The source check: it refuses what a program may not say, by line, and says what would work."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autotts.controllers
from autotts.errors import ProgramError
from autotts.programs.checker import MAX_BYTES, MAX_PROBLEMS, check_source, problems

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


def test_a_docstring_is_not_required():
    assert problems(HONEST.replace('"""A program.\n\nNobody 2026.\n"""', "")) == []


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("x = p['width']", 20, "write p.width"),
        ("x = p.get('width', 3)", 20, "write p.width"),
        ("x = env['votes']", 20, "write env.votes"),
        ("x = 1\nreturn 'A'", 21, "returns the id of an answer, such as `return env.vote()`"),
        ("return {'answer': 1}", 20, "this is a dict"),
        ("return [env.vote()]", 20, "this is a list"),
        ("return env.vote(), 1", 20, "this is a tuple"),
        ("return f'{env.vote()}'", 20, "this is text"),
        ("return", 20, "this is nothing"),
        ("return 0.5", 20, "this is 0.5"),
        ("x = majority(env.votes)", 20, 'write "from autotts.votes import majority" at the top'),
        ("while True:\n    pass", 20, "never ends"),
        ("k = 0\nwhile env.n_finished < 3:\n    k += 1", 21, "never ends"),
        ("k = 0\nwhile k < 3:\n    print(env.n)", 21, "never ends"),
        ("while env.active().size:\n    k = env.vote()", 20, "never ends"),
        ("while env.n < 9:\n    env.active()", 20, "never ends"),
        ("return env.vote", 20, "brackets call it: `env.vote()`"),
        ("def f(x: Lisst):\n    return x", 20, "import it from typing"),
        ("env.finish_ordr", 20, "did you mean finish_order"),
    ],
)
def test_first_mistakes_are_told_by_line_with_what_to_do(body, line, message):
    (problem,) = problems(solve_with(body))
    assert problem.line == line
    assert message in problem.message
    assert "\n" not in problem.message


def test_numpy_that_was_not_imported_is_told():
    (problem,) = {p.message for p in problems(HONEST.replace("import numpy as np\n", ""))}
    assert problem == 'np is not defined: write "import numpy as np" at the top'


def test_a_function_that_returns_nothing_is_told():
    text = f"{HEAD}\ndef solve(env, p):\n    env.branch()\n"
    assert "solve returns nothing; end it with `return env.vote()`" in said(text)
    assert "returns numbers by name" in said(HONEST.replace("return {", "return 3\n    {", 1))
    assert "and this is text" in said(HONEST.replace("round(2 + beta)", '"wide"'))


@pytest.mark.parametrize(
    "body",
    [
        "while True:\n    env.branch()",
        "while True:\n    if env.n > 3:\n        break",
        "k = 0\nwhile k < 3:\n    k += 1",
        "k = np.zeros(3)\nwhile k[0] < 3:\n    k[0] += 1",
        "k = 3\nwhile (k := k - 1) > 0:\n    pass",
        "x = [1]\nwhile x:\n    x.pop()",
        "print('width', p.width, env.votes)",
        "print(f'{p.width}')",
    ],
)
def test_what_may_be_right_is_let_through(body):
    assert problems(solve_with(body)) == []


TYPED = """from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from autotts.engine.interpreted import Env

if TYPE_CHECKING:
    from somewhere import Nothing

STEPS: int = 3


def schedule(beta: float) -> Mapping[str, float]:
    return {"width": 4}


def best(votes: npt.NDArray[np.int64], other: Nothing = None) -> int | None:
    most: int = 0
    left: list[int]
    left = [most]
    return left[0]


def solve(env: Env, p: Any) -> int:
    env.branch(p.width)
    best(env.votes)
    return env.vote()
"""


def test_annotations_are_harmless():
    assert problems(TYPED) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("most: int = 0", "most = Any", "Any is for annotations"),
        ("best(env.votes)", "Env(env)", "Env is for annotations"),
        ("-> int | None", "-> [print(1) for x in votes]", "may not call anything"),
        ("-> int | None", "-> (lambda: 0)", "names types and no more"),
        ("-> int | None", "-> np.__loader__", "can't stand in an annotation"),
        ("    from somewhere import Nothing", "    print(1)", "imports only"),
        ("STEPS: int = 3", "STEPS = Any", "a constant of the module"),
    ],
)
def test_types_are_for_annotations_alone(old, new, message):
    assert message in said(TYPED.replace(old, new))


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        ("np.roll(env.votes, 1)", True),
        ("np.roll(env.votes, shift=-2)", True),
        ("np.roll(env.votes, p.width)", False),
        ("np.roll(env.votes, 2**62)", False),
        ("np.roll(env.votes, 9223372036854775807)", False),
        ("f = np.roll", False),
    ],
)
def test_arrays_are_rolled_by_what_stands_there(call, allowed):
    """A shift that overflows shows what memory held before."""
    assert (problems(solve_with(call)) == []) == allowed


LARGE = MAX_BYTES - 2_000
REPEATED = {
    "undefined names": "\n".join(f"    name{k}" for k in range(2_300)),
    "names alike": "\n".join(f"    {'ab' * 30}{k}" for k in range(450)),
    "long names": "\n".join(f"    {'x' * 4_000}{k}" for k in range(7)),
    "line breaks": "\n" * LARGE,
    "parameters": "\n".join(f"    p.q{k}" for k in range(2_500)),
    "attributes": "\n".join(f"    env.q{k}" for k in range(2_000)),
    "repeats": "    x = [1]\n" * (LARGE // 12),
    "lambdas": "    (" + "lambda:" * 90 + "0)\n" + "    (lambda x: x)\n" * 1_500,
    "lambdas of many names": "    def f(" + ",".join(f"a{k}" for k in range(2_000)) + "):\n"
    + "        (lambda x: x)\n" * 700,
    "nested functions": "".join(f"{' ' * k}def f{k}(a{k}):\n" for k in range(4, 90))
    + "".join(f"{' ' * 90}b{k} = 1\n" for k in range(260)),
    "nested loops": "".join(f"{' ' * k}while x:\n" for k in range(4, 40))
    + f"{' ' * 40}x+x\n" * 600,
    "keys": "    {" + ",".join(f"'k{k}':0" for k in range(3_000)) + "}\n    "
    + "\n    ".join(f"p.z{k}" for k in range(100)),
    "brackets": "    " + "(" * 90 + ")" * 90 + "\n    " + "[" * 199 + "\n",
    "braces": "    " + "{" * 100,
    "braces in turns": "    " + "{1:[(" * 60,
    "calls": "    " + "f(" * 99 + ")" * 99,
    "formats": "    " + "f'{" * 90,
    "formats of formats": "    x = f'" + "{1:{2}}" * 4_000 + "'",
    "strings": "    x = " + '"' * LARGE,
    "a long number": "    x = 0x" + "f" * LARGE,
    "a decimal": "    x = " + "9" * LARGE,
    "minus": "    x = " + "-" * LARGE + "1",
    "a sum": "    x = " + "1+" * 14_000 + "1",
    "comparisons": "    x = " + "1<" * 14_000 + "1",
    "attributes of attributes": "    x = env" + ".T" * 14_000,
    "annotations": "\n".join(f"    x{k}: Q{k} = 1" for k in range(1_800)),
    "arguments": "    def f(" + ",".join(f"a{k}: Q{k}" for k in range(2_000)) + "): pass",
    "semicolons": "    " + "x;" * 14_000,
    "backslashes": "    x = \\\n" * 5_000,
    "definitions": "\n".join(f"    def f{k}(): return f{k}" for k in range(900)),
    "imports": "\n".join(f"import q{k}" for k in range(2_500)),
    "commas": "    x = 1" + "," * LARGE,
    "indents": "".join(" " * k + "if 1:\n" for k in range(4, 220)),
}  # fmt: skip


@pytest.mark.parametrize("name", REPEATED)
def test_any_text_is_checked_in_a_second(name):
    """Whatever of it is repeated; and what is said of it is short."""
    text = f"{HEAD}\ndef solve(env, p):\n    x = 0\n{REPEATED[name]}\n    return env.vote()\n"
    text = text.encode()[:MAX_BYTES].decode()
    began = time.process_time()
    found = problems(text)
    assert time.process_time() - began < 1.0
    assert len(found) <= MAX_PROBLEMS + 1
    assert all(len(problem.message) <= 320 for problem in found)


PIECES = [
    "(", ")", "[", "]", "{", "}", ":", ",", ".", "\n", "    ", "def f(x):\n    ", "lambda x:",
    "env", "p", "np", "env.votes", "x", "=", "1", "'a'", 'f"{', '"', "\\", "#", "*", "-",
    "while x:\n        ", "if ", "else ", "await ", "for x in ", "not ", "async ",
    "match x:\n case ", "with (", "@",
]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.integers(1, 400)), max_size=8), st.booleans())
@settings(max_examples=200, deadline=2_000)
def test_pieces_of_programs_repeated_are_checked_soon(pieces, within):
    text = "".join(piece * times for piece, times in pieces)
    assert len(problems(solve_with(text) if within else text)) <= MAX_PROBLEMS + 1


def test_what_is_left_out_is_counted():
    found = problems(solve_with("\n".join(f"env.q{k}" for k in range(50))))
    assert [len(found), found[-1].message] == [MAX_PROBLEMS + 1, "... and 30 more problems"]


def test_a_text_is_checked_once(monkeypatch):
    from autotts.programs import checker

    text = solve_with("x = 'a text of its own'")
    assert problems(text) == []
    monkeypatch.setattr(checker, "_Checker", None)
    assert problems(text) == []
