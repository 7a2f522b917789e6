"""The source check: what in a program it may not say, and what would work instead.

It reads the syntax tree and runs nothing. It is there for good messages before anything is
compiled. It is not the boundary: a program that slips past it meets the sealed worker, which
holds nothing worth taking, and the audit.

It takes at most a second for any text: size, nodes, depth and what is reported are capped, every
node is looked at once, and names are compared with others only for the first few problems.
"""

import ast
import difflib
import functools
from collections.abc import Iterable
from dataclasses import dataclass

from autotts.errors import ProgramError
from autotts.programs.language import (
    ANNOTATIONS,
    BUILTINS,
    ENV,
    FORBIDDEN,
    HOW_TO_GET,
    IMPORTS,
    IN_ANNOTATIONS,
    INTROSPECTION,
    MATH,
    METHODS,
    NOT_ALIKE,
    NUMPY,
    RANDOM,
    REFUSED_BUILTINS,
    SIGNATURES,
    STATEMENTS,
    TYPES,
    VOTES,
)
from autotts.programs.syntax import (
    MAX_NAME,
    argument_names,
    bound_names,
    cut,
    dict_keys,
    is_of_env,
    key_name,
    never_ends,
    own_returns,
    says_nothing,
    too_deep,
    wrong_call,
    wrong_return,
)

MAX_BYTES = 32 * 1024
MAX_DEPTH = 100
"""Nesting of the syntax tree; every term of a sum and every `elif` is a level."""
MAX_NODES = 20_000
MAX_PROBLEMS = 20
_MAX_MESSAGE = 300
_MAX_SUGGESTIONS = 5
"""How many names are compared with others, for "did you mean"."""
_MAX_KNOWN = 400

Scope = tuple[set[str], ...]
"""The names that an expression can see, from the module's to the innermost function's."""

