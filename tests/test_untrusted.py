"""JSON of others: what is sound is read as written, what is not is refused, soon."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts.untrusted import DEEPEST, parse_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('ab\\"[{é'), inner),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_what_is_sound_is_read_as_written(value, ascii_only):
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200) | st.text('[]{}",:\\u0d8eE+-1NaInfity ').map(str.encode))
def test_nothing_but_a_value_error_comes_of_any_bytes(data):
    """Whatever is sent is a value of JSON or a ValueError, and a value can be written again."""
    try:
        value = parse_json(data)
    except ValueError:
        return
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 40_000, "nested"),
        (b'["' + b'\\"]' * 60 + b'",' + b"[" * (DEEPEST + 1), "nested"),
        (b"[" + b"9" * 100_000 + b"]", "digits"),
        (b"9223372036854775808", "digits"),
        (b"1e999", "too large"),
        (b"NaN", "no number"),
        (b"[-Infinity]", "no number"),
        (b'"\\ud800"', "surrogates"),
        (b"\xff\xfe", "utf-8"),
        (b'"' + b"x" * 300_000 + b'"', "are read"),
        (b"", "Expecting value"),
    ],
)
def test_what_breaks_readers_is_refused_with_a_reason(data, reason):
    with pytest.raises(ValueError, match=reason):
        parse_json(data)


def test_depth_is_that_of_brackets_outside_strings():
    """Brackets in text are text; nesting up to the limit is read; siblings are no nesting."""
    assert parse_json(json.dumps("[" * 1000).encode()) == "[" * 1000
    parse_json(b"[" * DEEPEST + b"]" * DEEPEST)
    assert len(parse_json(json.dumps([[]] * 1000).encode())) == 1000


@pytest.mark.parametrize("unit", [b'"\\', b'\\"', b'"', b"[]", b'{"', b"\\u", b"-"])
def test_reading_takes_time_in_proportion(unit):
    """No pattern of bytes makes the reader slow: 256 KB in well under a second."""
    data = b"[" * 70 + unit * (250_000 // len(unit))
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"nested|Expecting|Invalid"):
        parse_json(data)
    assert time.monotonic() - began < 1


def test_a_byte_order_mark_is_passed_over():
    assert parse_json(b"\xef\xbb\xbf{}") == {}
