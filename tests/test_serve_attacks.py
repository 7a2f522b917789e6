"""Clients that want more of a service than they are given: one property a test."""

import asyncio
import gc
import select
import socket
import threading
import time
import weakref

import httpx2
import pytest

from autotts.cli import serve
from autotts.cli.app import _OBJECTS_BETWEEN_COLLECTIONS as RARELY
from autotts.serve.deployment import ServiceLimits
from autotts.serve.listening import listening_config
from autotts.serve.passing import PassedOn
from scripted_branches import ScriptedBranches
from toy_service import QUESTION, post, serving

PASSED = {"model": "toy", "messages": QUESTION, "n": 2}
"""What is passed on to the upstream."""


def test_paths_that_clients_make_up_are_not_kept():
    """Each would be a counter more, for ever, of clients that need not even have a key."""
    with serving(ScriptedBranches(), keys=["secret"]) as address:
        for k in range(30):
            httpx2.get(f"{address}/v1/models/{k}x")
        text = httpx2.get(f"{address}/metrics", headers={"authorization": "Bearer secret"}).text
    counters = [line for line in text.splitlines() if "requests_total{" in line]
    assert counters == [
        'autotts_requests_total{endpoint="/v1/models/{model:path}",status="401"} 30.0'
    ]


@pytest.mark.parametrize("limited", ["by the client", "by the operator", "by its cost"])
def test_many_prompts_in_one_request_share_its_budget(limited):
    """What a request may spend is no less a limit for being asked many times in one body."""
    limits = ServiceLimits(branch_tokens=400, total_tokens=600 * (limited == "by the operator"))
    asked = {
        "by the client": {"max_total_tokens": 600},
        "by the operator": {},
        "by its cost": {"max_cost": 600 * 10 / 1e6},
    }[limited]
    with serving(ScriptedBranches(), limits=limits) as address:
        reply = post(address, "/v1/completions", prompt=["6*7"] * 8, beta=1, **asked)
    accounts = reply.json()["usage"]["autotts"]
    assert len(accounts) == 8
    assert 0 < sum(one["total_tokens"] for one in accounts) <= 600


class Upstream:
    """An address where requests are read, and answered with some bytes when `go` is set."""

    def __init__(self, reply: bytes) -> None:
        self.reply, self.go, self.asked = reply, threading.Event(), 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        with one:
            self.content = one.recv(1 << 16)
            self.asked += 1
            self.go.wait(20)
            one.sendall(self.reply)

    def __enter__(self) -> "Upstream":
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._listening.close()


