"""What was collected so far: one line an interval, written before anything follows.

```text
{"plan": {...}}                                     the first line
{"server": {...}}                                   each time a server is connected to
{"at": [question, branch, interval], "intervals": 1, "tokens": ..., "ids": ..., "text": ...}
{"probed": [question, branch, interval], "answer": ..., "tokens": ...}
{"failed": [question, branch, interval], "why": ...}
{"answered": [question, branch], "answer": ..., "tokens": ...}    where a controller chooses
```

A process may be killed at any instant: a last line that is cut is dropped, and with it an interval
that nobody built upon. Of a machine that is lost, a branch loses one interval at most besides that
in flight, for no line of a branch is written before the one before it is on the disk.

A journal may come from somebody else: nothing is read or written through a link in its place, and
what it unpacks to is bounded.
"""

import asyncio
import base64
import errno
import fcntl
import json
import os
import stat
import sys
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from autotts.collect.plan import MOST_TOKENS, Plan
from autotts.errors import StoreError
from autotts.files import open_regular
from autotts.inference.branch import Probed
from autotts.inference.server import Context, Decoded
from autotts.untrusted import parse_json

WORKERS = "journal-"
"""What the names of a fleet's journals begin with: each worker writes its own."""
_MOST_BYTES = 64 << 20
"""Of a line."""
_MOST_JOURNAL_BYTES = 1 << 44
Count = Annotated[int, Field(ge=0)]
Tokens = Annotated[int, Field(ge=0, le=MOST_TOKENS)]


class IntervalLine(BaseModel):
    """An interval that was decoded, or several in one request.

    at: question, branch and interval, from 0.
    intervals: how many; all but a branch's last are whole.
    ids: of its tokens, int32 in little-endian order, deflated, in base64; None where there are
        none.
    confidences: of its tokens, float16, likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    at: tuple[Count, Count, Count] = Field(strict=False)
    intervals: int = Field(default=1, ge=1, le=MOST_TOKENS)
    tokens: Tokens
    text: str
    ids: str | None = None
    ended: bool = False
    cut: bool = False
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    signals: dict[str, float] = {}
    confidences: str | None = None

    def split(self, interval: int) -> "Iterator[IntervalLine]":
        """Its intervals one by one; which text belongs to which is not known, so the last has all.

        Args:
            interval: tokens of one.
        """
        if self.intervals == 1 or self.ids is None:
            yield self
            return
        ids, (q, n, first) = unpack_ids(self.ids, self.tokens), self.at
        for k in range(self.intervals):
            part = ids[k * interval : (k + 1) * interval]
            last = k == self.intervals - 1
            yield IntervalLine(
                at=(q, n, first + k),
                tokens=len(part),
                text=self.text if last else "",
                ids=pack_ids(part),
                ended=self.ended and last,
                cut=self.cut and last,
                prompt_tokens=0 if k else self.prompt_tokens,
                cached_tokens=0 if k else self.cached_tokens,
            )

    def decoded(self) -> Decoded:
        """What the server gave, as it gave it.

        Raises:
            StoreError: its ids can't be read, or are not as many as its tokens.
        """
        content: Context = self.text if self.ids is None else unpack_ids(self.ids, self.tokens)
        return Decoded(
            content,
            self.text,
            self.tokens,
            self.ended,
            self.cut,
            self.prompt_tokens,
            self.cached_tokens,
        )


class ProbeLine(BaseModel):
    """The answer at the end of an interval.

    tokens: decoded for it.
    logprob: of the answer; None where it is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    probed: tuple[Count, Count, Count] = Field(strict=False)
    answer: str
    tokens: Count
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    logprob: float | None = None

    def probed_then(self) -> Probed:
        """What the server said, as far as it is kept."""
        said = Decoded("", "", self.tokens, True, False, self.prompt_tokens, self.cached_tokens)
        return Probed(self.answer, said, self.logprob)


class FailedLine(BaseModel):
    """An interval that can't be had; it is asked for again when the collection is resumed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    failed: tuple[Count, Count, Count] = Field(strict=False)
    why: str


class AnsweredLine(BaseModel):
    """An episode that has ended: no branch of it goes on.

    answered: question and first branch.
    tokens: that the controller was charged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    answered: tuple[Count, Count] = Field(strict=False)
    answer: str
    tokens: Count


class ServerLine(BaseModel):
    """A server that was connected to.

    tokens: decoded to try it out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    server: str
    dialect: str
    model: str
    exact: bool
    tokens: Count


class PlanLine(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    plan: Plan = Field(strict=False)


Line = PlanLine | ServerLine | IntervalLine | ProbeLine | FailedLine | AnsweredLine
_KINDS: dict[str, type[Line]] = {
    "at": IntervalLine,
    "probed": ProbeLine,
    "failed": FailedLine,
    "answered": AnsweredLine,
    "server": ServerLine,
    "plan": PlanLine,
}


def pack_ids(content: Context) -> str | None:
    """Token ids as the journal has them."""
    if isinstance(content, str):
        return None
    return _packed_bytes(_little(array("i", content)).tobytes())


def unpack_ids(packed: str, count: int) -> "array[int]":
    """So many token ids.

    Raises:
        StoreError: they are others, or none.
    """
    ids = array("i")
    unpacked = _unpacked_bytes(packed, count * ids.itemsize)
    if len(unpacked) != count * ids.itemsize:
        raise StoreError(f"a journal has other token ids than the {count:,} that it counts")
    ids.frombytes(unpacked)
    return _little(ids)


def _little(ids: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        ids.byteswap()
    return ids


def pack_confidences(confidences: np.ndarray) -> str | None:
    """Confidences of tokens as the journal has them; None where there are none."""
    return _packed_bytes(confidences.astype("<f2").tobytes()) if len(confidences) else None


def unpack_confidences(packed: str | None, most: int) -> np.ndarray:
    """float16 `[T]`, of at most so many tokens.

    Raises:
        StoreError: there are more, or none.
    """
    content = b"" if packed is None else _unpacked_bytes(packed, 2 * most)
    if len(content) % 2:
        raise StoreError("confidences of a journal are cut in two")
    return np.frombuffer(content, "<f2").astype(np.float16)


def _packed_bytes(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 1)).decode()


def _unpacked_bytes(packed: str, most: int) -> bytes:
    """What was packed, in at most so many bytes: some kilobytes can stand for gigabytes.

    Raises:
        StoreError: it has more, or can't be unpacked.
    """
    try:
        unpacked = zlib.decompressobj().decompress(base64.b64decode(packed), most + 1)
    except (ValueError, OverflowError, zlib.error) as error:
        raise StoreError(f"token ids of a journal that can't be unpacked: {error}") from error
    if len(unpacked) > most:
        raise StoreError(f"a journal has other token ids than the {most // 4:,} that it counts")
    return unpacked


def journals_beside(path: Path) -> list[Path]:
    """The journals of a fleet's workers beside the main one, in the order they were begun in."""
    found = path.parent.glob(f"{WORKERS}*.jsonl")
    return sorted(p for p in found if p.stem.removeprefix(WORKERS).isdecimal())


