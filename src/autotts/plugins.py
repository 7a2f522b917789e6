"""What installed packages add: controllers, explorers, answer readers, importers, dialects.

A package adds something by an entry point of one of the `GROUPS`. What is installed is the user's
own choice and runs with their rights; listing it runs nothing.
"""

import difflib
import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from autotts.errors import SpecError

T = TypeVar("T")

CONTROLLERS = "autotts.controllers"
EXPLORERS = "autotts.explorers"
READERS = "autotts.answer_readers"
IMPORTERS = "autotts.importers"
DIALECTS = "autotts.server_dialects"

GROUPS = {
    CONTROLLERS: "controller",
    EXPLORERS: "explorer",
    READERS: "answer reader",
    IMPORTERS: "importer",
    DIALECTS: "server dialect",
}
"""Entry points by group, and what one of them is."""

_OURS = "autotts"


@dataclass(frozen=True, slots=True)
class Plugin:
    """Something that an installed package adds.

    group: one of `GROUPS`.
    name: as options and SPECs say it.
    target: `MODULE` or `MODULE:ATTRIBUTE`.
    package, version: of the distribution; "" where it doesn't say.
    """

    group: str
    name: str
    target: str
    package: str
    version: str

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return GROUPS[self.group]

    @property
    def module(self) -> str:
        """Where it is defined."""
        return self.target.partition(":")[0]

    @property
    def is_ours(self) -> bool:
        """Whether it comes along with this package."""
        return self.package == _OURS

    def load(self) -> Any:
        """Import what it names: this runs the package's code.

        Raises:
            SpecError: it can't be imported; names the package and what was wrong.
        """
        entry = importlib.metadata.EntryPoint(self.name, self.target, self.group)
        try:
            return entry.load()
        except Exception as error:  # whatever somebody's module raises
            raise SpecError(
                f"{self.kind} {self.name} of the package {self.package or '?'} can't be loaded:"
                f" {type(error).__name__}: {error}; mend that package or uninstall it"
            ) from error

    def load_as(self, wanted: type[T]) -> T:
        """Import what it names, which must be one of these.

        Raises:
            SpecError: as `load`, or it is something else.
        """
        found = self.load()
        if not isinstance(found, wanted):
            raise SpecError(
                f"{self.kind} {self.name} of the package {self.package} is none: {self.target} is a"
                f" {type(found).__name__}, not of type {wanted.__name__}"
            )
        return found


def published(group: str, name: str | None = None) -> Iterator[Plugin]:
    """What is installed in a group, or of one name in it, in order of names; nothing is imported.

    Of two of one name the first that Python finds counts.
    """
    seen: set[str] = set()
    entries = importlib.metadata.entry_points(group=group)
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.name in seen or name not in (None, entry.name):
            continue
        seen.add(entry.name)
        about = entry.dist
        yield Plugin(
            group,
            entry.name,
            entry.value,
            about.name if about else "",
            about.version if about else "",
        )


def names(group: str) -> list[str]:
    """Names of what is installed in a group."""
    return [plugin.name for plugin in published(group)]


def one(group: str, name: str) -> Plugin:
    """What is installed under a name.

    Raises:
        SpecError: there is none.
    """
    for plugin in published(group, name):
        return plugin
    known = names(group)
    near = difflib.get_close_matches(name, known, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    raise SpecError(f"{GROUPS[group]} {name!r} is not known; {hint if known else 'none is there'}")
