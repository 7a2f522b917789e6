"""The rules of the search."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts.discovery.explorer import ProgramRules, Proposal, SweepPoint, Trial
from autotts.discovery.rules import (
    check_curve,
    check_novelty,
    check_schedule,
    similarity,
)
from discover_toy import program

BETAS = (0.0, 0.5, 1.0)
POINTS = tuple(SweepPoint(b, 50 + 10 * b, 1e4 + 1e5 * b, 5e3, 0.04 + 0.6 * b) for b in BETAS)


def broken(found):
    return [breach.rule for breach in found if breach.fatal]


def test_a_sound_program_breaks_nothing():
    parameters = [{"width": w, "alpha": -w} for w in (2, 2, 9)]
    assert check_schedule(parameters, BETAS, ProgramRules()) == []
    assert check_curve(POINTS, ProgramRules()) == []


def test_a_parameter_that_turns_is_named_with_the_place():
    found = check_schedule([{"w": 1}, {"w": 5}, {"w": 2}], BETAS, ProgramRules())
    assert broken(found) == ["monotone"]
    assert "parameter w goes from 5 at beta 0.5 to 2 at beta 1" in found[0].reason


def test_a_schedule_must_move_unless_the_knob_is_ablated():
    still = [{"w": 3}] * 3
    assert broken(check_schedule(still, BETAS, ProgramRules())) == ["one knob"]
    assert check_schedule(still, BETAS, ProgramRules(one_knob=False)) == []


@given(st.lists(st.integers(-5, 5), min_size=3, max_size=11))
def test_monotone_is_found_as_defined(values):
    """Refused exactly when a parameter both rises and falls, or none moves."""
    betas = [k / (len(values) - 1) for k in range(len(values))]
    rising = values == sorted(values)
    falling = values == sorted(values, reverse=True)
    sound = (rising or falling) and len(set(values)) > 1
    assert (check_schedule([{"w": v} for v in values], betas, ProgramRules()) == []) == sound


@pytest.mark.parametrize(("fall", "fatal"), [(0.01, False), (0.1, True)])
def test_tokens_that_fall_are_reported_and_bounded(fall, fatal):
    points = (*POINTS[:2], replace(POINTS[2], tokens=POINTS[1].tokens * (1 - fall)))
    (found,) = check_curve(points, ProgramRules())
    assert found.rule == "isotonic"
    assert found.fatal == fatal
    assert f"fall by {fall:.1%} towards beta 1" in found.reason


def test_the_frontier_must_reach():
    short = tuple(replace(p, fraction=0.2 + 0.1 * p.beta) for p in POINTS)
    assert broken(check_curve(short, ProgramRules())) == ["reach", "reach"]


def earlier(source, points):
    return Trial(1, 0, Proposal(source), points, None, (), (), "", False)


def test_the_same_behaviour_is_refused_and_the_same_structure_pointed_out():
    same = [earlier(program(12), POINTS)]
    assert broken(check_novelty(program(13), POINTS, same)) == ["novelty"]
    other = tuple(replace(p, accuracy=p.accuracy + 2) for p in POINTS)
    (found,) = check_novelty(program(13), other, same)
    assert not found.fatal
    assert "100% that of round 1" in found.reason
    assert "behaves differently" in found.reason


def test_similarity_sees_structure_not_names():
    renamed = program().replace("first", "least")
    assert similarity(program(), renamed) == 1.0
    assert similarity(program(), "def solve(env, p):\n    return env.vote()\n") < 0.5


def test_repetitive_programs_are_compared_at_once():
    """Programs of the largest size allowed, of one statement or of two in turns."""
    line = "    x = [a + b * c, d[e], f(g)]\n"
    other = "    y = -h if i else (j, k)\n"
    one, two = (
        "def solve(env, p):\n" + body * (32_000 // len(body)) for body in (line, line + other)
    )
    began = time.monotonic()
    found = check_novelty(one, (), [earlier(two, ()) for _ in range(20)])
    assert time.monotonic() - began < 5
    assert found == []
    assert 0.3 < similarity(one, two) < 0.9
