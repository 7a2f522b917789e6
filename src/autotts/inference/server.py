"""What a model server is asked, what it gives, and what it can do. No HTTP here.

A branch is what a model has before it: token ids, or with servers that take none a text. An
interval is decoded by sending all of it again; servers keep what they have computed of it.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
from pydantic import JsonValue

from autotts.errors import SpecError

Ids: TypeAlias = "array[int]"
"""Token ids, typecode "i": four bytes each, for a branch may have tens of thousands."""

Context: TypeAlias = "Ids | str"
"""What a model has before it: token ids, or a text where a server takes no ids."""

Message: TypeAlias = tuple[str, str]
"""Role and content."""


def ids_of(values: Sequence[int]) -> Ids:
    return array("i", values)


def joined(first: Context, second: Context) -> Context:
    """What stands there when the one follows the other.

    Raises:
        TypeError: the one is ids and the other a text.
    """
    if isinstance(first, str) and isinstance(second, str):
        return first + second
    if isinstance(first, str) or isinstance(second, str):
        raise TypeError("ids and text can't be joined")
    return first + second


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. All of it is always sent: servers have defaults of their own.

    top_k, min_p: 0 for none.
    stop: texts that end a branch.
    """

    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int = 0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if "" in self.stop:
            raise SpecError(
                "a stop text that is empty would end every branch at once; leave it out"
            )


GREEDY = Sampling(temperature=0.0, top_p=1.0)

END_OF_THINKING = "</think>"


@dataclass(frozen=True, slots=True, eq=False)
class Logprobs:
    """Log-probabilities of T tokens.

    chosen: float32 `[T]` of the tokens that were drawn.
    top: float32 `[T, k]` of the k likeliest, falling; -inf where a server gave fewer.
    closing: float32 `[T]` of `</think>`; -inf where it was neither drawn nor among the likeliest.
    pieces: `[T]` the tokens as text.
    """

    chosen: np.ndarray
    top: np.ndarray
    closing: np.ndarray
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What one request brought.

    content: the new tokens, an end token included; with servers without ids the new text.
    text: the same as text, without the end token.
    tokens: as the server counted them.
    ended: whether the model ended here: an end token, or a stop text.
    cut: whether the server ended it early, at the end of its context.
    prompt_tokens, cached_tokens: what it read, and what of that it had; None where it doesn't say.
    """

    content: Context
    text: str
    tokens: int
    ended: bool
    cut: bool = False
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    logprobs: Logprobs | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server can do, as it was found by trying.

    exact: token ids go in and come out, and their number is what the server counts.
    continues: it goes on from where a branch stands.
    renders: it makes a prompt of a conversation by the model's own template.
    aborts: the path of its abort endpoint; "" where closing the connection is all there is.
    logprobs: how many top log-probabilities a token it gives; 0 for none.
    repeats: whether the same seed gave the same tokens.
    tells_cached: whether it says how much of a prompt it had.
    context_tokens: prompt and reply together; None where it doesn't say.
    """

    exact: bool
    continues: bool
    renders: bool
    aborts: str = ""
    logprobs: int = 0
    repeats: bool = False
    tells_cached: bool = False
    context_tokens: int | None = None


@dataclass(slots=True)
class Tally:
    """What a server was asked in all.

    requests: sent, those that failed included.
    retried: sent again, by why: "busy", "broken", "lost", "unsound".
    prompt_tokens, cached_tokens, tokens: as the server counted, of replies that were not believed
        too.
    """

    requests: int = 0
    retried: dict[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0

    def count(self, prompt_tokens: int, cached_tokens: int | None, tokens: int) -> None:
        """Add a reply."""
        self.prompt_tokens += prompt_tokens
        self.cached_tokens += cached_tokens or 0
        self.tokens += tokens


class Server(Protocol):
    """A model behind HTTP.

    Every method may wait for its turn, and asks again where that can help. Cancelling one stops
    the decoding on the server too.
    """

    @property
    def address(self) -> str:
        """Where it is."""
        ...

    @property
    def dialect(self) -> str:
        """How it is spoken to."""
        ...

    @property
    def model(self) -> str: ...

    @property
    def can(self) -> Capabilities: ...

    @property
    def tally(self) -> Tally: ...

    async def encode(self, text: str, *, special: bool = False) -> Context:
        """A text as the model reads it.

        Args:
            special: whether the tokenizer adds its own tokens (BOS), as where a prompt begins.
        """
        ...

    async def render(
        self, messages: Sequence[Message], options: Mapping[str, JsonValue] | None = None
    ) -> Context:
        """A conversation as the model's template writes it, up to where the model's turn begins.

        Args:
            options: arguments of the template, such as `enable_thinking`.
        """
        ...

    async def decode(
        self,
        context: Context,
        *,
        max_tokens: int,
        sampling: Sampling,
        seed: int,
        logprobs: int = 0,
    ) -> Decoded:
        """The next tokens of a branch.

        Args:
            seed: below 2^31; another one for every interval.
            logprobs: how many top log-probabilities a token.

        Raises:
            ServerError: it can't be had, however often it is asked for.
        """
        ...

    async def probe(
        self,
        context: Context,
        suffix: Context,
        *,
        max_tokens: int,
        stop: tuple[str, ...] = (),
        logprobs: int = 0,
    ) -> Decoded:
        """What the model says when it is made to answer here: greedy, after the suffix.

        Args:
            logprobs: as `decode`.

        Raises:
            ServerError: as `decode`.
        """
        ...

    async def abort(self, request_id: str) -> None:
        """Stop a request on the server; nothing happens where there is none of that id."""
        ...

    async def aclose(self) -> None: ...
