"""Answers to mathematical questions: reading one in a text, telling whether two are the same.

The math-verify library decides equality where it is installed (`pip install "autotts[math]"`); a
small normaliser of our own, for numbers, fractions and the usual LaTeX wrappers, does otherwise.
"""

import logging
import re
import threading
from fractions import Fraction
from functools import lru_cache
from importlib.util import find_spec

FAILED = "ERR"
"""What stands in a store for an answer that could not be extracted."""

_BOXED = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)")
_SAID = re.compile(
    r"(?:final answer|answer)\s*(?:is|:|=)\s*:?\s*\$?([^\n$]+?)\$?\s*(?:\.(?:\s|$)|\n|$)", re.I
)
_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mathit|boxed|fbox|mbox)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]+)\}|(\d))\s*(?:\{([^{}]+)\}|(\d))")
_NOISE = re.compile(r"\\(?:left|right|[,;:! ]|quad|displaystyle)|[\s$]|\\\(|\\\)|\\\[|\\\]")
_THOUSANDS = re.compile(r"(?<=\d)(?:,|\{,\})(?=\d{3}(?!\d))")
_UNIT = re.compile(r"(?:\^\{?\\circ\}?|\\degree|°|\\%|%)$")
_SECONDS = 5
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:/[+-]?\d+(?:\.\d+)?)?")


def extract(text: str) -> str:
    r"""The answer that a text gives: what its last `\boxed{}` holds, else what it says it is.

    `FAILED` if there is none.

    >>> extract(r"so the sum is \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    >>> extract("Thus the final answer is 204.")
    '204'
    """
    for opened in reversed(list(_BOXED.finditer(text))):
        inside = _braced(text, opened.end())
        if inside is not None and inside.strip():
            return inside.strip()
    said = _SAID.findall(text)
    return said[-1].strip() if said else FAILED


def _braced(text: str, start: int) -> str | None:
    """What stands between the brace at `start` and its partner, None if that is missing."""
    depth = 0
    for k in range(start, len(text)):
        if text[k - 1 : k] == "\\":
            continue
        depth += (text[k] == "{") - (text[k] == "}")
        if depth == 0:
            return text[start + 1 : k]
    return None


@lru_cache(maxsize=65_536)
def normalise(answer: str) -> str:
    r"""A form in which equal answers of the common kinds are equal strings.

    Wrappers, spaces, units of degree and percent and thousands separators go; fractions become
    `a/b`; numbers become exact fractions in lowest terms.

    >>> normalise(r"\text{ 1,024 }"), normalise(r"\dfrac{2}{4}"), normalise("0.50")
    ('1024', '1/2', '1/2')
    >>> normalise(r"$x^2 + 1$")
    'x^2+1'
    """
    text = answer
    while (plain := _WRAPPER.sub(r"\1", text)) != text:
        text = plain
    text = _NOISE.sub("", text)
    text = _THOUSANDS.sub("", text)
    text = _UNIT.sub("", text)
    text = _FRACTION.sub(lambda m: _quotient(m[1] or m[2], m[3] or m[4]), text)
    name, equals, value = text.partition("=")
    if equals and len(name) == 1 and name.isalpha():
        text = value
    text = text.rstrip(".")
    if not _NUMBER.fullmatch(text):
        return text
    above, _, below = text.partition("/")
    if below and not Fraction(below):
        return text
    return str(Fraction(above) / Fraction(below or 1))


def _quotient(above: str, below: str) -> str:
    parts = (part if part.isalnum() else f"({part})" for part in (above, below))
    return "/".join(parts)


@lru_cache(maxsize=65_536)
def equal(a: str, b: str) -> bool:
    r"""Whether two answers are mathematically the same. A failed extraction equals nothing.

    >>> equal(r"\frac12", "0.5"), equal("x", "y"), equal("ERR", "ERR")
    (True, False, False)
    """
    if FAILED in (a, b):
        return False
    plain = normalise(a), normalise(b)
    if plain[0] == plain[1]:
        return True
    if all(_NUMBER.fullmatch(text) for text in plain):
        return False
    return has_math_verify() and _verify(a, b)


def has_math_verify() -> bool:
    """Whether the math-verify library is there to decide the harder cases."""
    return find_spec("math_verify") is not None


def _verify(a: str, b: str) -> bool:
    from math_verify import parse, verify

    # Its time-outs use signals, which only the main thread can have; it warns where there are none.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    seconds = _SECONDS if threading.current_thread() is threading.main_thread() else None
    parsed = [parse(f"${text}$", parsing_timeout=seconds) for text in (a, b)]
    return bool(verify(*parsed, timeout_seconds=seconds))
