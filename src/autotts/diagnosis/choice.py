"""Which answer is the right one: a conditional logit over answers, judged on questions left out.

The odds of an answer being the right one of its checkpoint are `exp(features @ weights)` to those
of the others. Only contested checkpoints teach anything. A question is one observation however
often it was played, by however many models: folds leave out questions, intervals resample them, and
a question's checkpoints weigh together as the root of their number.

Features are added one at a time, the one that most helps on questions left out first, and only
while what it adds there is above chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autotts.diagnosis.evidence import FEATURES, Evidence
from autotts.diagnosis.folds import Folds, split

FOLDS = 6
SPLITS = 4
"""Ways to make the folds, over which what a feature adds is averaged."""

RIDGE = 3.0
LEVEL = 0.025
"""One-sided, of each feature: below it a gain is chance. With signals it is shared with theirs."""

LEAST = 1.0
"""Gain in 0.01 log likelihood below which a feature is not worth its line in a program. What is
kept by chance gains little: of 200 simulated stores without a signal 3 keep any feature.
"""

_RESAMPLES = 4_000
_STEPS = 50
_EXACT = 1e-6
_MOST_FEATURES = 5


@dataclass(frozen=True, slots=True)
class Gain:
    """What a feature adds to those before it, on questions left out.

    gain: in log likelihood of a contested vote, in 0.01; with its interval at 95 %.
    points: percent of contested votes that become right.
    kept: whether it is at least `LEAST`, and its lower bound at `LEVEL` above 0.
    """

    feature: str
    gain: float
    low: float
    high: float
    points: float
    kept: bool


@dataclass(frozen=True, slots=True, eq=False)
class FittedVote:
    """A fitted vote.

    weights: by feature, `votes` first.
    spread: of each weight, its standard deviation over the folds.
    right: share of contested votes that are right on questions left out; `plain`: of the most
        frequent final answer, the earliest of equals.
    gains: of the features that were tried last and of those that were kept before, by gain.
    questions: with contested checkpoints.
    """

    weights: dict[str, float]
    spread: dict[str, float]
    right: float
    plain: float
    gains: tuple[Gain, ...]
    questions: int


class _Contested:
    """The contested checkpoints of `Evidence`, ready to fit."""

    def __init__(self, evidence: Evidence, seed: int, family: np.ndarray | None = None) -> None:
        kept = evidence.contested
        of_answer = np.repeat(kept, np.diff(evidence.starts))
        self.features = evidence.features[of_answer]
        self.right = evidence.right[of_answer].astype(np.float64)
        sizes = np.diff(evidence.starts)[kept]
        self.starts = np.cumsum(sizes) - sizes
        self.state = np.repeat(np.arange(len(sizes)), sizes)
        self.keys, self.question = np.unique(evidence.key[kept], return_inverse=True)
        # A model's checkpoints on a question are much the same, so they weigh as their root.
        _, group, counts = np.unique(
            np.stack([evidence.store[kept], self.question]),
            axis=1, return_inverse=True, return_counts=True,
        )  # fmt: skip
        self.weight = 1 / np.sqrt(counts[group.ravel()])
        self.store = evidence.store[kept]
        family = np.zeros(int(evidence.store.max()) + 1, np.int64) if family is None else family
        rng = np.random.default_rng(seed)
        self.splits = [split(family, len(self.keys), FOLDS, rng) for _ in range(SPLITS)]
        self.scale = np.maximum(self.features.std(axis=0), 1e-9)
        first = self.features[self.starts][self.state]
        self.differ = np.flatnonzero((self.features != first).any(axis=0))
        """Columns that are not the same for all answers of a checkpoint."""

    def fit(self, columns: Sequence[int], taught: np.ndarray) -> np.ndarray:
        """Weights of some columns from some checkpoints, `[S]` bool; 0 from none."""
        if not taught.any():
            return np.zeros(len(columns))
        of_answer = taught[self.state]
        x = self.features[of_answer][:, columns] / self.scale[columns]
        right = self.right[of_answer]
        sizes = np.diff(np.append(self.starts, len(self.state)))[taught]
        starts, state = np.cumsum(sizes) - sizes, np.repeat(np.arange(len(sizes)), sizes)
        weight = self.weight[taught]

        # Newton's method, held to steps that can't overshoot far: smooth, convex, few weights.
        b = np.zeros(len(columns))
        for _ in range(_STEPS):
            p = _softmax(x @ b, starts, state)
            slope = ((right - p) * weight[state]) @ x - 2 * RIDGE * b
            middle = x - np.add.reduceat(p[:, None] * x, starts)[state]
            bend = (middle * (p * weight[state])[:, None]).T @ middle
            move = np.linalg.solve(bend + 2 * RIDGE * np.eye(len(b)), slope)
            b = b + np.clip(move, -1, 1)
            if np.abs(move).max() < _EXACT:
                break
        return np.asarray(b / self.scale[columns])

    def left_out(self, columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """`[S]` log likelihood, and whether the vote is right, by fits to the other folds."""
        likelihood, hit = np.zeros((2, len(self.starts)))
        for folds in self.splits:
            for tested, taught in self.parts(folds):
                score = self.features[:, columns] @ self.fit(columns, taught)
                p = _softmax(score, self.starts, self.state) * self.right
                known = np.log(np.add.reduceat(p, self.starts) + 1e-12)
                likelihood[tested] += known[tested] / SPLITS
                hit[tested] += self.picked(score)[tested] / SPLITS
        return likelihood, hit

    def parts(self, folds: Folds) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each fold, `[S]` bool the checkpoints left out, and those that it is learned from."""
        of = folds.of[self.store, self.question]
        return [
            (of == f, taught.stores[self.store] & taught.questions[self.question])
            for f, taught in enumerate(folds.taught)
        ]

    def picked(self, score: np.ndarray) -> np.ndarray:
        """`[S]` 1 where the answer with the highest score is right."""
        best = np.maximum.reduceat(score, self.starts)[self.state]
        first = np.flatnonzero(score >= best)
        _, at = np.unique(self.state[first], return_index=True)
        return np.asarray(self.right[first[at]])

    def mean(self, values: np.ndarray) -> float:
        return float(values @ self.weight / self.weight.sum())

    def resampled(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`[R]` the mean of values `[S]` in resamples of the questions."""
        size = len(self.keys)
        sums = np.bincount(self.question, self.weight * values, size)
        weights = np.bincount(self.question, self.weight, size)
        counts = rng.multinomial(size, np.full(size, 1 / size), _RESAMPLES)
        return np.asarray(counts @ sums / np.maximum(counts @ weights, 1e-12))


def _softmax(score: np.ndarray, starts: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Probabilities within each checkpoint."""
    odds = np.exp(score - np.maximum.reduceat(score, starts)[state])
    return np.asarray(odds / np.add.reduceat(odds, starts)[state])


def weigh(evidence: Evidence, names: Sequence[str]) -> dict[str, float] | None:
    """Weights of some features, fitted to all questions; None where none is contested."""
    if not evidence.contested.any():
        return None
    contested = _Contested(evidence, seed=0)
    columns = [evidence.names.index(name) for name in names]
    everything = np.ones(len(contested.starts), bool)
    return dict(zip(names, contested.fit(columns, everything).tolist(), strict=True))


def fit(
    evidence: Evidence, *, seed: int, family: np.ndarray | None = None, most: int = _MOST_FEATURES
) -> FittedVote | None:
    """Fit the vote; None where fewer than two questions a fold are ever contested.

    Args:
        family: `[stores]` number of each store's family of models: folds leave out families too.
    """
    if not evidence.contested.any():
        return None
    contested = _Contested(evidence, seed, family)
    if len(contested.keys) < 2 * FOLDS:
        return None
    rng = np.random.default_rng(seed)
    names = evidence.names
    # Where signals are tried too, each must be surer.
    level = LEVEL * len(FEATURES) / len(names)
    used = [names.index("votes")]
    likelihood, hit = contested.left_out(used)
    kept: list[Gain] = []
    tried: list[Gain] = []
    while True:
        others = [int(c) for c in contested.differ if c not in used]
        found = [(contested.left_out([*used, c]), c) for c in others]
        tried = []
        for (new, new_hit), c in found:
            more = contested.resampled(new - likelihood, rng)
            low, high = np.quantile(more, (0.025, 0.975))
            least = float(np.quantile(more, level))
            gain = 100 * contested.mean(new - likelihood)
            tried.append(
                Gain(
                    names[c],
                    gain,
                    100 * float(low),
                    100 * float(high),
                    100 * contested.mean(new_hit - hit),
                    least > 0 and gain >= LEAST,
                )
            )
        best = max(range(len(others)), key=lambda k: (tried[k].kept, tried[k].gain), default=None)
        if best is None or not tried[best].kept or len(used) == most:
            break
        kept.append(tried[best])
        used.append(others[best])
        likelihood, hit = found[best][0]
    everything = np.ones(len(contested.starts), bool)
    folds = [contested.fit(used, taught) for _, taught in contested.parts(contested.splits[0])]
    weights = contested.fit(used, everything)
    votes = contested.features[:, names.index("votes")]
    return FittedVote(
        {names[c]: float(w) for c, w in zip(used, weights, strict=True)},
        {names[c]: float(s) for c, s in zip(used, np.std(folds, axis=0), strict=True)},
        contested.mean(hit),
        contested.mean(contested.picked(votes)),
        (*kept, *sorted(tried, key=lambda g: -g.gain)),
        len(contested.keys),
    )
