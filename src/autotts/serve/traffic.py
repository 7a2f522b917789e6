"""Traffic as a store: what the branches of requests answered, kept while they are served.

A folder has `traffic.jsonl`, a line for each request that was answered, appended and synced before
the next one, and `traffic.old.jsonl`, the lines before those. When the first has half of the bytes
that are allowed it takes the place of the second, and so the latest requests are kept. A process
may be killed at any instant: a last line that is cut is dropped.

What is kept are answers, lengths and signals of branches, and under what they were served. A prompt
is kept only if the operator says so; else a digest tells whether two are the same, made with a
secret of the folder, so that nobody can try out prompts. Answers longer than `_MOST_ANSWER`
characters are texts, and are kept as such a digest too.
"""

import asyncio
import fcntl
import hashlib
import logging
import math
import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autotts.answers import FAILED
from autotts.collect.asking import compared
from autotts.errors import StoreError
from autotts.inference.server import Context
from autotts.live import served_under
from autotts.stores import Branch, Recording, Store, build
from autotts.untrusted import parse_json
from autotts.version import __version__

JOURNAL, BEFORE, _SECRET = "traffic.jsonl", "traffic.old.jsonl", "traffic.secret"
DATASET = "traffic"
MOST_BYTES = 64 << 20
_LEAST_BYTES = 1 << 16
_MOST_ANSWER = 200
_MOST_LINE = 64 << 20

log = logging.getLogger("autotts.serve")

_Tokens = Annotated[int, Field(ge=0)]


class BranchLine(BaseModel):
    """A branch of a request, as `stores.Branch`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tokens: _Tokens
    final: str
    probes: list[str] | None = None
    signals: dict[str, list[float | None]] = {}

    @classmethod
    def of(cls, branch: Branch, answer: Callable[[str], str]) -> "BranchLine":
        """A branch, with what `answer` makes of its answers; JSON has no infinite numbers."""
        return cls(
            tokens=branch.tokens,
            final=answer(branch.final),
            probes=None if branch.probes is None else [*map(answer, branch.probes)],
            signals={
                name: [value if math.isfinite(value) else None for value in values]
                for name, values in branch.signals.items()
            },
        )

    def branch(self) -> Branch:
        """As stores are built of."""
        signals = {
            name: [-math.inf if value is None else value for value in values]
            for name, values in self.signals.items()
        }
        return Branch(self.probes, self.tokens, self.final, signals=signals)


class TrafficLine(BaseModel):
    """A request that was answered.

    id: of the reply. question: its text, where prompts are kept. prompt: its digest.
    model, interval, max_branches: what it was served by.
    controller, beta, stop: as `served_under`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str
    model: str
    interval: Annotated[int, Field(ge=1)]
    max_branches: Annotated[int, Field(ge=1)]
    controller: str
    beta: float
    stop: str
    prompt: str
    question: str = ""
    branches: Annotated[list[BranchLine], Field(min_length=1)]

    @property
    def kind(self) -> tuple[str, int, int, bool, tuple[str, ...]]:
        """What all requests of a store have in common."""
        first = self.branches[0]
        signals = tuple(sorted(first.signals))
        return self.model, self.interval, self.max_branches, first.probes is not None, signals

    def recording(self) -> Recording:
        """As stores are built of."""
        return Recording(
            self.question,
            FAILED,
            [one.branch() for one in self.branches],
            id=self.id,
            groups={
                **served_under(self.controller, self.beta, self.stop),
                "prompt": self.prompt,
            },
        )


