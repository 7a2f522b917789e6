"""Stores from the disk: verified before anything of them is used."""

import glob
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from autotts.errors import StoreError
from autotts.stores.recordings import describe, failed_codes
from autotts.stores.schema import (
    BRANCHES,
    MANIFEST,
    QUESTIONS,
    SCHEMA_VERSION,
    Manifest,
    Pool,
    Store,
    content_digest,
    header_of,
)
from autotts.stores.writing import file_digest

if TYPE_CHECKING:
    import polars as pl

AnyPath = str | os.PathLike[str]


def load(path: AnyPath) -> Store:
    """The store in folder `path`: schema version, digests, shapes and codes are verified.

    Raises:
        StoreError: the folder is no store, or is damaged; names the file and what is wrong.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    questions = _read_table(folder, QUESTIONS, manifest)
    branches = _read_table(folder, BRANCHES, manifest)
    try:
        store = _assemble(folder, manifest, questions, branches)
    except StoreError as error:
        raise StoreError(f"{folder}: {error}") from error
    digest = content_digest(header_of(manifest), store.pool, store.gold, store.answers, store.texts)
    if digest != manifest.digest:
        raise StoreError(
            f"{folder / MANIFEST}: its digest is {manifest.digest[:12]}..., the content has "
            f"{digest[:12]}...; one of them was changed after the store was written"
        )
    return store


def check(path: AnyPath) -> Store:
    """Load a store and verify what `load` takes on trust: that its codes are canonical.

    Raises:
        StoreError: as `load`; or answers, questions or codes repeat or are out of order.
    """
    store = load(path)
    for q, answers in enumerate(store.answers):
        if len(set(answers)) != len(answers):
            raise StoreError(f"{store.path}: question {q}: an answer has two codes")
        shown = np.concatenate([store.pool.probes[q], store.pool.finals[q][:, None]], axis=1)
        codes, first = np.unique(shown[shown >= 0], return_index=True)
        unseen = len(answers) - len(codes)
        if (np.diff(first) < 0).any() or (codes != np.arange(len(codes))).any() or unseen > 1:
            raise StoreError(f"{store.path}: question {q}: codes are not in order of appearance")
        if unseen and store.gold[q] != len(answers) - 1:
            raise StoreError(f"{store.path}: question {q}: a code that nothing uses")
    if len(set(store.texts)) != len(store.texts):
        raise StoreError(f"{store.path}: two questions have the same text")
    return store


def find(paths: AnyPath | Iterable[AnyPath]) -> list[Path]:
    """The store folders at or below the given paths, sorted within each, each once.

    Args:
        paths: folders, or patterns of them such as `stores/*/aime24`.

    Raises:
        StoreError: a path is missing or has no store at or below it.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: dict[Path, Path] = {}
    for path in (path for each in given for path in _matching(Path(each))):
        if not path.exists():
            raise StoreError(f"{path}: no such file or folder")
        below = sorted(m.parent for m in path.rglob(MANIFEST) if not _hidden(m.relative_to(path)))
        if not below:
            hint = ""
            if path.suffix == ".json" or any(path.glob("*/*.json")):
                hint = "; JSON recordings become stores by `autotts data import`"
            raise StoreError(f"{path}: no store here (a folder with {MANIFEST}) nor below{hint}")
        for folder in below:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def _matching(path: Path) -> list[Path]:
    """What a pattern names; the path itself where it exists, or nothing matches."""
    matches = [] if path.exists() else sorted(map(Path, glob.glob(str(path))))
    return matches or [path]


def _hidden(path: Path) -> bool:
    """Whether a path runs through a hidden folder: a store that is being written lies in one."""
    return any(part.startswith(".") for part in path.parts)


