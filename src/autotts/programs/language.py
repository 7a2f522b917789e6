"""The source check: what a controller program may say, and what would work instead.

It reads the syntax tree and runs nothing. It is there for good messages before anything is
compiled. It is not the boundary: a program that slips past it meets the sealed worker, which
holds nothing worth taking, and the audit.

Everything is an allow-list: statements, builtins, parts of numpy, attributes. Sorting values
needs no `kind` (equal values look alike); sorting indices does, for there order is a decision.
"""

import ast
import difflib
from collections.abc import Iterator
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
    """Everything in `source` that a controller program may not say, by line."""
    size = len(source.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        return [Problem(1, f"the program has {size} bytes; {MAX_BYTES} are allowed")]
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [Problem(error.lineno or 1, f"syntax error: {error.msg}")]
    except (ValueError, MemoryError, RecursionError) as error:
        return [Problem(1, f"the program can't be parsed: {error or 'it is nested too deeply'}")]
    deep = _too_deep(tree)
    if deep is not None:
        return [Problem(deep, f"nested more than {MAX_DEPTH} levels deep; use helper functions")]
    return _Checker(tree).run()


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


class _Checker:
    """One pass over a module; problems gather in `found`."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.found: list[Problem] = []
        self.modules: dict[str, str] = {}
        self.names: dict[str, int] = {}
        self.parameters = _dict_keys(tree)

    def run(self) -> list[Problem]:
        if not ast.get_docstring(self.tree):
            self.say(1, "begin with a docstring that names the idea and its source")
        for literal in ast.walk(self.tree):
            if isinstance(literal, ast.Constant):
                self.literal(literal)
        for node in self.tree.body:
            self.module_level(node)
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef):
                self.function(node, set(self.names))
        self.signatures()
        return sorted(dict.fromkeys(self.found), key=lambda p: p.line)

    def say(self, where: ast.AST | int, message: str) -> None:
        line = where if isinstance(where, int) else getattr(where, "lineno", 1)
        self.found.append(Problem(line, message))

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
            self.say(node, f"{name} is already defined on line {self.names[name]}")
        self.local(name, node)
        self.names[name] = node.lineno

    def local(self, name: str, node: ast.AST) -> None:
        if name.startswith("__"):
            self.say(node, f"{name}: names that begin with two underscores are not allowed")

    def imports(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            bound = alias.asname or alias.name
            module = f"{node.module}" if isinstance(node, ast.ImportFrom) else alias.name
            if isinstance(node, ast.ImportFrom):
                if node.level or alias.name == "*" or alias.name.startswith("_"):
                    self.say(node, f"import public names, one by one, from a module; {IMPORTS}")
                    continue
                if module == "autotts" and alias.name == "votes":
                    self.modules[bound] = "autotts.votes"
                elif module in ("numpy", "math", "autotts.votes"):
                    self.part(node, module, alias.name)
                else:
                    self.say(node, f"from {module} import {alias.name}: {IMPORTS}")
            elif module in ("numpy", "math") or (module == "autotts.votes" and alias.asname):
                self.modules[bound] = module
            elif module == "autotts.votes":
                self.say(node, "write `from autotts.votes import ...`")
            else:
                self.say(node, f"import {module}: {IMPORTS}")
            self.bind(bound, node)

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
            case ast.Name(id=name) if name in self.names and name not in self.modules:
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

    # Functions.

    def function(self, node: ast.FunctionDef, known: set[str]) -> None:
        """A function and, within it, its nested ones; `known` are the names around it."""
        if node.decorator_list:
            self.say(node, f"{node.name}: decorators are not allowed; a program is compiled as is")
        if getattr(node, "type_params", None):
            self.say(node, f"{node.name}: type parameters are not allowed")
        self.arguments(node.args, node.returns)
        scope = known | _bound_names(node)
        for name in _bound_names(node):
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
        if node is not None and any(isinstance(part, ast.Call) for part in ast.walk(node)):
            self.say(node, "an annotation may not call anything; leave it out")

    def visit(self, node: ast.AST, scope: set[str]) -> None:
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
                self.visit(node.body, scope | _arguments(node.args))
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
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                self.targets([target])
            case ast.Delete(targets=targets):
                self.targets(targets)
            case ast.For(target=target) | ast.comprehension(target=target):
                self.targets([target])
            case ast.Constant(value=complex() | bytes()):
                self.say(node, "complex numbers and bytes are not allowed; use int and float")
        for child in ast.iter_child_nodes(node):
            self.visit(child, scope)

    def name(self, node: ast.Name, scope: set[str]) -> None:
        name = node.id
        if name in self.modules:
            self.say(node, f"{name} is a module: use it only as `{name}.something`")
        elif name in scope or name in BUILTINS:
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
            self.say(node, f"{name} is not defined{_nearest(name, scope | BUILTINS)}")

    def attribute(self, node: ast.Attribute, scope: set[str]) -> None:
        value, attr = node.value, node.attr
        if isinstance(value, ast.Name) and value.id in self.modules:
            self.part(node, self.modules[value.id], attr)
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
                    f"np.random.{attr} keeps a state between episodes; use "
                    "`rng = np.random.default_rng(a number)`",
                )
            return
        if attr.startswith("_"):
            self.say(node, f".{attr}: attributes that begin with an underscore are not allowed")
        elif isinstance(value, ast.Name) and value.id == "env":
            if attr not in ENV:
                self.say(
                    node,
                    f"env has no {attr}{_nearest(attr, ENV)}; it has {', '.join(sorted(ENV))}",
                )
        elif isinstance(value, ast.Name) and value.id == "p":
            if attr not in self.parameters | METHODS:
                self.say(
                    node,
                    f"p.{attr}: schedule names no such parameter"
                    f"{_nearest(attr, self.parameters)}; it names "
                    f"{', '.join(sorted(self.parameters)) or 'none'}",
                )
        elif attr not in METHODS | RANDOM | ENV | self.parameters:
            self.say(
                node,
                f".{attr} is not an attribute that a program may use"
                f"{_nearest(attr, METHODS | self.parameters)}",
            )
        self.visit(value, scope)

    def part(self, node: ast.AST, module: str, attr: str) -> None:
        if module == "autotts.votes":
            if attr not in VOTES:
                self.say(node, f"autotts.votes has no function {attr}{_nearest(attr, VOTES)}")
        elif module == "math":
            if attr not in MATH:
                self.say(node, f"math.{attr} may not be used{_nearest(attr, MATH)}")
        elif attr == "random":
            self.say(node, "use `np.random.default_rng(a number)`, with a number as its seed")
        elif attr in ("partition", "argpartition"):
            self.say(node, f'np.{attr} is not stable; use `np.argsort(x, kind="stable")`')
        elif attr in ("empty", "empty_like"):
            self.say(node, f"np.{attr} shows what memory held before; use np.zeros")
        elif attr not in NUMPY:
            self.say(
                node,
                f"np.{attr} may not be used{_nearest(attr, NUMPY)}; allowed are the parts that "
                "compute on arrays, none that read files, memory or the interpreter",
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
                case ast.Name(id=name) if name in self.modules:
                    self.say(target, f"{name} is a module; choose another name")


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
    """Arguments and every name that the function, or a part of it, assigns."""
    return set(_binders(function))


def _binders(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            case ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.FunctionDef(name=name) if node is not function:
                yield name


def _says_nothing(function: ast.FunctionDef) -> bool:
    return all(isinstance(s, ast.Pass) for s in function.body)


def _of_env(node: ast.AST) -> bool:
    """Whether an expression is a part of `env`: env.depth, env.depth[1:], env.history(i)."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Attribute) and node.attr not in ENV:
            return False
    return isinstance(node, ast.Name) and node.id == "env"


def _nearest(name: str, known: frozenset[str] | set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
