"""Tables for terminals of 60 columns or more: accuracies and differences with their intervals."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from autotts.evaluation.compare import Acceptance
from autotts.evaluation.objectives import FORECAST, UNITS, Objective
from autotts.evaluation.statistics import in_percent

Row = Mapping[str, Any]

_NARROW = 80
"""Columns of a terminal from which on there is room for everything."""

_UNKNOWN = "?: can't be told from so few questions"

_MEANS = ("accuracy", "tokens", "sequential_tokens", "width")
_OPTIONAL = ("cost", *FORECAST)


class Fitted:
    """A table that is made for the width it is given."""

    def __init__(self, make: Callable[[int], RenderableType]) -> None:
        """
        Args:
            make: the table for a terminal of so many columns.
        """
        self._make = make

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._make(options.max_width)


_HEADS = ("β", "accuracy", "95 %", "tokens", "sequential", "width")


def evaluation_table(results: Sequence[Row]) -> RenderableType:
    """What an evaluation found, store by store; with several stores their mean last.

    SPECs that leave the figures no room stand on lines of their own.

    Args:
        results: `Evaluation.results()`, or the `results` of a file it wrote.
    """
    groups: dict[str, list[tuple[Row, str]]] = {
        name: [(row, _interval(row)) for row in rows] for name, rows in by_store(results).items()
    }
    if len(groups) > 1:
        groups[f"mean of {len(groups)} stores"] = [(row, "") for row in store_means(results)]
    return Fitted(lambda width: _evaluation_table(groups, width))


def _evaluation_table(
    groups: Mapping[str, Sequence[tuple[Row, str]]], width: int
) -> RenderableType:
    rows = [row for group in groups.values() for row in group]
    # With one model a cost says what the tokens say; results of before have none.
    priced = any(row.get("cost", row["tokens"]) != row["tokens"] for row, _ in rows)
    forecast = [name for name in FORECAST if all(name in row for row, _ in rows)]
    heads = (*_HEADS, *(["cost"] if priced else []), *forecast)

    def figures(row: Row, interval: str) -> tuple[str, ...]:
        cost = (f"{row['cost']:,.0f}",) if priced else ()
        return (*_figures(row, interval), *cost, *(f"{row[name]:.4g}" for name in forecast))

    cells = [heads, *(figures(row, interval) for row, interval in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    names = max(len("controller"), *(2 + len(row["controller"]) for row, _ in rows))
    apart = names + sum(widths) + 2 * len(widths) <= width
    first, gap = (names, 2) if apart else (2, 1)

    def line(head: str, figures: Sequence[str]) -> Text:
        right = (f"{text:>{most}}" for text, most in zip(figures, widths, strict=True))
        return Text((" " * gap).join([f"{head:<{first}}", *right]).rstrip())

    lines = [line("controller" if apart else "", heads)]
    lines.append(Text("─" * (first + sum(widths) + gap * len(widths))))
    for name, group in groups.items():
        lines.append(Text(name, style="bold", overflow="fold"))
        told = None
        for row, interval in group:
            # A program's name is somebody's text: never read as markup.
            if not apart and row["controller"] != told:
                told = row["controller"]
                lines.append(Text(f"  {told}", overflow="fold"))
            lines.append(line(f"  {row['controller']}" if apart else "", figures(row, interval)))
    notes = (
        "accuracy in % with its 95 % interval; per question: total tokens, sequential tokens (the"
        " longest decode of each round, so latency), branches opened"
    )
    if priced:
        notes += "; cost: tokens times the price of their model"
    if forecast:
        notes += "; seconds and usd: as the server model forecasts"
    if any(interval == _NONE for _, interval in rows):
        notes += f"; {_NONE}: so few questions say nothing about others"
    return Group(*lines, Text(notes, style="dim"))


_NONE = "none"


def _interval(row: Row) -> str:
    low, high = row["accuracy_low"], row["accuracy_high"]
    return _NONE if low <= 0 and high >= 100 else span(low, high)


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
            **{name: mean for name in _OPTIONAL if (mean := _mean(rows, name)) is not None},
        }
        for rows in groups.values()
        if len(rows) == stores
    ]


def _mean(rows: Sequence[Row], name: str) -> float | None:
    """The mean of a figure, where all results have it."""
    if not all(name in row for row in rows):
        return None
    return float(sum(row[name] for row in rows) / len(rows))


def comparison_table(
    frame: pl.DataFrame,
    *,
    a: str,
    b: str,
    reference: str | None = None,
    objective: Objective = "tokens",
) -> RenderableType:
    """Two controllers at equal tokens, or at equal amounts of what an objective counts.

    Args:
        frame: `at_tokens` of a `Comparison`.
        a, b: their names.
        reference: the name of what budgets are shares of; b if not given.
        objective: of the comparison.
    """
    return Fitted(lambda width: _comparison_table(frame, a, b, reference or b, objective, width))


def _comparison_table(
    frame: pl.DataFrame, a: str, b: str, reference: str, objective: Objective, width: int
) -> RenderableType:
    table = plain_table(
        "budget", objective, "A", "B", "A − B", "95 %", "wins", "verdict", text=(0, 7),
        narrow=width < _NARROW,
    )  # fmt: skip
    for row in frame.iter_rows(named=True):
        table.add_row(
            f"{row['fraction']:.0%}",
            _amount(row["budget"], objective, narrow=width < _NARROW),
            f"{row['accuracy_a']:.2f}",
            f"{row['accuracy_b']:.2f}",
            f"{row['difference']:+.2f}",
            span(row["low"], row["high"], signed=True),
            _wins(row),
            _verdict(row["verdict"]),
        )
    detectable = [value for value in frame["detectable"].to_list() if math.isfinite(value)]
    notes = [
        f"budget: share of the most that {reference} spends, and as {UNITS[objective]} per question"
        + ("; SC@N votes over N branches" if reference.startswith("SC@") else ""),
        "A, B: accuracy in %; A − B: in points, with its 95 % interval",
        "wins: questions that A, that B gets right more often",
        "verdict: can't tell, where the interval has both signs in it",
    ]
    if not np.isfinite(frame.select("low", "high").to_numpy()).all():
        notes.append(_UNKNOWN)
    if detectable and min(detectable) >= 0.05:
        notes.append(f"differences below {min(detectable):.1f} points are hard to show")
    return Group(
        _heading(f"Accuracy in % at equal {UNITS[objective]}", a, b),
        table,
        Text("\n".join(notes), style="dim"),
    )


def saving_table(
    frame: pl.DataFrame, *, a: str, b: str, objective: Objective = "tokens"
) -> RenderableType:
    """Two controllers at equal accuracy.

    Args:
        frame: `at_accuracy` of a `Comparison`.
        a, b: their names.
        objective: of the comparison.
    """
    return Fitted(lambda width: _saving_table(frame, a, b, objective, width))


def _saving_table(
    frame: pl.DataFrame, a: str, b: str, objective: Objective, width: int
) -> RenderableType:
    table = plain_table(
        "accuracy", f"{objective} A", f"{objective} B", "A saves", "95 %", "wins", "verdict",
        text=(6,), narrow=width < _NARROW,
    )  # fmt: skip
    for row in frame.iter_rows(named=True):
        table.add_row(
            f"{row['accuracy']:.2f}",
            _amount(row["tokens_a"], objective),
            _amount(row["tokens_b"], objective),
            _percent(row["saving"]),
            f"{_percent(row['low'])} … {_percent(row['high'])}",
            _wins(row),
            _verdict(row["verdict"]),
        )
    notes = [
        f"accuracy: in %, that both must reach; {objective}: per question to get there",
        f"A saves: share of B's {UNITS[objective]}, with its 95 % interval",
        "wins: questions on which A, on which B spends less",
    ]
    if not np.isfinite(frame.select("saving", "low", "high").to_numpy()).all():
        notes.append(f"{_UNKNOWN}, or one of them never gets there")
    return Group(
        _heading(f"{UNITS[objective].capitalize()} at equal accuracy", a, b),
        table,
        Text("\n".join(notes), style="dim"),
    )


def acceptance_line(found: Acceptance) -> RenderableType:
    """Whether A's whole frontier is above B's by more than chance, in a line."""
    gap = in_percent(found.difference)
    words = {1: "A is better", -1: "B is better", 0: "can't tell which is better"}[gap.sign]
    points = span(gap.low, gap.high, signed=True)
    if not math.isfinite(gap.low):
        points = "unknown from so few questions"
    return Text.assemble(
        f"Over all budgets, frontier area A − B: {gap.estimate:+.2f} points, 95 % {points}: ",
        (words, "bold"),
    )


def span(low: float, high: float, *, signed: bool = False) -> str:
    """An interval in a table's few characters."""
    form = "{:+.1f}" if signed else "{:.1f}"
    return " … ".join(form.format(end) if math.isfinite(end) else "?" for end in (low, high))


