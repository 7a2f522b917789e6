"""What an explorer is given each round, and what it gives back.

An explorer is anything with the four members of `Explorer`: it is handed a `Turn` and returns
proposals. It is found by name through the entry point group `autotts.explorers`, whose entries are
factories: called with the options of the command line (`--option model=NAME`, text by name), they
return an explorer or raise `SpecError`.

Every call that costs money or tokens goes through `Turn.paid`, which reserves what it may cost,
records the reply before anybody uses it, and gives the recorded reply back when a run is resumed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from autotts.evaluation.families import FamilyWeight, Judge
from autotts.evaluation.objectives import Objective
from autotts.inference.speed import ServerSpeed

Record = dict[str, JsonValue]
"""What stands in the event log and in the files of a run."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls cost.

    usd: US dollars; None is unpriced: it cost something and nobody knows how much.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        """The sum; unpriced as soon as a part is."""
        priced = self.usd is not None and other.usd is not None
        return Usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.usd + other.usd if priced else None,  # type: ignore[operator]
        )


FREE = Usage()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A controller program and why it should be good, in words.

    source: the whole program: docstring, `schedule(beta)`, `solve(env, p)`.
    idea: what is new in it.
    learned: what earlier rounds taught, naming them.
    expected_effect: what should change, and where on the curve.
    usage: what making it cost, for the record; the budget is charged by `Turn.paid`.
    """

    source: str
    idea: str = ""
    learned: str = ""
    expected_effect: str = ""
    usage: Usage = FREE


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """A program at one beta on the search stores.

    accuracy: percent, mean of the stores.
    tokens, sequential_tokens: per question, mean of the stores.
    fraction: of SC@64's tokens on the same store, mean of the stores.
    stores: (accuracy, tokens) by store.
    """

    beta: float
    accuracy: float
    tokens: float
    sequential_tokens: float
    fraction: float
    stores: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """One proposal of an earlier round and what became of it.

    points: its sweep, by beta; empty if it could not be evaluated.
    area: mean accuracy (percent) of its frontier over the budgets that count; None without a sweep.
    errors: why it could not be evaluated, or broke a rule, in words.
    remarks: what the rules say beside that: novelty, violations within bounds, curve facts.
    digest: the diagnosis of its episodes, in words; "" under `--no-traces`.
    accepted: whether it was ahead of what was accepted before, in enough resamples.
    traces: some of its episodes, branch by branch, without answers; "" under `--no-traces`.
    """

    round: int
    index: int
    proposal: Proposal
    points: tuple[SweepPoint, ...]
    area: float | None
    errors: tuple[str, ...]
    remarks: tuple[str, ...]
    digest: str
    accepted: bool
    traces: str = ""

    @property
    def name(self) -> str:
        """Such as `3` or, where a round has several, `3.2`."""
        return f"{self.round}" if self.index == 0 else f"{self.round}.{self.index + 1}"

    def score(self, by: str) -> float | None:
        """What it is judged by, in percent: its area, or under "accuracy" its best accuracy."""
        if by == "area":
            return self.area
        return max((point.accuracy for point in self.points), default=None)


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """What a program's episodes teach; neither text holds an answer.

    digest: where it wins and loses and why, in Markdown.
    traces: some of the episodes, branch by branch.
    """

    digest: str
    traces: str


@dataclass(frozen=True, slots=True)
class History:
    """What happened so far.

    baselines: sweeps of the hand-made controllers by name, to measure up to.
    trials: in order of round and index.
    best: the trial that leads by the rule of the run, accepted or not; None before there is one.
    diagnoses: of the baselines by name, from before the first round on; none under `--no-traces`.
    matters: what matters on the search stores (`diagnosis.exploring`), in Markdown; "" under
        `--no-traces`.
    lessons: of earlier runs (`discover --from`), in Markdown; their programs are trials of round 0.
    """

    baselines: Mapping[str, tuple[SweepPoint, ...]]
    trials: tuple[Trial, ...]
    best: Trial | None = None
    diagnoses: Mapping[str, Diagnosed] = field(default_factory=dict)
    matters: str = ""
    lessons: str = ""

    def round(self, number: int) -> tuple[Trial, ...]:
        """The trials of one round."""
        return tuple(trial for trial in self.trials if trial.round == number)


@dataclass(frozen=True, slots=True)
class ProgramRules:
    """What a program must keep to, as numbers; `autotts.discovery.rules` checks them.

    one_knob: whether every parameter must come from beta alone, monotonely (`--no-beta` lifts it).
    ceiling: most branches of an episode.
    cheapest, dearest: the frontier must reach from at most `cheapest` to at least `dearest` of
        SC@64's tokens.
    isotonic_slack: by how much tokens may fall from one beta to a larger one, as a share.
    max_source_bytes: size of a program.
    """

    one_knob: bool = True
    ceiling: int = 64
    cheapest: float = 0.05
    dearest: float = 0.50
    isotonic_slack: float = 0.02
    max_source_bytes: int = 32_000


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left of the run's budget; None where there is no limit.

    model_tokens: input and output together.
    """

    rounds: int | None = None
    evaluations: int | None = None
    model_tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """What trying a program gives: quick and honest, on few draws of the search stores.

    errors: why it was refused or failed; then there are no points.
    remarks: as in `Trial`.
    points: its sweep, over fewer draws than a round's.
    area: as in `Trial`, over those draws.
    baseline_areas: the same of the hand-made controllers, by name.
    shares: accuracy of its frontier in percent, by share of SC@64's tokens.
    store_areas: its area by store.
    lead: how far its area is from the best so far, paired by question, with its interval, in words.
    questions: by store and question, points above the best so far; the equal ones are left out, and
        all under `--no-traces`.
    draws: those that it was tried on; `noise`: standard error of its area by these, in points.
    """

    errors: tuple[str, ...]
    remarks: tuple[str, ...]
    points: tuple[SweepPoint, ...]
    area: float | None
    baseline_areas: Mapping[str, float]
    shares: Mapping[str, float] = field(default_factory=dict)
    store_areas: Mapping[str, float] = field(default_factory=dict)
    lead: str = ""
    questions: Mapping[str, float] = field(default_factory=dict)
    draws: str = ""
    noise: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.errors


