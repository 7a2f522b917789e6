"""Is live traffic still like the store that a controller was chosen on?

Live branches are cut short: the controller gives some up, and stops when the vote is settled. So
live figures are not held against those of the store, but against what the same controller at the
same beta shows when it is replayed on the store: cut short alike.

If the live questions are questions of the store (played again by `autotts calibrate --record`),
each is held against itself, and all that differs is the model. How many branches are right is then
a mean over pairs of a live and a replayed branch, not over requests: questions that are hard get
more branches, and tell more. Live branches alone must not be the weights: where the store happens
to have more right ones, a vote is settled sooner, and a live share was some half a standard error
too low under `asc`. Pairs treat both sides alike.

Else both sides are samples of questions, and what either leaves open is in the interval; then
questions that became harder look like a model that became worse.

Several figures are looked at, so each has an interval wide enough that all of them hold together in
96.5 % of comparisons (Bonferroni): figures are skewed, and this way false calls stay near 4 %. Most
of these are spent on the figure that says whether the model became worse, which changes least:
`right`, or without true answers `agreement`. Questions are what varies: requests that ask the same
go together.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from autotts import programs
from autotts.answers import FAILED
from autotts.errors import SpecError
from autotts.evaluation.design import worth
from autotts.evaluation.quantiles import student_quantile
from autotts.evaluation.result import made_by
from autotts.evaluation.run import opened
from autotts.evaluation.serving import require_served
from autotts.evaluation.settings import Execution, Experiment, explaining
from autotts.evaluation.shown import FIGURES, LOGS, FigureValues, figures_of
from autotts.evaluation.statistics import FloatArray
from autotts.programs import AnyController, Spec
from autotts.replay.driver import Driver
from autotts.replay.task import Cell
from autotts.stores import AnyStores, Store, gather, grade
from autotts.text import counted

_OF_THE_LEADING, _OF_THE_OTHERS = 0.025, 0.01
"""Comparisons in which the leading figure, and any other, is called though nothing changed."""
_POWER = 0.9
LEAST = 10
"""Questions on either side, below which nothing is said."""
DRAWS = "subsets:50"


@dataclass(frozen=True, slots=True)
class Shift:
    """One figure on both sides.

    figure: one of `FIGURES`.
    stored, live: means over questions; tokens and lengths are geometric means.
    change: live by stored, less 1, for tokens and lengths; live less stored, for shares.
    low, high: the interval of the change, which holds together with those of all other figures.
    noticed: a change that so many requests show as drifted in 90 % of comparisons.
    requests: of the live side that have the figure.
    """

    figure: str
    stored: float
    live: float
    change: float
    low: float
    high: float
    noticed: float
    requests: int

    @property
    def drifted(self) -> bool:
        return not self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True)
class Drift:
    """What is known of live traffic.

    same_questions: whether the live questions are the store's own.
    left_out: live requests that were not compared, and why.
    """

    controller: str
    beta: float
    store: str
    requests: int
    questions: int
    same_questions: bool
    shifts: tuple[Shift, ...]
    left_out: tuple[str, ...]
    made_by: dict[str, Any]

    @property
    def drifted(self) -> tuple[Shift, ...]:
        """The figures that changed beyond chance."""
        return tuple(one for one in self.shifts if one.drifted)

    def record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**asdict(self), "drifted": [one.figure for one in self.drifted]}


@explaining
def drift(
    store: AnyStores,
    live: AnyStores,
    *,
    controller: AnyController | None = None,
    beta: float | None = None,
    draws: str = DRAWS,
    execution: Execution | None = None,
    driver: Driver | None = None,
) -> Drift:
    """Hold live traffic against the store that its controller was chosen on.

    Args:
        store: one store, collected.
        live: one store of live episodes, a question each, as
            `autotts calibrate --record` make them.
        controller, beta: the traffic to compare; what most of it was served under by default. A
            SPEC or path is needed where that is not the name of a controller that comes along.
        draws: of the replay on the store.
        execution, driver: as in `evaluate`.

    Returns:
        Figures with intervals. Accuracy is among them where both stores have true answers, and
        where traffic that has none asks questions of the store, which has.

    Raises:
        SpecError: the two have other intervals, or there are too few questions.
    """
    execution = execution or Execution()
    (stored,), (lived,) = gather(store), gather(live)
    _require_alike(stored, lived)
    spec, chosen, left_out = _served(lived, controller, beta)
    require_served([stored, lived], [spec])
    asked = {text: q for q, text in enumerate(stored.texts) if text}
    own = np.array([asked.get(lived.texts[q], -1) for q in chosen.tolist()], np.int64)
    same = bool((own >= 0).all())
    group = own if same else _groups(lived, chosen)
    if same and stored.graded and not lived.graded:
        lived = _graded_as(stored, lived, chosen, own)
    experiment = _experiment(lived, draws)
    task = replace(experiment, draws="recorded").task(lived)
    task = task.some(np.stack([chosen, np.zeros_like(chosen)], axis=1))
    _require_enough(len(stored.texts), len(np.unique(group)))
    with opened(driver, execution) as runner:
        (before,) = runner.run([Cell(experiment.task(stored), spec)], keep_log=True)
        (now,) = runner.run([Cell(task, spec)], keep_log=True)
    replayed = figures_of(before), before.task.pairs[:, 0]
    return Drift(
        spec.text, spec.beta, stored.name, len(chosen), len(np.unique(group)), same,
        tuple(shifts(replayed, (figures_of(now), group), same=same)), tuple(left_out),
        made_by([stored, lived], [spec.source], [before.how, now.how], experiment, execution),
    )  # fmt: skip


def _experiment(live: Store, draws: str) -> Experiment:
    """The rules that held live."""
    said = live.manifest.sampling
    branches = said.get("max_branches", 64)
    if not isinstance(branches, int):
        raise SpecError(f"{live.name}: max_branches {branches!r} in its manifest is no number")
    return Experiment(draws=draws, max_branches=branches, failed=str(said.get("failed", "vote")))


def _served(
    live: Store, controller: AnyController | None, beta: float | None
) -> tuple[Spec, np.ndarray, list[str]]:
    """The program to replay, the live questions `[E]` it answered, and which are left out."""
    names = live.groups.get("controller")
    betas, stops = live.groups.get("beta"), live.groups.get("stop")
    every = np.arange(len(live.texts))
    if names is None or betas is None or stops is None:
        if controller is None or beta is None:
            raise SpecError(
                f"{live.name} does not say what its traffic was served under: name the controller"
                " and its beta"
            )
        (spec,) = programs.as_specs([controller])
        return spec.at(beta), every, []
    settings = Counter(zip(names, betas, strict=True))
    wanted = [(n, b) for n, b in settings if beta is None or float(b) == beta]
    if controller is not None and len({n for n, _ in wanted}) > 1:
        wanted = [(n, b) for n, b in wanted if n == str(controller)]
    if not wanted:
        told = ", ".join(f"{n} at {b} ({count})" for (n, b), count in settings.most_common(8))
        raise SpecError(f"{live.name} has no such traffic; it has {told}")
    most = max(wanted, key=settings.__getitem__)
    (spec,) = programs.as_specs([controller or most[0]])
    mine = np.array([pair == most for pair in zip(names, betas, strict=True)])
    whole = np.array([stop == "answered" for stop in stops])
    left_out = []
    if others := int((~mine).sum()):
        left_out.append(f"{counted(others, 'request')} served under another controller or beta")
    if cut := int((mine & ~whole).sum()):
        left_out.append(f"{counted(cut, 'request')} ended by a budget or a deadline")
    return spec.at(float(most[1])), every[mine & whole], left_out


def _graded_as(stored: Store, live: Store, chosen: np.ndarray, own: np.ndarray) -> Store:
    """Live traffic with the true answers of the store, whose questions it asked.

    Args:
        chosen: `[E]` live questions that are looked at; what others get is never read.
        own: `[E]` the store's question that each is.
    """
    accepted = stored.golds or [(int(gold),) for gold in stored.gold]
    golds: dict[str, str | Sequence[str]] = dict.fromkeys(live.ids or live.texts, FAILED)
    for q, s in zip(chosen.tolist(), own.tolist(), strict=True):
        name = live.ids[q] if live.ids else live.texts[q]
        golds[name] = [stored.answers[s][gold] for gold in accepted[s]]
    return grade(live, golds)


def _require_alike(stored: Store, lived: Store) -> None:
    if stored.pool.interval != lived.pool.interval:
        raise SpecError(
            f"{stored.name} has intervals of {stored.pool.interval} tokens, {lived.name} of"
            f" {lived.pool.interval}: a controller decides at other places there"
        )


def _require_enough(stored: int, lived: int) -> None:
    if min(stored, lived) < LEAST:
        raise SpecError(
            f"{stored} questions of the store and {lived} live ones: at least {LEAST} of each are"
            " needed"
        )


def _groups(live: Store, asked: np.ndarray) -> np.ndarray:
    """`[E]` a number for each request, the same for those that ask the same."""
    prompts = live.groups.get("prompt", live.texts)
    known: dict[str, int] = {}
    return np.array(
        [known.setdefault(prompts[q] or f"request {q}", len(known)) for q in asked.tolist()]
    )


Side = tuple[Mapping[str, FigureValues], np.ndarray]
"""Figures of E episodes, and int64 `[E]` a number for the question of each."""


def shifts(stored: Side, live: Side, *, same: bool) -> list[Shift]:
    """Every figure that both sides have, for enough questions.

    Args:
        same: whether the numbers of both sides mean the same questions, and each request is held
            against its own.
    """
    (figures, question), (shown, asked) = stored, live
    against = _against_own if same else _against_all
    found = []
    for name in [name for name in FIGURES if name in figures and name in shown]:
        before, now = figures[name], shown[name]
        if not same:
            before, now = _each_the_same(before), _each_the_same(now)
        replays = _by_question(before, question, 1 + int(max(question.max(), asked.max())))
        known = now.weights > 0
        if same:
            known &= replays.weights[asked] > 0
        there = int(np.count_nonzero(replays.weights))
        if len(np.unique(asked[known])) >= LEAST and there >= LEAST:
            change = against(replays, now.some(known), asked[known])
            found.append((name, change, int(known.sum())))
    # Not there: changes, say, under a controller that never asks a branch twice.
    names = [name for name, *_ in found]
    leading = "right" if "right" in names else "agreement"
    others = _OF_THE_OTHERS / max(1, len(names) - 1)
    return [
        _shift(*one, tail=(_OF_THE_LEADING if one[0] == leading else others) / 2) for one in found
    ]


@dataclass(frozen=True, slots=True)
class _Replays:
    """One figure of each question of the store, over its replays.

    means, spread: `[Q]` mean and variance; nan where no replay has the figure.
    weights: `[Q]` what a replay weighs on average.
    """

    means: FloatArray
    spread: FloatArray
    weights: FloatArray


@dataclass(frozen=True, slots=True)
class _Change:
    """Of a figure: its mean on the store, the change, its standard error, degrees of freedom."""

    before: float
    by: float
    error: float
    degrees: int


def _each_the_same(shown: FigureValues) -> FigureValues:
    return FigureValues(shown.values, (shown.weights > 0).astype(np.float64))


def _by_question(shown: FigureValues, question: np.ndarray, questions: int) -> _Replays:
    values = np.where(shown.weights > 0, shown.values, 0.0)
    sums = np.bincount(question, shown.weights, questions)
    with np.errstate(invalid="ignore"):
        means = np.bincount(question, shown.weights * values, questions) / sums
        squares = (values - means[question]) ** 2
        spread = np.bincount(question, shown.weights * squares, questions) / sums
    weights = sums / np.maximum(1, np.bincount(question, minlength=questions))
    return _Replays(means, spread, weights)


def _against_own(stored: _Replays, live: FigureValues, asked: np.ndarray) -> _Change:
    """Each request held against its own question."""
    there, pairs = stored.means[asked], live.weights * stored.weights[asked]
    change, error, degrees = _clustered(FigureValues(live.values - there, pairs), asked)
    chance = _by_chance(stored.spread[asked], pairs)
    return _Change(float(np.average(there, weights=pairs)), change, max(error, chance), degrees)


def _against_all(stored: _Replays, live: FigureValues, asked: np.ndarray) -> _Change:
    """The mean of requests held against that of the store's replays.

    What few episodes of a question have, counts little on either side.
    """
    has = np.flatnonzero(stored.weights)
    own = FigureValues(stored.means[has], stored.weights[has])
    before, own_error, own_degrees = _clustered(own, has)
    spread = np.average(stored.spread[has] + (own.values - before) ** 2, weights=own.weights)
    mean, error, degrees = _clustered(live, asked)
    error = max(error, _by_chance(np.full(len(asked), spread), live.weights))
    return _Change(
        before, mean - before, float(np.hypot(error, own_error)),
        _welch(error, degrees, own_error, own_degrees),
    )  # fmt: skip


def _shift(name: str, change: _Change, requests: int, *, tail: float) -> Shift:
    half = student_quantile(1 - tail, change.degrees) * change.error
    noticed = half + student_quantile(_POWER, change.degrees) * change.error
    low, high, by = change.by - half, change.by + half, change.by
    before, after = change.before, change.before + by
    if name in LOGS:
        low, high, by, noticed = (float(np.expm1(v)) for v in (low, high, by, noticed))
        before, after = float(np.exp(before)), float(np.exp(after))
    return Shift(name, before, after, by, low, high, noticed, requests)


def _clustered(shown: FigureValues, group: np.ndarray) -> tuple[float, float, int]:
    """Mean, its standard error and degrees of freedom; values of one group go together.

    Where a few groups weigh most, their values pull the mean to themselves, and are what there is
    to tell the error from (HC3 of MacKinnon and White 1985, and Kish's number of groups).
    """
    _, at = np.unique(group, return_inverse=True)
    mean = float(np.average(shown.values, weights=shown.weights))
    sums = np.bincount(at, shown.weights * (shown.values - mean))
    weights = np.bincount(at, shown.weights) / shown.weights.sum()
    error = float(np.sqrt(((sums / (1 - weights)) ** 2).sum()) / shown.weights.sum())
    return mean, error, max(1, round(worth(weights)) - 1)


def _by_chance(spread: FloatArray, weights: FloatArray) -> float:
    """The least standard error of a mean of live values: what replays differ among each other.

    What is rare may not occur live at all; then live values do not differ, and seem to be sure.

    Args:
        spread: `[E]` the variance of each value, as replays have it.
        weights: `[E]` of the mean.
    """
    return float(np.sqrt((weights**2 * spread).sum()) / weights.sum())


def _welch(a: float, degrees_a: int, b: float, degrees_b: int) -> int:
    """Degrees of freedom of a difference of means, by their standard errors (Welch 1947)."""
    top, bottom = (a**2 + b**2) ** 2, a**4 / degrees_a + b**4 / degrees_b
    return max(1, int(top / bottom)) if bottom > 0 else min(degrees_a, degrees_b)
