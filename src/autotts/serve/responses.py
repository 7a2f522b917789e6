"""/v1/responses: what it takes, and its replies and streams."""

import itertools
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from autotts.inference.server import Message
from autotts.serve.answering import Answer, Progress, apart
from autotts.serve.body import ChatMessage, Common
from autotts.serve.replies import event, pieces, usage


class InputItem(ChatMessage):
    """A turn of the conversation; what a model thought in an earlier one is left out."""

    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] = "assistant"


class ResponsesBody(Common):
    """The body of /v1/responses. Nothing is stored, whatever it asks for."""

    input: str | Annotated[list[InputItem], Field(min_length=1, max_length=1024)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    metadata: dict[str, str] | None = None

    def messages(self) -> list[Message]:
        """The conversation, as a server renders it."""
        opening = [("system", self.instructions)] if self.instructions else []
        if isinstance(self.input, str):
            return [*opening, ("user", self.input)]
        return [*opening, *(turn.said() for turn in self.input if turn.type != "reasoning")]

    def echoed(self) -> dict[str, Any]:
        """What a reply repeats of it."""
        return {
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "metadata": self.metadata or {},
        }


@dataclass(slots=True)
class ResponsesShape:
    """Replies of /v1/responses: a reasoning item where the model thought, and a message.

    model: as the client called it.
    echoed: fields of the request that a reply repeats.
    """

    model: str
    echoed: dict[str, Any]
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: float = field(default_factory=lambda: int(time.time()))
    _count: Iterator[int] = field(default_factory=itertools.count)

    @property
    def reply_id(self) -> str:
        return f"resp_{self.id}"

    def _response(
        self, status: str, output: Sequence[dict[str, Any]] = (), **more: Any
    ) -> dict[str, Any]:
        return {
            "id": self.reply_id, "object": "response", "created_at": self.created,
            "status": status, "model": self.model, "output": list(output), "error": None,
            "incomplete_details": None, "parallel_tool_calls": False, "tool_choice": "none",
            "tools": [], "store": False, "text": {"format": {"type": "text"}}, "usage": None,
            **self.echoed, **more,
        }  # fmt: skip

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        (answer,) = answers
        counted = usage(answers)
        cut = answer.finish_reason == "length"
        return self._response(
            "incomplete" if cut else "completed",
            [_whole_item(*each) for each in self._items(answer)],
            incomplete_details={"reason": "max_output_tokens"} if cut else None,
            usage={
                "input_tokens": counted["prompt_tokens"],
                "output_tokens": counted["completion_tokens"],
                "total_tokens": counted["total_tokens"],
                "autotts": counted["autotts"],
            },
        )

    def _items(self, answer: Answer) -> list[tuple[str, str, str]]:
        """Kind, id and text of each item of the output."""
        thinking, text = apart(answer.text)
        thought = [("reasoning", f"rs_{self.id}", thinking)] if thinking else []
        return [*thought, ("message", f"msg_{self.id}", text)]

    def _event(self, kind: str, **more: Any) -> bytes:
        return event({"type": kind, "sequence_number": next(self._count), **more}, kind)

    def begins(self) -> Iterator[bytes]:
        started = self._response("in_progress")
        yield self._event("response.created", response=started)
        yield self._event("response.in_progress", response=started)

    def progress(self, progress: Progress) -> Iterator[bytes]:
        yield event(progress.record(), "autotts.progress")

    def ends(self, answers: Sequence[Answer], *, usage_wanted: bool) -> Iterator[bytes]:
        reply = self.whole(answers)
        for index, (kind, id, text) in enumerate(self._items(answers[0])):
            yield from self._item_events(index, kind, id, text)
        yield self._event(f"response.{reply['status']}", response=reply)

    def _item_events(self, index: int, kind: str, id: str, text: str) -> Iterator[bytes]:
        place = {"item_id": id, "output_index": index, "content_index": 0}
        begun: dict[str, Any] = {
            **_whole_item(kind, id, ""),
            "content": [],
            "status": "in_progress",
        }
        yield self._event("response.output_item.added", output_index=index, item=begun)
        yield self._event("response.content_part.added", **place, part=_part(kind, ""))
        name = "response.reasoning_text" if kind == "reasoning" else "response.output_text"
        more: dict[str, Any] = {} if kind == "reasoning" else {"logprobs": []}
        for piece in pieces(text):
            yield self._event(f"{name}.delta", **place, delta=piece, **more)
        yield self._event(f"{name}.done", **place, text=text, **more)
        yield self._event("response.content_part.done", **place, part=_part(kind, text))
        whole = _whole_item(kind, id, text)
        yield self._event("response.output_item.done", output_index=index, item=whole)

    def fails(self, body: dict[str, Any]) -> Iterator[bytes]:
        error = {"code": "server_error", "message": body["error"]["message"]}
        yield self._event("response.failed", response=self._response("failed", error=error))


def _whole_item(kind: str, id: str, text: str) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": id,
        "type": kind,
        "status": "completed",
        "content": [_part(kind, text)],
    }
    return {**item, **({"summary": []} if kind == "reasoning" else {"role": "assistant"})}


def _part(kind: str, text: str) -> dict[str, Any]:
    if kind == "reasoning":
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
