"""Questions to sample answers to: from a file of rows, or a data set by the name of its preset."""

import random
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from autotts.answers import extract, normalise
from autotts.errors import SpecError, StoreError
from autotts.text import shorten

Kind = Literal["math", "choice", "text"]

PROMPTS: Mapping[Kind, str] = {
    "math": "{question}\n\nPlease reason step by step, and put your final answer within \\boxed{}.",
    "choice": "{question}\n\n{options}\n\nPlease reason step by step, and put the letter of your"
    " final answer within \\boxed{}.",
    "text": "{question}",
}
_LETTERS = "ABCDEFGHIJ"
_QUESTION_COLUMNS = ("question", "problem", "prompt", "input")
_GOLD_COLUMNS = ("gold", "answer", "gold_answer", "expected_answer", "solution", "target")
_ID_COLUMNS = ("id", "problem_idx", "unique_id", "qid")
_MOST_NAMES = 500
"""Characters of a file's columns, in an error."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question.

    id: its own name in its set.
    gold: its true answer, as answers are compared.
    options: the choices by letter, of a question of kind "choice".
    """

    id: str
    question: str
    gold: str
    options: tuple[str, ...] = ()

    def prompt(self, template: str) -> str:
        """What the model is asked: the template with the question, and its options, put in."""
        listed = "\n".join(
            f"{letter}) {option}" for letter, option in zip(_LETTERS, self.options, strict=False)
        )
        return template.replace("{options}", listed).replace("{question}", self.question)


