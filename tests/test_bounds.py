"""Compiled for somebody else, a program reads and writes its own arrays and nothing beside them.

Each expression here passes the source check, and indexes by what it is given. Numba compiles what
stands behind it without bounds checks, unless told otherwise.
"""

import warnings

import numba
import numpy as np
import pytest
from numba import types
from numba.extending import intrinsic, overload_method, register_jitable

from autotts.engine import compiled
from autotts.programs import checker

MOST, LEAST = 2**63 - 1, -(2**63)
WRAPS = 3689348814741910324
"""Five times this is 2**64 + 4, so that five times as many items seem to be four."""

INDEXING = {
    "a[i]": (5, -6, MOST, LEAST),
    "b[i, 0]": (2, -3, MOST),
    "b[0, i]": (3, -4, LEAST),
    "a[x]": ([1, 9], [-6], [MOST], [LEAST]),
    "b[x, 0]": ([1, 9], [-3]),
    "b[0, x]": ([1, 9], [LEAST]),
    "a[x > 0]": ([1] * 5, [1] * 9),
    "a[i:]": (9, LEAST, MOST),
    "a[::i]": (0, LEAST, MOST),
    "np.take(a, i)": (5, -6, MOST, LEAST),
    "np.take(a, x)": ([1, 9], [-6], [MOST]),
    "a.take(x)": ([1, 9], [LEAST]),
    "np.delete(a, i)": (9, -6, LEAST),
    "np.delete(a, x)": ([1, 9], [2**40], [LEAST]),
    "np.bincount(x)": ([1, -9], []),
    "np.bincount(x, f)": ([1, 2], [1] * 9),
    "np.interp(f, f, f[:i])": (2, 0),
    "np.histogram(f, i)[0]": (-5, 0),
    "np.histogram(f, f[:i])[0]": (0, 1, 3),
    "np.digitize(f, f[:i])": (0, 1),
    "np.searchsorted(f[:i], f)": (0, 3),
    "np.quantile(f, f[:i] * 9)": (0, 5),
    "np.percentile(f[:i], 50)": (0,),
    "np.argmax(a[:i])": (0,),
    "np.max(a[:i])": (0,),
    "np.median(f[:i])": (0, 1),
    "np.diag(b, i)": (9, -9),
    "np.eye(3, 3, i)": (MOST, LEAST),
    "np.diff(a, i)": (-1, 30),
    "np.transpose(b, (0, i))": (7, -7),
    "b.sum(axis=i)": (7, -7),
    "a.reshape(i, 3)": (9, -7, 2**62),
    "np.where(a > 2, a, x)": ([1, 2], [1] * 9),
    "np.add(a, x)": ([1, 2], [1] * 9),
    "np.split(a, x)[0]": ([9, 12], [-9]),
    "np.dot(f, f[:i])": (2, 0),
    "np.convolve(f, f[:i])": (0, 1),
    "np.concatenate((b, b[:, :i]))": (2,),
    "np.zeros(i)": (-1, 2**62),
    "np.zeros((i, i))": (2**33,),
    "[1, 2, 3][i]": (3, -4, MOST),
    "[1, 2, 3].pop(i)": (3, -4, LEAST),
    "len([1] * 5 * i)": (WRAPS, MOST, 3),
    "len(i * ([1] * 5))": (WRAPS, MOST, 3, -1),
    "len('abcde' * i)": (WRAPS, MOST, 3, -1),
    "len(i * 'abcde')": (WRAPS, MOST, 3, LEAST),
    "np.repeat(a[:5], i)": (WRAPS, MOST, 3, 0, 1),
    "np.repeat(i, 3)": (7,),
    "a.repeat(i)": (WRAPS, 2),
    "np.repeat(a, x)": (
        [1, 2],
        [1, 2, 3, 0, 1],
        [2],
        [WRAPS],
        [MOST, MOST, 1, 1, 1],
        [1, 2, -3, 1, 1],
    ),
    "a[:4].reshape(i, 5)": (WRAPS, MOST),
    "np.reshape(a[:4], (i, 5))": (WRAPS, MOST),
    "a[:4].reshape(i, -1)": (2, 4, MOST),
    "a[:0].reshape(2**32, 2**32)": (0,),
    "np.zeros((i, 5))": (WRAPS, MOST),
    "np.full((i, 5), 7)": (WRAPS, MOST),
    "np.eye(5, i)": (WRAPS, MOST),
    "np.linspace(0, 1, i)": (-1, MOST),
    "np.tri(5, i)": (WRAPS, MOST),
    "np.vander(a, i)": (WRAPS, MOST, 2),
    "np.arange(i)": (-1, MOST),
    "a[i + i] if i > 0 else 0": (2**62, 2**62 + 1, 2),
    "a[np.add(i, i)] if i > 0 else 0": (2**62, 2**62 + 1, 2),
    "a[i * 8 + i] if i >= 0 else 0": (2049638230412172352, 2049638230412172401),
    "a[abs(i) - -5] if i > 5 else 0": (MOST, MOST - 4),
    "(1, 2, 3)[i]": (3, -4),
}


