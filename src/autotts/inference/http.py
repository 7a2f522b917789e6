"""One request to a model server, and what can become of it; asked again where that may help."""

import asyncio
import importlib.util
import json
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from autotts.errors import ServerError, SpecError
from autotts.inference.address import proxy_of, redact, retry_after
from autotts.inference.compression import ASKED_FOR, refused
from autotts.inference.limit import Limit
from autotts.inference.server import Tally
from autotts.text import clean, head
from autotts.untrusted import parse_json

if TYPE_CHECKING:
    import httpx2

Trouble = Literal["busy", "broken", "lost", "unsound"]
Json = Mapping[str, Any]
T = TypeVar("T")

_CONNECT_SECONDS = 30.0
_SHORT_SECONDS = 10.0
_MOST_BYTES = 64 << 20
_USUAL_BYTES = 1 << 20
_BYTES_PER_TOKEN = 8 << 10
"""Of a reply, where each token comes as an event of its own with its likeliest alternatives."""
_BYTES_PER_BYTE = 16
"""Of a list of token ids, for each byte of the text."""
_FEW_EVENTS, _BYTES_PER_EVENT = 1_000, 64
"""More events than a few have at least so many bytes each; smaller ones only take time."""
_DETAIL_BYTES = 400
_BUSY = frozenset({429, 503, 529})
_BROKEN = frozenset({408, 409, 425})

# Without a handler Python writes the retries to standard error, across a live display.
logging.getLogger("stamina").addHandler(logging.NullHandler())


