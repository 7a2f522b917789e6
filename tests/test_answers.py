import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts import answers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"first \boxed{1}, then \boxed{2}", "2"),
        (r"\boxed{\frac{a}{b^{2}}} done", r"\frac{a}{b^{2}}"),
        (r"\boxed{7} and an unfinished \boxed{8", "7"),
        ("The answer is: $42$.", "42"),
        ("Final answer: 3.5\nthat is all", "3.5"),
        ("I do not know", answers.FAILED),
        (r"\boxed{ }", answers.FAILED),
        ("", answers.FAILED),
    ],
)
def test_extraction(text, found):
    assert answers.extract(text) == found


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("073", "73"),
        ("1,024", "1024"),
        (r"1{,}024", "1024"),
        (r"\frac{3}{6}", "1/2"),
        (r"\dfrac12", "0.5"),
        (r"\text{(A)}", "(A)"),
        (r"90^\circ", "90"),
        (r"25\%", "25"),
        ("x = 5", "5"),
        (r"\left( 1, 2 \right)", "(1,2)"),
        ("-0.25", r"-\frac{1}{4}"),
    ],
)
def test_equal_answers_without_math_verify(a, b, monkeypatch):
    monkeypatch.setattr(answers, "has_math_verify", lambda: False)
    assert answers.equal.__wrapped__(a, b)
    assert answers.equal.__wrapped__(b, a)


@pytest.mark.parametrize(
    ("a", "b"), [("1", "2"), ("x", "y"), ("1/0", "1"), ("(1,234)", "1234"), ("ERR", "ERR")]
)
def test_different_answers(a, b):
    assert not answers.equal(a, b)


def test_math_verify_decides_the_harder_cases():
    pytest.importorskip("math_verify")
    assert answers.equal(r"2\sqrt{2}", r"\sqrt{8}")
    assert not answers.equal(r"2\sqrt{2}", r"\sqrt{7}")


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_numbers_in_any_form_are_equal(above, below):
    """A fraction equals itself in LaTeX, and is its own normal form."""
    plain = answers.normalise(f"{above}/{below}")
    sign, size = ("-" if above < 0 else ""), abs(above)
    assert answers.normalise(rf"{sign}\frac{{{size}}}{{{below}}}") == plain
    assert answers.normalise(plain) == plain


@given(st.text(max_size=40))
def test_any_text_can_be_normalised_and_searched(text):
    answers.extract(text)
    assert answers.normalise(text) == answers.normalise(text)
