"""Figures for papers and slides: frames and arrays in, a matplotlib `Figure` out.

Curves come as frames with the columns controller, beta, accuracy, accuracy_low, accuracy_high (in
percent; the bounds may be null), tokens and sequential_tokens: see `curve_frame`. Colours are told
apart with any colour vision; markers and dashes say the same for prints in black and white.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

import numpy as np
import polars as pl

from autotts.errors import SpecError
from autotts.files import whole
from autotts.reports.model import Line
from autotts.reports.palette import DARK, LIGHT, Palette
from autotts.text import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

Theme = Literal["light", "dark"]
FORMATS = ("png", "svg", "pdf")
COSTS = {
    "tokens": "total tokens per question",
    "sequential_tokens": "sequential tokens per question",
}

_MARKERS = "os^DvPhX"
_DASHES = ("-", "--", ":")
_P = ParamSpec("_P")


def _themed(draw: Callable[_P, "Figure"]) -> Callable[_P, "Figure"]:
    """Draw under our own settings, whatever the user's are; `theme` picks the colours."""

    @wraps(draw)
    def themed(*args: _P.args, **kwargs: _P.kwargs) -> "Figure":
        import matplotlib as mpl

        with mpl.rc_context():
            mpl.rcdefaults()
            settings: Any = _style(_palette(str(kwargs.get("theme", "light"))))
            mpl.rcParams.update(settings)
            return draw(*args, **kwargs)

    return themed


def check_formats(formats: Sequence[str]) -> None:
    """Refuse what figures can't be written as.

    Raises:
        SpecError: names it, and what there is.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise SpecError(
            f"figures can't be written as {', '.join(unknown)}; there are {', '.join(FORMATS)}"
        )


def save(figure: "Figure", stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write a figure as `stem.png` (200 dpi), `.svg`, `.pdf`; the same figure, the same bytes."""
    import matplotlib as mpl

    check_formats(formats)
    undated: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    written = []
    # Laid out once: what a format would lay out again stays where it is.
    figure.draw_without_rendering()
    figure.set_layout_engine(None)
    with mpl.rc_context({"svg.hashsalt": "autotts", "pdf.fonttype": 42}):
        for name in formats:
            path = stem.with_name(f"{stem.name}.{name}")
            with whole(path) as file:
                figure.savefig(file, format=name, dpi=200, metadata=undated.get(name))
            written.append(path)
    return written


