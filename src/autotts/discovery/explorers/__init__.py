"""Explorers: who proposes. Found by name through the entry points `autotts.explorers`."""

import difflib
from collections.abc import Mapping

from autotts import plugins
from autotts.discovery.explorer import Explorer
from autotts.errors import SpecError


def names() -> list[str]:
    """The explorers that are installed."""
    return plugins.names(plugins.EXPLORERS)


def make(name: str, options: Mapping[str, str]) -> Explorer:
    """An explorer by name.

    Args:
        options: as given on the command line, text by name.

    Raises:
        SpecError: there is none of that name, or it doesn't take these options.
    """
    explorer: Explorer = plugins.one(plugins.EXPLORERS, name).load()(options)
    return explorer


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
