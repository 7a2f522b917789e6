"""Explorers: who proposes. Found by name through the entry points `autotts.explorers`."""

import difflib
import importlib.metadata
from collections.abc import Mapping

from autotts.discovery.explorer import Explorer
from autotts.errors import SpecError

GROUP = "autotts.explorers"


def names() -> list[str]:
    """The explorers that are installed."""
    return sorted({entry.name for entry in importlib.metadata.entry_points(group=GROUP)})


def make(name: str, options: Mapping[str, str]) -> Explorer:
    """An explorer by name.

    Args:
        options: as given on the command line, text by name.

    Raises:
        SpecError: there is none of that name, or it doesn't take these options.
    """
    for entry in importlib.metadata.entry_points(group=GROUP, name=name):
        explorer: Explorer = entry.load()(options)
        return explorer
    near = difflib.get_close_matches(name, names(), n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names())}"
    raise SpecError(f"explorer {name!r} is not known; {hint}")


def take_options(name: str, options: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """Options over their defaults.

    Raises:
        SpecError: one is not known.
    """
    for key in options:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise SpecError(
                f"explorer {name} has no option {key!r}; {hint}it has {', '.join(known) or 'none'}"
            )
    return {**known, **options}
