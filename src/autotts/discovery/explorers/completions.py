"""What a chat server sent, read: a stream of events, or one whole completion where none was asked.

Both protocols are read alike, chat completions and the Anthropic API's messages. Nothing that a
server sends raises: what is not understood is left out, and what is no reply at all is said to be
none.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_THINKING = frozenset(
    {"thinking", "reasoning", "thought", "reasoning_content", "redacted_thinking"}
)
_CACHED = ("creation", "read")
_DEEPEST_PART = 4
"""Parts hold parts: a thinking part has a list of texts."""
_LONGEST_WORDS = 2_000


@dataclass(slots=True)
class Completion:
    """What has been read.

    text, thinking: the reply, and what the model thought aloud where the server tells it apart.
    reason: why the reply ended, in the server's word; "" if it did not say.
    input_tokens, output_tokens: as counted by the server; None where that is no count.
    refusal: why the model declines, where the server tells that apart.
    error, code: what the server reports instead of a reply, or in the middle of it.
    ended: whether the server said that nothing will follow.
    events: how many were understood.
    odd: the beginning of what was not understood.
    """

    text: str = ""
    thinking: str = ""
    reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    refusal: str = ""
    error: str = ""
    code: str = ""
    ended: bool = False
    events: int = 0
    odd: str = ""
    _texts: list[str] = field(default_factory=list)
    _thoughts: list[str] = field(default_factory=list)
    _in_pieces: bool = False

    def take(self, record: Any, event: str) -> None:
        """Read one event, or a whole completion."""
        if not isinstance(record, dict):
            self.odd = self.odd or json.dumps(record)[:_LONGEST_WORDS]
            return
        kind = record.get("type")
        if kind == "message":
            record = {"message": record}
        body = record.get("message")
        if record.get("error") or "error" in (event, kind, record.get("object")):
            self.events += 1
            self.error, self.code = complaint(record)
        elif "choices" in record or "usage" in record:
            self.events += 1
            self._choices(record.get("choices"))
            self._count(record.get("usage"))
        if kind in ("message_delta", "content_block_delta", "content_block_start", "message_stop"):
            self.events += 1
            self._block(record)
        elif isinstance(body, dict):
            # The beginning of a stream of messages, or a whole one.
            self.events += 1
            self._add(body.get("content"))
            self._end(body.get("stop_reason"))
            self._count(body.get("usage"), started=kind == "message_start")
        elif isinstance(body := record.get("response"), dict):
            # The end of a stream of the Responses API.
            self.events += 1
            self._count(body.get("usage"))
        elif not self.events:
            self.odd = self.odd or complaint(record)[0]

    def close(self) -> None:
        """Join what came in pieces."""
        self.text, self.thinking = _joined(self._texts), _joined(self._thoughts)

    def _choices(self, choices: Any) -> None:
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict) or choice.get("index") not in (0, "0", None):
                continue
            piece, whole = choice.get("delta"), choice.get("message")
            if self._in_pieces and isinstance(whole, dict) and whole.get("content"):
                # A whole message after its pieces repeats them.
                self._texts.clear()
                self._thoughts.clear()
            self._in_pieces = self._in_pieces or bool(piece)
            for said in (piece, whole, choice):
                if isinstance(said, dict):
                    self._message(said)
            self._end(choice.get("finish_reason"))

    def _message(self, said: Mapping[str, Any]) -> None:
        """A message, whole or a piece of it."""
        self._add(said.get("content"))
        self._add(said.get("text"))
        thought = said.get("reasoning_content") or said.get("reasoning")
        self._add({"type": "thinking", "thinking": thought})
        if isinstance(said.get("refusal"), str):
            self.refusal += said["refusal"][:_LONGEST_WORDS]

    def _block(self, record: Mapping[str, Any]) -> None:
        """An event of the Anthropic API."""
        piece = record.get("delta") or record.get("content_block")
        if isinstance(piece, dict):
            self._add([{**piece, "type": str(piece.get("type")).removesuffix("_delta")}])
            self._end(piece.get("stop_reason"))
        self._count(record.get("usage"))
        self.ended = self.ended or record.get("type") == "message_stop"

    def _add(self, content: Any) -> None:
        for thinking, text in _pieces(content):
            (self._thoughts if thinking else self._texts).append(text)

    def _end(self, reason: Any) -> None:
        if isinstance(reason, str) and reason:
            self.reason = reason[:_LONGEST_WORDS]

    def _count(self, usage: Any, started: bool = False) -> None:
        """Take the counts that are some; at the start of a stream what is made is not known."""
        if not isinstance(usage, dict):
            return
        given = _whole(usage.get("prompt_tokens"), usage.get("input_tokens"))
        if given is not None:
            # The Anthropic API counts what went into its cache, or came from it, by itself.
            given += sum(_whole(usage.get(f"cache_{how}_input_tokens")) or 0 for how in _CACHED)
        made = _whole(usage.get("completion_tokens"), usage.get("output_tokens"))
        self.input_tokens = self.input_tokens if given is None else given
        self.output_tokens = self.output_tokens if made is None or started else made


def read_completion(body: bytes) -> Completion:
    """What a body holds, as far as it came."""
    found = Completion()
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.lstrip().startswith(("{", "[")) and (whole := _json(text)) is not None:
        for record in whole if isinstance(whole, list) else [whole]:
            found.take(record, "")
            if (
                not found.events
                and isinstance(record, dict)
                and {"message", "detail"} & set(record)
            ):
                found.error, found.code = complaint(record)
        found.ended = found.events > 0
    else:
        for event, data in _events(text):
            if data.strip() == "[DONE]":
                found.ended = True
            elif (record := _json(data)) is not None:
                found.take(record, event)
            elif event == "error":
                found.events += 1
                found.error = data[:_LONGEST_WORDS]
            else:
                found.odd = found.odd or data[:_LONGEST_WORDS]
    found.close()
    return found


def complaint(record: Any) -> tuple[str, str]:
    """What a server's error says, and its code: of whichever of the usual shapes it is.

    >>> complaint({"error": {"message": "slow down", "code": 429}})
    ('slow down', '429')
    >>> complaint({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]})
    ('body.seed: Extra inputs are not permitted', '')
    """
    code = ""
    for _ in range(_DEEPEST_PART):
        if not isinstance(record, dict):
            break
        names = [record.get(name) for name in ("code", "status", "type")]
        known = [str(name) for name in names if isinstance(name, str | int) and name]
        code = " ".join([*known, *([code] if code else [])])[:200]
        inner = record.get("error") or record.get("message") or record.get("detail")
        if not inner:
            break
        record = inner
    if isinstance(record, list):
        return "; ".join(_place(item) for item in record[:10])[:_LONGEST_WORDS], code
    words = record if isinstance(record, str) else json.dumps(record)
    return words[:_LONGEST_WORDS], code


def _place(item: Any) -> str:
    """One entry of a list of what is wrong with a request."""
    if not isinstance(item, dict):
        return str(item)[:200]
    where = item.get("loc")
    place = ".".join(str(part) for part in where) if isinstance(where, list) else ""
    words = str(item.get("msg") or item.get("message") or "")
    return (f"{place}: {words}" if place else words)[:400]


def _events(text: str) -> Iterator[tuple[str, str]]:
    """Names and data of a stream's events. An event without its blank line counts too, and so do
    lines of JSON that are no events at all."""
    name = ""
    data: list[str] = []
    for line in (*re.sub(r"\n{3,}", "\n\n", text).split("\n"), ""):
        if not line.strip():
            if data:
                joined = "\n".join(data)
                # Servers that leave out the blank line between events.
                apart = len(data) > 1 and _json(joined) is None
                for piece in data if apart else [joined]:
                    yield name, piece
            name, data = "", []
        elif match := re.match(r"[ \t]*(data|event):[ ]?", line):
            value = line[match.end() :]
            if match[1] == "data":
                data.append(value)
            else:
                name = value.strip()
        elif not re.match(r":|(?:id|retry)\b", line):
            yield "", line


def _json(text: str) -> Any:
    """A JSON value; None if it is none, or nested without end."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _pieces(content: Any, thinking: bool = False, depth: int = 0) -> Iterator[tuple[bool, str]]:
    """The texts of a message's content, which is one or a list of parts, and which are thinking."""
    if isinstance(content, str):
        if content:
            yield thinking, content
    elif isinstance(content, list) and depth < _DEEPEST_PART:
        for part in content:
            yield from _pieces(part, thinking, depth + 1)
    elif isinstance(content, dict) and depth < _DEEPEST_PART:
        kind = content.get("type")
        inside = thinking or (isinstance(kind, str) and kind in _THINKING)
        for name in ("text", "thinking", "reasoning", "content"):
            if value := content.get(name):
                yield from _pieces(value, inside or name in _THINKING, depth + 1)
                break


def _whole(*values: Any) -> int | None:
    """The first that is a whole number from 0."""
    for value in values:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def _joined(pieces: list[str]) -> str:
    """Pieces as one text; halves of a character that came apart are joined, lone ones replaced."""
    return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
