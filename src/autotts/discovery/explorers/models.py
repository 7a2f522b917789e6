"""Model servers for the chat explorer: one streamed reply, and every way in which it can fail.

`OpenAIModel` speaks to any server with the chat-completions protocol, `AnthropicModel` to the
Anthropic API. Both return an `Outcome` and raise nothing that a server can cause: a failure is a
result, recorded like any other.
"""

import functools
import importlib.util
import math
import os
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autotts.discovery.explorer import Record, Usage
from autotts.errors import SpecError
from autotts.text import clean

Kind = Literal[
    "answered", "cut", "empty", "busy", "failed", "timeout", "disconnected", "unreadable", "refused"
]
"""How a call ended. All but `answered`, `cut` and `refused` may go better the next time."""

FINAL: frozenset[str] = frozenset({"answered", "cut", "refused"})
_DETAIL_BYTES = 500
_BYTES_PER_TOKEN = 3
"""Fewer than text has, so that a count from it is rather too large."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one call.

    text: the reply, or as much of it as came.
    detail: what the server said of a failure; no keys in it.
    retry_after: seconds the server asked to wait; 0 if it did not say.
    reported: whether the server counted the tokens; else they are estimated from the bytes.
    """

    kind: Kind
    text: str = ""
    detail: str = ""
    retry_after: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    reported: bool = False

    def record(self) -> Record:
        return {
            "kind": self.kind,
            "text": self.text,
            "detail": self.detail,
            "retry_after": self.retry_after,
            "reported": self.reported,
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: the messages in turns, user first, and what the reply may take."""

    messages: Sequence[tuple[str, str]]
    max_tokens: int
    temperature: float | None
    seed: int

    @property
    def input_tokens(self) -> int:
        """An upper estimate from the bytes."""
        return estimate_tokens("".join(text for _, text in self.messages)) + 64


class Price(BaseModel):
    """US dollars per million tokens of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    input: float = Field(ge=0)
    output: float = Field(ge=0)

    def of(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


class Model(Protocol):
    """Sends a request and says what came of it."""

    def send(self, asked: Asked) -> Outcome: ...


def estimate_tokens(text: str) -> int:
    """Tokens of a text, rather too many."""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def usage_of(outcome: Outcome, asked: Asked, price: Price | None) -> Usage:
    """What a call cost. Only what was refused before it was read is free."""
    if outcome.reported:
        given, made = outcome.input_tokens, outcome.output_tokens
    elif outcome.kind in ("busy", "failed", "refused") and not outcome.text:
        return Usage(calls=1)
    else:
        given, made = asked.input_tokens, estimate_tokens(outcome.text)
    return Usage(1, given, made, None if price is None else price.of(given, made))


def read_price(path: Path, model: str) -> Price:
    """A model's price from a TOML table such as `["NAME"]`, `input = 1.25`, `output = 10`.

    Raises:
        SpecError: it can't be read, or doesn't have the model.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        if model not in table:
            raise SpecError(f"{path}: no price of {model!r}; it has {', '.join(table) or 'none'}")
        return Price.model_validate(table[model])
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}; need a price table") from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise SpecError(f"{path}: {error}") from error


def redact(text: str, secrets: Mapping[str, str]) -> str:
    """A text without the values of secrets, which servers and agents may repeat."""
    for name, value in secrets.items():
        if value:
            text = text.replace(value, f"[{name}]")
    return text


def need_extra(package: str) -> None:
    """
    Raises:
        SpecError: the package of the extra is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise SpecError(f'explorer chat needs {package}: pip install "autotts[explorers]"')


class OpenAIModel:
    """A model behind the chat-completions protocol."""

    def __init__(self, model: str, base_url: str, timeout_seconds: float) -> None:
        """
        Args:
            base_url: "" for OPENAI_BASE_URL, and without that OpenAI itself.

        Raises:
            SpecError: the client is not installed, or the key of OpenAI itself is missing.
        """
        need_extra("openai")
        self._model = model
        self._base_url = base_url or os.environ.get("OPENAI_BASE_URL", "")
        self._timeout = timeout_seconds
        # OpenAI's own models want the new name of the limit; many servers know the old one only.
        self._limit = "max_tokens" if self._base_url else "max_completion_tokens"
        if not self._base_url and not os.environ.get("OPENAI_API_KEY"):
            raise SpecError(
                "explorer chat needs OPENAI_API_KEY in the environment, or the address of a server"
                " that takes none: --base-url http://localhost:8000/v1"
            )

    @functools.cached_property
    def _client(self) -> Any:
        import httpx2
        import openai

        return openai.OpenAI(
            # Servers of one's own take no key; the client wants one all the same.
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            base_url=self._base_url or None,
            timeout=httpx2.Timeout(self._timeout, connect=min(self._timeout, 30.0)),
            max_retries=0,
        )

    def send(self, asked: Asked) -> Outcome:
        import openai

        received = _Received(self._timeout)
        return _guarded(lambda: self._stream(asked, received), received, openai, "OPENAI_API_KEY")

    def _stream(self, asked: Asked, received: "_Received") -> None:
        options: dict[str, Any] = {self._limit: asked.max_tokens}
        if asked.temperature is not None:
            options["temperature"] = asked.temperature
        stream = self._client.chat.completions.create(
            model=self._model,
            messages=[{"role": role, "content": text} for role, text in asked.messages],
            seed=asked.seed,
            stream=True,
            stream_options={"include_usage": True},
            **options,
        )
        with stream:
            for chunk in stream:
                received.go_on()
                for choice in chunk.choices or ():
                    received.text.append((choice.delta and choice.delta.content) or "")
                    received.reason = choice.finish_reason or received.reason
                if chunk.usage is not None:
                    received.tokens = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        received.cut = received.reason == "length"


class AnthropicModel:
    """A model of the Anthropic API."""

    def __init__(self, model: str, base_url: str, timeout_seconds: float) -> None:
        """
        Raises:
            SpecError: the client is not installed, or the key is missing.
        """
        need_extra("anthropic")
        self._model = model
        self._base_url = base_url
        self._timeout = timeout_seconds
        if not os.environ.get("ANTHROPIC_API_KEY"):
            raise SpecError("explorer chat needs ANTHROPIC_API_KEY in the environment")

    @functools.cached_property
    def _client(self) -> Any:
        import anthropic

        return anthropic.Anthropic(
            api_key=os.environ["ANTHROPIC_API_KEY"],
            base_url=self._base_url or None,
            timeout=self._timeout,
            max_retries=0,
        )

    def send(self, asked: Asked) -> Outcome:
        import anthropic

        received = _Received(self._timeout)
        key = "ANTHROPIC_API_KEY"
        return _guarded(lambda: self._stream(asked, received), received, anthropic, key)

    def _stream(self, asked: Asked, received: "_Received") -> None:
        options = {} if asked.temperature is None else {"temperature": asked.temperature}
        stream = self._client.messages.create(
            model=self._model,
            messages=[{"role": role, "content": text} for role, text in asked.messages],
            max_tokens=asked.max_tokens,
            stream=True,
            **options,
        )
        given = made = 0
        with stream:
            for event in stream:
                received.go_on()
                if event.type == "message_start":
                    given, made = (
                        event.message.usage.input_tokens,
                        event.message.usage.output_tokens,
                    )
                elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                    received.text.append(event.delta.text)
                elif event.type == "message_delta":
                    made = event.usage.output_tokens
                    received.reason = event.delta.stop_reason or received.reason
                    received.tokens = (given, made)
        received.cut = received.reason == "max_tokens"


class _Received:
    """What has come of a stream so far."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._deadline = math.inf
        self.text: list[str] = []
        self.tokens: tuple[int, int] | None = None
        self.reason = ""
        self.cut = False
        self.begun = False

    def go_on(self) -> None:
        """Note that something came.

        Raises:
            TimeoutError: the whole reply takes too long, though it has not been silent.
        """
        now = time.monotonic()
        if not self.begun:
            self.begun = True
            self._deadline = now + self._timeout
        if now > self._deadline:
            raise TimeoutError


def _guarded(read: Callable[[], None], received: _Received, sdk: Any, key: str) -> Outcome:
    """Read a stream; whatever goes wrong becomes an outcome.

    Args:
        sdk: the client's package; both name their exceptions alike.
        key: name of the key in the environment; its value is kept out of the outcome.
    """
    secrets = {key: os.environ.get(key, "")}
    try:
        read()
    except sdk.APIStatusError as error:
        return _of_status(error, secrets)
    except (sdk.APITimeoutError, TimeoutError):
        return _outcome("timeout", received, "the server did not answer in time")
    except sdk.APIConnectionError as error:
        kind: Kind = "disconnected" if received.begun else "failed"
        cause = error.__cause__ or error
        return _outcome(kind, received, redact(f"{type(cause).__name__}: {cause}", secrets))
    except (sdk.APIResponseValidationError, ValueError, AttributeError, TypeError) as error:
        # What is no JSON, or JSON of another shape than the protocol's.
        words = f"{type(error).__name__}: {error}"
        return _outcome("unreadable", received, redact(words, secrets))
    except sdk.APIError as error:
        # An error that the server reported inside the stream.
        return _outcome("failed", received, redact(error.message, secrets))
    if not received.begun:
        return _outcome("unreadable", received, "the reply is no stream of events")
    if not received.reason and received.tokens is None:
        return _outcome("disconnected", received, "the stream ended before the reply did")
    if received.cut:
        return _outcome("cut", received, "the reply reached its length limit")
    return _outcome("answered" if "".join(received.text).strip() else "empty", received, "")


def _outcome(kind: Kind, received: _Received, detail: str) -> Outcome:
    given, made = received.tokens or (0, 0)
    return Outcome(
        kind=kind,
        text="".join(received.text),
        detail=clean(detail)[:_DETAIL_BYTES],
        input_tokens=given,
        output_tokens=made,
        reported=received.tokens is not None,
    )


def _of_status(error: Any, secrets: Mapping[str, str]) -> Outcome:
    """A reply that is an error of HTTP."""
    status = int(error.status_code)
    kind: Kind = "refused"
    if status == 429:
        kind = "busy"
    elif status in (408, 409) or status >= 500:
        kind = "failed"
    detail = clean(redact(str(error.message), secrets))[:_DETAIL_BYTES]
    return Outcome(kind, detail=detail, retry_after=_retry_after(error.response.headers))


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait, 0 if it does not say."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers.get(name, "")) * unit)
        except ValueError:
            continue
    return 0.0


def backoff(first: float, largest: float) -> Iterator[float]:
    """Seconds to wait before each further attempt: doubling, up to the largest."""
    wait = first
    while True:
        yield min(wait, largest)
        wait *= 2
