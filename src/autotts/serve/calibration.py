"""Does a program do live what its store says it would?

What to expect is what replay says: branches dealt without replacement, which is right on average
whatever the pool. How far off it may be has two parts: the store is a sample, of each question it
holds some branches and live ones are new; and only so many episodes are played. Both are had from
many worlds. In each a question's branches are drawn anew from those recorded, with replacement,
and the episodes to be played are dealt from that world. The spread of the worlds, around what is
expected, is the interval. (The mean of the worlds itself would be too low: a vote over branches
that were drawn twice is more often wrong.)

Several figures are looked at, of several controllers. Of 15 that are each in their own interval
in 95 of 100 runs, one or another is outside in about half of the runs. So the intervals are wide
enough that all figures are inside in 95 % of the worlds: each is as many of its standard deviations
wide as the figure that strays most needs. Worlds are the same for all controllers, so what their
figures have in common is counted once.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import JsonValue

from autotts.answers import FAILED
from autotts.collect.asking import prompt_of, reading_of
from autotts.collect.plan import Plan
from autotts.collect.upkeep import item_of
from autotts.evaluation.settings import Experiment
from autotts.inference.branch import Decoding, ServedBranch
from autotts.inference.server import Server
from autotts.live import (
    GrowingPool,
    Played,
    Reading,
    ServedTrajectories,
    Stop,
    Suspend,
    play,
    recording_of,
    served_under,
)
from autotts.programs import Spec
from autotts.replay.driver import Driver, Ran
from autotts.replay.task import Cell, Task, all_pairs
from autotts.stores import Recording, Store, build

WORLDS = 400
_LEVEL = 0.95
_TAILS = (0.025, 0.975)
_COLUMNS: dict[str, Callable[[Ran], np.ndarray]] = {
    "accuracy": lambda ran: ran.correct,
    "tokens": lambda ran: ran.tokens,
    "rounds": lambda ran: ran.episodes.column("rounds"),
}
FIGURES = tuple(_COLUMNS)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a figure should be, and what it was.

    figure: one of `FIGURES`, of an episode.
    low, high: in 95 % of runs all figures are inside theirs.
    low_alone, high_alone: the 95 % interval of this figure, if nobody looked at others.
    """

    figure: str
    expected: float
    low: float
    high: float
    low_alone: float
    high_alone: float
    live: float

    @property
    def holds(self) -> bool:
        return self.low <= self.live <= self.high

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "holds": self.holds}


@dataclass(frozen=True, slots=True, eq=False)
class Lived:
    """What was played.

    accuracy, tokens, rounds: int64 `[Q, R]`: whether right, tokens, rounds.
    recordings: by (question, repetition), the branches of each episode.
    """

    accuracy: np.ndarray
    tokens: np.ndarray
    rounds: np.ndarray
    recordings: dict[tuple[int, int], Recording] = field(default_factory=dict)

    def store(self, like: Store, spec: Spec, experiment: Experiment) -> Store:
        """The episodes as a store, a question each, to be dealt in the order of the recording.

        Args:
            like: the store whose questions they are of.
            spec, experiment: what was played, and under which rules.
        """
        groups = served_under(spec.text, spec.beta, Stop.ANSWERED)
        rules: dict[str, JsonValue] = {
            "failed": experiment.failed,
            "max_branches": experiment.max_branches,
        }
        return build(
            [replace(self.recordings[at], groups=groups) for at in sorted(self.recordings)],
            model=like.model,
            dataset=f"{like.dataset}-live",
            interval_tokens=like.pool.interval,
            billing="exact",
            failed_answer=FAILED,
            sampling={**like.manifest.sampling, **rules},
            source=f"autotts calibrate {spec.text} --beta {spec.beta:g}",
        )


