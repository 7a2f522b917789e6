"""How a service listens: clients that take for ever to ask, or to read the reply, are let go."""

import asyncio
import socket
import struct
from typing import Any, NamedTuple

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 30.0
"""That a client has to say the head of a request, twice over at most."""

KEEP_ALIVE_SECONDS = 75
"""That a connection may be silent between two requests.

Clients such as openai and httpx drop a connection after 5 s of silence, the very seconds that
uvicorn waits by itself: a request sent just then would be lost.
"""


def listening_config(
    asgi: Any, *, head_seconds: float = HEAD_SECONDS, **options: Any
) -> uvicorn.Config:
    """How uvicorn serves an application: HTTP/1.1 alone, to clients that get on with it.

    Args:
        options: further ones of `uvicorn.Config`.
    """

    class Patient(_PatientProtocol):
        seconds = head_seconds

    return uvicorn.Config(
        asgi,
        http=Patient,
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        **options,
    )


_SENT_AHEAD_BYTES = 64 << 10
"""That the system takes for a client; left alone it takes megabytes, and nobody seems to read."""


class _PatientProtocol(H11Protocol):
    """A connection that is closed if it is found twice within the head of one request.

    uvicorn itself waits for a head for ever, and each client that sends none keeps a file open. So
    does one that reads no reply, and keeps the reply besides.
    """

    seconds = HEAD_SECONDS
    _looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENT_AHEAD_BYTES)
        self._look_again(_Seen())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def _look_again(self, seen: "_Seen") -> None:
        self._looking = self.loop.call_later(self.seconds, self._look, seen)

    def _look(self, before: "_Seen") -> None:
        # Between two requests uvicorn closes what is silent; before the first it does not.
        begun = self.cycle is None or bool(self.conn.trailing_data[0])
        in_head = begun and self.conn.their_state is h11.IDLE
        unread = self.transport.get_write_buffer_size()
        stuck = before.stuck + 1 if unread and unread == before.unread else 0
        if stuck == 2:
            # Closing would wait until all is read, and so would the system with its own part of it.
            connected = self.transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        elif in_head and before.in_head:
            self.transport.close()
        else:
            self._look_again(_Seen(in_head, unread, stuck))


class _Seen(NamedTuple):
    """What a look at a connection found.

    in_head: whether the head of a request was not whole.
    unread: bytes of replies that wait for the client.
    stuck: how often in a row they were as many as before.
    """

    in_head: bool = False
    unread: int = 0
    stuck: int = 0