def curve_frame(lines: Sequence[Line], store: str) -> pl.DataFrame:
    """The curves of a report on one store, as a frame."""
    rows = [
        {"controller": line.controller, **asdict(point)}
        for line in lines
        if line.store == store
        for point in line.points
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


@_themed
def curves(
    frame: pl.DataFrame,
    *,
    cost: str = "tokens",
    bands: bool | None = None,
    title: str = "",
    theme: Theme = "light",
) -> "Figure":
    """Accuracy against tokens, a curve per controller; with `cost="sequential_tokens"`, latency.

    Args:
        bands: of uncertainty; by default up to three controllers have them, more would hide them.
    """
    bands = frame["controller"].n_unique() <= 3 if bands is None else bands
    figure, axes = _figure(6.4, 4.2)
    for k, (name, part) in enumerate(_by_controller(frame)):
        part = part.sort("beta")
        look = _look(k, _palette(theme))
        axes.plot(part[cost], part["accuracy"], label=name, **look)
        known = part.drop_nulls(["accuracy_low", "accuracy_high"])
        if bands and known.height > 1:
            axes.fill_between(
                known[cost],
                known["accuracy_low"],
                known["accuracy_high"],
                color=look["color"],
                alpha=0.13,
                linewidth=0,
            )
    _log_tokens(axes)
    axes.set(xlabel=COSTS[cost], ylabel="accuracy, %", title=title)
    axes.legend()
    return figure


@_themed
def beta_tokens(
    frame: pl.DataFrame, *, cost: str = "tokens", title: str = "", theme: Theme = "light"
) -> "Figure":
    """Tokens against beta, on a log scale: how evenly the knob covers what it can spend."""
    figure, axes = _figure(5.2, 3.6)
    for k, (name, part) in enumerate(_by_controller(frame)):
        part = part.sort("beta")
        axes.plot(part["beta"], part[cost], label=name, **_look(k, _palette(theme)))
    _log_tokens(axes, "y")
    axes.set(xlabel="β", ylabel=COSTS[cost], title=title)
    axes.legend()
    return figure


@_themed
def trajectory(
    rounds: pl.DataFrame,
    baselines: pl.DataFrame | None = None,
    *,
    cost: str = "tokens",
    title: str = "",
    theme: Theme = "light",
) -> "Figure":
    """A discovery over its rounds, as in figure 4 of the paper.

    Args:
        rounds: columns round (its name, in order), beta, accuracy and `cost`.
        baselines: curves to measure up to.
    """
    from matplotlib.colors import LinearSegmentedColormap

    palette = _palette(theme)
    figure, axes = _figure(6.4, 4.2)
    if baselines is not None:
        for k, (name, part) in enumerate(_by_controller(baselines)):
            part = part.sort("beta")
            style = {"color": palette.soft, "alpha": 0.6, "linewidth": 1.0, "markersize": 3.5}
            axes.plot(part[cost], part["accuracy"], label=name, **{**_look(k, palette), **style})
    names = rounds["round"].unique(maintain_order=True).to_list()
    ramp = LinearSegmentedColormap.from_list("rounds", palette.rounds)
    best = []
    for k, name in enumerate(names):
        part = rounds.filter(pl.col("round") == name).sort("beta")
        color = ramp((k + 1) / len(names))
        axes.plot(part[cost], part["accuracy"], color=color, marker="o", markersize=3)
        best.append(part.row(int(np.argmax(part["accuracy"].to_numpy())), named=True))
    x, y = [row[cost] for row in best], [row["accuracy"] for row in best]
    axes.plot(x, y, color=palette.ink, linestyle=":", linewidth=1.2)
    for k, name in enumerate(names):
        color = ramp((k + 1) / len(names))
        axes.plot(
            x[k], y[k], "o", color=color, markersize=13, markeredgecolor=palette.card, zorder=5
        )
        axes.annotate(
            str(name), (x[k], y[k]), ha="center", va="center", color=_ink_on(color, palette),
            fontsize=8, fontweight="bold", zorder=6,
        )  # fmt: skip
    _log_tokens(axes)
    axes.set(xlabel=COSTS[cost], ylabel="accuracy, %", title=title)
    if baselines is not None:
        axes.legend()
    return figure


@_themed
def width_depth(
    width: np.ndarray,
    depth: np.ndarray,
    active: np.ndarray,
    *,
    title: str = "",
    theme: Theme = "light",
) -> "Figure":
    """The path of an episode through width and depth.

    Args:
        width: `[R]` branches opened after each round.
        depth: `[R]` intervals of the deepest branch.
        active: `[R]` branches neither finished nor pruned, as the size of the marks.
    """
    from matplotlib.colors import LinearSegmentedColormap

    palette = _palette(theme)
    figure, axes = _figure(5.2, 4.0)
    axes.plot(width, depth, color=palette.soft, linewidth=1, zorder=1)
    marks = axes.scatter(
        width, depth, s=12 + 4 * active, c=np.arange(1, len(width) + 1), zorder=2,
        cmap=LinearSegmentedColormap.from_list("rounds", palette.rounds),
        edgecolors=palette.card, linewidths=0.6,
    )  # fmt: skip
    bar = figure.colorbar(marks, ax=axes, pad=0.02, label="round")
    bar.outline.set_visible(False)
    axes.set(
        xlabel="branches opened (mark size: still active)",
        ylabel="intervals of the deepest branch",
        title=title,
    )
    axes.margins(0.08)
    return figure


@_themed
def probe_matrix(
    probes: np.ndarray,
    finals: np.ndarray,
    *,
    gold: int,
    answers: Sequence[str],
    read: np.ndarray,
    finished: np.ndarray,
    pruned: np.ndarray,
    title: str = "",
    theme: Theme = "light",
) -> "Figure":
    """The branches of a question by intervals, coloured by answer.

    Args:
        probes: `[W, K]` codes, -1 past a branch's end.
        finals: `[W]` codes of the final answers; outlined where read.
        gold: code of the true answer, marked with a dot.
        answers: by code, the commonest first: the first few have colours of their own.
        read: `[W]` intervals probed of each branch, 0 if it was not opened; what was decoded
            beyond them is paler, what was not decoded is faint.
        finished, pruned: `[W]` bool.
    """
    palette = _palette(theme)
    branches, depth = probes.shape
    lengths = (probes >= 0).sum(axis=1)
    codes = np.full((branches, depth + 1), -1)
    codes[:, :depth] = probes
    codes[np.arange(branches), lengths] = finals
    column = np.arange(depth + 1)
    seen = (column < read[:, None]) | (finished[:, None] & (column == lengths[:, None]))
    strong = seen & ~(pruned & ~finished)[:, None]
    alpha = np.where(strong, 1.0, np.where(seen | finished[:, None], 0.4, 0.1))
    image = _coloured(codes, gold, palette)
    image[..., 3] = np.where(codes >= 0, alpha, 0.0)
    figure, axes = _figure(6.8, 0.9 + 0.085 * branches + 0.6)
    axes.imshow(image, aspect="auto", interpolation="nearest", origin="upper")
    right = (codes == gold) & seen
    y, x = np.nonzero(right)
    axes.scatter(x, y, s=1.6, color=palette.card, linewidths=0)
    done = np.flatnonzero(finished)
    axes.scatter(
        lengths[done], done, marker="s", s=14, facecolors="none", edgecolors=palette.ink,
        linewidths=0.8,
    )  # fmt: skip
    for i in np.flatnonzero(pruned & ~finished):
        axes.plot([-0.5, read[i] - 0.3], [i, i], color=palette.soft, linewidth=0.6)
        axes.plot(read[i] - 0.3, i, "|", color=palette.soft, markersize=4)
    axes.set_xticks(*_interval_ticks(depth))
    axes.set(xlabel="interval", ylabel="branch, in the order of the draw", title=title)
    axes.grid(False)
    axes.legend(
        handles=_answer_handles(answers, gold, palette),
        ncols=4,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.55 / (0.085 * branches + 0.9)),
    )
    return figure


