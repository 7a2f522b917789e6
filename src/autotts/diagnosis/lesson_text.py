"""The tables of `diagnosis.lessons` in Markdown, each with a line that explains it."""

from collections.abc import Sequence

import polars as pl

from autotts.diagnosis import lessons
from autotts.diagnosis.hindsight import HELD, RANKS, Hindsight
from autotts.diagnosis.markdown import table, thousands
from autotts.replay.driver import Ran
from autotts.text import percent

_QUESTIONS = 10
_STOPS = 6
_FEWEST_PROBES = 20


def winnable(found: pl.DataFrame, ran: Sequence[Ran]) -> str:
    """The questions at which most points are lost; "" where none is."""
    lost = lessons.winnable(found, ran)
    if lost.is_empty():
        return ""
    hopeless = lost.filter("hopeless")
    rows = [
        [
            f"{row['model']}/{row['dataset']}", row["question"], f"{row['points']:.2f}",
            percent(row["right_share"]), percent(row["winner_share"]),
            *(
                "-" if row[f"{who}_first"] is None
                else f"{row[f'{who}_first']}, {row[f'{who}_median']:g}"
                for who in ("right", "winner")
            ),
        ]
        for row in lost.head(_QUESTIONS).iter_rows(named=True)
    ]  # fmt: skip
    return (
        "## Questions lost but winnable\n\n"
        + table(
            [
                "store", "question", "points", "right branches", "winner's", "right finish",
                "winner finishes",
            ],
            rows,
        )
        + "points: accuracy lost there, in percent of all episodes. winner: the answer given"
        " in most wrong votes. Percent of the question's branches that end on each, and the"
        " interval of their first and median finish. Hopeless questions (no branch shows the"
        " right answer), last:"
        f" {hopeless.height} of {lost.height}, {hopeless['points'].sum():.1f} points.\n\n"
    )  # fmt: skip


def revotes(looked: Sequence[Hindsight]) -> str:
    """What other weights of the same votes would have given."""
    rows = [
        [
            row["weight"], percent(row["accuracy"]), percent(row["difference"], "+.2f"),
            f"[{percent(row['low'], '+.2f')}, {percent(row['high'], '+.2f')}]",
            percent(row["changed"]),
        ]
        for row in lessons.revotes(looked).iter_rows(named=True)
    ]  # fmt: skip
    return (
        "## The same branches under other votes\n\n"
        + table(["weight", "right", "difference", "95 %", "changed"], rows)
        + "difference: points to the answers as given, paired, with its interval; changed: percent"
        " of episodes. count: 1 for each branch that votes; first K finished: no other counts;"
        " 1/length: by depth in intervals; kept: share of a branch's intervals that showed its last"
        " answer; first halved: 1/2 where a branch ends on the first answer it showed.\n\n"
    )


def held(looked: Sequence[Hindsight]) -> str:
    """What became of the answers that branches held."""
    shown = lessons.held(looked).filter(pl.col("held") > 0)
    rows = [
        [
            f"{row['rank']}{'+' * (row['rank'] == RANKS)}",
            "right" if row["right"] else "wrong", row["held"],
            *(percent(row[name] / row["held"]) for name in HELD[1:]),
        ]
        for row in shown.iter_rows(named=True)
    ]  # fmt: skip
    return (
        "## Answers held, kept and left\n\n"
        + table(["rank", "answer", "branches", "kept", "left for right", "left for wrong"], rows)
        + f"rank: 1 is the first answer that an episode shows, {RANKS}+ are all later ones."
        " branches: that showed it at any interval they were decoded to, read or not; percent of"
        " them that had it last, or had the right or a wrong one last in its place.\n\n"
    )


def streaks(looked: Sequence[Hindsight]) -> str:
    """How far streaks can be trusted; "" where the program read no probe."""
    seen = lessons.streaks(looked).filter(pl.col("probes") >= _FEWEST_PROBES)
    if seen.is_empty():
        return ""
    rows = [
        [
            row["streak"], row["finished"], row["probes"], percent(row["right"]),
            percent(row["final"]),
        ]
        for row in seen.iter_rows(named=True)
    ]  # fmt: skip
    return (
        "## Streaks and finished branches\n\n"
        + table(["streak", "a finished branch", "probes", "right", "final"], rows)
        + "Probes that the program read, by how many in a row are equal (up to the next row) and"
        " whether a branch had finished on that answer by then; percent that are right, and that"
        " are the branch's final answer.\n\n"
    )


def stops(looked: Sequence[Hindsight]) -> str:
    """Where the best stop in hindsight saves most."""
    found = lessons.stops(looked)
    rows = [
        [
            f"{row['model']}/{row['dataset']}", row["question"], percent(row["accuracy"]),
            percent(row["best_accuracy"]), thousands(row["tokens"]), thousands(row["stop"]),
            thousands(row["saved"]),
        ]
        for row in found.head(_STOPS).iter_rows(named=True)
    ]  # fmt: skip
    weight = pl.col("episodes") / pl.col("episodes").sum()
    right, best, tokens, saved = (
        float((found.select((pl.col(name) * weight).sum())).item())
        for name in ("accuracy", "best_accuracy", "tokens", "saved")
    )
    return (
        "## The best stop in hindsight\n\n"
        f"All in all {percent(best)} % right in place of {percent(right)} %, for"
        f" {thousands(tokens - saved)} tokens in place of {thousands(tokens)}. Where it saves most:"
        "\n\n"
        + table(["store", "question", "right", "best", "tokens", "stop", "saved"], rows)
        + "best: percent right if each episode stopped after the first round in which its vote is"
        " right; stop: tokens by then; saved: per episode, 0 in those that are never right.\n\n"
    )
