"""The one sentence that says what was found, and never more than its numbers bear as shown."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from autotts.discovery.run.events import HeldOutLead
from autotts.discovery.run.state import RunState
from autotts.discovery.selection import Lead
from autotts.evaluation.compare import setting_difference
from autotts.evaluation.families import Judge, area_name
from autotts.evaluation.frontiers import Curve
from autotts.evaluation.statistics import in_percent
from autotts.reports.model import Line, Point


class Conclusion(NamedTuple):
    """The sentence, and the name of the controller that it is about."""

    words: str
    best: str


def of_settings(lines: list[Line], curves: Mapping[str, Curve] | None = None) -> Conclusion:
    """The most accurate of all settings, and whether it is told apart from other controllers.

    Args:
        lines: of one store, or of the mean of them; at least one.
        curves: what they are of, by controller; without them nothing is compared.
    """
    settings = [(line.controller, point) for line in lines for point in line.points]
    name, top = max(settings, key=lambda setting: setting[1].accuracy)
    place = f" on {lines[0].store}"
    band = interval_words(top.accuracy_low, top.accuracy_high)
    figures = f"{top.accuracy:.1f} % right ({band}) for {top.tokens:,.0f} tokens per question"
    if len(settings) == 1:
        return Conclusion(f"{name} at beta {top.beta:g}{place}: {figures}.", name)
    ties = [one for one in settings if one[1].accuracy == top.accuracy]
    if len(ties) == len(settings):
        words = f"All {len(settings)} settings are equally accurate{place}: {figures} in {name}"
        return Conclusion(f"{words} at beta {top.beta:g}.", name)
    words = f"{name} at beta {top.beta:g} is the most accurate of {len(settings)} settings{place}"
    others = [setting for setting in settings if setting[0] != name]
    versus = ""
    if curves and others:
        rival, second = max(others, key=lambda setting: setting[1].accuracy)
        versus = _versus(curves[name], top, curves[rival], second)
    return Conclusion(f"{words}, as found: {figures}{versus}.", name)


def _versus(mine: Curve, top: Point, theirs: Curve, second: Point) -> str:
    """The most accurate setting against that of the other controllers."""
    rng = np.random.default_rng(0)
    found = in_percent(setting_difference(mine, top.beta, theirs, second.beta, rng=rng))
    rival = f"{theirs.controller} at beta {second.beta:g}"
    return f"; it {standing(found.estimate, found.low, found.high, rival)}"


def of_run(
    state: RunState, leads: Mapping[str, Lead] | None = None, *, judge: Judge = "mean"
) -> Conclusion:
    """What a run found: on the held-out questions where they were opened, else on the search's.

    Args:
        leads: of the best program over each baseline on the search stores, where replayed.
        judge: what the run judges by.
    """
    best = state.best
    if best is None:
        reason = "no program was proposed yet"
        if state.trials:
            reason = f"none of {len(state.trials)} proposed programs could be selected"
        return Conclusion(f"Nothing was found: {reason}.", "")
    name = f"round {best.name}"
    if state.finalized is not None and name in state.finalized.results.controllers:
        return Conclusion(_held_out(name, state, judge), name)
    area = "" if best.area is None else f" with a {area_name(judge)} of {best.area:.2f}"
    words = f"On the search questions, by which it was chosen, {state.leading}{area}"
    if leads:
        rival = min(leads.values(), key=lambda found: found.difference)
        return Conclusion(f"{words}; it {_lead_words(rival)}, the best baseline.", name)
    return Conclusion(f"{words}; no held-out question was opened.", name)


def _held_out(name: str, state: RunState, judge: Judge) -> str:
    """What `finalize` found."""
    assert state.finalized is not None
    results = state.finalized.results
    own = results.controllers[name]
    words = (
        f"On held-out questions {name} has a {area_name(judge)} of {own.area:.2f}"
        f" ({interval_words(own.area_low, own.area_high)})"
    )
    if not results.against:
        return f"{words}."
    rival = min(results.against.values(), key=lambda found: found.difference)
    return f"{words}; it {_lead_words(rival)}, the best baseline there."


def _lead_words(found: Lead | HeldOutLead) -> str:
    return standing(found.difference, found.low, found.high, found.other)


def standing(difference: float, low: float, high: float, other: str) -> str:
    """How one stands to another: above, below, or not told apart, as the rounded numbers say.

    Args:
        difference, low, high: points, the interval at 95 %.

    >>> standing(0.2, -0.93, 1.05, "cmc")
    "can't be told apart from cmc (+0.20 points, 95 %: -0.93 to +1.05)"
    >>> standing(2, 0.004, 3, "cmc")
    "can't be told apart from cmc (+2.00 points, 95 %: +0.00 to +3.00)"
    """
    if not np.isfinite([low, high]).all():
        return f"is {difference:+.2f} points from {other} (one question: no interval)"
    # Adding 0 turns -0 into 0.
    value, low, high = (round(float(x), 2) + 0.0 for x in (difference, low, high))
    if value == low == high == 0:
        return f"answers all questions as often right as {other}"
    figures = f"({value:+.2f} points, 95 %: {low:+.2f} to {high:+.2f})"
    if low > 0:
        return f"is above {other} {figures}"
    if high < 0:
        return f"is below {other} {figures}"
    return f"can't be told apart from {other} {figures}"


def interval_words(low: float | None, high: float | None) -> str:
    """An interval in percent.

    >>> interval_words(53.04, 84.1)
    '95 %: 53.0 to 84.1'
    >>> interval_words(None, None)
    'no interval'
    """
    if low is None or high is None or not np.isfinite([low, high]).all():
        return "no interval"
    return f"95 %: {low:.1f} to {high:.1f}"