def _answer_handles(answers: Sequence[str], gold: int, palette: Palette) -> "list[Patch]":
    """What a legend shows: the true answer, the commonest others, and the rest in one."""
    from matplotlib.patches import Patch

    shown = [code for code in range(min(len(answers), 7)) if code != gold][:5]
    handles = [Patch(color=_colour(gold, gold, palette), label=f"{_cut(answers[gold])} (true)")]
    handles += [Patch(color=_colour(c, gold, palette), label=_cut(answers[c])) for c in shown]
    if len(answers) > len(shown) + 1:
        handles.append(Patch(color=palette.rest, label="others"))
    return handles


@_themed
def stacked_bars(
    rows: Mapping[str, Mapping[str, float]],
    *,
    xlabel: str,
    colours: Literal["parts", "findings"] = "parts",
    title: str = "",
    theme: Theme = "light",
) -> "Figure":
    """Bars that add up: where tokens went (`parts`), what became of episodes (`findings`).

    Args:
        rows: by name of a bar, the length of each part.
    """
    palette = _palette(theme)
    named = palette.parts if colours == "parts" else palette.findings
    figure, axes = _figure(6.4, 1.5 + 0.38 * len(rows))
    left = np.zeros(len(rows))
    parts = list(dict.fromkeys(part for row in rows.values() for part in row))
    for k, part in enumerate(parts):
        lengths = np.array([row.get(part, 0.0) for row in rows.values()])
        axes.barh(
            range(len(rows)), lengths, left=left, label=part, color=named[k % len(named)],
            edgecolor=palette.card, linewidth=0.8, height=0.7,
        )  # fmt: skip
        left += lengths
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.xaxis.set_major_formatter(_short)
    axes.set(xlabel=xlabel)
    figure.legend(loc="outside upper left", ncols=3, title=title or None, alignment="left")
    return figure


