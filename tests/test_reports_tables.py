"""Tables fit a terminal, keep their order, and show text as text."""

import polars as pl
import pytest
from rich.console import Console, RenderableType

from autotts import stores
from autotts.diagnosis import pools
from autotts.reports.frames import LEGENDS, FrameTable, markdown
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


def shown(table: RenderableType, width: int = 80) -> list[str]:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(table)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
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


@pytest.mark.parametrize("width", [60, 80])
def test_a_long_spec_has_a_line_of_its_own_and_no_number_is_cut(width):
    spec = "runs/2026-11-22/rounds/0003/program.py:width=64,threshold=0.95,beta=0.5"
    lines = shown(evaluation_table([row(controller=spec), row(controller=spec, beta=0)]), width)
    figures = [line.split() for line in lines if "612,639" in line]
    assert [cells[0] for cells in figures] == ["1.00", "0.00"]
    assert all(cells[2:5] == ["33.1", "…", "64.2"] for cells in figures)
    assert "".join(line.strip() for line in lines).count(spec) == 1


@pytest.mark.parametrize("width", [60, 80])
def test_tables_explain_their_columns(width):
    tables = {
        evaluation_table([row()]): ["accuracy in %", "sequential tokens", "branches opened"],
        comparison_table(pl.DataFrame(COMPARED), a="cmc", b="asc"): ["budget:", "wins:", "A − B:"],
    }
    for table, words in tables.items():
        text = " ".join(" ".join(shown(table, width)).split())
        assert all(word in text for word in words)


def test_an_interval_that_spans_everything_is_none():
    lines = shown(evaluation_table([row(accuracy_low=0.0, accuracy_high=100.0)]))
    assert any(line.split()[3:4] == ["none"] for line in lines)
    assert "none: so few questions" in " ".join(" ".join(lines).split())


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
    "accuracy_a": [61.2],
    "accuracy_b": [49.8],
    "difference": [11.4],
    "low": [4.2],
    "high": [27.8],
    "probability": [0.99],
    "detectable": [19.0],
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
            "accuracy": [70.0],
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


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_frame_is_told_in_blocks_that_fit_and_its_columns_are_explained(width):
    frame = pl.DataFrame(
        {"race": [8], "first": [1], "accuracy": [0.5], "tokens": [123456.7]}
        | {f"more_{k}": [k] for k in range(9)}
    )
    lines = shown(FrameTable(frame, "first_finishers"), width)
    assert any(line.split()[:1] == ["race"] for line in lines)
    assert (
        sum(line.startswith("race") for line in lines)
        == sum(line.strip() == "" for line in lines) + 1
    )
    assert "123,457" in " ".join(lines)
    for name, words in LEGENDS["first_finishers"].items():
        assert f"{name}: {words}" in " ".join(" ".join(line.split()) for line in lines)


def test_every_legend_is_of_columns_that_there_are(simulated):
    store = stores.load(simulated)
    for name, frame in pools.describe(store).items():
        assert set(LEGENDS[name]) <= set(frame.columns), name


@pytest.mark.parametrize("width", [60, 80])
def test_a_digest_s_tables_lose_nothing_in_a_terminal(width):
    heads = ["store", "question", *(f"column {letter}" for letter in "abcdefghijkl")]
    cells = ["Qwen3-1.7B/aime24", "7", *(f"{k}.5k" for k in range(110, 122))]
    table = "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * 14, cells))
    lines = [
        line.strip()
        for part in markdown(f"# Diagnosis\n\nSome *words*.\n\n{table}\n\n- one\n")
        for line in shown(part, width)
    ]
    assert "Diagnosis" in lines
    assert "Some words." in lines
    assert "• one" in lines
    text = " ".join(lines)
    assert all(text.count(word) == 1 for word in (*heads[2:], *cells[2:]))
    assert text.count(cells[0]) == text.count("question") > 1


def test_a_table_in_markdown_need_not_be_whole():
    parts = [shown(part) for part in markdown("| a | b |\n|---|---|")]
    assert ["a  b"] in parts