class Questions:
    """A store's questions, asked live as the store's own branches were."""

    def __init__(self, store: Store, server: Server, plan: Plan, experiment: Experiment) -> None:
        self._store, self._server, self._plan = store, server, plan
        self._experiment = experiment
        self._reading: Reading | None = None

    async def play(
        self,
        suspend: Suspend,
        repetitions: int,
        *,
        at_once: int,
        on_played: Callable[[], None] = lambda: None,
    ) -> Lived:
        """Play every question live, some times.

        Args:
            at_once: episodes at a time.

        Raises:
            ServerError: the server can't go on.
            ControllerError: the program failed.
        """
        self._reading = await reading_of(self._plan, self._server)
        questions = len(self._store.gold)
        zeros = np.zeros((questions, repetitions), np.int64)
        lived = Lived(zeros, zeros.copy(), zeros.copy())
        room = asyncio.Semaphore(at_once)

        async def one(q: int, r: int) -> None:
            async with room:
                right, played, recording = await self._play_one(suspend, q, r)
            lived.accuracy[q, r] = right
            lived.recordings[q, r] = recording
            lived.tokens[q, r], lived.rounds[q, r] = played["tokens"], played["rounds"]
            on_played()

        try:
            async with asyncio.TaskGroup() as group:
                for q in range(questions):
                    for r in range(repetitions):
                        group.create_task(one(q, r))
        except* Exception as errors:
            raise errors.exceptions[0] from None
        return lived

    async def _play_one(self, suspend: Suspend, q: int, r: int) -> tuple[bool, Played, Recording]:
        experiment, plan = self._experiment, self._plan
        assert self._reading is not None
        pool = GrowingPool(
            branches=min(experiment.max_branches, int(self._store.pool.n_branches[q])),
            intervals=plan.max_tokens // plan.interval,
            interval=plan.interval,
            budget=experiment.budget,
            probe_tokens=experiment.probe_tokens,
            abstain=experiment.failed == "abstain",
            failed=FAILED,
            probed=self._reading.probing is not None,
            signals=tuple(self._store.pool.signals),
            log_words=1 << 18,
        )
        prompt = await prompt_of(plan, item_of(self._store, q, plan), self._server)
        seeds = "calibrate", plan.seed, experiment.seed, q, r
        how = Decoding(plan.interval, plan.interval * pool.intervals, plan.sampling)
        trajectories = ServedTrajectories(
            self._server, lambda i: ServedBranch(prompt, (*seeds, i)), pool, self._reading, how
        )
        played = await play(suspend(pool), pool, trajectories)
        answer = pool.answers[played["code"]] if played["code"] >= 0 else None
        store = self._store
        accepted = store.golds[q] if store.golds is not None else (int(store.gold[q]),)
        golds = [store.answers[q][gold] for gold in accepted]
        recording = recording_of(pool, store.texts[q], golds, name=f"{q}.{r}")
        return answer in golds, played, recording


def worlds_of(
    store: Store, experiment: Experiment, repetitions: int, rng: np.random.Generator
) -> Task:
    """Episodes of `WORLDS` worlds, `repetitions` of each question in each: world by world."""
    there = store.pool.n_branches
    width = min(experiment.max_branches, int(there.min()))
    orders = np.empty((len(there), WORLDS * repetitions, width), np.int32)
    for q, branches in enumerate(there.tolist()):
        for world in range(WORLDS):
            pool = rng.integers(branches, size=branches)
            chosen = rng.choice(pool, (repetitions, width))
            orders[q, world * repetitions : (world + 1) * repetitions] = chosen
    task = experiment.task(store)
    return Task(store, orders, all_pairs(orders), task.rules)


@dataclass(frozen=True, slots=True, eq=False)
class _Foretold:
    """A figure before it was played: what is expected, and `[WORLDS]` of each world."""

    figure: str
    expected: float
    by_world: np.ndarray
    live: float

    @property
    def spread(self) -> float:
        return float(self.by_world.std())

    @property
    def strayed(self) -> np.ndarray:
        """`[WORLDS]` how many standard deviations each world is from their mean."""
        away: np.ndarray = np.abs(self.by_world - self.by_world.mean())
        return away / self.spread if self.spread else away

    def judged(self, deviations: float) -> Forecast:
        """With an interval of so many standard deviations to each side."""
        sides = np.quantile(self.by_world, _TAILS) - self.by_world.mean()
        wide = deviations * self.spread
        ends = self.expected + np.array([-wide, wide, *sides])
        if self.figure == "accuracy":
            ends = ends.clip(0.0, 1.0)
        low, high, low_alone, high_alone = ends.tolist()
        return Forecast(self.figure, self.expected, low, high, low_alone, high_alone, self.live)


def forecast(
    store: Store,
    played: Sequence[tuple[Spec, Lived]],
    experiment: Experiment,
    driver: Driver,
) -> list[list[Forecast]]:
    """What a store says of what was played live: for each program its figures.

    Args:
        played: programs at the beta that was played, each as often.
        experiment: under which rules; its draws are not used.
    """
    repetitions = played[0][1].accuracy.shape[1]
    dealt = replace(experiment, draws=f"subsets:{WORLDS}").task(store)
    worlds = worlds_of(store, experiment, repetitions, np.random.default_rng(experiment.seed))
    found = []
    for spec, lived in played:
        replayed, spread = driver.run([Cell(dealt, spec), Cell(worlds, spec)])
        found.append([_foretold(figure, lived, replayed, spread) for figure in FIGURES])
    strayed = np.max([one.strayed for figures in found for one in figures], axis=0)
    deviations = float(np.quantile(strayed, _LEVEL))
    return [[one.judged(deviations) for one in figures] for figures in found]


def _foretold(figure: str, lived: Lived, replayed: Ran, spread: Ran) -> _Foretold:
    of = _COLUMNS[figure]
    questions, repetitions = lived.accuracy.shape
    weights = replayed.store.weights

    def mean(by_question: np.ndarray) -> np.ndarray:
        """Over questions, the first axis, as much as each counts."""
        return np.average(by_question, axis=0, weights=weights)

    by_world = of(spread).reshape(questions, WORLDS, repetitions).mean(axis=2)
    expected = mean(of(replayed).reshape(questions, -1).mean(axis=1))
    live = mean(getattr(lived, figure).mean(axis=1))
    return _Foretold(figure, float(expected), mean(by_world), float(live))
