"""The event log of a run: append-only JSON lines, synced to the disk one by one.

It is the only truth of a run; every other file of the folder can be made from it again. A process
that dies while it writes leaves a torn last line, which is cut off when the run is resumed.

Every line is one event: its kind, the version of its form, when it was, and the fields of its class
below. `parse_event` reads every version there was; a line of a later version, of an unknown kind or
with other fields is an error that says so. A run's folder may be somebody else's: nothing in it is
believed to be well-formed.
"""

import functools
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)

from autotts.diagnosis.matters_text import Matters
from autotts.discovery.explorer import Feedback, Proposal, Record, SweepPoint, Usage
from autotts.discovery.run.settings import RunLimits, StoreRef
from autotts.errors import RunError
from autotts.evaluation.winner import Winner
from autotts.files import read_regular
from autotts.untrusted import parse_json

VERSION = 6
"""Of the lines that are written. Version 1 had no number, and an empty list of proposals in
`failed`; versions 1 and 2 had no diagnoses of baselines, 1 to 3 not what matters on the stores, and
1 to 4 neither earlier runs nor a round 0, and 1 to 5 neither areas by family nor races."""

_MOST_BYTES = 2**30
_MOST_LINE_BYTES = 2**26

Bound = Annotated[
    float,
    Field(allow_inf_nan=True),
    BeforeValidator(lambda bound: math.nan if bound is None else bound),
]
"""Of an interval; NaN, and null in a line, where nothing was there to resample."""

RoundNumber = Annotated[int, Field(ge=1, le=1_000_000)]
JudgedRound = Annotated[int, Field(ge=0, le=1_000_000)]
"""Of proposals that are scored: round 0 has the programs of earlier runs."""

