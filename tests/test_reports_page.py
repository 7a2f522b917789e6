"""The page: one file that asks nobody for anything, in which data is never markup."""

import base64
import hashlib
import html
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts.reports.model import ALPHABET, Episode, Grid, Line, Point, Report, Round
from autotts.reports.page import build, fit, to_json

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028 & <!--"


def embedded(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    content: dict[str, object] = json.loads(found[1])
    return content


def hostile_report() -> Report:
    point = Point(0.5, 50.0, 1000.0, 100.0, 40.0, 60.0)
    return Report(
        HOSTILE,
        made_by={HOSTILE: HOSTILE},
        facts=((HOSTILE, HOSTILE),),
        lines=(Line(HOSTILE, HOSTILE, (point,)),),
        rounds=(Round("1", HOSTILE, HOSTILE, idea=HOSTILE, errors=(HOSTILE,), digest=HOSTILE),),
        grids=(Grid(HOSTILE, (HOSTILE,), (HOSTILE,), (1.0,), ()),),
    )


@pytest.mark.parametrize("live", [False, True])
def test_data_can_not_leave_its_element(live):
    page = build(hostile_report(), live=live)
    assert page.count("<script") == 2
    assert page.count("<!--") == 0
    assert "<img" not in page
    assert embedded(page)["title"] == HOSTILE
    assert html.escape(HOSTILE) in page


@given(st.text())
def test_any_text_arrives_as_it_was(text):
    data = to_json(Report(text))
    assert not set("<>&\u2028\u2029") & set(data)
    assert json.loads(data)["title"] == text.encode("utf-8", "replace").decode()


def test_numbers_that_json_has_not_are_null():
    lines = (Line("a", "s", (Point(0.5, float("nan"), float("inf"), 1.0),)),)
    point = json.loads(to_json(Report("x", lines=lines)))["lines"][0]["points"][0]
    assert (point["accuracy"], point["tokens"]) == (None, None)


def test_nothing_is_fetched_from_anywhere():
    page = build(Report("x"))
    addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", page)
    assert set(addresses) <= {"http://www.w3.org"}, "only the name of SVG, which is no address"
    assert not re.search(r"\b(?:src|href)=\"(?!#|data:)", page)


def test_the_policy_admits_this_style_and_this_script_alone():
    page = build(Report("x"))
    policy = html.unescape(re.search(r'Policy" content="(.*?)"', page)[1])
    assert policy.startswith("default-src 'none'")
    assert "connect-src" not in policy
    for tag in ("style", "script"):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "connect-src 'self'" in html.unescape(build(Report("x"), live=True))


def test_a_long_run_keeps_the_episodes_that_fit():
    def episode(controller: str, question: int) -> Episode:
        return Episode(
            "s", question, 0, controller, 0.5, 0, True, 9, 9, 1, ((1, 1, 1),), (1,), (0,), (9, 1)
        )

    episodes = tuple(episode(name, q) for name in ("first", "last") for q in range(50))
    report = Report("x", episodes=episodes)
    size = len(to_json(report).encode())
    assert fit(report, size) == report
    assert {e.controller for e in fit(report, size - 1).episodes} == {"first"}


def test_codes_of_answers_are_characters_that_need_no_escape():
    assert len(set(ALPHABET)) == len(ALPHABET) > 1000
    assert json.dumps(ALPHABET, ensure_ascii=False) == f'"{ALPHABET}"'
    assert not set("<>&\"'\\") & set(ALPHABET)