class Columns(BaseModel):
    """Where a set of questions lies, and which columns of it are what.

    path, name, split: of the data set, as the `datasets` library names it.
    wrong: the columns of the other options of kind "choice".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str = ""
    name: str | None = None
    split: str = "train"
    question: str = ""
    gold: str = ""
    id: str = ""
    wrong: tuple[str, ...] = ()
    kind: Kind = "math"


def presets() -> dict[str, Columns]:
    """The sets of questions that are known by name."""
    text = files("autotts.collect").joinpath("presets.toml").read_text(encoding="utf-8")
    return {name: Columns.model_validate(table) for name, table in tomllib.loads(text).items()}


def read_questions(named: str, columns: Columns | None = None) -> list[Item]:
    """The questions of a file (.jsonl, .json, .csv, .parquet) or of a preset.

    Args:
        columns: of a file; those that are not named are found by their usual names.

    Raises:
        SpecError: there is no such file or preset, or a row lacks something; names the row.
    """
    known = presets()
    path = Path(named)
    if path.is_file():
        rows = _rows(path)
    elif named in known:
        columns = known[named]
        rows = _downloaded(named, columns)
    else:
        raise SpecError(
            f"--questions {named}: no such file, and no preset; presets: {', '.join(known)}"
        )
    return asked_of(rows, columns or Columns(), named)


def read_golds(named: str, *, by_text: bool) -> dict[str, str]:
    """True answers of a file or a preset, by the question's text or by its id.

    A file with ids need not have the questions, and may have one several times.

    Raises:
        SpecError: as `read_questions`, or a row has another answer than one before.
    """
    path = Path(named)
    rows = _rows(path) if path.is_file() else []
    name = next((one for one in _ID_COLUMNS if rows and one in rows[0]), "")
    if by_text or not name:
        return {it.question if by_text else it.id: it.gold for it in read_questions(named)}
    gold = next((one for one in _GOLD_COLUMNS if one in rows[0]), "")
    found: dict[str, str] = {}
    for k, row in enumerate(rows):
        if row.get(name) is None or row.get(gold) is None:
            raise SpecError(
                f"{named}: row {k} has no {name!r}, or no answer ({_GOLD_COLUMNS[0]!r})"
            )
        answer = canonical(_number(row[gold]) if isinstance(row[gold], float) else str(row[gold]))
        if found.setdefault(str(row[name]), answer) != answer:
            raise SpecError(f"{named}: row {k}: {row[name]!r} had another answer before")
    return found


def asked_of(rows: Sequence[Mapping[str, Any]], columns: Columns, where: str) -> list[Item]:
    """Questions from rows.

    Raises:
        SpecError: as `read_questions`.
    """
    if not rows:
        raise SpecError(f"{where}: no questions")
    found = _found(rows[0], columns, where)
    questions = [_asked(row, k, found, where) for k, row in enumerate(rows)]
    for name, values in (
        ("id", [q.id for q in questions]),
        ("question", [q.question for q in questions]),
    ):
        first: dict[str, int] = {}
        for k, value in enumerate(values):
            if first.setdefault(value, k) != k:
                raise SpecError(
                    f"{where}: rows {first[value]} and {k} have the same {name}"
                    f" {shorten(value, 40)!r}; every question needs its own"
                )
    return questions


def _asked(row: Mapping[str, Any], k: int, columns: Columns, where: str) -> Item:
    def text(column: str) -> str:
        value = row.get(column)
        if value is None or str(value).strip() == "":
            raise SpecError(f"{where}: row {k} has no {column!r}")
        return _number(value) if isinstance(value, float) else str(value)

    question, gold = text(columns.question), text(columns.gold)
    name = text(columns.id) if columns.id else str(k)
    if columns.kind == "choice" and columns.wrong:
        options = [gold, *(text(column) for column in columns.wrong)]
        order = random.Random(f"{name} {question}").sample(range(len(options)), len(options))
        letter = _LETTERS[order.index(0)]
        return Item(name, question, letter, tuple(options[i] for i in order))
    return Item(name, question, canonical(gold))


def canonical(answer: str) -> str:
    """An answer as it is compared: what its box holds, in its normal form."""
    inside = extract(answer) if "\\boxed" in answer else answer
    return normalise(inside)


def _found(row: Mapping[str, Any], columns: Columns, where: str) -> Columns:
    """The columns by name, those that were not given found by their usual names."""
    names = shorten(", ".join(row), _MOST_NAMES)

    def column(given: str, usual: Iterable[str], needed: str) -> str:
        if given:
            if given not in row:
                raise SpecError(f"{where}: no column {given!r}; it has {names}")
            return given
        found = next((name for name in usual if name in row), "")
        if needed and not found:
            raise SpecError(
                f"{where}: no column of {needed}s among {names}; name it: --{needed}-column NAME"
            )
        return found

    return columns.model_copy(
        update={
            "question": column(columns.question, _QUESTION_COLUMNS, "question"),
            "gold": column(columns.gold, _GOLD_COLUMNS, "gold"),
            "id": column(columns.id, _ID_COLUMNS, ""),
        }
    )


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _rows(path: Path) -> list[Mapping[str, Any]]:
    """The rows of a file, which may be somebody else's: bounded, as importers read them."""
    from autotts.stores.importing import reading

    readers = {
        ".jsonl": reading.json_rows,
        ".json": reading.json_rows,
        ".csv": reading.csv_rows,
        ".parquet": reading.parquet_rows,
    }
    if path.suffix not in readers:
        raise SpecError(f"{path}: need .jsonl, .json, .csv or .parquet")
    try:
        return [row.values for row in readers[path.suffix](path)]
    except StoreError as error:
        raise SpecError(f"{path}: {error}; need an object for each question") from error
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}") from error


def _downloaded(name: str, columns: Columns) -> list[Mapping[str, Any]]:
    try:
        import datasets
    except ImportError as error:
        raise SpecError(
            f'--questions {name} needs datasets: pip install "autotts[datasets]"; or give a file'
        ) from error
    try:
        loaded = datasets.load_dataset(columns.path, columns.name, split=columns.split)
    except OSError as error:  # no network, no such set, or one that asks for consent first
        raise SpecError(
            f"--questions {name} can't be fetched: {error}; with a file of its rows, give that and"
            f" --preset {name}"
        ) from error
    return [dict(row) for row in loaded]
