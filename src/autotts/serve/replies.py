"""Answers as the objects and streams that OpenAI's clients read."""

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from autotts.serve.answering import Answer, Progress, apart

_PIECE = 400
"""Characters of a delta: the text is all there when a stream of it begins."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How one endpoint's replies look.

    chat: whether they are messages, and not plain text.
    model: as the client called it.
    """

    chat: bool
    model: str
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def _object(self, *, chunk: bool, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
        kind = f"chat.completion{'.chunk' if chunk else ''}" if self.chat else "text_completion"
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": list(choices),
        }

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """The reply with everything in it, a choice for each prompt."""
        choices = [self._choice(k, answer) for k, answer in enumerate(answers)]
        return {**self._object(chunk=False, choices=choices), "usage": usage(answers)}

    def _choice(self, index: int, answer: Answer) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": index, "finish_reason": answer.finish_reason}
        if not self.chat:
            return {**choice, "text": answer.text, "logprobs": None}
        thinking, text = apart(answer.text)
        message = {"role": "assistant", "content": text}
        if thinking:
            message["reasoning_content"] = thinking
        return {**choice, "message": message, "logprobs": None}

    def begins(self) -> dict[str, Any]:
        """The first chunk of a stream of chat."""
        return self._delta({"role": "assistant", "content": ""})

    def progress(self, progress: Progress) -> dict[str, Any]:
        """A chunk of reasoning that says how far it is."""
        return self._delta({"reasoning_content": progress.words + "\n"})

    def deltas(self, index: int, answer: Answer) -> Iterator[dict[str, Any]]:
        """The text of an answer, piece by piece, and why it ended."""
        if not self.chat:
            for piece in _pieces(answer.text):
                yield self._text(index, piece, None)
            yield self._text(index, "", answer.finish_reason)
            return
        thinking, text = apart(answer.text)
        for name, whole in (("reasoning_content", thinking), ("content", text)):
            for piece in _pieces(whole):
                yield self._delta({name: piece})
        yield self._delta({}, answer.finish_reason)

    def usage_chunk(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """The last chunk of a stream, for those who ask for usage."""
        return {**self._object(chunk=True, choices=[]), "usage": usage(answers)}

    def _delta(self, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._object(chunk=True, choices=[choice])

    def _text(self, index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}
        return self._object(chunk=True, choices=[choice])


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]


def usage(answers: Sequence[Answer]) -> dict[str, Any]:
    """Tokens as OpenAI counts them, of the text that is shown; and all that was spent."""
    prompt = sum(answer.prompt_tokens for answer in answers)
    completion = sum(answer.tokens for answer in answers)
    accounts = [answer.account.record() for answer in answers]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "autotts": accounts[0] if len(accounts) == 1 else accounts,
    }


def event(data: dict[str, Any], name: str = "") -> bytes:
    """A server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


DONE = b"data: [DONE]\n\n"
STILL_RUNNING = b": still running\n\n"


def error_body(message: str, kind: str, param: str = "", code: str = "") -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    return {
        "error": {
            "message": message,
            "type": kind,
            "param": param or None,
            "code": code or None,
        }
    }
