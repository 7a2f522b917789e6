"""The scorer behind a socket: programs come in, quick feedback goes out, nothing else does.

Whoever writes programs, an agent in its jail or another framework, speaks to this through a socket
of the file system. The stores, the gold answers and the budget stay in the process that answers.
Requests are collected as they come in, so a slow client holds up no other, and none holds up us.
"""

import contextlib
import json
import os
import selectors
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

from autotts.discovery.agents.scorer_client import address
from autotts.discovery.explorer import Feedback, OutOfBudget, Record
from autotts.errors import RunError
from autotts.untrusted import MOST_BYTES, parse_json

_PATIENCE_SECONDS = 2.0
"""How long a request may take to arrive, and its reply to be taken."""

_MOST_CLIENTS = 16
"""Requests that may be on their way at once; the one that has taken longest makes room."""


@dataclass(slots=True)
class TryAllowance:
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


@dataclass(slots=True)
class _Request:
    """What came of a request so far, and when it must be whole.

    step: of the socket's steps, the latest that was for it.
    """

    deadline: float
    step: int
    data: bytearray = field(default_factory=bytearray)


class ScorerSocket:
    """A socket that answers tries, one after the other, in the thread that calls `answer`.

    A context manager; register it with a selector and call `answer` when it is readable.
    """

    def __init__(
        self, path: Path, try_program: Callable[[str], Feedback], allowance: TryAllowance
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
        self._requests: dict[socket.socket, _Request] = {}
        self._steps = 0
        self._accepted_at = 0
        try:
            path.unlink(missing_ok=True)
            with address(path) as name:
                self._socket.bind(name)
            os.chmod(path, 0o600)
            self._socket.listen(_MOST_CLIENTS)
        except OSError as error:
            self._socket.close()
            raise RunError(f"{path}: {error.strerror or error}; the scorer needs it") from error
        self._socket.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def __enter__(self) -> "ScorerSocket":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in list(self._requests):
            self._let_go(connection)
        self._selector.close()
        self._socket.close()
        # A client may have put something else in the socket's place. That is not ours to remove.
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(self.path.lstat().st_mode):
                self.path.unlink()

    def fileno(self) -> int:
        """Readable when a client, or more of a request, has come."""
        return self._selector.fileno()

    def answer(self) -> None:
        """Take one step for one client, and answer if its request is whole.

        It is the turn of whoever has waited longest; new clients count as one. A client that breaks
        the protocol, is too slow, or leaves, is let go.
        """
        now = time.monotonic()
        # What came while another was answered is not late: we were.
        ready = {key.fileobj for key, _ in self._selector.select(0)}
        for connection, request in list(self._requests.items()):
            if now > request.deadline and connection not in ready:
                self._let_go(connection)
        self._steps += 1
        clients = [c for c in self._requests if c in ready]
        first = min(clients, key=lambda c: self._requests[c].step, default=None)
        knocking = self._socket in ready
        if first and (not knocking or self._requests[first].step <= self._accepted_at):
            self._requests[first].step = self._steps
            self._receive(first)
        elif knocking:
            self._accepted_at = self._steps
            self._accept(now)

    def wait(self, seconds: float) -> None:
        """Answer requests for so long, at most one more than fits."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                if selector.select(left):
                    self.answer()

    def _accept(self, now: float) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return  # It has left again.
        connection.setblocking(False)
        if len(self._requests) >= _MOST_CLIENTS:
            self._let_go(next(iter(self._requests)))
        self._requests[connection] = _Request(now + _PATIENCE_SECONDS, self._steps)
        self._selector.register(connection, selectors.EVENT_READ)

    def _let_go(self, connection: socket.socket) -> None:
        del self._requests[connection]
        self._selector.unregister(connection)
        connection.close()

    def _receive(self, connection: socket.socket) -> None:
        """Take what a client has sent; answer once it is a whole line."""
        data = self._requests[connection].data
        try:
            part = connection.recv(65_536)
        except OSError:
            part = b""
        data += part
        if part and not data.endswith(b"\n") and len(data) <= MOST_BYTES:
            return
        try:
            source = _program_of(bytes(data))
        except ValueError:
            self._let_go(connection)
            return
        reply = json.dumps(self._reply(source)).encode() + b"\n"
        connection.settimeout(_PATIENCE_SECONDS)
        with contextlib.suppress(OSError):
            connection.sendall(reply)
        self._let_go(connection)

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


def _answer(feedback: Feedback, left: int | None, *, tried: bool = True) -> Record:
    """A reply; one that is not `tried` says in its errors why nothing was."""
    return {"ok": feedback.ok, "tried": tried, **asdict(feedback), "tries_left": left}


def _refusal(reason: str, left: int | None) -> Record:
    return _answer(Feedback((reason,), (), (), None, {}), left, tried=False)


def _program_of(data: bytes) -> str:
    """The program of a request.

    Raises:
        ValueError: it is none.
    """
    request = parse_json(data)
    if not isinstance(request, dict) or not isinstance(source := request.get("program"), str):
        raise ValueError('need {"program": "..."}')
    return source
