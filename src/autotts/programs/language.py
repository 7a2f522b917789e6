"""The source check: what a controller program may say, and what would work instead.

It reads the syntax tree and runs nothing. It is there for good messages before anything is
compiled. It is not the boundary: a program that slips past it meets the sealed worker, which
holds nothing worth taking, and the audit.

It takes at most a second for any text: size, nodes, depth and what is reported are capped, every
node is looked at once, and names are compared with others only for the first few problems.

Everything is an allow-list: statements, builtins, parts of numpy, attributes. Sorting values
needs no `kind` (equal values look alike); sorting indices does, for there order is a decision.
"""

import ast
import difflib
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from types import FunctionType

from autotts import votes
from autotts.control.env import NAMES
from autotts.errors import ProgramError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MAX_BYTES = 32 * 1024
MAX_DEPTH = 100
"""Nesting of the syntax tree; every term of a sum and every `elif` is a level."""
MAX_NODES = 20_000
MAX_PROBLEMS = 20
_MAX_MESSAGE = 300
_MAX_NAME = 60
_MAX_SUGGESTIONS = 5
"""How many names are compared with others, for "did you mean"."""
_MAX_KNOWN = 400
_MAX_LOOP = 200
"""Nodes of a loop that is looked at for whether it can end."""

ENV = NAMES

VOTES = frozenset(
    name
    for name, value in vars(votes).items()
    if isinstance(value, FunctionType)
    and value.__module__ == votes.__name__
    and not name.startswith("_")
)

BUILTINS = _words(
    """abs all any bool dict divmod enumerate filter float int len list map max min pow print range
    reversed round sorted sum tuple zip True False None
    ArithmeticError AssertionError IndexError RuntimeError ValueError"""
)

NUMPY = _words(
    """abs absolute add all allclose amax amin any append arange arccos arcsin arctan arctan2 argmax
    argmin argsort argwhere around array array_equal asarray atleast_1d atleast_2d average bincount
    bool_ cbrt ceil clip column_stack concatenate convolve copy corrcoef cos cosh count_nonzero cov
    cross cumprod cumsum deg2rad delete diag diff digitize divide divmod dot e ediff1d
    equal euler_gamma exp exp2 expand_dims expm1 eye fabs finfo flatnonzero flip float32
    float64 floor floor_divide fmax fmin fmod full full_like gcd greater greater_equal heaviside
    histogram hstack hypot identity iinfo inf inner insert int16 int32 int64 int8 interp intersect1d
    isclose isfinite isin isinf isnan kron lcm less less_equal lexsort linspace log log10 log1p
    log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logspace matmul max
    maximum mean median min minimum mod multiply nan nan_to_num nanargmax nanargmin nanmax nanmean
    nanmedian nanmin nanpercentile nanquantile nanstd nansum nanvar negative newaxis nonzero
    not_equal ones ones_like outer percentile pi polyfit polyval power prod ptp quantile ravel
    reciprocal remainder repeat reshape resize rint roll round searchsorted setdiff1d sign sin sinh
    size sort split sqrt square squeeze stack std subtract sum take tan tanh tile trace transpose
    tri tril triu trunc uint16 uint32 uint64 uint8 union1d unique vander var vstack where zeros
    zeros_like"""
)

MATH = _words(
    """acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees dist e erf
    erfc exp exp2 expm1 fabs factorial floor fmod frexp fsum gamma gcd hypot inf isclose isfinite
    isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf nan nextafter perm pi pow prod
    radians remainder sin sinh sqrt tan tanh tau trunc ulp"""
)

RANDOM = _words(
    """beta binomial choice exponential gamma geometric integers normal permutation poisson random
    shuffle standard_normal triangular uniform"""
)

