"""Programs measured on the search stores, and choices that questions left out confirm."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autotts import programs, stores
from autotts.diagnosis.folds import Folds, TrainingPart, split
from autotts.discovery.explorer import Turn
from autotts.discovery.explorers.offline.writing import Learned, source
from autotts.evaluation import Experiment
from autotts.evaluation.families import FamilyJudgement, family_of
from autotts.evaluation.frontiers import Points, frontier_area, isotonic_violation
from autotts.evaluation.objectives import FORECAST, SPANS, spent
from autotts.evaluation.run import at_betas
from autotts.replay.driver import Ran
from autotts.replay.in_process import InProcess
from autotts.replay.task import cells_of

BETAS = tuple(round(0.1 * step, 1) for step in range(11))
FOLDS = 6
SPLITS = 3
"""Ways to make the folds, over which what is learned is judged."""

_DRAWS = 24
_RESAMPLES = 1_000
_PROMISING = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class SweepMeans:
    """A program's sweep: per store `[B, Q]` share of right answers, mean tokens, and mean of what
    the run's objective counts."""

    accuracy: tuple[np.ndarray, ...]
    tokens: tuple[np.ndarray, ...]
    spent: tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of learning.

    learned: what was learned from all questions, if it is to be kept; else the plain program.
    lead: points of area over the plain program, each question of a store played by what was learned
        without its fold, mean over the splits into folds; `probability` that it is above 0, over
        resampled questions.
    area: of `learned`, on all questions.
    """

    learned: Learned
    lead: float
    probability: float
    area: float


Make = Callable[[TrainingPart], list[Learned]]


class Bench:
    """Measures programs of ours on the search stores of a turn."""

    def __init__(self, turn: Turn) -> None:
        experiment = Experiment(
            draws=f"subsets:{_DRAWS}", seed=turn.seed, max_branches=turn.rules.ceiling
        )
        self.tasks = experiment.tasks([stores.load(path) for path in turn.stores])
        self.probes = all(task.store.pool.probes is not None for task in self.tasks)
        """Whether running branches show answers on all stores."""
        self._driver = InProcess()
        self._rules = turn.rules
        self._seed = turn.seed
        self._measured: dict[str, SweepMeans] = {}
        # What SC of as many branches as there may be spends on each question.
        everything = programs.parse("sc:beta=1.0")
        self._objective, self._server = turn.objective, turn.server_model
        self._forecasts = turn.objective in FORECAST
        ran = self._driver.run(cells_of(self.tasks, [everything]), keep_log=self._forecasts)
        self._whole, self._whole_spent = (
            [one.task.by_question(value).mean(axis=1) for one, value in pairs]
            for pairs in (
                [(one, one.tokens) for one in ran],
                [(one, spent(one, self._objective, self._server)) for one in ran],
            )
        )
        sizes: dict[str, int] = {}
        for task in self.tasks:
            name, size = task.store.dataset, len(task.store.gold)
            sizes[name] = max(size, sizes.get(name, 0))
        begins = dict(zip(sizes, np.cumsum([0, *sizes.values()])[:-1], strict=True))
        self._stores = [task.store.key for task in self.tasks]
        families = {task.store.key: family_of(task.store) for task in self.tasks}
        numbers = {name: f for f, name in enumerate(dict.fromkeys(families.values()))}
        self.families = len(numbers)
        self.family = np.array([numbers[families[key]] for key in self._stores])
        """`[S]` number of each store's family."""
        self._judgement = FamilyJudgement(families, turn.judge, turn.family_weight)
        # Only regret is behind somebody; what is not ours does not run in this process.
        names = turn.history.baselines if turn.judge == "regret" else ()
        rivals = [spec for spec in map(programs.parse, names) if spec.source.trusted]
        self._rivals = [self._sweep(at_betas(spec, BETAS)) for spec in rivals]
        # Areas of the rivals under the weights that were asked for last.
        self._behind: tuple[np.ndarray, list[np.ndarray]] | None = None
        self._everywhere = np.ones(len(self._stores), bool)
        self._keys = [
            begins[task.store.dataset] + np.arange(len(task.store.gold)) for task in self.tasks
        ]
        self._questions = sum(sizes.values())

    @property
    def branch_tokens(self) -> float:
        """Mean tokens of a whole branch, mean of the stores."""
        pairs = zip(self._whole, self.tasks, strict=True)
        return float(np.mean([(whole / task.ceilings).mean() for whole, task in pairs]))

    def play(self, text: str, settings: Sequence[dict[str, float]], draws: int) -> list[Ran]:
        """Run a program of ours at named settings (and beta 1/2) on the first so many draws.

        What comes out has its log.
        """
        tasks = [task.first(draws) for task in self.tasks]
        return self._driver.run(cells_of(tasks, _specs(text, settings)), keep_log=True)

    def measure(self, learned: Learned) -> SweepMeans:
        """A program's sweep over beta; measured once."""
        text = source(replace(learned, lessons=()))
        if text not in self._measured:
            self._measured[text] = self._sweep(_specs(text, [{"beta": beta} for beta in BETAS]))
        return self._measured[text]

    def _sweep(self, specs: Sequence[programs.Spec]) -> SweepMeans:
        ran = self._driver.run(cells_of(self.tasks, specs), keep_log=self._forecasts)
        columns: list[tuple[np.ndarray, ...]] = []
        for values in (
            (one.correct.astype(np.float64) for one in ran),
            (one.tokens for one in ran),
            (spent(one, self._objective, self._server) for one in ran),
        ):
            means = [
                one.task.by_question(value).mean(axis=1)
                for one, value in zip(ran, values, strict=True)
            ]
            stores = len(self.tasks)
            columns.append(tuple(np.stack(means[s::stores]) for s in range(stores)))
        return SweepMeans(*columns)

    def admitted(self, learned: Learned) -> bool:
        """Whether a program keeps to the rules of the run, and a little more for other draws."""
        if not self._rules.one_knob:
            return True
        curve = self.measure(learned)
        whole = [float(values.mean()) for values in self._whole]
        tokens = np.stack([values.mean(axis=1) for values in curve.tokens])
        shares = (tokens / np.array(whole)[:, None]).mean(axis=0)
        falls = float(isotonic_violation(tokens.mean(axis=0)))
        return bool(
            shares.min() < 0.95 * self._rules.cheapest
            and shares.max() > 1.02 * self._rules.dearest
            and falls < self._rules.isotonic_slack / 2
        )

    def area(
        self, curve: SweepMeans, weights: np.ndarray | None = None, among: np.ndarray | None = None
    ) -> np.ndarray:
        """What a curve is judged by, in points: `[]`, or `[R]` with weights `[R, K]`.

        By default the mean of its frontier areas by store.

        Args:
            among: `[S]` bool, the stores that count; all by default.
        """
        weights = np.ones((1, self._questions)) if weights is None else np.atleast_2d(weights)
        among = self._everywhere if among is None else among
        if self._behind is None or self._behind[0] is not weights:
            self._behind = weights, [self._areas(rival, weights) for rival in self._rivals]
        behind = [areas[..., among] for areas in self._behind[1]]
        stores = [key for key, counts in zip(self._stores, among, strict=True) if counts]
        return self._judgement.figure(stores, self._areas(curve, weights)[..., among], behind)

    def _areas(self, curve: SweepMeans, weights: np.ndarray) -> np.ndarray:
        """Frontier areas in points, `[R, S]`."""
        areas = []
        for s, keys in enumerate(self._keys):
            w = weights[:, keys]
            total = np.maximum(w.sum(axis=1), 1e-12)[:, None]
            points = Points(w @ curve.spent[s].T / total, w @ curve.accuracy[s].T / total)
            # Of no questions nothing is spent; some budget there must be.
            whole = np.maximum(w @ self._whole_spent[s] / total[:, 0], np.finfo(np.float64).tiny)
            low, high = (share * whole for share in SPANS[self._objective])
            areas.append(100 * frontier_area(points, low, high))
        return np.stack(areas, axis=-1)

    def best(self, found: Sequence[Learned], before: Learned) -> tuple[Learned, float, float]:
        """The best of some programs on all questions, the first among equals.

        Returns:
            it, by how much it is ahead of `before`, and how probable that is over resampled
            questions.
        """
        weights = self._resamples(np.random.default_rng(self._seed))
        figures = [self.area(self.measure(one), weights) for one in found]
        best = int(np.argmax([figure[0] for figure in figures]))
        leads = figures[best] - self.area(self.measure(before), weights)
        return found[best], float(leads[0]), float(np.mean(leads[1:] > 0))

    def _resamples(self, rng: np.random.Generator) -> np.ndarray:
        """`[1 + R, K]` weights of the questions: even, then resampled."""
        even = np.full(self._questions, 1 / self._questions)
        draws = rng.multinomial(self._questions, even, _RESAMPLES)
        return np.vstack([np.ones(self._questions), draws])

    def judge(self, plain: Learned, make: Make, *, keep: float) -> Judgement:
        """Learn, and ask questions that had no part in it whether it is better than a plain rule.

        Where there are several families of models, nor had any store of the same family.

        Args:
            make: programs to choose from, learned from a part alone.
            keep: how probable that must be for what was learned to be kept.
        """
        rng = np.random.default_rng(self._seed)
        weights = self._resamples(rng)
        before = self.area(self.measure(plain), weights)
        leads: list[np.ndarray] = []
        probability = 1.0
        # What the first way to make folds does not speak for is not tried in others.
        while len(leads) < SPLITS and probability >= min(keep, _PROMISING):
            curve = self._left_out(plain, make, split(self.family, self._questions, FOLDS, rng))
            leads.append(self.area(curve, weights) - before)
            probability = float(np.mean(np.mean(leads, axis=0)[1:] > 0))
        everything = TrainingPart(self._everywhere, np.ones(self._questions, bool))
        learned = self._best(plain, make, everything) if probability >= keep else plain
        area = float(self.area(self.measure(learned))[0])
        return Judgement(learned, float(np.mean(leads, axis=0)[0]), probability, area)

    def _left_out(self, plain: Learned, make: Make, folds: Folds) -> SweepMeans:
        """Each question of a store played by what is learned without its fold."""
        curves = [self.measure(self._best(plain, make, taught)) for taught in folds.taught]
        means = (
            tuple(
                np.stack(
                    [getattr(curves[folds.of[s, k]], of)[s][:, q] for q, k in enumerate(keys)],
                    axis=1,
                )
                for s, keys in enumerate(self._keys)
            )
            for of in ("accuracy", "tokens", "spent")
        )
        return SweepMeans(*means)

    def _best(self, plain: Learned, make: Make, taught: TrainingPart) -> Learned:
        """The best of what is learned from a part, on it; plain if nothing is."""
        found = make(taught)
        admitted = [learned for learned in found if self.admitted(learned)]
        # Where the rules would refuse them all, later stages may yet reach further.
        found = admitted or found or [plain]
        weights = taught.questions.astype(np.float64)[None, :]
        areas = [self.area(self.measure(one), weights, taught.stores)[0] for one in found]
        return found[int(np.argmax(areas))]


def _specs(text: str, settings: Sequence[dict[str, float]]) -> list[programs.Spec]:
    """A program of ours at named settings, and at beta 1/2 where none is named."""
    program = programs.Source("learned", "learned.py", text, True)
    kinds = programs.load_trusted(program).kinds
    return [
        programs.Spec(
            "learned", program, named.get("beta", programs.DEFAULT_BETA),
            {name: kinds[name](value) for name, value in named.items() if name != "beta"},
        )
        for named in settings
    ]  # fmt: skip


def price(worth: float, spent: float) -> float:
    """The price at which an episode stops that expects so much an e-fold, having spent so much."""
    return float(f"{1e6 * worth / spent:.3g}") if math.isfinite(worth) else 0.0
