"""Where a fleet's model servers are: a list, a file that is read again, or a service's machines.

http://host:8000            one server
@servers.txt                a file with a URL a line, read again each time somebody asks
dns+http://service:8000     each address that the name has now, as a headless Kubernetes
                            service has one for each of its pods
"""

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from autotts.errors import SpecError

_DNS = "dns+"
_LEFT_OUT_SECONDS = 60.0


def urls_of(named: Sequence[str]) -> list[str]:
    """The servers that are meant now, each once.

    Raises:
        SpecError: a file can't be read, or a name has no address.
    """
    found: dict[str, None] = {}
    for name in named:
        if name.startswith("@"):
            found |= dict.fromkeys(_in_file(Path(name[1:])))
        elif name.startswith(_DNS):
            found |= dict.fromkeys(_behind(name.removeprefix(_DNS)))
        else:
            found[name] = None
    return list(found)


def _in_file(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise SpecError(f"--server @{path}: it can't be read: {error}") from error
    stripped = (line.partition("#")[0].strip() for line in lines)
    return [line for line in stripped if line]


def _behind(url: str) -> list[str]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SpecError(f"--server {_DNS}{url}: {error}") from error
    hosts = sorted({str(address[0]) for *_, address in found})
    named = [f"[{host}]" if ":" in host else host for host in hosts]
    return [urlunsplit(parts._replace(netloc=f"{host}:{port}")) for host in named]


class Endpoints:
    """Servers that take turns. One that doesn't answer is left out for a minute."""

    def __init__(
        self,
        named: Sequence[str],
        first: int = 0,
        *,
        left_out_seconds: float = _LEFT_OUT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            named: as `urls_of` takes them.
            first: whose turn it is first, so that workers begin with different ones.
        """
        self._named = named
        self._turn = first
        self._seconds = left_out_seconds
        self._clock = clock
        self._left_out: dict[str, float] = {}

    def next(self) -> str | None:
        """The next server that is not left out; None if all of them are.

        Raises:
            SpecError: as `urls_of`.
        """
        now = self._clock()
        there = [url for url in urls_of(self._named) if self._left_out.get(url, 0.0) <= now]
        if not there:
            return None
        self._turn += 1
        return there[(self._turn - 1) % len(there)]

    def leave_out(self, url: str) -> None:
        """Give a server no turn for a while."""
        self._left_out[url] = self._clock() + self._seconds
