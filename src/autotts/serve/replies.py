"""Answers as the objects and streams that OpenAI's clients read."""

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from autotts.serve.answering import Answer, Progress, apart

_PIECE = 400
"""Characters of a delta: the text is all there when a stream of it begins."""


class Shape(Protocol):
    """How an endpoint's replies look, whole and as the events of a stream."""

    @property
    def reply_id(self) -> str:
        """By which a client knows the reply."""
        ...

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """The reply with everything in it."""
        ...

    def begins(self) -> Iterator[bytes]:
        """What stands before anything is known."""
        ...

    def progress(self, progress: Progress) -> Iterator[bytes]:
        """How far it is, as reasoning of the model's."""
        ...

    def ends(self, answers: Sequence[Answer], *, usage_wanted: bool) -> Iterator[bytes]:
        """The text, piece by piece, why it ended, and the end of the stream."""
        ...

    def fails(self, body: dict[str, Any]) -> Iterator[bytes]:
        """An error, as `error_body` makes it, where the stream has begun."""
        ...


@dataclass(frozen=True, slots=True)
class CompletionShape:
    """Replies of /v1/completions and /v1/chat/completions.

    chat: whether they are messages, and not plain text.
    model: as the client called it.
    """

    chat: bool
    model: str
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def reply_id(self) -> str:
        return f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}"

    def _object(self, *, chunk: bool, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
        kind = f"chat.completion{'.chunk' if chunk else ''}" if self.chat else "text_completion"
        return {
            "id": self.reply_id,
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

    def begins(self) -> Iterator[bytes]:
        if self.chat:
            yield event(self._delta({"role": "assistant", "content": ""}))

    def progress(self, progress: Progress) -> Iterator[bytes]:
        if self.chat:
            yield event(self._delta({"reasoning_content": progress.words + "\n"}))

    def ends(self, answers: Sequence[Answer], *, usage_wanted: bool) -> Iterator[bytes]:
        for index, answer in enumerate(answers):
            yield from map(event, self._deltas(index, answer))
        if usage_wanted:
            yield event({**self._object(chunk=True, choices=[]), "usage": usage(answers)})
        yield _DONE

    def fails(self, body: dict[str, Any]) -> Iterator[bytes]:
        yield event(body)
        yield _DONE

    def _deltas(self, index: int, answer: Answer) -> Iterator[dict[str, Any]]:
        if not self.chat:
            for piece in pieces(answer.text):
                yield self._text(index, piece, None)
            yield self._text(index, "", answer.finish_reason)
            return
        thinking, text = apart(answer.text)
        for name, whole in (("reasoning_content", thinking), ("content", text)):
            for piece in pieces(whole):
                yield self._delta({name: piece})
        yield self._delta({}, answer.finish_reason)

    def _delta(self, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._object(chunk=True, choices=[choice])

    def _text(self, index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}
        return self._object(chunk=True, choices=[choice])


def pieces(text: str) -> Iterator[str]:
    """A text as a stream brings it."""
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


_DONE = b"data: [DONE]\n\n"
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
