"""A leaderboard in words and numbers: what it shows, and as Markdown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from autotts.diagnosis.markdown import table
from autotts.evaluation.study.leaderboard import Leaderboard, Ranking, Standing, StoreFacts
from autotts.reports.tables import plain_table, span

OBJECTIVES = {
    "tokens": "tokens",
    "sequential": "sequential tokens, the proxy of latency",
    "cost": "cost units",
    "seconds": "seconds, as the server model forecasts",
    "usd": "dollars, as the server model forecasts",
}
NOTES = (
    "Area: mean accuracy in percent over all budgets from {low} to {high} of what SC@64 spends, in"
    " {objective}, evenly on a logarithmic scale; stores of one family of models are averaged"
    " first, and families count equally.",
    "Behind the best: in points, paired by question, with its 95 % interval. Where the interval"
    " reaches 0, the two can't be told apart.",
    "Best: how often it has the largest area when the questions are drawn anew.",
    "Worst family: the family of models on which it is furthest behind the best one there, and by"
    " how many points.",
    "Spends: its cheapest and its dearest setting, in percent of SC@64. Below its cheapest setting"
    " a controller can only leave questions unanswered, which costs it area.",
    "Slope: how many points likelier a question's longest branch is to be right than its shortest,"
    " with its 95 % interval over questions. Where it is far below 0, voting in the order in which"
    " branches finish is a gain; above 0 it is a loss.",
)


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry as it is shown: every figure as text."""

    rank: str
    area: str
    interval: str
    behind: str
    behind_interval: str
    best: str
    worst: str
    spends: str
    accuracy: str

    @classmethod
    def of(cls, entry: Standing, rank: int, families: int) -> "Shown":
        """The figures of the entry at a rank, from 1."""
        first = rank == 1
        return cls(
            str(rank),
            f"{entry.area:.1f}",
            span(entry.area_low, entry.area_high),
            "–" if first else f"{entry.behind:+.1f}",
            "" if first else span(entry.behind_low, entry.behind_high, signed=True),
            _probability(entry.probability),
            f"{entry.regret:.1f}" + (f" {entry.worst}" if families > 1 and entry.regret else ""),
            f"{_share(entry.cheapest)}–{_share(entry.dearest)}",
            f"{entry.accuracy:.1f}",
        )


def conclusion(board: Ranking) -> str:
    """Who is ahead, and of whom one can't be sure, in two sentences."""
    best, *others = board.entries
    lead = (
        f"{best.controller} has the largest area, {best.area:.1f} %, and is the best in"
        f" {_probability(best.probability)} of resamples."
    )
    near = [entry.controller for entry in others if not entry.behind_high < 0]
    if not others:
        return f"{best.controller} is the only controller, with an area of {best.area:.1f} %."
    if not near:
        return f"{lead} Every other controller is behind it beyond chance."
    return f"{lead} It can't be told apart from {_listed(near)}."


def title_of(board: Ranking, found: Leaderboard) -> str:
    """What a board is of, such as "25 stores of 12 families"."""
    every = "all " if len(board.stores) == len(found.stores) and len(found.boards) > 1 else ""
    return f"{every}{_count(len(board.stores), 'store')}, {_families(len(board.families))}"


def notes(found: Leaderboard) -> list[str]:
    """How to read it, a sentence or two each."""
    low, high = (f"{share:.0%}" for share in found.span)
    return [
        note.format(low=low, high=high, objective=OBJECTIVES[found.objective]) for note in NOTES
    ]


def left_out(found: Leaderboard) -> list[str]:
    """Which controllers some stores can't serve, and why; a sentence each."""
    reasons: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for one in found.left_out:
        reasons.setdefault((one.reason, one.stores), []).append(one.controller)
    return [
        f"{_listed(names)}: left out on {_several(stores, len(found.stores))} ({reason})."
        for (reason, stores), names in reasons.items()
    ]


