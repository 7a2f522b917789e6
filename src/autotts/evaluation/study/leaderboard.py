"""All controllers over all stores: who is ahead, how surely, on which families of models.

A controller's figure on a store is the area of its frontier: its mean accuracy over log budgets, at
shares of what SC@64 spends there. Stores are averaged within a family of models, and families with
equal weights: ten stores of one family say what one of another says.

Not every store serves every controller, and means over other stores can't be compared. So for each
set of stores that some controller is confined to there is a board of its own, with every controller
that all of these stores serve; the first has most stores.

Stores are gone through one after the other: of each, a line of facts is kept, and what its family's
stores come to is added up. So a leaderboard over a thousand stores holds one of them.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autotts import programs
from autotts.errors import SpecError
from autotts.evaluation import statistics
from autotts.evaluation.design import Design, design_of
from autotts.evaluation.families import family_of
from autotts.evaluation.frontiers import Points, frontier_area
from autotts.evaluation.objectives import SPANS, Objective, spent
from autotts.evaluation.result import made_by, store_record
from autotts.evaluation.run import at_betas, opened
from autotts.evaluation.serving import doubts, lacks
from autotts.evaluation.settings import Execution, Experiment
from autotts.evaluation.statistics import FloatArray, Resamples
from autotts.evaluation.study.comparison import BETAS, REFERENCE
from autotts.inference.speed import ServerSpeed
from autotts.programs import AnyController, Spec
from autotts.replay.driver import Driver, How, Ran
from autotts.replay.task import Task, cells_of
from autotts.stores import AnyStores, Store, length_slopes, load, named, read_manifest

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """A store of a leaderboard. Accuracies are in percent, slopes in points.

    slope: how much likelier a question's longest branch is to be right than its shortest, see
        `stores.length_slopes`, with its 95 % interval over questions.
    reference_tokens: per question, what SC@64 spends, in what the objective counts.
    """

    name: str
    family: str
    digest: str
    questions: int
    branches: int
    branch_tokens: float
    branch_accuracy: float
    slope: float
    slope_low: float
    slope_high: float
    reference_tokens: float


@dataclass(frozen=True, slots=True)
class Standing:
    """A controller on a board. Areas are in percent, differences of them in points.

    area: mean of the families, with its 95 % interval.
    behind: the area less that of the best, paired by question, with its interval; 0 for the best.
    probability: share of resamples of the questions in which it is the best.
    by_family: its area in each.
    regret: the most that it is behind the best of a family, and `worst` that family.
    cheapest, dearest: what its cheapest and its dearest setting spend, in percent of SC@64, mean of
        the families.
    accuracy: of its most accurate setting on each store, mean of the families, in percent.
    """

    controller: str
    area: float
    area_low: float
    area_high: float
    behind: float
    behind_low: float
    behind_high: float
    probability: float
    by_family: dict[str, float]
    regret: float
    worst: str
    cheapest: float
    dearest: float
    accuracy: float


@dataclass(slots=True)
class _Alike:
    """The stores of one family that serve the same controllers, added up.

    stores: their places in the order of all. questions: of the one with fewest.
    areas: by controller, `[1 + R]` shares; the sample itself first.
    ends: by controller, `[3]` cheapest and dearest setting as shares of SC@64, and the accuracy of
        the best.
    """

    family: str
    stores: list[int] = field(default_factory=list)
    questions: int = 0
    areas: dict[str, FloatArray] = field(default_factory=dict)
    ends: dict[str, FloatArray] = field(default_factory=dict)

    def add(
        self, controller: str, points: Points, budget: FloatArray, objective: Objective
    ) -> None:
        """Add a controller on one store, where SC@64 spends `budget` `[1 + R]`."""
        low, high = SPANS[objective]
        areas = frontier_area(points, budget * low, budget * high)
        shares = points.tokens[0] / budget[0]
        ends = np.array([shares.min(), shares.max(), points.accuracy[0].max()])
        self.areas[controller] = self.areas.get(controller, 0.0) + areas
        self.ends[controller] = self.ends.get(controller, 0.0) + ends


@dataclass(frozen=True, slots=True)
class Ranking:
    """Controllers that all of these stores serve, the largest area first."""

    stores: tuple[str, ...]
    families: tuple[str, ...]
    entries: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Stores that can't serve a controller, and why."""

    controller: str
    stores: tuple[str, ...]
    reason: str


def _bounded(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in fields
    }


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """What is known of all controllers.

    span: shares of what SC@64 spends between which frontiers are compared.
    made_by: what someone needs to make the same figures again.
    """

    objective: Objective
    span: tuple[float, float]
    boards: tuple[Ranking, ...]
    stores: tuple[StoreFacts, ...]
    left_out: tuple[LeftOut, ...]
    made_by: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """All of it, for JSON; None where there is no bound, as of one question."""
        record: dict[str, Any] = asdict(self, dict_factory=_bounded)
        return record


