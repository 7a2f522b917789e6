"""Whole numbers that leave 64 bits fail where a program is audited, and all else is as it was."""

import warnings

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks import toy
from autotts.errors import ControllerError
from autotts.programs import checker, whole
from autotts.sandbox.confine import seal

NUMBERS = st.sampled_from([0, 1, 2, 3, 7, 62, 63, 64, 2**31, 2**62, 2**63 - 1]).flatmap(
    lambda n: st.sampled_from([n, -n])
)


def expressions(depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(["a", "b", "c"])
    if depth == 0:
        return leaf
    part = expressions(depth - 1)
    return st.one_of(
        leaf,
        st.tuples(part, st.sampled_from(["+", "-", "*", "//", "%"]), part).map(
            lambda p: f"({p[0]} {p[1]} {p[2]})"
        ),
        part.map(lambda p: f"abs({p})"),
        part.map(lambda p: f"(-{p})"),
        st.tuples(part, st.integers(0, 70)).map(lambda p: f"({p[0]} << {p[1]})"),
        st.tuples(part, st.integers(0, 70)).map(lambda p: f"({p[0]} >> {p[1]})"),
        st.tuples(part, st.integers(0, 5)).map(lambda p: f"({p[0]} ** {p[1]})"),
    )


def interpreted(text: str):
    scope = dict(whole.NAMES)
    exec(compile(whole.checked(text), "program.py", "exec"), scope)
    return scope["f"]


@settings(max_examples=25, deadline=None)
@given(expressions(2), st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=6))
def test_a_number_is_the_compiled_one_or_an_error(expression, values):
    """No whole number tells a program, without an error, that it is interpreted."""
    text = f"def f(a, b, c):\n    x = {expression}\n    x += c\n    return x\n"
    checked = interpreted(text)
    scope: dict = {}
    exec(text, scope)
    fast = numba.njit(scope["f"])
    for given_ in values:
        try:
            expected = checked(*given_)
        except (ArithmeticError, ValueError):
            continue
        assert fast(*given_) == expected


@pytest.mark.parametrize(
    "line",
    [
        "x = 2**62 + 2**62", "x = b * b", "x = b\n    x += b", "x = [b]\n    x[0] += b", "x = -a",
        "x = abs(a)", "x = sum([b, b])", "x = int(1e30)", "x = round(1e30)", "x = 1 << 63",
        "x = 1 << -1", "x = 1 << 70", "x = 1 >> 64", "x = 2 ** -1", "x = 10 ** 10 ** 9",
        "x = pow(b, 2)", "x = math.factorial(25)", "x = a // -1",
    ],
)  # fmt: skip
def test_what_leaves_64_bits_is_an_error(line):
    function = interpreted(f"import math\ndef f(a, b):\n    {line}\n    return x\n")
    with pytest.raises((OverflowError, ValueError)):
        function(-(2**63), 2**62)


BOOLEANS = "finished, pruned = np.array([True, False]), np.array([True, True])"


@pytest.mark.parametrize(
    "line",
    [
        "x = finished[0] + pruned[0]", "x = finished[0]\n    x += pruned[0]",
        "x = finished[0] * pruned[0]", "x = finished[0] // pruned[0]",
        "x = finished[0] ** pruned[0]", "x = finished[0] << pruned[0]", "x = np.cos(finished[0])",
        "x = np.log1p(pruned)", "f = np.exp\n    x = f(pruned)", "x = (pruned * 2).astype('i1')",
        "x = np.zeros(3, 'f4')", "x = np.full(3, a, dtype='uint8')", "x = [1.0][0] * a ** 0.5",
        "x = pow(a, 2.5)", "x = np.arange(3) << 70", "x = np.arange(3) >> np.arange(-1, 2)",
        "x = [b]\n    x[len(x) - 1] += b", "x = [b]\n    x[int(0)] *= 4",
        "x = divmod(np.cos(finished), 1)",
    ],
)  # fmt: skip
def test_what_comes_out_otherwise_compiled_is_an_error(line):
    function = interpreted(
        f"import numpy as np\ndef f(a, b):\n    {BOOLEANS}\n    {line}\n    return x\n"
    )
    with pytest.raises((OverflowError, TypeError, ValueError)):
        function(-7, 2**62)


