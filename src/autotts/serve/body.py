"""What a request may say, what it must not, and what holds where it is said twice."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from autotts.serve.formats import Format, Kind

Body = TypeVar("Body", bound="Common")
_Number = Annotated[float, Field(allow_inf_nan=False)]


class BadRequest(Exception):
    """A request that can't be answered; `where` names the field, `status` is HTTP's."""

    def __init__(self, why: str, where: str = "", status: int = 400, code: str = "") -> None:
        super().__init__(why)
        self.where, self.status, self.code = where, status, code


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Answers(_Said):
    """How answers are read. Regular expressions are the operator's alone: one can take for ever."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["math", "choice", "json", "last_line", "text"]
    field: str = ""

    def format(self) -> Format:
        """How answers are read by it.

        Raises:
            BadRequest: a field is named where there is none, or not where there is one.
        """
        kind: Kind = self.type
        try:
            return Format(kind, self.field)
        except ValueError as error:
            raise BadRequest(str(error), "answers.field") from error


class StreamOptions(_Said):
    include_usage: bool | None = None


class Common(_Said):
    """What both endpoints take: OpenAI's fields, and ours."""

    model: str = ""
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    temperature: Annotated[_Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[_Number, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=2**31)] | None = Field(
        None, description="Of the likeliest tokens; 0 and -1 for all."
    )
    min_p: Annotated[_Number, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    user: str | None = None

    beta: Annotated[_Number, Field(ge=0, le=1)] | None = Field(
        None, description="The knob: 0 spends least, 1 most."
    )
    controller: str | None = Field(None, description="One of those that are served.")
    max_total_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Most tokens of all branches together."
    )
    max_cost: Annotated[_Number, Field(gt=0)] | None = Field(
        None, description="Most that the request may cost, in the money of the operator's prices."
    )
    deadline_seconds: Annotated[_Number, Field(gt=0)] | None = Field(
        None, description="When the best vote so far is the answer."
    )
    answers: Answers | None = Field(None, description="How answers are read.")
    progress: Literal["off", "reasoning", "events", "trace"] = Field(
        "off", description="Of a stream: whether, and as what, progress is told."
    )


_TEXTS = ("text", "input_text", "output_text", "refusal")
"""Kinds of content that are text, as the endpoints call it."""


class Part(_Said):
    """A piece of content that is text; `unserved` has refused the others."""

    text: str | None = None
    refusal: str | None = None


_TemplateName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
_TemplateValue = bool | int | _Number | Annotated[str, Field(max_length=200)]


class ChatMessage(_Said):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[str | Part] | None = None

    def said(self) -> tuple[str, str]:
        """Role and content."""
        parts = self.content if isinstance(self.content, list) else [self.content or ""]
        texts = (part if isinstance(part, str) else part.text or part.refusal for part in parts)
        return self.role, "".join(text or "" for text in texts)


class ChatBody(Common):
    """The body of /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1024)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    chat_template_kwargs: dict[_TemplateName, _TemplateValue] = Field(
        {},
        max_length=32,
        description="Arguments of the model's template, such as enable_thinking.",
    )


class CompletionBody(Common):
    """The body of /v1/completions."""

    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=64)]
        | Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]
        | Annotated[
            list[Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]],
            Field(min_length=1, max_length=64),
        ]
    )


_ABSENT: Mapping[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "logprobs": (None, False, 0),
    "top_logprobs": (None, 0),
    "echo": (None, False),
    "suffix": (None, ""),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "prediction": (None,),
    "web_search_options": (None,),
    "logit_bias": (None, {}),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "repetition_penalty": (None, 1),
    "previous_response_id": (None,),
    "conversation": (None,),
    "background": (None, False),
    "include": (None, []),
    "reasoning": (None, {}),
    "text": (None, {}, {"format": {"type": "text"}}),
}
"""Fields of OpenAI's that votes over branches have no meaning for yet, and what says nothing."""


def unserved(body: Mapping[str, Any]) -> str | None:
    """The first field that asks for what is not served; None if none does."""
    for name, nothing in _ABSENT.items():
        if name in body and _without_nulls(body[name]) not in nothing:
            return name
    for name in ("messages", "input"):
        turns = body.get(name)
        for k, turn in enumerate(turns if isinstance(turns, list) else []):
            if isinstance(turn, dict) and (what := _unserved_of(turn)):
                return f"{name}[{k}]{what if what != '.' else ''}"
    return None


def _without_nulls(value: Any) -> Any:
    """An object without the fields that are null, as if they were left out; else the value."""
    if not isinstance(value, dict):
        return value
    return {name: inner for name, inner in value.items() if inner is not None}


def _unserved_of(turn: Mapping[str, Any]) -> str:
    """What of a turn is not served: a field of it, "." for all of it, "" for nothing.

    Fields that only some clients have say nothing here, as on other servers.
    """
    if turn.get("tool_calls") or turn.get("function_call"):
        return "."
    if turn.get("role") in ("tool", "function"):
        return "."
    kind = turn.get("type")
    if kind == "reasoning":
        return ""  # what a model thought earlier is left out
    if "role" not in turn and kind not in (None, "message"):
        return "."  # an item of /v1/responses that nobody says
    content = turn.get("content")
    for part in content if isinstance(content, list) else []:
        if isinstance(part, dict) and part.get("type", "text") not in _TEXTS:
            return ".content"
    return ""


_NOT_FOR_CLIENTS = {
    "add_generation_prompt", "add_special_tokens", "chat_template", "continue_final_message",
    "conversation", "documents", "max_length", "messages", "padding", "return_dict",
    "return_tensors", "tokenize", "tools", "truncation",
}  # fmt: skip
"""Arguments by which a server applies a template: with others it gives no prompt, or fails."""


def template_options(body: ChatBody) -> dict[str, JsonValue]:
    """What a body gives the model's template.

    Raises:
        BadRequest: it is not the template's.
    """
    for name in body.chat_template_kwargs:
        if name in _NOT_FOR_CLIENTS:
            where = f"chat_template_kwargs.{name}"
            raise BadRequest(f"{where} is not the template's, but the server's own", where)
    return dict(body.chat_template_kwargs)


def parse(kind: type[Body], body: Mapping[str, Any]) -> Body:
    """A body as it is meant; a field that is null is as if it were left out.

    Raises:
        BadRequest: it is not one, or asks for what is not served.
    """
    field = unserved(body)
    if field is not None:
        raise BadRequest(
            f"{field} is not served: an answer is a vote over branches of text. Leave it out, or"
            " let the operator pass such requests on (--pass-through)",
            field,
            code="unsupported_parameter",
        )
    try:
        return kind.model_validate(_without_nulls(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"{where}: {first['msg']}", where) from None