Index = Annotated[int, Field(ge=0, le=10_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events have, given by the log that writes them.

    at: UTC, ISO 8601.
    clock: seconds since the process that wrote it opened the run.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    at: str = ""
    clock: float = 0.0


@dataclass(frozen=True, slots=True)
class Started(Event):
    """The first session begins, within these limits."""

    limits: RunLimits
    made_by: dict[str, str]


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """A further session begins, within these limits."""

    limits: RunLimits
    made_by: dict[str, str]


@dataclass(frozen=True, slots=True)
class BaselineScored(Event):
    """A baseline was replayed.

    area: of its frontier; `fractions`: accuracy in percent by share of SC@64's tokens.
    families: area by family of models; none before version 6.
    """

    name: str
    points: tuple[SweepPoint, ...]
    area: float
    fractions: dict[str, float]
    families: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BaselineDiagnosed(Event):
    """A baseline's episodes were diagnosed; digest, traces: as in `Trial`."""

    name: str
    digest: str
    traces: str


@dataclass(frozen=True, slots=True)
class StoresExplored(Event):
    """The search stores were explored, by races of our own."""

    matters: Matters


@dataclass(frozen=True, slots=True)
class EarlierRead(Event):
    """Earlier runs were read.

    proposals: their best programs, which are round 0. lessons: in Markdown; "" under `--no-traces`.
    """

    proposals: tuple[Proposal, ...]
    lessons: str


@dataclass(frozen=True, slots=True)
class CallReserved(Event):
    """A call that costs is about to be sent.

    id: its own in the run; `request`: digest of what identifies it.
    """

    id: str
    round: RoundNumber
    request: str
    reserved: Usage


@dataclass(frozen=True, slots=True)
class CallReplied(Event):
    """A call's reply came."""

    id: str
    reply: dict[str, JsonValue]
    usage: Usage


@dataclass(frozen=True, slots=True)
class CallLost(Event):
    """A call failed, and may have cost something."""

    id: str
    error: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Tried(Event):
    """A program was tried.

    program: digest of its text; `counts`: whether it was an evaluation of the budget.
    """

    round: RoundNumber
    program: str
    counts: bool
    feedback: Feedback


@dataclass(frozen=True, slots=True)
class Proposed(Event):
    """The explorer proposed; no proposals pass the round. `seconds`: it took so long."""

    round: RoundNumber
    seconds: float
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True)
class NothingProposed(Event):
    """The explorer failed, and why."""

    round: RoundNumber
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RaceStanding:
    """How a candidate left a race of proposals, see `discovery.race`.

    area: in percent, of what it played; None if it failed.
    behind: points of area behind the leader of the stage in which it was dropped, `low` to `high`
        by the confidence sequence; zeros for the leader.
    share: of a full sweep that it played.
    dropped: why it is not swept whole, in words; "" if it is.
    """

    area: float | None
    behind: float
    low: Bound
    high: Bound
    share: float
    dropped: str


@dataclass(frozen=True, slots=True)
class Raced(Event):
    """The proposals of a round were judged on growing samples.

    standings: of those that were admitted, by index.
    sweeps: full sweeps that the samples cost; `counts`: evaluations of the budget, that rounded up.
    """

    round: JudgedRound
    standings: dict[Index, RaceStanding]
    sweeps: float
    counts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Scored(Event):
    """A proposal was replayed, or refused.

    program: digest of its text; `counts`: whether it was an evaluation of the budget.
    errors, remarks, digest, traces, points, area: as in `Trial`.
    notes: how it was run.
    families: as in `BaselineScored`.
    """

    round: JudgedRound
    index: Index
    program: str
    counts: bool
    errors: tuple[str, ...]
    remarks: tuple[str, ...]
    digest: str
    traces: str
    notes: dict[str, JsonValue]
    seconds: float
    points: tuple[SweepPoint, ...]
    area: float | None
    fractions: dict[str, float]
    families: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selected(Event):
    """A round was judged.

    best: the trial that leads, at `beta` with `score` by the rule `by`; None where there is none.
    accepted: trials of this round; `words`: how each compares with what was accepted before.
    """

    round: JudgedRound
    best: str | None
    beta: float | None
    score: float | None
    by: str
    accepted: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeasuredAgain(Event):
    """The best of so many rounds was run on fresh draws; `winner` is None where that failed."""

    rounds: int
    winner: Winner | None
    error: str


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """All rounds are done."""

    rounds: int


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """The session stopped early, at a limit."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interrupted(Event):
    """The session was told to end, by this signal."""

    signal: str


@dataclass(frozen=True, slots=True)
class Opened(Event):
    """The held-out stores are about to be opened, for one program of so many rounds."""

    trial: str
    program: str
    stores: tuple[StoreRef, ...]
    rounds: int


@dataclass(frozen=True, slots=True)
class HeldOutFigures:
    """A controller on the held-out stores, in percent.

    area_low, area_high: at 95 %. fractions, points: as in `BaselineScored`.
    notes: how it was run.
    bands: (low, high) of each point's accuracy at 95 %; none in version 1.
    families: as in `BaselineScored`.
    """

    area: float
    area_low: Bound
    area_high: Bound
    fractions: dict[str, float]
    points: tuple[SweepPoint, ...]
    notes: dict[str, JsonValue]
    bands: tuple[tuple[Bound, Bound], ...] = ()
    families: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeldOutLead:
    """The best program against another controller; see `selection.Lead`."""

    other: str
    difference: float
    low: Bound
    high: Bound
    probability: float
    words: str


@dataclass(frozen=True, slots=True, repr=False)
class HeldOutResults:
    """What the held-out stores say.

    trial: the best program's; `program`: digest of its text.
    on_search: what fresh draws of the search stores left of it, in words.
    sc_tokens: SC@64's tokens per question, by store.
    controllers: the program and the baselines, by name; `against`: its lead, by baseline.
    """

    trial: str
    on_search: str
    accepted: bool
    program: str
    stores: tuple[StoreRef, ...]
    sc_tokens: tuple[float, ...]
    controllers: dict[str, HeldOutFigures]
    against: dict[str, HeldOutLead] = field(default_factory=dict)

    def __repr__(self) -> str:
        areas = (
            f"{name} {found.area:.2f} ({found.area_low:.1f} … {found.area_high:.1f})"
            for name, found in self.controllers.items()
        )
        return f"<held out, area: {', '.join(areas)}>"


@dataclass(frozen=True, slots=True)
class Finalized(Event):
    """The best program was measured on the held-out stores."""

    trial: str
    results: HeldOutResults


KINDS: dict[str, type[Event]] = {
    "started": Started,
    "resumed": Resumed,
    "baseline": BaselineScored,
    "baseline-diagnosed": BaselineDiagnosed,
    "explored": StoresExplored,
    "earlier": EarlierRead,
    "call": CallReserved,
    "reply": CallReplied,
    "call-failed": CallLost,
    "tried": Tried,
    "proposed": Proposed,
    "failed": NothingProposed,
    "raced": Raced,
    "scored": Scored,
    "selected": Selected,
    "winner": MeasuredAgain,
    "ended": Ended,
    "stopped": Stopped,
    "interrupted": Interrupted,
    "opened": Opened,
    "finalized": Finalized,
}
"""What a line calls each kind."""

_NAMES = {kind: name for name, kind in KINDS.items()}


def name_of(event: Event) -> str:
    """What a line calls the kind of an event."""
    return _NAMES[type(event)]


E = TypeVar("E", bound=Event)


class EventLog:
    """An event log, open for appending. Whoever opens it holds the run's lock.

    May be appended to from several threads.
    """

    def __init__(self, path: Path, fold: Callable[[Event], None]) -> None:
        """
        Args:
            fold: is given every event there is, and every one that is written, in order.

        Raises:
            RunError: a line before the last is damaged, or the file can't be written.
        """
        self._path = path
        self._fold = fold
        self._began = time.monotonic()
        self._lock = threading.Lock()
        found = content(path) if os.path.lexists(path) else b""
        for event in _parse(path, found):
            fold(event)
        whole = found.rfind(b"\n") + 1
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            self._file = os.open(path, flags, 0o644)
            if whole < len(found):
                os.ftruncate(self._file, whole)
                os.fsync(self._file)
        except OSError as error:
            raise RunError(f"{path}: {error.strerror}") from error

    def append(self, event: E) -> E:
        """Add an event; once this returns it survives anything but the loss of the disk.

        Returns:
            the event as it will be read.

        Raises:
            RunError: it can't be written; the run is as it was before and can be resumed.
        """
        with self._lock:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            line = _line(replace(event, at=now, clock=round(self.clock, 3)))
            written = parse_event(line)
            try:
                self._write(line)
            except OSError as error:
                raise RunError(
                    f"{self._path}: {error.strerror}; the run stops here and can be resumed"
                ) from error
            self._fold(written)
            return cast(E, written)

    def _write(self, line: bytes) -> None:
        """Write a line whole, or leave the file as it was: another may follow, after a Ctrl-C."""
        before = os.fstat(self._file).st_size
        try:
            at = 0
            while at < len(line):
                at += os.write(self._file, line[at:])
            os.fsync(self._file)
        except BaseException:
            if os.fstat(self._file).st_size != before + len(line):
                os.ftruncate(self._file, before)
            raise

    @property
    def clock(self) -> float:
        """Seconds since this process opened the run."""
        return time.monotonic() - self._began

    def close(self) -> None:
        os.close(self._file)
        self._file = -1  # whoever still wants to write must not find another file there


def read(path: Path) -> Iterator[Event]:
    """The events of a run that somebody may be writing to.

    Raises:
        RunError: it can't be read, or a line before the last is damaged.
    """
    return _parse(path, content(path))


def parse_event(line: bytes) -> Event:
    """The event of a line.

    Raises:
        RunError: it is none, or of a version that is not known; without the place of the line.
    """
    try:
        # The first runs wrote NaN for bounds that nobody knows.
        record = parse_json(line, most_bytes=_MOST_LINE_BYTES, nan_is_null=True)
    except ValueError as error:
        raise RunError(f"damaged: {error}") from error
    if not isinstance(record, dict) or not {"event", "at", "clock"} <= record.keys():
        raise RunError("damaged: an event has event, at and clock")
    name, version = record.pop("event"), record.pop("version", 1)
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise RunError(
            f"an event of version {version!r}; this autotts reads versions 1 to {VERSION}: a newer"
            " one wrote it, so update autotts to read this run"
        )
    if not isinstance(name, str) or name not in KINDS:
        raise RunError(f"an event of kind {name!r}; version {version} has {', '.join(KINDS)}")
    if version == 1 and name == "failed":
        record.pop("proposals", None)
    if version == 1 and "usage" in record:
        record["usage"] = without_nulls(record["usage"])
    try:
        return _adapter(name).validate_python(record)
    except (ValidationError, RecursionError) as error:
        raise RunError(f"damaged: {name}: {first_problem(error)}") from error


def without_nulls(usage: Any) -> Any:
    """What a call cost, as older runs recorded it: null where a server counted nothing."""
    if not isinstance(usage, dict):
        return usage
    return {name: 0 if n is None and name != "usd" else n for name, n in usage.items()}


def first_problem(error: ValidationError | RecursionError) -> str:
    """The first thing that is wrong with a value, in words."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    found = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    given = repr(found["input"])
    shown = given if len(given) <= 60 else f"{given[:57]}..."
    return f"{where}: {found['msg'].removeprefix('Value error, ')}, got {shown}"


def _line(event: Event) -> bytes:
    record: Record = {"event": name_of(event), "version": VERSION, **_finite(asdict(event))}
    # What a model says may be no text that UTF-8 can hold.
    text = json.dumps(record, ensure_ascii=False, default=_plain)
    return text.encode(errors="replace") + b"\n"


def _finite(value: Any) -> Any:
    """A value with null for every number that JSON has no form for."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} can't stand in an event")


@functools.cache
def _adapter(name: str) -> TypeAdapter[Event]:
    return TypeAdapter(KINDS[name])


def content(path: Path) -> bytes:
    """The bytes of a run's log.

    Raises:
        RunError: it can't be read.
    """
    try:
        return read_regular(path, most_bytes=_MOST_BYTES)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}; this is no run of autotts discover") from error


def _parse(path: Path, content: bytes) -> Iterator[Event]:
    lines = content.split(b"\n")
    # After the last line break comes nothing, or a line that was never finished.
    for number, line in enumerate(lines[:-1], 1):
        try:
            yield parse_event(line)
        except RunError as error:
            raise RunError(f"{path}:{number}: {error}") from error
