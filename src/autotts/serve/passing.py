"""Requests that are not for votes, passed on to an upstream untouched, and its replies back."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import Response, StreamingResponse

from autotts.errors import ServerError
from autotts.inference.address import proxy_of

_SECONDS = 900.0
_KEPT = ("content-type", "retry-after")


class PassedOn:
    """Passes requests on to one upstream, under the upstream's own key."""

    def __init__(self, root: str, key: str) -> None:
        """
        Args:
            root: the upstream's address, without /v1.
        """
        self._root, self._key = root, key

    async def reply(self, path: str, body: Mapping[str, Any]) -> Response:
        """The upstream's reply to the same body; streamed, if it streams.

        Raises:
            ServerError: it gives none.
        """
        import httpx2

        transport = httpx2.AsyncHTTPTransport(proxy=proxy_of(self._root) or None)
        client = httpx2.AsyncClient(transport=transport, timeout=_SECONDS)
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            asked = client.build_request("POST", self._root + path, json=body, headers=headers)
            given = await client.send(asked, stream=True)
        except (httpx2.HTTPError, OSError) as error:
            await client.aclose()
            raise ServerError(f"{self._root}: {type(error).__name__}: {error}") from error

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in given.aiter_bytes():
                    yield piece
            finally:
                await given.aclose()
                await client.aclose()

        kept = {name: given.headers[name] for name in _KEPT if name in given.headers}
        return StreamingResponse(pieces(), given.status_code, kept)
