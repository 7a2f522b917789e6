"""llama.cpp's server: token ids come in what `verbose` adds.

It has no abort endpoint, and notices a closed connection at once only while it streams (builds of
2026 decode a whole reply for nobody): what takes long is streamed if it has to be interruptible,
which takes a message of JSON a token, on both sides. Some builds leave tokens out of
streams that are parts of a character; such a reply is not believed, and nothing is streamed again.

An interval may begin or end inside a character, which has tokens of its bytes. Newer builds read
each reply as a message of a chat, and answer 500 where it begins with half a character; with a
parser that takes nothing they don't. The halves come as replacement characters: the character is
put together where its end is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import JsonValue

from autotts.errors import ServerError
from autotts.inference.dialect import as_messages
from autotts.inference.exact import ExactServer
from autotts.inference.http import AskAgain
from autotts.inference.replies import choice_of, listed_logprobs, reason_of, unsound, whole
from autotts.inference.server import Context, Decoded, Ids, Logprobs, Message, Sampling, joined

_SHORT_TOKENS = 32
"""Done before anybody could stop it."""

_TAKES_NOTHING = json.dumps({"parsers": [{"type": "epsilon"}], "rules": {}, "root": 0})
_HALF = "\N{REPLACEMENT CHARACTER}"
_MOST_HALVES = 3
"""Tokens that a character may have before its last."""


class LlamaCppServer(ExactServer):
    dialect = "llamacpp"
    known_by = "/props"
    _streams = True
    _parser = _TAKES_NOTHING

    async def ask(
        self, context: Context, max_tokens: int, sampling: Sampling, seed: int, logprobs: int
    ) -> Decoded:
        asked = context, max_tokens, sampling, seed, logprobs
        try:
            return await super().ask(*asked)
        except ServerError as error:
            # A build that writes parsers otherwise refuses this one, before it decodes anything.
            if not self._parser or "chat_parser" not in str(error):
                raise
            self._parser = ""
            return await super().ask(*asked)

    async def decode(
        self,
        context: Context,
        *,
        max_tokens: int,
        sampling: Sampling,
        seed: int,
        logprobs: int = 0,
    ) -> Decoded:
        decoded = await super().decode(
            context, max_tokens=max_tokens, sampling=sampling, seed=seed, logprobs=logprobs
        )
        if _HALF not in (decoded.text[:1], decoded.text[-1:]):
            return decoded
        return replace(decoded, text=await self._put_together(context, decoded))

    async def _put_together(self, before: Context, decoded: Decoded) -> str:
        """The text of new tokens, where a character belongs to the interval that it ends in."""
        text = decoded.text
        if text.startswith(_HALF):
            for halves in range(1, min(_MOST_HALVES, len(before)) + 1):
                tail = before[-halves:]
                whole_text = await self._text_of(joined(tail, decoded.content))
                if not whole_text.startswith(_HALF):
                    text = whole_text.removeprefix((await self._text_of(tail)).rstrip(_HALF))
                    break
        return text if decoded.ended else text.rstrip(_HALF)

    async def _text_of(self, ids: Context) -> str:
        async def attempt() -> str:
            reply = await self._client.post("/detokenize", {"tokens": list(ids)})
            text = reply.get("content") if isinstance(reply, dict) else None
            if not isinstance(text, str):
                raise unsound("/detokenize gave no text")
            return text

        return await self._client.insist(attempt)

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
            **({"chat_parser": self._parser} if self._parser else {}),
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