def replying(body: bytes, *headers: str) -> bytes:
    head = ["HTTP/1.1 200 OK", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def test_what_is_passed_on_waits_its_turn_too():
    """Else any number of requests would reach the upstream at once, past every limit."""
    limits = ServiceLimits(branch_tokens=400, requests=2, waiting=1)
    with (
        Upstream(replying(b"{}", "content-type: application/json")) as upstream,
        serving(ScriptedBranches(), limits=limits, passed_on=[PassedOn(upstream.address, "")]) as a,
    ):

        async def many():
            async with httpx2.AsyncClient(timeout=30) as client:
                tasks = [
                    asyncio.create_task(client.post(f"{a}/v1/chat/completions", json=PASSED))
                    for _ in range(6)
                ]
                while sum(task.done() for task in tasks) < 3 or upstream.asked < 2:
                    await asyncio.sleep(0.01)
                most = upstream.asked
                upstream.go.set()
                return most, [reply.status_code for reply in await asyncio.gather(*tasks)]

        most, statuses = asyncio.run(many())
        # Every turn is given back.
        again = [post(a, n=2).status_code for _ in range(3)]
    assert most == 2
    assert sorted(statuses) == [200] * 3 + [429] * 3
    assert again == [200] * 3


def test_who_leaves_gives_back_the_turn_of_what_is_passed_on():
    limits = ServiceLimits(branch_tokens=400, requests=1, waiting=0)
    with (
        Upstream(replying(b"{}", "content-type: application/json")) as upstream,
        serving(ScriptedBranches(), limits=limits, passed_on=[PassedOn(upstream.address, "")]) as a,
    ):
        with pytest.raises(httpx2.TimeoutException):
            httpx2.post(f"{a}/v1/chat/completions", json=PASSED, timeout=0.3)
        upstream.go.set()
        statuses = {post(a, n=2).status_code for _ in range(20)}
    assert 200 in statuses


def test_a_packed_reply_is_passed_on_packed():
    """Unpacked here it may be gigabytes; whoever asked may decide."""
    packed = replying(b"\x1f\x8bnot really", "content-encoding: gzip")
    with (
        Upstream(packed) as upstream,
        serving(ScriptedBranches(), passed_on=[PassedOn(upstream.address, "key")]) as address,
    ):
        upstream.go.set()
        with httpx2.stream("POST", f"{address}/v1/chat/completions", json=PASSED) as reply:
            content = b"".join(reply.iter_raw())
            assert reply.headers["content-encoding"] == "gzip"
        assert b"accept-encoding: identity" in upstream.content.lower()
    assert content == b"\x1f\x8bnot really"


@pytest.mark.parametrize(
    "said", [b"", b"GET /health HTT", b"GET /health HTTP/1.1\r\nhost: localhost\r\n"]
)
def test_who_never_says_what_it_wants_is_let_go(said):
    """Each would keep a connection open, until nobody else gets one."""
    with serving(ScriptedBranches(), head_seconds=0.1) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as slow:
            slow.sendall(said)
            assert slow.recv(100) == b""
        assert httpx2.get(f"{address}/health").status_code == 200


def test_a_body_that_trickles_is_not_waited_for():
    with serving(ScriptedBranches(), body_seconds=0.2, head_seconds=0.1) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as slow:
            head = (
                b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{"
            )
            slow.sendall(head)
            assert b" 408 " in slow.recv(100)


def test_a_long_reply_is_no_slow_request():
    server = ScriptedBranches(seconds=0.1)
    with serving(server, head_seconds=0.05) as address, httpx2.Client() as client:
        for _ in range(2):
            asked = {"messages": QUESTION, "beta": 0}
            assert client.post(f"{address}/v1/chat/completions", json=asked).status_code == 200


def test_who_never_reads_the_reply_is_let_go():
    """Nor is the reply kept for it; who reads slowly gets all of it."""
    page = "x" * 8_000_000
    with serving(ScriptedBranches(), head_seconds=0.1, page=page) as address:
        host, port = address.removeprefix("http://").split(":")
        asked = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        with socket.socket() as deaf, socket.socket() as slow:
            for each in (deaf, slow):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
                each.settimeout(5)
                each.connect((host, int(port)))
                each.sendall(asked)
            read, until = 0, time.monotonic() + 0.6
            while time.monotonic() < until:
                read += len(slow.recv(1 << 14))
                time.sleep(0.02)
            ended = select.poll()
            ended.register(deaf, 0)
            assert ended.poll(2_000)
            while got := slow.recv(1 << 20):
                read += len(got)
        assert read > len(page)
        assert httpx2.get(f"{address}/health").status_code == 200


def test_a_body_that_would_be_too_large_is_not_waited_for():
    with serving(ScriptedBranches()) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as sender:
            head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
            sender.sendall(head % 10**12)
            assert b" 413 " in sender.recv(100)


def test_what_clients_leave_behind_is_looked_for_as_python_does():
    """Commands hardly ever look for garbage; those who leave early fill a service with it."""
    usual, before = serve._USUAL_THRESHOLDS, gc.get_threshold()
    assert usual[0] < RARELY
    gc.set_threshold(RARELY)
    try:
        serve._collect_what_requests_leave()
        assert gc.get_threshold() == usual
        circle = weakref.WeakSet()
        for _ in range(200 * usual[0]):
            left = Circle()
            left.itself = left
            circle.add(left)
        assert len(circle) < 100 * usual[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


class Circle:
    """What nothing but itself refers to."""


def test_a_client_gives_up_a_silent_connection_before_the_service_does():
    """Else a request can be on its way while the connection is closed, and nobody answers it."""
    client_seconds = httpx2.Limits().keepalive_expiry
    assert listening_config(None).timeout_keep_alive > 2 * client_seconds


SMUGGLED = {
    "two lengths": b"content-length: 2\r\ncontent-length: 40\r\n",
    "both kinds": b"content-length: 2\r\ntransfer-encoding: chunked\r\n",
    "an odd length": b"content-length: +2\r\n",
    "a line in a name": b"x\x00y: 1\r\ncontent-length: 2\r\n",
    "a folded name": b"content-length : 2\r\n",
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_no_request_hides_in_another(name):
    """Where it ends must be one question with one answer, whoever stands before this service."""
    hidden = b"{}GET /v1/models/hidden HTTP/1.1\r\nhost: localhost\r\n\r\n"
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n" + SMUGGLED[name] + b"\r\n"
    with serving(ScriptedBranches()) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as smuggler:
            smuggler.sendall(head + hidden)
            smuggler.shutdown(socket.SHUT_WR)
            reply = b"".join(iter(lambda: smuggler.recv(1 << 16), b""))
    assert reply.startswith(b"HTTP/1.1 400")
    assert b"hidden" not in reply
    assert reply.count(b"HTTP/1.1") == 1
