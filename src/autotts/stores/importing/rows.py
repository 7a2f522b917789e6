"""A row of a file that others wrote: named values, each taken for what it must be, or refused."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from autotts.errors import StoreError
from autotts.text import shorten

_WHOLE = re.compile(r"\s*\d{1,19}(\.0?)?\s*", re.ASCII)
"""As tables have it: `1130.0` where some row of the column has none. `1.000` may be a thousand."""


@dataclass(frozen=True, slots=True)
class Row:
    """Named values of one place in a file: a line, an entry of a list, a member of an archive."""

    where: str
    values: Mapping[str, Any]

    def has(self, key: str) -> bool:
        """Whether there is a value, and it isn't null."""
        return self.get(key) is not None

    def get(self, key: str) -> Any:
        """The value of a key, None if there is none; `a.b` is key b of what a is."""
        if key in self.values:
            return self.values[key]
        value: Any = self.values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def refuse(self, key: str, wanted: str) -> NoReturn:
        """Raise the error that a key's value is something else than what is wanted."""
        if not self.has(key):
            raise StoreError(f"{self.where}: no {key}; it is {wanted}")
        raise StoreError(f"{self.where}: {key} is {shown(self.get(key))}, not {wanted}")

    def text(self, key: str) -> str:
        """A text that must be there."""
        value = self.get(key)
        return value if isinstance(value, str) else self.refuse(key, "a text")

    def name(self, key: str) -> str:
        """A text or whole number that names something; "" if it isn't there."""
        value = self.get(key)
        if value is None or isinstance(value, str):
            return value or ""
        return str(value) if is_whole(value) else self.refuse(key, "a text or a whole number")

    def answer(self, key: str) -> str:
        """An answer: a text, a number as its text; "" if there is none."""
        value = self.get(key)
        text = answer_text(value)
        return text if text or value in (None, "") else self.refuse(key, "a text or a number")

    def golds(self, key: str) -> tuple[str, ...]:
        """The true answers: one, or a list of several that are all right."""
        value = self.get(key)
        several = value if isinstance(value, list | tuple) else [value]
        texts = tuple(dict.fromkeys(answer_text(each) for each in several))
        if not texts or "" in texts:
            self.refuse(key, "a true answer: a text, a number, or a list of these")
        return texts

    def count(self, key: str, *, least: int = 1) -> int | None:
        """A number of tokens; None if it isn't there."""
        value = self.get(key)
        if value is None or value == "":
            return None
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value.partition(".")[0])
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        if not is_whole(value) or not least <= value < 2**31:
            kind = "a positive integer" if least else "a non-negative integer"
            self.refuse(key, f"{kind} below 2^31")
        return int(value)

    def weight(self, key: str) -> float:
        """How much something counts: a number, 0 or more, that must be there."""
        value = self.get(key)
        try:
            number = -1.0 if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = -1.0
        return number if 0 <= number < math.inf else self.refuse(key, "a weight, 0 or more")

    def rows(self, key: str) -> list["Row"]:
        """A list of objects that must be there."""
        value = self.get(key)
        if not isinstance(value, list):
            self.refuse(key, "a list of objects")
        return rows_of(value, lambda k: f"{self.where}, {key} {k}")


def rows_of(values: Sequence[Any], where: Callable[[int], str]) -> list[Row]:
    """Objects of a list as rows; `where(k)` names the place of entry k."""
    return [row_of(value, where(k)) for k, value in enumerate(values)]


def row_of(value: Any, where: str) -> Row:
    """An object as a row."""
    if not isinstance(value, dict):
        raise StoreError(f"{where}: an object was expected, not {shown(value)}")
    return Row(where, value)


def answer_text(value: Any) -> str:
    """An answer as text; "" for what is none."""
    if isinstance(value, str):
        return value
    whole = isinstance(value, int | float) and not isinstance(value, bool)
    return repr(value) if whole else ""


def is_whole(value: Any) -> bool:
    """Whether a value is an integer, which true and false aren't."""
    return isinstance(value, int) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """A value in an error, in a few characters."""
    return shorten(json.dumps(value, default=repr), 40)


def said_by(messages: Any) -> str | None:
    """The text of the last message of an assistant, or of a text; None if there is none."""
    if isinstance(messages, str):
        return messages
    if not isinstance(messages, list):
        return None
    spoken = [m for m in messages if isinstance(m, dict) and m.get("role") == "assistant"]
    return content_text(spoken[-1].get("content")) if spoken else None


def asked_by(messages: Any) -> str | None:
    """The text of the last message of a user, or of a text; None if there is none."""
    if isinstance(messages, str):
        return messages
    if not isinstance(messages, list):
        return None
    asked = [m for m in messages if isinstance(m, dict) and m.get("role") == "user"]
    return content_text(asked[-1].get("content")) if asked else None


def content_text(content: Any) -> str:
    """The text of a message, in one piece or in parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))
