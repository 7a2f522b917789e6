"""Questions about the syntax tree of a program, for the checker: what a node says, and is wrong."""

import ast
from collections.abc import Container, Iterator

from autotts.programs.language import CALLED, ENV, IN_PLACE, NO_ANSWER, PURE, READS

MAX_NAME = 60
"""Characters of a name that are shown."""
_MAX_LOOP = 200
"""Nodes of a loop that is looked at for whether it can end."""

Wrong = tuple[ast.expr | ast.stmt, str]
"""Where a program says what it may not, and a sentence about it."""


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} ..."


def too_deep(tree: ast.AST, most: int) -> int | None:
    """Line of the first node below `most` levels; without recursion, by construction."""
    level: list[tuple[ast.AST, int]] = [(tree, 1)]
    for _ in range(most):
        level = [
            (child, getattr(child, "lineno", line))
            for node, line in level
            for child in ast.iter_child_nodes(node)
        ]
    return level[0][1] if level else None


def dict_keys(tree: ast.AST) -> frozenset[str]:
    """Texts used as keys anywhere: the names that `schedule` can give its parameters."""
    keys = set()
    for node in ast.walk(tree):
        match node:
            case ast.Dict():
                keys |= {k.value for k in node.keys if isinstance(k, ast.Constant)}
            case ast.Call(func=ast.Name(id="dict")):
                keys |= {k.arg for k in node.keywords if k.arg}
            case ast.Subscript(slice=ast.Constant(value=str() as key), ctx=ast.Store()):
                keys.add(key)
    return frozenset(key for key in keys if isinstance(key, str) and key.isidentifier())


def argument_names(arguments: ast.arguments) -> set[str]:
    return {node.arg for node in ast.walk(arguments) if isinstance(node, ast.arg)}


def bound_names(function: ast.FunctionDef) -> set[str]:
    """Arguments and every name that the function itself assigns; not what functions in it do."""
    names = argument_names(function.args)
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.FunctionDef(name=name):
                names.add(name)
                continue
            case ast.Lambda():
                continue
        waiting.extend(ast.iter_child_nodes(node))
    return names


def own_returns(function: ast.FunctionDef) -> list[ast.Return]:
    """The `return` statements of a function itself."""
    found = []
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Return):
            found.append(node)
        elif not isinstance(node, ast.FunctionDef | ast.expr):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def is_small(node: ast.expr) -> bool:
    """Whether an expression is a whole number that stands there, below 2**31."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value < 2**31


def key_name(node: ast.expr) -> str:
    """The name that a subscript of `p` or `env` stands for."""
    if isinstance(node, ast.Constant) and str(node.value).isidentifier():
        return cut(str(node.value), MAX_NAME)
    return "name, with the name as it stands"


def says_nothing(function: ast.FunctionDef) -> bool:
    return all(isinstance(s, ast.Pass) for s in function.body)


def is_of_env(node: ast.AST) -> bool:
    """Whether an expression is a part of `env`: env.depth, env.depth[1:], env.history(i)."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Attribute) and node.attr not in ENV:
            return False
    return isinstance(node, ast.Name) and node.id == "env"


def never_ends(loop: ast.While) -> bool:
    """Whether nothing in a loop leaves it, or changes its condition."""
    looked_at = {part.id for part in ast.walk(loop.test) if isinstance(part, ast.Name)}
    for part in ast.walk(loop.test):
        if isinstance(part, ast.NamedExpr) or (isinstance(part, ast.Call) and not _reads(part)):
            return False
    for count, part in enumerate(part for line in loop.body for part in ast.walk(line)):
        match part:
            case ast.Break() | ast.Return() | ast.Raise() | ast.Assert():
                return False
            case ast.Call():
                if not _reads(part):
                    return False
            case ast.Name(id=name, ctx=ast.Store()) if name in looked_at:
                return False
            case ast.Subscript(ctx=ast.Store()):
                return False
        if count > _MAX_LOOP:
            return False
    return not (isinstance(loop.test, ast.Constant) and not loop.test.value)


def _reads(call: ast.Call) -> bool:
    """Whether a call can change nothing that a loop's condition looks at."""
    match call.func:
        case ast.Name(id=name):
            return name in PURE
        case ast.Attribute(value=ast.Name(id="env"), attr=name):
            return name in READS
    return False


def wrong_return(node: ast.Return, name: str) -> Iterator[Wrong]:
    """What can't be right of what `solve` or `schedule` returns, as far as it can be seen."""
    match node.value:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            what = "" if name == "solve" else "a number"
        case ast.Constant(value=value):
            what = "nothing" if value is None else "text" if isinstance(value, str) else ""
            what = what or f"{value!r}"
        case None:
            what = "nothing"
        case ast.Dict(values=values) if name == "schedule":
            what = ""
            for value in values:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value, "a parameter is a number, and this is text"
        case ast.Attribute(value=ast.Name(id="env"), attr=called) if called in CALLED:
            what = f"env.{called} itself; brackets call it: `env.{called}()`"
        case value:
            what = NO_ANSWER.get(type(value), "")
            what = "" if what == "a dict" and name == "schedule" else what
    if what and name == "solve":
        yield (
            node,
            f"solve returns the id of an answer, such as `return env.vote()`; this is {what}",
        )
    elif what:
        yield node, f'schedule returns numbers by name, such as {{"width": 8}}; this is {what}'


def wrong_call(node: ast.Call, modules: Container[str]) -> Iterator[Wrong]:
    """What is wrong with a call, by what is called and with what.

    modules: names that stand for modules.
    """
    match node.func:
        case ast.Attribute(attr="argsort"):
            if not any(
                k.arg == "kind"
                and isinstance(k.value, ast.Constant)
                and k.value.value in ("stable", "mergesort")
                for k in node.keywords
            ):
                yield node, 'argsort needs kind="stable", else equal values change places'
        case ast.Attribute(attr="sort", value=value) if not _is_module(value, modules):
            yield node, "x.sort(): use sorted(x) for lists, np.sort(x) for arrays"
        case ast.Attribute(attr="default_rng"):
            seed = node.args[0] if len(node.args) == 1 and not node.keywords else None
            if seed is None or (isinstance(seed, ast.Constant) and seed.value is None):
                yield node, "np.random.default_rng needs a number as its seed"
        case ast.Attribute(attr="roll", value=value) if _is_module(value, modules):
            shifts = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "shift")]
            if not all(is_small(shift) for shift in shifts):
                # A shift that overflows leaves elements that show what memory held before.
                yield (
                    node,
                    "np.roll: the shift is a number that stands there, as in np.roll(x, -1);"
                    " for others put slices together with np.concatenate",
                )
        case ast.Attribute(attr="get", value=ast.Name(id="p")) if node.args:
            yield node, f"p.get(...): write p.{key_name(node.args[0])}"
        case ast.Attribute(attr="note" | "signal" as called, value=ast.Name(id="env")):
            first = node.args[0] if node.args else None
            if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                yield node, f'env.{called}: the name stands there in quotes: {called}("margin", x)'
        case ast.Attribute(attr=attr, value=value) if attr in IN_PLACE and is_of_env(value):
            yield node, f"arrays of env can't be changed ({attr}); copy() them first"
        case ast.Name(id="solve" | "schedule" as name):
            yield node, f"{name} is called by the driver only"
    for keyword in node.keywords:
        if keyword.arg == "out" and is_of_env(keyword.value):
            yield node, "arrays of env can't be changed (out=); copy() them first"


def _is_module(node: ast.expr, modules: Container[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in modules
