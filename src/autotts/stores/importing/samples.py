"""Samples of one's own: a line for each, or a line for each question with lists.

`MODEL/DATASET.jsonl` has lines `{question, gold, answer | response, tokens}` and optionally `id`,
`model`, `dataset`, `prompt_tokens`, `behaviour`, `weight` and `group:NAME`; JSON lists, CSV and
Parquet have the same as columns. `behaviour` is a hash of what a program does, and is voted on in
the place of `answer`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotts.errors import SpecError, StoreError
from autotts.stores.importing.reading import table_rows
from autotts.stores.importing.rows import Row, shown
from autotts.stores.importing.sample import Sample

NAMES: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "problem", "prompt", "input", "query"),
    "gold": ("gold", "gold_answer", "target", "expected_answer", "ground_truth", "reference"),
    "answer": ("answer", "prediction", "predicted_answer", "parsed_answer", "extracted_answer"),
    "response": (
        "response", "responses", "generation", "generations", "completion", "completions", "output",
        "outputs",
    ),
    "tokens": ("tokens", "output_tokens", "completion_tokens", "num_generated_tokens", "n_tokens"),
    "id": ("id", "question_id", "problem_id", "doc_id"),
    "model": ("model", "model_name"),
    "dataset": ("dataset", "task"),
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "behaviour": ("behaviour", "behavior"),
    "weight": ("weight",),
}  # fmt: skip
"""What a sample has, and what columns with it are usually called."""

_GROUP = "group:"
"""What a part begins with that is the group of a question, by the grouping that follows."""


@dataclass(frozen=True, slots=True)
class SampleColumns:
    """Which column of a file holds what.

    of: the column of each part of a sample, as far as there is one.
    unread: the other columns.
    """

    of: Mapping[str, str]
    unread: tuple[str, ...]

    @property
    def told(self) -> str:
        """In words: what has another name than ours."""
        return ", ".join(f"{ours}={theirs}" for ours, theirs in self.of.items() if ours != theirs)


def columns_of(keys: tuple[str, ...], named: Mapping[str, str]) -> SampleColumns | None:
    """The columns of a file with such keys; None if they make no samples.

    Args:
        named: the column of a part, by hand.

    Raises:
        SpecError: a part that samples don't have is named.
    """
    odd = [part for part in named if part not in NAMES and not _is_group(part)]
    if odd:
        raise SpecError(
            f"--column {odd[0]}=...: a sample has {', '.join(NAMES)} and {_GROUP}NAME, such as"
            f" {_GROUP}topic"
        )
    of = {key: key for key in keys if _is_group(key)} | dict(named)
    taken = set(named.values())
    for part, usual in NAMES.items():
        found = next((name for name in usual if name in keys and name not in taken), None)
        if part not in of and found:
            of[part] = found
            taken.add(found)
    # A table of questions with their true answers calls these its answers.
    if "gold" not in of and {"answer", "response"} <= of.keys() and "answer" not in named:
        of["gold"] = of.pop("answer")
    if not {"question", "gold"} <= of.keys() or not {"answer", "response", "behaviour"} & of.keys():
        return None
    read = {name.split(".")[0] for name in of.values()} | set(of.values())
    order = {part: of[part] for part in (*NAMES, *_groupings(of)) if part in of}
    return SampleColumns(order, tuple(key for key in keys if key not in read))


def _is_group(part: str) -> bool:
    return part.startswith(_GROUP) and part != _GROUP


def _groupings(of: Mapping[str, str]) -> list[str]:
    return sorted(filter(_is_group, of))


def read(path: Path, columns: SampleColumns) -> Iterator[Sample]:
    """The samples of a file."""
    for row in table_rows(path, tuple(columns.of.values())):
        several = _several(row, columns)
        for i in range(several or 1):
            yield _sample(row, columns.of, None if several is None else i)


def _several(row: Row, columns: SampleColumns) -> int | None:
    """How many samples a row has, where its answers or responses are a list."""
    counts = {}
    for part in ("answer", "response", "tokens", "behaviour"):
        value = row.get(columns.of[part]) if part in columns.of else None
        if isinstance(value, list):
            counts[columns.of[part]] = len(value)
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise StoreError(f"{row.where}: lists of other lengths: {told}")
    if counts and 0 in counts.values():
        raise StoreError(f"{row.where}: {next(iter(counts))} is an empty list")
    return next(iter(counts.values()), None)


def _sample(row: Row, of: Mapping[str, str], place: int | None) -> Sample:
    where = row.where if place is None else f"{row.where}, sample {place}"

    def entry(part: str) -> Row:
        """The part of one sample, under the name that its column has."""
        value: Any = row.get(of[part])
        own = value if place is None or not isinstance(value, list) else value[place]
        return Row(where, {of[part]: own})

    voted = "behaviour" if "behaviour" in of else "answer"
    answer = entry(voted).answer(of[voted]) if voted in of else None
    response = entry("response").get(of["response"]) if "response" in of else None
    if response is not None and not isinstance(response, str):
        raise StoreError(f"{where}: {of['response']} is {shown(response)}, not a text")
    prompt = row.count(of["prompt_tokens"], least=0) if "prompt_tokens" in of else None
    return Sample(
        where,
        row.text(of["question"]),
        row.golds(of["gold"]),
        id=row.name(of["id"]) if "id" in of else "",
        answer=answer,
        tokens=entry("tokens").count(of["tokens"], least=0) if "tokens" in of else None,
        response=response,
        model=row.name(of["model"]) if "model" in of else "",
        dataset=row.name(of["dataset"]) if "dataset" in of else "",
        used={} if prompt is None else {"prompt_tokens": prompt},
        weight=row.weight(of["weight"]) if "weight" in of else None,
        groups={part.removeprefix(_GROUP): row.name(of[part]) for part in _groupings(of)},
    )
