"""Stores larger than memory: columns that are read from the disk as they are needed.

    folder
    manifest.json      as of any store; names the files below, each with its sha256
    questions.parquet  as of any store
    columns.json       depth K, and the digests of the stores it was put together from
    NAME.column        raw little-endian `[Q, N, K]`, `[Q, N]`: probes, lengths, tokens, ...

Such a store is put together from ordinary ones, its *shards*, each with some of the questions, and
holds one of them in memory at a time. Loaded, columns by interval are mapped and not read; who has
gone through some questions says so (`OnDisk.release`), and their memory is free again. Codes are
checked in full when it is loaded, for machine code indexes by them; digests of columns by `check`.
"""

import hashlib
import json
import mmap
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from autotts.errors import StoreError
from autotts.files import open_regular, read_regular
from autotts.stores.manifest import BRANCHES, MANIFEST, QUESTIONS, Manifest, header_of
from autotts.stores.pool import Pool
from autotts.stores.recordings import failed_codes
from autotts.stores.schema import TOKEN_COLUMNS, Store
from autotts.stores.tables import (
    SIGNAL,
    accepted_codes,
    optional_columns,
    question_table,
    strings_of,
    with_questions,
)
from autotts.stores.writing import as_parquet, file_digest, staged, telling_of
from autotts.untrusted import parse_json

if TYPE_CHECKING:
    import polars as pl

COLUMNS = "columns.json"
_ENDING = ".column"
_BY_INTERVAL = ("probes", "ends")
_BY_BRANCH = ("lengths", "tokens", "finals", "model", *TOKEN_COLUMNS)
_MOST_BYTES = 1 << 44
_MOST_DEPTH = 1 << 15
_PAGE = mmap.ALLOCATIONGRANULARITY


