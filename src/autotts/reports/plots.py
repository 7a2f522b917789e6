"""The figures that a report has the data for, as files."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from autotts.reports import figures
from autotts.reports.model import ALPHABET, UNPROBED, Episode, Matrix, OnPart, Report, unheard
from autotts.text import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a report's figures are drawn, and where to.

    store: whose curves to draw; by default the mean of the stores, where there is one.
    """

    folder: Path
    store: str | None = None
    formats: Sequence[str] = ("png",)
    theme: figures.Theme = "light"
    on_part: OnPart = unheard

    def curves(self, report: Report) -> list[Path]:
        """Write the figures of curves and questions, for which no episode is needed."""
        return self._write(_of_curves(report, self.store, self.theme))

    def episodes(self, report: Report) -> list[Path]:
        """Write the figures of what episodes say."""
        return self._write(_of_episodes(report, self.theme))

    def _write(self, drawn: "Iterator[tuple[str, Figure]]") -> list[Path]:
        self.folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, figure in drawn:
            self.on_part(f"drawing {name}")
            written += figures.save(figure, self.folder / name, self.formats)
        return written


def _of_curves(
    report: Report, store: str | None, theme: figures.Theme
) -> "Iterator[tuple[str, Figure]]":
    names = list(dict.fromkeys(line.store for line in report.lines))
    if names:
        named = store or names[0]
        frame, title = figures.curve_frame(report.lines, named), _words(named)
        yield "curves", figures.curves(frame, title=title, theme=theme)
        cost = "sequential_tokens"
        yield "latency", figures.curves(frame, cost=cost, title=title, theme=theme)
        yield "beta-tokens", figures.beta_tokens(frame, title=title, theme=theme)
        if any(round_.points for round_ in report.rounds):
            rounds, baselines = _trajectory(report, frame)
            yield "trajectory", figures.trajectory(rounds, baselines, theme=theme)
    for grid in report.grids:
        beta = min({row.beta for row in grid.rows}, key=lambda value: abs(value - 0.5))
        rows = [row for row in grid.rows if row.beta == beta]
        values = np.array([row.right for row in rows]).T
        heat = figures.heat_map(
            values,
            [row.controller for row in rows],
            title=f"{_words(grid.store)}, β {beta:g}",
            theme=theme,
        )
        yield f"questions-{_slug(grid.store)}", heat


def _of_episodes(report: Report, theme: figures.Theme) -> "Iterator[tuple[str, Figure]]":
    for name in dict.fromkeys(waste.store for waste in report.waste):
        here = [waste for waste in report.waste if waste.store == name]
        dearest = max(waste.beta for waste in here)
        here = [waste for waste in here if waste.beta == dearest]
        parts = {waste.controller: waste.parts for waste in here}
        found = {waste.controller: waste.findings for waste in here}
        title = f"{_words(name)}, β {dearest:g}"
        yield (
            f"waste-{_slug(name)}",
            figures.stacked_bars(parts, xlabel="tokens per question", title=title, theme=theme),
        )
        yield (
            f"findings-{_slug(name)}",
            figures.stacked_bars(
                found, xlabel="% of episodes", colours="findings", title=title, theme=theme
            ),
        )
    if report.episodes:
        yield from _episode(report, theme)


def _trajectory(report: Report, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    own = [round_.controller for round_ in report.rounds if round_.points]
    names = {round_.controller: round_.name for round_ in report.rounds}
    rounds = frame.filter(pl.col("controller").is_in(own)).with_columns(
        pl.col("controller").replace_strict(names, return_dtype=pl.String).alias("round")
    )
    others = frame.filter(~pl.col("controller").is_in(own))
    return rounds, others if others.height else None


def _episode(report: Report, theme: figures.Theme) -> "Iterator[tuple[str, Figure]]":
    """One episode stands for the others: the one with most to show."""
    episode = max(report.episodes, key=lambda e: (sum(map(bool, e.pruned)), e.rounds))
    matrix = next(
        m for m in report.matrices if (m.store, m.question) == (episode.store, episode.question)
    )
    title = f"{_words(episode.controller)}, β {episode.beta:g}, question {episode.question}"
    if not any(UNPROBED in row for row in matrix.probes):
        yield "probe-matrix", probe_matrix(matrix, episode, title=title, theme=theme)
    width, depth, active = path_of(matrix, episode)
    yield "width-depth", figures.width_depth(width, depth, active, title=title, theme=theme)


def probe_matrix(
    matrix: Matrix, episode: Episode, *, title: str = "", theme: figures.Theme = "light"
) -> "Figure":
    """The probe matrix of an episode at its end."""
    code = {character: k for k, character in enumerate(ALPHABET)}
    branches = len(matrix.probes)
    probes = np.full((branches, max(map(len, matrix.probes))), -1)
    for i, row in enumerate(matrix.probes):
        probes[i, : len(row)] = [code[character] for character in row]
    read = np.zeros(branches, np.int64)
    ended = np.zeros((2, branches), bool)
    for i, rounds in enumerate(read_rounds(episode)):
        read[i] = len(rounds)
        ended[:, i] = episode.finished[i] > 0, episode.pruned[i] > 0
    return figures.probe_matrix(
        probes,
        np.array([code[character] for character in matrix.finals]),
        gold=matrix.gold,
        answers=matrix.answers,
        read=read,
        finished=ended[0],
        pruned=ended[1],
        title=title,
        theme=theme,
    )


def read_rounds(episode: Episode) -> list[list[int]]:
    """Per branch opened, the round in which each interval was read."""
    return [
        [
            first + k
            for first, count, rounds in zip(runs[::3], runs[1::3], runs[2::3], strict=True)
            for k in range(rounds)
            for _ in range(count)
        ]
        for runs in episode.reads
    ]


def path_of(matrix: Matrix, episode: Episode) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`[R]` branches opened, intervals of the deepest, and active branches after each round."""
    reads = [np.array(rounds) for rounds in read_rounds(episode)]
    at = np.arange(1, episode.rounds + 1)
    depth = np.array([np.searchsorted(rounds, at, side="right") for rounds in reads])
    for i, end in enumerate(episode.finished):
        if end:
            depth[i, end - 1 :] = len(matrix.probes[i])
    never = episode.rounds + 1
    ends = np.array(
        [_first(pair, never) for pair in zip(episode.finished, episode.pruned, strict=True)]
    )
    opened = depth > 0
    return opened.sum(axis=0), depth.max(axis=0), (opened & (ends[:, None] > at)).sum(axis=0)


def _first(rounds: Sequence[int], never: int) -> int:
    return min((number for number in rounds if number), default=never)


def _slug(store: str) -> str:
    """A store's name as a part of the name of a file."""
    return re.sub(r"[^\w.,+=@()-]", "-", store)


def _words(name: str) -> str:
    """A name that others gave as it is shown; a dollar sign would start mathematics."""
    # Fonts have no pictures of control characters.
    return re.sub("[\u2400-\u2426]", "\ufffd", clean(name)).replace("$", r"\$")
