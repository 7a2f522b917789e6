"""A store's folder by path or by any URL that fsspec reads: s3://, gs://, https://, file://."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autotts.errors import SpecError, StoreError
from autotts.stores.manifest import BRANCHES, MANIFEST, QUESTIONS


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
        for name in (MANIFEST, QUESTIONS, BRANCHES):
            url = f"{where}/{name}"
            try:
                with _fsspec().open(url, "rb") as file:
                    Path(folder, name).write_bytes(file.read())
            except ImportError as error:
                raise SpecError(f"{url}: {error}") from error
            except (OSError, ValueError) as error:
                raise StoreError(f"{url} can't be read: {error}") from error
        yield Path(folder)


def _fsspec() -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise SpecError('URLs need fsspec: pip install "autotts[distributed]"') from error
    return fsspec
