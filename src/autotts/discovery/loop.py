"""The loop: propose, check, replay over the sweep, diagnose, record, select; next round.

Every step ends with an event in the log, and begins by looking whether its event is there already.
So a run that died is resumed by running it again: what is in the log is not done twice.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autotts import stores as stored
from autotts.discovery import rules as rule_checks
from autotts.discovery.digest import Diagnosis, describe
from autotts.discovery.explorer import (
    Explorer,
    Feedback,
    OutOfBudget,
    Proposal,
    Record,
    Trial,
    Turn,
    Usage,
)
from autotts.discovery.rules import Breach, Earlier
from autotts.discovery.run.budget import Ledger
from autotts.discovery.run.events import seconds_spent
from autotts.discovery.run.folder import OpenRun
from autotts.discovery.run.paid_calls import PaidCalls
from autotts.discovery.run.records import (
    best_name,
    feedback_of,
    feedback_record,
    history_of,
    point_records,
    proposal_record,
    proposals_of,
    trials_of,
)
from autotts.discovery.run.round_files import write_best, write_round
from autotts.discovery.run.settings import RunLimits, StoreRef
from autotts.discovery.scoring import Reference, Scorer, Sweep
from autotts.discovery.selection import Candidate, choose, lead
from autotts.errors import (
    ControllerError,
    ProgramError,
    ProposalError,
    RunError,
    SandboxError,
    StoreError,
)
from autotts.evaluation.compare import Choice
from autotts.evaluation.frontiers import Curve
from autotts.evaluation.winner import winner
from autotts.programs import Source
from autotts.programs.language import problems
from autotts.stores import Store

_TRY_AUDIT = 100
_REFUSED = (ProgramError, ControllerError, SandboxError)
"""What a bad program ends in: a result, not an error of the run."""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session of a run ended.

    best: the leading trial; None before one could be scored.
    stopped: why it stopped early, in words; "" if all rounds are done.
    """

    best: Trial | None
    stopped: str


def open_stores(refs: Sequence[StoreRef]) -> list[Store]:
    """Load a run's stores, which must be the ones it began with.

    Raises:
        RunError: one is gone, or has another content.
    """
    found = []
    for ref in refs:
        try:
            store = stored.load(ref.path)
        except StoreError as error:
            raise RunError(f"the run needs {ref.model}/{ref.dataset}: {error}") from error
        if store.digest != ref.digest:
            raise RunError(
                f"{ref.path} has digest {store.digest[:12]}..., the run began with"
                f" {ref.digest[:12]}...; results would not be comparable: put the old store back,"
                " or begin a new run"
            )
        found.append(store)
    return found


