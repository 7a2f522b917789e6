"""What docs/architecture.md says of the ways of the data is the ways that it takes."""

import re
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

import autotts
from autotts import simulation
from autotts.cli.app import app
from autotts.discovery.explorer import Proposal
from autotts.discovery.explorers.recorded import Recorded
from autotts.discovery.loop import Discovery
from autotts.discovery.run.events import EventLog, Proposed
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import RunLimits
from discover_toy import program, session, settings, store_folder

ROOT = Path(__file__).parent.parent
PACKAGE = f"{Path(autotts.__file__).parent}/"


@contextmanager
def noted(calls):
    """Append the functions of the package that the block calls, in order: `file.function`."""

    codes = []

    def note(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            codes.append(frame.f_code)

    sys.setprofile(note)
    threading.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        for code in codes:
            module = code.co_filename.removeprefix(PACKAGE).removesuffix(".py").replace("/", ".")
            calls.append(f"{module}.{code.co_qualname}")


def named_in(heading: str) -> list[str]:
    text = (ROOT / "docs" / "architecture.md").read_text()
    listed = text.split(heading)[1].split("```text\n")[1].split("```")[0]
    heads = [re.split(r"\s{2,}", line.strip())[0] for line in listed.splitlines()]
    return [name for head in heads for name in head.split(", ")]


def assert_called(names, calls):
    """Each of these names is called after the one before it."""
    at = -1
    for name in names:
        # A name may stand for a class, or be offered by the package that its file is in.
        own, _, last = name.rpartition(".")
        pattern = re.compile(rf"(^|\.){re.escape(last)}(\.__init__)?$")
        found = [
            k
            for k, full in enumerate(calls)
            if k > at and pattern.search(full) and all(part in full for part in own.split("."))
        ]
        assert found, f"{name} is not called after {calls[at] if at >= 0 else 'the start'}"
        at = found[0]


def test_an_evaluation_calls_what_its_way_lists_in_that_order(tmp_path, monkeypatch, capsys):
    store = simulation.simulate(tmp_path, questions=3, branches=8, seed=0)
    autotts.evaluate(str(store), "cmc")  # what is compiled is found from now on
    monkeypatch.setattr(sys, "argv", ["autotts", "evaluate", str(store), "-c", "cmc"])
    calls: list[str] = []
    with noted(calls), pytest.raises(SystemExit, match="0"):
        app()
    assert_called(named_in("### The way of a store through evaluate"), calls)


class Careful(Recorded):
    """From the second round on it checks its program twice, and tries it, before it proposes."""

    def propose(self, turn):
        (found,) = super().propose(turn)
        if turn.round > 1:
            assert turn.check(found.source) == turn.check(found.source) == ()
            assert turn.try_program(found.source).ok
        return [found]


def test_a_round_calls_what_its_way_lists_and_checks_and_smoke_runs_once(tmp_path, monkeypatch):
    earlier = EventLog(tmp_path / "events.jsonl", lambda event: None)
    for number, width in ((1, 12), (2, 9)):
        # No other test's: what was checked in this process is not checked again.
        text = program(width).replace("Race of", "The way of a race of")
        earlier.append(Proposed(number, 0.0, (Proposal(text),)))
    earlier.close()
    made = settings(
        store_folder(tmp_path / "stores"),
        driver="sealed", audit=6, limits=RunLimits(rounds=2), baselines=(),
    )  # fmt: skip
    rounds: list[list[str]] = []

    def traced(run, number, play=Discovery._round):
        rounds.append([])
        with noted(rounds[-1]):
            play(run, number)

    monkeypatch.setattr(Discovery, "_round", traced)
    session(RunFolder.create(tmp_path / "run", made).path, Careful(tmp_path))
    assert_called(named_in("### The way of a proposal through one round"), rounds[0])
    for calls in rounds:
        assert calls.count("programs.checker._problems") == 1
        assert calls.count("discovery.scoring.Scorer.smoke") == 1
    assert rounds[1].count("discovery.admission.Admission.admit") == 4