def read_journal(path: Path) -> Iterator[tuple[Line, int]]:
    """The lines of a journal, each with where it ends; a last one that is cut is left out.

    Raises:
        StoreError: it is no plain file, or a line before the last can't be read; names it.
    """
    end = 0
    try:
        with open_regular(path, most_bytes=_MOST_JOURNAL_BYTES) as file:
            for number, content in enumerate(iter(lambda: file.readline(_MOST_BYTES), b""), 1):
                if not content.endswith(b"\n") and len(content) < _MOST_BYTES:
                    return  # cut short
                end += len(content)
                yield _parsed(content, f"{path}: line {number}"), end
    except OSError as error:
        raise StoreError(f"{path}: {_why(error)}") from error


@dataclass(frozen=True, slots=True)
class LinePlace:
    """Where a line of a journal lies: bytes `start` to `end` of a file."""

    path: Path
    start: int
    end: int

    def read(self) -> Line:
        """The line, as `read_journal` gave it."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            content = file.read(self.end - self.start)
        return _parsed(content, f"{self.path}: the line at byte {self.start:,}")


def _why(error: OSError) -> str:
    return "it is a link" if error.errno == errno.ELOOP else str(error.strerror)


def _parsed(content: bytes, where: str) -> Line:
    try:
        value: Any = parse_json(content, most_bytes=_MOST_BYTES)
        kind = next((k for k in _KINDS if isinstance(value, dict) and k in value), None)
        if kind is None:
            raise ValueError("no line of a journal")
        return _KINDS[kind].model_validate(value)
    except ValueError as error:
        raise StoreError(f"{where} is damaged: {str(error).splitlines()[0]}") from error


class Journal:
    """Appends lines; one process at a time.

    A line is written at once, so that a process that is killed loses none. It is on the disk a
    little later, many branches' lines together: `append` gives what is done then.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            StoreError: it can't be written, or another process writes it.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(path, flags | os.O_NONBLOCK, 0o644)
        except OSError as error:
            raise StoreError(f"{path}: {_why(error)}") from error
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            os.close(self._file)
            raise StoreError(f"{path}: it is no plain file")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise StoreError(f"{path}: another process is collecting into it") from error
        self._waiting: list[asyncio.Future[None]] = []
        self._syncing: asyncio.Task[None] | None = None
        self._broken: StoreError | None = None

    def cut(self, size: int) -> None:
        """Drop what follows the whole lines."""
        os.ftruncate(self._file, size)

    def append_now(self, line: Line) -> None:
        """Write a line while nobody else does.

        Raises:
            StoreError: it is not on the disk.
        """
        try:
            self._write(packed(line))
            os.fsync(self._file)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error

    def append(self, line: Line) -> "asyncio.Future[None]":
        """Write a line.

        Returns:
            What is done when it is on the disk; its error is a StoreError too.

        Raises:
            StoreError: it can't be written, for the disk may be full; nor will later ones be.
        """
        if self._broken:
            raise self._broken
        try:
            self._write(packed(line))
        except OSError as error:
            raise self._gives_up(error) from error
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync())
        return done

    async def sync(self) -> None:
        """See to it that all that was written is on the disk.

        Raises:
            StoreError: it is not.
        """
        if self._syncing is not None:
            await self._syncing
        if self._broken:
            raise self._broken

    async def _sync(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(os.fsync, self._file)
            except OSError as error:
                self._gives_up(error)
            for done in batch:
                if done.done():  # whoever waited was cancelled
                    continue
                if self._broken:
                    done.set_exception(self._broken)
                    done.exception()  # nobody may wait for it
                else:
                    done.set_result(None)
        self._syncing = None

    def _gives_up(self, error: OSError) -> StoreError:
        self._broken = StoreError(
            f"{self.path}: {error.strerror}; what was collected before is kept: make room and go"
            " on with --resume"
        )
        return self._broken

    def _write(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[os.write(self._file, left) :]

    async def aclose(self) -> None:
        if self._syncing is not None:
            await self._syncing
        os.close(self._file)


def packed(line: Line) -> bytes:
    """A line as the journal has it, its end included."""
    # All of a plan, so that one is the same when defaults change.
    fields = line.model_dump(mode="json", exclude_defaults=not isinstance(line, PlanLine))
    return json.dumps(fields).encode() + b"\n"
