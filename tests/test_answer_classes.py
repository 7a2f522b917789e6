"""Answer classes: which strings are one vote, by kind of equality."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotts.answers import algebra, classify, verdicts
from autotts.answers.classes import letter
from autotts.errors import AutottsError


def by_class(strings, *, counts=None, equality="math"):
    """The classes as sets of strings, in order of first appearance."""
    heads = classify(strings, counts or [1] * len(strings), equality=equality)
    return [
        {text for text, head in zip(strings, heads, strict=True) if head == each}
        for each in dict.fromkeys(heads)
    ]


def test_exact_keeps_strings_apart():
    assert by_class(["1/2", "0.5", " 1/2"], equality="exact") == [{"1/2"}, {"0.5"}, {" 1/2"}]


def test_mathematics_joins_what_is_the_same_number():
    assert by_class(["1/2", "0.5", r"\frac{1}{2}", "7", "2"]) == [
        {"1/2", "0.5", r"\frac{1}{2}"}, {"7"}, {"2"},
    ]  # fmt: skip


def test_mathematics_joins_formulas():
    pytest.importorskip("math_verify")
    assert by_class([r"2\sqrt{2}", "x+1", r"\sqrt{8}", "1+x", r"\sqrt{4}", "2"]) == [
        {r"2\sqrt{2}", r"\sqrt{8}"}, {"x+1", "1+x"}, {r"\sqrt{4}", "2"},
    ]  # fmt: skip


def test_choices_are_letters_however_wrapped():
    strings = ["b", "(B)", " B", r"\text{B}", "B. the cat", "Option B", "C", "cat", "Cat"]
    assert by_class(strings, equality="choice") == [set(strings[:6]), {"C"}, {"cat", "Cat"}]


@pytest.mark.parametrize("text", ["a cat", "AB", "I think so", "12", "x+1", "", "B2", "answer"])
def test_texts_that_are_no_choice(text):
    assert letter(text) == ""


def test_the_most_frequent_string_stands_for_a_class():
    assert classify(["0.50", "1/2", "3"], [1, 5, 2], equality="math") == [1, 1, 2]


def test_an_answer_that_nobody_gave_takes_no_part_in_the_vote():
    """The same strings with other true answers are in the same classes."""
    strings = ["1/2", "0.5", "2", "4/2"]
    first = classify([*strings, "1"], [3, 1, 1, 1, 0], equality="math")
    second = classify([*strings, "2.0"], [3, 1, 1, 1, 0], equality="math")
    assert first[:4] == second[:4] == [0, 0, 2, 2]
    assert (first[4], second[4]) == (4, 2)


def test_thousands_of_numbers_are_no_work():
    strings = [str(number) for number in range(20_000)]
    assert classify(strings, [1] * len(strings), equality="math") == list(range(len(strings)))


ANSWERS = st.lists(
    st.sampled_from(
        ["1", "1/2", "0.5", "2", "2.0", "B", "(B)", "b", "", "ERR", "none", "x", "5 cm", "5",
         r"\frac{1}{2}", "1,2", "2,1", "(1,2)", "x+1", "1,000", "1000"]
    ),
    min_size=1, max_size=12, unique=True,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(ANSWERS, st.sampled_from(["exact", "math", "choice", "code"]), st.data())
def test_classes_are_a_partition_whatever_the_strings(strings, equality, data):
    """What stands for a class stands for itself, and is given as often as any of it."""
    counts = data.draw(st.lists(st.integers(0, 5), min_size=len(strings), max_size=len(strings)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autotts.answers.equality.has_math_verify", lambda: False)
        heads = classify(strings, counts, equality=equality)
    assert all(heads[head] == head for head in heads)
    assert all(counts[head] >= counts[i] for i, head in enumerate(heads))


def test_verdicts_are_kept_for_other_processes():
    pytest.importorskip("math_verify")
    assert algebra.same_formula("x+y", "y+x")
    code = (
        "from autotts.answers import verdicts; print(verdicts.look_up('x+y', 'y+x'),"
        " verdicts.look_up('x', 'y'))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", "None"]


def test_a_damaged_line_among_the_verdicts_is_passed_over():
    pytest.importorskip("math_verify")
    verdicts.keep("a", "b", True)
    path = verdicts._file()
    path.write_bytes(
        b'["c", "d"\n[1]\n\xff\n' + path.read_bytes() + json.dumps(["e", "f"]).encode()
    )
    verdicts._known.cache_clear()
    assert verdicts.look_up("a", "b") is True
    assert verdicts.look_up("c", "d") is None


def test_a_library_that_does_not_start_is_an_error(monkeypatch):
    """Not a difference between all answers."""
    pytest.importorskip("math_verify")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(AutottsError, match="doesn't start"):
        algebra._Verifier().ask("x", "y")
