"""Samples that lm-evaluation-harness logs by `--log_samples`.

`MODEL/samples_TASK_DATE.jsonl` has a line for each document and each filter of answers: `{doc_id,
doc, target, arguments, resps: [[response, ...]], filtered_resps: [answer, ...], filter}`, with as
many responses as the task repeats. It has no token counts.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autotts.errors import StoreError
from autotts.stores.importing.reading import json_rows
from autotts.stores.importing.rows import Row, answer_text, shown
from autotts.stores.importing.sample import Sample

_FILE = re.compile(r"samples_(.+?)(?:_\d{4}-\d\d-\d\dT[\d.:-]+)?\.jsonl?(?:\.gz)?")
_QUESTIONS = ("question", "problem", "prompt", "input", "query")


def task_of(path: Path) -> str:
    """The task, by the name of a file."""
    found = _FILE.fullmatch(path.name)
    return found[1] if found else path.name.split(".")[0]


def read(path: Path) -> Iterator[Sample]:
    """The samples of a file, of the first filter in it."""
    chosen: Any = None
    for k, row in enumerate(json_rows(path)):
        chosen = row.get("filter") if k == 0 else chosen
        if row.get("filter") == chosen:
            yield from _samples(row)


def _samples(row: Row) -> Iterator[Sample]:
    responses = _flat(row.get("resps"))
    filtered = _flat(row.get("filtered_resps"))
    for response in _answers_of_requests(row.get("resps")):
        if not isinstance(response, str):
            raise StoreError(
                f"{row.where}: resps holds {shown(response)}, not what a model wrote; tasks that"
                " are scored by likelihoods have no samples to vote"
            )
    if not responses:
        row.refuse("resps", "a list of responses")
    # A filter may leave one answer of many, such as their majority.
    answers = filtered if len(filtered) == len(responses) else [None] * len(responses)
    question, golds, number = _question(row), row.golds("target"), row.name("doc_id")
    for i, (response, answer) in enumerate(zip(responses, answers, strict=True)):
        yield Sample(
            f"{row.where}, resps {i}",
            question,
            golds,
            id=number,
            answer=None if answer is None else answer_text(answer),
            response=response,
        )


def _flat(values: Any) -> list[Any]:
    """Responses, however deep they lie in lists of requests and repeats."""
    if not isinstance(values, list):
        return [] if values is None else [values]
    found = []
    for value in values:
        found += _flat(value) if isinstance(value, list) else [value]
    return found


def _answers_of_requests(values: Any) -> list[Any]:
    """What a model gave to each request: texts, or pairs of a likelihood and a truth value."""
    several = values if isinstance(values, list) else [values]
    return [one for each in several for one in (each if isinstance(each, list) else [each])]


def _question(row: Row) -> str:
    """What the document asks; else the prompt that was made of it."""
    for name in _QUESTIONS:
        value = row.get(f"doc.{name}")
        if isinstance(value, str) and value:
            return value
    prompt = row.get("arguments.gen_args_0.arg_0")
    return prompt if isinstance(prompt, str) and prompt else f"document {row.name('doc_id')}"
