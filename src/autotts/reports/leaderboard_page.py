"""A leaderboard as one HTML file: no script, no network, nothing from data read as markup."""

import html
import math
from collections.abc import Sequence
from importlib import resources
from string import Template

from autotts.evaluation.study.leaderboard import Leaderboard, Ranking, Standing, StoreFacts
from autotts.reports.leaderboard import (
    OBJECTIVES,
    Shown,
    conclusion,
    left_out,
    made_by_text,
    notes,
    slope_text,
    title_of,
)
from autotts.reports.page import content_policy
from autotts.reports.palette import DARK, LIGHT
from autotts.text import counted

_WIDTH, _HEIGHT, _MARGIN = 240.0, 24.0, 13.0
_HEAT = (16.0, 8.0, 4.0, 2.0, 0.0)
"""Points behind the best of a family from which on a cell is paler."""


def build(found: Leaderboard) -> str:
    """The page."""
    style = Template(_asset("leaderboard.css")).substitute(
        light=LIGHT.variables(), dark=DARK.variables()
    )
    families = {store.family for store in found.stores}
    of = "family" if len(families) == 1 else "families"
    subtitle = (
        f"{counted(len(found.stores), 'store')}, {len(families)} {of} of models ·"
        f" budgets in {OBJECTIVES[found.objective]}"
    )
    return Template(_asset("leaderboard.html")).substitute(
        policy=html.escape(content_policy(style, "", live=False), quote=True),
        title="Leaderboard of controllers",
        subtitle=_text(subtitle),
        style=style,
        boards="\n".join(_board(board, found) for board in found.boards),
        stores=_stores(found.stores),
        notes=_notes(found),
        made_by=_text(made_by_text(found)),
    )


