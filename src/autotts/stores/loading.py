"""Stores from the disk: verified before anything of them is used."""

import glob
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from autotts.errors import StoreError
from autotts.files import files_below, read_regular
from autotts.stores import mapped, parquet
from autotts.stores.classes import spellings_of
from autotts.stores.limits import MOST_CELLS, MOST_TOKENS, require_shape
from autotts.stores.manifest import BRANCHES, MANIFEST, QUESTIONS, SCHEMA_VERSION, Manifest
from autotts.stores.recordings import describe
from autotts.stores.schema import Store, content_digest
from autotts.stores.tables import assemble, schema_of
from autotts.stores.writing import file_digest, telling_of
from autotts.untrusted import parse_json

if TYPE_CHECKING:
    import polars as pl

AnyPath = str | os.PathLike[str]
AnyStores = Store | AnyPath | Iterable[Store | AnyPath]
"""Stores as people name them: loaded ones, folders, patterns, or several of these."""

_MOST_MANIFEST_BYTES = 1 << 20
_MOST_TABLE_BYTES = 1 << 28
_MOST_UNPACKED_BYTES = 1 << 29
_MOST_COLUMNS = 64


def load(path: AnyPath) -> Store:
    """The store in folder `path`: schema version, digests, shapes and codes are verified.

    Raises:
        StoreError: the folder is no store, or is damaged; names the file and what is wrong.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    if mapped.is_mapped(manifest):
        return mapped.load(folder, manifest, read_table(folder, QUESTIONS, manifest))
    _require_possible(folder, manifest)
    questions = read_table(folder, QUESTIONS, manifest)
    branches = read_table(folder, BRANCHES, manifest)
    try:
        store = assemble(folder, manifest, questions, branches)
    except StoreError as error:
        raise StoreError(f"{folder}: {error}") from error
    digest = content_digest(store)
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
    if store.pool.on_disk is not None:
        mapped.check(store)
        return store
    spelled = spellings_of(store)
    for q, answers in enumerate(spelled.answers):
        where = f"{store.path}: question {q}"
        if len(set(answers)) != len(answers) or len(set(store.answers[q])) != len(store.answers[q]):
            raise StoreError(f"{where}: an answer has two codes")
        shown = spelled.finals[q][:, None]
        if spelled.probes is not None:
            shown = np.concatenate([spelled.probes[q], shown], axis=1)
        codes, first = np.unique(shown[shown >= 0], return_index=True)
        used = dict.fromkeys([*codes[np.argsort(first)].tolist(), *spelled.golds[q]])
        if set(used) != set(range(len(answers))):
            raise StoreError(f"{where}: a code that nothing uses")
        if list(used) != sorted(used):
            raise StoreError(f"{where}: codes are not in order of appearance")
        if list(dict.fromkeys(spelled.classes[q].tolist())) != list(range(len(store.answers[q]))):
            raise StoreError(f"{where}: classes are not in order of appearance")
    if store.ids is None and len(set(store.texts)) != len(store.texts):
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
    for each in map(Path, given):
        with telling_of(each):
            for path in _matching(each):
                for folder in _below(path):
                    found.setdefault(folder.resolve(), folder)
    return list(found.values())


def _below(path: Path) -> list[Path]:
    """The stores at or below a path, at least one. One that is being written is hidden."""
    if not path.exists():
        raise StoreError(f"{path}: no such file or folder")
    files = files_below(path) if path.is_dir() else ()
    below = sorted(file.parent for file in files if file.name == MANIFEST)
    if not below:
        hint = ""
        if path.is_file() or any(path.glob("*/*.json*")):
            hint = "; recordings become stores by `autotts data import`"
        raise StoreError(f"{path}: no store here (a folder with {MANIFEST}) nor below{hint}")
    return below


def gather(given: AnyStores) -> list[Store]:
    """The stores that are meant: loaded ones, folders of them, patterns, or several of these.

    Raises:
        StoreError: as `find` and `load`; or what is given is none of these.
    """
    return [one if isinstance(one, Store) else load(one) for one in named(given)]


def named(given: AnyStores) -> list[Store | Path]:
    """What `gather` would give, but for stores that are on the disk alone: of them, the folder.

    Raises:
        StoreError: as `find`; or what is given is none of these.
    """
    several = [given] if isinstance(given, Store | str | os.PathLike) else given
    if not isinstance(several, Iterable):
        raise StoreError(f"stores are named by folder or are loaded ones, got {_short(given)}")
    found: dict[object, Store | Path] = {}
    for one in several:
        if isinstance(one, Store):
            found.setdefault(id(one), one)
        elif isinstance(one, str | os.PathLike):
            for folder in find(one):
                found.setdefault(folder.resolve(), folder)
        else:
            raise StoreError(
                f"a store is a loaded one or is named by its folder, got {_short(one)}"
            )
    if not found:
        raise StoreError("no store was named: give a folder, a pattern or a loaded store")
    return list(found.values())


def _short(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _matching(path: Path) -> list[Path]:
    """What a pattern names; the path itself where it exists, or nothing matches."""
    matches = [] if path.exists() else sorted(map(Path, glob.glob(str(path))))
    return matches or [path]


def read_manifest(folder: AnyPath) -> Manifest:
    """The manifest of a store folder, without looking at the recordings."""
    path = Path(folder) / MANIFEST
    with telling_of(path):
        try:
            content = read_regular(path, most_bytes=_MOST_MANIFEST_BYTES, follow=True)
        except FileNotFoundError as error:
            raise StoreError(
                f"{folder}: no store here (it has no {MANIFEST}){_below_words(Path(folder))}"
            ) from error
    try:
        fields = parse_json(content, most_bytes=_MOST_MANIFEST_BYTES)
    except ValueError as error:
        raise StoreError(f"{path}: not JSON ({error})") from error
    if not isinstance(fields, dict) or "schema_version" not in fields:
        raise StoreError(f"{path}: no schema_version; this is no manifest of a store")
    if fields["schema_version"] not in (1, SCHEMA_VERSION):
        raise StoreError(
            f"{path}: schema version {fields['schema_version']}; this autotts reads 1 to"
            f" {SCHEMA_VERSION}"
        )
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        raise StoreError(f"{path}: {describe(error)}") from error


def _below_words(folder: Path) -> str:
    """Stores that may be meant where a folder of them, or a pattern, is given for one."""
    found = [
        manifest.parent
        for place in _matching(folder)
        for pattern in (MANIFEST, f"*/{MANIFEST}", f"*/*/{MANIFEST}")
        for manifest in sorted(place.glob(pattern))
    ]
    named = ", ".join(map(str, found[:3])) + (", ..." if len(found) > 3 else "")
    return f"; name one of these: {named}" if found else ""


def read_table(folder: Path, name: str, manifest: Manifest) -> "pl.DataFrame":
    import polars as pl

    path = folder / name
    with telling_of(path):
        try:
            content = read_regular(path, most_bytes=_MOST_TABLE_BYTES, follow=True)
        except FileNotFoundError as error:
            raise StoreError(f"{path} is missing") from error
    digest = file_digest(content)
    if digest != manifest.files.get(name):
        raise StoreError(
            f"{path}: its sha256 is {digest[:12]}..., {MANIFEST} says "
            f"{manifest.files.get(name, 'none')[:12]}...; the file was cut short or changed"
        )
    schema = schema_of(name, manifest)
    try:
        _require_bounded(parquet.unpacked(content), name, manifest)
        table = pl.read_parquet(io.BytesIO(content))
    except parquet.unreadable() as error:
        raise StoreError(f"{path}: {error}") from error
    if dict(table.schema) != schema or table.null_count().row(0) != (0,) * len(schema):
        raise StoreError(f"{path}: columns {dict(table.schema)}; a store has {schema}, no nulls")
    return table


def _require_possible(folder: Path, manifest: Manifest) -> None:
    """Numbers that a store can have, before anything is allocated by them."""
    try:
        require_shape(manifest.questions, manifest.branches)
    except StoreError as error:
        raise StoreError(f"{folder / MANIFEST}: {error}") from error
    if manifest.interval_tokens > MOST_TOKENS:
        raise StoreError(f"{folder / MANIFEST}: intervals of {manifest.interval_tokens:,} tokens")
    columns = max(map(len, manifest.columns.values()), default=0)
    if columns > _MOST_COLUMNS:
        raise StoreError(f"{folder / MANIFEST}: {columns} columns; at most {_MOST_COLUMNS}")


def _require_bounded(said: parquet.Unpacked, name: str, manifest: Manifest) -> None:
    """What a table would unpack to, against the manifest and what fits into memory.

    Raises:
        ValueError: it is something else, or too much.
    """
    every = manifest.branches_in_all or manifest.questions * manifest.branches
    rows = manifest.questions if name == QUESTIONS else every
    kinds = schema_of(name, manifest)
    if said.rows != rows:
        raise ValueError(f"{said.rows:,} rows; the manifest says {rows:,}")
    for column, count in said.values.items():
        most = MOST_CELLS if column in kinds and kinds[column].is_nested() else rows
        if count > most:
            raise ValueError(f"{count:,} values of {column}; at most {most:,} are read")
    if said.size > _MOST_UNPACKED_BYTES:
        raise ValueError(f"{said.size:,} bytes unpacked; at most {_MOST_UNPACKED_BYTES:,} are read")
