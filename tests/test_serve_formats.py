"""How answers are read in what a branch wrote, and which of them count as one."""

import pytest

from autotts.cli.serve import _format
from autotts.errors import SpecError
from autotts.serve.formats import Format
from scripted_branches import ScriptedBranches
from toy_service import post, serving

OBJECTS = '{"x": 1} then {"x": {"x": 2}, "y": [1, 2]} and {"z": 3}'


@pytest.mark.parametrize(
    ("option", "text", "answer"),
    [
        ("math", r"so \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("math", r"<think>\boxed{1}</think> it is \boxed{2}", "2"),
        ("math", "nothing", ""),
        ("choice", "The answer is (B).", "B"),
        ("choice", r"\boxed{c}", "C"),
        ("choice", r"\boxed{42}", ""),
        ("json:y", OBJECTS, "[1, 2]"),
        ("json:x", OBJECTS, '{"x": 2}'),
        ("json:z", OBJECTS, "3"),
        ("json:x", '{"x": "red"} {"x": ', "red"),
        ("json:a", OBJECTS, ""),
        ("json:x", "{" * 5_000, ""),
        (r"regex:(?i)label: (\w+)", "Label: a ... label: b", "b"),
        (r"regex:\d+", "1 or 22", "22"),
        (r"regex:\d+", "none", ""),
        ("last_line", "first\n\n  last  \n\n", "last"),
        ("last_line", "", ""),
        ("text", "<think>hm</think> a poem \n", "a poem"),
    ],
)
def test_an_answer_is_read_as_the_option_says(option, text, answer):
    assert _format(option).read(text) == answer


@pytest.mark.parametrize("option", ["json", "json:", "regex:", "regex:(", "math:x", "poem", ""])
def test_an_option_that_is_no_format_says_which_there_are(option):
    with pytest.raises(SpecError, match="--answers"):
        _format(option)


@pytest.mark.parametrize(
    ("option", "one", "other", "same"),
    [
        ("math", "0.5", r"\frac{1}{2}", True),
        ("math", "1", "2", False),
        ("choice", "A", "B", False),
    ],
)
def test_formulas_are_one_answer_where_they_are_equal(option, one, other, same):
    found = _format(option).same
    assert (found(one, other) if found else one == other) == same


@pytest.mark.parametrize(
    ("answers", "answer"),
    [
        (Format("regex", pattern=r"boxed\{(\w+)\}"), "42"),
        (Format("math"), "42"),
        (Format("choice"), ""),
        (Format("json", field="x"), ""),
    ],
)
def test_branches_vote_by_what_is_read(answers, answer):
    """Where nothing can be read, the longest that finished is the text, and the reason says so."""
    with serving(ScriptedBranches(), controllers={"sc": "sc:width=9"}, answers=answers) as address:
        reply = post(address, seed=3).json()
    account = reply["usage"]["autotts"]
    assert account["answer"] == answer
    text = reply["choices"][0]["message"]["content"]
    if answer:
        assert text.endswith(r"\boxed{42}")
        assert account["stop_reason"] == "answered"
    else:
        assert account["stop_reason"] == "answered, and no branch gave an answer"
        assert reply["usage"]["completion_tokens"] == account["sequential_tokens"]
