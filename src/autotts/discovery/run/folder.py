"""The folder of a run: made, locked, read; written whole or not at all.

run.toml            the settings, in full
events.jsonl        what happened, the only truth
best.py             the leading program so far
rounds/0003/        program.py, proposal.md, sweep.json, sweep.csv, digest.md, traces.md,
                    errors.txt, cost.json; further proposals of the round in 2/, 3/, ...
rounds/0003/explorer/   the explorer's own files
evaluations/        replayed sweeps by content; can be made again
finalize/           the held-out results, once
lock                held by the process that writes
"""

import fcntl
import os
from pathlib import Path

from autotts.discovery.explorer import Record
from autotts.discovery.run import events
from autotts.discovery.run.events import EventLog
from autotts.discovery.run.settings import RunSettings, parse_settings
from autotts.errors import RunError
from autotts.files import write_text


class RunFolder:
    """A run on disk, for reading."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            RunError: there is no run in this folder.
        """
        self.path = path
        if not (path / "run.toml").is_file():
            raise RunError(f"{path}: no run here (it has no run.toml)")
        self.settings = parse_settings(
            (path / "run.toml").read_text(encoding="utf-8"), str(path / "run.toml")
        )

    @classmethod
    def create(cls, path: Path, settings: RunSettings) -> "RunFolder":
        """Make the folder of a new run.

        Raises:
            RunError: it can't be made, or holds something already.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise RunError(
                    f"{path} is not empty; name a new folder, or go on with --resume {path}"
                )
            (path / "rounds").mkdir()
            (path / "evaluations").mkdir()
            write_text(path / "run.toml", settings.toml())
        except OSError as error:
            raise RunError(f"{path}: {error.strerror}") from error
        return cls(path)

    @property
    def events(self) -> list[Record]:
        """What happened so far; somebody may be writing on."""
        log = self.path / "events.jsonl"
        return events.read(log) if log.exists() else []

    def round(self, number: int, index: int = 0) -> Path:
        """The folder of a proposal."""
        folder = self.path / "rounds" / f"{number:04}"
        return folder if index == 0 else folder / str(index + 1)

    def write(self, path: Path, text: str) -> None:
        """Write a file of the run, whole or not at all.

        Raises:
            RunError: it can't be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
        except OSError as error:
            raise RunError(
                f"{path}: {error.strerror}; the run stops here and can be resumed"
            ) from error

    def open(self) -> "OpenRun":
        """Lock the run and open its log for writing."""
        return OpenRun(self)


class OpenRun:
    """A run whose lock this process holds. A context manager."""

    def __init__(self, folder: RunFolder) -> None:
        """
        Raises:
            RunError: another process holds it, or the folder can't be written.
        """
        self.folder = folder
        path = folder.path / "lock"
        try:
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(f"{path}: {error.strerror}; a run needs to write its folder") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
            os.close(self._lock)
            raise RunError(
                f"{folder.path}: process {holder} is at work on this run; wait for it or end it"
            ) from error
        try:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
            self.log = EventLog(folder.path / "events.jsonl")
        except OSError as error:
            os.close(self._lock)
            raise RunError(f"{path}: {error.strerror}") from error
        except RunError:
            os.close(self._lock)
            raise

    def __enter__(self) -> "OpenRun":
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()
        os.close(self._lock)


def write_new(path: Path, text: str) -> None:
    """Write a file that must not be there yet.

    Raises:
        RunError: it is, or it can't be written.
    """
    if path.exists():
        raise RunError(f"{path} is there already; name a new folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from error
