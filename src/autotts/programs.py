"""Controller programs: found by name or path, loaded, and asked for their parameters.

A program is a module with `schedule(beta)` and `solve(env, p)`. Loading one runs its module
level, so a program that somebody else wrote is loaded in the sandbox only.
"""

import ast
import difflib
import functools
import hashlib
import importlib.metadata
import importlib.util
import keyword
import linecache
import math
import numbers
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autotts.errors import ProgramError, SpecError

DEFAULT_BETA = 0.5
_BUILT_IN = Path(__file__).resolve().parent / "controllers"
_ENTRY_POINTS = "autotts.controllers"


@dataclass(frozen=True, slots=True)
class Source:
    """A program's text and where it came from.

    trusted: whether it is ours or installed, and so may run in this process.
    """

    name: str
    path: str
    text: str
    trusted: bool

    @property
    def digest(self) -> str:
        """sha256 of the text."""
        return hashlib.sha256(self.text.encode(errors="surrogatepass")).hexdigest()

    @property
    def code_digest(self) -> str:
        """sha256 of what is compiled: the syntax tree without `schedule` and docstrings."""
        return _code_digest(self.text)

    def without_schedule(self, kinds: Mapping[str, type]) -> "Source":
        """The same code, line for line, with a schedule that gives zeros of these kinds."""
        zeros = ", ".join(f'"{name}": {kind()}' for name, kind in kinds.items())
        # What ends a line for Python, which is less than what does for `str.splitlines`.
        lines = self.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for node in _schedules(ast.parse(self.text)):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
            last = node.end_lineno or node.lineno
            lines[first:last] = [""] * (last - first)
            lines[first] = f"def schedule(beta): return {{{zeros}}}"
        return replace(self, text="\n".join(lines))


def _schedules(tree: ast.Module) -> list[ast.FunctionDef]:
    """The definitions of `schedule`; none if the code beside them uses it, and so depends on it."""
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "schedule"]
    rest = [node for node in tree.body if node not in found]
    used = (n for node in rest for n in ast.walk(node) if isinstance(n, ast.Name))
    return [] if any(n.id == "schedule" for n in used) else found


