"""Statistics as tables for the terminal: aligned, rounded, each column explained below."""

import itertools
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import polars as pl
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

_VERDICTS = {
    "accuracy": "share of episodes that are right",
    "early": "wrong, and going on a little would have made it right",
    "pruned": "wrong, and right had nothing been pruned",
    "outvoted": "wrong, though branches with the right answer were opened",
    "unopened": "wrong, with the right answer only in branches that were not opened",
    "hopeless": "wrong, and no branch of the draw shows the right answer",
}
_PARTS = {
    "needed": "tokens that the answer took",
    "after_settled": "tokens spent after the vote was what it stayed",
    "on_pruned": "tokens of branches that were pruned later",
    "on_hopeless": "tokens of hopeless episodes",
}

_NUMBER = re.compile(r"|[+-]?[0-9][^a-zA-Z]*")
"""A cell that is a number, or one with its interval; nothing where there is none."""

LEGENDS: Mapping[str, Mapping[str, str]] = {
    "summary": {
        "interval_tokens": "tokens between two probes of a branch",
        "tokens_mean": "tokens of a branch read to its end, mean and median",
        "branch_accuracy": "share of branches that end right, as text",
        "branch_accuracy_math": "the same with answers compared as mathematics",
        "hopeless": "share of questions on which no branch shows the right answer, at any depth or"
        " at its end",
        "always": "share of questions that every branch gets right",
        "failed_probes": "share of probes whose answer could not be read (ERR)",
        "failed_finals": "share of final answers that could not be read",
    },
    "first_finishers": {
        "race": "branches that run side by side",
        "first": "how many of them must finish before they vote",
        "accuracy": "share of votes that are right",
        "tokens": "tokens per question until then",
    },
    "by_depth": {
        "depth": "interval, the first of a band that doubles",
        "running": "share of branches that get so far",
        "reliability": "share of probes there that are right",
        "final": "share of probes there that are their branch's final answer",
        "hazard": "chance that a branch ends in an interval there",
        "ends_right": "share of branches ending there that end right",
    },
    "by_streak": {
        "streak": "equal probes in a row, the least of a band that doubles",
        "probes": "share of all probes that have such a streak",
        "reliability": "share of them that are right",
        "final": "share of them that are their branch's final answer",
    },
    "features": {
        "known": "from the whole branch, or from its first intervals",
        "auc": "chance that a right branch has more of it than a wrong one: 0.5 says nothing, below"
        " 0.5 right branches have less",
        "low": "low, high: the 95 % interval of auc",
        "questions": "questions with right and wrong branches",
    },
    "onset": {
        "right": "whether the row is of branches that end right",
        "onset": "interval from which all probes are the final answer, median",
        "of_length": "the same as a share of the branch, median",
        "wasted": "share of their tokens after it",
    },
    "ceilings": {
        "budget": "tokens per question, on average",
        "probe": "best accuracy if one knew which probe is right first",
        "race": "if one knew how many branches to run, and when to stop",
        "settled": "if one knew when the vote stays as it is",
    },
    "verdicts": {
        **_VERDICTS,
        "late": "share of episodes that could have stopped sooner with the same answer",
        "pruning_cost": "share of votes that pruning made wrong",
        "pruning_saved": "share of votes that pruning made right",
        "tokens": "tokens per question; the next columns say for what",
        **_PARTS,
        "n_pruned": "branches pruned per episode",
        "pruned_right": "of these, how many would have ended right",
        "early_intervals": "intervals that were missing where an episode stopped early, median",
        "early_branches": "branches that were missing there, median",
    },
    "tuning": {
        "trial": "number of the setting in --out",
        "accuracy": "percent of right answers, on the draws that the search used",
        "fresh_accuracy": "the same on draws that had no part in it",
        "tokens": "tokens per question, on the draws that the search used",
        "fresh_tokens": "the same on fresh draws",
    },
    "residuals": {
        "low": "low, high: values between them share a row",
    },
    "ablation": {
        "variant": "what was taken out",
        "kind": "frozen, a parameter kept at one value, or removed, a mechanism taken out",
        "accuracy": "points of accuracy, variant less program [95 % interval]",
        "better": "better, worse: questions more often right in the variant, in the program",
        "tokens": "percent of tokens more, or less, than the program",
        "area": "points of frontier area, that is of accuracy at equal tokens",
        "failure": "why the variant could not run",
    },
}  # fmt: skip
"""What columns mean, by table. A column that is not named here says it by its name."""


