"""Logs of Inspect: `.eval`, a zip archive of JSON, and the same as one JSON file.

`header.json` (before the end of a run `_journal/start.json`) tells task and model; each
`samples/ID_epoch_N.json` is a sample: `{id, epoch, input, target, output, scores, error}`.
"""

from collections.abc import Iterator
from pathlib import Path

from autotts.errors import StoreError
from autotts.stores.importing.reading import archive, member_json, read_json
from autotts.stores.importing.rows import Row, asked_by, content_text, row_of
from autotts.stores.importing.sample import Sample
from autotts.text import clean

_LONGEST_ANSWER = 200
"""Characters of what a scorer took for the answer; a longer one is the response."""


def read(path: Path) -> Iterator[Sample]:
    """The samples of a log, in order of epoch."""
    if path.suffix != ".json":
        with archive(path) as found:
            names = [name for name in found.namelist() if name.endswith(".json")]
            header = next((n for n in ("header.json", "_journal/start.json") if n in names), None)
            if header is None:
                raise StoreError("no header.json; this is no log of Inspect")
            head = row_of(member_json(found, header), header)
            for name in names:
                if name.startswith("samples/"):
                    yield _sample(row_of(member_json(found, name), clean(name)), head)
    else:
        head = row_of(read_json(path), "log")
        for row in head.rows("samples"):
            yield _sample(row, head)


def _sample(row: Row, head: Row) -> Sample:
    failed = row.has("error")
    asked = row.get("input")
    question = asked if isinstance(asked, str) else asked_by(asked)
    if not question:
        row.refuse("input", "a text or messages with one of a user")
    response = _response(row)
    answer = _scored(row, response)
    tokens, prompt = _usage(row, "output_tokens"), _usage(row, "input_tokens")
    return Sample(
        row.where,
        str(question),
        row.golds("target"),
        id=row.name("id"),
        answer="" if failed else answer,
        tokens=0 if failed else tokens,
        response=response,
        model=head.text("eval.model"),
        dataset=head.text("eval.task"),
        used={} if prompt is None else {"prompt_tokens": prompt},
    )


def _response(row: Row) -> str:
    completion = row.get("output.completion")
    if isinstance(completion, str) and completion:
        return completion
    choices = row.get("output.choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return content_text(message.get("content")) if isinstance(message, dict) else ""


def _scored(row: Row, response: str) -> str | None:
    """What a scorer took for the answer; None if that is no more than the response."""
    scores = row.get("scores")
    for score in scores.values() if isinstance(scores, dict) else ():
        answer = score.get("answer") if isinstance(score, dict) else None
        if isinstance(answer, str) and answer != response and len(answer) <= _LONGEST_ANSWER:
            return answer
    return None


def _usage(row: Row, key: str) -> int | None:
    """Tokens of all of a sample's calls, where they were counted."""
    usage = row.get("model_usage")
    counts = [
        Row(f"{row.where}, model_usage", each).count(key, least=0)
        for each in (usage.values() if isinstance(usage, dict) else ())
        if isinstance(each, dict)
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