def outcome(function, value):
    """What an expression gives of `value`, or that it fails; what stands around is untouched."""
    around = np.arange(4_000)
    a = around[2_000:2_005]
    x = np.array(value if isinstance(value, list) else [0], np.int64)
    i = value if isinstance(value, int) else 0
    f = np.array([0.1, 0.2, 0.3, 0.7, 0.9])
    try:
        with warnings.catch_warnings(action="ignore"):
            result = function(a, np.arange(6.0).reshape(2, 3), f, x, i)
    except Exception:
        return "it fails"
    assert np.array_equal(
        np.delete(around, slice(2_000, 2_005)), [*range(2_000), *range(2_005, 4_000)]
    )
    return repr(np.asarray(result))


@pytest.mark.parametrize("expression", INDEXING)
def test_an_index_out_of_range_fails_or_does_what_it_does_interpreted(expression):
    body = '"""Indexes."""\nimport numpy as np\ndef schedule(beta):\n    return {}\n'
    assert checker.problems(
        f"{body}def solve(env, p):\n    a = x = f = np.zeros(3)\n    b = np.zeros((2, 3))\n"
        f"    for i in range(3):\n        {expression}\n    return -1\n"
    ) == []  # fmt: skip
    scope = {"np": np}
    exec(f"def index(a, b, f, x, i):\n    return {expression}\n", scope)
    with compiled.checked_throughout():
        fast = numba.njit(scope["index"], boundscheck=True)
        for value in INDEXING[expression]:
            given = outcome(fast, value)
            assert given == "it fails" or given == outcome(scope["index"], value)


@register_jitable
def item(a, i):
    return a[i]


@register_jitable
def item_of_one(a, i):
    return item(a, i)


@overload_method(types.Array, "item_by_method")
def _item_by_method(a, i):
    def read(a, i):
        return item(a, i)

    return read


@intrinsic
def item_by_code(typingctx, a, i):
    def read(a, i):
        return a[i]

    def codegen(context, builder, sig, args):
        return context.compile_internal(builder, read, sig, args)

    return a.dtype(a, i), codegen


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    "read",
    [
        lambda a, i: item(a, i),
        lambda a, i: item_of_one(a, i),
        lambda a, i: a.item_by_method(i),
        lambda a, i: item_by_code(a, i),
        lambda a, i: np.median(a) + item_of_one(a, i),
    ],
    ids=range(5),
)  # fmt: skip
def test_what_was_compiled_without_checks_is_not_used_with_them(read, again):
    """However deep in what a program calls it is; nor the other way round."""
    a = np.arange(5.0)
    plain = numba.njit(read)
    assert plain(a[:3], 4) in (4, 5)
    with compiled.checked_throughout():
        fast = numba.njit(boundscheck=True)(read)
        assert fast(a[:3], 2) in (2, 3)
        with pytest.raises(IndexError):
            fast(a[:3], 4)
    if again:
        assert numba.njit(lambda a, i: item_of_one(a, i))(a[:3], 4) == 4


@pytest.mark.parametrize("name", ["empty", "empty_like"])
def test_memory_that_others_used_is_not_shown(name):
    """What an array holds before it is written is what somebody else left there."""
    text = (
        '"""Looks."""\nimport numpy as np\ndef schedule(beta):\n    return {}\n'
        f"def solve(env, p):\n    return int(np.{name}(9)[0])\n"
    )
    (problem,) = checker.problems(text)
    assert "use np.zeros" in problem.message