class Blocks:
    """Aligned columns, in as many blocks one below the other as the terminal's width asks for."""

    def __init__(self, columns: Sequence[Sequence[str]], *, keys: int = 1) -> None:
        """
        Args:
            columns: each one's head and cells, all of one width.
            keys: how many columns say which row it is; they are repeated in every block.
        """
        self._columns = columns
        self._keys = keys

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for k, block in enumerate(self._blocks(options.max_width)):
            if k:
                yield Text()
            rows = ("  ".join(row).rstrip() for row in zip(*block, strict=True))
            yield Text("\n".join(rows), overflow="fold")

    def _blocks(self, width: int) -> Iterator[list[Sequence[str]]]:
        keys = list(self._columns[: self._keys])
        block = keys
        for column in self._columns[self._keys :]:
            if sum(len(c[0]) + 2 for c in (*block, column)) - 2 > width and len(block) > len(keys):
                yield block
                block = keys
            block = [*block, column]
        yield block


class FrameTable:
    """A frame as a table, with what its columns mean below.

    NAME_low and NAME_high join NAME, as its interval.
    """

    def __init__(
        self,
        frame: pl.DataFrame,
        legend: str = "",
        *,
        heads: Mapping[str, str] | None = None,
        keys: int = 1,
    ) -> None:
        """
        Args:
            legend: which of `LEGENDS` explains the columns; none if empty.
            heads: what stands above columns in place of their names.
            keys: as in `Blocks`.
        """
        self._blocks = Blocks(_columns(frame, heads or {}), keys=keys)
        words = LEGENDS[legend] if legend else {}
        # A frame of one row is shown on its side: its names stand in the first column.
        named = {*frame.columns, *(frame["column"] if "column" in frame.columns else ())}
        self._legend = [
            text if ": " in text[:20] else f"{name}: {text}"
            for name, text in words.items()
            if name in named
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._blocks
        for line in self._legend:
            wrapped = textwrap.wrap(
                line, options.max_width, initial_indent="  ", subsequent_indent="    "
            )
            yield Text("\n".join(wrapped), style="dim")


def markdown(text: str) -> Iterator[RenderableType]:
    """Markdown for a terminal, its tables in blocks: Rich's own cuts what has no room."""
    from rich.markdown import Markdown

    for is_table, lines in itertools.groupby(text.splitlines(), lambda line: line.startswith("|")):
        if not is_table:
            yield Markdown("\n".join(lines))
            continue
        head, _, *rows = ([cell.strip(" `") for cell in line[1:-1].split("|")] for line in lines)
        columns = [_aligned(cells) for cells in zip(head, *rows, strict=True)]
        yield Text()
        yield Blocks(columns, keys=2 if head[0] == "store" else 1)
        yield Text()


def _aligned(cells: Sequence[str]) -> list[str]:
    """A column's head and cells, of one width: words to the left, numbers to the right."""
    width = max(map(len, cells))
    numbers = all(cell[:1] in "+-0123456789" for cell in cells[1:])
    return [cell.rjust(width) if numbers else cell.ljust(width) for cell in cells]


def _columns(frame: pl.DataFrame, heads: Mapping[str, str]) -> list[list[str]]:
    """Each column's name and cells in words, all of one width."""
    columns = []
    for name, kind in frame.schema.items():
        if any(
            name.endswith(end) and name.removesuffix(end) in frame.columns
            for end in ("_low", "_high")
        ):
            continue
        cells = [shown(value) for value in frame[name]]
        if f"{name}_low" in frame.columns:
            ends = zip(cells, frame[f"{name}_low"], frame[f"{name}_high"], strict=True)
            cells = [
                f"{cell} [{shown(low)}, {shown(high)}]" if cell else "" for cell, low, high in ends
            ]
        cells = [heads.get(name, name), *cells]
        width = max(map(len, cells))
        number = kind.is_numeric() or all(_NUMBER.fullmatch(cell) for cell in cells[1:])
        justify = str.rjust if number else str.ljust
        columns.append([justify(cell, width) for cell in cells])
    return columns


def shown(value: object) -> str:
    """A value in a table's few characters.

    >>> shown(1234.5), shown(0.12345), shown(None)
    ('1,234', '0.123', '')
    """
    if isinstance(value, float):
        # Adding 0 turns -0 into 0.
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value + 0.0:.3g}"
    return "" if value is None else str(value)


def side(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame of one row on its side: a row per column, its name and its value in words."""
    return pl.DataFrame(
        {"column": frame.columns, "value": [shown(value) for value in frame.row(0)]}
    )
