"""Drivers: what runs programs over cells, and what it gives back.

`InProcess`, `Released` and the sandbox are drivers. All that a driver needs is in the cells it is
given, and all that curves, summaries, traces and diagnoses need is in what it gives back, so that
neither knows where or how a program ran.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
import polars as pl

from autotts.control import Log
from autotts.errors import SpecError
from autotts.programs import Spec
from autotts.replay.episodes import Episodes
from autotts.replay.log import replay
from autotts.replay.task import Cell, Task
from autotts.replay.traces import trace_frame
from autotts.stores import Store

UNAUDITED = "unaudited"
"""What stands beside a figure of somebody else's program that nothing vouches for."""


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

    status: Literal["none", "clean", "blind", "rejected"] = "none"
    sample: int = 0
    differing: int = 0
    bound: float = 1.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class How:
    """How a program was run.

    driver: "compiled" or "interpreted" in this process; "sealed" (compiled) or "blind" in the
        sandbox; "released" for a program of the released research code, in this process.
    tier: "sealed" or "unsealed", as the sandbox could; "" in this process.
    audit: what the audit found; of what ran in this process, nothing.
    reason: why it was not run compiled; "" if it was.
    printed: what the program printed, capped. Shown, never scored.
    """

    driver: Literal["compiled", "interpreted", "sealed", "blind", "released"]
    tier: str = ""
    audit: Verdict = Verdict()
    reason: str = ""
    printed: str = ""

    @property
    def unaudited(self) -> bool:
        """Whether a program that holds the probes ran compiled, and no sample of it was checked."""
        return self.driver == "sealed" and self.audit.status == "none"

    @property
    def words(self) -> str:
        """What the audit says of the figures; "" where there is nothing to audit."""
        if self.unaudited:
            return UNAUDITED
        if self.driver == "sealed":
            return f"audited: {self.audit.sample} episodes replayed blind came out the same"
        return "replayed blind" if self.driver == "blind" else ""

    def record(self) -> dict[str, Any]:
        """For JSON: what there is to say, and of what ran in this process no audit."""
        fields = {key: value for key, value in asdict(self).items() if value != ""}
        if not self.tier:
            del fields["audit"]
        return fields

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "How":
        """From what `record` gave."""
        return cls(**{**record, "audit": Verdict(**record.get("audit", {}))})


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """What came out of a cell.

    parameters: of the program, as its schedule and the SPEC gave them.
    """

    cell: Cell
    parameters: Mapping[str, float]
    episodes: Episodes
    how: How

    @property
    def task(self) -> Task:
        return self.cell.task

    @property
    def store(self) -> Store:
        return self.cell.task.store

    @property
    def spec(self) -> Spec:
        return self.cell.spec

    @property
    def codes(self) -> np.ndarray:
        """`[E]` int64 the answers given, as codes of the pool, -1 for none."""
        return self.episodes.column("code")

    @property
    def correct(self) -> np.ndarray:
        """`[E]` bool: whether the answer given is an accepted one."""
        return self.store.accepts(self.codes, self.task.pairs[:, 0])

    @property
    def tokens(self) -> np.ndarray:
        """`[E]` int64."""
        return self.episodes.column("tokens")

    @property
    def cost(self) -> np.ndarray:
        """`[E]` float64: tokens times the price of their model, see `Store.cost_of`."""
        return self.episodes.column("cost") / 10**self.store.manifest.cost_scale

    @property
    def log(self) -> Log:
        """What every episode asked for.

        Raises:
            SpecError: no log was kept.
        """
        if self.episodes.log is None:
            raise SpecError(f"{self.spec.text} was run without traces, which this needs")
        return self.episodes.log

    def steps(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """Every step of episodes first to last - 1, of all by default.

        Returns:
            `[M, len(control.STEP)]` int64; episodes are numbered from `first`.

        Raises:
            SpecError: no log was kept.
        """
        last = len(self.task.pairs) if last is None else last
        return self._traced(slice(first, last), self.log.part(first, last))

    def steps_of(self, episodes: np.ndarray) -> np.ndarray:
        """Every step of some episodes, as `steps`; numbered from 0 in the order asked for.

        Args:
            episodes: int64 `[C]`.
        """
        return self._traced(episodes, Log.by_episode([self.log.of(e) for e in episodes.tolist()]))

    def _traced(self, episodes: np.ndarray | slice, log: Log) -> np.ndarray:
        task = self.task.some(self.task.pairs[episodes])
        return replay(log, self.codes[episodes], task, trace=True)[1]

    def trace(self) -> pl.DataFrame:
        """Every step of every episode, a row each; see `replay.traces.trace_frame`.

        Raises:
            SpecError: no log was kept.
        """
        return trace_frame(self.task, self.steps(), self.spec.source.text)


OnRan = Callable[[Ran], None]
"""Called with what came out of each cell, in the order of the cells."""


class Driver(Protocol):
    """Runs programs over cells."""

    def run(
        self,
        cells: Sequence[Cell],
        *,
        audit: int = 0,
        keep_log: bool = False,
        on_ran: OnRan | None = None,
    ) -> list[Ran]:
        """Run a program at every setting, on every task.

        Args:
            cells: of one program.
            audit: episodes of a program that is not trusted to replay blind; 0 for none.
            keep_log: whether to keep what every episode asked for, for steps and traces.
            on_ran: for progress.

        Returns:
            What came out of each cell, in their order.

        Raises:
            ProgramError: the program is refused, or does not load.
            SpecError: it has no parameter that a cell names.
            ControllerError: it failed in an episode, took too long, or the audit rejects it.
            SandboxError: it can't be run here as it must be.
        """
        ...
