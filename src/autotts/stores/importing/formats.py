"""The formats that are read, and which of them a file has, found by looking into it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autotts import plugins
from autotts.answers import Equality
from autotts.errors import SpecError, StoreError
from autotts.stores.importing import (
    inspect_log,
    lengths,
    lm_eval,
    matharena,
    nemo_skills,
    released,
    samples,
    trajectories,
    verifiers,
)
from autotts.stores.importing.reading import csv_rows, json_rows, parquet_rows, read_json
from autotts.stores.importing.rows import Row
from autotts.stores.importing.sample import Sample
from autotts.stores.manifest import Billing

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".parquet", ".eval")


@dataclass(frozen=True, slots=True)
class Head:
    """What a file begins with.

    kind: "json", "lines", "csv", "parquet" or "zip".
    first: its first entry, or all of it where it is no list.
    """

    kind: str
    first: Mapping[str, Any]

    @property
    def keys(self) -> tuple[str, ...]:
        """The names in its first entry."""
        return tuple(self.first)


@dataclass(frozen=True, slots=True)
class RecordingFormat:
    """A layout of recordings.

    name: as `--format` says it.
    layout: in a line, for people.
    looks: whether a file that begins so has it.
    read: the samples of a file.
    names: model and dataset by the path of a file.
    equality: when answers are one vote; None to find out by looking at them.
    billing: by which rule stores are billed.
    """

    name: str
    layout: str
    looks: Callable[[Head], bool]
    read: Callable[[Path], Iterator[Sample]]
    names: Callable[[Path], tuple[str, str]]
    equality: Equality | None = None
    billing: Billing = "exact"


def _has(*keys: str) -> Callable[[Head], bool]:
    return lambda head: head.kind != "zip" and set(keys) <= set(head.keys)


def _stem(path: Path) -> str:
    """The name of a file without what its suffixes say."""
    name = path.name.removesuffix(".gz")
    return next((name.removesuffix(s) for s in SUFFIXES if name.endswith(s)), name)


def _model_dataset(path: Path) -> tuple[str, str]:
    return path.resolve().parent.name, _stem(path)


def _dataset_model(path: Path) -> tuple[str, str]:
    return _stem(path), path.resolve().parent.name


def _by_content(path: Path) -> tuple[str, str]:
    return "", matharena.dataset_of(path)


FORMATS = (
    RecordingFormat(
        "released", "MODEL/DATASET.json: [{question, gold_answer, probe_freq, each_branch}, ...]",
        _has("each_branch"), released.read, _model_dataset, "exact", "reference",
    ),
    RecordingFormat(
        "lengths", 'DATASET/MODEL.jsonl: {"problem_num", "gold_answer", "all_answers": [[answer, '
        "tokens], ...]} a line", _has("all_answers"), lengths.read, _dataset_model,
    ),
    RecordingFormat(
        "trajectories", "MODEL/DATASET.jsonl: {question, gold, outcome, steps: [{tokens, probe, "
        "signals}]} a line", _has("steps", "outcome"), trajectories.read, _model_dataset,
    ),
    RecordingFormat(
        "lm-eval", "MODEL/samples_TASK_DATE.jsonl of lm-eval --log_samples", _has("doc", "resps"),
        lm_eval.read, lambda path: (path.resolve().parent.name, lm_eval.task_of(path)),
    ),
    RecordingFormat(
        "inspect", "*.eval, or the same log as JSON",
        lambda head: head.kind == "zip" or _has("eval", "samples")(head),
        inspect_log.read, lambda path: ("", ""),
    ),
    RecordingFormat(
        "verifiers", "results.jsonl or traces.jsonl of verifiers",
        lambda head: _has("prompt", "completion", "reward")(head) or _has("task", "traces")(head),
        verifiers.read, verifiers.names,
    ),
    RecordingFormat(
        "nemo-skills", "BENCHMARK/output-rsSEED.jsonl of NeMo-Skills",
        _has("generation", "expected_answer"), nemo_skills.read, nemo_skills.names,
    ),
    RecordingFormat(
        "matharena", "a table of MathArena outputs, Parquet",
        _has("problem_idx", "model_name", "gold_answer"), matharena.read, _by_content,
    ),
)  # fmt: skip
"""Those that other programs write, the most particular first; `own` is what is none of them."""

OWN = "samples"
_OWN_LAYOUT = (
    "MODEL/DATASET.jsonl, .csv or .parquet: {question, gold, answer or response, tokens} a line"
)


def every_format() -> tuple[RecordingFormat, ...]:
    """The formats that installed packages read, which are looked for first, and ours.

    Raises:
        SpecError: a package's can't be loaded, or is no `RecordingFormat`.
    """
    installed = (
        replace(plugin.load_as(RecordingFormat), name=plugin.name)
        for plugin in plugins.published(plugins.IMPORTERS)
    )
    return (*installed, *FORMATS)


def own(
    head: Head, columns: Mapping[str, str]
) -> tuple[RecordingFormat, samples.SampleColumns] | None:
    """Samples of one's own, if a file has them, and what its columns are."""
    found = samples.columns_of(head.keys, columns)
    if head.kind == "zip" or found is None:
        return None
    equality: Equality | None = "code" if "behaviour" in found.of else None
    read: Callable[[Path], Iterator[Sample]] = lambda path: samples.read(path, found)  # noqa: E731
    return RecordingFormat(OWN, _OWN_LAYOUT, lambda _: True, read, _model_dataset, equality), found


def head_of(path: Path) -> Head | None:
    """What a file begins with; None if it is empty, or its name says that it is no recording.

    Raises:
        StoreError: it is not what its name says, and where.
    """
    kinds = path.suffixes
    if ".eval" in kinds:
        return Head("zip", {})
    if ".json" in kinds:
        return _json_head(path)
    if ".parquet" in kinds:
        return _first("parquet", parquet_rows(path, most=1))
    if ".csv" in kinds:
        return _first("csv", csv_rows(path))
    return _first("lines", json_rows(path)) if {".jsonl", ".ndjson"} & {*kinds} else None


def _first(kind: str, rows: Iterator[Row]) -> Head | None:
    first = next(rows, None)
    return None if first is None else Head(kind, first.values)


def _json_head(path: Path) -> Head | None:
    try:
        value = read_json(path)
    except StoreError:
        # Lines of JSON under another name; if it is none, the first error is what helps.
        return _first("lines", json_rows(path))
    if isinstance(value, list):
        value = value[0] if value else None
    return Head("json", value) if isinstance(value, dict) else None


def format_of(
    path: Path,
    named: str | None,
    columns: Mapping[str, str],
    formats: Sequence[RecordingFormat],
) -> tuple[RecordingFormat, samples.SampleColumns | None] | None:
    """The format of a file, as it was named or as it looks; None if it has none that is known.

    Raises:
        SpecError: there is no format of that name.
        StoreError: the file is damaged.
    """
    known = (*(one.name for one in formats), OWN)
    if named is not None and named not in known:
        raise SpecError(f"--format {named}: there are {', '.join(known)}")
    for one in formats:
        if one.name == named:
            return one, None
    head = head_of(path)
    if head is None:
        return None
    if named is None and not columns:
        for one in formats:
            if one.looks(head):
                return one, None
    return own(head, columns)


def layouts() -> str:
    """What is read, a line for each format."""
    known = [*((one.name, one.layout) for one in every_format()), (OWN, _OWN_LAYOUT)]
    return "\n".join(f"  {name:12} {layout}" for name, layout in known)
