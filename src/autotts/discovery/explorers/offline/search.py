"""The offline explorer: a search over compositions of mechanisms, with no model and no key.

Each round has two parts. First single settings, one Optuna study (seeded) for each of three
budgets: which mechanisms, with which numbers, are furthest above the baselines' frontier there? A
setting takes some milliseconds. Then compositions, that is schedules from a cheap setting through
a middle one to a dear one: the best of each, and small changes of the best compositions, measured
on few draws first and on more only while they are among the best of their stage (successive
halving).

Before it proposes, it takes away each mechanism of the winner in turn: what adds nothing is left
out, what the others add is what was learned.
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotts import programs, stores
from autotts.discovery.explorer import (
    FREE,
    History,
    Proposal,
    Record,
    SweepPoint,
    Trial,
    Turn,
    Usage,
)
from autotts.discovery.explorers import take_options
from autotts.discovery.explorers.offline.mechanisms import (
    BETAS,
    EVERYTHING,
    IDEAS,
    MECHANISMS,
    PARAMETERS,
    Composition,
    Values,
    clip,
    in_use,
    one_way,
    scale,
    source,
    through,
)
from autotts.errors import ProposalError, RunError, SpecError
from autotts.evaluation import Experiment
from autotts.evaluation.compare import AREA_RANGE
from autotts.evaluation.frontiers import (
    BUDGET_FRACTIONS,
    Points,
    accuracy_at_fractions,
    frontier_area,
    isotonic_violation,
)
from autotts.files import read_regular
from autotts.replay.in_process import InProcess
from autotts.replay.task import Task, cells_of
from autotts.text import counted

STAGES = ((4, 0.3), (12, 0.3), (36, 1.0))
"""Successive halving: draws of each stage, and the share of trials that goes on to the next."""

COARSE = (0.0, 0.25, 0.5, 0.75, 1.0)
FINE = tuple(round(0.1 * step, 1) for step in range(11))
_FAR = 4.0  # points of accuracy that a frontier costs per factor e it falls short of its reach
_FALLS = 20.0  # points of accuracy that it costs where all tokens fall away as beta grows
_WORTH = 0.05  # points of area that a mechanism must bring to be kept
_POOL = 6  # best compositions that changes start from
_SUBSETS = "subsets"
_SETTING_STAGES = ((6, 0.2), (18, 0.25), (60, 1.0))
_TARGETS = {0.5: 0.16, 0.0: 0.045, 1.0: 0.58}
"""Shares of SC@64's tokens at which single settings are sought, by the beta that they are for.

