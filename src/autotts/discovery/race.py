"""A race of candidates: many proposals judged on growing samples, losers dropped early.

What a full sweep plays is known: every question in every draw, at every beta, on every store. A
race plays random parts of it, the same for all candidates, stage by stage. After each stage a
candidate is dropped whose frontier area in the full sweep is surely below the leader's, by a
confidence sequence: the empirical Bernstein bound (Maurer and Pontil 2009, arXiv 0907.3740, theorem
11) of the paired differences, at `LEVEL` over all stages and candidates together. What is compared
is an episode's part in the area: how right it was at every beta, weighed as the frontier of the
sample mixes the betas.

However many candidates there are, the whole costs at most `SWEEPS` full sweeps. What that leaves
for samples does not tell small variants apart; when it is spent, those furthest behind go, until
the rest can be swept whole.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from autotts.discovery.admission import REFUSED
from autotts.discovery.run.events import RaceStanding
from autotts.discovery.sweeps import Reference, SampledEpisodes
from autotts.evaluation.frontiers import Points, frontier_area, mixture_at
from autotts.evaluation.statistics import FloatArray
from autotts.text import percent

SWEEPS = 3.0
"""Full sweeps that a race costs at most, that of its winner among them."""

LEVEL = 0.05
_STAGES = 4
_BUDGETS = 33  # at which an episode's part in an area is read


@dataclass(frozen=True, slots=True)
class RaceResult:
    """How a race ended: of each candidate, and full sweeps that the samples cost."""

    standings: tuple[RaceStanding, ...]
    sweeps: float


Play = Callable[[int, Sequence[np.ndarray]], SampledEpisodes]
"""Plays a candidate on episodes, per store `[n]` indices below the episodes of a full sweep.

Raises one of `REFUSED` where it fails.
"""


def race(
    candidates: int, play: Play, episodes: Sequence[int], reference: Reference, *, seed: int
) -> RaceResult:
    """Judge candidates on growing samples.

    Args:
        candidates: how many, more than `SWEEPS`.
        episodes: of a full sweep at one beta, per store.
        reference: whose budgets count, on the same stores in the order of its curve.
        seed: of the samples.
    """
    rng = np.random.default_rng(seed)
    # The samples of all candidates and the sweep of one are all that there is to spend.
    most = (SWEEPS - 1) / candidates * float(np.mean(episodes))
    samples: dict[int, SampledEpisodes] = {}
    out: dict[int, RaceStanding] = {}
    played, size, share = 0.0, 0, 0.0
    for stage in range(_STAGES):
        # As many on every store, since every store counts once.
        more = max(1, int(most / 2 ** (_STAGES - 1 - stage))) - size
        size += more
        before, share = share, size * len(episodes) / sum(episodes)
        picks = [rng.integers(count, size=more) for count in episodes]
        for c in [c for c in range(candidates) if c not in out]:
            played += share - before
            try:
                new = play(c, picks)
            except REFUSED as error:
                out[c] = RaceStanding(None, 0.0, 0.0, 0.0, share, str(error))
                continue
            samples[c] = _joined(samples[c], new) if c in samples else new
        running = [c for c in range(candidates) if c not in out]
        if not running:
            break
        out.update(_surely_behind(samples, running, candidates, reference, share))
    running = [c for c in range(candidates) if c not in out]
    affordable = max(1, int(SWEEPS - played))
    if running:
        out.update(_placed(samples, running, candidates, reference, share, affordable))
    return RaceResult(tuple(out[c] for c in range(candidates)), played)


def bernstein(values: FloatArray, span: float, level: float) -> float:
    """Half the width of an interval for the mean of independent values `[n]` within `span`."""
    n = len(values)
    if n < 2:
        return math.inf
    many = math.log(4 / level)  # two sides
    return float(
        math.sqrt(2 * float(values.var(ddof=1)) * many / n) + 7 * span * many / (3 * (n - 1))
    )


def _joined(before: SampledEpisodes, new: SampledEpisodes) -> SampledEpisodes:
    return SampledEpisodes(
        *(
            tuple(np.concatenate(pair, axis=1) for pair in zip(old, more, strict=True))
            for old, more in ((before.correct, new.correct), (before.spent, new.spent))
        )
    )


def _points(sample: SampledEpisodes) -> Points:
    spent = np.stack([values.mean(axis=1) for values in sample.spent])
    return Points(
        np.maximum(spent, 1.0), np.stack([values.mean(axis=1) for values in sample.correct])
    )


def _area(sample: SampledEpisodes, reference: Reference) -> float:
    """Frontier area in percent, mean of the stores."""
    low, high = (share * reference.tokens for share in reference.span)
    return float(100 * frontier_area(_points(sample), low, high).mean())


def _parts(sample: SampledEpisodes, reference: Reference) -> FloatArray:
    """`[N]` each episode's part in the area, in percent, all stores; their mean is the area's."""
    budgets = reference.tokens[:, None] * np.geomspace(*reference.span, _BUDGETS)
    mixtures = mixture_at(_points(sample), budgets).mean(axis=1)
    return 100 * np.concatenate(
        [mixture @ correct for mixture, correct in zip(mixtures, sample.correct, strict=True)]
    )


def _against(
    samples: dict[int, SampledEpisodes],
    running: Sequence[int],
    candidates: int,
    reference: Reference,
) -> dict[int, tuple[float, float, float, float]]:
    """Of each: its area, and how far it is behind the leader, with bounds."""
    parts = {c: _parts(samples[c], reference) for c in running}
    leader = max(running, key=lambda c: float(parts[c].mean()))
    level = LEVEL / (_STAGES * candidates)
    found = {}
    for c in running:
        gaps = parts[leader] - parts[c]
        gap, half = float(gaps.mean()), bernstein(gaps, 200.0, level) if c != leader else 0.0
        found[c] = (_area(samples[c], reference), gap, gap - half, gap + half)
    return found


def _surely_behind(
    samples: dict[int, SampledEpisodes],
    running: Sequence[int],
    candidates: int,
    reference: Reference,
    share: float,
) -> dict[int, RaceStanding]:
    """Those that a confidence sequence drops."""
    found = _against(samples, running, candidates, reference)
    return {
        c: RaceStanding(
            area, gap, low, high, share,
            f"dropped after {percent(share)} % of a sweep: surely behind, by {gap:.1f} points of"
            f" area ({low:.1f} to {high:.1f})",
        )
        for c, (area, gap, low, high) in found.items()
        if low > 0
    }  # fmt: skip


def _placed(
    samples: dict[int, SampledEpisodes],
    running: Sequence[int],
    candidates: int,
    reference: Reference,
    share: float,
    affordable: int,
) -> dict[int, RaceStanding]:
    """Those that are left: the first of them are swept whole, for the others nothing is left."""
    found = _against(samples, running, candidates, reference)
    order = sorted(running, key=lambda c: found[c][1])
    standings = {}
    for place, c in enumerate(order):
        area, gap, low, high = found[c]
        why = (
            f"left out after {percent(share)} % of a sweep, when the race's episodes were spent:"
            f" place {place + 1}, {gap:.1f} points of area behind ({low:.1f} to {high:.1f})"
        )
        dropped = "" if place < affordable else why
        standings[c] = RaceStanding(area, gap, low, high, share, dropped)
    return standings
