"""One kept connection: what it sends, how it reads, and when it is let go of."""

import asyncio
import contextlib
import gc
import gzip
import random
import socket
import warnings
from collections.abc import Awaitable, Callable

import pytest

httpx2 = pytest.importorskip("httpx2", reason="the extra `collect` is not installed")

from autotts.inference.direct import DirectTransport  # noqa: E402

BODY = b'{"tokens": [1, 2, 3]}'
PACKED = gzip.compress(BODY)
LENGTH = b"content-length: %d\r\n" % len(BODY)
WHOLE = b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY

Ask = Callable[[], Awaitable["httpx2.Response"]]


def talk(replies: list[bytes], use: Callable[[Ask, list[list[bytes]]], Awaitable[None]]) -> None:
    """Use a transport whose server says one reply after the other, and closes at an empty one.

    Args:
        use: given what asks, and by connection what the server got each time it read.
    """
    heard: list[list[bytes]] = []
    left = list(replies)
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append([])
        writers.append(writer)
        while got := await reader.read(1 << 16):
            heard[-1].append(got)
            said = left.pop(0)
            writer.write(said)
            if not said.endswith((BODY, PACKED, b"\n")):
                break
        heard[-1].append(b"")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = httpx2.URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/x?y")
        transport = DirectTransport(5.0)

        async def ask() -> httpx2.Response:
            request = httpx2.Request("POST", url, content=b"asked", headers={"a": "b"})
            response = await transport.handle_async_request(request)
            try:
                await response.aread()
            finally:
                await response.aclose()
            return response

        try:
            await use(ask, heard)
        finally:
            await transport.aclose()
            server.close()
            for writer in writers:
                writer.close()
            await asyncio.sleep(0.01)

    asyncio.run(run())


def test_a_request_goes_out_in_one_piece_and_its_connection_is_kept():
    async def use(ask, heard):
        for _ in range(3):
            response = await ask()
            assert (response.status_code, response.json()) == (200, {"tokens": [1, 2, 3]})
        (connection,) = heard
        assert len(connection) == 3
        assert all(got.startswith(b"POST /v1/x?y HTTP/1.1\r\n") for got in connection)
        assert all(got.endswith(b"\r\n\r\nasked") for got in connection)

    talk([WHOLE] * 3, use)


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
READ = {
    "chunks": CHUNKED % (len(BODY), BODY),
    "after it said that it goes on": b"HTTP/1.1 102 Processing\r\n\r\n" + WHOLE,
    "to the end of the connection": b"HTTP/1.0 200 OK\r\n\r\n" + BODY + b" ",
    "compressed": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%s"
    % (len(PACKED), PACKED),
}


@pytest.mark.parametrize("name", READ)
def test_a_reply_is_read_however_it_comes_and_so_is_the_next(name):
    async def use(ask, heard):
        assert (await ask()).json() == {"tokens": [1, 2, 3]}
        assert (await ask()).json() == {"tokens": [1, 2, 3]}

    talk([READ[name], WHOLE], use)


BROKEN = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "half a body": WHOLE[:-3],
    "no HTTP": b"\x16\x03\x01 hello",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\n\r\n.",
    "headers without end": b"HTTP/1.1 200 OK\r\na: " + b"b" * 200_000,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_reply_that_breaks_is_an_error_and_the_next_comes_by_another_connection(name):
    async def use(ask, heard):
        with pytest.raises(httpx2.TransportError):
            await ask()
        assert (await ask()).json() == {"tokens": [1, 2, 3]}
        assert len(heard) == 2

    talk([BROKEN[name], WHOLE], use)


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again():
    async def use(ask, heard):
        assert (await ask()).json() == {}
        while heard[0][-1]:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        assert (await ask()).json() == {"tokens": [1, 2, 3]}
        assert len(heard) == 2

    talk([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", WHOLE], use)


def test_who_is_cancelled_hangs_up_at_once():
    async def use(ask, heard):
        task = asyncio.create_task(ask())
        while not heard or not heard[0]:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            while heard[0][-1]:
                await asyncio.sleep(0.01)

    talk([b"HTTP/1.1 100 Continue\r\n\r\n"], use)


def test_nobody_there_is_said():
    async def run():
        transport = DirectTransport(5.0)
        with pytest.raises(httpx2.ConnectError):
            await transport.handle_async_request(httpx2.Request("GET", "http://127.0.0.1:1/"))

    asyncio.run(run())


def test_an_address_that_swallows_everything_holds_up_only_briefly(monkeypatch):
    """As the IPv6 one of many hosts does: nothing is refused, and nothing ever comes."""
    with contextlib.ExitStack() as held:
        deaf = held.enter_context(socket.socket())
        deaf.bind(("127.0.0.2", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        for _ in range(3):  # what waits to be accepted; packets of any more are dropped
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.2", port))

        async def use(transport: DirectTransport) -> float:
            async def serve(reader, writer) -> None:
                await reader.readuntil(b"asked")
                writer.write(WHOLE)
                writer.close()
                await writer.wait_closed()

            server = await asyncio.start_server(serve, "127.0.0.1", port)
            loop = asyncio.get_running_loop()

            async def addresses(host: str, *_: object, **__: object) -> list[object]:
                kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
                return [(*kind, (each, port)) for each in ("127.0.0.2", "127.0.0.1")]

            monkeypatch.setattr(loop, "getaddrinfo", addresses)
            began = loop.time()
            url = httpx2.URL(f"http://two.example:{port}/")
            response = await transport.handle_async_request(
                httpx2.Request("POST", url, content=b"asked")
            )
            assert await response.aread() == BODY
            took = loop.time() - began
            await response.aclose()
            await transport.aclose()
            server.close()
            await asyncio.sleep(0.01)
            return took

        assert asyncio.run(use(DirectTransport(5.0))) < 4


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_whoever_gives_up_while_it_connects_leaves_no_socket(host):
    """Python's race of addresses loses the socket of a winner that is cancelled meanwhile."""
    rng = random.Random(0)

    async def run() -> int:
        async def refuse(_: object, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async def give_up() -> None:
            transport = DirectTransport(5.0)
            with contextlib.suppress(TimeoutError, httpx2.TransportError):
                async with asyncio.timeout(0.002 * rng.random()):
                    await transport.handle_async_request(httpx2.Request("GET", url))
            await transport.aclose()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        url = f"http://{host}:{server.sockets[0].getsockname()[1]}/"
        for _ in range(20):
            await asyncio.gather(*(give_up() for _ in range(20)))
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.01)
        server.close()
        gc.collect()
        return sum("socket" in str(each.message) for each in said)

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        assert asyncio.run(run()) == 0
