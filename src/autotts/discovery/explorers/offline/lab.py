"""Stages of learning: each replaces one plain rule with what traces teach, and measures both."""

import math
from dataclasses import dataclass, replace

from autotts.diagnosis import choice, value
from autotts.diagnosis.evidence import FEATURES, Evidence, evidence, meaning
from autotts.diagnosis.folds import TrainingPart
from autotts.diagnosis.matters import WIDTHS, patience
from autotts.discovery.explorer import Turn
from autotts.discovery.explorers.offline.bench import Bench, Make, price
from autotts.discovery.explorers.offline.writing import Learned, source
from autotts.evaluation.objectives import TIMED
from autotts.text import counted, percent

STAGES = ("width", "pace", "vote", "stop", "prune", "again")

_FROM_SCORES = ("width", "pace", "prune")
"""Stages that look at scores alone, and at no episode."""

_SURE = 0.975
"""How probable it must be that a choice is better on questions left out than the plain rule."""

_FOUNDED = 0.8
"""The same of a vote, whose features are beyond chance already when it is tried."""

_FAMILIES = 3
"""Families of models that it takes to choose a pace freely: one tells too little of others."""

_PACES = tuple(
    (cohort, margin, last, longer)
    for cohort in (0, 8, 16, 1)
    for margin in (3, 4, 6)
    for last in (0, 32)
    for longer in (1.0, 4 / 3)
)
"""Branches side by side (0: all), votes ahead at beta 0 and 1 (0: the same), times the patience."""

_LEAST = 3 / 64
"""Share of the branches with which a race is cheapest."""

