import asyncio
import signal
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotts import answers
from autotts.answers import equality


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"first \boxed{1}, then \boxed{2}", "2"),
        (r"\boxed{\frac{a}{b^{2}}} done", r"\frac{a}{b^{2}}"),
        (r"\boxed{7} and an unfinished \boxed{8", "7"),
        ("The answer is: $42$.", "42"),
        ("Final answer: 3.5\nthat is all", "3.5"),
        ("I do not know", answers.FAILED),
        ("**Answer: D**", "D"),
        ("Answer: **D**", "D"),
        ("__Answer__: D", "D"),
        ("**Answer:** 42", "42"),
        ("Answer:\n42", "42"),
        ("The answer is **C**.", "C"),
        ("### Final Answer\n\n**Answer: 3/4**", "3/4"),
        (r"so \boxed{\langle H\rangle \ll \Delta E}. **Answer: D**", "D"),
        (r"so \boxed{5}, and the answer is what we sought", "5"),
        (r"x = \boxed{\boxed{5}}", "5"),
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
        (r"5\frac{1}{2}", "11/2"),
        ("5 1/2", "11/2"),
        ("-5 1/2", r"-\frac{11}{2}"),
        (r"10\tfrac{2}{3}", "32/3"),
        ("**D**", "D"),
        ("(B)", r"\text{B}"),
        ("b", "B"),
        ("\u22125", "-5"),
        ("\uff11\uff12", "12"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u200b42\ufeff", "42"),
        (r"10,\!000", r"10\,000"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\{1, 2\}", r"\{2,1\}"),
        ("(1/2, 3)", "(0.5,3)"),
        ("1,2", "2, 1"),
        ("[0, 1)", "[0,1.0)"),
        ("5 cm", r"5\text{ cm}"),
        (r"$\frac{1}{2}$ cm", "1/2"),
        ("50%", "50"),
        ("a/b", r"\frac{a}{b}"),
        ("9" * 5_000, "9" * 5_000),
    ],
)
def test_equal_answers_without_math_verify(a, b, monkeypatch):
    monkeypatch.setattr(equality, "has_math_verify", lambda: False)
    assert answers.equal(a, b)
    assert answers.equal(b, a)


DIFFERENT = [
    ("1", "2"), ("x", "y"), ("1/0", "1"), ("(1,234)", "1234"), ("ERR", "ERR"),
    # Equal as strings once spaces and fractions were taken apart carelessly.
    (r"1\frac{1}{2}", "11/2"), (r"\frac{1}{2}n", r"\frac{1}{2n}"), ("2 3", "23"),
    (r"\frac{a}{b}c", r"\frac{a}{bc}"), ("0.333...", "0.333"), ("x\u00b2", "x2"),
    # Commas that are no thousands.
    ("(100,200)", "(100200)"), (r"\{1,200\}", r"\{1200\}"), ("0,100", "100"), ("1,23", "123"),
    ("(1,234)", "(1234)"), ("9" * 5_000, "9" * 4_999),
    # Lists of other kinds or orders.
    ("(1,2)", "[1,2]"), ("(1,2)", r"\{1,2\}"), ("1,2", "(1,2)"), ("(1,2)", "(2,1)"),
    ("[0,1)", "[0,1]"), ("(1,1,2)", "(1,2)"),
    # What math-verify takes for equal.
    ("evil", "vile"), ("AB", "BA"), ("5 cm", "5 m"), ("3 hours", "3 minutes"), ("x", "X"),
    ("1<x<2", "(1,2)"), (r"\sqrt{2}", "1.414213562"), (r"\pi", "3.141593"), ("50%", "0.5"),
    ("101", "a=b=101"), ("0.333333", "1/3"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different_answers(a, b):
    assert not answers.equal(a, b)
    assert not answers.equal(b, a)


def test_math_verify_decides_the_harder_cases():
    pytest.importorskip("math_verify")
    assert answers.equal(r"2\sqrt{2}", r"\sqrt{8}")
    assert not answers.equal(r"2\sqrt{2}", r"\sqrt{7}")
    assert answers.equal("x+1", "1+x")
    assert answers.equal(r"(\frac{1}{2},\sqrt{8})", r"(0.5,2\sqrt{2})")
    assert answers.equal(r"\frac{1}{2}n", r"\frac{n}{2}")


def test_equality_is_safe_in_threads_and_under_asyncio():
    """No signals: the harder cases too, from threads, while a loop runs, and with a timer set."""
    pytest.importorskip("math_verify")
    pairs = [(rf"{k}\sqrt{{2}}", rf"\sqrt{{{2 * k * k}}}") for k in range(2, 14)]
    before = signal.getsignal(signal.SIGALRM)

    async def ask():
        return await asyncio.gather(*(asyncio.to_thread(answers.equal, *pair) for pair in pairs))

    assert asyncio.run(ask()) == [True] * len(pairs)

    async def ask_in_the_loop():
        return answers.equal(r"5\sqrt{3}", r"\sqrt{75}")

    assert asyncio.run(ask_in_the_loop())
    assert signal.getsignal(signal.SIGALRM) == before


def test_formulas_that_take_for_ever_are_different_after_some_seconds():
    pytest.importorskip("math_verify")
    began = time.monotonic()
    assert not answers.equal(r"10^{10^{10^{10}}}", r"9^{10^{10^{10}}}")
    assert time.monotonic() - began < 30
    assert answers.equal(r"3\sqrt{5}", r"\sqrt{45}")


@pytest.mark.parametrize(
    "piece",
    [r"\boxed{", "answer is ", "answer: \n", "*", "_", "{", "}", r"\frac{", r"\text{", "9", " ",
     "(", ",", "1,", r"\,", "\\", "**a", "`"],
)  # fmt: skip
def test_no_text_takes_long(piece):
    text = piece * (200_000 // len(piece))
    began = time.process_time()
    for end in ("", "1"):
        answers.extract(text + end)
        answers.normalise(text + end)
    assert not answers.equal(text, text + "1")
    for size in (300, 390):
        answers.equal(piece * (size // len(piece)), piece * (size // len(piece)) + "1")
    assert time.process_time() - began < 5


PIECES = st.lists(
    st.sampled_from(
        ["1", "2", "12", "0", ".", ",", "000", " ", "/", "-", "x", "=", "B", "cm", "(", ")", "[",
         r"\{", r"\}", "{", "}", r"\frac", r"\frac{1}{2}", r"\text{", r"\boxed{", "%", "**", "$",
         r"\left", r"\,", r"\!", r"^\circ", "\u2212", "\uff11", "\u00bd", "answer is "]
    ),
    max_size=10,
).map("".join)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(PIECES | st.text(max_size=60))
def test_a_normal_form_is_its_own(text):
    plain = answers.normalise(text)
    assert answers.normalise(plain) == plain
    answers.extract(text)


@settings(max_examples=300, deadline=None)
@given(PIECES | st.text(max_size=30), PIECES | st.text(max_size=30))
def test_equality_is_reflexive_and_symmetric(a, b):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(equality, "has_math_verify", lambda: False)
        equality._equal.cache_clear()
        assert answers.equal(a, a) == (a != answers.FAILED)
        assert answers.equal(a, b) == answers.equal(b, a)
    answers.equal.cache_clear()
    equality._equal.cache_clear()


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
