r"""Whether two answers to mathematical questions are the same.

Two answers are the same if their normal forms are, if they are the same number, or if they are
lists of the same kind with the same items. For other formulas math-verify decides, where it is
installed (`pip install "autotts[math]"`) and can be trusted. It takes words for products of
letters (`evil` for `vile`), drops units (5 cm, 5 m), and tells neither capital letters nor kinds of
brackets apart. What is exact is not the same as what is rounded: `\pi` is not 3.14159.
"""

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from autotts.answers.algebra import has_math_verify, same_formula
from autotts.answers.extraction import EMPHASIS, FAILED

_LONGEST = 400
"""Characters of an answer that is read as mathematics; a longer one is a text."""
_MOST_ITEMS = 30
_WRAPPER = re.compile(
    r"\\(?:text(?:bf|it|rm|tt)?|math(?:rm|bf|it|sf|tt)|operatorname|mbox|boxed|fbox)\s*"
    r"\{([^{}]*)\}"
)
_SPACING = re.compile(
    r"\\(?:left|right|q?quad|displaystyle|textstyle)(?![A-Za-z])|\\[,;:> ()\[\]]|[$~\s]"
)
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|([0-9]))\s*(?:\{([^{}]*)\}|([0-9A-Za-z]))")
_SEPARATOR = re.compile(r"(?<=[0-9])(?:\{,\}|\\,|\u2009|\u202f)(?=[0-9]{3}(?![0-9]))")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_DEGREES = re.compile(r"(?<=[0-9])\s*(?:\^\{?\\circ\}?|\\degree|°|\\?%)$")
_PLAIN = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_NUMBER = re.compile(rf"([+-]?{_PLAIN})(?:/([+-]?{_PLAIN}))?")
_QUOTIENT = re.compile(rf"([+-]?)\\frac\{{([+-]?{_PLAIN})\}}\{{([+-]?{_PLAIN})\}}")
_MIXED = re.compile(r"([+-]?)([0-9]+) ?(?:\\frac\{([0-9]+)\}\{([0-9]+)\}|(?<= )([0-9]+)/([0-9]+))")
_UNIT = re.compile(
    r"(?:[munckM]?m|[munk]?g|[munk]?s|[mc]?[lL]|min|minutes?|h|hrs?|hours?|seconds?|days?|weeks?"
    r"|months?|years?|inch(?:es)?|in|ft|feet|foot|yards?|miles?|mph|kph|meters?|metres?|centimeters?"
    r"|kilometers?|grams?|kilograms?|liters?|litres?|dollars?|cents?|euros?|USD|degrees?|radians?"
    r"|units?|percent|people|apples)(?:\^\{?[23]\}?)?"
)
_FUNCTIONS = re.compile(r"\\[A-Za-z]+|(?:arc)?(?:sin|cos|tan)|log|ln|exp|sqrt|max|min|gcd")
_OPENED = {"(": ")", "[": "]", "\\{": "\\}", "\\langle": "\\rangle"}
_TOKEN = re.compile(r"\\(?:langle|rangle|[{}])|[()\[\]{},]")


@lru_cache(maxsize=65_536)
def normalise(answer: str) -> str:
    r"""A form in which equal answers of the common kinds are equal strings, and no others are.

    Wrappers, emphasis, spaces, degrees, percent and thousands separators go; numbers, mixed numbers
    and fractions of numbers become exact fractions in lowest terms.

    >>> normalise(r"\text{ 1,024 }"), normalise(r"\dfrac{2}{4}"), normalise("0.50")
    ('1024', '1/2', '1/2')
    >>> normalise(r"$x^2 + 1$"), normalise(r"5\frac{1}{2}"), normalise("(100,200)")
    ('x^2+1', '11/2', '(100,200)')
    """
    text = _squeeze(_ascii(answer))
    # What is inside of a wrapper may be wrapped again; an answer that is never done stays a text.
    for _ in range(_LONGEST):
        if len(text) > _LONGEST or (simpler := _simpler(text)) == text:
            break
        text = simpler
    return text


