"""All controllers over all stores: who is ahead, how surely, on which families of models.

A controller's figure on a store is the area of its frontier: its mean accuracy over log budgets, at
shares of what SC@64 spends there. Stores are averaged within a family of models, and families with
equal weights: ten stores of one family say what one of another says.

Not every store serves every controller, and means over other stores can't be compared. So for each
set of stores that some controller is confined to there is a board of its own, with every controller
that all of these stores serve; the first has most stores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from autotts import programs
from autotts.errors import SpecError
from autotts.evaluation import statistics
from autotts.evaluation.families import family_of
from autotts.evaluation.frontiers import Points, frontier_area
from autotts.evaluation.objectives import SPANS, Objective, spent
from autotts.evaluation.result import made_by
from autotts.evaluation.run import at_betas, opened
from autotts.evaluation.serving import doubts, lacks
from autotts.evaluation.settings import Execution, Experiment
from autotts.evaluation.statistics import FloatArray
from autotts.evaluation.study.comparison import BETAS, REFERENCE
from autotts.inference.speed import ServerSpeed
from autotts.programs import AnyController, Spec
from autotts.replay.driver import Driver, How, Ran
from autotts.replay.task import cells_of
from autotts.stores import AnyStores, Store, StoreKey, gather, length_slopes

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


@dataclass(frozen=True, slots=True)
class _OnStore:
    """A controller on one store.

    areas: `[1 + R]` in percent; the sample itself first.
    ends: `[3]` cheapest and dearest setting in percent of SC@64, and the accuracy of the best.
    """

    areas: FloatArray
    ends: FloatArray


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
        """All of it, for JSON."""
        return asdict(self)


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
    loaded = gather(stores)
    names = [store.name for store in loaded]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecError(f"{twice[0]}: two stores are called so; a leaderboard tells them apart")
    specs = programs.as_specs(list(controllers or programs.built_in()))
    weights = _weights(loaded, np.random.default_rng(experiment.seed))
    budgets: dict[StoreKey, FloatArray] = {}
    found: dict[str, dict[StoreKey, _OnStore]] = {}
    left_out: list[LeftOut] = []
    hows: list[How] = []
    with opened(driver, execution) as chosen:

        def points(spec: Spec, store: Store) -> Points:
            on_part(f"{spec.text} on {store.name}")
            cells = cells_of([experiment.task(store)], at_betas(spec, betas))
            ran = chosen.run(cells, audit=execution.audit, keep_log=server is not None)
            hows.extend(one.how for one in ran)
            spends = [spent(one, objective, server) for one in ran]
            return _points(ran, spends, weights[store.key])

        for store in loaded:
            budgets[store.key] = points(programs.parse(REFERENCE), store).tokens[:, -1]
        for spec in specs:
            own = found.setdefault(spec.text, {})
            refused: dict[str, list[str]] = {}
            for store in loaded:
                reason = lacks(store, spec) or doubts(store, spec)
                if reason:
                    refused.setdefault(reason, []).append(store.name)
                    continue
                own[store.key] = _on_store(
                    points(spec, store), budgets[store.key], SPANS[objective]
                )
            left_out += [LeftOut(spec.text, tuple(n), why) for why, n in refused.items()]
    return Leaderboard(
        objective,
        SPANS[objective],
        tuple(_boards(found, loaded)),
        tuple(_facts(store, float(budgets[store.key][0]), experiment.seed) for store in loaded),
        tuple(left_out),
        made_by(loaded, [spec.source for spec in specs], hows, experiment, execution),
    )


def _weights(stores: Sequence[Store], rng: np.random.Generator) -> dict[StoreKey, FloatArray]:
    """By store, `[1 + R, Q]` weights of its questions; the models of a dataset share them.

    Only where they have the same questions: a recording may lack some.
    """
    known: dict[tuple[str, tuple[str, ...]], FloatArray] = {}
    for store in stores:
        asked = store.dataset, store.texts
        if asked not in known:
            known[asked] = statistics.question_weights(len(store.texts), rng=rng)
    return {store.key: known[store.dataset, store.texts] for store in stores}


def _points(ran: Sequence[Ran], spends: Sequence[FloatArray], weights: FloatArray) -> Points:
    """`[1 + R, B]` what a sweep spends and gets right on one store, in each resample."""

    def means(values: Sequence[np.ndarray]) -> FloatArray:
        by_question = [
            one.task.by_question(value).mean(axis=1) for one, value in zip(ran, values, strict=True)
        ]
        # Not `@`: BLAS threads cost more than so small a product.
        sums: FloatArray = np.einsum("rq,bq->rb", weights, np.stack(by_question))
        return sums

    return Points(means(spends), means([one.correct for one in ran]))


def _on_store(points: Points, budget: FloatArray, span: tuple[float, float]) -> _OnStore:
    shares = 100 * points.tokens[0] / budget[0]
    return _OnStore(
        100 * frontier_area(points, budget * span[0], budget * span[1]),
        np.array([shares.min(), shares.max(), 100 * points.accuracy[0].max()]),
    )


def _boards(
    found: Mapping[str, Mapping[StoreKey, _OnStore]], stores: Sequence[Store]
) -> list[Ranking]:
    """A board for each set of stores that some controller is confined to."""
    confined = {frozenset(own) for own in found.values() if own}
    sets = sorted(confined, key=lambda keys: (-len(keys), sorted(keys)))
    return [
        _board(
            {name: own for name, own in found.items() if served <= own.keys()},
            [store for store in stores if store.key in served],
        )
        for served in sets
    ]


def _board(found: Mapping[str, Mapping[StoreKey, _OnStore]], stores: Sequence[Store]) -> Ranking:
    """Rank controllers by the mean of the families."""
    members: dict[str, list[StoreKey]] = {}
    for store in stores:
        members.setdefault(family_of(store), []).append(store.key)
    families, names = tuple(sorted(members)), tuple(found)

    def families_of(values: Callable[[_OnStore], FloatArray]) -> FloatArray:
        """`[C, F, ...]` the mean of each family's stores."""
        return np.array(
            [
                [np.mean([values(own[key]) for key in members[f]], axis=0) for f in families]
                for own in found.values()
            ]
        )

    by_family = families_of(lambda one: one.areas)
    ends = families_of(lambda one: one.ends).mean(axis=1)
    overall = by_family.mean(axis=1)
    order = np.argsort(-overall[:, 0], kind="stable")
    first = overall == overall.max(axis=0)
    probability = (first / first.sum(axis=0))[:, 1:].mean(axis=1)
    regret = by_family[:, :, 0].max(axis=0) - by_family[:, :, 0]
    questions = min(len(store.texts) for store in stores)

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
    return Ranking(tuple(store.name for store in stores), families, tuple(entries))


def _facts(store: Store, reference_tokens: float, seed: int) -> StoreFacts:
    slopes = length_slopes(store)
    known = slopes[~np.isnan(slopes)]
    slope = statistics.mean_interval(
        known[:, None] if len(known) else np.zeros((1, 1)), rng=np.random.default_rng(seed)
    )
    there = store.pool.exists
    return StoreFacts(
        name=store.name,
        family=family_of(store),
        digest=store.digest,
        questions=len(store.texts),
        branches=int(store.pool.n_branches.max()),
        branch_tokens=float(store.pool.tokens[there].mean()),
        branch_accuracy=100 * float(store.correct[there].mean()),
        slope=100 * slope.estimate,
        slope_low=100 * slope.low,
        slope_high=100 * slope.high,
        reference_tokens=reference_tokens,
    )
