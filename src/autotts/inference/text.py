"""Servers without token ids: branches are text, and nothing about their tokens is exact."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from autotts.errors import ServerError
from autotts.inference.exact import as_messages
from autotts.inference.http import Client
from autotts.inference.replies import (
    choice_of,
    legacy_logprobs,
    reason_of,
    text_of,
    unsound,
    usage_of,
)
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


class TextServer:
    """A `Server` for whatever speaks /v1/completions, or /v1/chat/completions alone.

    A text is cut and read again by the server's tokenizer, which need not give the same tokens. By
    chat a branch can't be continued: its context is the conversation in JSON, and each is decoded
    whole.
    """

    def __init__(self, client: Client, model: str, can: Capabilities) -> None:
        """
        Args:
            can: continues by /v1/completions; without that, by chat.
        """
        self._client = client
        self.model = model
        self.can = can
        self._path = "/v1/completions" if can.continues else "/v1/chat/completions"

    @property
    def dialect(self) -> str:
        return "text" if self.can.continues else "chat"

    @property
    def address(self) -> str:
        return self._client.root

    @property
    def tally(self) -> Tally:
        return self._client.tally

    async def encode(self, text: str, *, special: bool = False) -> Context:
        return text if self.can.continues else json.dumps([{"role": "user", "content": text}])

    async def render(
        self, messages: Sequence[Message], options: Mapping[str, JsonValue] | None = None
    ) -> Context:
        if self.can.continues:
            raise ServerError(
                f"{self.address} has no template to write a conversation with: give the prompt as"
                " the model reads it"
            )
        return json.dumps(as_messages(messages))

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

    async def ask(
        self, context: Context, max_tokens: int, sampling: Sampling, seed: int, logprobs: int
    ) -> Decoded:
        """As `decode`, in one attempt."""
        if not isinstance(context, str):
            raise TypeError(f"{self.dialect}: a branch is text, not token ids")
        asked = {"prompt": context} if self.can.continues else {"messages": json.loads(context)}
        logprobs = min(logprobs, self.can.logprobs)
        # Only what every server knows: some refuse a request for a field that they don't.
        payload = {
            "model": self.model,
            **asked,
            "max_tokens": max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed,
            **({"stop": list(sampling.stop)} if sampling.stop else {}),
            **({"logprobs": logprobs} if logprobs else {}),
        }
        return self._read(await self._client.post(self._path, payload), max_tokens, logprobs)

    async def probe(
        self, context: Context, suffix: Context, *, max_tokens: int, stop: tuple[str, ...] = ()
    ) -> Decoded:
        if not self.can.continues:
            raise ServerError(f"{self.address} speaks chat alone, where no branch can be probed")
        sampling = Sampling(GREEDY.temperature, GREEDY.top_p, stop=stop)
        return await self.decode(
            joined(context, suffix), max_tokens=max_tokens, sampling=sampling, seed=0
        )

    async def abort(self, request_id: str) -> None:
        """There is no endpoint: closing the connection is all there is."""

    async def aclose(self) -> None:
        await self._client.aclose()

    def _read(self, reply: Any, max_tokens: int, logprobs: int) -> Decoded:
        choice = choice_of(reply)
        ended, limited = reason_of(choice)
        text = text_of(choice) if self.can.continues else _said(choice)
        prompt_tokens, made, cached = usage_of(reply)
        self.tally.count(prompt_tokens, cached, made)  # paid for, whatever it is
        if made > max_tokens or (not made and text):
            raise unsound(
                f"{made} tokens counted for {len(text)} characters of at most {max_tokens}"
            )
        if not text and not ended:
            raise unsound("an empty reply")
        return Decoded(
            content=text,
            text=text,
            tokens=made,
            ended=ended,
            cut=limited and made < max_tokens,
            prompt_tokens=prompt_tokens,
            cached_tokens=cached,
            logprobs=legacy_logprobs(choice.get("logprobs"), made, logprobs) if logprobs else None,
        )


def _said(choice: Mapping[str, Any]) -> str:
    """What a model said, with what it thought before, where a server tells that apart."""
    message = choice.get("message")
    if not isinstance(message, dict):
        raise unsound("a choice without a message")
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    said = message.get("content") or ""
    if not isinstance(thought, str) or not isinstance(said, str):
        raise unsound("a message that is no text")
    return f"<think>{thought}</think>{said}" if thought else said
