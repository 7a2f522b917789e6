"""The branches of a collection as its journal tells of them: finished ones small, others whole."""

from array import array
from dataclasses import dataclass, field
from pathlib import Path

from autotts.answers import FAILED
from autotts.collect.journal import (
    WORKERS,
    AnsweredLine,
    FailedLine,
    IntervalLine,
    PlanLine,
    ProbeLine,
    ServerLine,
    journals_beside,
    read_journal,
)
from autotts.collect.plan import Plan
from autotts.collect.units import Place, Unit
from autotts.errors import StoreError
from autotts.inference.branch import Decoding, ServedBranch
from autotts.inference.server import Context
from autotts.inference.signals import TOP


@dataclass(slots=True)
class Begun:
    """A branch that may go on.

    lines: its intervals, some of them several in a line.
    probes: by the interval that they are at the end of, from 0.
    """

    lines: list[IntervalLine] = field(default_factory=list)
    probes: dict[int, ProbeLine] = field(default_factory=dict)

    @property
    def paid(self) -> list[IntervalLine | ProbeLine]:
        return [*self.lines, *self.probes.values()]

    @property
    def tokens(self) -> int:
        """Decoded, its probes included."""
        return sum(line.tokens for line in self.paid)

    @property
    def intervals(self) -> int:
        return sum(line.intervals for line in self.lines)

    @property
    def ended(self) -> bool:
        """Whether it ended itself, or was cut."""
        return bool(self.lines) and (self.lines[-1].ended or self.lines[-1].cut)

    @property
    def passed(self) -> int:
        """Intervals that it went past, at whose ends its answer can be asked for."""
        return self.intervals - self.ended

    def signals(self, k: int) -> dict[str, float]:
        """Those of an interval, and of the probe at its end."""
        probe = self.probes.get(k)
        return {**self.lines[k].signals, **(probe.probed_then().signals if probe else {})}

    def served(self, prompt: Context, how: Decoding) -> ServedBranch:
        """The branch as it stands, after its prompt."""
        branch = ServedBranch(prompt)
        for line in self.lines:
            branch.take(line.decoded(), how)
        return branch


