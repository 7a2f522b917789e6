"""The digest: what an explorer should know about a controller, most informative first, in 16 KB.

An explorer may know that a vote was wrong, never what the right answer is. So there is no answer
and no question text in it; what is said of right and wrong votes is summed over draws.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from autotts.diagnosis import lesson_text, marginal, pools
from autotts.diagnosis.findings import PARTS, VERDICTS, summarise
from autotts.diagnosis.lessons import hindsight_of
from autotts.diagnosis.markdown import table, thousands
from autotts.replay.driver import Ran
from autotts.stores import Store
from autotts.text import counted, head, percent

LIMIT_BYTES = 16 * 1024
_QUESTIONS = 12
_EPISODES = 2  # of each verdict
_PREDICTORS = 6
_BUDGETS = 5

_UNPROBED = (
    "## Without probes\n\nOnly final answers were recorded, so nothing is said of other votes, of"
    " answers held and left, of streaks and of the best stop.\n\n"
)
_WORDS = {
    "early": "stopped too early",
    "pruned": "pruned the winners",
    "outvoted": "right answer outvoted",
    "unopened": "right only among unopened branches",
    "hopeless": "hopeless: no branch of the draw shows the right answer",
}
_PART_WORDS = {
    "needed": "what the answer took",
    "after_settled": "after the vote was what it stayed",
    "on_pruned": "on branches pruned later",
    "on_hopeless": "in hopeless episodes",
}


def digest(
    found: pl.DataFrame,
    ran: Sequence[Ran],
    *,
    parent: pl.DataFrame | None = None,
    more: str = "autotts diagnose STORE -c SPEC",
    limit_bytes: int = LIMIT_BYTES,
) -> str:
    """Findings, marginal value and pool statistics in Markdown.

    Args:
        found: what `findings.findings_of` gives for the controller at all its betas.
        ran: its episodes; those at the largest beta show the marginal value of going on.
        parent: findings of another controller on the same stores and draws, to compare with.
        more: the command that tells more, `--question` and `--draw` are added to it.
        limit_bytes: longer texts lose their last sections, then lines.
    """
    stores = list({id(one.store): one.store for one in ran}.values())
    highest = max(one.spec.beta for one in ran)
    last = [one for one in ran if one.spec.beta == highest]
    # What branches showed on the way is not known where only final answers were recorded.
    probed = all(store.pool.probes is not None for store in stores)
    looked = hindsight_of(found, ran) if probed else []
    lessons: list[Callable[[], str]] = [
        lambda: lesson_text.revotes(looked),
        lambda: lesson_text.held(looked),
        lambda: lesson_text.streaks(looked),
        lambda: lesson_text.stops(looked),
    ]
    sections: list[Callable[[], str]] = [
        lambda: _headline(found),
        lambda: _losses(found),
        lambda: _waste(found),
        lambda: _against(found, parent) if parent is not None else "",
        lambda: _questions(found, more),
        lambda: lesson_text.winnable(found, ran),
        *(lessons if probed else [lambda: _UNPROBED]),
        lambda: _marginal(found, last),
        lambda: _ceilings(found, stores),
        lambda: _episodes(found, more),
        lambda: _pools(stores),
    ]
    text = ""
    for section in sections:
        text += section()
        if len(text.encode()) > limit_bytes:
            return _cut(text, limit_bytes, more)
    return text


def _cut(text: str, limit_bytes: int, more: str) -> str:
    """As many whole lines as fit, and where to find the rest."""
    end = f"\n(cut here; `{more}` tells the rest)\n"
    kept = head(text, limit_bytes - len(end.encode()))
    return kept[: kept.rfind("\n")] + end


def _headline(found: pl.DataFrame) -> str:
    """Accuracy, tokens and shares of verdicts, beta by beta."""
    name = found["controller"][0]
    means = summarise(found, ["beta"])
    stores = found.select("model", "dataset").unique().height
    rule = found["vote_rule"].mode()[0]
    rows = [
        [
            f"{row['beta']:g}", percent(row["accuracy"]), thousands(row["tokens"]),
            *(percent(row[verdict]) for verdict in VERDICTS[1:]),
            *(percent(row[part] / row["tokens"]) for part in PARTS),
        ]
        for row in means.iter_rows(named=True)
    ]  # fmt: skip
    return (
        f"# Diagnosis of {name}\n\n"
        f"{counted(found.height, 'episode')} on {counted(stores, 'store')}. Percent of episodes by"
        " verdict, the first that holds; then percent of tokens by what they were for. The vote"
        f" is that of {'finished branches' if rule == 'finished' else 'the latest answers'}.\n\n"
        + table(
            ["beta", "right", "tokens", *VERDICTS[1:], *PARTS],
            rows,
        )
        + "; ".join(
            f"{name}: {words.removeprefix(f'{name}: ')}"
            for name, words in (_WORDS | _PART_WORDS).items()
        )
        + ".\n\n"
    )


def _losses(found: pl.DataFrame) -> str:
    """What wrong votes lack, the most frequent that something can be done about first."""
    wrong = found.filter(~pl.col("correct"))
    if wrong.is_empty():
        return "## Where accuracy is lost\n\nNowhere: every vote is right.\n\n"
    lines = []
    for verdict in VERDICTS[1:-1]:
        part = wrong.filter(pl.col("verdict") == verdict)
        if part.height:
            share = part.height / found.height
            text = f"- {_WORDS[verdict]}: {percent(share)} % of episodes. {_evidence(part)}"
            lines.append((share, text))
    hopeless = wrong.filter(pl.col("verdict") == VERDICTS[-1]).height / found.height
    ordered = [text for _, text in sorted(lines, reverse=True)]
    pruning = found.select(
        cost=(pl.col("pruning") < 0).mean(),
        saved=(pl.col("pruning") > 0).mean(),
        right=pl.col("pruned_right").sum() / pl.max_horizontal(pl.col("n_pruned").sum(), 1),
    ).row(0)
    if found["n_pruned"].sum():
        ordered.append(
            f"- pruning, all in all: made {percent(pruning[0])} % of votes wrong and"
            f" {percent(pruning[1])} % right; {percent(pruning[2])} % of pruned branches would"
            " have ended right"
        )
    ordered.append(f"- nothing helps in {percent(hopeless)} %: {_WORDS['hopeless']}")
    return "## Where accuracy is lost\n\n" + "\n".join(ordered) + "\n\n"


def _evidence(part: pl.DataFrame) -> str:
    """Means and medians over the episodes of one verdict."""
    verdict = str(part["verdict"][0])
    if verdict == "early":
        ways = []
        for name, unit in (("early_intervals", "intervals"), ("early_branches", "branches")):
            helped = part.filter(pl.col(name) > 0)
            if helped.height:
                median = np.median(helped[name].to_numpy())
                ways.append(
                    f"{median:g} more {unit} would do in"
                    f" {percent(helped.height / part.height)} % of them, for"
                    f" {thousands(_mean(helped[f'{name}_tokens']))} tokens"
                )
        return "; ".join(ways) + "."
    if verdict == "pruned":
        return (
            f"{_mean(part['n_pruned']):.1f} branches pruned, {_mean(part['pruned_right']):.1f} of"
            " them would have ended right; reading them on costs"
            f" {thousands(_mean(part['unpruned_tokens']))} tokens."
        )
    if verdict == "outvoted":
        opened = _mean(part["right_opened"])
        return (
            f"The winner has {_mean(part['answer_votes']):.1f} votes, the right answer"
            f" {_mean(part['right_votes']):.1f}; {opened:.1f} opened and"
            f" {_mean(part['right_unopened']):.1f} unopened branches end right."
        )
    return f"{_mean(part['right_unopened']):.1f} of the unopened branches end right."


def _mean(column: pl.Series) -> float:
    return float(column.cast(pl.Float64).to_numpy().mean())


def _waste(found: pl.DataFrame) -> str:
    """How much of the tokens came after the vote was settled, by what the vote was."""
    rows = []
    for name, part in (
        ("right", found.filter("correct")),
        ("wrong", found.filter(~pl.col("correct"))),
    ):
        if part.height:
            settled, tokens = part["settled_tokens"].to_numpy(), part["tokens"].to_numpy()
            share = settled / np.maximum(tokens, 1)
            rows.append(
                [
                    name, part.height, thousands(tokens.mean()), thousands(settled.mean()),
                    *(percent(q, ".0f") for q in np.quantile(share, [0.1, 0.5, 0.9])),
                ]
            )  # fmt: skip
    return (
        "## When the vote was settled\n\nWith hindsight: after so many tokens the vote was what it"
        " is at the end. Percentiles are of settled over all tokens, in percent.\n\n"
        + table(["vote", "episodes", "tokens", "settled after", "p10", "p50", "p90"], rows)
    )


def _against(found: pl.DataFrame, parent: pl.DataFrame) -> str:
    """Questions won and lost against another controller, over the betas both have."""
    keys = ["model", "dataset", "question"]
    both = set(found["beta"].unique()) & set(parent["beta"].unique())
    mine, theirs = (
        frame.filter(pl.col("beta").is_in(list(both)))
        .group_by(keys)
        .agg(pl.col("correct", "tokens").mean())
        for frame in (found, parent)
    )
    joined = mine.join(theirs, on=keys, suffix="_before").with_columns(
        change=pl.col("correct") - pl.col("correct_before")
    )
    if joined.is_empty():
        return ""
    moved = joined.filter(pl.col("change").abs() > 0.005).sort("change", *keys)
    lines = [
        f"accuracy {percent(_mean(joined['change']), '+.2f')} points, tokens"
        f" {_mean(joined['tokens']) / max(_mean(joined['tokens_before']), 1) - 1:+.1%}; better on"
        f" {(moved['change'] > 0).sum()}, worse on {(moved['change'] < 0).sum()} of"
        f" {counted(joined.height, 'question')}",
        "",
    ]
    for title, part in (("lost", moved.head(6)), ("won", moved.tail(6).reverse())):
        shown = [
            f"{row['model']}/{row['dataset']} q{row['question']} {percent(row['change'], '+.0f')}"
            for row in part.iter_rows(named=True)
            if (row["change"] < 0) == (title == "lost")
        ]
        lines.append(f"- {title}: {', '.join(shown) or 'none'}")
    return f"## Against {parent['controller'][0]}\n\n" + "\n".join(lines) + "\n\n"


def _questions(found: pl.DataFrame, more: str) -> str:
    """Questions with most to win: wrong, but not hopeless; over all betas and draws."""
    worst = (
        summarise(found, ["model", "dataset", "question"])
        .with_columns(loss=pl.sum_horizontal(VERDICTS[1:-1]))
        .filter(pl.col("loss") > 0)
        .sort(["loss", "tokens"], descending=True)
        .head(_QUESTIONS)
    )
    rows = [
        [
            f"{row['model']}/{row['dataset']}", row["question"], percent(row["accuracy"]),
            thousands(row["tokens"]), *(percent(row[verdict]) for verdict in VERDICTS[1:]),
            percent(row["after_settled"] / row["tokens"]),
        ]
        for row in worst.iter_rows(named=True)
    ]  # fmt: skip
    return f"## Questions with most to win\n\n`{more} --question Q` tells more.\n\n" + table(
        ["store", "question", "right", "tokens", *VERDICTS[1:], "after settled"],
        rows,
    )


def _marginal(found: pl.DataFrame, ran: Sequence[Ran]) -> str:
    """What going on brings at token checkpoints, and what predicts it."""
    rules = {
        (model, dataset, beta): rule
        for model, dataset, beta, rule in found.select("model", "dataset", "beta", "vote_rule")
        .unique()
        .iter_rows()
    }
    states = pl.concat(
        [
            marginal.states(one, vote_rule=rules[one.store.model, one.store.dataset, one.spec.beta])
            for one in ran
        ]
    )
    if states.is_empty():
        return ""
    gains = [
        [
            f"{row['checkpoint'] // 1000}k", row["episodes"], percent(row["right"]),
            percent(row["gained"]), percent(row["lost"]),
        ]
        for row in marginal.gains(states).iter_rows(named=True)
    ]  # fmt: skip
    best = marginal.predictors(states, rng=np.random.default_rng(0)).head(_PREDICTORS)
    predictors = [
        [
            row["feature"], _auc(row["auc"], row["auc_low"], row["auc_high"]),
            f"{row['correlation']:+.2f}",
        ]
        for row in best.iter_rows(named=True)
    ]  # fmt: skip
    text = (
        f"## Marginal value at beta {ran[0].spec.beta:g}\n\nEpisodes that go on past a checkpoint,"
        " and percent of votes that become right, or wrong, by twice as many tokens.\n\n"
        + table(["tokens", "episodes", "right", "gained", "lost"], gains)
    )
    if predictors:
        text += (
            "What tells at a checkpoint that going on will make the vote right: AUC with interval"
            " (below 0.5: small values do), correlation with the gain.\n\n"
            + table(["feature", "AUC", "correlation"], predictors)
        )
    return text


def _ceilings(found: pl.DataFrame, stores: Sequence[Store]) -> str:
    """The best that hindsight could reach at the tokens the controller spends."""
    spent = summarise(found, ["beta"]).select("tokens", "accuracy").sort("tokens").unique()
    at = np.unique(np.linspace(0, spent.height - 1, _BUDGETS).round().astype(int))
    shown = spent.sort("tokens")[at.tolist()]
    budgets = [int(tokens) for tokens in shown["tokens"]]
    frames = [pools.ceilings(store, budgets=budgets, n_draws=10) for store in stores]
    rows = []
    for k, budget in enumerate(budgets):
        means = [
            float(np.mean([f[name][k] for f in frames])) for name in ("settled", "race", "probe")
        ]
        rows.append([thousands(budget), percent(shown["accuracy"][k]), *map(percent, means)])
    return (
        "## Ceilings\n\nBest accuracy for as many tokens with hindsight: stopping one-by-one"
        " reading as soon as the vote is settled; the best width and moment of a race of whole"
        " branches; reading only what first shows the right answer.\n\n"
        + table(["tokens", "controller", "settled", "race", "any probe"], rows)
    )


def _episodes(found: pl.DataFrame, more: str) -> str:
    """Episodes to look at: of each verdict, those with most evidence."""
    weight = (
        pl.when(pl.col("verdict") == "early").then(-pl.col("early_branches_tokens"))
        .when(pl.col("verdict") == "pruned").then(pl.col("pruned_right"))
        .when(pl.col("verdict") == "outvoted").then(pl.col("right_opened"))
        .when(pl.col("verdict") == "right").then(pl.col("after_settled"))
        .otherwise(pl.col("right_unopened"))
    )  # fmt: skip
    chosen = (
        found.filter(pl.col("verdict") != VERDICTS[-1])
        .with_columns(weight.alias("weight"))
        .sort("weight", descending=True, maintain_order=True)
        .unique(["verdict", "model", "question"], keep="first", maintain_order=True)
        .group_by("verdict", maintain_order=True)
        .head(_EPISODES)
        .sort("verdict", maintain_order=True)
    )
    lines = [
        f"- {'right, late' if row['verdict'] == 'right' else _WORDS[row['verdict']]}:"
        f" {row['model']}/{row['dataset']} --beta {row['beta']:g} --question {row['question']}"
        f" --draw {row['draw']}; {thousands(row['tokens'])} tokens, settled after"
        f" {thousands(row['settled_tokens'])}, {row['n_finished']} finished,"
        f" {row['n_pruned']} pruned"
        for row in chosen.iter_rows(named=True)
    ]
    if not lines:
        return ""
    return f"## Episodes to look at\n\nWith `{more}`:\n\n" + "\n".join(lines) + "\n\n"


def _pools(stores: Sequence[Store]) -> str:
    """What the pools are like, whatever controller plays on them."""
    text = "## The pools\n\n"
    rows = []
    for store in stores:
        row = pools.summary(store, mathematical=False).row(0, named=True)
        rows.append(
            [
                store.name, percent(row["branch_accuracy"]), percent(row["hopeless"]),
                thousands(row["tokens_mean"]), percent(row["failed_probes"]),
                percent(row["failed_finals"]),
            ]
        )  # fmt: skip
    text += table(
        ["store", "branches right", "hopeless", "tokens", "failed probes", "failed finals"], rows
    )
    text += "hopeless: percent of questions on which no branch shows the right answer.\n\n"
    races = _mean_over(stores, pools.first_finishers, ["race", "first"])
    text += "Vote of the first k of K branches run side by side:\n\n" + table(
        ["K", "k", "right", "tokens"],
        [
            [r["race"], r["first"], percent(r["accuracy"]), thousands(r["tokens"])]
            for r in races.iter_rows(named=True)
        ],
    )
    streaks = _mean_over(stores, pools.by_streak, ["streak"])
    if not streaks.is_empty():
        rows = [
            [r["streak"], *map(percent, list(r.values())[1:])]
            for r in streaks.iter_rows(named=True)
        ]
        text += "Probes by how many in a row agree (up to the next row):\n\n"
        text += table(["streak", "probes", "right", "the branch's final answer"], rows)
    depths = _mean_over(stores, pools.by_depth, ["depth"])
    text += "By depth in intervals (up to the next row); hazard of ending is per interval:\n\n"
    text += table(
        depths.columns,
        [[r["depth"], *map(percent, list(r.values())[1:])] for r in depths.iter_rows(named=True)],
    )
    features = _mean_over(stores, pools.branch_features, ["feature", "known"])
    features = features.sort((pl.col("auc") - 0.5).abs(), descending=True)
    return (
        text
        + "Which branches of a question end right (AUC within it):\n\n"
        + table(
            ["feature", "known", "AUC"],
            [[r["feature"], r["known"], f"{r['auc']:.2f}"] for r in features.iter_rows(named=True)],
        )
    )


def _auc(value: float, low: float, high: float) -> str:
    """With its interval, where so few questions have one."""
    interval = f" [{low:.2f}, {high:.2f}]" if math.isfinite(low) else ""
    return f"{value:.2f}{interval}"


def _mean_over(
    stores: Sequence[Store], statistic: Callable[[Store], pl.DataFrame], by: Sequence[str]
) -> pl.DataFrame:
    """Mean of a statistic over stores, in the order of the first."""
    frames = [frame for frame in map(statistic, stores) if not frame.is_empty()]
    if not frames:
        return pl.DataFrame(schema={**dict.fromkeys(by, pl.String), "auc": pl.Float64})
    joined = pl.concat(frames, how="vertical_relaxed")
    return joined.group_by(by, maintain_order=True).agg(pl.all().exclude(by).mean())
