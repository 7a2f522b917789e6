"""What a run's events say, folded into one value: `RunState`.

Everything that looks at a run, the loop, the budget, `finalize`, reports and tables, reads this and
no event.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from autotts.diagnosis.matters_text import Matters, matters_text
from autotts.discovery.explorer import FREE, Diagnosed, Feedback, History, Proposal, Trial, Usage
from autotts.discovery.run import events
from autotts.discovery.run.charges import settled
from autotts.discovery.run.events import (
    BaselineScored,
    CallLost,
    CallReplied,
    CallReserved,
    Event,
    Finalized,
    MeasuredAgain,
    NothingProposed,
    Opened,
    Scored,
    Selected,
    Tried,
)
from autotts.discovery.run.settings import RunLimits
from autotts.errors import RunError
from autotts.evaluation.winner import Winner


@dataclass(slots=True)
class Call:
    """A call that costs. `outcome` is None while it is in flight, or if the process died then."""

    reserved: CallReserved
    outcome: CallReplied | CallLost | None = None

    @property
    def usage(self) -> Usage:
        """What it cost, or may have cost: without an outcome that can be, what was reserved."""
        reserved = self.reserved.reserved
        return reserved if self.outcome is None else settled(self.outcome.usage, reserved)


@dataclass(frozen=True, slots=True)
class RoundCost:
    """Seconds and model calls of one round."""

    seconds_proposing: float
    seconds_scoring: float
    usage: Usage


@dataclass(slots=True)
class RunState:
    """A run so far. Only `fold` changes it.

    limits: of the latest session; None before there was one.
    baselines, diagnosed: by name. proposals: by round; a round that failed or passed has none.
    failures: by round. tries: in order. scored: by round and index. selections: by round.
    races: by round.
    matters: what matters on the search stores; None before it was looked for.
    lessons: of earlier runs, whose programs are the proposals of round 0; None before they were
        read.
    calls: by id, in order.
    measured_again: the best on fresh draws, after so many rounds.
    opened, finalized: the held-out stores; None before.
    last: the latest event.
    """

    limits: RunLimits | None = None
    baselines: dict[str, BaselineScored] = field(default_factory=dict)
    proposals: dict[int, tuple[Proposal, ...]] = field(default_factory=dict)
    seconds_proposing: dict[int, float] = field(default_factory=dict)
    failures: dict[int, NothingProposed] = field(default_factory=dict)
    tries: list[Tried] = field(default_factory=list)
    scored: dict[tuple[int, int], Scored] = field(default_factory=dict)
    selections: dict[int, Selected] = field(default_factory=dict)
    races: dict[int, events.Raced] = field(default_factory=dict)
    diagnosed: dict[str, events.BaselineDiagnosed] = field(default_factory=dict)
    matters: Matters | None = None
    lessons: str | None = None
    calls: dict[str, Call] = field(default_factory=dict)
    measured_again: MeasuredAgain | None = None
    opened: Opened | None = None
    finalized: Finalized | None = None
    last: Event | None = None
    _earlier_seconds: float = 0.0

    @classmethod
    def of(cls, found: Iterable[Event]) -> "RunState":
        """The state after these events.

        Raises:
            RunError: they contradict each other.
        """
        state = cls()
        for event in found:
            state.fold(event)
        return state

    def fold(self, event: Event) -> None:
        """Take one more event.

        Raises:
            RunError: it speaks of something that never was.
        """
        self._count_seconds(event)
        match event:
            case events.Started() | events.Resumed():
                self.limits = event.limits
            case BaselineScored():
                self.baselines[event.name] = event
            case events.BaselineDiagnosed():
                self._known(event.name in self.baselines, event, event.name)
                self.diagnosed[event.name] = event
            case events.StoresExplored():
                self.matters = event.matters
            case events.EarlierRead():
                self._not_scored(event, 0)
                self.proposals[0] = event.proposals
                self.lessons = event.lessons
            case CallReserved():
                if settled(event.reserved, FREE) != event.reserved:
                    raise RunError(f"events.jsonl: {event.id} reserves what no call costs")
                self.calls[event.id] = Call(event)
            case CallReplied() | CallLost():
                self._known(event.id in self.calls, event, f"call {event.id}")
                self.calls[event.id].outcome = event
            case Tried():
                self.tries.append(event)
            case events.Proposed():
                self._not_scored(event, event.round)
                self.proposals[event.round] = event.proposals
                self.seconds_proposing[event.round] = event.seconds
            case NothingProposed():
                self._not_scored(event, event.round)
                self.proposals[event.round] = ()
                self.seconds_proposing[event.round] = event.seconds
                self.failures[event.round] = event
            case events.Raced():
                count = len(self.proposals.get(event.round, ()))
                last = max(event.standings, default=-1)
                self._known(last < count, event, f"proposal {last + 1} of round {event.round}")
                self.races[event.round] = event
            case Scored():
                there = event.index < len(self.proposals.get(event.round, ()))
                self._known(there, event, f"proposal {event.index + 1} of round {event.round}")
                self.scored[event.round, event.index] = event
            case Selected():
                self.selections[event.round] = event
            case MeasuredAgain():
                self.measured_again = event
            case Opened():
                self.opened = event
            case Finalized():
                name = f"round {event.trial}"
                self._known(name in event.results.controllers, event, name)
                self.finalized = event
        self.last = event

    def _not_scored(self, event: Event, of: int) -> None:
        if any(number == of for number, _ in self.scored):
            raise RunError(
                f"events.jsonl: {events.name_of(event)} at {event.at} speaks of round"
                f" {of}, which was scored before"
            )

    @staticmethod
    def _known(known: bool, event: Event, what: str) -> None:
        if not known:
            raise RunError(
                f"events.jsonl: {events.name_of(event)} at {event.at} speaks of {what}, which the"
                " log doesn't have"
            )

    def _count_seconds(self, event: Event) -> None:
        last = 0.0 if self.last is None else self.last.clock
        # Opening the held-out stores may be a session of its own, and says so by its clock alone.
        if isinstance(event, events.Resumed) or event.clock < last:
            self._earlier_seconds += last

    @property
    def begun(self) -> bool:
        """Whether there was a session."""
        return self.limits is not None

    @property
    def seconds(self) -> float:
        """Wall clock of all sessions up to the last event."""
        return self._earlier_seconds + (0.0 if self.last is None else self.last.clock)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What was scored, in the order in which it was."""
        accepted = {name for selected in self.selections.values() for name in selected.accepted}
        return tuple(_trial(self, scored, accepted) for scored in self.scored.values())

    @property
    def best(self) -> Trial | None:
        """The trial that leads after the latest selection."""
        return self._best_after(math.inf)

    def _best_after(self, last: float) -> Trial | None:
        known = [number for number in self.selections if number <= last]
        if not known:
            return None
        name = self.selections[max(known)].best
        return next((trial for trial in self.trials if trial.name == name), None)

    @property
    def leading(self) -> str:
        """What leads, whether by chance, and what is level with it to the digits shown.

        "" where nothing leads.
        """
        best = self.best
        if best is None:
            return ""
        by = next(reversed(self.selections.values())).by
        scores = {trial.name: trial.score(by) for trial in (best, *self.eligible)}
        shown = {name: f"{score:.2f}" for name, score in scores.items() if score is not None}
        own = shown.pop(best.name, "")
        level = [name for name, score in shown.items() if score == own]
        words = f"round {best.name}{'' if best.accepted else ', not accepted,'} leads"
        if not level:
            return words
        others = ", ".join(level)
        return f"{words}, level with {'round' if len(level) == 1 else 'rounds'} {others}"

    @property
    def eligible(self) -> list[Trial]:
        """What may lead: it has a sweep, and breaks no rule."""
        return [trial for trial in self.trials if trial.points and not trial.errors]

    @property
    def history(self) -> History:
        """What happened so far."""
        return self.history_after(math.inf)

    def history_after(self, last: float) -> History:
        """What an explorer is shown that knows what came of the rounds up to `last`."""
        baselines = {name: event.points for name, event in self.baselines.items()}
        diagnoses = {
            name: Diagnosed(event.digest, event.traces)
            for name, event in self.diagnosed.items()
            if event.digest
        }
        matters = matters_text(self.matters) if self.matters else ""
        lessons = self.lessons or ""
        trials = tuple(trial for trial in self.trials if trial.round <= last)
        return History(baselines, trials, self._best_after(last), diagnoses, matters, lessons)

    @property
    def winner(self) -> Winner | None:
        """What fresh draws left of the best.

        None before a run is done, where there was nothing to choose, and where the best failed on
        them.
        """
        return None if self.measured_again is None else self.measured_again.winner

    @property
    def usage(self) -> Usage:
        """What all calls cost, or may have cost."""
        # Other threads may be making calls; a copy of the values is taken in one step.
        return sum((call.usage for call in list(self.calls.values())), FREE)

    @property
    def rounds(self) -> int:
        """Rounds of the explorer that were judged; round 0 is none."""
        return len(self.selections.keys() - {0})

    @property
    def evaluations(self) -> int:
        """Sweeps and tries so far, and what races cost in sweeps."""
        # Explorers at work on other rounds ask too; copies of the values are taken in one step.
        scored = sum(scored.counts for scored in list(self.scored.values()))
        scored += sum(raced.counts for raced in list(self.races.values()))
        return scored + sum(tried.counts for tried in self.tries)

    @property
    def why_nothing(self) -> str:
        """Why no round brought a proposal, the last reason; "" if one did, or none was asked."""
        asked = {number: found for number, found in self.proposals.items() if number > 0}
        if any(asked.values()) or not asked:
            return ""
        reasons = [failure.reason for failure in self.failures.values()]
        return reasons[-1] if reasons else "the explorer passed every round"

    def tried(self, number: int, program: str) -> Feedback | None:
        """What a try of a program, by its digest, in a round gave; None if there was none."""
        found = (t for t in self.tries if (t.round, t.program) == (number, program))
        return next((tried.feedback for tried in found), None)

    def cost(self, number: int) -> RoundCost:
        """What a round has cost."""
        calls = (c.usage for c in list(self.calls.values()) if c.reserved.round == number)
        scoring = sum(s.seconds for (of, _), s in self.scored.items() if of == number)
        scoring += self.races[number].seconds if number in self.races else 0.0
        return RoundCost(self.seconds_proposing.get(number, 0.0), scoring, sum(calls, FREE))

    def words(self, trial: Trial) -> list[str]:
        """What the selection said of a trial."""
        head = f"round {trial.name}: "
        selected = self.selections.get(trial.round)
        said = () if selected is None else selected.words
        return [words.removeprefix(head) for words in said if words.startswith(head)]

    @property
    def condition(self) -> str:
        """Where the run stands, in a word: empty, begun, or what its latest session ended with."""
        endings: dict[type[Event], str] = {
            events.Ended: "ended",
            events.Stopped: "stopped",
            events.Interrupted: "interrupted",
            Opened: "opened",
            Finalized: "finalized",
        }
        return "empty" if self.last is None else endings.get(type(self.last), "begun")


def _trial(state: RunState, scored: Scored, accepted: set[str]) -> Trial:
    trial = Trial(
        round=scored.round,
        index=scored.index,
        proposal=state.proposals[scored.round][scored.index],
        points=scored.points,
        area=scored.area,
        errors=scored.errors,
        remarks=scored.remarks,
        digest=scored.digest,
        accepted=False,
        traces=scored.traces,
    )
    return replace(trial, accepted=trial.name in accepted)
