"""Lessons: what episodes teach beyond their verdicts, as tables.

Nothing in them is an answer; what is said of right and wrong answers is summed over episodes.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from autotts.diagnosis.hindsight import (
    AGREEMENT,
    HELD,
    RANKS,
    SEEN,
    STREAKS,
    WEIGHTS,
    Hindsight,
    look_back,
)
from autotts.diagnosis.pools import showing
from autotts.evaluation import statistics
from autotts.replay.driver import Ran
from autotts.stores import Store

_KEYS = ["model", "dataset", "question"]


def hindsight_of(found: pl.DataFrame, ran: Sequence[Ran]) -> list[Hindsight]:
    """Look back on episodes, each cell by the vote rule that its findings name.

    Args:
        found: what `findings.findings_of` gives for `ran`.
        ran: with logs.
    """
    keys = ("model", "dataset", "controller", "beta")
    rules = {tuple(row[:-1]): row[-1] for row in found.select(*keys, "vote_rule").unique().rows()}
    return [
        look_back(
            one,
            vote_rule=rules[one.store.model, one.store.dataset, one.spec.text, one.spec.beta],
        )
        for one in ran
    ]


def winnable(found: pl.DataFrame, ran: Sequence[Ran]) -> pl.DataFrame:
    """Questions with wrong votes, and how the right answer's branches compare with the winner's.

    The winner is the answer that was given in most of the wrong episodes. Branches are all of the
    question's, opened or not; they finish after so many intervals.

    Returns:
        Columns model, dataset, question, points (of the accuracy over all episodes that are lost
        there, in percent), right_share and winner_share (of branches), right_first, right_median,
        winner_first and winner_median (interval of the finish; null where no branch ends so),
        hopeless (no branch shows the right answer); those with most points first, hopeless ones
        last.
    """
    stores = {one.store.key: one.store for one in ran}
    lost = (
        found.filter(~pl.col("correct"))
        .group_by(_KEYS, maintain_order=True)
        .agg(
            (100 * pl.len() / found.height).alias("points"),
            pl.col("answer").filter(pl.col("answer") >= 0).mode().min().alias("winner"),
        )
    )
    shown = {key: np.any(showing(store), axis=1).tolist() for key, store in stores.items()}
    rows = []
    for row in lost.iter_rows(named=True):
        key, question = (row["model"], row["dataset"]), row["question"]
        finishes = _finishes(stores[key], question, row["winner"])
        rows.append({**row, **finishes, "hopeless": not shown[key][question]})
    share, count = pl.Float64, pl.Int64
    schema = {
        "model": pl.String, "dataset": pl.String, "question": count, "points": share,
        "right_share": share, "winner_share": share, "right_first": count, "right_median": share,
        "winner_first": count, "winner_median": share, "hopeless": pl.Boolean,
    }  # fmt: skip
    return pl.DataFrame(rows, schema).sort(
        [pl.col("hopeless"), -pl.col("points"), -pl.col("right_share"), *_KEYS],
        nulls_last=True,
    )


def _finishes(store: Store, question: int, winner: int | None) -> dict[str, float | None]:
    """Shares and finishes of the branches that end on the true answer, and on the winner."""
    finals, lengths = store.pool.finals[question], store.pool.lengths[question]
    found: dict[str, float | None] = {}
    for name, code in (("right", int(store.gold[question])), ("winner", winner)):
        ends = lengths[finals == code] if code is not None else lengths[:0]
        found[f"{name}_share"] = len(ends) / len(finals)
        found[f"{name}_first"] = int(ends.min()) if len(ends) else None
        found[f"{name}_median"] = float(np.median(ends)) if len(ends) else None
    return found


def held(looked: Sequence[Hindsight]) -> pl.DataFrame:
    """What became of the answers that branches held, by rank: the first an episode showed is 1.

    Returns:
        Columns rank (the last is of all later answers), right (whether the answer is), held
        (branches that showed it), kept (those that had it last), left_for_right and left_for_wrong
        (those that had the right, or another wrong, answer last).
    """
    total = sum((one.held for one in looked), np.zeros((RANKS, 2, len(HELD)), np.int64))
    rows = [
        {
            "rank": rank + 1,
            "right": bool(right),
            **dict(zip(HELD, total[rank, right].tolist(), strict=True)),
        }
        for rank in range(RANKS)
        for right in (1, 0)
    ]
    return pl.DataFrame(rows)


def revotes(looked: Sequence[Hindsight], *, seed: int = 0) -> pl.DataFrame:
    """The same episodes' branches under other weights, against the answers as they were given.

    - `count`: each branch that votes counts 1.
    - `first K finished`: only the first K branches that finished count.
    - `1/length`: a branch counts 1 / its depth in intervals.
    - `kept`: a branch counts the share of its intervals at which it showed its last answer.
    - `first halved`: a branch that ends on the first answer it showed counts 1/2.

    Returns:
        Columns weight, accuracy (mean over questions), difference to the answers as given, low and
        high (95 %, resampling questions), changed (share of episodes in which correctness differs).
    """
    frame = pl.concat([_right(one) for one in looked])
    by_question = frame.group_by("dataset", "question", maintain_order=True).agg(pl.all().mean())
    weights = statistics.question_weights(
        by_question.height, rng=np.random.default_rng(seed), resamples=500
    )
    as_given = by_question["as given"].to_numpy()
    rows = []
    for name in WEIGHTS:
        again = by_question[name].to_numpy()
        replicates = weights @ (again - as_given)
        low, high = statistics.bounds(replicates[1:], questions=by_question.height)
        rows.append(
            {
                "weight": name,
                "accuracy": float(again.mean()),
                "difference": float(replicates[0]),
                "low": float(low),
                "high": float(high),
                "changed": float((frame[name] != frame["as given"]).to_numpy().mean()),
            }
        )
    return pl.DataFrame(rows)


def _right(looked: Hindsight) -> pl.DataFrame:
    """Whether each episode's answer is right, as given and under each weight."""
    questions = looked.ran.task.pairs[:, 0]
    right = looked.votes == looked.ran.store.gold[questions, None]
    return pl.DataFrame(
        {
            "dataset": [looked.ran.store.dataset] * len(questions),
            "question": questions,
            "as given": looked.ran.correct,
            **{name: right[:, w] for w, name in enumerate(WEIGHTS)},
        }
    )


