"""The event log of a run: append-only JSON lines, synced to the disk one by one.

It is the only truth of a run; every other file of the folder can be made from it again. A process
that dies while it writes leaves a torn last line, which is cut off when the run is resumed.
"""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from autotts.discovery.explorer import Record
from autotts.errors import RunError


class EventLog:
    """An event log, open for appending. Whoever opens it holds the run's lock."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            RunError: a line before the last is damaged, or the file can't be written.
        """
        self._path = path
        self._began = time.monotonic()
        try:
            content = path.read_bytes() if path.exists() else b""
            self.events = list(_parse(path, content))
            whole = content.rfind(b"\n") + 1
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            if whole < len(content):
                os.ftruncate(self._file, whole)
                os.fsync(self._file)
        except OSError as error:
            raise RunError(f"{path}: {error.strerror}") from error

    def append(self, event: str, **fields: object) -> Record:
        """Add an event; once this returns it survives anything but the loss of the disk.

        `clock` is the seconds since this process opened the run: a run's time is the sum of its
        sessions' last clocks.

        Raises:
            RunError: it can't be written; the run is as it was before and can be resumed.
        """
        record: Record = {
            "event": event,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "clock": round(self.clock, 3),
            **fields,  # type: ignore[dict-item]
        }
        # What a model says may be no text that UTF-8 can hold.
        line = json.dumps(record, ensure_ascii=False).encode(errors="replace") + b"\n"
        record = json.loads(line)
        try:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError as error:
            raise RunError(
                f"{self._path}: {error.strerror}; the run stops here and can be resumed"
            ) from error
        self.events.append(record)
        return record

    @property
    def clock(self) -> float:
        """Seconds since this process opened the run."""
        return time.monotonic() - self._began

    def close(self) -> None:
        os.close(self._file)


def read(path: Path) -> list[Record]:
    """The events of a run that somebody may be writing to."""
    try:
        return list(_parse(path, path.read_bytes()))
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}; this is no run of autotts discover") from error


def of_kind(events: list[Record], *kinds: str) -> Iterator[Record]:
    """The events of these kinds, in order."""
    return (event for event in events if event["event"] in kinds)


def seconds_spent(events: list[Record]) -> float:
    """Wall clock of all sessions so far."""
    total = last = 0.0
    for event in events:
        clock = float(event["clock"])  # type: ignore[arg-type]
        # Opening the held-out stores may be a session of its own, and says so by its clock alone.
        if event["event"] == "resumed" or clock < last:
            total += last
        last = clock
    return total + last


def _parse(path: Path, content: bytes) -> Iterator[Record]:
    lines = content.split(b"\n")
    # After the last line break comes nothing, or a line that was never finished.
    for number, line in enumerate(lines[:-1], 1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or not {"event", "at", "clock"} <= record.keys():
                raise ValueError("it is no event")
        except ValueError as error:
            raise RunError(f"{path}:{number}: damaged: {error}") from error
        yield record
