"""Requests that are not for votes, passed on to an upstream untouched, and its replies back."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from autotts.errors import ServerError
from autotts.inference.address import proxy_of

_SECONDS = 900.0
_KEPT = ("content-type", "content-encoding", "retry-after")


class PassedOn:
    """Passes requests on to one upstream, under the upstream's own key."""

    def __init__(self, root: str, key: str) -> None:
        """
        Args:
            root: the upstream's address, without /v1.
        """
        self._root, self._key = root, key

    async def reply(self, path: str, body: Mapping[str, Any], held: AsyncExitStack) -> Response:
        """The upstream's reply to the same body; streamed, if it streams.

        Args:
            held: what is given back when the reply has been sent, or can't be.

        Raises:
            ServerError: it gives none; nothing is given back then.
        """
        import httpx2

        transport = httpx2.AsyncHTTPTransport(proxy=proxy_of(self._root) or None)
        client = httpx2.AsyncClient(transport=transport, timeout=_SECONDS)
        held.push_async_callback(client.aclose)
        headers = {"accept-encoding": "identity"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        try:
            asked = client.build_request("POST", self._root + path, json=body, headers=headers)
            given = await client.send(asked, stream=True)
        except (httpx2.HTTPError, OSError) as error:
            raise ServerError(f"{self._root}: {type(error).__name__}: {error}") from error
        held.push_async_callback(given.aclose)
        kept = {name: given.headers[name] for name in _KEPT if name in given.headers}
        return _Passed(given.aiter_raw(), given.status_code, kept, held.pop_all())


class _Passed(StreamingResponse):
    """A reply that is sent on as it comes, and then gives back what it held, sent or not."""

    def __init__(
        self,
        content: AsyncIterator[bytes],
        status_code: int,
        headers: Mapping[str, str],
        held: AsyncExitStack,
    ) -> None:
        super().__init__(content, status_code, headers)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)
