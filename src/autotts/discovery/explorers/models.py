"""Model servers for the chat explorer: one reply, and every way in which it can fail.

`OpenAIModel` speaks to any server with the chat-completions protocol, `AnthropicModel` to the
Anthropic API. Both return an `Outcome` and raise nothing that a server can cause: a failure is a
result, recorded like any other.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autotts.discovery.explorer import Record, Usage
from autotts.discovery.explorers.completions import Completion, read_completion
from autotts.discovery.explorers.transport import Response, Transport
from autotts.errors import SpecError
from autotts.inference.address import (
    LONGEST_WAIT_SECONDS,
    check_address,
    read_key,
    redact,
    retry_after,
)
from autotts.text import clean

Kind = Literal[
    "answered", "cut", "filtered", "refused",
    "empty", "busy", "failed", "timeout", "disconnected", "unreadable",
]  # fmt: skip
"""How a call ended. All but the first four may go better the next time."""

FINAL: frozenset[str] = frozenset({"answered", "cut", "filtered", "refused"})
LEFT_OUT = ("seed", "stream", "stream_options", "temperature", "max_tokens")
"""Fields of a request that a server can do without."""
_UNCHOSEN = ("seed", "stream_options")
"""Those that nobody asked for."""
_OPENAI, _ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com"
_DETAIL_BYTES = 500
_BYTES_PER_TOKEN = 3
"""Fewer than text has, so that a count from it is rather too large."""
_TEMPLATE_TOKENS = 64
"""What a server adds to the messages, about."""
_UNCOUNTED_TOKENS = 100_000
"""By how much a server's count may exceed what can be seen: prompts and thinking of its own."""
_BYTES_PER_REPLY, _BYTES_PER_REPLY_TOKEN = 1_000_000, 1_000
"""What a body may have; a stream takes some 300 bytes for a token."""
_LONGEST_TEXT = 2_000_000
_SHORTEST_SECRET = 8
"""Characters; shorter keys are words such as `none`, and replies may hold them."""
_CUT = ("length", "max_tokens", "model_length", "max_output_tokens")
_FILTERED = ("content_filter", "content_filtered", "refusal", "safety", "sensitive")
_NO_MONEY = ("insufficient_quota", "billing", "insufficient_balance")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one call.

    text: the reply, or as much of it as came.
    detail: what the server said of a failure; no keys in it.
    retry_after: seconds the server asked to wait; 0 if it did not say.
    size: bytes that came of the reply and of what the model thought aloud.
    input_tokens, output_tokens: as the server counted them; None where it did not, or not credibly.
    left_out: fields of the request that the server refused, and that were not sent again.
    """

    kind: Kind
    text: str = ""
    detail: str = ""
    retry_after: float = 0.0
    size: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    left_out: tuple[str, ...] = ()

    @property
    def reported(self) -> bool:
        """Whether the server counted the tokens; what it did not is estimated from the bytes."""
        return self.input_tokens is not None and self.output_tokens is not None

    def record(self) -> Record:
        return {
            "kind": self.kind,
            "text": self.text,
            "detail": self.detail,
            "retry_after": self.retry_after,
            "reported": self.reported,
            "left_out": list(self.left_out),
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: the messages in turns, user first, and what the reply may take.

    seconds: how long it may take, if that is shorter than the time-out; None without a limit.
    """

    messages: Sequence[tuple[str, str]]
    max_tokens: int
    temperature: float | None
    seed: int
    seconds: float | None = None

    @property
    def size(self) -> int:
        """Bytes of the messages."""
        return sum(len(text.encode(errors="replace")) for _, text in self.messages)

    @property
    def input_tokens(self) -> int:
        """An upper estimate from the bytes."""
        return _tokens(self.size) + _TEMPLATE_TOKENS


class Price(BaseModel):
    """US dollars per million tokens of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)

    def of(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


class Model(Protocol):
    """Sends a request and says what came of it."""

    def send(self, asked: Asked) -> Outcome: ...


def _tokens(size: int) -> int:
    """Tokens of so many bytes of text, rather too many."""
    return -(-size // _BYTES_PER_TOKEN)


def usage_of(outcome: Outcome, asked: Asked, price: Price | None) -> Usage:
    """What a call cost: what the server counted, and an estimate of what it did not.

    Only what was refused before it was read is free.
    """
    given, made = outcome.input_tokens, outcome.output_tokens
    unread = outcome.kind in ("busy", "failed", "refused") and not outcome.text
    if unread and not outcome.reported:
        return Usage(calls=1)
    if given is None:
        given = asked.input_tokens
    if made is None:
        # A server that was told a limit made no more.
        made = min(_tokens(outcome.size), asked.max_tokens)
    return Usage(1, given, made, None if price is None else price.of(given, made))


def read_price(path: Path, model: str) -> Price:
    """A model's price from a TOML table such as `["NAME"]`, `input = 1.25`, `output = 10`.

    Raises:
        SpecError: it can't be read, or doesn't have the model.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        if model not in table:
            raise SpecError(f"{path}: no price of {model!r}; it has {', '.join(table) or 'none'}")
        return Price.model_validate(table[model])
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}; need a price table") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise SpecError(f"{path}: {error}") from error