class AskAgain(ServerError):
    """What may go better the next time.

    kind: "busy" (429, 503), "broken" (other errors of the server), "lost" (no whole reply came),
        "unsound" (a reply that can't be trusted).
    wait: seconds that the server asked to wait; 0 if it didn't say.
    """

    def __init__(self, kind: Trouble, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.kind = kind
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request is waited for, and how often it is sent.

    timeout_seconds: from sending it to its whole reply, waiting in the server's queue included.
    attempts: in all.
    first_wait_seconds, longest_wait_seconds: between attempts, doubling; a server's own wish is
        heeded.
    """

    timeout_seconds: float = 900.0
    attempts: int = 8
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 60.0


class Client:
    """Sends JSON to one server and reads JSON. Bound to the event loop that first uses it."""

    def __init__(
        self,
        root: str,
        *,
        key: str = "",
        at_once: int = 256,
        patience: Patience | None = None,
        interruptible: bool = True,
    ) -> None:
        """
        Args:
            root: the server's address, without /v1.
            key: sent with every request, and kept out of every message.
            at_once: most requests at a time.
            interruptible: whether what is cancelled has to end on the server at once, where a
                dialect can see to that.

        Raises:
            SpecError: the HTTP client or the retries are not installed.
        """
        for module in ("httpx2", "stamina"):
            if importlib.util.find_spec(module) is None:
                raise SpecError(f'a model server needs {module}: pip install "autotts[collect]"')
        self.root = root
        self.patience = patience or Patience()
        self.interruptible = interruptible
        self.limit = Limit(at_once)
        self.tally = Tally()
        self._secrets = {"OPENAI_API_KEY": key}
        self._headers = {
            **ASKED_FOR,
            **({"authorization": f"Bearer {key}"} if key else {}),
            "content-type": "application/json",
            "accept": "*/*",
            "user-agent": "autotts",
        }
        # One connection each: a pool asks the system about all of its own for every request, and
        # with 64 of them that is most of the time that a request takes.
        self._transports: list[httpx2.AsyncBaseTransport] = []
        self._free: list[httpx2.AsyncBaseTransport] = []
        self._proxy = proxy_of(root)
        self._trusted: ssl.SSLContext | None = None
        self._urls: dict[str, httpx2.URL] = {}

    async def aclose(self) -> None:
        for transport in self._transports:
            await transport.aclose()

    async def get(self, path: str) -> Any:
        """What a server says of itself, once.

        Raises:
            ServerError: nothing that can be read.
        """
        return self._judged(path, *await self._exchange("GET", path, None, _SHORT_SECONDS))

    async def post(self, path: str, payload: Json) -> Any:
        """One request, sent once and at once.

        Returns:
            Its JSON; of a stream of events, the JSON of each.

        Raises:
            ServerError: there is no reply in JSON; `AskAgain` where another attempt may have one.
        """
        seconds = self.patience.timeout_seconds
        return self._judged(path, *await self._exchange("POST", path, payload, seconds))

    async def tell(self, path: str, payload: Json) -> None:
        """One request whose reply says nothing.

        Raises:
            ServerError: it was not taken.
        """
        status, headers, body = await self._exchange("POST", path, payload, _SHORT_SECONDS)
        if not 200 <= status < 300:
            self._judged(path, status, headers, body)

    async def insist(
        self, attempt: Callable[[], Awaitable[T]], *, accept: Collection[Trouble] = ()
    ) -> T:
        """What an attempt gives, made again while that may help, each in its turn.

        Args:
            accept: troubles that are the answer, as to a question whether something works.

        Raises:
            ServerError: it never went well.
        """
        import stamina

        patience = self.patience
        try:
            return await self._in_turn(attempt)
        except AskAgain as error:
            first: AskAgain | None = error  # as stamina's first attempt, which takes as long
        retries = stamina.retry_context(
            on=lambda error: self._again(error, accept),
            attempts=patience.attempts,
            timeout=None,
            wait_initial=patience.first_wait_seconds,
            wait_max=patience.longest_wait_seconds,
            wait_jitter=patience.first_wait_seconds,
        )
        try:
            async for retry in retries:
                with retry:
                    if first is not None:
                        failed, first = first, None
                        raise failed
                    return await self._in_turn(attempt)
        except AskAgain as error:
            times = "" if error.kind in accept else f", {patience.attempts} times"
            raise AskAgain(error.kind, f"{self.root}: {error}{times}") from error
        raise AssertionError("stamina raises what the last attempt raised")

    async def _in_turn(self, attempt: Callable[[], Awaitable[T]]) -> T:
        async with self.limit as round_:
            try:
                result = await attempt()
            except AskAgain as error:
                if error.kind == "busy":
                    self.limit.busy(round_)
                raise
        self.limit.well()
        return result

    def _again(self, error: Exception, accept: Collection[Trouble]) -> bool | float:
        """Whether to try again, or after how long."""
        if not isinstance(error, AskAgain) or error.kind in accept:
            return False
        self.tally.retried[error.kind] = self.tally.retried.get(error.kind, 0) + 1
        return error.wait or True

    async def _exchange(
        self, method: str, path: str, payload: Json | None, seconds: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers by name in lower case, and body of a reply that came whole."""
        import httpx2

        content = b"" if payload is None else json.dumps(payload).encode()
        most = _most_bytes(payload, len(content))
        self.tally.requests += 1
        transport = self._free.pop() if self._free else self._another()
        try:
            async with asyncio.timeout(seconds):
                return await self._read(transport, method, path, content, most)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise self._lost(f"no whole reply within {seconds:g} s") from error
        except httpx2.DecodingError as error:
            raise self._error("unsound", f"its compression is broken: {error}") from error
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            raise self._lost(f"{type(error).__name__}: {error}") from error
        finally:
            self._free.append(transport)

    async def _read(
        self,
        transport: "httpx2.AsyncBaseTransport",
        method: str,
        path: str,
        content: bytes,
        most_bytes: int,
    ) -> tuple[int, Mapping[str, str], bytes]:
        import httpx2

        # By the transport alone: a client's cookies, redirects and hooks, which nobody wants here,
        # take as long as all the rest of a request.
        if path not in self._urls:
            self._urls[path] = httpx2.URL(self.root + path)
        timeouts = {"timeout": {"connect": _CONNECT_SECONDS}}
        request = httpx2.Request(
            method,
            self._urls[path],
            content=content or None,
            headers=self._headers,
            extensions=timeouts,
        )
        response = await transport.handle_async_request(request)
        body = bytearray()
        try:
            if packed := refused(response.headers):
                raise self._error("unsound", f"a reply compressed by {packed}, which isn't read")
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > most_bytes:
                    raise self._error("unsound", f"a reply of over {most_bytes:,} bytes")
        finally:
            await response.aclose()
        said = {str(name).lower(): str(value) for name, value in response.headers.items()}
        return response.status_code, said, bytes(body)

    def _another(self) -> "httpx2.AsyncBaseTransport":
        """A connection more."""
        import httpx2

        from autotts.inference.direct import DirectTransport

        transport: httpx2.AsyncBaseTransport
        if self._proxy or not self.root.lower().startswith("http:"):
            if self._trusted is None:
                self._trusted = httpx2.create_ssl_context()  # takes 50 ms
            transport = httpx2.AsyncHTTPTransport(
                verify=self._trusted,
                proxy=self._proxy or None,
                limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
            )
        else:
            transport = DirectTransport(_CONNECT_SECONDS)
        self._transports.append(transport)
        return transport

    def _judged(self, path: str, status: int, headers: Mapping[str, str], body: bytes) -> Any:
        """The JSON of a reply that is one."""
        streamed = headers.get("content-type", "").startswith("text/event-stream")
        try:
            value: Any = _events(body) if streamed else parse_json(body, most_bytes=_MOST_BYTES)
        except ValueError as error:
            if 200 <= status < 300:
                raise self._error("unsound", f"the reply is no JSON: {error}") from error
            value = None
        last = value[-1] if streamed and value else value
        complaint = last.get("error") if isinstance(last, dict) else None
        if 200 <= status < 300 and not complaint:
            return value
        words = f"HTTP {status}: {_words(last, body)}"
        if 200 <= status < 300:
            code = complaint.get("code") if isinstance(complaint, dict) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
        if status in _BUSY:
            raise self._error("busy", words, retry_after(headers))
        if status in _BROKEN or status >= 500:
            raise self._error("broken", words)
        if status in (401, 403):
            words += "; the key is taken from OPENAI_API_KEY"
        raise ServerError(self._telling(f"{words} (asked {self.root}{path})"))

    def _lost(self, words: str) -> AskAgain:
        return self._error("lost", words)

    def _error(self, kind: Trouble, words: str, wait: float = 0.0) -> AskAgain:
        return AskAgain(kind, self._telling(words), wait)

    def _telling(self, words: str) -> str:
        return head(clean(redact(words, self._secrets)), _DETAIL_BYTES)


def _most_bytes(payload: Json | None, sent: int) -> int:
    """Bytes that a reply may have, by what was asked for.

    A server that sends more than it was asked for would cost minutes, and gigabytes, to read.
    """
    tokens = payload.get("max_tokens", 0) if payload else 0
    return min(_MOST_BYTES, _USUAL_BYTES + _BYTES_PER_TOKEN * tokens + _BYTES_PER_BYTE * sent)


_EVENT = re.compile(rb"(?:\A|[\r\n])(?:data|error):([^\r\n]*)")


def _events(body: bytes) -> list[Any]:
    """The JSON of each event of a stream, up to the first that is an error.

    Raises:
        ValueError: one is no JSON, or there are more than any server sends.
    """
    events: list[Any] = []
    most = _FEW_EVENTS + len(body) // _BYTES_PER_EVENT
    for found in _EVENT.finditer(body):
        if len(events) == most:
            raise ValueError(f"over {most:,} events in {len(body):,} bytes")
        data = found[1].strip()
        if data != b"[DONE]":
            events.append(parse_json(data))
            if isinstance(events[-1], dict) and events[-1].get("error"):
                break
    return events


def _words(value: Any, body: bytes) -> str:
    """What an error says of itself."""
    if isinstance(value, dict):
        said = value.get("error") or value.get("detail") or value.get("message") or value
        if isinstance(said, dict):
            said = said.get("message") or said
        return said if isinstance(said, str) else json.dumps(said)
    return " ".join(body[:_DETAIL_BYTES].decode("utf-8", "replace").split()) or "nothing said"