class Paid(Protocol):
    """One call that costs, made once in the life of a run. Calls of a turn are told apart by order
    and content, so an explorer must ask for the same calls again after a crash.
    """

    def __call__(
        self,
        request: Record,
        send: Callable[[], tuple[Record, Usage]],
        *,
        at_most: Usage,
    ) -> Record:
        """Send, unless the run already has the reply.

        Args:
            request: what identifies the call; recorded by digest only. No keys in it.
            send: makes the call; returns the reply and what it cost. What it raises is recorded as
                a failed call, charged `CallFailed.usage` or, for other exceptions, `at_most`.
            at_most: reserved before the call is sent.

        Raises:
            OutOfBudget: `at_most` does not fit what is left; nothing was sent.
        """
        ...


class CallFailed(Exception):
    """A paid call that failed after it may have cost something; raised by `send`."""

    def __init__(self, message: str, usage: Usage = FREE) -> None:
        super().__init__(message)
        self.usage = usage


class OutOfBudget(Exception):
    """A reservation that does not fit the budget. The run stops here and can be resumed."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One round, as an explorer sees it.

    round: from 1.
    proposals: how many are wanted; fewer are fine.
    seed: of all the explorer's randomness this round.
    stores: of the search set. They hold the gold answers: for explorers that are our own code in
        our own process, never for a model, an agent or a folder that one can read.
    folder: `rounds/0003/explorer/` of the run, for the explorer's own files; exists.
    traces: whether diagnoses and traces may be shown (`--no-traces`: scores only).
    remaining: what is left, now.
    check: source check and smoke run, free: reasons why a program would be refused, empty if none.
    try_program: quick feedback; costs one evaluation of the budget; recorded, and cached by
        content. Raises `OutOfBudget`.
    paid: see `Paid`.
    say: shows the user one line of progress.
    objective: what budgets count, see `evaluation.objectives`.
    server_model: for which seconds and dollars are forecast.
    judge, family_weight: what figure is made of areas by store, see `evaluation.families`.
    ended: whether the run has ended meanwhile, which only rounds that are proposed beside others
        see. Then `check`, `try_program` and `paid` raise KeyboardInterrupt.
    """

    round: int
    proposals: int
    history: History
    rules: ProgramRules
    seed: int
    stores: Sequence[Path]
    folder: Path
    traces: bool
    remaining: Callable[[], Remaining]
    check: Callable[[str], tuple[str, ...]]
    try_program: Callable[[str], Feedback]
    paid: Paid
    say: Callable[[str], None]
    objective: Objective = "tokens"
    server_model: ServerSpeed | None = None
    judge: Judge = "mean"
    family_weight: FamilyWeight = "stores"
    ended: Callable[[], bool] = lambda: False


class Explorer(Protocol):
    """Proposes programs.

    One with an attribute `side_by_side` that is True may be asked to propose several rounds at
    once, in threads of their own (`RunSettings.parallel`).
    """

    name: str
    deterministic: bool
    """Whether the same turn gives the same proposals."""

    def settings(self) -> Record:
        """What stands in run.toml: model, prompt digests, command. Never a key."""
        ...

    def estimate(self, rounds: int, proposals: int) -> Usage:
        """What a run of that many rounds may cost, before it starts; `usd` None if unpriced."""
        ...

    def propose(self, turn: Turn) -> list[Proposal]:
        """Propose; an empty list passes the round.

        Raises:
            ProposalError: nothing usable came; the round is recorded as failed, with the reason.
            OutOfBudget: from `Turn.paid` or `Turn.try_program`; need not be caught.
        """
        ...
