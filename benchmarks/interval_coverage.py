"""Do the intervals cover? Simulated questions, many times over, against the known truth.

    python benchmarks/interval_coverage.py [--trials 2000] [--resamples 1000] [--seed 0]

The first table compares ways of resampling at one setting: ours resamples questions and keeps each
one's draws; the others resample draws inside resampled questions too, draws only, or episodes as if
they were independent. The second has everything that `autotts.evaluation.compare` reports. The
third is the winner's curse: what the best of many truly loses against what `best_of` expects. The
last has accuracies near 0 and 1 on few questions, with their bounds and those of resampling alone.
A nominal 95 % interval should cover 90 to 98 %. A thousand trials take some eight minutes.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from autotts.evaluation import compare, frontiers, statistics
from autotts.evaluation.frontiers import Curve

FloatArray = NDArray[np.float64]
BETAS = np.linspace(0.0, 1.0, 6)
FRACTIONS = (0.15, 0.3, 0.5)
MODELS = {"small": -2.0, "medium": 0.0, "large": 1.0}
FULL = 1_000_000.0  # tokens of the reference, which votes over everything


@dataclass(frozen=True)
class Kind:
    """A simulated controller: what it knows at 10 % of all tokens, and what ten times more adds.

    own: standard deviation of its own luck with a question, in logits.
    """

    start: float
    gain: float
    own: float = 0.4


A, B = Kind(0.6, 0.5), Kind(0.4, 0.6)


@dataclass
class World:
    """Questions of one dataset, met by several models: difficulty and probability to answer."""

    rng: np.random.Generator
    questions: int
    difficulty: FloatArray = field(init=False)
    taste: dict[str, FloatArray] = field(init=False)

    def __post_init__(self) -> None:
        self.difficulty = self.rng.normal(0.0, 2.0, self.questions)
        self.taste = {m: self.rng.normal(0.0, 0.8, self.questions) for m in MODELS}

    def expected(self, kind: Kind, spend: float, model: str, luck: FloatArray) -> list[FloatArray]:
        """Probability to be right, and tokens expected, of each question: two arrays `[Q]`."""
        logit = (
            MODELS[model]
            - self.difficulty
            + self.taste[model]
            + kind.own * luck
            + kind.start
            + kind.gain * np.log10(10 * spend)
        )
        tokens = FULL * spend * np.exp(0.3 * self.difficulty - 0.045 * 4)
        return [1 / (1 + np.exp(-logit)), tokens]


def spends(kind: Kind | None) -> FloatArray:
    """Share of all tokens at each beta: 5 to 60 % for controllers, all for the reference."""
    return np.ones(1) if kind is None else 0.05 * 12.0**BETAS


def simulate(world: World, kind: Kind | None, draws: int) -> Curve:
    """A sweep, or the reference; a draw's luck is the same at every beta, as its branches are."""
    rng = world.rng
    luck = {m: rng.normal(size=world.questions) for m in MODELS}
    cells = {}
    for model in MODELS:
        chance = rng.random((world.questions, draws))
        for beta, spend in zip(BETAS, spends(kind), strict=False):
            right, tokens = world.expected(kind or Kind(0.8, 0.5), spend, model, luck[model])
            noise = rng.lognormal(-0.045, 0.3, (world.questions, draws))
            cells[(model, "exam"), float(beta)] = (
                chance < right[:, None],
                np.maximum(tokens[:, None] * noise, 1.0),
            )
    return frontiers.curve("reference" if kind is None else "simulated", cells)


@dataclass(frozen=True)
class Truth:
    """The means over 200,000 questions, where nothing is left to chance."""

    a: frontiers.Points
    b: frontiers.Points
    reference: FloatArray


def truth(seed: int = 1) -> Truth:
    world = World(np.random.default_rng(seed), 200_000)
    found = []
    for kind in (A, B, None):
        means = np.zeros((2, len(MODELS), len(spends(kind))))
        for row, model in enumerate(sorted(MODELS)):
            luck = world.rng.normal(size=world.questions)
            for column, spend in enumerate(spends(kind)):
                cell = world.expected(kind or Kind(0.8, 0.5), spend, model, luck)
                means[:, row, column] = [values.mean() for values in cell]
        found.append(frontiers.Points(means[1], means[0]))
    return Truth(found[0], found[1], found[2].tokens[:, 0])


