"""Servers that take and give token ids: what vLLM, SGLang and llama.cpp's have in common."""

import asyncio
import secrets
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from autotts.errors import ServerError
from autotts.inference.dialect import HttpServer, as_messages
from autotts.inference.http import AskAgain, Client
from autotts.inference.replies import (
    checked_ids,
    choice_of,
    legacy_logprobs,
    reason_of,
    text_of,
    unsound,
    usage_of,
    whole,
)
from autotts.inference.server import (
    Capabilities,
    Context,
    Decoded,
    Ids,
    Logprobs,
    Message,
    Sampling,
    ids_of,
)

_ABORT_SECONDS = 10.0


class ExactServer(HttpServer):
    """A `Server` by /v1/completions, with what its dialect says differently."""

    known_by: str = ""
    """A path that servers of this dialect answer and no others do; "" where there is none."""

    def __init__(self, client: Client, model: str, can: Capabilities) -> None:
        super().__init__(client, model, can)
        self._aborting: set[asyncio.Task[None]] = set()

    @abstractmethod
    def fields(self, sampling: Sampling, request_id: str, max_tokens: int) -> dict[str, JsonValue]:
        """What the dialect adds to the body of a request."""

    def found_ids(self, reply: Mapping[str, Any], choice: Mapping[str, Any]) -> Any:
        """The ids of the new tokens, where the dialect has them."""
        return choice.get("token_ids")

    async def encode(self, text: str, *, special: bool = False) -> Context:
        asked = {"model": self.model, "prompt": text, "add_special_tokens": special}
        return await self._tokens("/tokenize", asked)

    async def templated(
        self,
        messages: Sequence[Message],
        options: Mapping[str, JsonValue] | None,
        special: Mapping[str, JsonValue],
    ) -> Context:
        """Messages by the model's template, for a server that has it behind /tokenize.

        Args:
            options: for the template.
            special: what the dialect adds to the request.
        """
        asked = {
            "model": self.model,
            "messages": as_messages(messages),
            "chat_template_kwargs": dict(options or {}),
            **special,
        }
        return await self._tokens("/tokenize", asked)

    def found_logprobs(
        self, choice: Mapping[str, Any], ids: Sequence[int], k: int
    ) -> Logprobs | None:
        return legacy_logprobs(choice.get("logprobs"), len(ids), k)

    async def ask(
        self, context: Context, max_tokens: int, sampling: Sampling, seed: int, logprobs: int
    ) -> Decoded:
        if isinstance(context, str):
            raise TypeError(f"{self.dialect}: a branch is token ids, not text")
        request_id = f"autotts-{secrets.token_hex(16)}"
        payload = {
            **self.asked(max_tokens, sampling, seed, logprobs),
            "prompt": context.tolist(),
            "min_p": sampling.min_p,
            **self.fields(sampling, request_id, max_tokens),
        }
        try:
            reply = await self._client.post("/v1/completions", payload)
        except asyncio.CancelledError:
            self._abort_later(request_id)
            raise
        except AskAgain as error:
            if error.kind == "lost":
                self._abort_later(request_id)  # the server may be at it still
            raise
        return self.read(reply, context, max_tokens, logprobs)

    async def aclose(self) -> None:
        await asyncio.gather(*self._aborting, return_exceptions=True)
        await super().aclose()

    def read(self, reply: Any, prompt: Ids, max_tokens: int, logprobs: int) -> Decoded:
        """A reply as data.

        Raises:
            AskAgain: it doesn't add up.
        """
        reply = whole(reply)
        choice = choice_of(reply)
        ended, limited = reason_of(choice)
        prompt_tokens, made, cached = usage_of(reply)
        self.tally.count(prompt_tokens, cached, made)  # paid for, whatever it is
        ids = checked_ids(self.found_ids(reply, choice), made)
        if prompt_tokens != len(prompt):
            raise unsound(f"{prompt_tokens} prompt tokens counted, {len(prompt)} ids were sent")
        if not 1 <= made <= max_tokens:
            raise unsound(f"{made} tokens, where 1 to {max_tokens} were asked for")
        return Decoded(
            content=ids_of(ids),
            text=text_of(choice),
            tokens=made,
            ended=ended,
            cut=limited and made < max_tokens,
            prompt_tokens=prompt_tokens,
            cached_tokens=cached,
            logprobs=self.found_logprobs(choice, ids, logprobs) if logprobs else None,
        )

    def _abort_later(self, request_id: str) -> None:
        """Stop a request without waiting for it: whoever is cancelled is to be gone at once."""
        if self.can.aborts:
            task = asyncio.create_task(self._abort_quietly(request_id))
            self._aborting.add(task)
            task.add_done_callback(self._aborting.discard)

    async def _abort_quietly(self, request_id: str) -> None:
        try:
            async with asyncio.timeout(_ABORT_SECONDS):
                await self.abort(request_id)
        except (ServerError, TimeoutError):
            # The connection is closed; the endpoint was the second means.
            return

    async def _tokens(self, path: str, payload: Mapping[str, Any]) -> Ids:
        """What a server's tokenizer makes of something."""

        async def attempt() -> Ids:
            reply = await self._client.post(path, payload)
            tokens = reply.get("tokens") if isinstance(reply, dict) else None
            if not isinstance(tokens, list):
                raise unsound(f"{path} gave no tokens")
            return ids_of(checked_ids(tokens, len(tokens)))

        return await self._client.insist(attempt)
