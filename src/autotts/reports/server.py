"""Pages served to this machine alone, and only read from; and one that follows a run."""

import http.server
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from autotts.errors import RunError
from autotts.reports.model import Report
from autotts.reports.page import build, to_json

LOOPBACK = "127.0.0.1"
_SILENCE_SECONDS = 60.0
"""After which a connection that says nothing is closed."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class PageReply:
    """What is sent for a path.

    tag: another text whenever the content is another; "" where that isn't known.
    """

    content: str
    kind: str = "text/html"
    status: HTTPStatus = HTTPStatus.OK
    tag: str = ""

    @classmethod
    def missing(cls, words: str) -> "PageReply":
        """That there is nothing."""
        return cls(f"{words}\n", "text/plain", HTTPStatus.NOT_FOUND)


@dataclass
class Followed:
    """A report and how to tell that it has changed. Built when asked for, once per version.

    version: cheap; another string whenever `make` would give another report.
    """

    make: Callable[[], Report]
    version: Callable[[], str]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _built: tuple[str, Report] | None = None

    def current(self) -> tuple[str, Report]:
        """The version and the report of now."""
        with self._lock:
            version = self.version()
            if self._built is None or self._built[0] != version:
                self._built = (version, self.make())
            return self._built

    def answer(self, path: str) -> PageReply:
        """The page at `/`, and its data at `/data.json`."""
        if path not in ("/", "/data.json"):
            return PageReply.missing("there is / and /data.json")
        version, report = self.current()
        if path == "/":
            return PageReply(build(report, live=True))
        return PageReply(to_json(report), "application/json", tag=f'"{version}"')


class LoopbackServer(http.server.ThreadingHTTPServer):
    """Serves GET and HEAD on the loopback interface, by one function of the path."""

    daemon_threads = True

    def __init__(self, answer: Callable[[str], PageReply], *, port: int = 0) -> None:
        """
        Args:
            answer: called with the path and query asked for, in any thread.
            port: 0 for any that is free.

        Raises:
            RunError: the port is taken.
        """
        self.answer = answer
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise RunError(f"port {port}: {error.strerror}; --port 0 takes a free one") from error

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    """GET and HEAD; there is nothing that could write."""

    server: LoopbackServer
    timeout = _SILENCE_SECONDS
    server_version = "autotts"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal belongs to the user."""

    def _answer(self, *, body: bool) -> None:
        # A page elsewhere whose name points here (DNS rebinding) has another host than ours.
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{LOOPBACK}:{port}", f"localhost:{port}"):
            reply = PageReply("not this host\n", "text/plain", HTTPStatus.MISDIRECTED_REQUEST)
        elif not self.path.startswith("/"):
            reply = PageReply.missing("a path begins with /")
        else:
            reply = self.server.answer(self.path)
            if reply.tag and self.headers.get("If-None-Match") == reply.tag:
                reply = replace(reply, content="", status=HTTPStatus.NOT_MODIFIED)
        content = reply.content.encode()
        self.send_response(reply.status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if reply.tag:
            self.send_header("ETag", reply.tag)
        self.send_header("Content-Type", f"{reply.kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)
