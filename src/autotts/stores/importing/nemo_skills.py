"""Outputs of NeMo-Skills: `BENCHMARK/output-rsSEED.jsonl`, a line for each problem.

`{problem, expected_answer, generation, predicted_answer, num_generated_tokens}`; a file for each
seed, and all seeds of a folder are one store.
"""

from collections.abc import Iterator
from pathlib import Path

from autotts.stores.importing.reading import json_rows
from autotts.stores.importing.rows import Row
from autotts.stores.importing.sample import Sample

_FOLDERS = ("eval-results", "generation", "results")


def names(path: Path) -> tuple[str, str]:
    """Model and benchmark, by the folders that a file lies in."""
    folders = [folder.name for folder in path.resolve().parents]
    above = [name for name in folders[1:] if name and name not in _FOLDERS]
    return (above[0] if above else folders[0]), folders[0]


def read(path: Path) -> Iterator[Sample]:
    """The samples of a file."""
    for row in json_rows(path):
        asked = "problem" if row.has("problem") else "question"
        prompt = row.count("num_input_tokens", least=0)
        yield Sample(
            row.where,
            row.text(asked),
            row.golds("expected_answer"),
            id=row.name("id"),
            answer=_predicted(row),
            tokens=row.count("num_generated_tokens", least=0),
            response=row.text("generation"),
            used={} if prompt is None else {"prompt_tokens": prompt},
        )


def _predicted(row: Row) -> str | None:
    """The answer that was read in a generation; None before that was done."""
    return row.answer("predicted_answer") if "predicted_answer" in row.values else None
