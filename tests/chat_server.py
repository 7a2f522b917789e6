"""A model server for tests: speaks the chat-completions protocol over HTTP, from a script."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each request with the next step of the script; the last one is repeated."""

    protocol_version = "HTTP/1.1"
    server: "Server"
    body: Any

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((dict(self.headers), self.body))
        script = self.server.script
        step = script.pop(0) if len(script) > 1 else script[0]
        step(self)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def begin(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.close_connection = True

    def event(self, data: object, name: str = "") -> None:
        if name:
            self.wfile.write(f"event: {name}\n".encode())
        text = data if isinstance(data, str) else json.dumps(data)
        self.wfile.write(f"data: {text}\n\n".encode())
        self.wfile.flush()

    def chunk(self, text: str = "", reason: str | None = None, usage: Any = None) -> None:
        choices = [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]
        self.event(
            {
                "id": "x",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": "scripted",
                "choices": choices,
                "usage": usage,
            }
        )


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, script: list[Step]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        self.requests: list[tuple[dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up, as clients that time out do."""


@contextmanager
def serving(*script: Step) -> Iterator[Server]:
    server = Server(list(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def says(text: str, *, reason: str = "stop", tokens: tuple[int, int] | None = (100, 20)) -> Step:
    """Streams a reply in a few pieces."""

    def step(handler: Handler) -> None:
        handler.begin()
        third = len(text) // 3 + 1
        for at in range(0, len(text), third):
            handler.chunk(text[at : at + third])
        usage = tokens and {
            "prompt_tokens": tokens[0],
            "completion_tokens": tokens[1],
            "total_tokens": sum(tokens),
        }
        handler.chunk("", reason, usage)
        handler.event("[DONE]")

    return step


def fails(status: int, text: str = "no", **headers: str) -> Step:
    def step(handler: Handler) -> None:
        handler.begin(status, "application/json", **headers)
        handler.wfile.write(json.dumps({"error": {"message": text}}).encode())

    return step


def echoes_the_key(handler: Handler) -> None:
    handler.begin(401, "application/json")
    message = f"wrong key: {handler.headers['Authorization']}"
    handler.wfile.write(json.dumps({"error": {"message": message}}).encode())


def sends_a_page(handler: Handler) -> None:
    handler.begin(200, "text/html")
    handler.wfile.write(b"<html>gateway</html>")


def sends_no_json(handler: Handler) -> None:
    handler.begin()
    handler.event("{this is no JSON")


def hangs(handler: Handler) -> None:
    handler.begin()
    handler.chunk("I think")
    time.sleep(3)


def resets(handler: Handler) -> None:
    """Says something, then resets the connection instead of closing it."""
    handler.begin()
    handler.chunk("I think that")
    handler.wfile.flush()
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()


def stops_short(handler: Handler) -> None:
    handler.begin()
    handler.chunk("I think that")


def sends(body: bytes, kind: str = "text/event-stream", **headers: str) -> Step:
    """Answers with a body of any kind, and with status 200."""

    def step(handler: Handler) -> None:
        handler.begin(200, kind, **headers)
        handler.wfile.write(body)

    return step


def completes(text: str, usage: Any = None, reason: str = "stop", **message: Any) -> Step:
    """A whole completion, whether or not a stream was asked for."""
    said = {"role": "assistant", "content": text, **message}
    choice = {"index": 0, "message": said, "finish_reason": reason}
    return sends(json.dumps({"choices": [choice], "usage": usage}).encode(), "application/json")


def forbids(step: Step, *names: str, status: int = 422) -> Step:
    """Refuses requests with these fields, naming one at a time, and answers others by a step."""

    def checked(handler: Handler) -> None:
        found = [name for name in names if name in handler.server.requests[-1][1]]
        if not found:
            step(handler)
            return
        handler.begin(status, "application/json")
        wrong = {"type": "extra_forbidden", "loc": ["body", found[0]], "msg": "Extra inputs"}
        handler.wfile.write(json.dumps({"detail": [wrong]}).encode())

    return checked