_NEVER = 1_000_000
_LEADS = ((0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (1.0, 0.0), (1.0, 1.0), (2.0, 0.0))
"""At which lead a race stops that has read its branches to the end: at beta 0, and how much more
at beta 1. Prices are made from it."""
_PRUNINGS = ((1.0, 0.0, 1), (5 / 6, 0.0, 1), (2 / 3, 0.0, 1), (1.0, 0.3, 1), (4 / 3, 0.6, 1))
"""Times the patience, weight of the evidence, branches kept."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a stage came to.

    learned: the program that it leaves; `kept`: whether that is another than before.
    hypothesis: what it tried, and finding: what came of it, in sentences.
    area: of the program, on draws of the explorer's own.
    """

    learned: Learned
    kept: bool
    hypothesis: str
    finding: str
    area: float


class Lab:
    """One round's experiments."""

    def __init__(self, turn: Turn, draws: int) -> None:
        self._bench = Bench(turn)
        self._seed = turn.seed
        self._draws = draws
        self._knob = turn.rules.one_knob
        self._timed = turn.objective in TIMED
        self._patience = patience(self._bench.tasks)
        self._ceiling = min(task.ceiling for task in self._bench.tasks)
        several = self._bench.families >= _FAMILIES
        # No race is plainer than another, so among several families the best is taken, and what it
        # is worth elsewhere is said; fewer must be surer of it.
        self._pace_keep = 0.0 if several else _SURE
        self.stages = tuple(
            name
            for name in STAGES
            if (turn.traces or name in _FROM_SCORES)
            and (name != "width" or not self._knob)
            and (name != "pace" or several or not self._bench.probes)
        )

    @property
    def plain(self) -> Learned:
        """The race that learning begins with: of a twentieth of all branches, to all of them.

        Where time is spent and not tokens, who disagrees costs nothing: the first half of beta
        widens a race to its first finisher, the second waits for more votes.
        """
        least = max(1, round(_LEAST * self._ceiling))
        tokens = Learned(patience=self._rounds(1.0), width=(least, self._ceiling))
        if not self._timed or not self._knob:
            return tokens
        most = max(2, self._ceiling // 2)
        return replace(tokens, margin=1, last_margin=most, patience=self._rounds(2.0))

    def stage(self, name: str, before: Learned) -> Step:
        """Go through one of `stages` with what was learned before."""
        before = replace(before, probes=self._bench.probes)
        stages = {
            "width": self._width,
            "pace": self._pace,
            "vote": self._vote,
            "stop": self._stop,
            "prune": self._prune,
            "again": self._again,
        }
        return stages[name](before)

    def _width(self, before: Learned) -> Step:
        """Where beta need not set anything: the one width that is best."""
        fixed = [replace(before, width=(width, width)) for width in self._widths]
        best, _, _ = self._bench.best(fixed, before)
        words = f"No knob: {best.width[0]} branches at any beta, the best of {self._widths}."
        learned = replace(best, lessons=(*before.lessons, words))
        return Step(
            learned, True, _WIDTH, words, float(self._bench.area(self._bench.measure(best))[0])
        )

    def _pace(self, before: Learned) -> Step:
        paces = [
            replace(
                before,
                cohort=cohort,
                margin=margin,
                last_margin=last,
                patience=self._rounds(longer),
            )
            for cohort, margin, last, longer in _PACES
            if self._knob or not last
        ]
        found = [one for one in (before, *paces) if self._bench.admitted(one)] or [before]
        best, lead, _ = self._bench.best(found, before)
        side = f"{best.cohort or 'all'} branches side by side"
        side = "one branch after the other" if best.cohort == 1 else side
        ahead = f"{best.margin} to {best.last_margin}" if best.last_margin else f"{best.margin}"
        words = (
            f"The pace: of {len(found)} plain races the best on"
            f" {counted(self._bench.families, 'family')} of models runs {side}, stops at {ahead}"
            f" votes ahead and has a patience of {best.patience:g}; that is {lead:+.2f} points from"
            f" the race that all are compared with (margin {before.margin}, patience"
            f" {before.patience:g}, all at once), chosen among all."
        )
        lessons = (*before.lessons, words)

        def make(taught: TrainingPart) -> list[Learned]:
            return [before, *(replace(pace, lessons=lessons) for pace in paces)]

        return self._judged(before, make, _PACE, words, keep=self._pace_keep)

    def _vote(self, before: Learned) -> Step:
        seen = self._explore(before)
        found = choice.fit(seen, seed=self._seed, family=self._bench.family)
        lessons = (*before.lessons, vote_lesson(found))

        def make(taught: TrainingPart) -> list[Learned]:
            weights = _weights(found, taught.of(seen))
            return [replace(before, vote=weights, lessons=lessons)] if weights else []

        return self._judged(before, make, _VOTE, vote_lesson(found), keep=_FOUNDED)

    def _stop(self, before: Learned) -> Step:
        seen = self._explore(before)
        found = value.fit(seen, before.vote, seed=self._seed)
        lessons = (*before.lessons, stop_lesson(found))

        def make(taught: TrainingPart) -> list[Learned]:
            curve = value.curve(taught.of(seen), before.vote)
            if curve is None:
                return []
            return [
                stopping
                for first in self._first_widths(before)
                for stopping in self._prices(
                    replace(before, width=(first, before.width[1]), lessons=lessons), curve
                )
            ]

        return self._judged(before, make, _STOP, stop_lesson(found))

    def _prune(self, before: Learned) -> Step:
        def make(taught: TrainingPart) -> list[Learned]:
            return [
                replace(before, patience=self._rounds(longer), evidence=weight, keep=keep)
                for longer, weight, keep in _PRUNINGS
            ]

        return self._judged(before, make, _PRUNE, "")

    def _again(self, before: Learned) -> Step:
        seen = self._explore(before)
        found = choice.fit(seen, seed=self._seed, family=self._bench.family)
        lessons = (*before.lessons, f"Fitted again on states of its own. {vote_lesson(found)}")

        def make(taught: TrainingPart) -> list[Learned]:
            some = taught.of(seen)
            weights = _weights(found, some)
            if weights is None:
                return []
            again = replace(before, vote=weights, lessons=lessons)
            if not before.stop:
                return [again]
            curve = value.curve(some, weights)
            return self._prices(again, curve) if curve else []

        return self._judged(before, make, _AGAIN, vote_lesson(found))

    def _first_widths(self, before: Learned) -> list[int]:
        """Of a race at beta 0: as it is, and one branch fewer where that leaves two."""
        first = before.width[0]
        return [first, first - 1] if self._knob and first > 2 else [first]

    def _rounds(self, longer: float) -> float:
        """So many times the patience, in whole rounds."""
        return float(max(1, round(longer * self._patience)))

    def _explore(self, learned: Learned) -> Evidence:
        """Traces of races that nothing ends early, with the vote and pruning of a program."""
        ends: dict[str, float] = {"price": 0.0} if learned.stop else {"margin": _NEVER}
        settings = [{**ends, "width": width} for width in self._widths]
        return evidence(self._bench.play(source(learned), settings, self._draws))

    @property
    def _widths(self) -> list[int]:
        """Of races that tell something."""
        return sorted({min(width, self._ceiling) for width in WIDTHS})

    def _prices(self, learned: Learned, curve: tuple[float, float]) -> list[Learned]:
        """The program stopping by a value, with prices from the leads at which it is to stop."""
        base, slope = round(curve[0], 1), max(0.1, round(curve[1], 1))
        first, last = (width * self._bench.branch_tokens for width in learned.width)
        stopping = []
        for lead, more in (one for one in _LEADS if self._knob or not one[1]):
            low = price(math.exp(base - slope * lead), first)
            high = price(math.exp(base - slope * (lead + more)), last)
            stopping.append(replace(learned, stop=(base, slope), price=(low, min(low, high))))
        return stopping

    def _judged(
        self, before: Learned, make: Make, hypothesis: str, finding: str, keep: float = _SURE
    ) -> Step:
        verdict = self._bench.judge(before, make, keep=keep)
        kept = source(verdict.learned) != source(before)
        others = "questions and families" if self._bench.families > 1 else "questions"
        end = "kept" if kept else "the plain rule stays"
        words = (
            f"With its numbers from other {others} it is worth {verdict.lead:+.2f} points of"
            f" area, above 0 with probability {verdict.probability:.2f}: {end}."
        )
        if not kept and verdict.lead == 0:
            words = f"Learned from other {others}, it changes nothing: {end}."
        return Step(verdict.learned, kept, hypothesis, f"{finding} {words}".strip(), verdict.area)


_PACE = (
    "Who is right first differs by family of models: where short branches are right more often a"
    " race of all pays, elsewhere it wastes what runs side by side. Open branches in cohorts, and"
    " choose the pace that holds on all families."
)
_WIDTH = "No knob is asked for: one width, where accuracy over the budgets is best."
_VOTE = (
    "Which of the answers that branches finished on is the right one shows in more than their"
    " number: fit a conditional logit over what was seen of each answer, and vote by it."
)
_STOP = (
    "Tokens are best spent where they win most: estimate from the leader's lead what going on"
    " brings, and stop where a token brings less than a price, which beta sets."
)
_PRUNE = (
    "A branch that disagrees with a clear leader is worth less than one that disagrees with a"
    " doubtful one: give up sooner, by rounds or by the log odds against its answer."
)
_AGAIN = (
    "The states that this program meets are others than those that it was learned from: fit vote"
    " and value again on its own."
)


def _weights(found: choice.FittedVote | None, evidence: Evidence) -> dict[str, float] | None:
    """Weights of the features that were found, fitted to some questions.

    In the digits that folds agree on: a tenth, or whole numbers where they differ by more; of
    signals, whose units are anything, to a part of what they differ by.
    """
    fitted = choice.weigh(evidence, list(found.weights)) if found else None
    if found is None or fitted is None:
        return None
    if len(fitted) == 1:
        return {"votes": 1.0}
    return {name: round(w, _digits(name, found.spread[name])) for name, w in fitted.items()}


def _digits(feature: str, spread: float) -> int:
    """Decimals that a weight with such a spread over folds is worth; negative before the point."""
    digits = math.floor(-math.log10(max(spread, 1e-9) / 2.5))
    return digits if feature not in FEATURES else min(1, max(0, digits))


def vote_lesson(found: choice.FittedVote | None) -> str:
    """What a fitted vote says, in a sentence or two."""
    if found is None:
        return "Too few questions are ever contested to fit a vote."
    kept = ", ".join(
        f"`{gain.feature}` ({meaning(gain.feature)}; {gain.gain:+.1f}"
        f" [{gain.low:+.1f}, {gain.high:+.1f}] in 0.01 log likelihood)"
        for gain in found.gains
        if gain.kept and gain.feature in found.weights
    )
    others = ", ".join(f"`{gain.feature}`" for gain in found.gains if not gain.kept)
    if not kept:
        return f"Beside the number of votes nothing tells which answer is right ({others})."
    return (
        f"The vote: on {found.questions} contested questions, each judged by a fit to others, it"
        f" is right in {percent(found.right)} % of votes, plain voting in {percent(found.plain)}."
        f" What earns it: {kept}. Not above chance: {others}."
    )


def stop_lesson(found: value.Value | None) -> str:
    """What going on brings, in a sentence or two."""
    if found is None:
        return "No episode ever goes on, so there is no stop to fit."
    rows = "; ".join(
        f"lead {row.between}: {row.gain:+.1f} [{row.gain_low:+.1f}, {row.gain_high:+.1f}]"
        for row in found.states
    )
    return (
        f"The stop: what twice the tokens win, in points of right answers, by the leader's lead in"
        f" log odds: {rows}. It falls by a factor e for each {1 / found.slope:.1f} of lead (slope"
        f" {found.slope:.2f}, standard error {found.spread:.2f})."
    )
