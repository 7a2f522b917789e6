"""Tables of what `tune` and `ablate` found, their shares in percent and in points."""

import numpy as np
import polars as pl

from autotts.evaluation.study.tuning import PREFIX
from autotts.reports.frames import FrameTable
from autotts.text import shorten

_FRONTIER_ROWS = 12
_KEY_WIDTH = 36


def frontier_rows(confirmed: pl.DataFrame) -> pl.DataFrame:
    """Some settings of a frontier, from its cheapest to its dearest.

    Args:
        confirmed: `Tuning.confirmed`, in the order of tokens.
    """
    picked = np.linspace(0, len(confirmed) - 1, _FRONTIER_ROWS).round().astype(int)
    return confirmed[np.unique(picked)]


def frontier_table(settings: pl.DataFrame) -> FrameTable:
    """Settings of a frontier with what they come to on both draws, and their constants."""
    first = ["trial", "beta", "accuracy", "fresh_accuracy", "tokens", "fresh_tokens"]
    percent = [_words(name, "{:.2f}", 100) for name in ("accuracy", "fresh_accuracy")]
    shown = settings.select(*first, pl.col(f"^{PREFIX}.*$"))
    return FrameTable(shown.with_columns(percent), "tuning")


def residuals_table(residuals: pl.DataFrame) -> FrameTable:
    """Mean residuals in points: a row per parameter and level, a column per range of tokens.

    Args:
        residuals: `Tuning.residuals()`.
    """
    level = ["parameter", "low", "high"]
    numbered = residuals.with_columns(
        _words("residual", "{:.2f}", 100), cost=pl.col("tokens_low").rank("dense").cast(pl.String)
    )
    bins = numbered.select("cost", "tokens_low", "tokens_high").unique().sort("tokens_low")
    heads = {cost: f"{_short(low)}-{_short(high)}" for cost, low, high in bins.iter_rows()}
    table = numbered.pivot("cost", index=level, values="residual")
    return FrameTable(table.select(*level, *heads), "residuals", heads=heads, keys=3)


def ablation_table(variants: pl.DataFrame) -> FrameTable:
    """What a program is without each of its parts, against the program.

    Args:
        variants: as `ablate` gives them.
    """
    shown = variants.drop("audit")
    if variants["failure"].is_null().all():
        shown = shown.drop("failure")
    variant = pl.col("variant").map_elements(lambda name: shorten(name, _KEY_WIDTH), pl.String)
    scales = {"accuracy": ("{:+.2f}", 1), "tokens": ("{:+.1f}", 100), "area": ("{:+.2f}", 1)}
    figures = [
        _words(f"{name}{end}", *how)
        for name, how in scales.items()
        for end in ("", "_low", "_high")
    ]
    return FrameTable(shown.with_columns(*figures, variant), "ablation")


def _words(name: str, form: str, scale: float) -> pl.Expr:
    """A column of numbers in words, all with as many digits."""
    # Adding 0 turns -0 into 0.
    return (pl.col(name) * scale + 0.0).map_elements(form.format, pl.String)


def _short(tokens: float) -> str:
    return f"{tokens / 1000:.0f}k" if tokens >= 10_000 else f"{tokens:.0f}"
