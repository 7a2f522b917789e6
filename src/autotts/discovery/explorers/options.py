"""Values of an explorer's options, which come as text."""

import math
from collections.abc import Mapping

from autotts.errors import SpecError


def number(explorer: str, options: Mapping[str, str], name: str) -> float:
    """A number from 0.

    Raises:
        SpecError: it is none.
    """
    try:
        value = float(options[name])
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise SpecError(f"explorer {explorer}: {name}={options[name]!r}; need a number from 0")
    return value