def unwrap(answer: str) -> str:
    r"""An answer without emphasis, dollar signs, and commands that only set type around it.

    >>> unwrap(r"**(B)**"), unwrap(r"$\text{a cat}$")
    ('(B)', 'a cat')
    """
    text = _ascii(answer)
    while True:
        simpler = EMPHASIS.sub(r"\2", _WRAPPER.sub(r"\1", text)).strip("$ \t\n")
        if simpler == text:
            return text
        text = simpler


def _ascii(text: str) -> str:
    """Digits, signs and letters of full width as the usual ones, and accents with their letters.

    What takes no room (a zero-width space, a byte order mark) goes.
    """
    if text.isascii():
        return text
    table = {"\u2212": "-", "\u2013": "-", "\ufe63": "-", "\u2044": "/", "\u3000": " "}
    table |= {"\u200b": "", "\ufeff": ""}
    made = []
    for c in text:
        if (digit := unicodedata.decimal(c, None)) is not None:
            c = str(digit)
        elif "\uff01" <= c <= "\uff5e":
            c = chr(ord(c) - 0xFEE0)
        made.append(table.get(c, c))
    return unicodedata.normalize("NFC", "".join(made))


def _squeeze(text: str) -> str:
    """A text without spaces, but where they keep two numbers apart."""
    text = re.sub(r"\s++", " ", text.strip())
    return re.sub(r"(?<![0-9.]) | (?![0-9.])", "", text)


def _simpler(text: str) -> str:
    """A step towards the normal form."""
    text = _SEPARATOR.sub(",", text.replace("\\!", ""))
    text = _squeeze(_SPACING.sub(" ", text.replace("\\$", "")))
    text = _WRAPPER.sub(r" \1 ", text)
    text = _squeeze(EMPHASIS.sub(r"\2", text))
    text = _FRACTION.sub(lambda m: rf"\frac{{{m[1] or m[2]}}}{{{m[3] or m[4]}}}", text)
    text = _DEGREES.sub("", text)
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1]
    if re.fullmatch(r"\{[^{}]*\}", text):
        text = text[1:-1]
    if choice := re.fullmatch(r"\(([A-Ja-j])\)|([A-Da-d])", text):
        return (choice[1] or choice[2]).upper()
    name, equals, value = text.partition("=")
    if equals and len(name) == 1 and name.isalpha() and "=" not in value:
        text = value
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    if letters := re.fullmatch(r"([0-9]+|[A-Za-z])/([0-9]+|[A-Za-z])", text):
        text = rf"\frac{{{letters[1]}}}{{{letters[2]}}}"
    number = _number(text)
    return text if number is None else str(number)


def _number(text: str) -> Fraction | None:
    """The number that a text is, None if it is none."""
    if len(text) > _LONGEST:
        return None
    if found := _NUMBER.fullmatch(text):
        sign, above, below = "", found[1], found[2] or "1"
    elif found := _QUOTIENT.fullmatch(text):
        sign, above, below = found[1], found[2], found[3]
    elif found := _MIXED.fullmatch(text):
        sign, whole = found[1], int(found[2])
        above, below = found[3] or found[5], found[4] or found[6]
        if int(above) >= int(below):
            return None
        above = str(whole * int(below) + int(above))
    else:
        return None
    if not Fraction(below):
        return None
    size = Fraction(above) / Fraction(below)
    return -size if sign == "-" else size


@lru_cache(maxsize=65_536)
def equal(a: str, b: str) -> bool:
    r"""Whether two answers are mathematically the same. A failed extraction equals nothing.

    Equal either way round; safe in threads and under asyncio, and bounded in time.

    >>> equal(r"\frac12", "0.5"), equal("x", "y"), equal("ERR", "ERR")
    (True, False, False)
    """
    if FAILED in (a, b):
        return False
    # One order, so that the outcome doesn't depend on it.
    first, second = sorted((normalise(a), normalise(b)))
    return first == second or _equal(first, second)


