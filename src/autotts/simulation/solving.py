"""Finding the parameter under which what is drawn has the figure that was asked for."""

from collections.abc import Callable

_HALVINGS = 60


def solve(rising: Callable[[float], float], target: float, most: float) -> float:
    """Where from -`most` to `most` a function that never falls comes closest to `target`.

    It may rise in steps, as figures of what is drawn do: then this is where it steps past it.
    """
    low, high = -most, most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return min((low, high), key=lambda at: abs(rising(at) - target))
