"""The scorer behind a socket: programs come in, quick feedback goes out, nothing else does.

Whoever writes programs, an agent in its jail or another framework, speaks to this through a socket
of the file system. The stores, the gold answers and the budget stay in the process that answers.
"""

import contextlib
import json
import os
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from autotts.discovery.agents.scorer_client import address
from autotts.discovery.explorer import Feedback, OutOfBudget, Record
from autotts.discovery.run.records import feedback_record
from autotts.errors import RunError

_MOST_BYTES = 256 * 1024
"""Longest request that is read; a program has at most 32 KB, and JSON may write it longer."""

_PATIENCE_SECONDS = 2.0
"""How long a request may take to arrive: the next one waits for it."""


@dataclass(slots=True)
class Allowance:
    """How much may be tried.

    tries: how many more; None for as many as the run's budget has.
    pause_seconds: from one try to the next.
    """

    tries: int | None = None
    pause_seconds: float = 1.0
    _next: float = 0.0

    def refusal(self) -> Record | None:
        """Why a try is not allowed now; None if it is, and then it is counted."""
        if self.tries == 0:
            return _refusal("no tries are left this round; hand in your best program", 0)
        wait = self._next - time.monotonic()
        if wait > 0:
            reason = f"one try every {self.pause_seconds:g} s; wait {wait:.1f} s"
            return {**_refusal(reason, self.tries), "wait_seconds": round(wait + 0.01, 3)}
        if self.tries is not None:
            self.tries -= 1
        return None

    def rest(self) -> None:
        """Begin the pause after a try."""
        self._next = time.monotonic() + self.pause_seconds


class ScorerSocket:
    """A socket that answers tries, one after the other, in the thread that calls `answer`.

    A context manager; register `fileno()` with a selector and call `answer` when it is readable.
    """

    def __init__(
        self, path: Path, try_program: Callable[[str], Feedback], allowance: Allowance
    ) -> None:
        """
        Raises:
            RunError: the socket can't be made.
        """
        self.path = path
        self.answered = 0
        self._try = try_program
        self._allowance = allowance
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            with address(path) as name:
                self._socket.bind(name)
            os.chmod(path, 0o600)
            self._socket.listen(8)
        except OSError as error:
            self._socket.close()
            raise RunError(f"{path}: {error.strerror or error}; the scorer needs it") from error

    def __enter__(self) -> "ScorerSocket":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def fileno(self) -> int:
        return self._socket.fileno()

    def answer(self) -> None:
        """Answer one request. A client that breaks the protocol, or leaves, is let go."""
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(_PATIENCE_SECONDS)
            try:
                source = _read_request(connection)
            except (OSError, ValueError):
                return
            reply = json.dumps(self._reply(source)).encode() + b"\n"
            with contextlib.suppress(OSError):
                connection.sendall(reply)

    def wait(self, seconds: float) -> None:
        """Answer requests for so long, at most one more than fits."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            while selector.select(max(0.0, deadline - time.monotonic())):
                self.answer()

    def _reply(self, source: str) -> Record:
        refused = self._allowance.refusal()
        if refused is not None:
            return refused
        try:
            feedback = self._try(source)
        except OutOfBudget as error:
            return _refusal(str(error), 0)
        finally:
            self._allowance.rest()
        self.answered += 1
        return _answer(feedback, self._allowance.tries)


def _answer(feedback: Feedback, left: int | None) -> Record:
    return {"ok": feedback.ok, **feedback_record(feedback), "tries_left": left}


def _refusal(reason: str, left: int | None) -> Record:
    return _answer(Feedback((reason,), (), (), None, {}), left)


def _read_request(connection: socket.socket) -> str:
    """The program of a request.

    Raises:
        OSError: it did not come in time.
        ValueError: it is none.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    data = b""
    while not data.endswith(b"\n"):
        if len(data) > _MOST_BYTES or time.monotonic() > deadline:
            raise ValueError("a request of one line, soon")
        part = connection.recv(65_536)
        if not part:
            raise ValueError("it hung up")
        data += part
    request = json.loads(data)
    if not isinstance(request, dict) or not isinstance(request.get("program"), str):
        raise ValueError('need {"program": "..."}')
    source: str = request["program"]
    return source
