"""Tables of MathArena: a row for each answer of each model to each problem.

Columns `problem_idx, problem, model_name, idx_answer, answer, output_tokens, gold_answer,
parsed_answer`, as Parquet or lines of JSON; each model becomes a store.
"""

from collections.abc import Iterator
from pathlib import Path

from autotts.stores.importing.reading import table_rows
from autotts.stores.importing.sample import Sample

_COLUMNS = (
    "problem_idx", "problem", "model_name", "answer", "input_tokens", "output_tokens",
    "gold_answer", "parsed_answer",
)  # fmt: skip
_FOLDERS = ("data", "train", "default")


def dataset_of(path: Path) -> str:
    """The competition, by the name of the folder that has the files."""
    folders = [folder.name for folder in path.resolve().parents]
    return next((name for name in folders if name and name not in _FOLDERS), path.stem)


def read(path: Path) -> Iterator[Sample]:
    """The samples of a file."""
    for row in table_rows(path, _COLUMNS):
        number = row.name("problem_idx")
        prompt = row.count("input_tokens", least=0)
        yield Sample(
            row.where,
            row.text("problem") if row.has("problem") else f"problem {number}",
            row.golds("gold_answer"),
            id=number,
            answer=row.answer("parsed_answer") if "parsed_answer" in row.values else None,
            tokens=row.count("output_tokens", least=0),
            response=row.text("answer") if row.has("answer") else None,
            model=row.text("model_name"),
            used={} if prompt is None else {"prompt_tokens": prompt},
        )