def streaks(looked: Sequence[Hindsight]) -> pl.DataFrame:
    """How far equal probes in a row can be trusted, by whether a finished branch agrees by then.

    Returns:
        Columns streak (first of the band), finished ("none finished", "agrees", "disagrees"),
        probes (that the program read), right and final (shares: the probe is right; it is the
        branch's final answer). No row where there is no such probe.
    """
    shape = (len(STREAKS), len(AGREEMENT), len(SEEN))
    total = sum((one.streaks for one in looked), np.zeros(shape, np.int64))
    rows = [
        {
            "streak": streak, "finished": finished, "probes": int(total[s, a, 0]),
            "right": total[s, a, 1] / total[s, a, 0], "final": total[s, a, 2] / total[s, a, 0],
        }
        for s, streak in enumerate(STREAKS)
        for a, finished in enumerate(AGREEMENT)
        if total[s, a, 0]
    ]  # fmt: skip
    schema = {
        "streak": pl.Int64, "finished": pl.String, "probes": pl.Int64, "right": pl.Float64,
        "final": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema)


def stops(looked: Sequence[Hindsight]) -> pl.DataFrame:
    """The best moment to stop in hindsight, by question: the first round after which it is right.

    An episode that is never right stops where it did, and saves nothing.

    Returns:
        Columns model, dataset, question, episodes, accuracy, best_accuracy (with the best stop),
        tokens (mean of all episodes), stop (mean tokens at the best stop, of episodes that have
        one; null if none has), saved (mean over all episodes); those that save most first.
    """
    frames = [
        pl.DataFrame(
            {
                "model": [one.ran.store.model] * len(one.stops),
                "dataset": [one.ran.store.dataset] * len(one.stops),
                "question": one.ran.task.pairs[:, 0],
                "correct": one.ran.correct,
                "tokens": one.ran.tokens,
                "stop": one.stops,
            }
        )
        for one in looked
    ]
    ever = pl.col("stop") >= 0
    return (
        pl.concat(frames)
        .group_by(_KEYS, maintain_order=True)
        .agg(
            pl.len().alias("episodes"),
            pl.col("correct").mean().alias("accuracy"),
            (ever | pl.col("correct")).mean().alias("best_accuracy"),
            pl.col("tokens").mean(),
            pl.col("stop").filter(ever).mean(),
            pl.when(ever)
            .then(pl.col("tokens") - pl.col("stop"))
            .otherwise(0)
            .mean()
            .alias("saved"),
        )
        .sort("saved", descending=True, maintain_order=True)
    )
