"""Servers without token ids: branches are text, and nothing about their tokens is exact."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from autotts.errors import ServerError
from autotts.inference.dialect import HttpServer, as_messages
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
    Capabilities,
    Context,
    Decoded,
    Message,
    Sampling,
)


class TextServer(HttpServer):
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
        super().__init__(client, model, can)
        self._path = "/v1/completions" if can.continues else "/v1/chat/completions"

    @property
    def dialect(self) -> str:
        return "text" if self.can.continues else "chat"

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

    async def ask(
        self, context: Context, max_tokens: int, sampling: Sampling, seed: int, logprobs: int
    ) -> Decoded:
        if not isinstance(context, str):
            raise TypeError(f"{self.dialect}: a branch is text, not token ids")
        prompt = {"prompt": context} if self.can.continues else {"messages": json.loads(context)}
        logprobs = min(logprobs, self.can.logprobs)
        payload = {**self.asked(max_tokens, sampling, seed, logprobs), **prompt}
        return self._read(await self._client.post(self._path, payload), max_tokens, logprobs)

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
