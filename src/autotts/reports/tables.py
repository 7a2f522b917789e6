"""Tables for the terminal, 80 columns wide: every accuracy and difference with its interval."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autotts.evaluation.compare import Acceptance

Row = Mapping[str, Any]

_MEANS = ("accuracy", "tokens", "sequential_tokens", "width")


def evaluation_table(results: Sequence[Row]) -> RenderableType:
    """What an evaluation found, store by store; with several stores their mean last.

    Args:
        results: `Evaluation.results()`, or the `results` of a file it wrote.
    """
    table = plain_table("controller", "β", "accuracy", "95 %", "tokens", "sequential", "width")
    stores = by_store(results)
    for store, rows in stores.items():
        table.add_section()
        table.add_row(Text(store, style="bold"))
        for row in rows:
            interval = span(row["accuracy_low"], row["accuracy_high"])
            table.add_row(*_cells(row, interval))
    if len(stores) > 1:
        table.add_section()
        table.add_row(Text(f"mean of {len(stores)} stores", style="bold"))
        for row in store_means(results):
            table.add_row(*_cells(row, ""))
    note = "accuracy in %; per question: total tokens, sequential tokens, branches"
    return Group(table, Text(note, style="dim"))


def by_store(results: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by `model/dataset`, in order of first appearance."""
    found: dict[str, list[Row]] = {}
    for row in results:
        found.setdefault(f"{row['model']}/{row['dataset']}", []).append(row)
    return found


def store_means(results: Sequence[Row]) -> list[dict[str, Any]]:
    """Each controller and beta, averaged over stores with equal weights.

    A row that was not run on every store is left out: its mean would be one of other stores.
    """
    stores = len(by_store(results))
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in results:
        groups.setdefault((row["controller"], row["beta"]), []).append(row)
    return [
        {
            **{key: rows[0][key] for key in ("controller", "name", "beta")},
            **{key: sum(row[key] for row in rows) / len(rows) for key in _MEANS},
        }
        for rows in groups.values()
        if len(rows) == stores
    ]


def comparison_table(
    frame: pl.DataFrame, *, a: str, b: str, reference: str | None = None
) -> RenderableType:
    """Two controllers at equal tokens.

    Args:
        frame: as `autotts.evaluation.compare.compare` gives it.
        a, b: their names.
        reference: the name of what budgets are shares of; b if not given.
    """
    table = plain_table(
        "budget", "tokens", "A", "B", "A − B", "95 %", "wins", "verdict", text=(0, 7)
    )
    for row in frame.iter_rows(named=True):
        table.add_row(
            f"{row['fraction']:.0%}",
            f"{row['budget']:,.0f}",
            f"{100 * row['accuracy_a']:.2f}",
            f"{100 * row['accuracy_b']:.2f}",
            f"{100 * row['difference']:+.2f}",
            span(100 * row["low"], 100 * row["high"], signed=True),
            _wins(row),
            _verdict(row["verdict"]),
        )
    detectable = [value for value in frame["detectable"].to_list() if math.isfinite(value)]
    notes = [
        f"budget: share of the most that {reference or b} spends",
        "wins: questions that A, that B gets right more often",
    ]
    if detectable:
        notes.append(f"differences below {100 * min(detectable):.1f} points are hard to show")
    return Group(
        _heading("Accuracy in % at equal tokens", a, b), table, Text("\n".join(notes), style="dim")
    )


def saving_table(frame: pl.DataFrame, *, a: str, b: str) -> RenderableType:
    """Two controllers at equal accuracy.

    Args:
        frame: as `autotts.evaluation.compare.compare_tokens` gives it.
        a, b: their names.
    """
    table = plain_table(
        "accuracy", "tokens A", "tokens B", "A saves", "95 %", "wins", "verdict", text=(6,)
    )
    for row in frame.iter_rows(named=True):
        table.add_row(
            f"{100 * row['accuracy']:.2f}",
            _count(row["tokens_a"]),
            _count(row["tokens_b"]),
            _percent(row["saving"]),
            f"{_percent(row['low'])} … {_percent(row['high'])}",
            _wins(row),
            _verdict(row["verdict"]),
        )
    return Group(
        _heading("Tokens at equal accuracy", a, b),
        table,
        Text("wins: questions on which A, on which B spends less", style="dim"),
    )


def acceptance_line(found: Acceptance) -> RenderableType:
    """Whether A's whole frontier is above B's by more than chance, in a line."""
    gap = found.difference
    words = {1: "A is better", -1: "B is better", 0: "can't tell which is better"}[gap.sign]
    points = span(100 * gap.low, 100 * gap.high, signed=True)
    return Text.assemble(
        f"Over all budgets, frontier area A − B: {100 * gap.estimate:+.2f} points, 95 % {points}: ",
        (words, "bold"),
    )


def span(low: float, high: float, *, signed: bool = False) -> str:
    """An interval in a table's few characters."""
    form = "{:+.1f}" if signed else "{:.1f}"
    return " … ".join(form.format(end) if math.isfinite(end) else "?" for end in (low, high))


def plain_table(*columns: str, text: Sequence[int] = (0,)) -> Table:
    """An empty table.

    Args:
        text: which columns hold words.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for k, name in enumerate(columns):
        words = k in text
        # Words fold where the terminal is narrow; a number is never cut.
        table.add_column(
            name, justify="left" if words else "right", no_wrap=not words, overflow="fold"
        )
    return table


def _heading(title: str, a: str, b: str) -> Text:
    return Text.assemble((title, "bold"), "\nA: ", a, "\nB: ", b)


def _cells(row: Row, interval: str) -> list[RenderableType]:
    # A program's name is somebody's text: never read as markup.
    return [
        Padding(Text(row["controller"]), (0, 0, 0, 2)),
        f"{row['beta']:.2f}",
        f"{row['accuracy']:.2f}",
        interval,
        f"{row['tokens']:,.0f}",
        f"{row['sequential_tokens']:,.0f}",
        f"{row['width']:.1f}",
    ]


def _count(tokens: float) -> str:
    return f"{tokens:,.0f}" if math.isfinite(tokens) else "never"


def _percent(share: float) -> str:
    return f"{share:.0%}" if math.isfinite(share) else "?"


def _wins(row: Row) -> str:
    if row["better"] is None:
        return "–"
    return f"{row['better']}:{row['worse']}"


def _verdict(verdict: str) -> Text:
    style = {"a better": "bold green", "b better": "bold red"}.get(verdict, "dim")
    return Text(
        verdict.replace("a better", "A better").replace("b better", "B better"), style=style
    )
