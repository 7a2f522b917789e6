"""A page that follows a run: served to this machine alone, and only read from."""

import http.server
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from autotts.errors import RunError
from autotts.reports.model import Report
from autotts.reports.page import build, to_json

LOOPBACK = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


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


class PageServer(http.server.ThreadingHTTPServer):
    """Serves `/` and `/data.json` on the loopback interface."""

    daemon_threads = True

    def __init__(self, source: Followed, *, port: int = 0) -> None:
        """
        Args:
            port: 0 for any that is free.

        Raises:
            RunError: the port is taken.
        """
        self.source = source
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise RunError(f"port {port}: {error.strerror}; --port 0 takes a free one") from error

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    """GET and HEAD of two paths; there is nothing that could write."""

    server: PageServer
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
            self._send(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", "not this host\n", body)
            return
        if self.path not in ("/", "/data.json"):
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "there is / and /data.json\n", body)
            return
        version, report = self.server.source.current()
        tag = f'"{version}"'
        if self.path == "/":
            self._send(HTTPStatus.OK, "text/html", build(report, live=True), body)
        elif self.headers.get("If-None-Match") == tag:
            self._send(HTTPStatus.NOT_MODIFIED, "application/json", "", body, tag)
        else:
            self._send(HTTPStatus.OK, "application/json", to_json(report), body, tag)

    def _send(
        self, status: HTTPStatus, kind: str, text: str, body: bool, tag: str | None = None
    ) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)