def read_manifest(folder: AnyPath) -> Manifest:
    """The manifest of a store folder, without looking at the recordings."""
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise StoreError(f"{folder}: no store here (it has no {MANIFEST})")
    try:
        fields = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{path}: not JSON ({error})") from error
    if not isinstance(fields, dict) or "schema_version" not in fields:
        raise StoreError(f"{path}: no schema_version; this is no manifest of a store")
    if fields["schema_version"] != SCHEMA_VERSION:
        raise StoreError(
            f"{path}: schema version {fields['schema_version']}; "
            f"this autotts reads {SCHEMA_VERSION}"
        )
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        raise StoreError(f"{path}: {describe(error)}") from error


def _read_table(folder: Path, name: str, manifest: Manifest) -> "pl.DataFrame":
    import polars as pl

    path = folder / name
    if not path.is_file():
        raise StoreError(f"{path} is missing")
    content = path.read_bytes()
    digest = file_digest(content)
    if digest != manifest.files.get(name):
        raise StoreError(
            f"{path}: its sha256 is {digest[:12]}..., {MANIFEST} says "
            f"{manifest.files.get(name, 'none')[:12]}...; the file was cut short or changed"
        )
    schema = _question_schema() if name == QUESTIONS else _branch_schema()
    try:
        table = pl.read_parquet(io.BytesIO(content))
    except pl.exceptions.PolarsError as error:
        raise StoreError(f"{path}: not Parquet ({error})") from error
    if dict(table.schema) != schema or table.null_count().row(0) != (0,) * len(schema):
        raise StoreError(f"{path}: columns {dict(table.schema)}; a store has {schema}, no nulls")
    return table


def _question_schema() -> "dict[str, pl.DataType]":
    import polars as pl

    return {"question": pl.String(), "gold": pl.String(), "answers": pl.List(pl.String())}


def _branch_schema() -> "dict[str, pl.DataType]":
    import polars as pl

    short = pl.Int16()
    return {
        "question": short,
        "branch": short,
        "tokens": pl.Int32(),
        "final": short,
        "probes": pl.List(short),
    }


def _assemble(
    folder: Path, manifest: Manifest, questions: "pl.DataFrame", branches: "pl.DataFrame"
) -> Store:
    shape = manifest.questions, manifest.branches
    rows = np.arange(shape[0] * shape[1])
    order = branches["question"].to_numpy(), branches["branch"].to_numpy()
    if len(branches) != len(rows) or len(questions) != shape[0]:
        raise StoreError(
            f"the manifest says {shape[0]} x {shape[1]} branches, there are "
            f"{len(questions)} questions and {len(branches)} branches"
        )
    if (order[0] != rows // shape[1]).any() or (order[1] != rows % shape[1]).any():
        raise StoreError(f"{BRANCHES}: rows are not in order of question and branch")
    lengths = branches["probes"].list.len().to_numpy()
    if lengths.min() < 1:
        raise StoreError(f"{BRANCHES}: branch {int(lengths.argmin())} has no probes")
    probes = np.full((*shape, int(lengths.max())), -1, np.int16)
    lengths = lengths.astype(np.int16).reshape(shape)
    inside = np.arange(probes.shape[2]) < lengths[:, :, None]
    probes[inside] = branches["probes"].explode(empty_as_null=False).to_numpy()
    answers = tuple(tuple(strings) for strings in questions["answers"].to_list())
    pool = Pool(
        probes=probes,
        lengths=lengths,
        tokens=branches["tokens"].to_numpy(writable=True).reshape(shape),
        finals=branches["final"].to_numpy(writable=True).reshape(shape),
        failed=failed_codes(answers, manifest.failed_answer),
        n_codes=np.array([len(a) for a in answers], np.int16),
        interval=manifest.interval_tokens,
        billing=manifest.billing,
    )
    gold = questions["gold"].to_list()
    for q, (answer, strings) in enumerate(zip(gold, answers, strict=True)):
        if answer not in strings:
            raise StoreError(f"{QUESTIONS}: question {q}: gold {answer!r} is not in its answers")
    codes = np.array([a.index(answer) for a, answer in zip(answers, gold, strict=True)], np.int16)
    return Store(folder, manifest, pool, codes, answers, tuple(questions["question"].to_list()))