@dataclass(frozen=True, slots=True)
class Request:
    """How a server is asked, beside the messages.

    base_url: "" for the address in the environment, and without that the provider's own.
    omit: fields of `LEFT_OUT` that are not sent.
    extra: further fields of the body.
    """

    model: str
    base_url: str = ""
    timeout_seconds: float = 600.0
    omit: frozenset[str] = frozenset()
    extra: Record = field(default_factory=dict)


def openai_model(request: Request) -> "ServerModel":
    """A model behind the chat-completions protocol.

    Raises:
        SpecError: the HTTP client is not installed, the address or the environment's proxy is none,
            or the key of OpenAI itself is missing.
    """
    address = request.base_url or os.environ.get("OPENAI_BASE_URL", "").strip()
    key = read_key("OPENAI_API_KEY")
    if not address and not key:
        raise SpecError(
            "explorer chat needs OPENAI_API_KEY in the environment, or the address of a server"
            " that takes none: --base-url http://localhost:8000/v1"
        )
    # OpenAI's own models want the new name of the limit; many servers know the old one only.
    limits = ("max_tokens", "max_completion_tokens")
    return ServerModel(
        request,
        url=check_address(
            address or _OPENAI, "base_url" if request.base_url else "OPENAI_BASE_URL"
        ),
        path="/chat/completions",
        headers={"authorization": f"Bearer {key}"} if key else {},
        secrets={"OPENAI_API_KEY": key},
        limits=limits if address else limits[::-1],
    )


def anthropic_model(request: Request) -> "ServerModel":
    """A model of the Anthropic API.

    Raises:
        SpecError: as for `openai_model`.
    """
    address = request.base_url or os.environ.get("ANTHROPIC_BASE_URL", "").strip()
    key = read_key("ANTHROPIC_API_KEY")
    if not key:
        raise SpecError("explorer chat needs ANTHROPIC_API_KEY in the environment")
    name = "base_url" if request.base_url else "ANTHROPIC_BASE_URL"
    return ServerModel(
        replace(request, omit=request.omit | {"seed", "stream_options"}),
        url=check_address(address or _ANTHROPIC, name).removesuffix("/v1"),
        path="/v1/messages",
        headers={"x-api-key": key, "anthropic-version": "2023-06-01"},
        secrets={"ANTHROPIC_API_KEY": key},
        limits=("max_tokens",),
    )


class ServerModel:
    """A model behind HTTP. A field that the server refuses is not sent again."""

    def __init__(
        self,
        request: Request,
        *,
        url: str,
        path: str,
        headers: Mapping[str, str],
        secrets: Mapping[str, str],
        limits: tuple[str, ...],
    ) -> None:
        """
        Args:
            secrets: keys by name, kept out of all that is returned.
            limits: names of the field that limits the reply, the one to try first.
        """
        self._request = request
        self._omit = request.omit
        self._limits = limits
        self._address = url + path
        self._path = path
        self._headers = headers
        self._secrets = secrets
        self._server = Transport(url, request.timeout_seconds)

    def send(self, asked: Asked) -> Outcome:
        most_bytes = _BYTES_PER_REPLY + _BYTES_PER_REPLY_TOKEN * asked.max_tokens
        left_out: list[str] = []
        while True:
            fields = self._fields(asked)
            response = self._server.post(
                self._path, self._headers, fields, most_bytes=most_bytes, seconds=asked.seconds
            )
            named = _refused_fields(response)
            # A server may name one field and mean all that it doesn't know.
            others = _UNCHOSEN if named else ()
            refused = [n for n in named if n in fields] or [n for n in others if n in fields]
            if not refused:
                return replace(self._outcome(response, asked), left_out=tuple(left_out))
            # A request that was refused cost nothing.
            self._leave_out(refused)
            left_out += refused

    def _fields(self, asked: Asked) -> Record:
        """The body of the request."""
        omit, limit = self._omit, self._limits[0]
        fields: Record = {
            "model": self._request.model,
            "messages": [{"role": role, "content": text} for role, text in asked.messages],
        }
        if "max_tokens" not in omit:
            fields[limit] = asked.max_tokens
        if "seed" not in omit:
            fields["seed"] = asked.seed
        if "stream" not in omit:
            fields["stream"] = True
        if not {"stream", "stream_options"} & omit:
            fields["stream_options"] = {"include_usage": True}
        if asked.temperature is not None and "temperature" not in omit:
            fields["temperature"] = asked.temperature
        return {**fields, **self._request.extra}

    def _leave_out(self, names: Sequence[str]) -> None:
        limit, *others = self._limits
        if limit in names and others:
            self._limits = tuple(others)
        elif limit in names:
            self._omit |= {"max_tokens"}
        self._omit |= set(names) & set(LEFT_OUT) - {limit}

    def _outcome(self, response: Response, asked: Asked) -> Outcome:
        """What a response comes to, without keys and control characters."""
        said = read_completion(response.body)
        if not 200 <= response.status < 300:
            kind, detail = _of_status(response, said, self._address)
        else:
            kind, detail = _of_reply(response, said)
        detail = clean(redact(detail, self._secrets))[:_DETAIL_BYTES]
        if not 200 <= response.status < 300:
            return Outcome(kind, detail=detail, retry_after=retry_after(response.headers))
        long = {name: key for name, key in self._secrets.items() if len(key) >= _SHORTEST_SECRET}
        text = said.text
        if not text.strip() and kind == "answered":
            # Servers that take the whole reply for thinking.
            text = said.thinking
        text = redact(text[:_LONGEST_TEXT], long)
        size = len(said.text.encode()) + len(said.thinking.encode())
        most = asked.max_tokens + size
        return Outcome(
            kind,
            text=text,
            detail=detail,
            retry_after=retry_after(response.headers),
            size=size,
            input_tokens=_believed(said.input_tokens, asked.size, 1),
            output_tokens=_believed(said.output_tokens, most, min(size, 1)),
        )


