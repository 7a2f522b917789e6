"""Files that are written whole or not at all, and files of others that are read with care."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which stands at `path` once the block has ended well.

    Until then, and if the block fails, what was at `path` stays.

    Raises:
        OSError: it can't be written; names `path`.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        # Of a write that failed the system names no file, and of others the temporary one.
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole(path) as file:
        file.write(text.encode())


def read_regular(path: Path, *, most_bytes: int, follow: bool = False) -> bytes:
    """The content of a plain file of a bounded size; see `open_regular`."""
    with open_regular(path, most_bytes=most_bytes, follow=follow) as file:
        return file.read(most_bytes)


@contextmanager
def open_regular(path: Path, *, most_bytes: int, follow: bool = False) -> Iterator[BinaryIO]:
    """A plain file of a bounded size, to read.

    A pipe or a device in its place is not read, for it may never end. Nor is a link followed: it
    may lead to what whoever put it there can't read.

    Args:
        follow: whether a link to a plain file will do, as for what the user's own command names.

    Raises:
        OSError: it can't be read, is no plain file, or is larger.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    with os.fdopen(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        if status.st_size > most_bytes:
            raise OSError(errno.EFBIG, f"it has more than {most_bytes:,} bytes", str(path))
        yield file


MOST_LEVELS = 32
"""Of folders in folders that files are looked for in."""


def files_below(folder: Path) -> Iterator[Path]:
    """All that lies in a folder and in folders below it, but for folders, in no order.

    Hidden ones are left out, and so is what lies more than `MOST_LEVELS` deep. Links to folders
    are not followed, and what may not be looked into below `folder` is passed over.

    Raises:
        OSError: `folder` may not be looked into.
    """
    waiting = [(folder, 1)]
    while waiting:
        place, level = waiting.pop()
        try:
            with os.scandir(place) as found:
                entries = [entry for entry in found if not entry.name.startswith(".")]
        except PermissionError:
            if place == folder:
                raise
            continue
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)
            elif level < MOST_LEVELS:
                waiting.append((Path(entry.path), level + 1))


def cache_folder() -> Path:
    """The folder of what can be made again: `$AUTOTTS_CACHE`, else the user's cache folder."""
    named = os.environ.get("AUTOTTS_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "autotts"