class Discovery:
    """One session of a run."""

    def __init__(
        self,
        run: OpenRun,
        explorer: Explorer,
        say: Callable[[str], None],
        limits: RunLimits | None = None,
    ) -> None:
        """
        Args:
            limits: for this session and those after it; the run's own if not given.

        Raises:
            RunError: the stores are not those that the run began with, or the run is finalized.
        """
        self.run = run
        settings = run.folder.settings
        for event in run.log.events:
            if event["event"] == "resumed":
                settings = settings.with_limits(RunLimits.model_validate(event["limits"]))
            elif event["event"] == "opened":
                raise RunError(
                    f"{run.folder.path}: its held-out stores were opened at {event['at']}; further"
                    " rounds would be choosing by them: begin a new run"
                )
        self.settings = settings if limits is None else settings.with_limits(limits)
        self._explorer = explorer
        self._say = say
        self._before = seconds_spent(run.log.events)
        self._ledger = Ledger(self.settings.limits, self._seconds)
        self._ledger.replay(run.log.events)
        self._stores = open_stores(self.settings.stores)
        self._scorer = Scorer(self._stores, self.settings, run.folder.path / "evaluations")
        self._reference: Reference | None = None

    def _seconds(self) -> float:
        return self._before + self.run.log.clock

    def _append(self, event: str, **fields: Any) -> Record:
        record = self.run.log.append(event, **fields)
        self._ledger.count(record)
        return record

    @property
    def reference(self) -> Reference:
        if self._reference is None:
            self._reference = self._scorer.reference()
        return self._reference

    def go(self) -> SessionEnd:
        """Run rounds until they or the budget are spent; nothing if they are already."""
        if any(e["event"] == "ended" for e in self.run.log.events[-1:]) and (
            self._ledger.remaining.rounds == 0
        ):
            return SessionEnd(history_of(self.run.log.events).best, "")
        with self._scorer:
            self._say(self._scorer.check_sandbox())
            begun = any(event["event"] == "started" for event in self.run.log.events)
            self._append(
                "resumed" if begun else "started",
                limits=self.settings.limits.model_dump(mode="json"),
                made_by=self.settings.made_by,
            )
            stopped = ""
            try:
                self._baselines()
                number = 1
                while self.settings.limits.rounds is None or number <= self.settings.limits.rounds:
                    self._round(number)
                    number += 1
                self._measure_again(number - 1)
                self._append("ended", rounds=number - 1)
            except OutOfBudget as out:
                stopped = str(out)
                self._append("stopped", reason=stopped)
        return SessionEnd(history_of(self.run.log.events).best, stopped)

    def _events(self, kind: str, number: int) -> list[Any]:
        return [e for e in self.run.log.events if e["event"] == kind and e["round"] == number]

    def _baselines(self) -> None:
        known = {e["name"] for e in self.run.log.events if e["event"] == "baseline"}
        for name in self.settings.baselines:
            if name not in known:
                self._say(f"replaying {name} to compare with")
                sweep = self._scorer.baseline(name)
                self._append("baseline", name=name, **self._figures(sweep))

    def _figures(self, sweep: Sweep) -> dict[str, Any]:
        return {
            "points": point_records(self.reference.points(sweep)),
            "area": self.reference.area(sweep.curve),
            "fractions": self.reference.at_fractions(sweep.curve),
        }

    def _round(self, number: int) -> None:
        if self._events("selected", number):
            return
        if number not in proposals_of(self.run.log.events):
            self._propose(number)
        for index, proposal in enumerate(proposals_of(self.run.log.events)[number]):
            if not any(e["index"] == index for e in self._events("scored", number)):
                self._score(number, index, proposal)
        self._select(number)
        write_round(self.run.folder, self.run.log.events, number)

    # Propose.

    def _propose(self, number: int) -> None:
        self._ledger.check_time()
        self._say(f"round {number}: {self._explorer.name} proposes")
        began = time.monotonic()
        try:
            proposals = self._explorer.propose(self._turn(number))
        except ProposalError as error:
            self._append(
                "failed", round=number, reason=str(error), seconds=_since(began), proposals=[]
            )
            self._say(f"round {number}: no proposal: {error}")
            return
        self._append(
            "proposed",
            round=number,
            seconds=_since(began),
            proposals=[proposal_record(p) for p in proposals[: self.settings.proposals]],
        )

    def _turn(self, number: int) -> Turn:
        folder = self.run.folder.round(number) / "explorer"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{folder}: {error.strerror}") from error
        return Turn(
            round=number,
            proposals=self.settings.proposals,
            history=history_of(self.run.log.events),
            rules=self.settings.rules,
            seed=self.settings.seed * 10_007 + number,
            stores=tuple(Path(ref.path) for ref in self.settings.stores),
            folder=folder,
            traces=self.settings.traces,
            remaining=lambda: self._ledger.remaining,
            check=lambda source: tuple(self._refusals(self._source(source, number, 0))[0]),
            try_program=lambda source: self._try(number, source),
            paid=PaidCalls(self.run.log, self._ledger, number),
            say=self._say,
        )

    def _source(self, text: str, number: int, index: int) -> Source:
        path = self.run.folder.round(number, index).relative_to(self.run.folder.path)
        name = f"round-{number}" if index == 0 else f"round-{number}.{index + 1}"
        return Source(name=name, path=str(path / "program.py"), text=text, trusted=False)

    def _refusals(self, source: Source) -> tuple[list[str], list[Breach]]:
        """Why a program can't be evaluated, before anything long is run."""
        size = len(source.text.encode(errors="surrogatepass"))
        if size > self.settings.rules.max_source_bytes:
            return [
                f"the program has {size} bytes; {self.settings.rules.max_source_bytes} are allowed"
            ], []
        found = [f"line {p.line}: {p.message}" for p in problems(source.text)]
        if found:
            return found, []
        try:
            parameters = self._scorer.smoke(source)
        except _REFUSED as error:
            return [str(error)], []
        breaches = rule_checks.check_schedule(parameters, self.settings.betas, self.settings.rules)
        return [b.reason for b in breaches if b.fatal], [b for b in breaches if not b.fatal]

    def _try(self, number: int, text: str) -> Feedback:
        source = self._source(text, number, 0)
        for event in self._events("tried", number):
            if event["program"] == source.digest:
                return feedback_of(event["feedback"])
        self._ledger.check_evaluation()
        areas = {
            str(e["name"]): float(e["area"])  # type: ignore[arg-type]
            for e in self.run.log.events
            if e["event"] == "baseline"
        }
        errors, breaches = self._refusals(source)
        feedback = Feedback(tuple(errors), (), (), None, areas)
        if not errors:
            feedback = self._quick(source, breaches, areas)
        self._append(
            "tried",
            round=number,
            program=source.digest,
            counts=not errors,
            feedback=feedback_record(feedback),
        )
        return feedback

    def _quick(self, source: Source, breaches: list[Breach], areas: dict[str, float]) -> Feedback:
        try:
            sweep = self._scorer.sweep(source, draws=self.settings.try_draws, audit=_TRY_AUDIT)
        except _REFUSED as error:
            return Feedback((str(error),), (), (), None, areas)
        points = self.reference.points(sweep)
        found = [*breaches, *self._breaches(source, points)]
        return Feedback(
            errors=tuple(b.reason for b in found if b.fatal),
            remarks=tuple(b.reason for b in found if not b.fatal),
            points=points,
            area=self.reference.area(sweep.curve),
            baseline_areas=areas,
        )

    def _breaches(self, source: Source, points: Any, name: str = "") -> list[Breach]:
        trials = trials_of(self.run.log.events)
        earlier = [
            Earlier(f"round {t.name}", t.proposal.source, t.points)
            for t in trials
            if t.points and t.name != name
        ]
        return [
            *rule_checks.check_curve(points, self.settings.rules),
            *rule_checks.check_novelty(source.text, points, earlier),
        ]

    # Score.

    def _score(self, number: int, index: int, proposal: Proposal) -> None:
        source = self._source(proposal.source, number, index)
        self._say(f"round {number}: replaying {source.name}")
        self._ledger.check_evaluation()
        began = time.monotonic()
        figures: dict[str, Any] = {"points": [], "area": None, "fractions": {}}
        said = Diagnosis("", "")
        notes: Record = {}
        errors, breaches = self._refusals(source)
        if not errors:
            try:
                sweep = self._scorer.sweep(source)
                if self.settings.traces:
                    said = describe(source, sweep, self._incumbent().curve, self._scorer)
            except _REFUSED as error:
                errors = [str(error)]
            else:
                figures = self._figures(sweep)
                breaches += self._breaches(source, self.reference.points(sweep))
                errors = [b.reason for b in breaches if b.fatal]
                notes = sweep.notes
        self._append(
            "scored",
            round=number,
            index=index,
            program=source.digest,
            counts=bool(figures["points"]),
            errors=errors,
            remarks=[b.reason for b in breaches if not b.fatal],
            digest=said.digest,
            traces=said.traces,
            notes=notes,
            seconds=_since(began),
            **figures,
        )
        outcome = f"is refused: {errors[0]}" if errors else f"has area {figures['area']:.2f}"
        self._say(f"{source.name} {outcome}")

    # Select.

    def _incumbent(self) -> Candidate:
        """What was accepted last; before that, the baseline with the largest area."""
        accepted = [t for t in trials_of(self.run.log.events) if t.accepted]
        if accepted:
            return self._candidate(accepted[-1])
        areas = {str(e["name"]): e["area"] for e in self.run.log.events if e["event"] == "baseline"}
        if not areas:
            return Candidate("SC", self.reference.curve)
        name = max(areas, key=lambda key: float(areas[key]))  # type: ignore[arg-type]
        return Candidate(name, self._scorer.baseline(name).curve)

    def _candidate(self, trial: Trial) -> Candidate:
        source = self._source(trial.proposal.source, trial.round, trial.index)
        return Candidate(trial.name, self._scorer.sweep(source).curve)

    def _eligible(self) -> list[Trial]:
        """What may lead: it has a sweep, and breaks no rule."""
        return [t for t in trials_of(self.run.log.events) if t.points and not t.errors]

    def _select(self, number: int) -> None:
        """Judge the round's trials one after the other, and name the best so far."""
        eligible = self._eligible()
        incumbent = self._incumbent()
        accepted: list[str] = []
        words: list[str] = []
        for trial in (t for t in eligible if t.round == number):
            candidate = self._candidate(trial)
            found = lead(candidate, incumbent, self.reference, seed=self.settings.seed + number)
            ahead = found.probability >= self.settings.accept
            verdict = "accepted" if ahead else f"{self.settings.accept:.0%} are asked for"
            words.append(f"round {trial.name}: {found.words}: {verdict}")
            if ahead:
                accepted.append(trial.name)
                incumbent = candidate
        choice = choose(eligible, self.settings.selection)
        before = best_name(self.run.log.events)
        self._append(
            "selected",
            round=number,
            best=choice.name if choice else None,
            beta=choice.beta if choice else None,
            score=choice.score if choice else None,
            by=self.settings.selection,
            accepted=accepted,
            words=words,
        )
        for line in words:
            self._say(line)
        if choice and choice.name != before:
            write_best(self.run.folder, self.run.log.events)
            self._say(f"round {choice.name} leads: {choice.score:.2f} ({self.settings.selection})")

    def _measure_again(self, rounds: int) -> None:
        """Run the best of several programs on fresh draws: what was chosen owes part to luck."""
        trials = self._eligible()
        known = [e["rounds"] for e in self.run.log.events if e["event"] == "winner"]
        if len(trials) < 2 or rounds in known:
            return
        sources = [self._source(t.proposal.source, t.round, t.index) for t in trials]
        by_name = {source.name: source for source in sources}

        def rerun(choice: Choice) -> Curve:
            self._say(f"replaying {choice.controller} on fresh draws")
            return self._scorer.sweep_afresh(by_name[choice.controller]).curve

        try:
            found = winner(
                [self._scorer.sweep(source).curve for source in sources],
                rerun,
                rng=np.random.default_rng(self.settings.seed),
                by=self.settings.selection,
                reference=self.reference.curve,
            )
        except _REFUSED as error:
            self._append("winner", rounds=rounds, winner=None, error=str(error))
            self._say(f"the best program fails on fresh draws: {error}")
        else:
            self._append("winner", rounds=rounds, winner=asdict(found), error="")

    @property
    def usage(self) -> Usage:
        """What model calls have cost so far."""
        return self._ledger.usage


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
