"""JSON and TOML that somebody else wrote: bounded in size, depth and numbers before it is built.

Python's own reader overflows its stack on deep nesting, takes quadratic time on long integers, and
accepts NaN, infinities and text that UTF-8 cannot hold. Whoever reads a reply, a transcript or a
request reads it here. Its reader of TOML takes minutes for a key of a hundred thousand dots.
"""

import json
import math
import re
import tomllib
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from pydantic import JsonValue

MOST_BYTES = 256 * 1024
DEEPEST = 64
_LARGEST = 2**63 - 1

# A string is skipped whole, closed or not, so that each byte is looked at once.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.S)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# Of TOML: what begins text of several lines; a comment; text of one line, closed or not.
_NO_KEYS = re.compile(
    rb"""(?P<lines>\"{3}|'{3})|\#[^\n]*+|"(?:[^"\\\n]++|\\.)*+"?|'[^'\n]*+'?""", re.X
)
_MOST_DOTS = 15
_DOTTED = re.compile(
    rb"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){%d}" % (_MOST_DOTS + 1), re.ASCII
)
_LONG_INTEGER = re.compile(rb"[0-9]{19}")
_HALF_A_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(
    data: bytes, *, most_bytes: int = MOST_BYTES, nan_is_null: bool = False
) -> "JsonValue":
    """The value that some bytes of JSON stand for.

    Integers lie within 64 bits, numbers are finite, text can be written as UTF-8, and arrays and
    objects are nested at most `DEEPEST` deep.

    Args:
        nan_is_null: read NaN and infinities, which Python writes and JSON has not, as null.

    Raises:
        ValueError: the bytes are no such JSON; the message says why.
    """
    if len(data) > most_bytes:
        raise ValueError(f"{len(data):,} bytes of JSON; {most_bytes:,} are read")
    if _depth(data) > DEEPEST:
        raise ValueError(f"JSON nested more than {DEEPEST} deep")
    # Looking for long ones first spares a call for each of thousands of token ids.
    integer = _integer if _LONG_INTEGER.search(data) else int
    value: JsonValue = json.loads(
        data.decode("utf-8-sig"),
        parse_int=integer,
        parse_float=_real,
        parse_constant=(lambda _: None) if nan_is_null else _no_number,
    )
    if _HALF_A_PAIR.search(data):
        json.dumps(value, ensure_ascii=False).encode()
    return value


def parse_toml(data: bytes, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The tables that some bytes of TOML stand for; whole numbers and depth as in `parse_json`.

    Text of several lines is not read, and keys have at most 15 dots.

    Raises:
        ValueError: the bytes are no such TOML; the message says why.
    """
    if len(data) > most_bytes:
        raise ValueError(f"{len(data):,} bytes of TOML; {most_bytes:,} are read")
    several = next((m for m in _NO_KEYS.finditer(data) if m["lines"]), None)
    if several:
        raise ValueError("text of several lines, in triple quotes")
    rest = _NO_KEYS.sub(b"x", data)
    if _DOTTED.search(rest):
        raise ValueError(f"a key with more than {_MOST_DOTS} dots")
    if _depth(rest) > DEEPEST:
        raise ValueError(f"TOML nested more than {DEEPEST} deep")
    value = tomllib.loads(data.decode("utf-8-sig"))
    _check_integers(value)
    return value


def _check_integers(value: object) -> None:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            _check_integers(one)
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError("an integer that 64 bits don't hold")


def _depth(data: bytes) -> int:
    """How deep arrays and objects are nested, at most."""
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return 0
    brackets = _STRING.sub(b"", data).translate(None, _NO_BRACKETS)
    # What is innermost is taken out, level by level; a file that was cut short leaves a rest.
    for level in range(DEEPEST + 1):
        rest = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(rest) == len(brackets):
            return level + rest.count(b"[") + rest.count(b"{")
        brackets = rest
    return DEEPEST + 1


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(value := int(digits)) > _LARGEST:
        raise ValueError(
            f"an integer of {len(digits)} digits; 64 bits hold fewer, a text holds any"
        )
    return value


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number that is too large")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number; null stands for none")