In this order, each from what was found before.
"""
_CROSSED = 3  # best settings of a target that are tried elsewhere, and combined
_SETTINGS = 4  # trials of single settings to one of a composition
_MOST_KEPT_BYTES = 2**20
_MORE_CANDIDATES = 4  # looked at beyond the proposals asked for, where the rules refuse the first
_AWAY = 3.0  # points of accuracy that a setting costs per factor e away from its target


@dataclass(frozen=True, slots=True)
class Score:
    """A composition on some draws.

    admitted: whether its curve keeps to the rules: how far it reaches, and tokens that don't fall.
    value: what the search maximises: area, less what it lacks in reach and against the baselines.
    """

    admitted: bool
    value: float
    area: float
    accuracy: np.ndarray
    draws: int


class Bench:
    """Measures compositions on the search stores: settings of one program, compiled once."""

    def __init__(self, turn: Turn) -> None:
        experiment = Experiment(
            draws=f"{_SUBSETS}:{_SETTING_STAGES[-1][0]}",
            seed=turn.seed,
            max_branches=turn.rules.ceiling,
        )
        self._driver = InProcess()
        self._tasks = experiment.tasks([stores.load(path) for path in turn.stores])
        self._first: dict[int, list[Task]] = {}
        everything = Composition(
            EVERYTHING, {n: (p.low, p.low, p.low) for n, p in PARAMETERS.items()}
        )
        text = source(everything)
        self._source = programs.Source("everything", "everything.py", text, True)
        self._kinds = programs.load_trusted(self._source).kinds
        self._reference = np.array(
            [float(t.pool.tokens[t.pool.exists].mean()) * t.ceiling for t in self._tasks]
        )
        self._rules = turn.rules
        names = [task.store.name for task in self._tasks]
        self._bar = _bar(turn.history, names, self._reference, BUDGET_FRACTIONS)
        self._shares = _shares(turn.history)
        self._along = _bar(turn.history, names, self._reference, self._shares)

    def score(self, composition: Composition, draws: int, betas: Sequence[float]) -> Score:
        """A composition's sweep on the first so many draws."""
        points = self._run([composition.parameters(beta) for beta in betas], draws)
        low, high = (share * self._reference for share in AREA_RANGE)
        area = float(100 * frontier_area(points, low, high).mean())
        at = 100 * accuracy_at_fractions(points, self._reference)
        shares = (points.tokens / self._reference[:, None]).mean(axis=0)
        # Aimed at a little inside the rules, for other draws give other means.
        short = math.log(max(1.0, shares.min() / (0.9 * self._rules.cheapest)))
        short += math.log(max(1.0, 1.05 * self._rules.dearest / shares.max()))
        falls = float(isotonic_violation(points.tokens.mean(axis=0)))
        behind = float(np.clip(self._bar - at, 0, None).sum())
        value = area - _FAR * short - _FALLS * falls - behind
        reaches = shares.min() < self._rules.cheapest and shares.max() > self._rules.dearest
        admitted = bool(reaches and falls < self._rules.isotonic_slack / 2)
        return Score(admitted, value, area, at, draws)

    def setting(self, composition: Composition, draws: int) -> tuple[float, float]:
        """A single setting: (points of accuracy above the baselines' frontier, share of tokens)."""
        points = self._run([composition.parameters(0.0)], draws)
        share = float(np.mean(points.tokens[:, 0] / self._reference))
        bar = np.interp(math.log(share), np.log(self._shares), self._along)
        return 100 * float(points.accuracy.mean()) - float(bar), share

    def _run(self, settings: Sequence[Mapping[str, float]], draws: int) -> Points:
        """Means of settings on the first so many draws: `[S, n]`, by store."""
        specs = [
            programs.Spec(
                "everything",
                self._source,
                programs.DEFAULT_BETA,
                {name: kind(values[name]) for name, kind in self._kinds.items()},
            )
            for values in settings
        ]
        if draws not in self._first:
            self._first[draws] = [task.first(draws) for task in self._tasks]
        tasks = self._first[draws]
        ran = self._driver.run(cells_of(tasks, specs))
        shape = (len(specs), len(tasks))
        tokens = np.reshape([one.tokens.mean() for one in ran], shape)
        accuracy = np.reshape([one.correct.mean() for one in ran], shape)
        return Points(tokens.T, accuracy.T)


def _bar(
    history: History,
    names: Sequence[str],
    reference: np.ndarray,
    shares: Sequence[float] | np.ndarray,
) -> np.ndarray:
    """The best baseline's accuracy in percent at shares of the reference's tokens."""

    def at(points: Sequence[SweepPoint]) -> np.ndarray:
        accuracy, tokens = (
            np.array([[point.stores[name][k] for point in points] for name in names])
            for k in (0, 1)
        )
        return accuracy_at_fractions(Points(tokens, accuracy), reference, shares)

    curves = [at(points) for points in history.baselines.values()]
    return np.max(curves, axis=0) if curves else np.zeros(len(shares))


def _shares(history: History) -> np.ndarray:
    """Shares of the reference's tokens, `[24]` ascending, that the baselines have points for.

    Below their cheapest point a frontier falls to nothing, and whatever spends less would seem to
    be far above it.
    """
    spent = [point.fraction for points in history.baselines.values() for point in points]
    return np.geomspace(1.1 * min(spent, default=0.02), 1.0, 24)


