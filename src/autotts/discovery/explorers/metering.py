"""What an agent's calls cost, counted by who carries them.

A server on the loopback interface passes an agent's calls on to its model's server, and counts the
tokens that the replies report. The agent gets a key that is good for this server and this session
alone: the user's own stays here, so that no call goes past the count.

    agent --(key of the session)--> Meter --(the user's key)--> the model's server
"""

import contextlib
import http.server
import secrets
import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from autotts.discovery.explorer import Usage
from autotts.discovery.explorers.completions import read_completion
from autotts.discovery.explorers.transport import client_of
from autotts.errors import SpecError

_LOOPBACK = "127.0.0.1"
_SECONDS = 600.0
"""Longest silence of the model's server, and of the agent."""
_MOST_BYTES = 64 * 1024 * 1024
"""Of a request, and of a reply whose count is read."""
_ASKED = frozenset({"host", "connection", "content-length", "accept-encoding", "transfer-encoding"})
_TOLD = frozenset({"connection", "content-length", "transfer-encoding", "date", "server"})
"""Headers that belong to a connection, and are not passed on."""
_FREE = "/count_tokens"


class Meter:
    """Passes calls on, and counts them. A context manager."""

    def __init__(self, upstream: str, most_tokens: int = 0) -> None:
        """
        Args:
            upstream: URL of the model's server; the paths of calls go below it.
            most_tokens: when so many were counted, further calls are refused; 0 for no limit.

        Raises:
            SpecError: it is no URL, or the HTTP client is missing.
        """
        if urlsplit(upstream).scheme not in ("http", "https"):
            raise SpecError(f"explorer agent: {upstream!r} is no http:// or https:// address")
        self._upstream = upstream.rstrip("/")
        self._most = most_tokens
        self._client = client_of(upstream)
        self._held: dict[str, str] = {}
        self._lock = threading.Lock()
        self._begun = self._counted = self._given = self._made = 0
        self._server = http.server.ThreadingHTTPServer((_LOOPBACK, 0), _Passing)
        self._server.daemon_threads = True
        self._server.meter = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> "Meter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.socket.close()
        self._client.close()

    @property
    def url(self) -> str:
        """Where the agent sends its calls."""
        return f"http://{_LOOPBACK}:{self._server.server_port}"

    @property
    def usage(self) -> Usage:
        """What was counted so far; it knows no dollars."""
        with self._lock:
            return Usage(self._begun, self._given, self._made, None)

    @property
    def whole(self) -> bool:
        """Whether every call has ended, and its reply said what it took."""
        with self._lock:
            return self._begun == self._counted

    def hold(self, environment: Mapping[str, str], keys: tuple[str, ...]) -> dict[str, str]:
        """Keep these keys of an agent's environment here; what it gets in their place.

        Where none is set, for a server that wants none, the first name gets a key too.
        """
        names = [name for name in keys if environment.get(name)] or keys[:1]
        own = {name: f"metered-{secrets.token_hex(16)}" for name in names}
        self._held = {key: environment.get(name, "none") for name, key in own.items()}
        return {**environment, **own}

    def spent(self) -> bool:
        return 0 < self._most <= self.usage.tokens

    def begin(self) -> None:
        with self._lock:
            self._begun += 1

    def count(self, given: int, made: int) -> None:
        with self._lock:
            self._counted += 1
            self._given += given
            self._made += made

    def headers(self, asked: Mapping[str, str]) -> dict[str, str] | None:
        """The headers of a call as they are passed on, with the user's key; None without ours."""
        passed = {name: value for name, value in asked.items() if name.lower() not in _ASKED}
        known = False
        for ours, users in self._held.items():
            for name, value in passed.items():
                known = known or ours in value
                passed[name] = value.replace(ours, users)
        return {**passed, "accept-encoding": "identity"} if known else None

    @contextlib.contextmanager
    def passed_on(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes
    ) -> Iterator[Any]:
        """The reply of the model's server, as it comes. Redirects are not followed."""
        with self._client.stream(
            method, self._upstream + path, headers=dict(headers), content=content, timeout=_SECONDS
        ) as response:
            yield response


class _Passing(http.server.BaseHTTPRequestHandler):
    """One call."""

    server_version = "autotts"
    sys_version = ""
    timeout = _SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal belongs to the user."""

    def do_GET(self) -> None:
        self._pass(b"")

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or int(size) > _MOST_BYTES:
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "a call needs a Content-Length, in bounds")
            return
        self._pass(self.rfile.read(int(size)))

    def _pass(self, content: bytes) -> None:
        import httpx2

        meter: Meter = self.server.meter  # type: ignore[attr-defined]
        headers = meter.headers(dict(self.headers.items()))
        if headers is None:
            self._refuse(HTTPStatus.UNAUTHORIZED, "this is not the session's key")
            return
        if meter.spent():
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "the session's tokens are spent")
            return
        costs = self.command == "POST" and not urlsplit(self.path).path.endswith(_FREE)
        if costs:
            meter.begin()
        began = False
        try:
            with meter.passed_on(self.command, self.path, headers, content) as response:
                began = True
                found = read_completion(self._copied(response))
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError) as error:
            # A call that was cut off has cost something that nobody told: it stays uncounted.
            if not began:
                self._refuse(HTTPStatus.BAD_GATEWAY, f"no answer: {type(error).__name__}")
            return
        told = found.input_tokens is not None and found.output_tokens is not None
        if costs and (told or response.status_code >= 400):
            meter.count(found.input_tokens or 0, found.output_tokens or 0)

    def _copied(self, response: Any) -> bytes:
        """Hand a reply to the agent as it comes; what it was, b"" if it is too long to be read."""
        self.send_response(response.status_code)
        for name, value in response.headers.items():
            if name.lower() not in _TOLD:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        kept = bytearray()
        for piece in response.iter_raw():
            self.wfile.write(piece)
            self.wfile.flush()
            kept += piece if len(kept) <= _MOST_BYTES else b""
        return bytes(kept) if len(kept) <= _MOST_BYTES else b""

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        content = f'{{"error": {{"message": "{why}"}}}}\n'.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
