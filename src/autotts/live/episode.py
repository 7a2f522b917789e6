"""One live episode: a suspended program, what it asks for, and where that comes from."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from autotts.engine import compiled
from autotts.live.pool import GrowingPool
from autotts.live.suspended import Suspended
from autotts.live.trajectories import Trajectories


class Stop(StrEnum):
    """Why an episode ended."""

    ANSWERED = "answered"
    BUDGET = "budget"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """What is known of an episode when it has ended.

    results: int64 `[len(compiled.RESULTS)]`.
    """

    results: np.ndarray
    stop: Stop

    def __getitem__(self, name: str) -> int:
        return int(self.results[compiled.RESULTS.index(name)])


async def play(
    program: Suspended,
    pool: GrowingPool,
    trajectories: Trajectories,
    *,
    deadline: float | None = None,
) -> Played:
    """Play an episode to its answer.

    Args:
        deadline: by the event loop's clock; then what is being decoded is cancelled, and the best
            vote so far is the answer.

    Raises:
        ServerError: something that the program asked for can't be had.
        Whatever the program raises.
    """
    try:
        async with asyncio.timeout_at(deadline):
            while not isinstance(given := await program.proceed(), np.ndarray):
                if not pool.admit(given):
                    await trajectories.cover(given)
    except TimeoutError:
        return Played(pool.conclude_by_vote(), Stop.DEADLINE)
    finally:
        program.close()
    return Played(given, Stop.BUDGET if pool.spent_out else Stop.ANSWERED)