# Ways to resample: values [Q, D] and a generator to resampled means [R].
def whole_questions(values: FloatArray, rng: np.random.Generator, resamples: int) -> FloatArray:
    picks = rng.integers(len(values), size=(resamples, len(values)))
    return values.mean(axis=1)[picks].mean(axis=1)


def draws_within_questions(
    values: FloatArray, rng: np.random.Generator, resamples: int
) -> FloatArray:
    """Questions, and then draws within each: the mean of D resampled draws, nearly normal."""
    picks = rng.integers(len(values), size=(resamples, len(values)))
    error = values.std(axis=1) / np.sqrt(values.shape[1])
    noise = rng.normal(size=picks.shape) * error[picks]
    return (values.mean(axis=1)[picks] + noise).mean(axis=1)


def draws_only(values: FloatArray, rng: np.random.Generator, resamples: int) -> FloatArray:
    error = values.std(axis=1) / np.sqrt(values.shape[1])
    return (values.mean(axis=1) + rng.normal(size=(resamples, len(values))) * error).mean(axis=1)


def episodes(values: FloatArray, rng: np.random.Generator, resamples: int) -> FloatArray:
    return values.mean() + rng.normal(size=resamples) * values.std() / np.sqrt(values.size)


WAYS: dict[str, Callable[[FloatArray, np.random.Generator, int], FloatArray]] = {
    "questions (ours)": whole_questions,
    "questions, plain percentile": whole_questions,
    "questions and draws": draws_within_questions,
    "draws only": draws_only,
    "episodes": episodes,
}


@dataclass
class Tally:
    """How often each interval covered, and how long it was."""

    covered: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    width: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, low: float, high: float, true: float) -> None:
        self.covered[name].append(bool(low <= true <= high))
        self.width[name].append(float(high - low) if np.isfinite([low, high]).all() else np.inf)

    def rows(self) -> Iterator[str]:
        for name, hits in self.covered.items():
            share = float(np.mean(hits))
            mark = "" if 0.90 <= share <= 0.98 else "   outside 90-98 %"
            yield f"  {name:<52}{100 * share:6.1f} %{np.median(self.width[name]):14.4g}{mark}"


def try_ways(
    tally: Tally, known: Truth, draws: int, resamples: int, rng: np.random.Generator
) -> None:
    world = World(rng, 30)
    a, b = (simulate(world, kind, draws) for kind in (A, B))
    store, beta = ("medium", "exam"), 2
    place = a.stores.index(store)
    right = [np.asarray(c.correct[store][beta], np.float64) for c in (a, b)]
    level = known.a.accuracy[place, beta]
    for name, values, true in (
        ("accuracy", right[0], level),
        ("difference", right[0] - right[1], level - known.b.accuracy[place, beta]),
    ):
        for way, resample in WAYS.items():
            means = resample(values, rng, resamples)
            low, high = np.quantile(means, [0.025, 0.975])
            if way == "questions (ours)":
                low, high = statistics.bounds(means, questions=30)
            tally.add(f"{name}, {draws} draws: {way}", low, high, true)


def try_comparison(
    tally: Tally,
    known: Truth,
    questions: int,
    draws: int,
    resamples: int,
    rng: np.random.Generator,
) -> None:
    """All that `compare` reports, once."""
    world = World(rng, questions)
    a, b, full = (simulate(world, kind, draws) for kind in (A, B, None))
    how = {"rng": rng, "resamples": resamples}
    both = {**how, "reference": full, "fractions": FRACTIONS}
    label = f"{questions} questions, {draws} draws: "
    truths = [
        frontiers.accuracy_at_fractions(p, known.reference, FRACTIONS) for p in (known.a, known.b)
    ]

    point = compare.curve_intervals(a, **how).row(2, named=True)
    for name, values in (("accuracy", known.a.accuracy), ("tokens", known.a.tokens)):
        low, high = point[f"{name}_low"], point[f"{name}_high"]
        tally.add(f"{label}{name} at a point", low, high, values[:, 2].mean())
    band = compare.frontier_band(a, **both)
    table = compare.compare(a, b, **both)
    savings = compare.compare_tokens(a, b, **both)
    needed = frontiers.tokens_to_reach(known.a, truths[1], known.reference)
    for g, fraction in enumerate(FRACTIONS):
        row = band.row(g, named=True)
        low, high = row["accuracy_low"], row["accuracy_high"]
        tally.add(f"{label}frontier at {fraction}", low, high, truths[0][g])
        row = table.row(g, named=True)
        true = truths[0][g] - truths[1][g]
        tally.add(f"{label}difference at {fraction}", row["low"], row["high"], true)
        row = savings.row(g, named=True)
        true = 1 - needed[g] / fraction
        tally.add(f"{label}saving at equal accuracy, {fraction}", row["low"], row["high"], true)

    low, high = (known.reference * share for share in compare.AREA_RANGE)
    areas = [frontiers.frontier_area(p, low, high).mean() for p in (known.a, known.b)]
    found = compare.area(a, reference=full, **how)
    tally.add(f"{label}frontier area", found.low, found.high, areas[0])
    gap = compare.clears_noise(a, b, reference=full, **how).difference
    tally.add(f"{label}difference of areas", gap.low, gap.high, areas[0] - areas[1])


