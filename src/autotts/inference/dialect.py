"""A server by HTTP: what every dialect has in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from autotts.errors import ServerError
from autotts.inference.http import Client
from autotts.inference.server import (
    GREEDY,
    Capabilities,
    Context,
    Decoded,
    Message,
    Sampling,
    Tally,
    joined,
)


class HttpServer(ABC):
    """A `Server` of which a dialect says how one request is asked and its reply read."""

    def __init__(self, client: Client, model: str, can: Capabilities) -> None:
        self._client = client
        self.model = model
        self.can = can

    @property
    @abstractmethod
    def dialect(self) -> str: ...

    @property
    def address(self) -> str:
        return self._client.root

    @property
    def tally(self) -> Tally:
        return self._client.tally

    @abstractmethod
    async def encode(self, text: str, *, special: bool = False) -> Context: ...

    @abstractmethod
    async def render(
        self, messages: Sequence[Message], options: Mapping[str, JsonValue] | None = None
    ) -> Context: ...

    @abstractmethod
    async def ask(
        self, context: Context, max_tokens: int, sampling: Sampling, seed: int, logprobs: int
    ) -> Decoded:
        """As `decode`, in one attempt."""

    async def decode(
        self,
        context: Context,
        *,
        max_tokens: int,
        sampling: Sampling,
        seed: int,
        logprobs: int = 0,
    ) -> Decoded:
        return await self._client.insist(
            lambda: self.ask(context, max_tokens, sampling, seed, logprobs)
        )

    async def probe(
        self,
        context: Context,
        suffix: Context,
        *,
        max_tokens: int,
        stop: tuple[str, ...] = (),
        logprobs: int = 0,
    ) -> Decoded:
        if not self.can.continues:
            raise ServerError(f"{self.address} speaks chat alone, where no branch can be probed")
        sampling = Sampling(GREEDY.temperature, GREEDY.top_p, stop=stop)
        return await self.decode(
            joined(context, suffix),
            max_tokens=max_tokens,
            sampling=sampling,
            seed=0,
            logprobs=logprobs,
        )

    def abort_requests(self, request_id: str) -> dict[str, dict[str, JsonValue]]:
        """By path, what stops a request there; which of the paths there is, is found by trying."""
        return {}

    async def abort(self, request_id: str) -> None:
        if self.can.aborts:
            asked = self.abort_requests(request_id)[self.can.aborts]
            await self._client.tell(self.can.aborts, asked)

    async def aclose(self) -> None:
        await self._client.aclose()

    def asked(
        self, max_tokens: int, sampling: Sampling, seed: int, logprobs: int
    ) -> dict[str, JsonValue]:
        """What all dialects say in the same words: some refuse a request for a field more."""
        return {
            "model": self.model,
            "max_tokens": max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed,
            **({"stop": list(sampling.stop)} if sampling.stop else {}),
            **({"logprobs": logprobs} if logprobs else {}),
        }


def as_messages(messages: Sequence[Message]) -> list[JsonValue]:
    return [{"role": role, "content": content} for role, content in messages]