METHODS = _words(
    """T all any append argmax argmin argsort astype clear clip copy count cumprod cumsum dot dtype
    eps extend fill flatten get index insert item items keys max mean min ndim nonzero pop prod
    ravel remove repeat reshape reverse round searchsorted setdefault shape size squeeze std sum
    take tolist transpose update values var"""
)
"""Attributes of arrays, lists, dicts and `np.finfo` that a program may use."""

IN_PLACE = _words("fill clear extend append insert remove pop reverse update setdefault")

STATEMENTS = (
    ast.FunctionDef, ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.While,
    ast.If, ast.Raise, ast.Assert, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.Delete,
)  # fmt: skip

FORBIDDEN: dict[type[ast.AST], str] = {
    ast.Try: "`try` is not allowed: an error in an episode is reported as it is; test before",
    ast.TryStar: "`try` is not allowed: an error in an episode is reported as it is; test before",
    ast.ClassDef: "classes are not allowed; use functions, arrays and tuples",
    ast.AsyncFunctionDef: "`async` is not allowed; a program is plain sequential code",
    ast.AsyncFor: "`async` is not allowed; a program is plain sequential code",
    ast.AsyncWith: "`async` is not allowed; a program is plain sequential code",
    ast.Await: "`await` is not allowed; a program is plain sequential code",
    ast.Yield: "`yield` is not allowed; call the actions of `env` directly",
    ast.YieldFrom: "`yield` is not allowed; call the actions of `env` directly",
    ast.With: "`with` is not allowed; a program opens nothing",
    ast.Global: "`global` is not allowed: a program keeps nothing from one episode to the next",
    ast.Nonlocal: "`nonlocal` is not allowed; pass values as arguments and return them",
    ast.Set: "sets are not allowed, their order is not defined; use a sorted list or an array",
    ast.SetComp: "sets are not allowed, their order is not defined; use a sorted list or an array",
    ast.Match: "`match` is not allowed; use if and elif",
    ast.Import: "imports stand at the top of the module",
    ast.ImportFrom: "imports stand at the top of the module",
}

REFUSED_BUILTINS = {
    "set": "sets are not allowed, their order is not defined; use a sorted list or an array",
    "frozenset": "sets are not allowed, their order is not defined; use a sorted list or an array",
    "open": "a program reads and writes no files",
    "input": "a program reads no input",
    "hash": "hashes differ from one process to the next; compare the values themselves",
    "id": "addresses differ from one process to the next; compare the values themselves",
    "str": "text has no place in a decision; use numbers",
    "repr": "text has no place in a decision; use numbers",
    "format": "text has no place in a decision; use numbers",
    "BaseException": "raise ValueError or RuntimeError",
    "Exception": "raise ValueError or RuntimeError",
    "iter": "use a for loop over a list, a range or an array",
    "next": "use a for loop over a list, a range or an array",
    "memoryview": "use numpy arrays",
    "bytes": "use numpy arrays",
    "bytearray": "use numpy arrays",
    "complex": "use float",
}
INTROSPECTION = _words(
    """__import__ breakpoint callable classmethod compile delattr dir eval exec exit getattr globals
    hasattr help isinstance issubclass locals object property quit setattr staticmethod super type
    vars"""
)

ANNOTATIONS = _words("typing collections.abc numpy.typing __future__")
"""Modules whose names a program may import, and use in annotations alone."""
_TYPES = _words("int float bool str list dict tuple object None bytes complex set frozenset type")
_HOW_TO_GET = {
    "np": 'write "import numpy as np" at the top',
    "numpy": 'write "import numpy as np" at the top, and np. here',
    "math": 'write "import math" at the top',
    "env": "give it to this function as an argument",
    "p": "give it to this function as an argument",
}
_NO_ANSWER = {
    ast.JoinedStr: "text",
    ast.Dict: "a dict",
    ast.DictComp: "a dict",
    ast.List: "a list",
    ast.ListComp: "a list",
    ast.Tuple: "a tuple",
}
"""What `solve` can't return, by how it is written."""
_PURE = _words("abs bool float int len max min print range round")
"""Builtins that change nothing a loop's condition could look at."""