class _Scale:
    """Maps values to the x of a strip, with round ticks."""

    def __init__(self, low: float, high: float) -> None:
        step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 1000) if (high - low) / s <= 6)
        self.low, self.high = step * (low // step), step * -(-high // step)
        self.high = max(self.high, self.low + step)
        self.ticks = [self.low + step * k for k in range(round((self.high - self.low) / step) + 1)]

    def x(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return _MARGIN + share * (_WIDTH - 2 * _MARGIN)

    def axis(self) -> str:
        """The ticks with their numbers, for the head of a column."""
        words = "".join(
            f'<text class="tick" x="{self.x(t):.1f}" y="18" text-anchor="middle">{t:g}</text>'
            for t in self.ticks
        )
        return _svg("plot", words)

    def strip(self, low: float, value: float, high: float, kind: str, mark: float) -> str:
        """An interval with its estimate on the grid, and a dashed line at `mark`."""
        middle = _HEIGHT / 2
        grid = "".join(_line("axis", self.x(t), 0, self.x(t), _HEIGHT) for t in self.ticks)
        return _svg(
            f"plot {kind}",
            grid
            + _line("mark", self.x(mark), 0, self.x(mark), _HEIGHT)
            + _line(
                "down" if kind == "down" else "range", self.x(low), middle, self.x(high), middle
            )
            + f'<circle class="dot" cx="{self.x(value):.1f}" cy="{middle}" r="5"/>',
        )


def _board(board: Ranking, found: Leaderboard) -> str:
    entries = board.entries
    scale = _Scale(
        min(entry.area_low for entry in entries), max(entry.area_high for entry in entries)
    )
    head = _row(
        "th",
        [("l", ""), ("l", "controller"), ("l", scale.axis()), ("", "area"), ("", "behind the best"),
         ("l", "best in"), ("", "worst family"), ("", "spends, in % of SC@64"),
         ("", "most accurate")],
    )  # fmt: skip
    rows = [_entry(entry, rank, board, scale) for rank, entry in enumerate(entries, 1)]
    heat = _heat(board) if len(board.families) > 1 else ""
    signs = "<p class=\"note\">★ the best · ≈ can't be told apart from it · - - the best's area</p>"
    return (
        f'<section><h2>On {_text(title_of(board, found))}</h2><p class="lead">'
        f"{_text(conclusion(board))}</p>{_table('', head, rows)}{signs}{heat}</section>"
    )


def _entry(entry: Standing, rank: int, board: Ranking, scale: _Scale) -> str:
    shown = Shown.of(entry, rank, len(board.families))
    kind = "best" if rank == 1 else "behind" if entry.behind_high < 0 else "tied"
    best = board.entries[0].area
    cells = [
        ("l rank", shown.rank),
        ("l name", _text(entry.controller)),
        ("l", scale.strip(entry.area_low, entry.area, entry.area_high, kind, best)),
        ("big", shown.area + _small(shown.interval)),
        ("", shown.behind + _small(shown.behind_interval)),
        ("l", _meter(entry.probability) + _text(shown.best)),
        ("", _text(shown.worst)),
        ("", shown.spends),
        ("", shown.accuracy),
    ]
    row = {"best": ' class="first"', "tied": ' class="near"', "behind": ""}[kind]
    return _row("td", cells, row)


def _heat(board: Ranking) -> str:
    """Controllers by families; the closer to the best of a family, the darker."""
    best = {f: max(entry.by_family[f] for entry in board.entries) for f in board.families}
    head = _row("th", [("l", "controller"), *(("", _text(family)) for family in board.families)])
    rows = [
        _row(
            "td",
            [
                ("l name", _text(entry.controller)),
                *(
                    (f"cell {_shade(best[f] - entry.by_family[f])}", f"{entry.by_family[f]:.1f}")
                    for f in board.families
                ),
            ],
        )
        for entry in board.entries
    ]
    return f"<h3>Area by family of models</h3>{_table('heat', head, rows)}"


def _shade(behind: float) -> str:
    return f"h{sum(behind <= limit for limit in _HEAT)}"


def _stores(stores: Sequence[StoreFacts]) -> str:
    # Of one question there is no bound.
    slopes = [x for s in stores for x in (s.slope_low, s.slope, s.slope_high) if math.isfinite(x)]
    scale = _Scale(min(slopes), max(*slopes, 1.0))
    head = _row(
        "th",
        [("l", "store"), ("l", "family"), ("", "questions"), ("", "branches"),
         ("", "tokens a branch"), ("", "branches right"), ("l", scale.axis()),
         ("", "slope of accuracy on length")],
    )  # fmt: skip
    rows = [
        _row(
            "td",
            [
                ("l name", _text(store.name)),
                ("l", _text(store.family)),
                ("", f"{store.questions}"),
                ("", f"{store.branches}"),
                ("", f"{store.branch_tokens:,.0f}"),
                ("", f"{store.branch_accuracy:.1f} %"),
                ("l", _slope(store, scale)),
                ("", _text(slope_text(store))),
            ],
        )
        for store in sorted(stores, key=lambda store: store.slope)
    ]
    return f"<section><h2>Stores, by slope</h2>{_table('', head, rows)}</section>"


def _slope(store: StoreFacts, scale: _Scale) -> str:
    kind = "down" if store.slope_high < 0 else "tied" if store.slope_low > 0 else "behind"
    return scale.strip(store.slope_low, store.slope, store.slope_high, kind, 0.0)


def _notes(found: Leaderboard) -> str:
    parts = (note.partition(": ") for note in notes(found))
    terms = "".join(
        f"<div><dt>{_text(term)}:</dt><dd>{_text(rest)}</dd></div>" for term, _, rest in parts
    )
    missing = "".join(f"<li>{_text(line)}</li>" for line in left_out(found))
    missing = f"<h3>Left out</h3><ul>{missing}</ul>" if missing else ""
    return f'<section><h2>How to read it</h2><dl class="note">{terms}</dl>{missing}</section>'


def _meter(share: float) -> str:
    return (
        '<svg class="meter" viewBox="0 0 60 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="60" height="10" rx="3"/>'
        f'<rect class="fill" width="{60 * share:.1f}" height="10" rx="3"/></svg>'
    )


def _svg(kind: str, content: str) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" aria-hidden="true">'
        f"{content}</svg>"
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:g}" x2="{x2:.1f}" y2="{y2:g}"/>'


def _table(kind: str, head: str, rows: Sequence[str]) -> str:
    body = "".join(rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead>{head}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(tag: str, cells: Sequence[tuple[str, str]], attributes: str = "") -> str:
    """A row of (class, markup)."""
    content = "".join(
        f'<{tag} class="{kind}">{markup}</{tag}>' if kind else f"<{tag}>{markup}</{tag}>"
        for kind, markup in cells
    )
    return f"<tr{attributes}>{content}</tr>"


def _small(text: str) -> str:
    return f"<small>{_text(text)}</small>" if text else ""


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _asset(name: str) -> str:
    return resources.files("autotts.reports").joinpath("assets", name).read_text(encoding="utf-8")
