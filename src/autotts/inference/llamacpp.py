"""llama.cpp's server: token ids come in what `verbose` adds.

It has no abort endpoint, and notices a closed connection at once only while it streams (builds of
2026 decode a whole reply for nobody): what takes long is streamed if it has to be interruptible,
which takes a message of JSON a token, on both sides. Some builds leave tokens out of
streams that are parts of a character; such a reply is not believed, and nothing is streamed again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from autotts.inference.dialect import as_messages
from autotts.inference.exact import ExactServer
from autotts.inference.http import AskAgain
from autotts.inference.replies import choice_of, listed_logprobs, reason_of, unsound, whole
from autotts.inference.server import Context, Decoded, Ids, Logprobs, Message, Sampling

_SHORT_TOKENS = 32
"""Done before anybody could stop it."""


class LlamaCppServer(ExactServer):
    dialect = "llamacpp"
    known_by = "/props"
    _streams = True

    def fields(self, sampling: Sampling, request_id: str, max_tokens: int) -> dict[str, JsonValue]:
        streamed: dict[str, JsonValue] = {
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        long = max_tokens > _SHORT_TOKENS and self._client.interruptible
        return {
            **(streamed if self._streams and long else {}),
            "top_k": sampling.top_k,
            "return_tokens": True,
            "verbose": True,
            "cache_prompt": True,
        }

    def found_ids(self, reply: Mapping[str, Any], choice: Mapping[str, Any]) -> Any:
        details = reply.get("__verbose")
        return details.get("tokens") if isinstance(details, dict) else None

    def found_logprobs(
        self, choice: Mapping[str, Any], ids: Sequence[int], k: int
    ) -> Logprobs | None:
        return listed_logprobs(choice.get("logprobs"), ids, k)

    def read(self, reply: Any, prompt: Ids, max_tokens: int, logprobs: int) -> Decoded:
        try:
            return super().read(reply, prompt, max_tokens, logprobs)
        except AskAgain:
            if isinstance(reply, list) and reason_of(choice_of(whole(reply))):
                self._streams = False
            raise

    async def encode(self, text: str, *, special: bool = False) -> Context:
        return await self._tokens("/tokenize", {"content": text, "add_special": special})

    async def render(
        self, messages: Sequence[Message], options: Mapping[str, JsonValue] | None = None
    ) -> Context:
        asked = {"messages": as_messages(messages), "chat_template_kwargs": dict(options or {})}

        async def attempt() -> str:
            reply = await self._client.post("/apply-template", asked)
            prompt = reply.get("prompt") if isinstance(reply, dict) else None
            if not isinstance(prompt, str):
                raise unsound("/apply-template gave no prompt")
            return prompt

        # The template's BOS is taken off where the tokenizer adds one.
        return await self.encode(await self._client.insist(attempt), special=True)
