"""How a service listens: clients that take for ever to say what they want are let go."""

import asyncio
from typing import Any

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


class _PatientProtocol(H11Protocol):
    """A connection that is closed if it is found twice within the head of one request.

    uvicorn itself waits for a head for ever, and each client that sends none keeps a file open.
    """

    seconds = HEAD_SECONDS
    _looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look_again(found=False)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def _look_again(self, *, found: bool) -> None:
        self._looking = self.loop.call_later(self.seconds, self._look, found)

    def _look(self, found_before: bool) -> None:
        # Between two requests uvicorn closes what is silent; before the first it does not.
        begun = self.cycle is None or bool(self.conn.trailing_data[0])
        found = begun and self.conn.their_state is h11.IDLE
        if found and found_before:
            self.transport.close()
        else:
            self._look_again(found=found)
