"""Budgets: reserved before, charged after, never 0 for what has no price."""

import pytest

from autotts.discovery.explorer import OutOfBudget, Usage
from autotts.discovery.run import events
from autotts.discovery.run.budget import Ledger, priced
from autotts.discovery.run.events import CallLost, CallReplied, CallReserved
from autotts.discovery.run.settings import RunLimits
from autotts.discovery.run.state import RunState


def spent(*found):
    return RunState.of(found).usage


def call(name, usage):
    return CallReserved(name, 1, "digest", usage)


def test_a_reply_replaces_its_reservation():
    reply = CallReplied("a", {}, Usage(1, 100, 50, 0.2))
    assert spent(call("a", Usage(1, 100, 900, 1.0)), reply) == Usage(1, 100, 50, 0.2)


def test_a_call_without_a_reply_counts_as_reserved():
    assert spent(call("a", Usage(1, 100, 900, 1.0))) == Usage(1, 100, 900, 1.0)


def test_failed_calls_count():
    lost = CallLost("a", "HTTP 500", Usage(1, 9, 0, 0.1))
    assert spent(call("a", Usage(1, 9, 9, 1.0)), lost) == Usage(1, 9, 0, 0.1)


def ledger(**limits):
    return Ledger(RunLimits(**limits), RunState(), lambda: 10.0)


@pytest.mark.parametrize(
    ("limits", "asked", "words"),
    [
        ({"model_tokens": 100}, Usage(1, 60, 50, 0.0), "110 model tokens, 100 of 100"),
        ({"usd": 1.0}, Usage(1, 0, 0, 1.5), "1.5000 USD, 1.0000 of 1.0"),
        ({"usd": 1.0}, Usage(1, 10, 10, None), "the price of a call is unknown"),
        ({"seconds": 10.0}, Usage(), "all 10.0 seconds are spent"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_sent(limits, asked, words):
    with pytest.raises(OutOfBudget, match=words):
        ledger(**limits).reserve(asked)


def test_what_fits_passes():
    ledger(model_tokens=100, usd=1.0, seconds=11.0).reserve(Usage(1, 50, 50, 1.0))


def test_unpriced_is_not_zero():
    assert (Usage(1, 0, 0, 0.5) + Usage(1, 0, 0, None)).usd is None
    assert priced(None) == "unpriced"
    assert priced(0.0) == "$0.0000"


def test_the_time_of_a_run_is_that_of_all_its_sessions():
    """A session that was killed, and one that only opened the held-out stores, count too."""
    limits = RunLimits()
    store = {"trial": "1", "program": "", "stores": (), "rounds": 1}
    figures = events.HeldOutFigures(50.0, 40.0, 60.0, {}, (), {})
    results = events.HeldOutResults("1", "", True, "", (), (), {"round 1": figures})
    log = [
        events.Started(limits, {}, clock=0.1),
        events.Ended(1, clock=60.0),
        events.Resumed(limits, {}, clock=0.2),
        events.NothingProposed(2, "", 0.0, clock=30.0),
        events.Resumed(limits, {}, clock=45.0),
        events.Ended(2, clock=50.0),
        events.Opened(**store, clock=0.0),
        events.Finalized("1", results, clock=20.0),
    ]
    assert RunState.of(log).seconds == 60 + 30 + 50 + 20
