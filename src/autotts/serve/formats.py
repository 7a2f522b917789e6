"""How answers are read in what a model wrote, and which of them are the same."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from autotts.answers import FAILED, equal, extract
from autotts.answers.classes import letter

Kind: TypeAlias = Literal["math", "choice", "json", "regex", "last_line", "text"]

_LONGEST = 4_000
"""Characters of an answer; what is longer is a text, and no two of those are the same."""

_MOST_OBJECTS = 32
"""Braces that are tried, the last ones: each may be read up to the end of the text."""


@dataclass(frozen=True, slots=True)
class Format:
    r"""How answers are read.

    kind: "math": what the last `\boxed{}` holds, or what the text says the answer is; equal
        formulas are one answer. "choice": the letter of an option. "json": a field of the last
        JSON object. "regex": what a pattern's last match finds, in its first group if it has one.
        "last_line". "text": all of it.
    field: of "json".
    pattern: of "regex".
    """

    kind: Kind = "math"
    field: str = ""
    pattern: str = ""

    def __post_init__(self) -> None:
        if (self.kind == "json") != bool(self.field):
            raise ValueError("answers in JSON are read from a field, and only those: name it")
        if (self.kind == "regex") != bool(self.pattern):
            raise ValueError("answers by a regular expression need one, and only those")
        if self.pattern:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"{self.pattern!r} is no regular expression: {error}") from error

    def read(self, text: str) -> str:
        """The answer that a text gives; "" for none."""
        answer = _READERS[self.kind](self, after_thinking(text)).strip()
        return "" if answer == FAILED or len(answer) > _LONGEST else answer

    @property
    def same(self) -> Callable[[str, str], bool] | None:
        """Whether two answers are one; None where their texts say so."""
        return equal if self.kind == "math" else None

    @property
    def opening(self) -> str:
        """What a branch is made to go on with where it is asked for its answer early; "" for none.

        Only of what ends soon after it.
        """
        return _OPENINGS.get(self.kind, "")

    def shown(self, text: str) -> str:
        """The answer in what a model wrote after `opening`; "" for none."""
        return self.read(self.opening + text) if self.opening else ""


_OPENINGS = {
    "math": "\n\n**Final Answer**\n\\boxed{",
    "choice": "\n\n**Final Answer**\nThe answer is (",
}


def after_thinking(text: str) -> str:
    """What a model says when it has thought; all of it, if it doesn't say so."""
    return text.rpartition("</think>")[2]


def _choice(_: Format, text: str) -> str:
    said = extract(text)
    return letter(said) if said != FAILED else ""


def _json(how: Format, text: str) -> str:
    decoder, answer, end = json.JSONDecoder(), "", 0
    for start in [at.start() for at in re.finditer(r"\{", text)][-_MOST_OBJECTS:]:
        if start < end:
            continue  # within the one before
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if how.field in value:
            found = value[how.field]
            answer = found if isinstance(found, str) else json.dumps(found, sort_keys=True)
    return answer


def _regex(how: Format, text: str) -> str:
    found = list(re.finditer(how.pattern, text))
    if not found:
        return ""
    return found[-1].group(1 if found[-1].re.groups else 0) or ""


def _last_line(_: Format, text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


_READERS: dict[Kind, Callable[[Format, str], str]] = {
    "math": lambda _, text: extract(text),
    "choice": _choice,
    "json": _json,
    "regex": _regex,
    "last_line": _last_line,
    "text": lambda _, text: text,
}
