"""Stores at any address that fsspec knows, and back: URL/MODEL/DATASET, as in a folder."""

import contextlib
import json
import posixpath
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autotts.errors import AutottsError, SpecError, StoreError
from autotts.stores.loading import check, read_manifest
from autotts.stores.manifest import BRANCHES, MANIFEST, QUESTIONS
from autotts.stores.schema import Store
from autotts.stores.writing import store_folder, write_all

_CARD = "README.md"
_OURS = "<!-- written by autotts data push --card -->"
_MOST_BYTES = 1 << 34
_MOST_MANIFEST_BYTES = 1 << 24
_PIECE_BYTES = 1 << 20
_DEEPEST = 8
_MOST_LOOKED_AT = 100_000


def push(folder: Path, url: str, *, overwrite: bool = False) -> str:
    """Copy a store to URL/MODEL/DATASET.

    The manifest goes last, so that nobody finds a store there of which a part is missing.

    Returns:
        Where it is.

    Raises:
        SpecError: fsspec doesn't know the address, or needs a package for it.
        StoreError: the store is damaged, or another is there and `overwrite` is not set, or it
            can't be written.
    """
    store = check(folder)
    with _at(url) as (files, root):
        place = posixpath.join(root, store_folder("", store.model, store.dataset).as_posix())
        manifest = posixpath.join(place, MANIFEST)
        if files.exists(manifest):
            if _digest(files, manifest) == store.digest:
                return f"{place}, which was there already"
            if not overwrite:
                raise StoreError(f"{place} is another store; give --overwrite to replace it")
            files.rm_file(manifest)
        files.makedirs(place, exist_ok=True)
        for name in (QUESTIONS, BRANCHES, MANIFEST):
            files.put_file(str(folder / name), posixpath.join(place, name))
    return str(files.unstrip_protocol(place))


def pull(url: str, out: Path, *, overwrite: bool = False) -> list[Store]:
    """Copy the store at an address, or all that are below it, to OUT/MODEL/DATASET.

    Nothing is visible before all of them are here and sound.

    Raises:
        SpecError: as `push`.
        StoreError: there is none, one is damaged or too large, or one is here and `overwrite` is
            not set.
    """
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        with _at(url) as (files, root):
            for number, place in enumerate(_stores_at(files, root, url)):
                copies.append(Path(folder, str(number)))
                copies[-1].mkdir()
                _fetch(files, place, copies[-1])
        stores = [check(here) for here in copies]
        found = [(store, store_folder(out, store.model, store.dataset)) for store in stores]
        return write_all(found, overwrite=overwrite)


def fetch(url: str, folder: Path) -> None:
    """Copy the files of the store at an address to a folder, as they are.

    Raises:
        SpecError: as `push`.
        StoreError: one can't be read, or is too large.
    """
    with _at(url) as (files, root):
        _fetch(files, root, folder)


def _fetch(files: Any, place: str, folder: Path) -> None:
    """Copy a store's files, of each no more than a store has, whatever its size is said to be."""
    for name in (MANIFEST, QUESTIONS, BRANCHES):
        at = posixpath.join(place, name)
        most = _MOST_MANIFEST_BYTES if name == MANIFEST else _MOST_BYTES
        total = 0
        with files.open(at, "rb") as there, (folder / name).open("wb") as here:
            while piece := there.read(_PIECE_BYTES):
                total += len(piece)
                if total > most:
                    raise StoreError(f"{at}: a store has at most {most:,} bytes there")
                here.write(piece)


def write_card(url: str) -> str:
    """Write README.md beside the stores at an address, by which a hub knows their tables.

    Returns:
        Where it is.

    Raises:
        SpecError: as `push`.
        StoreError: there is none, or a README.md that somebody else wrote.
    """
    with _at(url) as (files, root):
        card = posixpath.join(root, _CARD)
        if files.exists(card) and _OURS not in files.cat_file(card).decode("utf-8", "replace"):
            raise StoreError(f"{card} was written by somebody else, and is left as it is")
        lines = ["---", "tags: [autotts]", "configs:"]
        for place in _stores_at(files, root, url):
            below = posixpath.relpath(place, root)
            for table in (BRANCHES, QUESTIONS):
                name = f"{below.replace('/', '--')}--{table.removesuffix('.parquet')}"
                lines += [
                    f"- config_name: {json.dumps(name)}",
                    f"  data_files: {json.dumps(posixpath.join(below, table))}",
                ]
        lines += [
            "---",
            _OURS,
            "",
            "Replay stores of autotts. `autotts data pull` fetches them.",
            "",
        ]
        files.pipe_file(card, "\n".join(lines).encode())
    return str(files.unstrip_protocol(card))


@contextlib.contextmanager
def _at(url: str) -> Iterator[tuple[Any, str]]:
    """The file system of an address, and the path in it; what it refuses is a `StoreError`."""
    try:
        import fsspec
    except ImportError as error:
        raise SpecError(f'{url} needs fsspec: pip install "autotts[remote]"') from error
    try:
        files, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise SpecError(f"{url}: {error}") from error
    try:
        yield files, root.rstrip("/")
    except AutottsError:
        raise
    except OSError as error:
        raise StoreError(f"{url}: {error.strerror or error}") from error
    except Exception as error:  # whatever somebody's file system raises
        raise StoreError(f"{url}: {type(error).__name__}: {error}") from error


def _stores_at(files: Any, root: str, url: str) -> list[str]:
    """The folders of the stores at or below a path; so many and so deep ones are looked at."""
    places, looked = [], 0
    for folder, folders, names in files.walk(root, maxdepth=_DEEPEST):
        looked += 1 + len(folders) + len(names)
        if looked > _MOST_LOOKED_AT:
            raise StoreError(f"{url}: more than {_MOST_LOOKED_AT:,} files; name a part of it")
        if MANIFEST in names:
            places.append(folder)
    if not places:
        raise StoreError(f"{url}: no store there: no {MANIFEST}")
    return sorted(places)


def _digest(files: Any, manifest: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        files.get_file(manifest, str(Path(folder, MANIFEST)))
        return read_manifest(folder).digest
