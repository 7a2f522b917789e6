"""A controller as asked for on a command line: a program, a beta, and parameters by name."""

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from autotts.errors import SpecError
from autotts.programs.loading import DEFAULT_BETA
from autotts.programs.source import Source, find


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


AnyController = Spec | str | os.PathLike[str]
"""A controller as people name it: a SPEC, as text or parsed, or the path of a program."""


def parse(text: str) -> Spec:
    """Read a SPEC: `name`, `name:key=value,...`, `path/program.py[:beta=...]`, or
    `reference:PATH/method.py:Class[:beta=...]` for a program of the released research code.

    Raises:
        SpecError: it isn't one of these, names no program, or a value is not a number.
        ProgramError: the program's file can't be read.
    """
    if text.startswith("reference:"):
        path, in_file, rest = text.removeprefix("reference:").rpartition(".py:")
        entry, _, options = rest.partition(":")
        if not in_file or not entry:
            raise SpecError(f"{text!r}: need reference:PATH/method.py:Class[:beta=...]")
        source = find(f"{path}.py")
    else:
        entry = ""
        name, options = _apart(text)
        source = find(name)
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


def named(text: str) -> str:
    """The name, path or import path of the program in a SPEC, whether there is one or not."""
    if text.startswith("reference:"):
        return text
    return _apart(text)[0]


def _apart(text: str) -> tuple[str, str]:
    """The program and the options of a SPEC. A path may have colons and commas in it."""
    if text.endswith(".py"):
        return text, ""
    path, in_file, options = text.rpartition(".py:")
    if in_file:
        return f"{path}.py", options
    name, _, options = text.partition(":")
    return name, options


def as_spec(controller: AnyController) -> Spec:
    """The controller that is meant: a SPEC as text or parsed, or the path of a program.

    Raises:
        SpecError: it is none of these; `parse` says what is wrong with a text.
        ProgramError: the program's file can't be read.
    """
    if isinstance(controller, Spec):
        return controller
    if isinstance(controller, os.PathLike):
        text = os.fspath(controller)
        return Spec(text, find(text), DEFAULT_BETA, {})
    if isinstance(controller, str):
        return parse(controller)
    what = f"the function {controller.__name__}" if callable(controller) else repr(controller)[:60]
    raise SpecError(
        f"a controller is a name such as 'cmc', NAME:key=value, or the path of a file with"
        f" schedule(beta) and solve(env, p); got {what}"
    )


def as_specs(controllers: AnyController | Iterable[AnyController]) -> list[Spec]:
    """One controller or several; see `as_spec`.

    Raises:
        SpecError: none is given, or one is given twice.
    """
    if isinstance(controllers, Spec | str | os.PathLike):
        controllers = [controllers]
    elif not isinstance(controllers, Iterable):
        as_spec(controllers)
    specs = [as_spec(controller) for controller in controllers]
    if not specs:
        raise SpecError("no controller was named")
    settings = [(spec.text, spec.beta) for spec in specs]
    for text, beta in settings:
        if settings.count((text, beta)) > 1:
            raise SpecError(f"controller {text} is named twice")
    return specs


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
