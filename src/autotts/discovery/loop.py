"""The loop: propose, check, replay over the sweep, diagnose, record, select; next round.

Every step ends with an event in the log, and begins by looking whether its event is there already.
So a run that died is resumed by running it again: what is in the log is not done twice.

Rounds may be proposed side by side (`RunSettings.parallel`). Their proposals come when they come;
they are scored and selected in the order of the rounds, and what a proposer knows does not depend
on how far others are. One at a time, nothing of this is seen.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autotts.discovery import rules as rule_checks
from autotts.discovery.admission import REFUSED, Admission
from autotts.discovery.digest import describe, describe_baseline
from autotts.discovery.earlier_runs import taken_over
from autotts.discovery.explorer import (
    Diagnosed,
    Explorer,
    Feedback,
    History,
    OutOfBudget,
    Proposal,
    Record,
    SweepPoint,
    Trial,
    Turn,
    Usage,
)
from autotts.discovery.feedback import feedback
from autotts.discovery.race import SWEEPS, race
from autotts.discovery.rules import Breach
from autotts.discovery.run import events
from autotts.discovery.run.budget import Ledger
from autotts.discovery.run.folder import OpenRun
from autotts.discovery.run.paid_calls import PaidCalls
from autotts.discovery.run.round_files import write_best, write_matters, write_round
from autotts.discovery.run.settings import RunLimits
from autotts.discovery.run.store_refs import open_stores
from autotts.discovery.scoring import Scorer
from autotts.discovery.selection import Candidate, choose, lead
from autotts.discovery.side_by_side import SideBySide
from autotts.discovery.sweeps import Reference, SweepFigures
from autotts.errors import ProposalError, RunError, ServerError
from autotts.evaluation.compare import Pick
from autotts.evaluation.settings import LOCAL
from autotts.evaluation.winner import Rerun, winner
from autotts.programs import Source
from autotts.text import counted

_TRY_AUDIT = 100
_NO_FIGURES: dict[str, Any] = {"points": (), "area": None, "fractions": {}}


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session of a run ended.

    best: the leading trial; None before one could be scored.
    stopped: why it stopped early, in words; "" if all rounds are done.
    """

    best: Trial | None
    stopped: str


