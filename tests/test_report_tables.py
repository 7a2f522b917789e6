"""Tables fit a terminal, keep their order, and show text as text."""

import polars as pl
import pytest
from rich.console import Console, RenderableType

from autotts.reports.tables import (
    comparison_table,
    evaluation_table,
    saving_table,
    span,
    store_means,
)


def row(**changes: object) -> dict[str, object]:
    return {
        "model": "Qwen3-1.7B",
        "dataset": "aime24",
        "controller": "cmc",
        "name": "cmc",
        "beta": 1.0,
        "episodes": 3000,
        "accuracy": 48.97,
        "accuracy_low": 33.1,
        "accuracy_high": 64.2,
        "tokens": 612639.0,
        "sequential_tokens": 28114.0,
        "width": 64.0,
    } | changes


def shown(table: RenderableType) -> list[str]:
    console = Console(width=80, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(table)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    return lines


def test_a_row_has_everything_with_its_interval():
    line = next(line for line in shown(evaluation_table([row()])) if "cmc" in line)
    assert line.split() == [
        "cmc",
        "1.00",
        "48.97",
        "33.1",
        "…",
        "64.2",
        "612,639",
        "28,114",
        "64.0",
    ]


def test_a_long_spec_is_folded_and_no_number_is_cut():
    spec = "runs/2026-11-22/rounds/0003/program.py:width=64,threshold=0.95,beta=0.5"
    lines = shown(evaluation_table([row(controller=spec)]))
    assert any("612,639" in line and "33.1 … 64.2" in line for line in lines)
    assert spec in "".join(line.split()[0] for line in lines if line.startswith("  "))


def test_several_stores_are_averaged_with_equal_weights():
    rows = [row(), row(dataset="aime25", accuracy=38.97), row(controller="asc")]
    assert [(mean["controller"], mean["accuracy"]) for mean in store_means(rows)] == [
        ("cmc", pytest.approx(43.97))
    ]
    assert any("mean of 2 stores" in line for line in shown(evaluation_table(rows)))


def test_names_are_not_markup():
    assert any(
        "[red]x[/red]" in line
        for line in shown(evaluation_table([row(name="x", controller="[red]x[/red]")]))
    )


COMPARED = {
    "fraction": [0.1],
    "budget": [95741.0],
    "accuracy_a": [0.612],
    "accuracy_b": [0.498],
    "difference": [0.114],
    "low": [0.042],
    "high": [0.278],
    "probability": [0.99],
    "detectable": [0.19],
    "better": [23],
    "worse": [1],
    "equal": [6],
    "verdict": ["a better"],
}


def test_a_comparison_names_its_sides_and_its_verdict():
    lines = shown(comparison_table(pl.DataFrame(COMPARED), a="cmc", b="asc", reference="sc"))
    assert lines[1:3] == ["A: cmc", "B: asc"]
    assert any("+11.40" in line and "+4.2 … +27.8" in line and "A better" in line for line in lines)


def test_a_target_that_is_never_reached_says_so():
    frame = pl.DataFrame(
        {
            "accuracy": [0.7],
            "tokens_a": [1000.0],
            "tokens_b": [float("inf")],
            "saving": [1.0],
            "low": [float("-inf")],
            "high": [1.0],
            "better": [None],
            "worse": [None],
            "verdict": ["can't tell"],
        }
    )
    line = next(line for line in shown(saving_table(frame, a="cmc", b="asc")) if "70.00" in line)
    assert "never" in line
    assert "? … 100%" in line


def test_an_interval_of_one_question_has_no_ends():
    assert span(float("-inf"), float("inf")) == "? … ?"