@dataclass(frozen=True, slots=True)
class Finished:
    """A branch that ended, or that a controller gave up.

    probes: the answer at the end of each interval that it went past, `FAILED` where a controller
        asked for none; none where the plan has none.
    final: the answer it ended on, as the model wrote it; `FAILED` of one that was given up.
    ends: tokens up to the end of each interval.
    cut: whether it was cut at the most tokens.
    given_up: whether it would have gone on.
    signals: those of each interval by name; none where none were asked for.
    """

    probes: tuple[str, ...]
    final: str
    ends: "array[int]"
    cut: bool
    given_up: bool
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
    begun: what goes on. Under a controller that is every branch of a question without an answer
        yet, for the episode may have to be played again.
    failed: by the first branch of a unit that failed last time, why.
    answered: what a controller answered, by unit.
    size: bytes of the journal's whole lines.
    """

    plan: Plan | None = None
    begun: dict[Place, Begun] = field(default_factory=dict)
    finished: dict[Place, Finished] = field(default_factory=dict)
    failed: dict[Place, str] = field(default_factory=dict)
    answered: dict[Place, AnsweredLine] = field(default_factory=dict)
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
        return self.recorded + self.trial_tokens

    @property
    def recorded(self) -> int:
        """Tokens of branches and of their probes."""
        return self.interval_tokens + self.probe_tokens

    def done(self, unit: Unit) -> bool:
        """Whether nothing is left to do for a unit."""
        return unit.place in (self.answered if self._chosen else self.finished)

    @property
    def units_done(self) -> int:
        return len(self.answered if self._chosen else self.finished)

    @property
    def _chosen(self) -> bool:
        """Whether a controller chooses what is recorded."""
        return self.plan is not None and bool(self.plan.controller)

    def take(self, line: IntervalLine | ProbeLine | FailedLine | ServerLine | AnsweredLine) -> None:
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
        elif isinstance(line, AnsweredLine):
            self._answered(line)
        else:
            self.servers.append(line)
            self.trial_tokens += line.tokens

    def _interval(self, line: IntervalLine) -> None:
        *place, k = line.at
        at = (place[0], place[1])
        branch = self.begun.setdefault(at, Begun())
        if at in self.finished or branch.ended or k != branch.intervals:
            raise StoreError(f"question {at[0]}, branch {at[1]}: interval {k} is out of turn")
        assert self.plan is not None
        where = f"question {at[0]}, branch {at[1]}"
        decoded = sum(one.tokens for one in branch.lines) + line.tokens
        if decoded > self.plan.max_tokens or line.intervals > max(1, line.tokens):
            raise StoreError(
                f"{where}: {decoded:,} tokens with interval {k}, of"
                f" {self.plan.max_tokens:,} at most"
            )
        if branch.lines and (branch.lines[0].ids is None) != (line.ids is None):
            raise StoreError(f"{where}: text and token ids mixed")
        branch.lines.append(line)
        self.failed.pop(at, None)
        self.interval_tokens += line.tokens
        self.prompt_tokens += line.prompt_tokens or 0
        self.cached_tokens += line.cached_tokens or 0
        self._finish_if_whole(at, branch)

    def _probe(self, line: ProbeLine) -> None:
        *place, k = line.probed
        at = (place[0], place[1])
        branch = self.begun.get(at, Begun())
        if k in branch.probes or k >= branch.passed:
            raise StoreError(f"question {at[0]}, branch {at[1]}: probe {k} is out of turn")
        branch.probes[k] = line
        self.failed.pop(at, None)
        self.probes += 1
        self.probe_tokens += line.tokens
        self.prompt_tokens += line.prompt_tokens or 0
        self.cached_tokens += line.cached_tokens or 0
        self._finish_if_whole(at, branch)

    def _answered(self, line: AnsweredLine) -> None:
        if not self._chosen or line.answered in self.answered:
            raise StoreError(f"question {line.answered[0]}: its answer is out of turn")
        self.answered[line.answered] = line
        self.failed.pop(line.answered, None)
        for at in sorted(at for at in self.begun if at[0] == line.answered[0]):
            self.finished[at] = self._finish(at)

    def _finish_if_whole(self, at: Place, branch: Begun) -> None:
        """Take a branch that has ended, with all its probes, out of those that go on."""
        assert self.plan is not None
        probed = not self.plan.probe or len(branch.probes) == branch.passed
        if branch.ended and probed and not self._chosen:
            self.finished[at] = self._finish(at)

    def _finish(self, at: Place) -> Finished:
        """Take a branch out of those that go on."""
        assert self.plan is not None
        branch = self.begun.pop(at)
        how = decoding_of(self.plan)
        exact = branch.lines[0].ids is not None
        served = branch.served(array("i") if exact else "", how)
        ends, total = array("i"), 0
        for line in branch.lines:
            ends.extend(total + k * how.interval for k in range(1, line.intervals))
            total += line.tokens
            ends.append(total)
        probes = branch.probes
        shown = (probes[k].answer if k in probes else FAILED for k in range(branch.passed))
        return Finished(
            probes=tuple(shown) if self.plan.probe else (),
            final=served.answer() if branch.ended else FAILED,
            ends=ends,
            cut=branch.lines[-1].cut,
            given_up=not branch.ended,
            prompt_tokens=sum(line.prompt_tokens or 0 for line in branch.paid),
            cached_tokens=sum(line.cached_tokens or 0 for line in branch.paid),
            probe_tokens=sum(line.tokens for line in probes.values()),
            signals=tuple(branch.signals(k) for k in range(branch.intervals))
            if self.plan.signals
            else (),
        )


def decoding_of(plan: Plan) -> Decoding:
    logprobs = TOP if plan.signals else 0
    return Decoding(plan.interval, plan.max_tokens, plan.sampling, logprobs, plan.window)


def read_collected(path: Path) -> Collected:
    """What a journal holds, and those of a fleet's workers beside it; nothing where there is none.

    Raises:
        StoreError: one is damaged, other than by a last line that was cut.
    """
    found = Collected()
    if path.exists():
        found.size = take_journal(path, found)
        for other in journals_beside(path):
            take_journal(other, found)
    return found


def take_journal(path: Path, found: Collected) -> int:
    """Add what a journal holds; the bytes of its whole lines.

    Raises:
        StoreError: it is damaged, or doesn't follow on what was before.
    """
    size, begun = 0, False
    main = not path.name.startswith(WORKERS)
    for line, end in read_journal(path):
        if isinstance(line, PlanLine):
            begun = True
            # The last one stands: a collection may be told to have more branches. A worker's says
            # what it was told.
            found.plan = line.plan if main or found.plan is None else found.plan
        elif not begun:
            raise StoreError(f"{path}: it doesn't begin with a plan")
        else:
            try:
                found.take(line)
            except StoreError as error:
                raise StoreError(f"{path}: {error}") from error
        size = end
    return size
