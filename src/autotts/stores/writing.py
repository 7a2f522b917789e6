"""Stores onto the disk: whole or not at all."""

import hashlib
import io
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autotts.errors import StoreError
from autotts.stores.manifest import (
    BRANCHES,
    MANIFEST,
    QUESTIONS,
    SCHEMA_VERSION,
    Manifest,
    header_of,
)  # fmt: skip
from autotts.stores.recordings import failed_codes
from autotts.stores.schema import Store
from autotts.stores.tables import branch_table, optional_columns, question_table
from autotts.text import shorten

if TYPE_CHECKING:
    import polars as pl

_MOST_NAME_BYTES = 200
"""Of a folder's name; a system takes 255, and a store is written under a longer name first."""


def store_folder(out: str | os.PathLike[str], model: str, dataset: str) -> Path:
    """OUT/MODEL/DATASET, refusing names that would land elsewhere."""
    for kind, name in (("model", model), ("dataset", dataset)):
        if not name or name.startswith(".") or set(name) & set("/\\\0"):
            raise StoreError(
                f"{kind} {name!r} can't name a folder: no slash, no leading dot, not empty"
            )
        if len(name.encode(errors="surrogatepass")) > _MOST_NAME_BYTES:
            raise StoreError(
                f"{kind} {shorten(name, 40)!r} can't name a folder: it has more than"
                f" {_MOST_NAME_BYTES} bytes"
            )
    return Path(out) / model / dataset


def write(store: Store, path: str | os.PathLike[str], *, overwrite: bool = False) -> Store:
    """Write a store as folder `path`; gives the store as it now lies there.

    Raises:
        StoreError: something is there already, and `overwrite` was not asked for, or it is no
            store; or a file can't be written, which is named as it would stand there.
    """
    return write_all([(store, Path(path))], overwrite=overwrite)[0]


def write_all(stores: Sequence[tuple[Store, Path]], *, overwrite: bool = False) -> list[Store]:
    """Write several stores; nothing is visible before everything is on the disk.

    Each is written to a hidden folder beside its place and renamed at the end, so what can fail
    (a full disk, a folder that can't be written) fails before any store changes.

    Raises:
        StoreError: as `write`.
    """
    for _, path in stores:
        require_free(path, overwrite=overwrite)
    with ExitStack() as cleanup:
        written: list[tuple[Path, Store]] = []
        for store, path in stores:
            folder = cleanup.enter_context(_beside(path))
            contents, manifest = _contents(store)
            for name, content in contents.items():
                with telling_of(path / name):
                    (folder / name).write_bytes(content)
            written.append((folder, replace(store, path=path, manifest=manifest)))
        for (folder, _), (_, path) in zip(written, stores, strict=True):
            _publish(folder, path, overwrite=overwrite)
    return [store for _, store in written]


@contextmanager
def staged(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A hidden folder beside `path`, which takes its place once the block has ended well."""
    require_free(path, overwrite=overwrite)
    with _beside(path) as folder:
        yield folder
        _publish(folder, path, overwrite=overwrite)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    folder = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    with telling_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def telling_of(path: Path) -> Iterator[None]:
    """What the system refuses in the block, a name that can't be one included, is a `StoreError`.

    It names `path`, what people know, and not the hidden folder that the block may work in.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise StoreError(f"{str(path)!r} can't name a file: {error}") from error


def require_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a place where something is that is not to be replaced."""
    with telling_of(path):
        if not path.exists():
            return
    if not overwrite:
        raise StoreError(
            f"{path} is there already; give --overwrite (overwrite=True) to replace it, or write"
            " elsewhere"
        )
    if not (path / MANIFEST).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise StoreError(f"{path} is no store (it has no {MANIFEST}), so it is not overwritten")


def _contents(store: Store) -> tuple[dict[str, bytes], Manifest]:
    """The files of a store, by name, and its manifest, which seals the others."""
    failed = failed_codes(store.answers, store.manifest.failed_answer)
    if not np.array_equal(failed, store.pool.failed):
        raise StoreError(
            f"{store.name}: failed answers are not those called {store.manifest.failed_answer!r}"
        )
    tables = {QUESTIONS: question_table(store), BRANCHES: branch_table(store)}
    content = {name: as_parquet(table) for name, table in tables.items()}
    columns: dict[str, list[str]] = {}
    for name, table in tables.items():
        columns |= optional_columns(name, table.columns)
    manifest = store.manifest.model_copy(
        update={
            "schema_version": SCHEMA_VERSION,
            "columns": columns,
            "files": {name: file_digest(table) for name, table in content.items()},
        }
    )
    told = set(header_of(manifest)) | {"columns", "files", "digest"}
    text = manifest.model_dump_json(indent=2, include=told) + "\n"
    return {**content, MANIFEST: text.encode()}, manifest


def as_parquet(table: "pl.DataFrame") -> bytes:
    """A table as the content of a file."""
    # Not to the disk itself: of one that is full, Polars says so in words of its own, or panics.
    content = io.BytesIO()
    table.write_parquet(content)
    return content.getvalue()


def file_digest(content: bytes) -> str:
    """sha256 of a file's bytes, as manifests hold it."""
    return hashlib.sha256(content).hexdigest()


def _publish(folder: Path, path: Path, *, overwrite: bool) -> None:
    """Move a finished folder to its place; what it replaces is gone only afterwards."""
    old = path.with_name(f"{folder.name.removesuffix('.new')}.old")
    if overwrite and path.exists():
        with telling_of(path):
            path.rename(old)
    try:
        folder.rename(path)
    except OSError as error:
        if old.exists():
            old.rename(path)
        raise StoreError(f"{path}: something else was written there meanwhile ({error})") from error
    shutil.rmtree(old, ignore_errors=True)