_ENV_NAMES = ", ".join(sorted(ENV))


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
        return (Problem(error.lineno or 1, f"syntax error: {cut(error.msg, _MAX_MESSAGE)}"),)
    except (ValueError, MemoryError, RecursionError) as error:
        return (Problem(1, f"the program can't be parsed: {error or 'it is nested too deeply'}"),)
    deep = too_deep(tree, MAX_DEPTH)
    if deep is not None:
        return (Problem(deep, f"nested more than {MAX_DEPTH} levels deep; use helper functions"),)
    count = sum(1 for _ in ast.walk(tree))
    if count > MAX_NODES:
        return (Problem(1, f"the program has {count:,} parts; {MAX_NODES:,} are allowed"),)
    return tuple(_Checker(tree).run())


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
        self.parameters = dict_keys(tree)
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
        problem = Problem(line, cut(message, _MAX_MESSAGE))
        if len(self.found) < MAX_PROBLEMS:
            self.found[problem] = None
        elif problem not in self.found:
            self.left_out += 1

    def nearest(self, name: str, *known: Iterable[str]) -> str:
        """A suggestion for a name that is not known; for the first few only."""
        if self.suggestions == 0 or len(name) > MAX_NAME:
            return ""
        self.suggestions -= 1
        words = sorted({word for some in known for word in some if len(word) <= MAX_NAME})
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
            self.say(node, f"{cut(name, MAX_NAME)} is already defined on line {self.names[name]}")
        self.local(name, node)
        self.names[name] = node.lineno

    def local(self, name: str, node: ast.AST) -> None:
        if name.startswith("__"):
            self.say(
                node,
                f"{cut(name, MAX_NAME)}: names that begin with two underscores are not allowed",
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
                    name = cut(alias.name, MAX_NAME)
                    self.say(node, f"from {cut(module, MAX_NAME)} import {name}: {IMPORTS}")
            elif module in ("numpy", "math") or (module == "autotts.votes" and alias.asname):
                self.modules[bound] = module
            elif module == "typing" or (module in ANNOTATIONS and alias.asname):
                self.for_annotations([bound], node)
                continue
            elif module == "autotts.votes":
                self.say(node, "write `from autotts.votes import ...`")
            else:
                self.say(node, f"import {cut(module, MAX_NAME)}: {IMPORTS}")
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
            returns = own_returns(defined[name])
            for node in returns:
                for where, message in wrong_return(node, name):
                    self.say(where, message)
            endless = any(isinstance(part, ast.While) for part in defined[name].body)
            if not returns and not endless:
                wanted = "env.vote()" if name == "solve" else '{"width": 8}'
                self.say(defined[name], f"{name} returns nothing; end it with `return {wanted}`")

    # Functions.

    def function(self, node: ast.FunctionDef, known: Scope) -> None:
        """A function and, within it, its nested ones; `known` are the names around it."""
        if node.decorator_list:
            self.say(node, f"{node.name}: decorators are not allowed; a program is compiled as is")
        if getattr(node, "type_params", None):
            self.say(node, f"{node.name}: type parameters are not allowed")
        self.arguments(node.args, node.returns)
        own = bound_names(node)
        scope = (*known, own)
        for name in own:
            self.local(name, node)
        if says_nothing(node):
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
                    self.say(part, f".{cut(attr, MAX_NAME)} can't stand in an annotation")
                case ast.Name(id=name) if not (
                    self.lazy_annotations or name in self.names or name in TYPES
                ):
                    name = cut(name, MAX_NAME)
                    self.say(part, f"{name} is not defined: import it from typing, or leave it out")
                case _ if not isinstance(part, (*IN_ANNOTATIONS, ast.Call)):
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
                self.visit(node.body, (*scope, argument_names(node.args)))
                return
            case ast.Name(ctx=ast.Load()):
                self.name(node, scope)
            case ast.Attribute():
                self.attribute(node, scope)
                return
            case ast.Call():
                for where, message in wrong_call(node, self.modules):
                    self.say(where, message)
                if isinstance(node.func, ast.Attribute):
                    self.called.add(node.func)
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
            case ast.While() if never_ends(node):
                self.say(
                    node,
                    "this loop never ends once it begins: nothing in it changes what its condition"
                    " looks at; act on `env` in it, or leave it with `break`",
                )
            case ast.Subscript(value=ast.Name(id="env" | "p" as name)):
                self.say(node, f"{name}[...]: write {name}.{key_name(node.slice)}")
            case ast.Delete(targets=targets):
                self.targets(targets)
            case ast.For(target=target) | ast.comprehension(target=target):
                self.targets([target])
            case ast.Constant(value=complex() | bytes()):
                self.say(node, "complex numbers and bytes are not allowed; use int and float")
        for child in ast.iter_child_nodes(node):
            self.visit(child, scope)

    def name(self, node: ast.Name, scope: Scope) -> None:
        name = node.id
        if name in self.modules:
            self.say(node, f"{name} is a module: use it only as `{name}.something`")
        elif name in self.annotations:
            self.say(node, f"{cut(name, MAX_NAME)} is for annotations; a program can't use it")
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
            how = how or HOW_TO_GET.get(name, "")
            hint = f": {how}" if how else self.nearest(name, *scope, BUILTINS)
            self.say(node, f"{cut(name, MAX_NAME)} is not defined{hint}")

    def attribute(self, node: ast.Attribute, scope: Scope) -> None:
        value, attr = node.value, node.attr
        shown = cut(attr, MAX_NAME)
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
        names = sorted(name for name in self.parameters if len(name) <= MAX_NAME)
        return ", ".join(names[:10]) + (" ..." if len(names) > 10 else "") or "none"

    def part(self, node: ast.AST, module: str, attr: str) -> None:
        shown = cut(attr, MAX_NAME)
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
        elif attr in NOT_ALIKE:
            self.say(node, f"np.{attr}: {NOT_ALIKE[attr]}")
        elif attr not in NUMPY:
            self.say(
                node,
                f"np.{shown} may not be used{self.nearest(attr, NUMPY)}; allowed are the parts that"
                " compute on arrays, none that read files, memory or the interpreter",
            )

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
                case ast.Subscript(value=value) if is_of_env(value):
                    self.say(target, "arrays of env can't be written; copy() them first")
                case ast.Name(id=name) if name in self.modules or name in self.annotations:
                    what = "a module" if name in self.modules else "a type"
                    self.say(target, f"{cut(name, MAX_NAME)} is {what}; choose another name")