def leaderboard(
    stores: AnyStores,
    controllers: Sequence[AnyController] | None = None,
    *,
    objective: Objective = "tokens",
    server: ServerSpeed | None = None,
    betas: Sequence[float] = BETAS,
    experiment: Experiment | None = None,
    execution: Execution | None = None,
    driver: Driver | None = None,
    on_part: Progress = lambda part: None,
) -> Leaderboard:
    """Compare all controllers over all stores.

    Args:
        stores: loaded stores, their folders, or patterns such as `"stores/*/aime24"`.
        controllers: SPECs or paths of programs; all that come with autotts if not given.
        objective: what budgets are in.
        server: a server that was measured, for seconds and dollars.
        betas: swept, for SPECs that name none.
        experiment, execution, driver: as in `evaluate`.
        on_part: called with what is computed next, for progress.

    Raises:
        SpecError: two controllers or stores have one name, or no store serves a controller.
        AutottsError: a store, a program or an episode fails; the message says which.
    """
    if objective not in SPANS:
        raise SpecError(f"objective {objective!r}: need one of {', '.join(SPANS)}")
    experiment, execution = experiment or Experiment(), execution or Execution()
    places = named(stores)
    _require_names(places)
    specs = programs.as_specs(list(controllers or programs.built_in()))
    draws = _Draws(np.random.default_rng(experiment.seed))
    tally = _Tally(specs)
    with opened(driver, execution) as chosen:
        for one in places:
            store = one if isinstance(one, Store) else load(one)
            task, design = experiment.task(store), design_of(store, experiment.cluster)
            drawn = draws.of(store, design)

            def points(spec: Spec, task: Task = task, drawn: Resamples = drawn) -> Points:
                on_part(f"{spec.text} on {task.store.name}")
                cells = cells_of([task], at_betas(spec, betas))
                ran = chosen.run(cells, audit=execution.audit, keep_log=server is not None)
                tally.hows.update(one.how for one in ran)
                return _points(ran, [spent(one, objective, server) for one in ran], drawn)

            budget = points(programs.parse(REFERENCE)).tokens[:, -1]
            served, alike = tally.begin(store, design.units)
            for spec in served:
                alike.add(spec.text, points(spec), budget, objective)
            tally.facts.append(_facts(store, design, float(budget[0]), experiment.seed))
    made = made_by([], [spec.source for spec in specs], [*tally.hows], experiment, execution)
    billing = sorted({record["billing"] for record in tally.records})
    return Leaderboard(
        objective,
        SPANS[objective],
        tuple(tally.boards()),
        tuple(tally.facts),
        tuple(tally.left_out()),
        {**made, "stores": tally.records, "billing": billing},
    )


