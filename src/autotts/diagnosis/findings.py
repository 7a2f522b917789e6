"""Findings: what each episode got wrong, and what it could have done, with the evidence.

An episode ends with an answer, given by a *vote*: `env.vote()`, or the most frequent latest answer
of all unpruned branches, whichever gives more of a controller's answers on a store (`vote_rule`;
`reproduced` says in which episodes it does). "Going on" is static: nothing else that the
controller did is changed, no budget holds, and a horizon of K intervals or branches ends it.

Every episode has one `verdict`, the first of these that holds:

- `right` (g): the answer given is the true one.
- `early` (a), stopped too early: continuing all active branches side by side for up to K more
  intervals (`early_intervals` of them, `early_intervals_tokens`), or reading up to K further
  branches of the draw to their ends (`early_branches`, `early_branches_tokens`), makes the vote
  right. The smallest number counts, even if the vote is wrong again later; 0 if there is none.
- `pruned` (c): the vote is right once every pruned branch is read to its end and votes too.
- `outvoted` (d): the right answer was shown by an opened branch, or an opened branch ends on it,
  and lost: `right_votes` against the `answer_votes` of the answer given.
- `unopened` (e): only branches of the draw that were not opened show the right answer or end on it.
- `hopeless` (f): no branch of the draw shows the right answer, at any depth or at its end.

Beside the verdict, in any episode:

- `late` (b), stopped too late: the vote was the answer given after `settled_tokens` tokens already,
  and stayed it to the end; the rest was waste.
- `pruned_right` of `n_pruned` branches would have ended right (c). `pruning` is what it did to the
  vote: 1 if the answer is right and without pruning would not be, -1 the other way round, 0 if the
  same; `unpruned_tokens` is what reading them to their ends would have cost.
- `right_opened`, `right_unopened`: branches of the draw, opened or not, that end right;
  `right_shown`: opened ones that showed the right answer at some time.

Tokens are split into parts that add up: all of a hopeless episode (`on_hopeless`); otherwise those
`after_settled`, those before it on branches that were pruned later (`on_pruned`), and the rest,
`needed`.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from autotts.diagnosis import counterfactual, pools
from autotts.replay.driver import Ran

HORIZON = 16
VERDICTS = ("right", "early", "pruned", "outvoted", "unopened", "hopeless")
PARTS = ("needed", "after_settled", "on_pruned", "on_hopeless")
VOTE_RULES = ("finished", "latest")

_EVIDENCE = (
    "settled_tokens", "early_intervals", "early_intervals_tokens", "early_branches",
    "early_branches_tokens", "n_finished", "n_pruned", "pruned_right", "unpruned_tokens",
    "right_votes", "answer_votes", "right_opened", "right_shown", "right_unopened",
)  # fmt: skip


def findings_of(ran: Sequence[Ran], *, horizon: int = HORIZON) -> pl.DataFrame:
    """The findings of every episode, one row each; see the head of this module.

    Args:
        ran: with logs.
        horizon: K, how many intervals or branches further an episode is let go on.

    Returns:
        Columns model, dataset, controller, beta, question, draw, correct, verdict, late, pruning,
        vote_rule, reproduced, answer and vote (codes of the pool), tokens, the four parts of the
        tokens, and the evidence.

    Raises:
        SpecError: no logs were kept.
    """
    if horizon < 1:
        raise ValueError(f"a horizon is at least 1 interval or branch, got {horizon}")
    return pl.concat([_diagnose_one(one, horizon) for one in ran])


def _diagnose_one(ran: Ran, horizon: int) -> pl.DataFrame:
    found = _walk(ran, 0, horizon)
    rule = 0
    if (found["vote"] != ran.codes).any():
        other = _walk(ran, 1, horizon)
        if (other["vote"] == ran.codes).sum() > (found["vote"] == ran.codes).sum():
            found, rule = other, 1
    return _frame(ran, found, VOTE_RULES[rule])


def _walk(ran: Ran, rule: int, horizon: int) -> np.ndarray:
    """`[E]` records of `counterfactual.OUT`."""
    gold = ran.store.gold.astype(np.int64)
    touched = pools.showing(ran.store)
    out = np.zeros(len(ran.task.pairs), counterfactual.OUT)
    walk = counterfactual.WalkMemory(ran)
    counterfactual.walk()(
        *walk.arguments, walk.free.address, ran.codes.copy(), gold, touched.astype(np.int8), rule,
        horizon, out,
    )  # fmt: skip
    return out


def _frame(ran: Ran, found: np.ndarray, rule: str) -> pl.DataFrame:
    gold = ran.store.gold[ran.task.pairs[:, 0]]
    correct = ran.correct
    reproduced = found["vote"] == ran.codes
    unpruned_correct = np.where(reproduced, found["unpruned_vote"] == gold, correct)
    pruning = correct.astype(np.int8) - unpruned_correct.astype(np.int8)
    hopeless = found["in_draw"] == 0
    verdict = np.select(
        [
            correct,
            (found["early_intervals"] > 0) | (found["early_branches"] > 0),
            pruning < 0,
            (found["right_shown"] > 0) | (found["right_opened"] > 0),
            ~hopeless,
        ],
        VERDICTS[:-1],
        VERDICTS[-1],
    )
    tokens, settled = found["tokens"], found["settled_tokens"]
    pruned = found["tokens_on_pruned"]
    return pl.DataFrame(
        {
            "question": ran.task.pairs[:, 0],
            "draw": ran.task.pairs[:, 1],
            "correct": correct,
            "verdict": pl.Series(verdict, dtype=pl.Enum(VERDICTS)),
            "late": settled < tokens,
            "pruning": pruning,
            "reproduced": reproduced,
            "answer": ran.codes,
            "vote": found["vote"],
            "tokens": tokens,
            "needed": np.where(hopeless, 0, settled - pruned),
            "after_settled": np.where(hopeless, 0, tokens - settled),
            "on_pruned": np.where(hopeless, 0, pruned),
            "on_hopeless": np.where(hopeless, tokens, 0),
            **{name: found[name] for name in _EVIDENCE},
        }
    ).select(
        pl.lit(ran.store.model).alias("model"),
        pl.lit(ran.store.dataset).alias("dataset"),
        pl.lit(ran.spec.text).alias("controller"),
        pl.lit(ran.spec.beta, pl.Float64).alias("beta"),
        pl.lit(rule).alias("vote_rule"),
        pl.all(),
    )


def summarise(findings: pl.DataFrame, by: Sequence[str] = ("controller", "beta")) -> pl.DataFrame:
    """Means of findings per group: by controller, by beta, by question, or any of the columns.

    Returns:
        The columns of `by`, episodes, tokens per question and its parts; shares of episodes:
        accuracy, one for each wrong verdict, late, reproduced, pruning_cost and pruning_saved (the
        vote became wrong, or right, by pruning); per episode: n_pruned, pruned_right; and over
        early episodes the medians of early_intervals and early_branches where that way helps.
    """
    shares = [(pl.col("verdict") == name).mean().alias(name) for name in VERDICTS[1:]]
    helped = [
        pl.col(name).filter((pl.col("verdict") == "early") & (pl.col(name) > 0)).median()
        for name in ("early_intervals", "early_branches")
    ]
    return (
        findings.group_by(by, maintain_order=True)
        .agg(
            pl.len().alias("episodes"),
            pl.col("correct").mean().alias("accuracy"),
            *shares,
            pl.col("late", "reproduced").mean(),
            (pl.col("pruning") < 0).mean().alias("pruning_cost"),
            (pl.col("pruning") > 0).mean().alias("pruning_saved"),
            pl.col("tokens", *PARTS, "n_pruned", "pruned_right").mean(),
            *helped,
        )
        .sort(by)
    )