class TrafficJournal:
    """Where a service keeps its traffic; one process at a time."""

    def __init__(
        self, folder: Path, *, prompts: bool = False, most_bytes: int = MOST_BYTES
    ) -> None:
        """
        Args:
            folder: made if it is not there.
            prompts: whether questions are kept as text.
            most_bytes: of both files together.

        Raises:
            StoreError: it can't be written, or another process writes it.
        """
        self._prompts = prompts
        self._folder, self._most = folder, max(most_bytes, _LEAST_BYTES) // 2
        self._writing = threading.Lock()
        self._failing = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._secret = _secret(folder / _SECRET)
            self._lock = os.open(folder / _SECRET, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = self._opened()
        except OSError as error:
            os.close(self._lock)
            raise StoreError(f"{folder}: another process records into it") from error

    def close(self) -> None:
        os.close(self._file)
        os.close(self._lock)

    def _digest(self, text: Context) -> str:
        """What tells whether two texts are the same, and nothing else of them."""
        content = _sound(text).encode() if isinstance(text, str) else text.tobytes()
        return hashlib.blake2b(content, key=self._secret, digest_size=12).hexdigest()

    async def add(
        self, played: Recording, prompt: Context, *, model: str, interval: int, max_branches: int
    ) -> None:
        """Keep a request.

        Where the disk is full it is not kept, which is logged, and answered all the same.

        Args:
            played: its branches, under the id of its reply and the groups of `served_under`.
            prompt: as the model reads it.
        """

        def keep() -> None:  # formulas are put into their normal form, which may take a while
            line = TrafficLine(
                id=played.id or secrets.token_hex(12),
                model=model,
                interval=interval,
                max_branches=max_branches,
                controller=played.groups["controller"],
                beta=float(played.groups["beta"]),
                stop=played.groups["stop"],
                prompt=self._digest(prompt),
                question=_sound(played.question) if self._prompts else "",
                branches=[BranchLine.of(one, self._answer) for one in played.branches],
            )
            self._write(line.model_dump_json().encode() + b"\n")

        await asyncio.to_thread(keep)

    def _answer(self, answer: str) -> str:
        if len(answer) > _MOST_ANSWER:
            return f"text {self._digest(answer)}"
        return compared(_sound(answer) or FAILED)

    def _opened(self) -> int:
        """The journal, without a line that was cut."""
        path = self._folder / JOURNAL
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        content = path.read_bytes()
        os.ftruncate(file, content.rfind(b"\n") + 1)
        return file

    def _write(self, content: bytes) -> None:
        with self._writing:
            size = os.fstat(self._file).st_size
            try:
                if size and size + len(content) > self._most:
                    os.replace(self._folder / JOURNAL, self._folder / BEFORE)
                    full, self._file, size = self._file, self._opened(), 0
                    os.close(full)
                left = memoryview(content)
                while left:
                    left = left[os.write(self._file, left) :]
                os.fsync(self._file)
                self._failing = False
            except OSError as error:
                os.ftruncate(self._file, size)
                if not self._failing:
                    log.warning("not recorded", extra={"why": error.strerror})
                self._failing = True


def _sound(text: str) -> str:
    """A text without halves of characters, which no file can hold."""
    return text.encode(errors="replace").decode()


def _secret(path: Path) -> bytes:
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return bytes.fromhex(path.read_text())


@dataclass(frozen=True, slots=True)
class Traffic:
    """The traffic of a folder.

    store: without true answers.
    left_out: requests that do not fit into one store with most of them.
    """

    store: Store
    left_out: int


def traffic_store(folder: Path) -> Traffic:
    """The store that traffic makes, while it is recorded or later.

    Raises:
        StoreError: there is no traffic, or a line is damaged.
    """
    lines = {line.id: line for name in (BEFORE, JOURNAL) for line in _lines(folder / name)}
    if not lines:
        raise StoreError(
            f"{folder} has no traffic: `autotts serve --record FOLDER` keeps it there, a line for"
            " each request that was answered"
        )
    most = Counter(line.kind for line in lines.values()).most_common(1)[0][0]
    chosen = [line for line in lines.values() if line.kind == most]
    model, interval, branches, *_ = most
    store = build(
        [line.recording() for line in chosen],
        model=model.rstrip("/").rpartition("/")[2],
        dataset=DATASET,
        interval_tokens=interval,
        billing="exact",
        failed_answer=FAILED,
        ungraded=True,
        sampling={"max_branches": branches, "failed": "abstain"},
        source=f"recorded by autotts {__version__} serve",
    )
    return Traffic(store, len(lines) - len(chosen))


def _lines(path: Path) -> Iterator[TrafficLine]:
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, content in enumerate(file, start=1):
            if not content.endswith(b"\n"):
                return
            try:
                yield TrafficLine.model_validate(parse_json(content, most_bytes=_MOST_LINE))
            except (ValueError, ValidationError) as error:
                said = str(error).splitlines()[0]
                raise StoreError(f"{path}: line {number} is damaged: {said}") from error
