"""Figures: drawn for any data, in either theme, the same bytes every time."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest

from autotts.errors import SpecError
from autotts.reports import figures
from autotts.reports.palette import DARK, LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAME = pl.DataFrame(
    {
        "controller": ["cmc"] * 3 + ["a $_{name}"] * 2,
        "beta": [0.0, 0.5, 1.0, 0.0, 1.0],
        "accuracy": [40.0, 45.0, 47.0, 38.0, 48.0],
        "accuracy_low": [30.0, 35.0, 37.0, None, None],
        "accuracy_high": [50.0, 55.0, 57.0, None, None],
        "tokens": [2e4, 9e4, 5e5, 1e4, 9e5],
        "sequential_tokens": [9e3, 1e4, 2e4, 1e4, 3e4],
    }
)
ROUNDS = FRAME.rename({"controller": "round"})
RNG = np.random.default_rng(0)
PROBES = np.where(np.arange(9) < [[9], [5], [7]], RNG.integers(0, 12, (3, 9)), -1)
DRAW: dict[str, Callable[[figures.Theme], "Figure"]] = {
    "curves": lambda theme: figures.curves(FRAME, theme=theme),
    "latency": lambda theme: figures.curves(FRAME, cost="sequential_tokens", theme=theme),
    "beta_tokens": lambda theme: figures.beta_tokens(FRAME, theme=theme),
    "trajectory": lambda theme: figures.trajectory(ROUNDS, FRAME, theme=theme),
    "width_depth": lambda theme: figures.width_depth(
        np.array([1, 2, 2]), np.array([1, 2, 5]), np.array([1, 2, 0]), theme=theme
    ),
    "probe_matrix": lambda theme: figures.probe_matrix(
        PROBES,
        np.array([1, 2, 3]),
        gold=2,
        answers=[f"${k}^2" for k in range(12)],
        read=np.array([9, 5, 0]),
        finished=np.array([True, False, False]),
        pruned=np.array([False, True, False]),
        theme=theme,
    ),
    "stacked_bars": lambda theme: figures.stacked_bars(
        {"cmc": {"needed": 3.0, "waste": 2.0}, "asc": {"needed": 1.0}}, xlabel="tokens", theme=theme
    ),
    "heat_map": lambda theme: figures.heat_map(
        np.array([[0.0, 100.0], [50.0, 20.0]]), ["cmc", "asc"], theme=theme
    ),
}


def ink(path: Path) -> float:
    """Share of the pixels that are not the commonest colour."""
    from matplotlib.image import imread

    pixels = (imread(path)[..., :3] * 255).astype(np.int64) @ [65536, 256, 1]
    return 1 - np.unique(pixels, return_counts=True)[1].max() / pixels.size


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", DRAW)
def test_a_figure_is_drawn(name, theme, tmp_path):
    (path,) = figures.save(DRAW[name](theme), tmp_path / name, ["png"])
    assert ink(path) > 0.02


def test_all_formats_are_the_same_bytes_again(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        figures.save(DRAW["curves"]("light"), tmp_path / folder / "curves")
    for name in figures.FORMATS:
        first, second = ((tmp_path / f / f"curves.{name}").read_bytes() for f in ("a", "b"))
        assert first == second


def test_a_full_disk_leaves_no_half_of_a_figure_and_its_name_is_told(tmp_path, monkeypatch):
    figure = DRAW["curves"]("light")
    (path,) = figures.save(figure, tmp_path / "curves", ["png"])
    before = path.read_bytes()
    monkeypatch.setattr(type(figure), "savefig", half_of_it)
    with pytest.raises(OSError, match=f"No space left.*{path.name}"):
        figures.save(figure, tmp_path / "curves", ["png"])
    assert [each.name for each in tmp_path.iterdir()] == ["curves.png"]
    assert path.read_bytes() == before


def half_of_it(_: "Figure", file: BinaryIO, **how: object) -> None:
    file.write(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_user_s_settings_are_left_alone(tmp_path):
    before = dict(mpl.rcParams)
    figures.save(DRAW["curves"]("dark"), tmp_path / "x", ["svg"])
    assert dict(mpl.rcParams) == before


def test_an_unknown_format_or_theme_says_what_there_is(tmp_path):
    with pytest.raises(SpecError, match="png"):
        figures.save(DRAW["curves"]("light"), tmp_path / "x", ["jpg"])
    with pytest.raises(SpecError, match="light or dark"):
        DRAW["curves"]("blue")  # type: ignore[arg-type]


def luminance(color: str) -> float:
    channels = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(a: str, b: str) -> float:
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_curves_stand_out_from_the_paper(palette):
    for paper in (palette.paper, palette.card):
        assert contrast(palette.ink, paper) > 12
        assert contrast(palette.soft, paper) > 4.5
        for color in palette.series:
            assert contrast(color, paper) > 2.9, color


# Viénot, Brettel and Mollon 1999, on linear RGB: what dichromats see.
_SEEN = {
    "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


@pytest.mark.parametrize("kind", _SEEN)
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_neighbouring_series_differ_for_colour_blind_eyes(palette, kind):
    def seen(color: str) -> np.ndarray:
        srgb = np.array([int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)])
        return np.clip(np.array(_SEEN[kind]) @ srgb**2.2, 0, 1) ** (1 / 2.2)

    for k in range(4):
        for j in range(k + 1, 4):
            gap = np.linalg.norm(seen(palette.series[k]) - seen(palette.series[j]))
            assert gap > 0.09, (palette.series[k], palette.series[j], gap)
