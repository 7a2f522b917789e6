"""One request to a model's server over HTTP, and everything that can become of it.

What a server or the network does is a `Response`; only what is wrong with the address or the
environment, and known before anything is sent, is an error.
"""

import importlib.util
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autotts.errors import SpecError
from autotts.inference.address import proxy_of
from autotts.inference.compression import ASKED_FOR, refused

if TYPE_CHECKING:
    import httpx2

_CONNECT_SECONDS = 30.0
_REDIRECTS = 3
_DONE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]\s*$")


@dataclass(frozen=True, slots=True)
class Response:
    """What came back.

    status: of HTTP; 0 if none came.
    headers: by name in lower case.
    body: as far as it came.
    broke: what ended it: "" at its end, else "timeout", "disconnected", "failed", "unreadable".
    detail: how, in words.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    broke: str = ""
    detail: str = ""


class Transport:
    """Sends requests to one server."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        """
        Args:
            url: of the server, with a scheme; requests go below it.
            timeout_seconds: longest silence, and longest time from the first byte to the last.

        Raises:
            SpecError: see `client_of`.
        """
        self._url = url
        self._timeout = timeout_seconds
        self._client = client_of(url)

    def post(
        self,
        path: str,
        headers: Mapping[str, str],
        payload: Any,
        *,
        most_bytes: int,
        seconds: float | None = None,
    ) -> Response:
        """Send JSON, and read what comes.

        Args:
            most_bytes: of the reply; no more is read.
            seconds: as `timeout_seconds`, if that is shorter.
        """
        url = self._url + path
        content = json.dumps(payload).encode()
        headers = {**ASKED_FOR, **headers, "content-type": "application/json"}
        limit = self._timeout if seconds is None else max(0.001, min(seconds, self._timeout))
        for _ in range(_REDIRECTS):
            response = self._once(url, headers, content, limit, most_bytes)
            if not 300 <= response.status < 400:
                break
            target = _redirect(url, response.headers.get("location", ""))
            if target is None:
                break
            url = target
        return response

    def _once(
        self, url: str, headers: Mapping[str, str], content: bytes, limit: float, most_bytes: int
    ) -> Response:
        import httpx2

        timeout = httpx2.Timeout(limit, connect=min(limit, _CONNECT_SECONDS))
        body = bytearray()
        status, said = 0, dict[str, str]()
        broke, detail = "", ""
        try:
            with self._client.stream(
                "POST", url, content=content, headers=dict(headers), timeout=timeout
            ) as response:
                status, said = response.status_code, _headers(response.headers)
                began = time.monotonic()
                if packed := refused(said):
                    raise httpx2.DecodingError(f"{packed} is not read")
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > most_bytes:
                        broke, detail = "unreadable", f"the reply has over {most_bytes} bytes"
                        break
                    if _DONE.search(body, max(0, len(body) - 64)):
                        # The server may keep the connection.
                        break
                    if time.monotonic() - began > limit:
                        raise httpx2.ReadTimeout("the whole reply takes too long")
        except (httpx2.ConnectTimeout, httpx2.PoolTimeout):
            broke, detail = "failed", "no connection to the server in time"
        except httpx2.TimeoutException:
            broke, detail = "timeout", f"the server did not answer in time ({limit:g} s)"
        except httpx2.DecodingError as error:
            broke, detail = "unreadable", f"the reply's compression is broken: {error}"
        except (
            httpx2.HTTPError,
            httpx2.InvalidURL,
            httpx2.StreamError,
            OSError,
            ValueError,
        ) as error:
            broke = "disconnected" if status else "failed"
            detail = f"{type(error).__name__}: {error}"
        return Response(status, said, bytes(body[:most_bytes]), broke, detail)


def client_of(url: str) -> "httpx2.Client":
    """A client that goes through the proxy the environment names for this address, if any.

    Raises:
        SpecError: the HTTP client is not installed, or can't use the proxy of the environment.
    """
    if importlib.util.find_spec("httpx2") is None:
        raise SpecError('explorers that call a model need httpx2: pip install "autotts[explorers]"')
    import httpx2

    proxy = proxy_of(url)
    limits = httpx2.Limits(max_keepalive_connections=0)
    try:
        transport = httpx2.HTTPTransport(proxy=proxy or None, limits=limits)
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        scheme = proxy.partition("://")[0]
        if isinstance(error, ImportError):
            cure = 'pip install "httpx2[socks]", or name the server in NO_PROXY'
        else:
            cure = "it can be http, https, socks5 or socks5h; or name the server in NO_PROXY"
        raise SpecError(
            f"explorer chat: the environment asks for a proxy {scheme}://... for {url}: {cure}"
        ) from error
    return httpx2.Client(transport=transport)


def _redirect(url: str, location: str) -> str | None:
    """Where a redirect leads, if the key may be sent there: the same server, or the same by TLS."""
    import httpx2

    try:
        here, there = httpx2.URL(url), httpx2.URL(url).join(location)
    except (httpx2.InvalidURL, ValueError):
        return None
    same = here.scheme == there.scheme and here.port == there.port
    safer = (here.scheme, there.scheme) == ("http", "https") and (here.port, there.port) == (
        None,
        None,
    )
    good = location and here.host == there.host and (same or safer) and not there.userinfo
    return str(there) if good else None


def _headers(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}