def _of_reply(response: Response, said: Completion) -> tuple[Kind, str]:
    """How a call ended that HTTP calls a success, and what there is to say of it."""
    counted = said.input_tokens is not None and said.output_tokens is not None
    complete = bool(said.reason) or said.ended or counted
    if said.error:
        return _of_code(said.code), said.error
    if response.broke and not complete:
        return _KINDS[response.broke], response.detail
    if not said.events:
        words = _words(response.body)
        return "unreadable", f"the reply is no chat completion: {words or 'it is empty'}"
    if not complete:
        return "disconnected", "the stream ended before the reply did"
    reason = said.reason.lower()
    if reason in _CUT:
        return "cut", "the reply reached its length limit"
    if reason in _FILTERED:
        return "filtered", f"the server's filter stopped the reply {said.refusal}".strip()
    if reason == "error":
        return "failed", "the server says that the reply ended in an error"
    if not (said.text + said.thinking).strip():
        ended = f"the reply is empty and ended by {said.reason!r}" if said.reason else ""
        return "empty", said.refusal or ended
    return "answered", ""


_KINDS: dict[str, Kind] = {
    "timeout": "timeout",
    "disconnected": "disconnected",
    "unreadable": "unreadable",
    "failed": "failed",
}


def _of_status(response: Response, said: Completion, address: str) -> tuple[Kind, str]:
    """How a call ended that HTTP calls a failure, or that had no reply at all."""
    status = response.status
    if not status:
        return _KINDS[response.broke], response.detail
    words = f"HTTP {status}: {said.error or _words(response.body) or 'nothing said'}"
    if 300 <= status < 400:
        target = response.headers.get("location", "nowhere")
        return "refused", f"HTTP {status}: {address} redirects to {target}; ask that by --base-url"
    if status in (404, 405):
        words += f" (asked {address})"
    return _of_code(f"{status} {said.code}"), words


def _of_code(code: str) -> Kind:
    """What a server's error means: an HTTP status with words such as `rate_limit_exceeded`."""
    found = re.search(r"\b[1-5]\d\d\b", code)
    status = int(found[0]) if found else 500
    if any(word in code for word in _NO_MONEY):
        return "refused"
    if status == 429 or "rate_limit" in code:
        return "busy"
    return "failed" if status in (408, 409, 425) or status >= 500 else "refused"


_NAMES = {name: rf"\b{name}\b" for name in ("seed", "stream_options", "temperature")} | {
    "stream": r"\bstream(?:ing)?\b",
    "max_tokens": r"\bmax_tokens\b",
    "max_completion_tokens": r"\bmax_completion_tokens\b",
}
_UNKNOWN = re.compile(
    r"support|unknown|unrecogni|unexpected|extra|not permitted|not allowed|forbidden|additional"
    r"|invalid (?:field|argument|param)",
    re.I,
)


def _refused_fields(response: Response) -> list[str]:
    """Fields of the request that the server says it does not know.

    Of those that the user chose and of the limit it must say so; a wrong value is no reason to
    leave them out. The first limit it names is the one it refuses, the other what it wants.
    """
    if response.status not in (400, 422):
        return []
    words = read_completion(response.body).error or _words(response.body)
    found = {name: match.start() for name, p in _NAMES.items() if (match := re.search(p, words))}
    limits = [name for name in found if name.startswith("max_")]
    for name in sorted(limits, key=found.__getitem__)[1:]:
        del found[name]
    unknown = _UNKNOWN.search(words)
    return [n for n in found if unknown or n in (*_UNCHOSEN, "stream")]


def _words(body: bytes) -> str:
    """What a page or an odd body says, in one line."""
    text = body[:4_000].decode("utf-8", "replace")
    text = re.sub(r"<(style|script)\b.*?</\1>", " ", text, flags=re.S | re.I)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:_DETAIL_BYTES]


def _believed(count: int | None, most: int, least: int) -> int | None:
    """A server's count, if it can be one."""
    good = count is not None and least <= count <= most + _UNCOUNTED_TOKENS
    return count if good else None


def backoff(first: float) -> Iterator[float]:
    """Seconds to wait before each further attempt: doubling, up to the longest."""
    wait = first
    while True:
        yield min(wait, LONGEST_WAIT_SECONDS)
        wait *= 2
