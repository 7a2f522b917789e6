"""Whole numbers as compiled code has them: where one leaves 64 bits, an interpreted program fails.

Compiled, an integer has 64 bits and wraps; Python's grows. A program could tell by it which of the
two it is, and show another face to the audit, which runs it interpreted. So where somebody else's
program runs blind, what its arithmetic gives is looked at, and 64 bits are an error: the audit
meets it, with line and message. What is left that tells the two apart without an error: results
of fewer bits, of float32 and of uint64, and floats that are compared with whole numbers
beyond 2**53. Those change decisions in the audited sample like any other difference.
"""

import ast
import copy
from typing import Any

_MOST = 2**63 - 1
_CHECK, _POWER, _SHIFT_LEFT, _SHIFT_RIGHT = "__whole", "__power", "__shift_left", "__shift_right"
_CHECKED = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv)
_REPLACED = {ast.Pow: _POWER, ast.LShift: _SHIFT_LEFT, ast.RShift: _SHIFT_RIGHT}
_CALLS = frozenset({"abs", "int", "pow", "round", "sum"})


def whole(value: Any) -> Any:
    """A value, if it isn't a whole number beyond 64 bits.

    Raises:
        OverflowError: it is.
    """
    if type(value) is int and not -_MOST - 1 <= value <= _MOST:
        raise OverflowError("a whole number leaves 64 bits; use float() where numbers grow large")
    return value


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
    return whole(base**exponent)


def shift_left(value: Any, count: Any) -> Any:
    """`value << count`, for counts below 64; see `whole`."""
    return whole(value << _bits(count))


def shift_right(value: Any, count: Any) -> Any:
    """`value >> count`, for counts below 64."""
    return value >> _bits(count)


def _bits(count: Any) -> Any:
    if isinstance(count, int) and not 0 <= count < 64:
        raise OverflowError("a shift is by 0 to 63 bits")
    return count


NAMES = {_CHECK: whole, _POWER: power, _SHIFT_LEFT: shift_left, _SHIFT_RIGHT: shift_right}
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
    """Puts a call around what gives a whole number; nothing else changes."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        replaced = _REPLACED.get(type(node.op))
        if replaced:
            return _call(node, replaced, node.left, node.right)
        return _call(node, _CHECK, node) if isinstance(node.op, _CHECKED) else node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        plain = isinstance(node.operand, ast.Constant) or not isinstance(node.op, ast.USub)
        return node if plain else _call(node, _CHECK, node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node.func:
            case ast.Name(id=name) if name in _CALLS:
                return _call(node, _CHECK, node)
            case ast.Attribute(value=ast.Name("math")):
                return _call(node, _CHECK, node)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt | list[ast.stmt]:
        self.generic_visit(node)
        # Not as an assignment of a sum: lists and arrays are added to in place.
        read = copy.deepcopy(node.target)
        if any(isinstance(part, ast.Call | ast.NamedExpr) for part in ast.walk(read)):
            return node
        read.ctx = ast.Load()
        return [node, ast.copy_location(ast.Expr(_call(node, _CHECK, read)), node)]

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.MatchValue:
        return node


def _call(where: ast.AST, name: str, *values: ast.expr) -> ast.Call:
    called = ast.copy_location(ast.Name(name, ast.Load()), where)
    return ast.copy_location(ast.Call(called, list(values), []), where)
