"""JSON and TOML of others: what is sound is read as written, what is not is refused, soon."""

import contextlib
import json
import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts.untrusted import DEEPEST, MOST_BYTES, parse_json, parse_toml

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


TOML_TEXT = st.text(st.sampled_from("ab1.='\"#[]{}, \n\\_-"), max_size=60)


@given(
    TOML_TEXT | st.lists(TOML_TEXT | st.sampled_from(["a.b=1\n", "[x.y]\n", '"\\""'])).map("".join)
)
def test_what_is_sound_toml_is_read_as_tomllib_does(text):
    """Unless it has triple quotes; and what is none is a ValueError."""
    try:
        expected = tomllib.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"\S"):
            parse_toml(text.encode())
        return
    if '"""' not in text and "'''" not in text:
        assert parse_toml(text.encode()) == expected


FORMS = ("{} = 1", "[{}]", "[[{}]]", "x = {{{} = 1}}", "x = [1,\n{{{} = 1}}]")


@pytest.mark.parametrize("before", ["", *(f"x = 1 {quoted}\n" for quoted in ("# it's", '# "'))])
@pytest.mark.parametrize("deep", ["a" + ".a" * 16, "a" + ' . "b"' * 16, "a" + ".'b.c'" * 16])
@pytest.mark.parametrize(
    "form", ["{} = 1", "[{}]", "[[{}]]", "x = {{{} = 1}}", "x = [1,\n{{{} = 1}}]"]
)
def test_keys_of_many_dots_are_refused_wherever_they_stand(before, deep, form):
    with pytest.raises(ValueError, match="dots"):
        parse_toml((before + form.format(deep)).encode())


def test_dots_in_values_are_no_keys():
    text = 'x = "' + "a." * 40 + 'a"\ny = [' + "0.5, " * 40 + "0.5]\n# " + "a." * 40 + "\n"
    assert parse_toml(text.encode())["y"] == [0.5] * 41


LONG = MOST_BYTES - 20
SLOW_TOML = {
    "dotted key": "a" + ".a" * (LONG // 2) + " = 1",
    "dotted table": "[" + "a" + ".a" * (LONG // 2) + "]",
    "tables": "".join(f"[{'.'.join('a' * 15)}.b{k}]\n" for k in range(LONG // 40)),
    "keys": "".join(f"{'.'.join('a' * 15)}.b{k} = 1\n" for k in range(LONG // 45)),
    "arrays": "x = " + "[" * LONG,
    "inline tables": "x = " + "{a=" * (LONG // 3),
    "hexadecimal": "x = 0x" + "f" * LONG,
    "digits": "x = " + "1" * LONG,
    "a word": "a" * LONG,
    "words": "a " * (LONG // 2),
    "dots": "." * LONG,
    "quotes": "'\n" * (LONG // 2),
    "backslashes": 'x = "' + "\\" * LONG,
    "comments": "x = [" + "\n#" * (LONG // 2),
    "too long": "#" * (MOST_BYTES + 1),
}


@pytest.mark.parametrize("name", SLOW_TOML)
def test_any_toml_is_read_or_refused_in_a_second(name):
    began = time.process_time()
    with contextlib.suppress(ValueError):
        parse_toml(SLOW_TOML[name].encode())
    assert time.process_time() - began < 1.0