SIGNATURES = {"schedule": ["beta"], "solve": ["env", "p"]}
IMPORTS = "a program may import numpy, math and autotts.votes"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that a program may not say. `line` counts from 1."""

    line: int
    message: str


def check_source(source: str, filename: str) -> None:
    """Refuse a program that says what it may not.

    Raises:
        ProgramError: with one line `file:line: reason` per problem.
    """
    found = problems(source)
    if found:
        raise ProgramError("\n".join(f"{filename}:{p.line}: {p.message}" for p in found))


def problems(source: str) -> list[Problem]:
    """What in `source` a controller program may not say, by line; at most `MAX_PROBLEMS` and one
    that tells how many more there are."""
    return list(_problems(source))


@functools.lru_cache(maxsize=256)
def _problems(source: str) -> tuple[Problem, ...]:
    size = len(source.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        return (Problem(1, f"the program has {size} bytes; {MAX_BYTES} are allowed"),)
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return (Problem(error.lineno or 1, f"syntax error: {_cut(error.msg, _MAX_MESSAGE)}"),)
    except (ValueError, MemoryError, RecursionError) as error:
        return (Problem(1, f"the program can't be parsed: {error or 'it is nested too deeply'}"),)
    deep = _too_deep(tree)
    if deep is not None:
        return (Problem(deep, f"nested more than {MAX_DEPTH} levels deep; use helper functions"),)
    count = sum(1 for _ in ast.walk(tree))
    if count > MAX_NODES:
        return (Problem(1, f"the program has {count:,} parts; {MAX_NODES:,} are allowed"),)
    return tuple(_Checker(tree).run())


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} ..."


def _too_deep(tree: ast.AST) -> int | None:
    """Line of the first node below `MAX_DEPTH` levels; without recursion, by construction."""
    level: list[tuple[ast.AST, int]] = [(tree, 1)]
    for _ in range(MAX_DEPTH):
        level = [
            (child, getattr(child, "lineno", line))
            for node, line in level
            for child in ast.iter_child_nodes(node)
        ]
    return level[0][1] if level else None


Scope = tuple[set[str], ...]
"""The names that an expression can see, from the module's to the innermost function's."""

_IN_ANNOTATIONS = (
    ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Tuple, ast.List, ast.BinOp, ast.BitOr,
    ast.Load,
)  # fmt: skip
_ENV_NAMES = ", ".join(sorted(ENV))


class _Checker:
    """One pass over a module; problems gather in `found`."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.found: dict[Problem, None] = {}
        self.left_out = 0
        self.suggestions = _MAX_SUGGESTIONS
        self.modules: dict[str, str] = {}
        self.annotations: set[str] = set()
        self.lazy_annotations = False
        self.names: dict[str, int] = {}
        self.parameters = _dict_keys(tree)
        self.attributes = METHODS | RANDOM | ENV | self.parameters
        self.called: set[ast.AST] = set()

    def run(self) -> list[Problem]:
        for literal in ast.walk(self.tree):
            if isinstance(literal, ast.Constant):
                self.literal(literal)
        for node in self.tree.body:
            self.module_level(node)
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef):
                self.function(node, (set(self.names),))
        self.signatures()
        found = sorted(self.found, key=lambda p: p.line)
        if self.left_out:
            found.append(Problem(found[-1].line, f"... and {self.left_out} more problems"))
        return found

    def say(self, where: ast.AST | int, message: str) -> None:
        line = where if isinstance(where, int) else getattr(where, "lineno", 1)
        problem = Problem(line, _cut(message, _MAX_MESSAGE))
        if len(self.found) < MAX_PROBLEMS:
            self.found[problem] = None
        elif problem not in self.found:
            self.left_out += 1

    def nearest(self, name: str, *known: Iterable[str]) -> str:
        """A suggestion for a name that is not known; for the first few only."""
        if self.suggestions == 0 or len(name) > _MAX_NAME:
            return ""
        self.suggestions -= 1
        words = sorted({word for some in known for word in some if len(word) <= _MAX_NAME})
        close = difflib.get_close_matches(name, words[:_MAX_KNOWN], n=1)
        return f"; did you mean {close[0]}?" if close else ""

    def literal(self, node: ast.Constant) -> None:
        if isinstance(node.value, int) and abs(node.value) >= 2**63:
            self.say(node, "a whole number must be below 2**63")
        if isinstance(node.value, str) and any("\ud800" <= c <= "\udfff" for c in node.value):
            self.say(node, "lone surrogates (\\ud800 to \\udfff) are no characters")

    # The module level: docstring, imports, constants, functions.

    def module_level(self, node: ast.stmt) -> None:
        match node:
            case ast.Import() | ast.ImportFrom():
                self.imports(node)
            case ast.FunctionDef():
                self.bind(node.name, node)
            case ast.Assign(targets=[ast.Name(name)], value=value):
                self.constant(value)
                self.bind(name, node)
            case ast.AnnAssign(target=ast.Name(name), value=ast.expr() as value):
                self.annotation(node.annotation)
                self.constant(value)
                self.bind(name, node)
            case ast.Expr(value=ast.Constant(value=str())):
                pass
            case ast.If(test=ast.Name("TYPE_CHECKING"), orelse=[]):
                for part in node.body:
                    if isinstance(part, ast.Import | ast.ImportFrom):
                        self.for_annotations([a.asname or a.name for a in part.names], part)
                    else:
                        self.say(part, "under TYPE_CHECKING stand imports only")
            case _ if type(node) in FORBIDDEN:
                self.say(node, FORBIDDEN[type(node)])
            case _:
                self.say(
                    node,
                    "outside functions a program has its docstring, imports, functions and "
                    "constants (numbers, text, tuples of them) only",
                )

    def bind(self, name: str, node: ast.stmt) -> None:
        if name in self.names:
            self.say(node, f"{_cut(name, _MAX_NAME)} is already defined on line {self.names[name]}")
        self.local(name, node)
        self.names[name] = node.lineno

    def local(self, name: str, node: ast.AST) -> None:
        if name.startswith("__"):
            self.say(
                node,
                f"{_cut(name, _MAX_NAME)}: names that begin with two underscores are not allowed",
            )

    def imports(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            bound = alias.asname or alias.name
            module = f"{node.module}" if isinstance(node, ast.ImportFrom) else alias.name
            if isinstance(node, ast.ImportFrom):
                if node.level or alias.name == "*" or alias.name.startswith("_"):
                    self.say(node, f"import public names, one by one, from a module; {IMPORTS}")
                    continue
                if module in ANNOTATIONS or (module, alias.name) in (
                    ("numpy", "ndarray"),
                    ("autotts.engine.interpreted", "Env"),
                ):
                    self.lazy_annotations |= (module, alias.name) == ("__future__", "annotations")
                    self.for_annotations([bound], node)
                    continue
                if module == "autotts" and alias.name == "votes":
                    self.modules[bound] = "autotts.votes"
                elif module in ("numpy", "math", "autotts.votes"):
                    self.part(node, module, alias.name)
                else:
                    name = _cut(alias.name, _MAX_NAME)
                    self.say(node, f"from {_cut(module, _MAX_NAME)} import {name}: {IMPORTS}")
            elif module in ("numpy", "math") or (module == "autotts.votes" and alias.asname):
                self.modules[bound] = module
            elif module == "typing" or (module in ANNOTATIONS and alias.asname):
                self.for_annotations([bound], node)
                continue
            elif module == "autotts.votes":
                self.say(node, "write `from autotts.votes import ...`")
            else:
                self.say(node, f"import {_cut(module, _MAX_NAME)}: {IMPORTS}")
            self.bind(bound, node)

    def for_annotations(self, names: list[str], node: ast.stmt) -> None:
        """Names that stand in annotations, and nowhere else."""
        for name in names:
            self.bind(name, node)
        self.annotations.update(names)

    def constant(self, node: ast.expr) -> None:
        """A value that nothing can change: numbers, text, tuples, arithmetic on those."""
        match node:
            case ast.Constant(value=int() | float() | str() | None):
                pass
            case ast.Tuple(elts=values):
                for value in values:
                    self.constant(value)
            case ast.UnaryOp(operand=value):
                self.constant(value)
            case ast.BinOp(left=left, right=right):
                self.constant(left)
                self.constant(right)
            case ast.Name(id=name) if name in self.names and not (
                name in self.modules or name in self.annotations
            ):
                pass
            case ast.Attribute(
                value=ast.Name(id=name), attr="pi" | "e" | "inf" | "nan" | "tau"
            ) if name in self.modules:
                pass
            case _:
                self.say(
                    node,
                    "a constant of the module is a number, text or a tuple of them, or simple "
                    "arithmetic on those; what can change is made inside `solve`",
                )

    def signatures(self) -> None:
        defined = {node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef)}
        for name, expected in SIGNATURES.items():
            wanted = f"{name}({', '.join(expected)})"
            if name not in defined:
                self.say(1, f"`def {wanted}` is missing")
                continue
            a = defined[name].args
            plain = not (a.posonlyargs or a.vararg or a.kwonlyargs or a.kwarg or a.defaults)
            if [x.arg for x in a.args] != expected or not plain:
                self.say(defined[name], f"write `def {wanted}`, with exactly these arguments")
            returns = _returns(defined[name])
            for node in returns:
                self.returned(node, name)
            endless = any(isinstance(part, ast.While) for part in defined[name].body)
            if not returns and not endless:
                wanted = "env.vote()" if name == "solve" else '{"width": 8}'
                self.say(defined[name], f"{name} returns nothing; end it with `return {wanted}`")

    def returned(self, node: ast.Return, name: str) -> None:
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
                        self.say(value, "a parameter is a number, and this is text")
            case value:
                what = _NO_ANSWER.get(type(value), "")
                what = "" if what == "a dict" and name == "schedule" else what
        if what and name == "solve":
            self.say(
                node,
                f"solve returns the id of an answer, such as `return env.vote()`; this is {what}",
            )
        elif what:
            self.say(
                node,
                f'schedule returns numbers by name, such as {{"width": 8}}; this is {what}',
            )

    # Functions.

    def function(self, node: ast.FunctionDef, known: Scope) -> None:
        """A function and, within it, its nested ones; `known` are the names around it."""
        if node.decorator_list:
            self.say(node, f"{node.name}: decorators are not allowed; a program is compiled as is")
        if getattr(node, "type_params", None):
            self.say(node, f"{node.name}: type parameters are not allowed")
        self.arguments(node.args, node.returns)
        own = _bound_names(node)
        scope = (*known, own)
        for name in own:
            self.local(name, node)
        if _says_nothing(node):
            self.say(node, f"{node.name} has no body")
        for statement in node.body:
            self.visit(statement, scope)

    def arguments(self, a: ast.arguments, returns: ast.expr | None = None) -> None:
        for default in [*a.defaults, *a.kw_defaults]:
            if default is not None:
                self.constant(default)
        for argument in [*a.posonlyargs, *a.args, *a.kwonlyargs]:
            self.annotation(argument.annotation)
        self.annotation(returns)

    def annotation(self, node: ast.expr | None) -> None:
        """Types by name, which do nothing; names are found when the program is loaded."""
        for part in ast.walk(node) if node is not None else ():
            match part:
                case ast.Call():
                    self.say(part, "an annotation may not call anything; leave it out")
                case ast.Attribute(attr=attr) if attr.startswith("_"):
                    self.say(part, f".{_cut(attr, _MAX_NAME)} can't stand in an annotation")
                case ast.Name(id=name) if not (
                    self.lazy_annotations or name in self.names or name in _TYPES
                ):
                    name = _cut(name, _MAX_NAME)
                    self.say(part, f"{name} is not defined: import it from typing, or leave it out")
                case _ if not isinstance(part, (*_IN_ANNOTATIONS, ast.Call)):
                    where = part if hasattr(part, "lineno") else 1
                    self.say(where, "an annotation names types and no more; leave it out")

    def visit(self, node: ast.AST, scope: Scope) -> None:
        if type(node) in FORBIDDEN:
            self.say(node, FORBIDDEN[type(node)])
            return
        if isinstance(node, ast.stmt) and not isinstance(node, STATEMENTS):
            self.say(node, f"`{type(node).__name__.lower()}` is not allowed in a program")
            return
        match node:
            case ast.FunctionDef():
                self.function(node, scope)
                return
            case ast.Lambda():
                self.arguments(node.args)
                self.visit(node.body, (*scope, _arguments(node.args)))
                return
            case ast.Name(ctx=ast.Load()):
                self.name(node, scope)
            case ast.Attribute():
                self.attribute(node, scope)
                return
            case ast.Call():
                self.call(node)
            case ast.Assign(targets=targets):
                self.targets(targets)
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                self.targets([target])
                self.annotation(annotation)
                if not isinstance(target, ast.Name):
                    self.visit(target, scope)
                if value is not None:
                    self.visit(value, scope)
                return
            case ast.AugAssign(target=target, op=op):
                self.targets([target])
                if isinstance(op, ast.Pow | ast.LShift | ast.RShift):
                    self.say(node, "write powers and shifts out: x = x ** 2, x = x << 1")
            case ast.While():
                self.loop(node)
            case ast.Subscript(value=ast.Name(id="env" | "p" as name)):
                self.say(node, f"{name}[...]: write {name}.{_key(node.slice)}")
            case ast.Delete(targets=targets):
                self.targets(targets)
            case ast.For(target=target) | ast.comprehension(target=target):
                self.targets([target])
            case ast.Constant(value=complex() | bytes()):
                self.say(node, "complex numbers and bytes are not allowed; use int and float")
        for child in ast.iter_child_nodes(node):
            self.visit(child, scope)

    def loop(self, node: ast.While) -> None:
        """Refuse a loop that can't end: nothing in it leaves it, or changes its condition."""
        looked_at = {part.id for part in ast.walk(node.test) if isinstance(part, ast.Name)}
        if any(isinstance(part, ast.Call | ast.NamedExpr) for part in ast.walk(node.test)):
            return
        for count, part in enumerate(part for line in node.body for part in ast.walk(line)):
            match part:
                case ast.Break() | ast.Return() | ast.Raise() | ast.Assert():
                    return
                case ast.Call(func=ast.Name(id=name)) if name in _PURE:
                    pass
                case ast.Call():
                    return
                case ast.Name(id=name, ctx=ast.Store()) if name in looked_at:
                    return
                case ast.Subscript(ctx=ast.Store()):
                    return
            if count > _MAX_LOOP:
                return
        if not (isinstance(node.test, ast.Constant) and not node.test.value):
            self.say(
                node,
                "this loop never ends once it begins: nothing in it changes what its condition"
                " looks at; act on `env` in it, or leave it with `break`",
            )

    def name(self, node: ast.Name, scope: Scope) -> None:
        name = node.id
        if name in self.modules:
            self.say(node, f"{name} is a module: use it only as `{name}.something`")
        elif name in self.annotations:
            self.say(node, f"{_cut(name, _MAX_NAME)} is for annotations; a program can't use it")
        elif name in BUILTINS or any(name in names for names in scope):
            pass
        elif name in REFUSED_BUILTINS:
            self.say(node, f"{name}: {REFUSED_BUILTINS[name]}")
        elif name in INTROSPECTION or name.startswith("__"):
            self.say(
                node,
                f"{name}: a program may not look into itself or its driver; what it can know "
                "is in `env` and `p`",
            )
        else:
            how = f'write "from autotts.votes import {name}" at the top' if name in VOTES else ""
            how = how or _HOW_TO_GET.get(name, "")
            hint = f": {how}" if how else self.nearest(name, *scope, BUILTINS)
            self.say(node, f"{_cut(name, _MAX_NAME)} is not defined{hint}")

    def attribute(self, node: ast.Attribute, scope: Scope) -> None:
        value, attr = node.value, node.attr
        shown = _cut(attr, _MAX_NAME)
        if isinstance(value, ast.Name) and value.id in self.modules:
            self.part(node, self.modules[value.id], attr)
            return
        if isinstance(value, ast.Name) and value.id in ("np", "numpy", "math"):
            self.name(value, scope)  # not imported: what stands after it is not to blame
            return
        if (
            isinstance(value, ast.Attribute)
            and isinstance(value.value, ast.Name)
            and self.modules.get(value.value.id) == "numpy"
            and value.attr == "random"
        ):
            if attr != "default_rng":
                self.say(
                    node,
                    f"np.random.{shown} keeps a state between episodes; use "
                    "`rng = np.random.default_rng(a number)`",
                )
            return
        if attr.startswith("_"):
            self.say(node, f".{shown}: attributes that begin with an underscore are not allowed")
        elif isinstance(value, ast.Name) and value.id == "env":
            if attr not in ENV:
                self.say(
                    node,
                    f"env has no {shown}{self.nearest(attr, ENV)}; it has {_ENV_NAMES}",
                )
        elif isinstance(value, ast.Name) and value.id == "p":
            if attr not in self.parameters | METHODS:
                self.say(
                    node,
                    f"p.{shown}: schedule names no such parameter"
                    f"{self.nearest(attr, self.parameters)}; it names {self.parameter_names}",
                )
        elif attr not in self.attributes:
            self.say(
                node,
                f".{shown} is not an attribute that a program may use"
                f"{self.nearest(attr, METHODS, self.parameters)}",
            )
        self.visit(value, scope)

    @functools.cached_property
    def parameter_names(self) -> str:
        names = sorted(name for name in self.parameters if len(name) <= _MAX_NAME)
        return ", ".join(names[:10]) + (" ..." if len(names) > 10 else "") or "none"

    def part(self, node: ast.AST, module: str, attr: str) -> None:
        shown = _cut(attr, _MAX_NAME)
        if module == "autotts.votes":
            if attr not in VOTES:
                self.say(node, f"autotts.votes has no function {shown}{self.nearest(attr, VOTES)}")
        elif module == "math":
            if attr not in MATH:
                self.say(node, f"math.{shown} may not be used{self.nearest(attr, MATH)}")
        elif attr == "random":
            self.say(node, "use `np.random.default_rng(a number)`, with a number as its seed")
        elif attr in ("partition", "argpartition"):
            self.say(node, f'np.{attr} is not stable; use `np.argsort(x, kind="stable")`')
        elif attr in ("empty", "empty_like"):
            self.say(node, f"np.{attr} shows what memory held before; use np.zeros")
        elif attr == "roll" and node not in self.called:
            self.say(node, "np.roll: call it there, as np.roll(x, 1)")
        elif attr not in NUMPY:
            self.say(
                node,
                f"np.{shown} may not be used{self.nearest(attr, NUMPY)}; allowed are the parts that"
                " compute on arrays, none that read files, memory or the interpreter",
            )

    def call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Attribute(attr="argsort"):
                if not any(
                    k.arg == "kind"
                    and isinstance(k.value, ast.Constant)
                    and k.value.value in ("stable", "mergesort")
                    for k in node.keywords
                ):
                    self.say(node, 'argsort needs kind="stable", else equal values change places')
            case ast.Attribute(attr="sort", value=value) if not self.is_module(value):
                self.say(node, "x.sort(): use sorted(x) for lists, np.sort(x) for arrays")
            case ast.Attribute(attr="default_rng"):
                seed = node.args[0] if len(node.args) == 1 and not node.keywords else None
                if seed is None or (isinstance(seed, ast.Constant) and seed.value is None):
                    self.say(node, "np.random.default_rng needs a number as its seed")
            case ast.Attribute(attr="roll", value=value) if self.is_module(value):
                self.called.add(node.func)
                shifts = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "shift")]
                if not all(_small(shift) for shift in shifts):
                    # A shift that overflows leaves elements that show what memory held before.
                    self.say(
                        node,
                        "np.roll: the shift is a number that stands there, as in np.roll(x, -1);"
                        " for others put slices together with np.concatenate",
                    )
            case ast.Attribute(attr="get", value=ast.Name(id="p")) if node.args:
                self.say(node, f"p.get(...): write p.{_key(node.args[0])}")
            case ast.Attribute(attr="note", value=ast.Name(id="env")):
                first = node.args[0] if node.args else None
                if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                    self.say(node, 'env.note: the name stands there in quotes: note("margin", x)')
            case ast.Attribute(attr=attr, value=value) if attr in IN_PLACE and _of_env(value):
                self.say(node, f"arrays of env can't be changed ({attr}); copy() them first")
            case ast.Name(id="solve" | "schedule" as name):
                self.say(node, f"{name} is called by the driver only")
        for keyword in node.keywords:
            if keyword.arg == "out" and _of_env(keyword.value):
                self.say(node, "arrays of env can't be changed (out=); copy() them first")

    def is_module(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self.modules

    def targets(self, targets: list[ast.expr]) -> None:
        """What is assigned to: names and items of a program's own arrays."""
        for target in targets:
            match target:
                case ast.Tuple(elts=parts) | ast.List(elts=parts):
                    self.targets(parts)
                case ast.Starred(value=part):
                    self.targets([part])
                case ast.Attribute():
                    self.say(
                        target,
                        f".{target.attr} can't be assigned: env is changed by its actions only, "
                        "p by `schedule` only",
                    )
                case ast.Subscript(value=value) if _of_env(value):
                    self.say(target, "arrays of env can't be written; copy() them first")
                case ast.Name(id=name) if name in self.modules or name in self.annotations:
                    what = "a module" if name in self.modules else "a type"
                    self.say(target, f"{_cut(name, _MAX_NAME)} is {what}; choose another name")


def _dict_keys(tree: ast.AST) -> frozenset[str]:
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


def _arguments(arguments: ast.arguments) -> set[str]:
    return {node.arg for node in ast.walk(arguments) if isinstance(node, ast.arg)}


def _bound_names(function: ast.FunctionDef) -> set[str]:
    """Arguments and every name that the function itself assigns; not what functions in it do."""
    names = _arguments(function.args)
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


def _returns(function: ast.FunctionDef) -> list[ast.Return]:
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


def _small(node: ast.expr) -> bool:
    """Whether an expression is a whole number that stands there, below 2**31."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value < 2**31


def _key(node: ast.expr) -> str:
    """The name that a subscript of `p` or `env` stands for."""
    if isinstance(node, ast.Constant) and str(node.value).isidentifier():
        return _cut(str(node.value), _MAX_NAME)
    return "name, with the name as it stands"


def _says_nothing(function: ast.FunctionDef) -> bool:
    return all(isinstance(s, ast.Pass) for s in function.body)


def _of_env(node: ast.AST) -> bool:
    """Whether an expression is a part of `env`: env.depth, env.depth[1:], env.history(i)."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Attribute) and node.attr not in ENV:
            return False
    return isinstance(node, ast.Name) and node.id == "env"
