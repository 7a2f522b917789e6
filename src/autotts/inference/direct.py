"""One connection to a server, kept open: HTTP/1.1 over a socket, without TLS or a proxy.

What a request takes of the processor, a server on this machine lacks for decoding. The transport of
the HTTP client takes twice as much, most of it to look after connections that are one here, and it
sends a request's head and body apart, which wakes a server twice.
"""

import asyncio
import ipaddress
import select
from collections.abc import AsyncIterator

import h11
import httpx2

_PIECE_BYTES = 64 << 10
_HEAD_BYTES = 100 << 10
"""Of a reply's headers, and of a line that tells the size of a chunk."""

_NEXT_ADDRESS_SECONDS = 0.25
"""After which a host's next address is tried beside the first, which may swallow all (RFC 8305)."""

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class DirectTransport(httpx2.AsyncBaseTransport):
    """Sends one request at a time, each to the same server."""

    def __init__(self, connect_seconds: float) -> None:
        self._connect_seconds = connect_seconds
        self._open: _Streams | None = None
        self._http = h11.Connection(h11.CLIENT)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See `httpx2.AsyncBaseTransport`. The next request may be sent when the reply is closed.

        Raises:
            httpx2.TransportError: no reply begins.
        """
        if not self._usable():
            await self._connect(request.url)
        try:
            self._send(request)
            while not isinstance(event := await self._event(), h11.Response):
                pass  # a server may say first that it is going on
        except BaseException:
            self._drop()
            raise
        return httpx2.Response(
            event.status_code, headers=event.headers.raw_items(), stream=_Body(self)
        )

    async def aclose(self) -> None:
        self._drop()
        await asyncio.sleep(0)  # then the socket is closed

    def _usable(self) -> bool:
        """Whether there is a connection that the server has not closed meanwhile."""
        if self._open is None:
            return False
        reader, writer = self._open
        if reader.at_eof() or writer.is_closing():
            return False
        # What can be read between two replies is the end, which the event loop has not seen yet.
        poll = select.poll()
        poll.register(writer.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    async def _connect(self, url: httpx2.URL) -> None:
        self._drop()
        # A race of addresses that is cancelled as one of them wins loses its socket, unclosed.
        opening = asyncio.create_task(self._opened(url.raw_host.decode(), url.port or 80))
        try:
            self._open = await asyncio.shield(opening)
        except TimeoutError as error:
            raise httpx2.ConnectTimeout(f"no connection in {self._connect_seconds:g} s") from error
        except (OSError, UnicodeError) as error:
            raise httpx2.ConnectError(str(error)) from error
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)

    async def _opened(self, host: str, port: int) -> _Streams:
        delay = None if _is_address(host) else _NEXT_ADDRESS_SECONDS
        async with asyncio.timeout(self._connect_seconds):
            return await asyncio.open_connection(host, port, happy_eyeballs_delay=delay)

    def _send(self, request: httpx2.Request) -> None:
        assert self._open is not None
        head = h11.Request(
            method=request.method, target=request.url.raw_path, headers=request.headers.raw
        )
        events = head, h11.Data(data=request.content), h11.EndOfMessage()
        try:
            self._open[1].write(b"".join(self._http.send(event) or b"" for event in events))
        except h11.LocalProtocolError as error:
            raise httpx2.LocalProtocolError(str(error)) from error

    async def _event(self) -> object:
        """What comes next of a reply, as h11 has it."""
        assert self._open is not None
        try:
            while True:
                event = self._http.next_event()
                if event is not h11.NEED_DATA:
                    return event
                piece = await self._open[0].read(_PIECE_BYTES)
                if not piece and self._http.their_state is h11.SEND_RESPONSE:
                    raise httpx2.RemoteProtocolError("the connection was closed without a reply")
                self._http.receive_data(piece)
        except h11.RemoteProtocolError as error:
            raise httpx2.RemoteProtocolError(str(error)) from error
        except OSError as error:
            raise httpx2.ReadError(str(error)) from error

    async def _body(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._event(), h11.Data):
            yield bytes(event.data)

    def _done(self) -> None:
        """Make room for the next request, on this connection if the reply came whole."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self._drop()

    def _drop(self) -> None:
        """Close the connection at once: a server may stop what it does for nobody."""
        if self._open is not None:
            self._open[1].transport.abort()
            self._open = None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _close(opening: asyncio.Task[_Streams]) -> None:
    """Close a connection that nobody waits for any more, if it came."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[1].transport.abort()


class _Body(httpx2.AsyncByteStream):
    """The body of the reply that a connection reads."""

    def __init__(self, connection: DirectTransport) -> None:
        self._connection = connection

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._connection._body()

    async def aclose(self) -> None:
        self._connection._done()
