"""Marginal value: what going on brings, and which feature of the state predicts it.

An episode is looked at when it has spent so many tokens, at the end of that round; checkpoints
double. The gain from going on is 1 if the vote there is wrong and the vote at the next checkpoint
(the answer, if the episode ends before it) is right, -1 the other way round, else 0.

Features: branches `opened`, `active`, `finished`, `pruned`; of the finished votes the `distinct`
answers, `leader_votes`, `margin` over the runner-up, leader's `share`, `entropy` and Beta
`confidence`; of active branches the share in `agreement` with the vote, mean `streak` of equal
probes, mean `depth`; tokens since the vote last changed (`stable_tokens`); `rounds`.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from autotts.diagnosis import counterfactual
from autotts.diagnosis.findings import VOTE_RULES
from autotts.evaluation import statistics
from autotts.evaluation.statistics import FloatArray
from autotts.replay.driver import Ran

CHECKPOINTS = tuple(10_000 * 2**k for k in range(8))
FEATURES = counterfactual.STATE_FEATURES
_BINS = 128
_RESAMPLES = 500


def states(
    ran: Ran, *, vote_rule: str = "finished", checkpoints: Sequence[int] = CHECKPOINTS
) -> pl.DataFrame:
    """The state of every episode at every checkpoint it reaches before its end.

    Args:
        vote_rule: how the episodes vote, as `findings.findings_of` says.

    Returns:
        Columns model, dataset, controller, beta, question, draw, checkpoint, the features, right
        (of the vote there) and gain.
    """
    pairs = ran.task.pairs
    marks = np.array(sorted(checkpoints), np.int64)
    out = np.full((len(pairs), len(marks), len(FEATURES) + 2), np.nan)
    walk = counterfactual.WalkMemory(ran)
    counterfactual.check()(
        *walk.arguments, ran.task.pool.n_codes.astype(np.int64), VOTE_RULES.index(vote_rule),
        marks, out,
    )  # fmt: skip
    spent = ran.tokens
    # A state in which the episode ends has nowhere to go on to.
    known = ~np.isnan(out[..., -1]) & (out[..., -2] < spent[:, None])
    right = (out[..., -1] == ran.store.gold[pairs[:, 0], None]).astype(np.int8)
    later = np.concatenate([right[:, 1:], right[:, :1]], axis=1)
    goes_on = np.concatenate([known[:, 1:], np.zeros((len(pairs), 1), bool)], axis=1)
    gain = np.where(goes_on, later, ran.correct[:, None]) - right
    episode, mark = np.nonzero(known)
    return pl.DataFrame(
        {
            "question": pairs[episode, 0],
            "draw": pairs[episode, 1],
            "checkpoint": marks[mark],
            **{name: out[episode, mark, f] for f, name in enumerate(FEATURES)},
            "right": right[episode, mark] > 0,
            "gain": gain[episode, mark],
        }
    ).select(
        pl.lit(ran.store.model).alias("model"),
        pl.lit(ran.store.dataset).alias("dataset"),
        pl.lit(ran.spec.text).alias("controller"),
        pl.lit(ran.spec.beta, pl.Float64).alias("beta"),
        pl.all(),
    )


def gains(states: pl.DataFrame) -> pl.DataFrame:
    """What going on brings at each checkpoint.

    Returns:
        Columns checkpoint, episodes (that go on there), right (share of votes), gained and lost
        (share of votes that become right, or wrong, by the next), gain (their difference).
    """
    return (
        states.group_by("checkpoint")
        .agg(
            pl.len().alias("episodes"),
            pl.col("right").mean(),
            (pl.col("gain") > 0).mean().alias("gained"),
            (pl.col("gain") < 0).mean().alias("lost"),
            pl.col("gain").mean(),
        )
        .sort("checkpoint")
    )


def predictors(states: pl.DataFrame, *, rng: np.random.Generator) -> pl.DataFrame:
    """How well each feature tells, at one checkpoint, where going on makes the vote right.

    Only states of one checkpoint are compared with each other, and intervals resample questions.

    Args:
        states: of one or several stores, as `states` gives them; questions of one dataset are
            the same for all models.
        rng: consumed.

    Returns:
        Columns feature, auc (that a state that gains has the larger value than one that does not;
        0.5 says nothing), auc_low, auc_high, correlation (of the feature's rank with the gain),
        correlation_low, correlation_high; the best predictor first. Empty where nothing gains.
    """
    gained = (states["gain"] > 0).to_numpy()
    if not gained.any() or gained.all():
        return pl.DataFrame(schema={"feature": pl.String, "auc": pl.Float64})
    keys = states.select("dataset", "question").unique(maintain_order=True).with_row_index("at")
    at = states.join(keys, on=["dataset", "question"], how="left", maintain_order="left")["at"]
    questions = at.to_numpy().astype(np.int64)
    weights = statistics.question_weights(len(keys), rng=rng, resamples=_RESAMPLES)
    gain = states["gain"].to_numpy().astype(np.float64)
    marks = states["checkpoint"].to_numpy()
    rows = []
    for name in FEATURES:
        ranks = _ranks_within(states[name].to_numpy(), marks)
        areas = _area(ranks, marks, gained, questions, weights)
        related = _correlation(ranks, gain, questions, weights)
        row: dict[str, object] = {"feature": name}
        for column, values in (("auc", areas), ("correlation", related)):
            low, high = statistics.bounds(values[1:], questions=len(keys))
            row |= {column: values[0], f"{column}_low": low, f"{column}_high": high}
        rows.append(row)
    frame = pl.DataFrame(rows)
    return frame.sort((pl.col("auc") - 0.5).abs(), descending=True, nulls_last=True)


def _ranks_within(values: FloatArray, groups: np.ndarray) -> np.ndarray:
    """`[M]` rank of each value among those of its group, in at most `_BINS` equal steps."""
    ranks = np.zeros(len(values), np.int64)
    for group in np.unique(groups):
        here = groups == group
        ordered = np.sort(values[here])
        middle = (
            np.searchsorted(ordered, values[here], "left")
            + np.searchsorted(ordered, values[here], "right")
        ) / (2 * len(ordered))
        ranks[here] = np.minimum((middle * _BINS).astype(np.int64), _BINS - 1)
    return ranks


def _area(
    ranks: np.ndarray, marks: np.ndarray, gained: np.ndarray, questions: np.ndarray,
    weights: FloatArray,
) -> FloatArray:  # fmt: skip
    """`[R]` AUC in each resample, pairs of one checkpoint only, all checkpoints together."""
    size = weights.shape[1] * _BINS
    wins, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for mark in np.unique(marks):
        counts = [
            np.bincount(questions[here] * _BINS + ranks[here], minlength=size)
            for here in ((marks == mark) & gained, (marks == mark) & ~gained)
        ]
        up, rest = (weights @ count.reshape(-1, _BINS).astype(np.float64) for count in counts)
        below = np.cumsum(rest, axis=1) - rest / 2
        wins += (up * below).sum(axis=1)
        pairs += up.sum(axis=1) * rest.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas: FloatArray = wins / pairs
    return areas


def _correlation(
    x: np.ndarray, y: FloatArray, questions: np.ndarray, weights: FloatArray
) -> FloatArray:
    """`[R]` Pearson correlation in each resample; nan where either is constant."""
    moments = np.stack(
        [
            np.bincount(questions, value, minlength=weights.shape[1])
            for value in (np.ones(len(y)), x, y, x * x, y * y, x * y)
        ],
        axis=1,
    )
    count, sx, sy, sxx, syy, sxy = (weights @ moments).T
    with np.errstate(invalid="ignore", divide="ignore"):
        related: FloatArray = (sxy - sx * sy / count) / np.sqrt(
            (sxx - sx**2 / count) * (syy - sy**2 / count)
        )
    return related
