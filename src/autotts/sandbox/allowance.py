"""What a program in the sandbox may use before it is stopped, and how much of it is audited."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from autotts.errors import TookTooLong
from autotts.replay.task import Task

LOG_WORDS = 1 << 18
"""Most words that one episode may log, 2 MiB; the largest of ours has some 2,000."""

SAMPLE = 600
"""Episodes of an audit: if all agree, at most 0.5 % of all differ, at 95 % confidence."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a program may use before it is stopped, from outside.

    program_seconds: wall clock to load, and again to compile.
    cell_seconds: wall clock of one store at one beta.
    episode_seconds: wall clock in which some episode must get on, interpreted.
    compiled_seconds: wall clock in which some episode must end, compiled: most end in a
        ten-thousandth of it.
    memory_bytes: address space, beyond what a worker starts with.
    """

    program_seconds: float = 60.0
    cell_seconds: float = 900.0
    episode_seconds: float = 10.0
    compiled_seconds: float = 3.0
    memory_bytes: int = 1 << 30

    @property
    def cell_limit(self) -> str:
        """In the words of an error."""
        return f"one store at one beta takes more than {self.cell_seconds:g} s"

    @classmethod
    def of_cell(cls, seconds: float) -> "Allowance":
        """What goes with so many seconds for one store at one beta; more make an episode's more."""
        usual = cls()
        more = max(1.0, seconds / _USUAL_CELL_SECONDS)
        return cls(
            cell_seconds=seconds,
            episode_seconds=more * usual.episode_seconds,
            compiled_seconds=more * usual.compiled_seconds,
        )


_USUAL_CELL_SECONDS = 600.0


@contextmanager
def naming_the_limit(cell_seconds: float) -> Iterator[None]:
    """What takes too long in the block says how it may take longer."""
    try:
        yield
    except TookTooLong as error:
        said = f"--timeout allows longer; it is {cell_seconds:g} s now"
        raise TookTooLong(f"{error}\n  {said}") from error


def sizes(task: Task) -> dict[str, Any]:
    """What a worker must make room for. Of codes, those that branches give: not gold's."""
    pool = task.pool
    return {
        "ceiling": task.ceiling,
        "intervals": pool.depth,
        "n_codes": pool.shown,
        "prices": pool.prices.tolist(),
        "signals": list(pool.signals),
    }