def plain_table(*columns: str, text: Sequence[int] = (0,), narrow: bool = False) -> Table:
    """An empty table.

    Args:
        text: which columns hold words.
        narrow: whether to keep its columns closer together.
    """
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True,
        padding=(0, 0) if narrow else (0, 1),
    )  # fmt: skip
    for k, name in enumerate(columns):
        words = k in text
        # Words fold where the terminal is narrow; a number is never cut.
        table.add_column(
            name, justify="left" if words else "right", no_wrap=not words, overflow="fold"
        )
    return table


def _heading(title: str, a: str, b: str) -> Text:
    return Text.assemble((title, "bold"), "\nA: ", a, "\nB: ", b)


def _figures(row: Row, interval: str) -> tuple[str, ...]:
    return (
        f"{row['beta']:.2f}",
        f"{row['accuracy']:.2f}",
        interval,
        f"{row['tokens']:,.0f}",
        f"{row['sequential_tokens']:,.0f}",
        f"{row['width']:.1f}",
    )


def _amount(amount: float, objective: Objective, *, narrow: bool = False) -> str:
    """What is spent; "never" for what no amount reaches."""
    if not math.isfinite(amount):
        return "never"
    if objective in FORECAST:
        return f"{amount:.4g}"
    return f"{amount / 1000:,.0f}k" if narrow and amount >= 1000 else f"{amount:,.0f}"


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