def slope_text(store: StoreFacts) -> str:
    """A store's slope with its interval."""
    ends = (
        f"{end:+.0f}" if math.isfinite(end) else "?" for end in (store.slope_low, store.slope_high)
    )
    return f"{store.slope:+.0f} ({' … '.join(ends)})"


def made_by_text(found: Leaderboard) -> str:
    """What made the figures, in a sentence."""
    made = found.made_by
    return (
        f"Made by autotts {made['version']}: {made['draws']} draws, seed {made['seed']}, at most"
        f" {made['max_branches']} branches, budgets in {OBJECTIVES[found.objective]}."
    )


def table_of(board: Ranking) -> Table:
    """A board for the terminal."""
    shown = plain_table("", "controller", "area", "95 %", "behind", "best in", "spends", text=(1,))
    for rank, entry in enumerate(board.entries, 1):
        row = Shown.of(entry, rank, len(board.families))
        shown.add_row(
            row.rank, Text(entry.controller), row.area, row.interval, row.behind, row.best,
            row.spends,
        )  # fmt: skip
    return shown


def markdown(found: Leaderboard) -> str:
    """The leaderboard as Markdown."""
    parts = ["# Leaderboard of controllers\n"]
    for board in found.boards:
        parts.append(f"## On {title_of(board, found)}\n\n{_escape(conclusion(board))}\n")
        parts.append(_board_table(board).rstrip() + "\n")
        if len(board.families) > 1:
            parts.append("Area by family of models; the best of each in bold:\n")
            parts.append(_family_table(board).rstrip() + "\n")
    parts.append("## Stores\n")
    parts.append(_store_table(found.stores).rstrip() + "\n")
    if found.left_out:
        parts.append("\n".join(f"- {_escape(line)}" for line in left_out(found)) + "\n")
    parts.append("## How to read it\n")
    parts.append("\n".join(f"- {note}" for note in notes(found)) + "\n")
    parts.append(made_by_text(found) + "\n")
    return "\n".join(parts)


def _board_table(board: Ranking) -> str:
    header = (
        "", "controller", "area", "95 %", "behind the best", "95 %", "best", "worst family",
        "spends", "most accurate",
    )  # fmt: skip
    rows = []
    for rank, entry in enumerate(board.entries, 1):
        shown = Shown.of(entry, rank, len(board.families))
        rows.append(
            (
                shown.rank, _escape(entry.controller), shown.area, shown.interval, shown.behind,
                shown.behind_interval, shown.best, _escape(shown.worst), shown.spends,
                shown.accuracy,
            )
        )  # fmt: skip
    return table(header, rows)


def _family_table(board: Ranking) -> str:
    best = {f: max(entry.by_family[f] for entry in board.entries) for f in board.families}

    def cell(entry: Standing, family: str) -> str:
        text = f"{entry.by_family[family]:.1f}"
        return f"**{text}**" if entry.by_family[family] == best[family] else text

    rows = [
        (_escape(entry.controller), *(cell(entry, f) for f in board.families))
        for entry in board.entries
    ]
    return table(("controller", *map(_escape, board.families)), rows)


def _store_table(stores: Sequence[StoreFacts]) -> str:
    header = (
        "store", "family", "questions", "branches", "tokens a branch", "branches right", "slope"
    )  # fmt: skip
    rows = [
        (
            _escape(store.name), _escape(store.family), store.questions, store.branches,
            f"{store.branch_tokens:,.0f}", f"{store.branch_accuracy:.1f} %", slope_text(store),
        )
        for store in stores
    ]  # fmt: skip
    return table(header, rows)


def _escape(text: str) -> str:
    """Text in which nothing is Markdown."""
    for character in "\\`*_{}[]<>#|":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")


def _probability(share: float) -> str:
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{share:.0%}".replace("%", " %")


def _share(percent: float) -> str:
    return f"{percent:.0f}" if percent >= 1 else f"{percent:.1g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _families(number: int) -> str:
    return "one family" if number == 1 else f"{number} families"


def _several(names: Sequence[str], of: int) -> str:
    if len(names) <= 3:
        return _listed(names)
    return f"{len(names)} of {of} stores"


def _listed(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
