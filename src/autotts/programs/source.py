"""A program's text: found by name or path, and known by its digests. Nothing of it is run."""

import ast
import difflib
import functools
import hashlib
import importlib.util
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from autotts import plugins
from autotts.errors import ProgramError, SpecError
from autotts.files import read_regular

_BUILT_IN = Path(__file__).resolve().parent.parent / "controllers"

_MOST_BYTES = 2**24
"""Of a program's file: what is ours or the user's own may be long."""


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
    for plugin in plugins.published(plugins.CONTROLLERS, name):
        # Not imported: a controller's text is all that is wanted of it.
        return read(_module_path(plugin.module), trusted=True)
    if os.path.basename(name) != name:
        raise SpecError(f"controller {name}: a program is a file that ends in .py")
    if "." in name:
        return read(_module_path(name), trusted=True)
    known = [*built_in(), *plugins.names(plugins.CONTROLLERS)]
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}."
    raise SpecError(f"controller {name!r} is not known; {hint} Or name a file such as mine.py")


def read(path: Path, *, trusted: bool) -> Source:
    """Read a program's file, running nothing."""
    try:
        text = read_regular(path, most_bytes=_MOST_BYTES, follow=True).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ProgramError(f"{path}: can't be read: {error}") from error
    name = path.stem.replace("_", "-") if path.parent == _BUILT_IN else path.stem
    return Source(name=name, path=str(path), text=text, trusted=trusted)


def _module_path(module: str) -> Path:
    """The file of a module. No package above it is imported: that would run its code."""
    for path in _module_paths(*module.split(".")):
        if path.is_file():
            return path
    raise SpecError(f"controller {module!r}: there is no module of that name")


def _module_paths(top: str, *below: str) -> Iterator[Path]:
    """Where the file of a module may be."""
    if not all(name.isidentifier() for name in (top, *below)):
        return
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # `__main__` has none
        return
    if found is None:
        return
    if not below and found.has_location and found.origin:
        yield Path(found.origin)
    for place in found.submodule_search_locations or () if below else ():
        path = Path(place, *below)
        yield path / "__init__.py"
        yield path.with_name(f"{path.name}.py")