class MappedColumns:
    """Columns by interval, mapped: their pages are read when they are looked at."""

    def __init__(self) -> None:
        self._maps: list[tuple[mmap.mmap, int]] = []

    def open(self, path: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """The column in a file, `[Q, ...]`. Writing to it changes no file."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with telling_of(path), open_regular(path, most_bytes=_MOST_BYTES, follow=True) as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        if len(mapped) != size:
            raise StoreError(f"{path}: {len(mapped):,} bytes; {list(shape)} take {size:,}")
        self._maps.append((mapped, size // shape[0]))
        return np.frombuffer(mapped, np.dtype(dtype).newbyteorder("<")).reshape(shape)

    def release(self, first: int, end: int) -> None:
        """Give up the memory of questions first to end - 1; see `pool.OnDisk`."""
        for mapped, stride in self._maps:
            # Whole pages inside: those at the edges are shared with neighbours.
            begin = -(-first * stride // _PAGE) * _PAGE
            stop = min(len(mapped), end * stride) // _PAGE * _PAGE
            if stop > begin:
                mapped.madvise(mmap.MADV_DONTNEED, begin, stop - begin)


def is_mapped(manifest: Manifest) -> bool:
    return COLUMNS in manifest.files


def put_together(
    shards: Sequence[Path], path: Path, read: Callable[[Path], Store], *, overwrite: bool = False
) -> Path:
    """Write a store that is read from the disk, with the questions of all shards in their order.

    Args:
        shards: folders of stores of one model and dataset, alike in all but their questions.
        read: loads one.

    Raises:
        StoreError: a shard is damaged, or unlike the first; or something is at `path` already.
    """
    with staged(path, overwrite=overwrite) as folder, telling_of(path), ExitStack() as files:
        depth, branches = _largest(shards)
        writer = _Writer(folder, files, branches, depth)
        for shard in shards:
            writer.add(read(shard))
        writer.finish()
    return path


def _largest(shards: Sequence[Path]) -> tuple[int, int]:
    """Depth of the deepest shard and branches of the widest, without reading all of them."""
    import polars as pl

    found = []
    for shard in shards:
        table = pl.scan_parquet(shard / BRANCHES)
        with telling_of(shard / BRANCHES):
            lists = [name for name, kind in table.collect_schema().items() if kind.is_nested()]
            length = pl.col(lists[0]).list.len() if lists else pl.col("length")
            rows = table.select(length.max(), pl.col("branch").max() + 1).collect().row(0)
        found.append((int(rows[0]), int(rows[1])))
    if not found:
        raise StoreError("no store to put together")
    return max(depth for depth, _ in found), max(width for _, width in found)


class _Writer:
    """Appends stores to the files of a folder."""

    def __init__(self, folder: Path, files: ExitStack, branches: int, depth: int) -> None:
        self._folder, self._files = folder, files
        self._branches, self._depth = branches, depth
        self._columns: dict[str, tuple[IO[bytes], Any]] = {}
        self._tables: list[pl.DataFrame] = []
        self._first: Store | None = None
        self._digests: list[str] = []
        self._questions = self._there = 0

    def add(self, store: Store) -> None:
        self._first = first = self._first or store
        columns = _columns_of(store)
        if _kind(store) != _kind(first) or columns.keys() != _columns_of(first).keys():
            raise StoreError(
                f"{store.path}: it is not like {first.path}, to whose questions"
                " it is joined: model, dataset, interval, billing, equality and columns must be"
                " the same"
            )
        for name, array in columns.items():
            self._append(name, array)
        self._tables.append(question_table(replace(store, spellings=None)))
        self._digests.append(store.digest)
        self._questions += len(store.texts)
        self._there += int(store.pool.n_branches.sum())

    def _append(self, name: str, array: np.ndarray) -> None:
        if name not in self._columns:
            path = self._folder / f"{name}{_ENDING}"
            opened = self._files.enter_context(path.open("wb"))
            self._columns[name] = opened, hashlib.sha256()
        file, digest = self._columns[name]
        sizes = (self._branches, self._depth)[: array.ndim - 1]
        room = [
            (0, 0),
            *((0, size - had) for size, had in zip(sizes, array.shape[1:], strict=True)),
        ]
        padded = np.pad(array, room, constant_values=_absent(name))
        content = np.ascontiguousarray(padded, array.dtype.newbyteorder("<")).data
        file.write(content)
        digest.update(content)

    def finish(self) -> None:
        import polars as pl

        assert self._first is not None
        table = pl.concat(self._tables)
        content = as_parquet(table)
        (self._folder / QUESTIONS).write_bytes(content)
        told = json.dumps({"depth": self._depth, "shards": self._digests}, indent=1).encode()
        (self._folder / COLUMNS).write_bytes(told)
        sums = {
            f"{name}{_ENDING}": digest.hexdigest() for name, (_, digest) in self._columns.items()
        }
        everywhere = self._there == self._questions * self._branches
        manifest = self._first.manifest.model_copy(
            update={
                "schema_version": 2,
                "questions": self._questions,
                "branches": self._branches,
                "branches_in_all": None if everywhere else self._there,
                "columns": optional_columns(QUESTIONS, table.columns),
                "files": {QUESTIONS: file_digest(content), COLUMNS: file_digest(told), **sums},
            }
        )
        manifest = manifest.model_copy(update={"digest": _digest(manifest, self._digests)})
        (self._folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


def _digest(manifest: Manifest, shards: Sequence[str]) -> str:
    """Of a store by those of its shards, which cover all that is in it."""
    return hashlib.sha256(json.dumps([header_of(manifest), shards]).encode()).hexdigest()


def _kind(store: Store) -> dict[str, Any]:
    """What stores have in common whose questions can be put together."""
    told = header_of(store.manifest)
    own = ("questions", "branches", "branches_in_all", "source", "sampling", "schema_version")
    return {name: value for name, value in told.items() if name not in own}


def _columns_of(store: Store) -> dict[str, np.ndarray]:
    pool = store.pool
    found = {name: getattr(pool, name, None) for name in (*_BY_INTERVAL, *_BY_BRANCH)}
    found |= store.used
    found |= {SIGNAL + name: values for name, values in pool.signals.items()}
    return {name.replace(":", "."): array for name, array in found.items() if array is not None}


def _absent(name: str) -> float:
    """What a column holds where there is no branch or no such interval."""
    if name.startswith("signal."):
        return -np.inf
    return -1 if name in ("probes", "finals", "model") else 0


def load(folder: Path, manifest: Manifest, questions: "pl.DataFrame") -> Store:
    """The mapped store in a folder, whose table of questions was verified.

    Raises:
        StoreError: a file is missing, of another size, or has a code that can't be.
    """
    depth, digests = _read_columns(folder, manifest)
    if _digest(manifest, digests) != manifest.digest:
        raise StoreError(f"{folder / MANIFEST}: its digest is not that of its shards and header")
    files = manifest.files.keys() - {QUESTIONS, COLUMNS}
    names = {name.removesuffix(_ENDING) for name in files if name.endswith(_ENDING)}
    known = {*_BY_INTERVAL, *_BY_BRANCH}
    # A manifest may be somebody else's, and its files lie in its own folder.
    unknown = {name for name in names - known if not re.fullmatch(r"signal\.[^/\0]+", name)}
    unknown |= {name for name in files if not name.endswith(_ENDING)}
    if unknown:
        raise StoreError(f"{folder}: columns {sorted(unknown)}, which no store has")
    shape = manifest.questions, manifest.branches
    on_disk, memory = MappedColumns(), MappedColumns()

    def by_branch(name: str) -> np.ndarray | None:
        if name not in names:
            return None
        return memory.open(folder / f"{name}{_ENDING}", shape, np.int32)

    def by_interval(name: str, dtype: type = np.int32) -> np.ndarray | None:
        if name not in names:
            return None
        return on_disk.open(folder / f"{name}{_ENDING}", (*shape, depth), dtype)

    first = {name: by_branch(name) for name in ("lengths", "tokens", "finals")}
    if missing := [name for name, array in first.items() if array is None]:
        raise StoreError(f"{folder}: no {missing[0]}{_ENDING}")
    answers = strings_of(questions, "answers")
    signals = {name: by_interval(name, np.float32) for name in sorted(names - known)}
    pool = Pool(
        probes=by_interval("probes"),
        **first,  # type: ignore[arg-type]
        failed=failed_codes(answers, manifest.failed_answer),
        n_codes=np.array([len(strings) for strings in answers], np.int32),
        interval=manifest.interval_tokens,
        billing=manifest.billing,
        ends=by_interval("ends"),
        model=by_branch("model"),
        models=manifest.models,
        signals={n.removeprefix("signal."): a for n, a in signals.items() if a is not None},
        on_disk=on_disk,
    )
    used = {name: array for name in TOKEN_COLUMNS if (array := by_branch(name)) is not None}
    golds = accepted_codes(questions, answers)
    return with_questions(folder, manifest, questions, answers, pool, golds, used)


def _read_columns(folder: Path, manifest: Manifest) -> tuple[int, list[str]]:
    """Depth, and the digests of the shards."""
    path = folder / COLUMNS
    with telling_of(path):
        content = read_regular(path, most_bytes=1 << 26, follow=True)
    if file_digest(content) != manifest.files[COLUMNS]:
        raise StoreError(f"{path}: it was cut short or changed; its sha256 is another")
    try:
        told = parse_json(content, most_bytes=1 << 26)
    except ValueError as error:
        raise StoreError(f"{path}: not JSON ({error})") from error
    fields = told if isinstance(told, dict) else {}
    depth, shards = fields.get("depth"), fields.get("shards")
    if not isinstance(depth, int) or not 1 <= depth < _MOST_DEPTH:
        raise StoreError(f"{path}: depth {depth!r}; branches have from 1 to {_MOST_DEPTH - 1}")
    if not isinstance(shards, list):
        raise StoreError(f"{path}: it names no shards")
    return depth, [str(digest) for digest in shards]


def check(store: Store) -> None:
    """Compare each file with its sha256 in the manifest.

    Raises:
        StoreError: one is another.
    """
    assert store.path is not None
    for name, digest in store.manifest.files.items():
        path = store.path / name
        with telling_of(path), open_regular(path, most_bytes=_MOST_BYTES, follow=True) as file:
            found = hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest()
        if found != digest:
            raise StoreError(f"{store.path / name}: it was changed; its sha256 is another")
