"""Removing what somebody else left in a folder, whatever it is.

Works by descriptor and follows no link. However deep folders are nested, two are open at a time:
what lies in a folder below is first moved up, into the open one, so each folder is moved once. What
can't be removed, or takes too long, is left, and said.
"""

import os
import secrets
import stat
import time
from itertools import islice

_MOST_ENTRIES, _MOST_SECONDS = 1_000_000, 60.0
_AT_ONCE = 10_000


class Emptying:
    """Empties an open folder that we own, and that nobody else is at work in."""

    def __init__(self, folder: int) -> None:
        """
        Args:
            folder: a descriptor; stays open.
        """
        self._folder = folder
        self._deadline = time.monotonic() + _MOST_SECONDS
        self._seen = 0
        self._moved = 0
        # No name in the folder begins so.
        self._prefix = f".{secrets.token_hex(8)}-"

    def go(self) -> str:
        """Remove all that can be; returns why the first of what is left was left, or "".

        Never raises `OSError`.
        """
        left: set[str] = set()
        reason = ""
        try:
            os.fchmod(self._folder, 0o700)
            while names := [name for name in self._some(self._folder) if name not in left]:
                for name in names:
                    try:
                        self._remove(name)
                    except _TooLong:
                        raise
                    except OSError as error:
                        left.add(name)
                        reason = reason or str(error)
        except OSError as error:
            return reason or str(error)
        return reason

    def _some(self, folder: int) -> list[str]:
        """Some names of an open folder: as many as are handled before it is read again."""
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _AT_ONCE)]
        self._seen += len(names)
        if self._seen > _MOST_ENTRIES or time.monotonic() > self._deadline:
            raise _TooLong(f"gave up after {self._seen:,} files")
        return names

    def _remove(self, name: str) -> None:
        """Remove a file or folder of the top; folders in that one come to the top."""
        if not _is_folder(self._folder, name):
            os.unlink(name, dir_fd=self._folder)
            return
        _unlock(self._folder, name)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        below = os.open(name, flags, dir_fd=self._folder)
        try:
            while names := self._some(below):
                for inner in names:
                    if _is_folder(below, inner):
                        _unlock(below, inner)
                        self._moved += 1
                        new = f"{self._prefix}{self._moved}"
                        os.rename(inner, new, src_dir_fd=below, dst_dir_fd=self._folder)
                    else:
                        os.unlink(inner, dir_fd=below)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=self._folder)


class _TooLong(OSError):
    """There is more to remove than anybody waits for."""


def _is_folder(folder: int, name: str) -> bool:
    return stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode)


def _unlock(folder: int, name: str) -> None:
    """Give ourselves the rights to a folder in an open one; a link is not followed."""
    if os.chmod in os.supports_follow_symlinks:
        os.chmod(name, 0o700, dir_fd=folder, follow_symlinks=False)
        return
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        os.chmod(f"/proc/self/fd/{handle}", 0o700)
    finally:
        os.close(handle)
