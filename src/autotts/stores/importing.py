"""Recordings in the JSON layout of the released data, made into stores.

`MODEL/DATASET.json` is a list of `{question, gold_answer, probe_freq, final_answers_trace,
each_branch: [[probe answers], branch_tokens, final answer]}`.
"""

import json
import os
from pathlib import Path
from typing import Any

from autotts.errors import StoreError
from autotts.files import read_regular
from autotts.stores.recordings import Branch, Recording, build
from autotts.stores.schema import Store
from autotts.stores.writing import file_digest, store_folder, telling_of, write_all
from autotts.text import shorten
from autotts.untrusted import parse_json

_MOST_BYTES = 1 << 28
_KEYS = ("question", "gold_answer", "probe_freq", "final_answers_trace", "each_branch")


def import_released(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: str | None = None,
    dataset: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Import one released file, or all of a PATH/MODEL/DATASET.json tree, to OUT/MODEL/DATASET.

    Every file is read and verified before anything is written. Other JSON files at the root of
    a tree are left alone.

    Args:
        model, dataset: names for a single file; its folder's and its own name without them.

    Returns:
        The folders of the stores.

    Raises:
        StoreError: names the file, the question and what is wrong.
    """
    with telling_of(Path(path)):
        files = _released_files(Path(path))
    if Path(path).is_dir() and (model or dataset):
        raise StoreError(f"{path} is a folder: its stores are named after its files, not by hand")
    stores = [
        _read(file, model or file.resolve().parent.name, dataset or file.stem) for file in files
    ]
    places = [(store, store_folder(out, store.model, store.dataset)) for store in stores]
    return [store.path for store in write_all(places, overwrite=overwrite) if store.path]


def _released_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise StoreError(f"{path}: no such file or folder")
    files = sorted(f for f in path.glob("*/*.json") if not f.parent.name.startswith("."))
    if not files:
        hint = (
            "; name one of the files in it, or the folder above" if any(path.glob("*.json")) else ""
        )
        raise StoreError(f"{path}: no MODEL/DATASET.json below it{hint}")
    return files


def _read(file: Path, model: str, dataset: str) -> Store:
    with telling_of(file):
        content = read_regular(file, most_bytes=_MOST_BYTES, follow=True)
    try:
        released: Any = parse_json(content, most_bytes=_MOST_BYTES)
    except ValueError as error:
        raise StoreError(f"{file}: not JSON, perhaps cut short ({error})") from error
    try:
        if not isinstance(released, list) or not released:
            raise StoreError(f"a list of questions was expected, not {_shown(released)}")
        recordings = [_recording(item, f"question {q}") for q, item in enumerate(released)]
        return build(
            recordings,
            model=model,
            dataset=dataset,
            interval_tokens=_interval(released),
            billing="reference",
            source=f"{model}/{dataset}.json in the released layout, sha256 {file_digest(content)}",
        )
    except StoreError as error:
        raise StoreError(f"{file}: {error}") from error


def _interval(released: list[dict[str, Any]]) -> int:
    first = released[0]["probe_freq"]
    for q, item in enumerate(released):
        if not _is_count(item["probe_freq"]):
            raise StoreError(
                f"question {q}: probe_freq is {_shown(item['probe_freq'])}, not a positive integer"
            )
        if item["probe_freq"] != first:
            raise StoreError(
                f"question {q}: probe_freq {item['probe_freq']}, question 0 has {first}; "
                "one store has one interval"
            )
    return int(first)


def _recording(item: Any, where: str) -> Recording:
    if not isinstance(item, dict):
        raise StoreError(f"{where}: an object was expected, not {_shown(item)}")
    missing = [key for key in _KEYS if key not in item]
    if missing:
        raise StoreError(f"{where}: no {' and no '.join(missing)}")
    for key in ("question", "gold_answer"):
        if not isinstance(item[key], str):
            raise StoreError(f"{where}: {key} is {_shown(item[key])}, not a string")
    rows, finals = item["each_branch"], item["final_answers_trace"]
    for key in ("each_branch", "final_answers_trace"):
        if not isinstance(item[key], list):
            raise StoreError(f"{where}: {key} is {_shown(item[key])}, not a list")
    if len(rows) != len(finals):
        raise StoreError(
            f"{where}: {len(rows)} branches in each_branch, {len(finals)} in final_answers_trace"
        )
    branches = [_branch(row, f"{where}, branch {i}") for i, row in enumerate(rows)]
    for i, (branch, final) in enumerate(zip(branches, finals, strict=True)):
        if branch.final != final:
            raise StoreError(
                f"{where}, branch {i}: it ends on {_shown(branch.final)}, "
                f"final_answers_trace says {_shown(final)}"
            )
    return Recording(item["question"], item["gold_answer"], branches)


def _branch(row: Any, where: str) -> Branch:
    if not isinstance(row, list) or len(row) != 3:
        raise StoreError(
            f"{where}: [probe answers, tokens, final answer] wanted, not {_shown(row)}"
        )
    probes, tokens, final = row
    if not isinstance(probes, list) or not probes:
        raise StoreError(f"{where}: a list of probe answers was expected, not {_shown(probes)}")
    for answer in (*probes, final):
        if not isinstance(answer, str):
            raise StoreError(f"{where}: answer {_shown(answer)} is not a string")
    if not _is_count(tokens):
        raise StoreError(f"{where}: tokens are {_shown(tokens)}, not a positive integer")
    return Branch(probes, tokens, final)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _shown(value: Any) -> str:
    return shorten(json.dumps(value), 40)