ALIKE = (
    "a + i", "m & ~m", "~m[0]", "m[0] & m[1]", "m[0] + 1", "m * 2", "m.sum() * a", "a // 3",
    "f % 0.3", "np.sum(m) / 3", "m[0] - 1.5", "np.where(m, a, f)", "sum([m[0], m[1]])",
    "np.cumsum(m)", "abs(-f[0])", "a << 3", "a >> (i * 0 + 2)", "max(m[0], i)",
    "np.count_nonzero(m) ** 2", "np.diff(a) * i", "divmod(i, 2)", "(np.mod(a, 5) == i).sum()",
)  # fmt: skip


@pytest.mark.parametrize("expression", ALIKE)
def test_what_is_said_of_masks_and_numbers_is_the_same_compiled(expression):
    text = f"import math\nimport numpy as np\ndef f(a, f, m, i):\n    return {expression}\n"
    scope: dict = {}
    exec(text, scope)
    given = np.array([4, -2, 7]), np.array([0.1, 0.7, -2.5]), np.array([True, False, True]), 3
    expected = interpreted(text)(*given)
    assert np.array_equal(np.asarray(numba.njit(scope["f"])(*given)), np.asarray(expected))


def test_kinds_that_come_out_otherwise_are_refused_by_line():
    head = "import numpy as np\ndef schedule(beta):\n    return {}\ndef solve(env, p):\n"
    for name in ("int8", "int32", "uint64", "float32", "resize", "kron"):
        (problem,) = checker.problems(f"{head}    x = np.{name}\n    return -1\n")
        assert problem.line == 5
        assert f"np.{name}: " in problem.message


def test_all_else_is_as_it_was():
    text = """
def f(a):
    x = [1]
    y = x
    x += [2]
    z = np.arange(3)
    w = z
    z += 1
    t = (1, 2) + (3,)
    return x is y, w.tolist(), t, 2 ** 0.5, -a, [0] * 3, a + 0.5, np.int64(2**62) * 4
"""
    plain = {"np": np}
    exec(text, plain)
    function = interpreted("import numpy as np" + text)
    with warnings.catch_warnings(action="ignore"):
        assert function(3) == plain["f"](3)


def test_an_error_names_its_line():
    function = interpreted("def f(a):\n    x = a\n\n    x *= a\n    return x\n")
    with pytest.raises(OverflowError) as raised:
        function(2**40)
    lines = [e.lineno for e in raised.traceback if str(e.path).endswith("program.py")]
    assert [line + 1 for line in lines] == [4]


def test_powers_and_shifts_are_written_out():
    head = "def schedule(beta):\n    return {}\ndef solve(env, p):\n"
    text = f"{head}    x = 2\n    x OP 3\n    return -1"
    for op in ("**=", "<<=", ">>="):
        assert "write powers and shifts out" in checker.problems(text.replace("OP", op))[0].message


TELLS = '''
"""Stops at once where whole numbers wrap, and goes on where they grow."""


def schedule(beta):
    return {"width": 4, "large": 2**62}


def solve(env, p):
    env.branch(p.width)
    if p.large + p.large + env.n < 0:
        return env.vote()
    while env.n_finished < 2:
        env.advance(env.active())
    return env.vote()
'''


@pytest.mark.skipif(seal.supported() is not None, reason="no process can be sealed here")
def test_a_program_can_not_tell_the_audit_by_whole_numbers():
    """Compiled it shows another face; the audit meets an error, with its line."""
    cell = toy.make_cell(n_draws=2)
    assert checker.problems(TELLS) == []
    with pytest.raises(ControllerError, match=r"mine\.py:11: .*leaves 64 bits"):
        toy.sandbox().run(toy.played(toy.program(TELLS), cell), audit=6)