@lru_cache(maxsize=65_536)
def _equal(a: str, b: str) -> bool:
    """Whether two normal forms that differ are of the same answer."""
    if max(len(a), len(b)) > _LONGEST:
        return False
    (x, x_unit), (y, y_unit) = _quantity(a), _quantity(b)
    if x is not None and y is not None:
        return x == y and (x_unit == y_unit or "" in (x_unit, y_unit))
    (brackets, items), (other_brackets, others) = _items(a), _items(b)
    if items or others:
        return brackets == other_brackets and _same_items(items, others, brackets in ("", "\\{"))
    return _comparable(a, b) and has_math_verify() and same_formula(a, b)


def _quantity(text: str) -> tuple[Fraction | None, str]:
    """A number and its unit, "" if it has none; None where a text is no such thing."""
    found = re.fullmatch(r"(.*[0-9.}])((?:[A-Za-z]+)(?:\^\{?[23]\}?)?)", text, re.S)
    if found and _UNIT.fullmatch(found[2]):
        return _number(normalise(found[1])), found[2]
    return _number(text), ""


def _items(text: str) -> tuple[str, list[str]]:
    """The opening bracket of a list and its items; none where a text is no list."""
    opened: list[str] = []
    commas: list[int] = []
    outer_end = -1
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in _OPENED or mark == "{":
            opened.append(mark)
        elif mark == ",":
            if len(opened) <= 1:
                commas.append(token.start())
        elif opened:
            opened.pop()
            if not opened and outer_end < 0:
                outer_end = token.end()
    start = next((mark for mark in _OPENED if text.startswith(mark)), "")
    # A half-open interval begins and ends in different brackets, and both are its kind.
    if start and outer_end == len(text):
        end = next(mark for mark in (")", "]", "\\}", "\\rangle", "") if text.endswith(mark))
        cuts = [len(start) - 1, *commas, len(text) - len(end)]
        kind = start if _OPENED[start] == end else start + end
    elif start:
        return "", []
    else:
        kind, cuts = "", [-1, *commas, len(text)]
    if not commas:
        return kind, []
    return kind, [text[i + 1 : j] for i, j in pairwise(cuts)]


def _same_items(first: Sequence[str], second: Sequence[str], unordered: bool) -> bool:
    """Whether two lists have equal items, in the same order unless they are sets or bare."""
    if len(first) != len(second) or len(first) > _MOST_ITEMS:
        return False
    left = list(second)
    for item in first:
        partners = left if unordered else left[:1]
        match = next((k for k, other in enumerate(partners) if equal(item, other)), None)
        if match is None:
            return False
        del left[match]
    return True


def kind(normal: str) -> tuple[str, object] | None:
    """What a normal form may be equal to others of; None if to none but itself.

    Equal answers that have different normal forms are of one kind.
    """
    if len(normal) > _LONGEST:
        return None
    number, unit = _quantity(normal)
    if number is not None and unit:
        return "formula", frozenset[str]()
    brackets, items = _items(normal)
    if items:
        return "list", (brackets, len(items))
    letters = _letters(normal)
    return None if letters is None else ("formula", letters)


def is_number(normal: str) -> bool:
    """Whether a normal form is a plain number, which equals no other plain number."""
    return _number(normal) is not None


def _comparable(a: str, b: str) -> bool:
    """Whether math-verify can be trusted with two formulas: of the same letters, and no words."""
    letters = _letters(a)
    return letters is not None and letters == _letters(b)


@lru_cache(maxsize=65_536)
def _letters(formula: str) -> frozenset[str] | None:
    """The letters of a formula; None if it has words, or what math-verify gets wrong."""
    plain = _FUNCTIONS.sub(" ", formula)
    if not formula or re.search(r"[A-Za-z]{3}|[A-Z]{2}|\.\.|[^\x00-\x7f]|['\"#&@?!|]", plain):
        return None
    return frozenset(re.findall(r"[A-Za-z]", plain))
