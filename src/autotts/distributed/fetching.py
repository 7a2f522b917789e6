"""A store's folder by path or by any URL that fsspec reads: s3://, gs://, https://, file://."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autotts.stores.remote import fetch


@contextmanager
def fetched(where: str) -> Iterator[Path]:
    """The folder at a path, or a copy of the one at a URL for as long as the block takes.

    Raises:
        SpecError: it is a URL, and fsspec or what it needs for it is not installed.
        StoreError: it can't be read.
    """
    if "://" not in where:
        yield Path(where)
        return
    with tempfile.TemporaryDirectory(prefix="autotts-") as folder:
        fetch(where, Path(folder))
        yield Path(folder)
