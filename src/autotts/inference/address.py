"""Where a model's server is, with what key, by which proxy, and how long it asks to wait."""

import ipaddress
import os
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from autotts.errors import SpecError

LONGEST_WAIT_SECONDS = 120.0


def check_address(url: str, name: str = "base_url", asker: str = "explorer chat") -> str:
    """The address of a server, as it will be asked.

    Args:
        name: what the address was given as.
        asker: whose error it is.

    Raises:
        SpecError: it is none; the message has what would work.
    """

    def wrong(reason: str) -> SpecError:
        return SpecError(f"{asker}: {name}={url!r} {reason}")

    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise wrong("has spaces in it; leave them out")
    if not re.match(r"https?://", url, re.I):
        if re.match(r"[a-z][a-z+.-]*://", url, re.I):
            raise wrong("is no address of HTTP; need http:// or https://")
        raise wrong(f"has no scheme; do you mean http://{url.lstrip(':/')} ?")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise wrong(f"can't be read: {error}") from error
    if not host:
        raise wrong("names no server")
    if parts.username is not None:
        raise SpecError(f"{asker}: no key in {name}, it is recorded; use the environment")
    for end in ("/chat/completions", "/completions", "/messages"):
        path = parts.path.rstrip("/")
        if path.endswith(end):
            short = urlunsplit(parts._replace(path=path.removesuffix(end)))
            raise wrong(f"is the address of one call; leave out {end}: {short}")
    if parts.query or parts.fragment:
        raise wrong("has something after its path; leave out what begins with ? or #")
    return url.rstrip("/")


def proxy_of(url: str) -> str:
    """The proxy that the environment names for an address, "" if none; a server on this machine is
    asked without one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(parts.netloc):
        return ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme.lower()) or proxies.get("all") or ""
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address."""
    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def read_key(name: str, asker: str = "explorer chat") -> str:
    """A key from the environment; "" if there is none.

    Raises:
        SpecError: it can't be sent.
    """
    key = os.environ.get(name, "").strip()
    if not key.isascii() or not key.isprintable():
        raise SpecError(f"{asker}: the key in {name} has characters that no key has")
    return key


def redact(text: str, secrets: Mapping[str, str]) -> str:
    """A text without the values of secrets, which servers and agents may repeat."""
    for name, value in secrets.items():
        if value:
            text = text.replace(value, f"[{name}]")
    return text


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait, 0 if it does not say."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        return min(seconds, LONGEST_WAIT_SECONDS) if seconds > 0 else 0.0
    try:
        until = parsedate_to_datetime(headers.get("retry-after", ""))
        return min(max(0.0, until.timestamp() - time.time()), LONGEST_WAIT_SECONDS)
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0