@functools.lru_cache(maxsize=256)
def _code_digest(text: str) -> str:
    tree = ast.parse(text)
    schedules = _schedules(tree)
    tree.body = [
        node
        for node in tree.body
        if node not in schedules
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Program:
    """A loaded program.

    kinds: int or float for each parameter, in the order of `schedule`.
    """

    source: Source
    schedule: Callable[[float], Mapping[str, float]] = field(repr=False)
    solve: Callable[..., int] = field(repr=False)
    kinds: dict[str, type]

    def parameters(self, beta: float, named: Mapping[str, float] | None = None) -> dict[str, float]:
        """What `schedule` gives at beta, with named parameters in place of it.

        Raises:
            ProgramError: the schedule fails, or gives other parameters than it did at load.
        """
        values = _call_schedule(self.source, self.schedule, beta)
        if values.keys() != self.kinds.keys():
            raise ProgramError(
                f"{self.source.path}: schedule({beta}) gives {sorted(values)}, at load it gave"
                f" {sorted(self.kinds)}; the names must be the same for every beta"
            )
        values.update(named or {})
        return {
            name: _as_kind(self.source, name, values[name], kind, beta)
            for name, kind in self.kinds.items()
        }


@dataclass(frozen=True, slots=True)
class Spec:
    """A controller as asked for: a program, a beta, and parameters named one by one.

    entry: the class of a program written for the released research code, "" for ours.
    fixed: whether beta was named, and so stays as it is in a sweep.
    """

    text: str
    source: Source
    beta: float
    named: dict[str, float]
    entry: str = ""
    fixed: bool = False

    @property
    def name(self) -> str:
        return self.source.name

    def at(self, beta: float) -> "Spec":
        """The same at another beta."""
        return replace(self, beta=beta)


def built_in() -> list[str]:
    """Short names of the controllers that come with the package."""
    return sorted(
        path.stem.replace("_", "-") for path in _BUILT_IN.glob("*.py") if path.stem != "__init__"
    )


def find(name: str) -> Source:
    """The source of a program by short name, path (`mine.py`) or import path (`package.module`).

    Raises:
        SpecError: there is no such program.
        ProgramError: its file can't be read.
    """
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise SpecError(f"controller {name}: there is no such file")
        return read(path, trusted=False)
    if name in built_in():
        return read(_BUILT_IN / f"{name.replace('-', '_')}.py", trusted=True)
    for entry in importlib.metadata.entry_points(group=_ENTRY_POINTS, name=name):
        return read(_module_path(entry.module), trusted=True)
    if os.path.basename(name) != name:
        raise SpecError(f"controller {name}: a program is a file that ends in .py")
    if "." in name:
        return read(_module_path(name), trusted=True)
    near = difflib.get_close_matches(name, built_in(), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(built_in())}."
    raise SpecError(f"controller {name!r} is not known; {hint} Or name a file such as mine.py")


def read(path: Path, *, trusted: bool) -> Source:
    """Read a program's file, running nothing."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProgramError(f"{path}: can't be read: {error}") from error
    name = path.stem.replace("_", "-") if path.parent == _BUILT_IN else path.stem
    return Source(name=name, path=str(path), text=text, trusted=trusted)


def _module_path(module: str) -> Path:
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None or not found.origin:
        raise SpecError(f"controller {module!r}: there is no module of that name")
    return Path(found.origin)


def load(source: Source) -> Program:
    """Run a program's module level and take its two functions.

    Raises:
        ProgramError: it doesn't parse, its module level raises, or a function is missing.
    """
    # Numba looks a function's module up again when it finds its code in the cache.
    namespace: dict[str, Any] = {"__name__": __name__}
    linecache.cache[source.path] = (
        len(source.text),
        None,
        source.text.splitlines(keepends=True),
        source.path,
    )
    try:
        exec(compile(source.text, source.path, "exec", dont_inherit=True), namespace)
    except SyntaxError as error:
        raise ProgramError(f"{source.path}:{error.lineno}: {error.msg}") from error
    except Exception as error:
        raise ProgramError(f"{source.path}: {type(error).__name__}: {error}") from error
    for name, arguments in (("schedule", "(beta)"), ("solve", "(env, p)")):
        if not callable(namespace.get(name)):
            raise ProgramError(f"{source.path}: there is no function {name}{arguments}")
    values = _call_schedule(source, namespace["schedule"], DEFAULT_BETA)
    kinds: dict[str, type] = {}
    for name, value in values.items():
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise ProgramError(
                f"{source.path}: schedule gives {name!r}; a parameter's name must be a plain name"
            )
        kinds[name] = int if isinstance(value, numbers.Integral) else float
    return Program(source, namespace["schedule"], namespace["solve"], kinds)


def _call_schedule(
    source: Source, schedule: Callable[[float], Mapping[str, float]], beta: float
) -> dict[str, float]:
    try:
        values = schedule(beta)
    except Exception as error:
        raise ProgramError(
            f"{source.path}: schedule({beta}) raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ProgramError(f"{source.path}: schedule({beta}) must return a dict of numbers by name")
    for name, value in values.items():
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ProgramError(
                f"{source.path}: schedule({beta}) gives {name} = {value!r}; need a finite number"
            )
    return dict(values)


def _as_kind(source: Source, name: str, value: float, kind: type, beta: float) -> float:
    if kind is int and not isinstance(value, numbers.Integral):
        raise ProgramError(
            f"{source.path}: {name} is an int at beta {DEFAULT_BETA} and {value!r} at beta {beta};"
            " a parameter keeps its kind: use round() or float()"
        )
    return int(value) if kind is int else float(value)


@functools.cache
def load_trusted(source: Source) -> Program:
    """Load a program into this process, once. Not for code that somebody else wrote."""
    return load(source)


def parse(text: str) -> Spec:
    """Read a SPEC: `name`, `name:key=value,...`, `path/program.py[:beta=...]`, or
    `reference:PATH/method.py:Class[:beta=...]` for a program of the released research code.

    Raises:
        SpecError: it isn't one of these, names no program, or a value is not a number.
        ProgramError: the program's file can't be read.
    """
    if text.startswith("reference:"):
        path, _, rest = text.removeprefix("reference:").partition(".py:")
        entry, _, options = rest.partition(":")
        if not entry:
            raise SpecError(f"{text!r}: need reference:PATH/method.py:Class[:beta=...]")
        source = find(f"{path}.py")
    else:
        entry = ""
        name, _, options = text.partition(".py:") if ".py:" in text else text.partition(":")
        source = find(f"{name}.py" if ".py:" in text else name)
    beta: float | None = None
    named: dict[str, float] = {}
    for option in filter(None, options.split(",")):
        key, equals, value = option.partition("=")
        if not equals:
            raise SpecError(f"{text!r}: {option!r} is not key=value")
        if key in named or (key == "beta" and beta is not None):
            raise SpecError(f"{text!r}: {key} is given twice")
        if key == "beta":
            beta = parse_beta(value)
        else:
            named[key] = _number(text, key, value)
    fixed = beta is not None
    return Spec(text, source, DEFAULT_BETA if beta is None else beta, named, entry, fixed)


def parse_beta(text: str) -> float:
    """A beta in [0, 1]."""
    try:
        beta = float(text)
    except ValueError:
        beta = math.nan
    if not 0 <= beta <= 1:
        raise SpecError(f"beta {text!r}: need a number from 0 to 1")
    return beta


def _number(spec: str, key: str, text: str) -> float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SpecError(f"{spec!r}: {key}={text!r} is not a number")
    return value


def check_named(spec: Spec, kinds: Mapping[str, type]) -> None:
    """Whether a program has the parameters that a SPEC names, of these kinds.

    Raises:
        SpecError: it has not.
    """
    for name, value in spec.named.items():
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(kinds) or 'none'}"
            raise SpecError(f"{spec.text!r}: {spec.name} has no parameter {name}; {hint}")
        if kinds[name] is int and not isinstance(value, int):
            raise SpecError(f"{spec.text!r}: {name} must be a whole number, got {value}")
