"""The folder of a run: made, locked, read; written whole or not at all.

run.toml            the settings, in full
events.jsonl        what happened, the only truth
best.py             the leading program so far
matters.md          what matters on the search stores
rounds/0003/        program.py, proposal.md, sweep.json, sweep.csv, digest.md, traces.md,
                    errors.txt, cost.json; further proposals of the round in 2/, 3/, ...
rounds/0003/explorer/   the explorer's own files
evaluations/        replayed sweeps by content; can be made again, and are where another made them
finalize/           the held-out results, once
lock                held by the process that writes

A run's folder may come from somebody else. What is read of it is a plain file of a bounded size,
and nothing is written through a link in it.
"""

import fcntl
import hashlib
import os
import threading
from pathlib import Path

from autotts.discovery.run import events
from autotts.discovery.run.events import BaselineScored, E, Event, EventLog
from autotts.discovery.run.settings import RunSettings, parse_settings
from autotts.discovery.run.state import RunState
from autotts.errors import RunError
from autotts.files import read_regular, write_text
from autotts.programs import Source
from autotts.untrusted import MOST_BYTES

_DEEPEST = 20
"""Levels of folders; a run has half as many."""


class RunFolder:
    """A run on disk, for reading."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            RunError: there is no run in this folder, or its settings can't be read.
        """
        self.path = path
        where = path / "run.toml"
        try:
            content = read_regular(where, most_bytes=MOST_BYTES)
        except FileNotFoundError:
            store = (path / "manifest.json").exists()
            hint = "; it is a store, of which `autotts evaluate --json` writes results"
            raise RunError(
                f"{path}: no run here (it has no run.toml){hint if store else ''}"
            ) from None
        except OSError as error:
            raise RunError(f"{where}: {error.strerror}") from error
        self.settings = parse_settings(content, str(where))

    @classmethod
    def create(cls, path: Path, settings: RunSettings) -> "RunFolder":
        """Make the folder of a new run.

        Raises:
            RunError: it can't be made, or holds something already.
        """
        try:
            cls.check_new(path)
            path.mkdir(parents=True, exist_ok=True)
            (path / "rounds").mkdir()
            (path / "evaluations").mkdir()
            write_text(path / "run.toml", settings.toml())
        except OSError as error:
            raise RunError(f"{path}: {error.strerror}") from error
        return cls(path)

    @staticmethod
    def check_new(path: Path) -> None:
        """See to it that nothing is there that a new run would be mixed with.

        Raises:
            RunError: the folder holds something already.
        """
        if (path / "run.toml").is_file():
            raise RunError(f"{path} holds a run; go on with --resume {path}, or name a new folder")
        if path.is_dir() and any(path.iterdir()):
            raise RunError(f"{path} is not empty; name a new folder")

    @property
    def state(self) -> RunState:
        """What happened so far; somebody may be writing on.

        Raises:
            RunError: the log is damaged.
        """
        log = self.path / "events.jsonl"
        return RunState.of(map(self.checked, events.read(log) if os.path.lexists(log) else []))

    @property
    def log_digest(self) -> str:
        """sha256 of the log, as it stands.

        Raises:
            RunError: it can't be read.
        """
        return hashlib.sha256(events.content(self.path / "events.jsonl")).hexdigest()

    def checked(self, event: Event) -> Event:
        """An event of this run's log.

        A baseline's name leads to a program, which is read, and may be run in this process. So the
        log has no names but the settings', which are looked through before anything is run.

        Raises:
            RunError: it names a baseline that the settings don't.
        """
        if isinstance(event, BaselineScored) and event.name not in self.settings.baselines:
            named = ", ".join(self.settings.baselines) or "none"
            raise RunError(
                f"{self.path}/events.jsonl: the baseline {event.name!r} at {event.at} is none of"
                f" those that run.toml names: {named}"
            )
        return event

    @property
    def at_work(self) -> bool:
        """Whether a process holds the run."""
        return is_at_work(self.path)

    def check_no_links(self) -> None:
        """What is written to a run is written there: a link in its folder would lead it elsewhere.

        Raises:
            RunError: there is one, or folders are nested as no run's are, or can't be read.
        """
        waiting = [(self.path, 0)]
        while waiting:
            folder, depth = waiting.pop()
            try:
                with os.scandir(folder) as entries:
                    found = [(Path(e.path), e.is_symlink(), e.is_dir()) for e in entries]
            except FileNotFoundError:
                continue  # whoever is at work on the run has moved it
            except OSError as error:
                raise RunError(f"{folder}: {error.strerror}") from error
            for path, is_link, is_folder in found:
                if is_link:
                    raise RunError(
                        f"{path} is a link; a run writes to its own folder alone: put a copy in its"
                        " place"
                    )
                if is_folder and depth == _DEEPEST:
                    raise RunError(f"{path}: folders of a run are nested at most {_DEEPEST} deep")
                if is_folder:
                    waiting.append((path, depth + 1))

    def round(self, number: int, index: int = 0) -> Path:
        """The folder of a proposal."""
        folder = self.path / "rounds" / f"{number:04}"
        return folder if index == 0 else folder / str(index + 1)

    def source(self, text: str, number: int, index: int = 0) -> Source:
        """A proposal's program, by its place in the run's folder."""
        path = self.round(number, index).relative_to(self.path) / "program.py"
        name = f"round-{number}" if index == 0 else f"round-{number}.{index + 1}"
        return Source(name=name, path=str(path), text=text, trusted=False)

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
    """A run whose lock this process holds. A context manager.

    paying: held while a call that costs is reserved, by whichever round.
    """

    def __init__(self, folder: RunFolder) -> None:
        """
        Raises:
            RunError: another process holds it, or the folder can't be written, or has a link in it.
        """
        self.folder = folder
        self.state = RunState()
        self.paying = threading.Lock()
        folder.check_no_links()
        path = folder.path / "lock"
        try:
            self._lock = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644
            )
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
            log = folder.path / "events.jsonl"
            self.log = EventLog(log, lambda event: self.state.fold(folder.checked(event)))
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

    def append(self, event: E) -> E:
        """Record an event; see `EventLog.append`."""
        return self.log.append(event)


def is_at_work(run: Path) -> bool:
    """Whether a process holds the run in a folder."""
    try:
        handle = os.open(run / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False  # nobody ever did, or it is no lock
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


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