class Discovery:
    """One session of a run."""

    def __init__(
        self,
        run: OpenRun,
        explorer: Explorer,
        say: Callable[[str], None],
        limits: RunLimits | None = None,
        on: str = LOCAL,
    ) -> None:
        """
        Args:
            limits: for this session and those after it; the run's own if not given.
            on: where programs are scored; see `Scorer`.

        Raises:
            RunError: the stores are not those that the run began with, or the run is finalized.
        """
        self.run = run
        self.state = run.state
        if self.state.opened is not None:
            raise RunError(
                f"{run.folder.path}: its held-out stores were opened at {self.state.opened.at};"
                " further rounds would be choosing by them: begin a new run"
            )
        settings = run.folder.settings
        self.settings = settings.with_limits(limits or self.state.limits or settings.limits)
        self._explorer = explorer
        self._say = say
        self._before = self.state.seconds
        self._ledger = Ledger(self.settings.limits, self.state, self._seconds)
        self._stores = open_stores(self.settings.stores)
        kept = run.folder.path / "evaluations"
        self._scorer = Scorer(self._stores, self.settings, kept, on=on)
        self._admission = Admission(
            settings.rules, settings.betas, self._stores, self._scorer.smoke
        )
        self._side_by_side = SideBySide()
        self._evaluating = threading.Lock()
        self._reference: Reference | None = None

    def _seconds(self) -> float:
        return self._before + self.run.log.clock

    @property
    def reference(self) -> Reference:
        if self._reference is None:
            self._reference = self._scorer.reference()
        return self._reference

    def go(self) -> SessionEnd:
        """Run rounds until they or the budget are spent; nothing if they are already.

        Raises:
            KeyboardInterrupt: with the signal's name; what is done so far is recorded.
        """
        if isinstance(self.state.last, events.Ended) and self._ledger.remaining.rounds == 0:
            done = counted(self.state.rounds, "round")
            self._say(
                f"this run has done {done}, as many as it was to do; --rounds says how many there"
                " are to be in all"
            )
            return SessionEnd(self.state.best, "")
        with self._scorer:
            self._say(self._scorer.check_sandbox())
            self._scorer.warm_up()
            begin = events.Resumed if self.state.begun else events.Started
            self.run.append(begin(self.settings.limits, self.settings.made_by))
            stopped = ""
            try:
                with self._side_by_side:
                    self._rounds()
            # What a server refuses it would refuse in every round that is left.
            except (OutOfBudget, ServerError) as out:
                stopped = str(out)
                self.run.append(events.Stopped(stopped))
            except KeyboardInterrupt as interrupt:
                self.run.append(events.Interrupted(str(interrupt) or "SIGINT"))
                raise
        return SessionEnd(self.state.best, stopped)

    def _rounds(self) -> None:
        self._baselines()
        if self.settings.earlier:
            self._take_over()
        number = 1
        rounds = self.settings.limits.rounds
        last = math.inf if rounds is None else rounds
        while number <= last:
            self._begin(number, last)
            self._round(number)
            number += 1
        self._measure_again(number - 1)
        self.run.append(events.Ended(number - 1))

    def _baselines(self) -> None:
        for name in self.settings.baselines:
            if name not in self.state.baselines:
                self._say(f"replaying {name} to compare with")
                figures = self.reference.figures(self._scorer.baseline(name))
                self.run.append(events.BaselineScored(name, *figures))
            if self.settings.traces and name not in self.state.diagnosed:
                told = describe_baseline(name, self._scorer)
                self.run.append(events.BaselineDiagnosed(name, told.digest, told.traces))
        if self.settings.traces and self.state.matters is None:
            self._say("exploring the search stores: what tells the right answer, where to go on")
            self.run.append(events.StoresExplored(self._scorer.explore()))
        write_matters(self.run.folder, self.state)

    def _take_over(self) -> None:
        """Judge the programs of earlier runs, as round 0."""
        if self.state.lessons is None:
            found = self.run.append(taken_over(self.settings))
            programs = counted(len(found.proposals), "program")
            runs = counted(len(self.settings.earlier), "earlier run")
            self._say(f"round 0: {programs} of {runs}")
        self._round(0)

    def _round(self, number: int) -> None:
        if number in self.state.selections:
            return
        if number not in self.state.proposals and not self._side_by_side.finish(number):
            self._propose(self._turn(number))
        if self.settings.race and number not in self.state.races:
            with self._evaluating:
                self._race(number)
        for index, proposal in enumerate(self.state.proposals[number]):
            if (number, index) not in self.state.scored:
                with self._evaluating:
                    self._score(number, index, proposal)
        with self._evaluating:
            self._select(number)
        write_round(self.run.folder, self.state, number)

    # Propose.

    def _begin(self, number: int, last: float) -> None:
        """See to it that this round and those that are proposed beside it are worked on."""
        parallel = self.settings.parallel
        if parallel == 1:
            return
        for beside in range(number, number + parallel):
            begun = beside in self.state.proposals or beside in self._side_by_side
            if beside <= last and not begun:
                self._side_by_side.begin(beside, partial(self._propose, self._turn(beside)))

    def _propose(self, turn: Turn) -> None:
        number = turn.round
        self._ledger.check_time()
        self._say(f"round {number}: {self._explorer.name} proposes")
        began = time.monotonic()
        try:
            proposals = self._explorer.propose(turn)
        except ServerError:
            raise
        except ProposalError as error:
            self.run.append(events.NothingProposed(number, str(error), _since(began)))
            self._say(f"round {number}: no proposal: {error}")
            return
        taken = tuple(proposals[: self.settings.proposals])
        self.run.append(events.Proposed(number, _since(began), taken))

    def _turn(self, number: int) -> Turn:
        unless_ended = self._side_by_side.unless_ended
        folder = self.run.folder.round(number) / "explorer"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{folder}: {error.strerror}") from error
        return Turn(
            round=number,
            proposals=self.settings.proposals,
            history=self._known(number),
            rules=self.settings.rules,
            seed=self.settings.seed * 10_007 + number,
            stores=tuple(Path(ref.path) for ref in self.settings.stores),
            folder=folder,
            traces=self.settings.traces,
            objective=self.settings.objective,
            server_model=self.settings.server_model,
            judge=self.settings.judge,
            family_weight=self.settings.family_weight,
            remaining=lambda: self._ledger.remaining,
            check=unless_ended(self._check),
            try_program=unless_ended(partial(self._try, number)),
            paid=unless_ended(PaidCalls(self.run, self._ledger, number)),
            say=self._say,
            ended=self._side_by_side.ended,
        )

    def _known(self, number: int) -> History:
        """What whoever proposes in a round knows, however far others have come."""
        return self.state.history_after(max(0, number - self.settings.parallel))

    def _check(self, text: str) -> tuple[str, ...]:
        with self._evaluating:
            return self._admission.admit(text).errors

    def _try(self, number: int, text: str) -> Feedback:
        source = self.run.folder.source(text, number)
        known = self.state.tried(number, source.digest)
        if known is not None:
            return known
        with self._evaluating:
            self._ledger.check_evaluation()
            admitted = self._admission.admit(text)
            if admitted.errors:
                feedback = Feedback(admitted.errors, (), (), None, self._baseline_areas())
            else:
                feedback = self._quick(source, admitted.breaches, self._known(number))
            counts = not admitted.errors
            return self.run.append(events.Tried(number, source.digest, counts, feedback)).feedback

    def _quick(self, source: Source, breaches: Sequence[Breach], known: History) -> Feedback:
        areas = self._baseline_areas()
        try:
            sweep = self._scorer.sweep(source, draws=self.settings.try_draws, audit=_TRY_AUDIT)
        except REFUSED as error:
            return Feedback((str(error),), (), (), None, areas)
        points = self.reference.points(sweep)
        return feedback(
            sweep,
            self._tried_before(known.best),
            self.reference,
            [*breaches, *self._breaches(source, points, known.trials)],
            baseline_areas=areas,
            draws=self.settings.try_draws,
            seed=self.settings.seed,
            by_question=self.settings.traces,
        )

    def _tried_before(self, best: Trial | None) -> Candidate:
        """What a try is held against: the best so far, on the draws of tries.

        Other draws of the same branches would put their noise into the difference.
        """
        draws = self.settings.try_draws
        return self._best_baseline(draws) if best is None else self._candidate(best, draws)

    def _baseline_areas(self) -> dict[str, float]:
        return {name: scored.area for name, scored in self.state.baselines.items()}

    def _breaches(
        self, source: Source, points: Sequence[SweepPoint], before: Sequence[Trial]
    ) -> list[Breach]:
        return [
            *rule_checks.check_curve(points, self.settings.rules),
            *rule_checks.check_novelty(source.text, points, [t for t in before if t.points]),
        ]

    # Score.

    def _race(self, number: int) -> None:
        """Find out on growing samples which of many proposals are worth a sweep."""
        sources = {
            index: self.run.folder.source(proposal.source, number, index)
            for index, proposal in enumerate(self.state.proposals[number])
            if not self._admission.admit(proposal.source).errors
        }
        if len(sources) <= SWEEPS or any(of == number for of, _ in self.state.scored):
            return
        self._ledger.check_evaluation()
        began = time.monotonic()
        indices = list(sources)
        found = race(
            len(indices),
            lambda c, picks: self._scorer.sample(sources[indices[c]], picks),
            self._scorer.episodes,
            self.reference,
            seed=self.settings.seed + number,
        )
        standings = dict(zip(indices, found.standings, strict=True))
        self.run.append(
            events.Raced(
                number, standings, found.sweeps, math.ceil(found.sweeps - 1e-9), _since(began)
            )
        )
        kept = [f"{index + 1}" for index, standing in standings.items() if not standing.dropped]
        self._say(
            f"round {number}: a race of {len(indices)} proposals, for the episodes of"
            f" {found.sweeps:.2f} sweeps; to be swept whole: {', '.join(kept) or 'none'}"
        )

    def _score(self, number: int, index: int, proposal: Proposal) -> None:
        source = self.run.folder.source(proposal.source, number, index)
        self._say(f"round {number}: replaying {source.name}")
        self._ledger.check_evaluation()
        began = time.monotonic()
        figures: SweepFigures | None = None
        said = Diagnosed("", "")
        notes: Record = {}
        admitted = self._admission.admit(proposal.source)
        errors, breaches = list(admitted.errors), list(admitted.breaches)
        if number in self.state.races and index in self.state.races[number].standings:
            dropped = self.state.races[number].standings[index].dropped
            errors += [dropped] if dropped else []
        if not errors:
            try:
                sweep = self._scorer.sweep(source)
                if self.settings.traces:
                    said = describe(source, sweep, self._incumbent().curve, self._scorer)
            except REFUSED as error:
                errors = [str(error)]
            else:
                figures = self.reference.figures(sweep)
                breaches += self._breaches(source, figures.points, self.state.trials)
                errors = [b.reason for b in breaches if b.fatal]
                notes = sweep.notes
        self.run.append(
            events.Scored(
                round=number,
                index=index,
                program=source.digest,
                counts=figures is not None,
                errors=tuple(errors),
                remarks=tuple(b.reason for b in breaches if not b.fatal),
                digest=said.digest,
                traces=said.traces,
                notes=notes,
                seconds=_since(began),
                **(figures._asdict() if figures else _NO_FIGURES),
            )
        )
        outcome = f"has area {figures.area:.2f}" if figures else ""
        self._say(f"{source.name} {f'is refused: {errors[0]}' if errors else outcome}")

    # Select.

    def _incumbent(self) -> Candidate:
        """What was accepted last; before that, the baseline with the largest area."""
        accepted = [trial for trial in self.state.trials if trial.accepted]
        return self._candidate(accepted[-1]) if accepted else self._best_baseline()

    def _best_baseline(self, draws: str | None = None) -> Candidate:
        """The baseline with the largest area; SC where there is none.

        draws: in place of the settings'.
        """
        areas = self._baseline_areas()
        if not areas:
            return Candidate("SC", self.reference.curve)
        name = max(areas, key=areas.__getitem__)
        return Candidate(name, self._scorer.baseline(name, draws=draws).curve)

    def _candidate(self, trial: Trial, draws: str | None = None) -> Candidate:
        sweep = self._scorer.sweep(self._program(trial), draws=draws)
        return Candidate(trial.name, sweep.curve)

    def _program(self, trial: Trial) -> Source:
        return self.run.folder.source(trial.proposal.source, trial.round, trial.index)

    def _select(self, number: int) -> None:
        """Judge the round's trials one after the other, and name the best so far."""
        eligible = self.state.eligible
        incumbent = self._incumbent()
        accepted: list[str] = []
        words: list[str] = []
        for trial in (t for t in eligible if t.round == number):
            candidate = self._candidate(trial)
            seed = self.settings.seed + number
            found = lead(candidate.curve, incumbent, self.reference, seed=seed)
            ahead = found.probability >= self.settings.accept
            verdict = "accepted" if ahead else f"{self.settings.accept:.0%} are asked for"
            words.append(f"round {trial.name}: {found.words}: {verdict}")
            if ahead:
                accepted.append(trial.name)
                incumbent = candidate
        choice = choose(eligible, self.settings.selection)
        before = self.state.best
        self.run.append(
            events.Selected(
                round=number,
                best=choice.name if choice else None,
                beta=choice.beta if choice else None,
                score=choice.score if choice else None,
                by=self.settings.selection,
                accepted=tuple(accepted),
                words=tuple(words),
            )
        )
        for line in words:
            self._say(line)
        if choice and (before is None or choice.name != before.name):
            write_best(self.run.folder, self.state)
        if choice:
            self._say(f"{self.state.leading}: {choice.score:.2f} ({self.settings.selection})")

    def _measure_again(self, rounds: int) -> None:
        """Run the best of several programs on fresh draws: what was chosen owes part to luck."""
        trials, known = self.state.eligible, self.state.measured_again
        if len(trials) < 2 or (known is not None and known.rounds == rounds):
            return
        sources = [self._program(trial) for trial in trials]
        by_name = {source.name: source for source in sources}

        def rerun(choice: Pick) -> Rerun:
            self._say(f"replaying {choice.controller} on fresh draws")
            sweep = self._scorer.sweep_afresh(by_name[choice.controller])
            return sweep.curve, sweep.how.words

        try:
            found = winner(
                [self._scorer.sweep(source).curve for source in sources],
                rerun,
                rng=np.random.default_rng(self.settings.seed),
                by=self.settings.selection,
                reference=self.reference.curve,
                span=self.reference.span,
                score=self.reference.score,
            )
        except REFUSED as error:
            self.run.append(events.MeasuredAgain(rounds, None, str(error)))
            self._say(f"the best program fails on fresh draws: {error}")
        else:
            self.run.append(events.MeasuredAgain(rounds, found, ""))

    @property
    def usage(self) -> Usage:
        """What model calls have cost so far."""
        return self.state.usage


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
