"""Numbers as compiled code has them: where interpreted ones would be others, a program fails.

Compiled, an integer has 64 bits and wraps; Python's grows. A program could tell by it which of the
two it is, and show another face to the audit, which runs it interpreted. So where somebody else's
program runs blind, what its arithmetic and NumPy give is looked at, and the audit meets an error,
with line and message, where that is

- a whole number beyond 64 bits;
- a number or array of fewer bits or without a sign: NumPy keeps them so, Numba widens them;
- a sum, product or quotient of two booleans, which is a boolean in NumPy and a number in Numba;
- complex: a negative number to a fractional power, which is no number compiled.

What is left that tells the two apart without an error:

- the last bits of floats: NumPy sums in pairs, and has functions of its own beyond arithmetic
  (powers of arrays, `exp`, `cbrt`, `cosh`, percentiles);
- floats that are made of, or compared with, whole numbers beyond 2**53;
- what `np.cumsum` makes of a single number;
- how long something takes, and what is left of memory.

Those change decisions in the audited sample like any other difference.
"""

import ast
import copy
from typing import Any

import numpy as np

_MOST = 2**63 - 1
_ALIKE = tuple(map(np.dtype, (np.int64, np.float64, np.bool_)))
_CHECK, _NUMBER, _ITEMS, _POWER = "__whole", "__number", "__items", "__power"
_SHIFT_LEFT, _SHIFT_RIGHT = "__shift_left", "__shift_right"
_CHECKED = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv)
_REPLACED = {ast.Pow: _POWER, ast.LShift: _SHIFT_LEFT, ast.RShift: _SHIFT_RIGHT}


def whole(value: Any) -> Any:
    """A value, if it is the same compiled.

    Raises:
        OverflowError: it is a whole number beyond 64 bits.
        TypeError: it is of a kind that is another one compiled, see above.
        ValueError: it is complex.
    """
    kind = type(value)
    if kind is int:
        if not -_MOST - 1 <= value <= _MOST:
            raise OverflowError(
                "a whole number leaves 64 bits; use float() where numbers grow large"
            )
    elif kind is np.ndarray or isinstance(value, np.generic):
        _check_dtype(value)
    elif kind is tuple:
        for one in value:
            whole(one)
    elif kind is complex:
        raise ValueError("a negative number to a fractional power is no number")
    return value


def _check_dtype(value: Any) -> None:
    kind = value.dtype
    if kind not in _ALIKE:
        raise TypeError(
            f"numbers of kind {kind} come out otherwise compiled; use np.int64, np.float64 or bool"
        )


def number(value: Any) -> Any:
    """What arithmetic gave, if it is the same compiled; see `whole`.

    Raises:
        TypeError: also if it is a boolean: compiled, True + True is 2.
        OverflowError, ValueError: as `whole`.
    """
    if type(value) is np.bool_:
        raise TypeError("arithmetic with two booleans comes out otherwise compiled; use int(x)")
    return whole(value)


def items(values: Any) -> Any:
    """A list or dict, if all that is in it is the same compiled; see `whole`."""
    if isinstance(values, list | dict):
        for one in values.values() if isinstance(values, dict) else values:
            whole(one)
    return values


def power(base: Any, exponent: Any) -> Any:
    """`base ** exponent`, whole for whole numbers.

    Raises:
        OverflowError: the result leaves 64 bits.
        ValueError: a whole number to a negative power.
    """
    if isinstance(base, int) and isinstance(exponent, int):
        if exponent < 0:
            raise ValueError("a whole number to a negative power: write float(x) ** y")
        if exponent > 64 and abs(base) > 1:
            return whole(_MOST + 1)
    return number(base**exponent)


def shift_left(value: Any, count: Any) -> Any:
    """`value << count`, for counts below 64; see `whole`."""
    return number(value << _bits(count))


def shift_right(value: Any, count: Any) -> Any:
    """`value >> count`, for counts below 64."""
    return number(value >> _bits(count))


def _bits(count: Any) -> Any:
    if not np.all((np.asarray(count) >= 0) & (np.asarray(count) < 64)):
        raise OverflowError("a shift is by 0 to 63 bits")
    return count


NAMES = {
    _CHECK: whole, _NUMBER: number, _ITEMS: items, _POWER: power, _SHIFT_LEFT: shift_left,
    _SHIFT_RIGHT: shift_right,
}  # fmt: skip
"""What a checked program calls; no program may use a name that begins so."""


def checked(text: str) -> ast.Module:
    """A program, its lines as they were, whose whole numbers are looked at.

    Raises:
        SyntaxError, ValueError: the text is no program.
    """
    tree = ast.parse(text)
    _Checking().visit(tree)
    return ast.fix_missing_locations(tree)


class _Checking(ast.NodeTransformer):
    """Puts a call around what gives a number; nothing else changes."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        replaced = _REPLACED.get(type(node.op))
        if replaced:
            return _call(node, replaced, node.left, node.right)
        return _call(node, _NUMBER, node) if isinstance(node.op, _CHECKED) else node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        plain = isinstance(node.operand, ast.Constant) or not isinstance(node.op, ast.USub)
        return node if plain else _call(node, _CHECK, node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        # Of any function: what it is called says little, for `f = np.exp` is a program too.
        self.generic_visit(node)
        return _call(node, _CHECK, node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt | list[ast.stmt]:
        check = _NUMBER if isinstance(node.op, _CHECKED) else _CHECK
        read = copy.deepcopy(node.target)
        self.generic_visit(node)
        # Not as an assignment of a sum: lists and arrays are added to in place.
        looked_at: Any = read
        if isinstance(read, ast.Subscript) and _acts(read.slice):
            check, looked_at = _ITEMS, read.value  # what it does is not done twice
        if _acts(looked_at):
            return node
        looked_at.ctx = ast.Load()
        return [node, ast.copy_location(ast.Expr(_call(node, check, looked_at)), node)]


def _acts(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Call | ast.NamedExpr) for part in ast.walk(node))


def _call(where: ast.AST, name: str, *values: ast.expr) -> ast.Call:
    called = ast.copy_location(ast.Name(name, ast.Load()), where)
    return ast.copy_location(ast.Call(called, list(values), []), where)