class Search:
    """One round's search."""

    def __init__(
        self, bench: Bench, seed: int, known: Sequence[Composition], go_on: Callable[[], bool]
    ) -> None:
        """
        Args:
            known: compositions to begin with.
            go_on: asked before every trial.
        """
        self._bench = bench
        self._rng = np.random.default_rng(seed)
        self._seed = seed
        self._go_on = go_on
        self._stages: list[list[float]] = [[] for _ in STAGES]
        self._known = list(known)
        self.settings = 0
        self.found: dict[str, tuple[Score, Composition]] = {}

    def run(self, trials: int) -> list[tuple[Score, Composition]]:
        """Search; returns the compositions measured, the best first.

        Args:
            trials: of five, four are single settings and one is a composition.
        """
        compositions = max(1, trials // (_SETTINGS + 1))
        first = [*self._known, *self._combined(trials - compositions)]
        for number in range(compositions):
            if not self._go_on():
                break
            if number < len(first):
                self._halve(first[number])
            else:
                composition = _changed([c for _, c in self.best()[:_POOL]], self._rng)
                if composition.stops:
                    self._halve(composition)
        return self.best()

    def best(self) -> list[tuple[Score, Composition]]:
        """What was measured: what would not be refused first, on most draws, by value."""
        return sorted(
            self.found.values(), key=lambda f: (not f[0].admitted, -f[0].draws, -f[0].value)
        )

    def _combined(self, trials: int) -> list[Composition]:
        """The best settings for beta 0, 1/2 and 1 with each other, the best of each first."""
        leaders: dict[float, list[Composition]] = {}
        for beta, target in _TARGETS.items():
            seeds = [c.alone(beta) for c in self._known]
            seeds += [setting for found in leaders.values() for setting in found]
            leaders[beta] = self._study(target, trials // len(_TARGETS), seeds)[:_CROSSED]
        ranks = sorted(itertools.product(range(_CROSSED), repeat=len(BETAS)), key=sum)
        return [
            through(*(leaders[beta][rank] for beta, rank in zip(BETAS, row, strict=True)))
            for row in ranks
            if all(rank < len(leaders[beta]) for beta, rank in zip(BETAS, row, strict=True))
        ]

    def _study(self, target: float, trials: int, seeds: Sequence[Composition]) -> list[Composition]:
        """Single settings near a share of SC@64's tokens, the best first."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=self._seed, n_startup_trials=20)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        found: list[tuple[int, float, Composition]] = []
        seen: list[list[float]] = [[] for _ in _SETTING_STAGES]
        for number in range(trials):
            if not self._go_on():
                break
            if number < len(seeds):
                study.enqueue_trial(_fixed(seeds[number]))
            elif number % 4 and found:
                changed = _changed([c for _, _, c in found[:_POOL]], self._rng)
                study.enqueue_trial(_fixed(changed))
            trial = study.ask()
            setting = _suggest(trial)
            value = -100.0
            if setting.stops:
                self.settings += 1
                draws, value = self._halve_setting(setting, target, seen)
                found.append((draws, value, setting))
                found.sort(key=lambda f: (-f[0], -f[1]))
            study.tell(trial, value)
        return [setting for _, _, setting in found] or list(seeds)

    def _halve_setting(
        self, setting: Composition, target: float, seen: list[list[float]]
    ) -> tuple[int, float]:
        """(draws, value) of a setting, on more draws while it is among the best."""
        for (draws, share), values in zip(_SETTING_STAGES, seen, strict=True):
            above, spent = self._bench.setting(setting, draws)
            value = above - _AWAY * abs(math.log(spent / target))
            values.append(value)
            if value < float(np.quantile(values, 1 - share)):
                break
        return draws, value

    def _halve(self, composition: Composition) -> None:
        """Measure on more and more draws while it is among the best of each stage."""
        for stage, (draws, share) in enumerate(STAGES):
            betas = COARSE if stage == 0 else FINE
            score = self._bench.score(composition, draws, betas)
            seen = self._stages[stage]
            seen.append(score.value)
            if score.value < float(np.quantile(seen, 1 - share)):
                break
        self.found[repr(sorted(composition.values.items()))] = (score, composition)


def _changed(pool: Sequence[Composition], rng: np.random.Generator) -> Composition:
    """A small change of one of a pool."""
    parent = pool[int(rng.integers(len(pool)))]
    used = set(parent.used)
    if rng.random() < 0.25:
        used ^= {MECHANISMS[int(rng.integers(len(MECHANISMS)))]}
    flat = all(len(set(values)) == 1 for values in parent.values.values())
    values = {}
    for name in PARAMETERS:
        if in_use(name, frozenset(used)):
            values[name] = parent.values.get(name) or _anywhere(name, rng)
    for name in rng.choice(sorted(values), size=min(len(values), 2), replace=False):
        values[name] = _moved(name, values[name], rng, everywhere=flat)
    changed = Composition(frozenset(used), values)
    return changed.alone(0.0) if flat else changed


def _anywhere(name: str, rng: np.random.Generator) -> Values:
    p = PARAMETERS[name]
    places = rng.random(len(BETAS))
    found = (
        p.low * (p.high / p.low) ** x if p.whole else p.low + (p.high - p.low) * x for x in places
    )
    return one_way(*(clip(name, value) for value in found))


def _moved(name: str, values: Values, rng: np.random.Generator, *, everywhere: bool) -> Values:
    """At one of the betas, or at all alike, a small step away."""
    step = rng.normal(0, 0.12) * scale(name)
    which = len(BETAS) if everywhere else int(rng.integers(len(BETAS) + 1))
    moved = []
    for k, value in enumerate(values):
        if which not in (k, len(BETAS)):
            moved.append(value)
        elif PARAMETERS[name].whole:
            stepped = clip(name, value * math.exp(step))
            moved.append(clip(name, value + np.sign(step)) if stepped == value else stepped)
        else:
            moved.append(clip(name, value + step))
    return one_way(*moved)


def _suggest(trial: Any) -> Composition:
    """A single setting from an Optuna trial."""
    used = frozenset(m for m in MECHANISMS if trial.suggest_categorical(m, (True, False)))
    values = {}
    for name, p in PARAMETERS.items():
        if in_use(name, used):
            if p.whole:
                value = trial.suggest_int(f"{name} =", int(p.low), int(p.high), log=True)
            else:
                value = clip(name, trial.suggest_float(f"{name} =", p.low, p.high))
            values[name] = (value, value, value)
    return Composition(used, values)


def _fixed(setting: Composition) -> dict[str, Any]:
    """A single setting as the parameters of an Optuna trial."""
    fixed: dict[str, Any] = {m: m in setting.used for m in MECHANISMS}
    for name, (value, *_) in setting.values.items():
        inside = clip(name, value)
        fixed[f"{name} ="] = int(inside) if PARAMETERS[name].whole else float(inside)
    return fixed


TEXTBOOK = (
    Composition(frozenset({"quota"}), {"start": (4, 16, 64), "first": (2, 5, 12)}),
    Composition(
        frozenset({"lead"}), {"start": (4, 16, 64), "quorum": (2, 2, 3), "lead": (0.5, 0.7, 1.5)}
    ),
    Composition(
        frozenset({"widen", "lead"}),
        {
            "start": (2, 2, 2),
            "ceiling": (4, 16, 64),
            "slots": (1, 2, 4),
            "widen": (1, 1, 1),
            "quorum": (2, 2, 3),
            "lead": (0.5, 1.0, 2.0),
        },
    ),
)
"""Where the first round begins: short-m@k, a race, adaptive self-consistency."""


class Offline:
    """Proposes what it has found best, better every round."""

    name = "offline"

    def __init__(self, trials: int, by_the_clock: bool) -> None:
        """
        Args:
            trials: compositions measured per round.
            by_the_clock: whether to keep within the share of the run's seconds that a round has;
                what is found then depends on the machine.
        """
        self._trials = trials
        self._by_the_clock = by_the_clock
        self.deterministic = not by_the_clock

    def settings(self) -> Record:
        return {
            "trials": self._trials,
            "by_the_clock": self._by_the_clock,
            "stages": [list(stage) for stage in STAGES],
            "mechanisms": dict(IDEAS),
        }

    def estimate(self, rounds: int, proposals: int) -> Usage:
        return FREE

    def propose(self, turn: Turn) -> list[Proposal]:
        known = [*_kept(turn), *TEXTBOOK]
        bench = Bench(turn)
        search = Search(bench, turn.seed, known, self._clock(turn))
        found = search.run(self._trials)
        turn.say(
            f"round {turn.round}: {counted(search.settings, 'setting')} and {len(search.found)}"
            " compositions measured"
        )
        told = {trial.proposal.source for trial in turn.history.trials}
        new = [(score, c) for score, c in found if source(c) not in told]
        if not new:
            raise ProposalError(
                f"none of {len(search.found)} compositions could be measured to the end; give more"
                " trials (--option trials=N) or more seconds"
            )
        chosen = _admissible(turn, bench, [c for _, c in _distinct(new)])
        _keep(turn, [c for c, _, _ in chosen] + [c for _, c in found[:_POOL]])
        return [_proposal(turn, *parts) for parts in chosen]

    def _clock(self, turn: Turn) -> Callable[[], bool]:
        """Whether there is time for one more trial in this round's share of the budget."""
        at_start = turn.remaining()
        if not self._by_the_clock or at_start.seconds is None:
            return lambda: True
        share = 0.6 * at_start.seconds / max(1, at_start.rounds or 1)

        def left() -> bool:
            now = turn.remaining().seconds
            return now is None or at_start.seconds is None or at_start.seconds - now < share

        return left


def _admissible(
    turn: Turn, bench: Bench, candidates: Sequence[Composition]
) -> list[tuple[Composition, Score, dict[str, float]]]:
    """The first candidates that the rules of the run would not refuse, pruned.

    Raises:
        ProposalError: none is admissible, and why.
    """
    chosen: list[tuple[Composition, Score, dict[str, float]]] = []
    rules = turn.rules
    why = (
        f"none reaches from at most {rules.cheapest:.0%} to at least {rules.dearest:.0%} of"
        " SC@64's tokens on these stores"
    )
    for candidate in candidates[: turn.proposals + _MORE_CANDIDATES]:
        composition, score, brings = _pruned(bench, candidate)
        refusals = _refusals(turn, source(composition)) if score.admitted else ()
        if score.admitted and not refusals:
            chosen.append((composition, score, brings))
        why = refusals[0] if refusals else why
        if len(chosen) == turn.proposals:
            break
    if not chosen:
        raise ProposalError(
            f"no composition keeps to the rules: {why}; give more trials (--option trials=N)"
        )
    return chosen


def _refusals(turn: Turn, text: str) -> tuple[str, ...]:
    """Why a program would be refused; by a try, where the budget has room for it and the round."""
    left = turn.remaining().evaluations
    affordable = left is None or left > turn.proposals
    return turn.try_program(text).errors if affordable else turn.check(text)


def _distinct(
    found: Sequence[tuple[Score, Composition]],
) -> list[tuple[Score, Composition]]:
    """The best of each set of mechanisms, of those measured on most draws."""
    first: dict[frozenset[str], tuple[Score, Composition]] = {}
    for score, composition in found:
        first.setdefault(composition.used, (score, composition))
    return list(first.values())


def _pruned(bench: Bench, composition: Composition) -> tuple[Composition, Score, dict[str, float]]:
    """Take away each mechanism in turn, and for good what adds nothing.

    Returns:
        The composition that is left, its score, and what each of its mechanisms brings in points.
    """
    draws = STAGES[-2][0]
    score = bench.score(composition, draws, FINE)
    brings: dict[str, float] = {}
    for mechanism in MECHANISMS:
        if mechanism not in composition.used:
            continue
        less = composition.without(mechanism)
        if not less.stops:
            continue
        other = bench.score(less, draws, FINE)
        if other.admitted >= score.admitted and score.value - other.value < _WORTH:
            composition, score = less, other
        else:
            brings[mechanism] = score.value - other.value
    return composition, bench.score(composition, STAGES[-1][0], FINE), brings


def _proposal(
    turn: Turn, composition: Composition, score: Score, brings: Mapping[str, float]
) -> Proposal:
    """A composition as a proposal in words."""
    names = [m for m in MECHANISMS if m in composition.used]
    idea = "; ".join(f"{name}: {IDEAS[name]}" for name in names)
    ranked = sorted(brings.items(), key=lambda item: -item[1])
    learned = "Taken away one at a time: " + ", ".join(
        f"{name} is worth {worth:.2f} points" for name, worth in ranked
    )
    earlier = [t for t in turn.history.trials if t.area is not None and not t.errors]
    if earlier:
        learned += ". " + _lesson(earlier)
    at = ", ".join(
        f"{a:.1f} % at {share:g}" for share, a in zip(BUDGET_FRACTIONS, score.accuracy, strict=True)
    )
    effect = f"Area {score.area:.2f} on {score.draws} other draws; {at} of SC@64's tokens."
    return Proposal(source(composition), idea, learned, effect)


def _lesson(earlier: Sequence[Trial]) -> str:
    """What the earlier rounds' own scores say."""
    best = max(earlier, key=lambda t: t.area or 0.0)
    last = earlier[-1]
    if best is last:
        return f"Round {best.name} leads with area {best.area:.2f}; this starts from it"
    return (
        f"Round {best.name} still leads with area {best.area:.2f}, round {last.name} had"
        f" {last.area:.2f}; this starts from both"
    )


def _keep(turn: Turn, compositions: Sequence[Composition]) -> None:
    """Leave the best for the next round."""
    records = [{"used": sorted(c.used), "values": dict(c.values)} for c in compositions]
    (turn.folder / "search.json").write_text(json.dumps(records, indent=1), encoding="utf-8")


def _kept(turn: Turn) -> list[Composition]:
    """The best of the round before, from its folder."""
    path = turn.folder.parent.parent / f"{turn.round - 1:04}" / "explorer" / "search.json"
    if not path.is_file():
        return []
    found = []
    try:
        for record in json.loads(read_regular(path, most_bytes=_MOST_KEPT_BYTES)):
            values, used = record["values"], frozenset(record["used"])
            ordered = {name: tuple(values[name]) for name in PARAMETERS if name in values}
            plain = all(type(x) in (int, float) for numbers in ordered.values() for x in numbers)
            if (
                not plain
                or not used <= set(MECHANISMS)
                or any(len(n) != 3 for n in ordered.values())
            ):
                raise ValueError("it is no composition")
            found.append(Composition(used, ordered))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RunError(f"{path}: {error}; delete it, and the search begins without it") from error
    return found


def make(options: Mapping[str, str]) -> Offline:
    """From the options `trials` (per round) and `clock` (yes or no)."""
    taken = take_options("offline", options, {"trials": "500", "clock": "no"})
    if not taken["trials"].isdecimal() or int(taken["trials"]) < 1:
        raise SpecError(f"explorer offline: trials={taken['trials']!r}: need a whole number")
    if taken["clock"] not in ("yes", "no"):
        raise SpecError(f"explorer offline: clock={taken['clock']!r}: need yes or no")
    return Offline(int(taken["trials"]), taken["clock"] == "yes")