@_themed
def heat_map(
    values: np.ndarray,
    columns: Sequence[str],
    *,
    label: str = "right answers, % of draws",
    title: str = "",
    theme: Theme = "light",
) -> "Figure":
    """Questions by controllers.

    Args:
        values: `[Q, C]` in percent.
        columns: `[C]`.
    """
    from matplotlib.colors import LinearSegmentedColormap

    palette = _palette(theme)
    questions, count = values.shape
    ramp = LinearSegmentedColormap.from_list("heat", (palette.grid, palette.series[0]))
    figure, axes = _figure(1.8 + 0.62 * count, 1.3 + 0.19 * questions)
    image = axes.imshow(values, cmap=ramp, vmin=0, vmax=100, aspect="auto")
    for (q, c), value in np.ndenumerate(values):
        color = _ink_on(ramp(value / 100), palette)
        text = axes.text(c, q, f"{value:.0f}", ha="center", va="center", fontsize=7, color=color)
        text.set_in_layout(False)  # it is within the axes; measuring hundreds takes longest
    axes.set_xticks(
        range(count), columns, rotation=30 if count > 3 else 0, ha="left" if count > 3 else "center"
    )
    axes.xaxis.tick_top()
    axes.set_yticks(range(questions), [str(q) for q in range(questions)], fontsize=7)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.hlines(np.arange(questions - 1) + 0.5, -0.5, count - 0.5, palette.card, linewidth=1)
    axes.vlines(np.arange(count - 1) + 0.5, -0.5, questions - 0.5, palette.card, linewidth=1)
    axes.set(ylabel="question", title=title)
    bar = figure.colorbar(image, ax=axes, pad=0.03, label=label)
    bar.outline.set_visible(False)
    return figure


def _palette(theme: str) -> Palette:
    if theme not in ("light", "dark"):
        raise SpecError(f"theme {theme!r}: need light or dark")
    return LIGHT if theme == "light" else DARK


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    # Not pyplot: no window, no global list of figures.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _style(palette: Palette) -> dict[str, Any]:
    return {
        "figure.facecolor": palette.card,
        "savefig.facecolor": palette.card,
        "axes.facecolor": palette.card,
        "axes.edgecolor": palette.soft,
        "axes.labelcolor": palette.ink,
        "axes.titlecolor": palette.ink,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 10,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": palette.grid,
        "grid.linewidth": 0.8,
        "text.color": palette.ink,
        "xtick.color": palette.soft,
        "ytick.color": palette.soft,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "font.size": 10,
        "lines.linewidth": 1.8,
        "lines.markersize": 5,
        "lines.markeredgewidth": 0.6,
    }


def _look(k: int, palette: Palette) -> dict[str, Any]:
    """The k-th controller's line."""
    return {
        "color": palette.series[k % len(palette.series)],
        "marker": _MARKERS[k % len(_MARKERS)],
        "linestyle": _DASHES[k // len(palette.series) % len(_DASHES)],
        "markeredgecolor": palette.card,
    }


def _by_controller(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    parts = frame.partition_by("controller", as_dict=True, maintain_order=True)
    return [(str(name), part) for (name,), part in parts.items()]


def _log_tokens(axes: "Axes", which: Literal["x", "y"] = "x") -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(_short)
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _short(value: float, _position: float) -> str:
    """A number in a tick's few characters."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _interval_ticks(depth: int) -> tuple[list[int], list[str]]:
    step = max(1, 5 * round(depth / 30))
    shown = range(step, depth + 1, step)
    return [k - 1 for k in shown], [str(k) for k in shown]


def _colour(code: int, gold: int, palette: Palette) -> str:
    """The colour of an answer: the same as on the page."""
    if code == gold:
        return palette.gold
    rank = code - (code > gold)
    return palette.answers[rank] if rank < len(palette.answers) else palette.rest


def _ink_on(color: tuple[float, ...], palette: Palette) -> str:
    """The palette's darkest or lightest colour, whichever can be read on this one."""
    light = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 0.55
    return palette.paper if light == (palette is DARK) else palette.ink


def _coloured(codes: np.ndarray, gold: int, palette: Palette) -> np.ndarray:
    """`[..., 4]` RGBA of each code; -1 is not drawn."""
    from matplotlib.colors import to_rgba

    table = np.array([to_rgba(_colour(c, gold, palette)) for c in range(max(1, codes.max() + 1))])
    return np.asarray(table[np.maximum(codes, 0)])


def _cut(text: str) -> str:
    # A dollar sign would start mathematics.
    return shorten(text, 18).replace("$", r"\$")
