"""What is collected by default: every branch, to its end, probed at every interval."""

from typing import Any

_MORE = 1 << 20
"""Intervals; no branch has so many."""


def schedule(beta: float) -> dict[str, float]:
    return {}


def solve(env: Any, p: Any) -> Any:
    env.branch(env.room)
    if env.n_finished < env.n:
        env.advance(env.active(), _MORE)
    return env.vote()
