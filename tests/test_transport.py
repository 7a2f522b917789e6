"""Requests over real sockets: addresses, proxies, redirects, and replies that break."""

import gzip
import time

import pytest

import chat_server as served
from autotts.discovery.explorers.transport import Response, Transport
from autotts.errors import SpecError
from autotts.inference.address import check_address, is_loopback

pytest.importorskip("httpx2", reason="the extra `explorers` is not installed")

PROXIES = [f"{name}{end}" for name in ("HTTP", "HTTPS", "ALL", "NO") for end in ("_PROXY",)]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def post(url: str, timeout: float = 5.0, most_bytes: int = 10**6) -> Response:
    headers = {"authorization": "Bearer key"}
    return Transport(url, timeout).post("/chat", headers, {"a": "\ud800"}, most_bytes=most_bytes)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8000/v1", "no scheme; do you mean http://localhost:8000/v1"),
        ("//localhost:8000/v1", "do you mean http://localhost:8000/v1"),
        ("api.example.com", "do you mean http://api.example.com"),
        ("ftp://host/v1", "no address of HTTP"),
        (" http://host/v1", "spaces"),
        ("http://host/v1 ", "spaces"),
        ("http://ho st/v1", "spaces"),
        ("http://host/v1\n", "spaces"),
        ("http:///v1", "names no server"),
        ("http://host:port/v1", "can't be read"),
        ("http://host:99999/v1", "can't be read"),
        ("http://[::1/v1", "can't be read"),
        ("http://me:secret@host/v1", "no key in base_url"),
        ("http://host/v1/chat/completions", "leave out /chat/completions: http://host/v1"),
        ("http://host/v1/chat/completions/", "leave out /chat/completions"),
        ("http://host/v1?key=secret", r"begins with \? or #"),
    ],
)
def test_an_address_that_is_none_says_what_would_work(url: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        check_address(url)
    assert "secret" not in str(caught.value) or "?" in url


def test_a_good_address_is_left_alone() -> None:
    assert check_address("https://host:8/v1/") == "https://host:8/v1"
    assert check_address("HTTP://[::1]:8000") == "HTTP://[::1]:8000"


@pytest.mark.parametrize(
    ("host", "here"),
    [("localhost", True), ("LOCALHOST.", True), ("a.localhost", True), ("127.8.8.8", True),
     ("::1", True), ("0.0.0.0", True), ("::ffff:127.0.0.1", True), ("192.168.0.1", False),
     ("localhost.com", False), ("example.com", False)],
)  # fmt: skip
def test_this_machine_is_known_by_its_names(host: str, here: bool) -> None:
    assert is_loopback(host) == here


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "nonsense"])
def test_a_server_on_this_machine_is_asked_directly(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    with served.serving(served.says("Yes.")) as server:
        assert post(server.url).status == 200


def test_another_server_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with served.serving(served.says("Yes.")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        assert post("http://server.invalid/v1").status == 200
        assert proxy.requests[0][0]["Host"] == "server.invalid"
        monkeypatch.setenv("no_proxy", "server.invalid")
        assert post("http://server.invalid/v1").broke == "failed"


@pytest.mark.parametrize(
    "proxy", ["socks5://me:secret@proxy:1", "socks4://proxy:1", "http://proxy:port"]
)
def test_a_proxy_that_cannot_be_used_is_said_before_anything_is_sent(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        import socksio  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("the SOCKS client is installed")
    monkeypatch.setenv("all_proxy", proxy)
    with pytest.raises(SpecError, match="NO_PROXY") as caught:
        Transport("http://server.invalid/v1", 5.0)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("no_proxy", "server.invalid")
    Transport("http://server.invalid/v1", 5.0)


def redirects(status: int, location: str) -> served.Step:
    def step(handler: served.Handler) -> None:
        handler.begin(status, "text/plain", Location=location)

    return step


def test_no_key_is_taken_to_another_server() -> None:
    with served.serving(served.says("Yes.")) as other:
        moved = redirects(307, other.url + "/chat")
        with served.serving(moved) as server:
            assert post(server.url).status == 307
        assert other.requests == []
        port = other.server_address[1]
        with served.serving(redirects(302, f"http://localhost:{port}/v1/chat")) as server:
            assert post(server.url).status == 302
        assert other.requests == []


def test_a_redirect_within_the_server_is_followed() -> None:
    with served.serving(redirects(308, "/v2/chat"), served.says("Yes.")) as server:
        assert post(server.url).status == 200
        assert len(server.requests) == 2
    with served.serving(redirects(308, "/v2/chat")) as server:
        assert post(server.url).status == 308
        assert len(server.requests) < 5


def sends(body: bytes, pause: float = 0.0, **headers: str) -> served.Step:
    def step(handler: served.Handler) -> None:
        handler.begin(200, "text/event-stream", **headers)
        for at in range(0, len(body), 7 if pause else len(body)):
            handler.wfile.write(body[at : at + (7 if pause else len(body))])
            handler.wfile.flush()
            time.sleep(pause)

    return step


def test_compressed_replies_are_read_and_broken_ones_said() -> None:
    packed = gzip.compress(b"data: [DONE]\n\n")
    with served.serving(sends(packed, Content_Encoding="gzip")) as server:
        assert post(server.url).body == b"data: [DONE]\n\n"
    with served.serving(sends(b"no gzip", Content_Encoding="gzip")) as server:
        assert post(server.url).broke == "unreadable"


def test_replies_without_end_are_bounded() -> None:
    bomb = gzip.compress(b"\n" * 50_000_000)
    with served.serving(sends(bomb, Content_Encoding="gzip")) as server:
        response = post(server.url, most_bytes=1_000)
    assert response.broke == "unreadable"
    assert len(response.body) == 1_000


def test_a_reply_that_trickles_is_ended_by_the_time_out() -> None:
    with served.serving(sends(b": still here\n" * 1_000, pause=0.05)) as server:
        began = time.monotonic()
        response = post(server.url, timeout=0.5)
    assert response.broke == "timeout"
    assert response.body
    assert time.monotonic() - began < 3


def keeps_the_connection(handler: served.Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
    handler.event("[DONE]")
    time.sleep(3)


def stops_in_its_headers(handler: served.Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    handler.close_connection = True


def says_what_is_no_http(handler: served.Handler) -> None:
    handler.wfile.write(b"\x16\x03\x01 hello\r\n\r\n")
    handler.close_connection = True


def test_a_reply_ends_where_the_server_says_so() -> None:
    with served.serving(keeps_the_connection) as server:
        began = time.monotonic()
        assert post(server.url).broke == ""
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("step", [stops_in_its_headers, says_what_is_no_http])
def test_what_is_no_http_is_a_failure(step: served.Step) -> None:
    with served.serving(step) as server:
        assert post(server.url).broke == "failed"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://no.such.host.invalid", "http://a..b"]
)
def test_nobody_there_is_a_failure(url: str) -> None:
    assert post(url).broke == "failed"
