"""The value of going on: what more tokens bring, given how far the leading answer is ahead.

The lead is that of a fitted vote (`choice`): log odds of the leading answer to the next, or to an
answer that one branch would bring. What going on brings is modelled as

    right answers won per e-fold of tokens = exp(base - slope * lead)

so a token brings that by what has been spent, and an episode that stops where a token brings less
than a price spends every token where it brings most. Where several checkpoints further on wins and
loses as often, going on is worth nothing, whatever the vote looks like.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from autotts.diagnosis.evidence import Evidence

_AHEAD = 3  # checkpoints from a state to the one that it is compared with
_EDGES = (0.5, 1.0, 2.0, 3.0, 4.0)
_RIDGE = 1e-4
_RESAMPLES = 1_000
_REFITS = 40


@dataclass(frozen=True, slots=True)
class States:
    """States with leads from `low` to `high`: what going on for twice the tokens brings.

    count: of states that go on. gain: points of right answers, with its interval at 95 %.
    """

    low: float
    high: float
    count: int
    right: float
    gain: float
    gain_low: float
    gain_high: float

    @property
    def between(self) -> str:
        """Its leads, in words."""
        if not math.isfinite(self.low):
            return f"below {self.high:g}"
        if not math.isfinite(self.high):
            return f"{self.low:g} and more"
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class Value:
    """The fitted value of going on; see the head of this module.

    spread: of `slope`, its standard error over resampled questions.
    """

    base: float
    slope: float
    spread: float
    states: tuple[States, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Standings:
    """Who leads at each checkpoint. lead: `[S]`; right: `[S]` bool, of the leader."""

    lead: np.ndarray
    right: np.ndarray


def standings(evidence: Evidence, weights: Mapping[str, float]) -> Standings:
    """Who leads by a vote with these weights, the answer that finished first among equals."""
    columns = [evidence.names.index(name) for name in weights]
    score = evidence.features[:, columns] @ np.array(list(weights.values()))
    order = np.lexsort((-score, evidence.state))
    first = order[evidence.starts[:-1]]
    best = score[first]
    rest = score.copy()
    rest[first] = -np.inf
    second = np.maximum(np.maximum.reduceat(rest, evidence.starts[:-1]), 0.0)
    return Standings(best - second, evidence.right[first])


@dataclass(frozen=True, slots=True, eq=False)
class _Going:
    """States that go on, one by one, and what came of it some checkpoints later.

    stretch: log of how many times the tokens were spent then. gain: 1 if the leader was right then
    and not now, -1 the other way round. weight: of a question's states together 1.
    """

    lead: np.ndarray
    right: np.ndarray
    stretch: np.ndarray
    gain: np.ndarray
    question: np.ndarray
    weight: np.ndarray


def _going(evidence: Evidence, weights: Mapping[str, float]) -> _Going | None:
    """The states that go on; None where no episode does."""
    stands = standings(evidence, weights)
    now, later = _pairs(evidence.episode)
    stretch = np.log(evidence.spent[later] / evidence.spent[now])
    longer = stretch > 0
    now, later, stretch = now[longer], later[longer], stretch[longer]
    if not len(now):
        return None
    right = stands.right[now]
    gain = stands.right[later].astype(np.float64) - right
    _, question = np.unique(evidence.key[now], return_inverse=True)
    weight = 1 / np.bincount(question)[question]
    return _Going(stands.lead[now], right, stretch, gain, question, weight)


def curve(evidence: Evidence, weights: Mapping[str, float]) -> tuple[float, float] | None:
    """Base and slope of the value of going on under a vote; None where no episode goes on."""
    going = _going(evidence, weights)
    return None if going is None else _curve(going, going.weight)


def fit(evidence: Evidence, weights: Mapping[str, float], *, seed: int) -> Value | None:
    """Fit the value of going on under a vote, and say how sure that is; None as for `curve`."""
    going = _going(evidence, weights)
    if going is None:
        return None
    base, slope = _curve(going, going.weight)
    rng = np.random.default_rng(seed)
    slopes, size = [], int(going.question.max()) + 1
    for _ in range(_REFITS):
        drawn = rng.multinomial(size, np.full(size, 1 / size))[going.question]
        slopes.append(_curve(going, going.weight * drawn)[1])
    return Value(base, slope, float(np.std(slopes)), _table(going, rng))


def _pairs(episode: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each checkpoint but an episode's last, and the one so many on, or the last."""
    last = np.searchsorted(episode, episode, side="right") - 1
    later = np.minimum(np.arange(len(episode)) + _AHEAD, last)
    now = np.flatnonzero(later > np.arange(len(episode)))
    return now, later[now]


def _curve(going: _Going, weight: np.ndarray) -> tuple[float, float]:
    """Base and slope, by weighted least squares; the slope is never negative."""
    lead, stretch, gain = going.lead, going.stretch, going.gain
    total = weight.sum()

    def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
        expected = stretch * np.exp(np.clip(b[0] - b[1] * lead, -12, 2))
        miss = expected - gain
        slope = weight * miss * expected / total
        return (
            float(0.5 * (weight * miss**2).sum() / total + _RIDGE * b[1] ** 2),
            np.array([slope.sum(), -(slope * lead).sum() + 2 * _RIDGE * b[1]]),
        )

    found = minimize(
        loss, np.array([-2.0, 0.5]), jac=True, method="L-BFGS-B", bounds=((-12, 2), (0.05, 5))
    ).x
    return float(found[0]), float(found[1])


def _table(going: _Going, rng: np.random.Generator) -> tuple[States, ...]:
    """Gains by lead, in points for twice the tokens, with intervals over questions."""
    lead, question = going.lead, going.question
    rows = []
    size = int(question.max()) + 1
    edges = (-np.inf, *_EDGES, np.inf)
    for low, high in itertools.pairwise(edges):
        inside = (lead >= low) & (lead < high)
        if not inside.any():
            continue
        gains = np.bincount(question[inside], going.gain[inside], size)
        stretches = np.bincount(question[inside], going.stretch[inside], size)
        drawn = rng.multinomial(size, np.full(size, 1 / size), _RESAMPLES)
        doubled = 100 * np.log(2)
        rates = doubled * (drawn @ gains) / np.maximum(drawn @ stretches, 1e-9)
        rows.append(
            States(
                float(low), float(high), int(inside.sum()), float(going.right[inside].mean()),
                float(doubled * gains.sum() / stretches.sum()),
                *(float(bound) for bound in np.quantile(rates, (0.025, 0.975))),
            )
        )  # fmt: skip
    return tuple(rows)
