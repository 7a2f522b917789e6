"""The branches of a collection as its journal tells of them: finished ones small, others whole."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from autotts.collect.journal import (
    FailedLine,
    IntervalLine,
    PlanLine,
    ProbeLine,
    ServerLine,
    read_journal,
)
from autotts.collect.plan import Plan
from autotts.errors import StoreError
from autotts.inference.branch import Decoding, ServedBranch
from autotts.inference.server import Context
from autotts.inference.signals import TOP

Place = tuple[int, int]
"""Question and branch."""


@dataclass(slots=True)
class Begun:
    """A branch that goes on."""

    intervals: list[IntervalLine] = field(default_factory=list)
    probes: list[ProbeLine] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Decoded, its probes included."""
        lines: list[IntervalLine | ProbeLine] = [*self.intervals, *self.probes]
        return sum(line.tokens for line in lines)

    def served(self, prompt: Context, how: Decoding) -> ServedBranch:
        """The branch as it stands, after its prompt."""
        branch = ServedBranch(prompt)
        for line in self.intervals:
            branch.take(line.decoded(), how)
        return branch


@dataclass(frozen=True, slots=True)
class Finished:
    """A branch that ended.

    probes: the answer at the end of each interval but the last; none where none was asked for.
    final: the answer it ended on, as the model wrote it.
    ends: tokens up to the end of each interval.
    cut: whether it was cut at the most tokens.
    signals: those of each interval by name; none where none were asked for.
    """

    probes: tuple[str, ...]
    final: str
    ends: "array[int]"
    cut: bool
    prompt_tokens: int
    cached_tokens: int
    probe_tokens: int
    signals: tuple[dict[str, float], ...] = ()

    @property
    def tokens(self) -> int:
        return self.ends[-1]


@dataclass(slots=True)
class Collected:
    """All that a journal holds.

    decoded: tokens of intervals, probes and trials: all that was paid for and came.
    failed: branches that failed last time, with why.
    size: bytes of the journal's whole lines.
    """

    plan: Plan | None = None
    begun: dict[Place, Begun] = field(default_factory=dict)
    finished: dict[Place, Finished] = field(default_factory=dict)
    failed: dict[Place, str] = field(default_factory=dict)
    servers: list[ServerLine] = field(default_factory=list)
    interval_tokens: int = 0
    probe_tokens: int = 0
    trial_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    probes: int = 0
    size: int = 0

    @property
    def decoded(self) -> int:
        return self.interval_tokens + self.probe_tokens + self.trial_tokens

    def take(self, line: IntervalLine | ProbeLine | FailedLine | ServerLine) -> None:
        """Add what a line tells.

        Raises:
            StoreError: it doesn't follow on what was before.
        """
        if isinstance(line, IntervalLine):
            self._interval(line)
        elif isinstance(line, ProbeLine):
            self._probe(line)
        elif isinstance(line, FailedLine):
            self.failed[line.failed[:2]] = line.why
        else:
            self.servers.append(line)
            self.trial_tokens += line.tokens

    def _interval(self, line: IntervalLine) -> None:
        *place, k = line.at
        at = (place[0], place[1])
        branch = self.begun.setdefault(at, Begun())
        if at in self.finished or k != len(branch.intervals):
            raise StoreError(f"question {at[0]}, branch {at[1]}: interval {k} is out of turn")
        branch.intervals.append(line)
        self.failed.pop(at, None)
        self.interval_tokens += line.tokens
        self.prompt_tokens += line.prompt_tokens or 0
        self.cached_tokens += line.cached_tokens or 0
        if line.ended or line.cut:
            self.finished[at] = self._finish(self.begun.pop(at))

    def _probe(self, line: ProbeLine) -> None:
        *place, k = line.probed
        at = (place[0], place[1])
        branch = self.begun.get(at, Begun())
        if k != len(branch.probes) or k != len(branch.intervals) - 1:
            raise StoreError(f"question {at[0]}, branch {at[1]}: probe {k} is out of turn")
        branch.probes.append(line)
        self.probes += 1
        self.probe_tokens += line.tokens
        self.prompt_tokens += line.prompt_tokens or 0
        self.cached_tokens += line.cached_tokens or 0

    def _finish(self, branch: Begun) -> Finished:
        assert self.plan is not None
        how = decoding_of(self.plan)
        intervals = branch.intervals
        exact = intervals[0].ids is not None
        served = branch.served(array("i") if exact else "", how)
        ends, total = array("i"), 0
        for line in intervals:
            total += line.tokens
            ends.append(total)
        lines: list[IntervalLine | ProbeLine] = [*intervals, *branch.probes]
        return Finished(
            probes=tuple(line.answer for line in branch.probes),
            final=served.answer(),
            ends=ends,
            cut=intervals[-1].cut,
            prompt_tokens=sum(line.prompt_tokens or 0 for line in lines),
            cached_tokens=sum(line.cached_tokens or 0 for line in lines),
            probe_tokens=sum(line.tokens for line in branch.probes),
            signals=tuple(line.signals for line in intervals) if self.plan.signals else (),
        )


def decoding_of(plan: Plan) -> Decoding:
    logprobs = TOP if plan.signals else 0
    return Decoding(plan.interval, plan.max_tokens, plan.sampling, logprobs)


def read_collected(path: Path) -> Collected:
    """What a journal holds; nothing where there is none.

    Raises:
        StoreError: it is damaged, other than by a last line that was cut.
    """
    found = Collected()
    if not path.exists():
        return found
    for line, end in read_journal(path):
        if isinstance(line, PlanLine):
            # The last one stands: a collection may be told to have more branches.
            found.plan = line.plan
        elif found.plan is None:
            raise StoreError(f"{path}: it doesn't begin with a plan")
        else:
            found.take(line)
        found.size = end
    return found


def places(plan: Plan, questions: int) -> Iterator[Place]:
    """All branches, question by question, so that prompts stay in a server's cache."""
    for q in range(questions):
        for n in range(plan.branches):
            yield q, n
