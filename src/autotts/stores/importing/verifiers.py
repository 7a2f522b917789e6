"""Rollouts of verifiers: `results.jsonl` of versions before 0.4, and `traces.jsonl` since.

A line of the first is a rollout, `{example_id, prompt, completion, answer, reward, token_usage}`,
and `metadata.json` beside it names environment and model. A line of the second is an episode,
`{env, task, traces: [{agent, nodes, calls}]}`; read are those of one agent.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from autotts.errors import StoreError
from autotts.files import read_regular
from autotts.stores.importing.reading import json_rows, parsed
from autotts.stores.importing.rows import Row, asked_by, content_text, row_of, said_by
from autotts.stores.importing.sample import Sample

_MOST_METADATA_BYTES = 1 << 22


def names(path: Path) -> tuple[str, str]:
    """Model and environment of a run: its metadata's, else its folder's, `ENV--MODEL`."""
    file = path.with_name("metadata.json")
    if file.is_file():
        content = read_regular(file, most_bytes=_MOST_METADATA_BYTES, follow=True)
        row = row_of(parsed(content, "", _MOST_METADATA_BYTES), file.name)
        if row.has("model") and row.has("env_id"):
            return row.text("model"), row.text("env_id")
    for folder in path.resolve().parents:
        environment, found, model = folder.name.partition("--")
        if found:
            return model.split("--")[0], environment
    return path.resolve().parent.name, path.name.split(".")[0]


def read(path: Path) -> Iterator[Sample]:
    """The samples of a file."""
    for row in json_rows(path):
        yield _episode(row) if "traces" in row.values else _rollout(row)


def _name(row: Row) -> str:
    return row.name("example_id") or row.name("id")


def _rollout(row: Row) -> Sample:
    question = asked_by(row.get("prompt")) or row.refuse("prompt", "a text or messages")
    golds = row.golds("answer")
    if row.has("error"):
        return Sample(row.where, question, golds, id=_name(row), answer="", tokens=0)
    response = said_by(row.get("completion"))
    if response is None:
        row.refuse("completion", "a text, or messages with one of an assistant")
    prompt = row.count("token_usage.input_tokens", least=0)
    return Sample(
        row.where,
        question,
        golds,
        id=_name(row),
        tokens=row.count("token_usage.output_tokens"),
        response=response,
        used={} if prompt is None else {"prompt_tokens": prompt},
    )


def _episode(row: Row) -> Sample:
    data = row.get("task.data")
    task = Row(f"{row.where}, task.data", data if isinstance(data, dict) else {})
    question = asked_by(task.get("prompt")) or task.refuse("prompt", "a text or messages")
    golds, name = task.golds("answer"), task.name("id") or task.name("idx")
    traces = row.rows("traces")
    if len(traces) > 1:
        raise StoreError(f"{row.where}: {len(traces)} traces; episodes of one agent are read")
    if not traces or not traces[0].get("ok"):
        return Sample(row.where, question, golds, id=name, answer="", tokens=0)
    [trace] = traces
    spoken = [node for node in trace.rows("nodes") if node.get("sampled")]
    if not spoken:
        trace.refuse("nodes", "messages with one that a model wrote")
    calls = trace.rows("calls") if trace.has("calls") else []
    return Sample(
        row.where,
        question,
        golds,
        id=name,
        tokens=_used(calls, "completion_tokens"),
        response=content_text(spoken[-1].get("message.content")),
        model=trace.name("agent.config.model"),
        dataset=row.name("env.id"),
        used=_prompt(calls),
    )


def _used(calls: Sequence[Row], key: str) -> int | None:
    counts = [call.count(f"usage.{key}", least=0) for call in calls]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _prompt(calls: Sequence[Row]) -> dict[str, int]:
    tokens = _used(calls, "prompt_tokens")
    return {} if tokens is None else {"prompt_tokens": tokens}
