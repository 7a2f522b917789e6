"""What a sandbox is asked to run, and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from autotts.replay.episodes import Episodes, Rules
from autotts.sandbox.confine.tier import Tier
from autotts.stores import Pool

LOG_WORDS = 1 << 18
"""Most words that one episode may log, 2 MiB; the largest of ours has some 2,000."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Episodes of one store at one beta.

    dataset: whose questions they are; a question of a dataset never meets itself in a worker.
    orders: `[Q, D, W]` int16 draws; W is the ceiling.
    pairs: `[E, 2]` int64 (question, draw) of each episode.
    named: parameters in place of what the schedule gives.
    """

    dataset: str
    pool: Pool
    orders: np.ndarray
    pairs: np.ndarray
    beta: float
    named: Mapping[str, float] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)

    @property
    def ceiling(self) -> int:
        """Most branches an episode may open."""
        return int(self.orders.shape[2])

    @property
    def sizes(self) -> dict[str, int]:
        """What a worker must make room for. Of codes, those that branches give: not gold's."""
        codes = max(int(self.pool.probes.max()), int(self.pool.finals.max())) + 1
        intervals = int(self.pool.probes.shape[2])
        return {"ceiling": self.ceiling, "intervals": intervals, "n_codes": codes}


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a program may use before it is stopped, from outside.

    program_seconds: wall clock to load, and again to compile.
    cell_seconds: wall clock of one store at one beta.
    episode_seconds: wall clock in which some episode must get on.
    memory_bytes: address space, beyond what a worker starts with.
    """

    program_seconds: float = 60.0
    cell_seconds: float = 900.0
    episode_seconds: float = 10.0
    memory_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an audit found.

    status: "clean": every sampled episode did the same blind. "blind": some did not, or the
        program doesn't compile; what counts was run blind. "rejected": not even blind runs
        agree with each other. "none": not audited.
    sample: episodes compared.
    differing: how many of them differed.
    bound: share of all episodes that may differ, at 95 % confidence, when none of the sample did.
    """

    status: str
    sample: int = 0
    differing: int = 0
    bound: float = 1.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of a program in the sandbox.

    episodes: of each cell, in its order, as the in-process drivers give them.
    parameters: of each cell, as the program's schedule says.
    mode: "compiled" or "blind": what the episodes were run by.
    reason: why they were not run compiled.
    text: what the program printed, capped. Shown, never scored.
    """

    episodes: tuple[Episodes, ...]
    parameters: tuple[Mapping[str, float], ...]
    mode: str
    tier: Tier
    verdict: Verdict
    reason: str = ""
    text: str = ""
