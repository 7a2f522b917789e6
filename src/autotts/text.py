"""Text that others wrote, made fit to be shown; and letters for answers."""

import itertools
import math
import re
import string
from collections.abc import Hashable, Iterable
from typing import TypeVar

T = TypeVar("T", bound=Hashable)

LETTERS = string.ascii_uppercase + string.ascii_lowercase
"""Answers in traces, in the order in which they appear."""

# C0 but tab and line feed, DEL and C1; what is invisible or turns the direction of writing; halves
# of characters. Joiners stay: scripts and emoji need them.
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}


def clean(text: str) -> str:
    """A text that can't drive the terminal it is shown on, as long as it was.

    Control characters become their pictures; others that hide or reorder text become "\ufffd".

    >>> clean("red: \\x1b[31m")
    'red: ␛[31m'
    """
    return _UNSHOWABLE.sub(lambda found: _PICTURES.get(ord(found[0]), "\ufffd"), text)


def shorten(text: str, most: int) -> str:
    """At most so many characters of a text; an ellipsis stands for the rest.

    >>> shorten("a long name", 7)
    'a long…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def head(text: str, most_bytes: int) -> str:
    """The beginning of a text, in at most so many bytes of UTF-8; no character is cut in two.

    >>> head("naïve", 3)
    'na'
    """
    return text.encode()[: max(0, most_bytes)].decode(errors="ignore")


def letters(answers: Iterable[T]) -> dict[T, str]:
    """A letter for each answer, in order of first appearance; "?" when there are no more.

    >>> letters([7, 2, 7])
    {7: 'A', 2: 'B'}
    """
    names = itertools.chain(LETTERS, itertools.repeat("?"))
    return dict(zip(dict.fromkeys(answers), names, strict=False))


def percent(share: float | None, form: str = ".1f") -> str:
    """A share in percent, without the sign; "-" for none.

    Args:
        form: of the number, as `format` takes it.

    >>> percent(0.123), percent(-0.004, "+.2f"), percent(None)
    ('12.3', '-0.40', '-')
    """
    return "-" if share is None or math.isnan(share) else format(100 * share, form)


def counted(count: int, noun: str) -> str:
    """A number of things, in words.

    >>> counted(1, "round"), counted(2_000, "branch"), counted(0, "try")
    ('1 round', '2,000 branches', '0 tries')
    """
    if count != 1:
        if noun.endswith("y") and noun[-2:-1] not in "aeiou":
            noun = f"{noun[:-1]}ies"
        else:
            noun += "es" if noun.endswith(("s", "ch", "sh", "x")) else "s"
    return f"{count:,} {noun}"
