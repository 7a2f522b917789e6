"""Budgets: reserved before, charged after, never 0 for what has no price."""

from dataclasses import asdict

import pytest

from autotts.discovery.explorer import OutOfBudget, Usage
from autotts.discovery.run.budget import Ledger, priced
from autotts.discovery.run.events import seconds_spent
from autotts.discovery.run.settings import RunLimits


def ledger(**limits):
    return Ledger(RunLimits(**limits), lambda: 10.0)


def call(name, usage):
    return {"event": "call", "id": name, "reserved": asdict(usage)}


def reply(name, usage, event="reply"):
    return {"event": event, "id": name, "usage": asdict(usage)}


def test_a_reply_replaces_its_reservation():
    spent = ledger()
    spent.replay([call("a", Usage(1, 100, 900, 1.0)), reply("a", Usage(1, 100, 50, 0.2))])
    assert spent.usage == Usage(1, 100, 50, 0.2)


def test_a_call_without_a_reply_counts_as_reserved():
    spent = ledger()
    spent.replay([call("a", Usage(1, 100, 900, 1.0))])
    assert spent.usage == Usage(1, 100, 900, 1.0)


def test_failed_calls_count():
    spent = ledger()
    spent.replay([call("a", Usage(1, 9, 9, 1.0)), reply("a", Usage(1, 9, 0, 0.1), "call-failed")])
    assert spent.usage == Usage(1, 9, 0, 0.1)


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
    log = [("started", 0.1), ("ended", 60.0), ("resumed", 0.2), ("killed", 30.0)]
    log += [("resumed", 45.0), ("ended", 50.0), ("opened", 0.0), ("finalized", 20.0)]
    events = [{"event": event, "clock": clock} for event, clock in log]
    assert seconds_spent(events) == 60 + 30 + 50 + 20
