"""Answer classes: which strings are one vote, by kind of equality."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotts.answers import UNREADABLE, algebra, classify, verdicts
from autotts.answers.classes import letter
from autotts.errors import AutottsError


def by_class(strings, *, golds=(0,), counts=None, equality="math", unreadable=UNREADABLE):
    """The classes as sets of strings, in order of first appearance."""
    made = classify(
        strings, counts or [1] * len(strings), golds, equality=equality, unreadable=unreadable
    )
    return [
        {text for text, number in zip(strings, made.of, strict=True) if number == each}
        for each in range(len(made.shown))
    ]


def test_exact_keeps_strings_apart_and_failures_together():
    strings = ["1/2", "0.5", "", "None", "[Invalid]", "ERR"]
    assert by_class(strings, equality="exact") == [{"1/2"}, {"0.5"}, set(strings[2:])]
    made = classify(strings, [1] * 6, [0], equality="exact", unreadable=UNREADABLE)
    assert (made.failed, made.accepted) == (2, (0,))


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


def test_a_class_is_shown_by_its_most_frequent_string():
    made = classify(["0.50", "1/2", "3"], [1, 5, 2], [2], equality="math")
    assert made.shown == (1, 2)
    assert made.accepted == (1,)


def test_every_true_answer_is_accepted_and_none_is_a_failure():
    """A question whose true answer is the text None, or one of several."""
    made = classify(["None", "4", "four", "5"], [1, 1, 1, 1], [1, 2], equality="exact")
    assert made.accepted == (1, 2)
    made = classify(["None", "4"], [1, 1], [0], equality="exact", unreadable=UNREADABLE)
    assert (made.accepted, made.failed) == ((0,), -1)


def test_the_true_answer_takes_no_part_in_the_vote():
    """The same strings with other true answers are in the same classes."""
    strings = ["1/2", "0.5", "2", "4/2"]
    first = classify([*strings, "1"], [3, 1, 1, 1, 0], [4], equality="math")
    second = classify([*strings, "2.0"], [3, 1, 1, 1, 0], [4], equality="math")
    assert first.of[:4] == second.of[:4]
    assert second.accepted == (second.of[2],)


def test_thousands_of_numbers_are_no_work():
    strings = [str(number) for number in range(20_000)]
    made = classify(strings, [1] * len(strings), [7], equality="math")
    assert len(made.shown) == len(strings)


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
    """Numbered as they first appear, with the true answers accepted and equal texts together."""
    counts = data.draw(st.lists(st.integers(0, 5), min_size=len(strings), max_size=len(strings)))
    golds = [data.draw(st.integers(0, len(strings) - 1))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autotts.answers.equality.has_math_verify", lambda: False)
        made = classify(strings, counts, golds, equality=equality, unreadable=UNREADABLE)
    assert list(dict.fromkeys(made.of)) == list(range(len(made.shown)))
    assert all(made.of[string] == number for number, string in enumerate(made.shown))
    assert made.of[golds[0]] == made.accepted[0]
    assert len(set(made.accepted)) == len(made.accepted)
    assert made.failed not in made.accepted


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
