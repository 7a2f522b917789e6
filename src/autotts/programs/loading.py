"""Programs loaded, and asked for their parameters.

A program is a module with `schedule(beta)` and `solve(env, p)`. Loading one runs its module
level, so a program that somebody else wrote is loaded in the sandbox only.
"""

import functools
import keyword
import linecache
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from autotts.errors import ProgramError
from autotts.programs import whole
from autotts.programs.source import Source

DEFAULT_BETA = 0.5


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


def load(source: Source, *, whole_numbers: bool = False) -> Program:
    """Run a program's module level and take its two functions.

    Args:
        whole_numbers: let whole numbers that leave 64 bits be an error, see `programs.whole`; for
            programs of others where they run interpreted.

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
        text = whole.checked(source.text) if whole_numbers else source.text
        if whole_numbers:
            namespace |= whole.NAMES
        exec(compile(text, source.path, "exec", dont_inherit=True), namespace)
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