def _require_names(places: Sequence[Store | Path]) -> None:
    found = [one.manifest if isinstance(one, Store) else read_manifest(one) for one in places]
    names = [f"{manifest.model}/{manifest.dataset}" for manifest in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecError(f"{twice[0]}: two stores are called so; a leaderboard tells them apart")


class _Tally:
    """What is kept of the stores gone through.

    records: of each, what it is known by in results.
    """

    def __init__(self, specs: Sequence[Spec]) -> None:
        self._specs = specs
        self._refused: dict[str, dict[str, list[str]]] = {spec.text: {} for spec in specs}
        self._alike: dict[tuple[str, frozenset[str]], _Alike] = {}
        self.facts: list[StoreFacts] = []
        self.records: list[dict[str, Any]] = []
        self.hows: set[How] = set()

    def begin(self, store: Store, questions: int) -> tuple[list[Spec], _Alike]:
        """The controllers that the next store serves, and what their figures are added to.

        Args:
            questions: as in `statistics.bounds`.
        """
        served = []
        for spec in self._specs:
            if reason := lacks(store, spec) or doubts(store, spec):
                self._refused[spec.text].setdefault(reason, []).append(store.name)
            else:
                served.append(spec)
        family = family_of(store)
        kind = family, frozenset(spec.text for spec in served)
        alike = self._alike.setdefault(kind, _Alike(family))
        alike.questions = min(alike.questions or questions, questions)
        alike.stores.append(len(self.records))
        self.records.append(store_record(store))
        return served, alike

    def left_out(self) -> Iterator[LeftOut]:
        for text, reasons in self._refused.items():
            for why, names in reasons.items():
                yield LeftOut(text, tuple(names), why)

    def boards(self) -> list[Ranking]:
        """A board for each set of stores that some controller is confined to."""
        groups = list(self._alike.values())
        served = {
            text: frozenset(k for k, own in enumerate(groups) if text in own.areas)
            for text in self._refused
        }
        boards = []
        for among in set(served.values()) - {frozenset()}:
            members = [groups[k] for k in sorted(among)]
            places = sorted(place for own in members for place in own.stores)
            ranked = [text for text, own in served.items() if among <= own]
            stores = tuple(self.facts[place].name for place in places)
            boards.append(_board(ranked, members, stores))
        return sorted(boards, key=lambda board: (-len(board.stores), sorted(board.stores)))


class _Draws:
    """Resamples of the questions of a store; the models of a dataset share them.

    Only where they have the same questions and count them alike: a recording may lack some. Those
    of the last store are kept, and what is needed to draw the others again.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._begun: dict[tuple[str, bytes], Any] = {}
        self._last: tuple[tuple[str, bytes], Resamples] | None = None

    def of(self, store: Store, design: Design) -> Resamples:
        counted = [part.tolist() for part in (design.weights, design.clusters) if part is not None]
        asked = store.dataset, hashlib.sha256(repr((store.texts, counted)).encode()).digest()
        if self._last is not None and self._last[0] == asked:
            return self._last[1]
        rng = self._rng
        if asked in self._begun:
            rng = np.random.default_rng()
            rng.bit_generator.state = self._begun[asked]
        else:
            self._begun[asked] = rng.bit_generator.state
        drawn = statistics.question_resamples(design, rng=rng)
        self._last = asked, drawn
        return drawn


def _points(ran: Sequence[Ran], spends: Sequence[FloatArray], drawn: Resamples) -> Points:
    """`[1 + R, B]` what a sweep spends and gets right on one store, in each resample."""

    def means(values: Sequence[np.ndarray]) -> FloatArray:
        by_question = [
            one.task.by_question(value).mean(axis=1) for one, value in zip(ran, values, strict=True)
        ]
        return drawn.means(np.stack(by_question))

    return Points(means(spends), means([one.correct for one in ran]))


def _board(names: Sequence[str], alike: Sequence[_Alike], stores: tuple[str, ...]) -> Ranking:
    """Rank controllers by the mean of the families."""
    families = tuple(sorted({own.family for own in alike}))

    def families_of(values: Callable[[_Alike], dict[str, FloatArray]]) -> FloatArray:
        """`[C, F, ...]` the mean of each family's stores, in percent as it is published."""
        means = []
        for name in names:
            for family in families:
                members = [own for own in alike if own.family == family]
                count = sum(len(own.stores) for own in members)
                means.append(np.sum([values(own)[name] for own in members], axis=0) / count)
        return 100 * np.array(means).reshape(len(names), len(families), -1)

    by_family = families_of(lambda one: one.areas)
    ends = families_of(lambda one: one.ends).mean(axis=1)
    overall = by_family.mean(axis=1)
    order = np.argsort(-overall[:, 0], kind="stable")
    first = overall == overall.max(axis=0)
    probability = (first / first.sum(axis=0))[:, 1:].mean(axis=1)
    regret = by_family[:, :, 0].max(axis=0) - by_family[:, :, 0]
    questions = min(own.questions for own in alike)

    def bounds(replicates: FloatArray) -> tuple[float, float]:
        low, high = statistics.bounds(replicates[1:], questions=questions)
        return float(low), float(high)

    entries = []
    for c in order:
        low, high = bounds(overall[c])
        gap = overall[c] - overall[order[0]]
        gap_low, gap_high = bounds(gap)
        worst = int(np.argmax(regret[c]))
        entries.append(
            Standing(
                names[c], float(overall[c, 0]), max(low, 0.0), min(high, 100.0),
                float(gap[0]), gap_low, gap_high, float(probability[c]),
                dict(zip(families, by_family[c, :, 0].tolist(), strict=True)),
                float(regret[c, worst]), families[worst], *ends[c].tolist(),
            )
        )  # fmt: skip
    return Ranking(stores, families, tuple(entries))


def _facts(store: Store, design: Design, reference_tokens: float, seed: int) -> StoreFacts:
    slopes = length_slopes(store)
    known = ~np.isnan(slopes) & (design.shares > 0)
    mean = statistics.mean_interval(
        slopes[known, None] if known.any() else np.zeros((1, 1)),
        rng=np.random.default_rng(seed),
        design=design.only(known) if known.any() else None,
    )
    slope, there = statistics.in_percent(mean), store.pool.exists
    return StoreFacts(
        name=store.name,
        family=family_of(store),
        digest=store.digest,
        questions=len(store.texts),
        branches=int(store.pool.n_branches.max()),
        branch_tokens=float(store.pool.tokens[there].mean()),
        branch_accuracy=100 * float(store.correct[there].mean()),
        slope=slope.estimate,
        slope_low=slope.low,
        slope_high=slope.high,
        reference_tokens=reference_tokens,
    )