def winners_curse(spread: float, trials: int, resamples: int, rng: np.random.Generator) -> str:
    """The best of 20 candidates on 30 questions: what the choice adds, and what is expected of it.

    spread: standard deviation of the candidates' true means; the noise of a mean is 1.
    """
    truly, expected = [], []
    for _ in range(trials):
        means = rng.normal(0.0, spread, 20)
        common = rng.normal(0.0, 20.0, (30, 1))
        scores = means + common + rng.normal(0.0, np.sqrt(30), (30, 20))
        replicates = statistics.question_weights(30, rng=rng, resamples=resamples) @ scores
        best = statistics.best_of(replicates[0], replicates[1:])
        truly.append(best.estimate - means[best.index] - common.mean())
        expected.append(best.optimism)
    return f"  true spread {spread:3.1f} {np.mean(truly):10.2f} {np.mean(expected):10.2f}"


ENDS: dict[str, Callable[[np.random.Generator, int], FloatArray]] = {
    "60 %": lambda rng, count: rng.beta(0.5, 0.35, count),
    "10 %": lambda rng, count: rng.beta(0.15, 1.35, count),
    "95 %": lambda rng, count: np.where(rng.random(count) < 0.85, 1.0, rng.beta(2.0, 0.9, count)),
    "98 %": lambda rng, count: np.where(rng.random(count) < 0.95, 1.0, rng.beta(1.0, 1.0, count)),
}
"""The probability to be right of each of so many questions, by what it is in the mean."""


def near_the_ends(trials: int, resamples: int, rng: np.random.Generator) -> Iterator[str]:
    """Coverage of accuracy intervals, a row for each population, questions and draws."""
    for name, chances in ENDS.items():
        true = float(chances(rng, 1_000_000).mean())
        for questions in (15, 30, 100):
            for draws in (1, 30):
                tally = Tally()
                label = f"{name}, {questions} questions, {draws} draws"
                for _ in range(trials):
                    right = chances(rng, questions)[:, None] > rng.random((questions, draws))
                    how = {"rng": rng, "resamples": resamples}
                    found = statistics.accuracy_interval(right, **how)
                    tally.add(label, found.low, found.high, true)
                    found = statistics.mean_interval(right, **how)
                    tally.add(f"{label}: by resampling", found.low, found.high, true)
                yield from tally.rows()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--resamples", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    known = truth()

    print(f"Ways to resample, 30 questions, one store ({options.trials} trials)")
    tally = Tally()
    for draws in (1, 4, 100):
        for _ in range(options.trials):
            try_ways(tally, known, draws, options.resamples, rng)
    print("\n".join(tally.rows()))

    print(f"\nWhat `compare` reports, {len(MODELS)} stores that share their questions")
    tally = Tally()
    for questions, draws in ((30, 1), (30, 20), (120, 4)):
        for _ in range(options.trials):
            try_comparison(tally, known, questions, draws, options.resamples, rng)
    print("\n".join(tally.rows()))

    print("\nThe winner's curse: best of 20, in standard errors     truly   expected")
    for spread in (0.0, 0.5, 1.0, 2.0):
        print(winners_curse(spread, options.trials, options.resamples, rng))

    print("\nAccuracies near the ends, one store")
    for row in near_the_ends(options.trials, options.resamples, rng):
        print(row)


if __name__ == "__main__":
    main()
