"""The sentence says no more than its numbers, as shown, bear."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts.discovery.run.state import RunState
from autotts.evaluation.compare import setting_difference
from autotts.evaluation.frontiers import curve
from autotts.reports.conclusion import of_run, of_settings, standing
from autotts.reports.model import Line, Point

CENTS = st.integers(-5_000, 5_000).map(lambda cents: cents / 100)
NUMBER = r"[+-]\d+\.\d\d"


@given(st.floats(-50, 50), st.floats(0, 20), st.floats(0, 20))
def test_a_standing_never_contradicts_the_numbers_beside_it(difference, below, above):
    words = standing(difference, difference - below, difference + above, "cmc")
    if words == "answers all questions as often right as cmc":
        assert max(abs(difference - below), abs(difference + above)) < 0.01
        return
    value, low, high = (float(x) for x in re.findall(NUMBER, words))
    assert low <= value <= high
    assert words.startswith("is above cmc") == (low > 0)
    assert words.startswith("is below cmc") == (high < 0)
    assert words.startswith("can't be told apart from cmc") == (low <= 0 <= high)


def test_one_question_has_no_interval():
    words = standing(40, float("-inf"), float("inf"), "cmc")
    assert words == "is +40.00 points from cmc (one question: no interval)"


def line(name: str, *points: tuple[float, float]) -> Line:
    made = (Point(beta, y, 1000, 10, y - 5, y + 5) for beta, y in points)
    return Line(name, "m/d", tuple(made))


def test_the_most_accurate_setting_is_named_with_its_interval():
    found = of_settings([line("cmc", (0, 50), (1, 60)), line("asc", (0.5, 55))])
    assert found.best == "cmc"
    assert found.words == (
        "cmc at beta 1 is the most accurate of 3 settings on m/d, as found: 60.0 % right"
        " (95 %: 55.0 to 65.0) for 1,000 tokens per question."
    )


def test_a_single_setting_is_the_best_of_nothing():
    words = of_settings([Line("cmc", "m/d", (Point(0.5, 50, 1000, 10),))]).words
    assert (
        words == "cmc at beta 0.5 on m/d: 50.0 % right (no interval) for 1,000 tokens per question."
    )


def test_settings_that_are_all_alike_have_no_best_one():
    words = of_settings([line("cmc", (0, 50), (1, 50))]).words
    assert words.startswith("All 2 settings are equally accurate on m/d")


STORE = ("m", "d")


def sweep(name: str, *right: list[int]):
    """A curve with `[Q]` right answers at betas 0, 1, ..."""
    cells = {
        (STORE, float(beta)): (np.array(row, bool)[:, None], np.ones((len(row), 1)))
        for beta, row in enumerate(right)
    }
    return curve(name, cells)


def test_two_settings_are_compared_question_by_question():
    """The same lead is beyond chance where every question bears it, not where one does."""
    worse = sweep("asc", [0] * 20 + [1] * 10)
    steady, lucky = sweep("cmc", [1] * 30), sweep("cmc", [0] * 19 + [1] * 11)
    for mine, sign in ((steady, 1), (lucky, 0)):
        found = setting_difference(mine, 0.0, worse, 0.0, rng=np.random.default_rng(0))
        assert found.estimate == pytest.approx(float(mine.correct[STORE].mean()) - 1 / 3)
        assert (found.low > 0) == (sign > 0)


def test_a_setting_is_held_against_the_other_controllers():
    curves = {
        "cmc": sweep("cmc", [1] * 30, [1] * 29 + [0]),
        "asc": sweep("asc", [0] * 20 + [1] * 10),
    }
    lines = [line("cmc", (0, 100), (1, 96.7)), line("asc", (0, 33.3))]
    words = of_settings(lines, curves).words
    assert "it is above asc at beta 0 (+66.67 points, 95 %: +" in words


def test_a_run_without_proposals_found_nothing():
    assert of_run(RunState()).words == "Nothing was found: no program was proposed yet."
