"""What matters on some stores: which evidence tells right answers, and where going on still gains.

Broad races are played that nothing ends early. The vote (`choice`) and the value of going on
(`value`) are fitted to what they saw, and three hypotheses worth a program are read off. No gold
answer and no question is named.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autotts import programs
from autotts.diagnosis import choice, value
from autotts.diagnosis.evidence import evidence, meaning
from autotts.replay.in_process import InProcess
from autotts.replay.task import Task, cells_of

WIDTHS = (8, 16, 32, 64)
"""Branches of the races."""

DRAWS = 16
_NEVER = 1_000_000  # votes ahead: no race is stopped
_PATIENCE, _DEPTH = 12, 30
"""Rounds for which a branch of them may disagree, where branches have so many intervals."""

_HYPOTHESES = 3
_LITTLE = 1.0  # point of right answers for twice the tokens


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A change worth a program: `idea` says what to do, `because` what was measured."""

    idea: str
    because: str


@dataclass(frozen=True, slots=True, eq=False)
class WhatMatters:
    """What broad races teach.

    vote: the fitted vote, with the gain of every feature (`.gains`); None where fewer than a dozen
        questions are ever contested.
    stop: the fitted value of going on, with the gain by the leader's lead (`.states`); None where
        no race goes on after its first finisher.
    hypotheses: at most three, the best founded first.
    """

    vote: choice.FittedVote | None
    stop: value.Value | None
    hypotheses: tuple[Hypothesis, ...]


def what_matters(tasks: Sequence[Task], *, seed: int) -> WhatMatters:
    """Play broad races and fit to them.

    Args:
        tasks: as `Experiment.tasks` makes them; the first `DRAWS` draws of each are played.
        seed: of folds and resamples.
    """
    ceiling = min(task.ceiling for task in tasks)
    widths = sorted({min(width, ceiling) for width in WIDTHS})
    # Where running branches show nothing, all of them would be given up as dissenters.
    blind = any(task.pool.probes is None for task in tasks)
    rest = f"margin={_NEVER},patience={_NEVER if blind else patience(tasks)}"
    races = [programs.parse(f"race-prune:width={width},{rest}") for width in widths]
    played = [task.first(min(DRAWS, task.orders.shape[1])) for task in tasks]
    seen = evidence(InProcess().run(cells_of(played, races), keep_log=True))
    vote = choice.fit(seen, seed=seed)
    stop = value.fit(seen, vote.weights if vote else {"votes": 1.0}, seed=seed)
    return WhatMatters(vote, stop, _hypotheses(vote, stop))


def patience(tasks: Sequence[Task]) -> int:
    """Rounds for which a branch may disagree with the leader before it is given up, at first.

    A branch makes up its mind in its own time, which is a share of its intervals whether these
    have 100 tokens or 1,500. Models differ too: within a factor of two the number stays.
    """
    depths = [task.pool.lengths[task.pool.lengths > 0].mean() for task in tasks]
    times = float(np.exp(np.log(np.divide(depths, _DEPTH)).mean()))
    return _PATIENCE if 0.5 <= times <= 2 else max(1, round(_PATIENCE * times))


def _hypotheses(vote: choice.FittedVote | None, stop: value.Value | None) -> tuple[Hypothesis, ...]:
    """What is beyond chance first: features, then the stop, then features that may be worth it."""
    gains, weights = (vote.gains, vote.weights) if vote else ((), {})
    sure = [_of_feature(gain, weights) for gain in gains if gain.feature in weights]
    maybe = [
        _of_feature(gain, weights)
        for gain in gains
        if gain.feature not in weights and gain.gain > 0
    ]
    return tuple([*sure[:2], *_of_stop(stop), *sure[2:], *maybe][:_HYPOTHESES])


def _of_feature(gain: choice.Gain, weights: Mapping[str, float]) -> Hypothesis:
    weight = weights.get(gain.feature)
    how = "" if weight is None else f": weight {weight:+.1f}, votes {weights['votes']:+.1f}"
    chance = "beyond chance" if weight is not None else "not beyond chance"
    return Hypothesis(
        f"Choose among answers by `{gain.feature}` ({meaning(gain.feature)}) beside the log of"
        f" their votes{how}.",
        f"On questions left out it adds {gain.gain:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}] in"
        f" 0.01 of log likelihood of a contested vote, {chance}; {gain.points:+.1f} % of these"
        " votes become right.",
    )


def _of_stop(stop: value.Value | None) -> list[Hypothesis]:
    """Where to go on and where not, if both are known."""
    rows = () if stop is None else stop.states
    gaining = [row for row in rows if row.gain_low > 0]
    idle = list(itertools.takewhile(lambda row: row.gain_high < _LITTLE, reversed(rows)))
    if not gaining or not idle:
        return []
    best, first = max(gaining, key=lambda row: row.gain), idle[-1]
    return [
        Hypothesis(
            f"Stop where the leader is ahead by {first.low:g} or more in log odds, and spend what"
            f" that saves where the lead is {best.between}.",
            f"Twice the tokens win {best.gain:+.1f} [{best.gain_low:+.1f}, {best.gain_high:+.1f}]"
            f" points of right answers there, and {first.gain:+.1f} [{first.gain_low:+.1f},"
            f" {first.gain_high:+.1f}] where it is {first.between}.",
        )
    ]
