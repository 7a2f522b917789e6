"""The events of a run: written, read in every version, folded."""

import json
import math
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path

import pytest

from autotts.discovery.explorer import History, Proposal
from autotts.discovery.held_out import finalize
from autotts.discovery.prompts.briefing import history_text
from autotts.discovery.run import events
from autotts.discovery.run.events import KINDS, VERSION, EventLog, parse_event
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import RunLimits
from autotts.discovery.run.state import RunState
from autotts.errors import RunError
from autotts.reports.model import HELD_OUT
from autotts.reports.page import to_json
from autotts.reports.runs import from_run
from discover_toy import Scripted, lines, session, settings, store_folder

VERSION_1 = Path(__file__).parent / "runs" / "version-1"
"""A finalized run as it was recorded before events had versions: three rounds of the scripted
explorer on the toy store, the second of which failed, with a stop at a limit between."""
VERSION_2 = VERSION_1.with_name("version-2")
"""A finalized run of two rounds, as it was recorded before baselines were diagnosed."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    store_folder(folder / "stores")
    store_folder(folder / "held", name="held", seed=5)
    return folder


@pytest.fixture
def old(tmp_path, stores):
    """A run of an old version, among its stores, up to the event that opened the held-out ones."""

    def copy(until="opened", recorded=VERSION_1):
        folder = tmp_path / "old"
        shutil.copytree(recorded, folder)
        for path in (folder / "run.toml", folder / "events.jsonl"):
            path.write_text(path.read_text().replace("STORES", str(stores)))
        kept = []
        for line in (folder / "events.jsonl").read_text().splitlines(keepends=True):
            if json.loads(line)["event"] == until:
                break
            kept.append(line)
        (folder / "events.jsonl").write_text("".join(kept))
        return folder

    return copy


def test_what_is_level_with_the_best_is_told_beside_it(old):
    state = RunFolder(old(until="")).state
    assert state.leading == "round 1 leads, level with round 3"
    scored = {k: state.scored[3, k] for k in (0, 1)}
    state.fold(replace(scored[0], area=scored[0].area - 0.01))
    assert state.leading == "round 1 leads"
    for one in scored.values():
        area = state.best.area + 1e-4
        state.fold(replace(one, errors=(), points=scored[0].points, area=area))
    assert state.leading == "round 1 leads, level with rounds 3, 3.2"


def test_a_run_of_version_1_reads_as_it_was(old):
    state = RunFolder(old(until="")).state
    assert [trial.name for trial in state.trials] == ["1", "3", "3.2"]
    assert [trial.accepted for trial in state.trials] == [True, False, False]
    assert state.best.name == "1"
    assert state.failures[2].reason == "HTTP 500"
    assert (state.usage.calls, state.usage.tokens) == (3, 320)
    assert state.usage.usd == pytest.approx(0.51)
    assert (state.evaluations, len(state.selections)) == (4, 3)
    assert state.limits == RunLimits(rounds=3, model_tokens=900)
    assert state.winner.name == "round-1"
    assert state.finalized.results.controllers["round 1"].area == pytest.approx(47.98, abs=0.01)
    assert state.condition == "finalized"


def test_a_run_of_version_1_is_reported(old):
    report = from_run(old(until=""), replay=False)
    assert [round_.name for round_ in report.rounds] == ["1", "2", "3", "3.2"]
    assert {line.controller for line in report.lines if line.store == HELD_OUT} == {
        "round 1",
        "asc",
    }


def test_bounds_that_the_first_runs_wrote_as_nan_are_unknown(old):
    """Of one held-out question; a page of it has no number there either."""
    folder = old(until="")
    log = folder / "events.jsonl"
    text = re.sub(r'"(area_low|low)": [-\d.]+', r'"\1": NaN', log.read_text())
    log.write_text(re.sub(r'"(area_high|high)": [-\d.]+', r'"\1": Infinity', text))
    results = RunFolder(folder).state.finalized.results
    assert math.isnan(results.controllers["round 1"].area_low)
    assert "NaN" not in to_json(from_run(folder, replay=False))
    log.write_text(text.replace('"clock": ', '"clock": NaN, "was": '))
    with pytest.raises(RunError, match="damaged"):
        _ = RunFolder(folder).state


def test_a_run_of_version_1_is_resumed(old, tmp_path):
    """Its rounds are not run again, its calls not paid again, and new lines are of this version."""
    folder = old()
    session(folder, Scripted(tmp_path / "sent"), RunLimits(rounds=4))
    assert (tmp_path / "sent").read_text() == "4\n"
    versions = [line.get("version", 1) for line in lines(folder)]
    assert sorted(versions) == versions
    assert set(versions) == {1, VERSION}
    assert RunFolder(folder).state.trials[-1].name == "4"


def test_a_run_of_version_1_is_finalized_with_the_same_figures(old):
    recorded = RunFolder(VERSION_1).state.finalized.results
    with RunFolder(old()).open() as run:
        results = finalize(run, lambda text: None)
    for name, found in results.controllers.items():
        assert found.area == pytest.approx(recorded.controllers[name].area)
        assert found.points == recorded.controllers[name].points


def test_a_run_of_version_2_is_read_and_resumed(old, tmp_path):
    """Its baselines are diagnosed as it goes on, and explorers see that from then on."""
    folder = old(recorded=VERSION_2)
    state = RunFolder(folder).state
    assert [trial.name for trial in state.trials] == ["1", "2"]
    assert (list(state.baselines), state.diagnosed) == (["asc"], {})
    assert state.history.diagnoses == {}
    session(folder, Scripted(tmp_path / "sent"), RunLimits(rounds=3))
    assert (tmp_path / "sent").read_text() == "3\n"
    assert {line["version"] for line in lines(folder)} == {2, VERSION}
    assert list(RunFolder(folder).state.history.diagnoses) == ["asc"]


def test_baselines_are_diagnosed_before_the_first_round(tmp_path, stores):
    """Once; explorers are told, with no answer in it, and not where a run shows scores only."""
    made = settings(stores / "stores", baselines=("asc", "sc:width=4"))
    folder = RunFolder.create(tmp_path / "run", made)
    session(folder.path, Scripted(tmp_path / "sent"))
    kinds = [line["event"] for line in lines(folder.path)]
    assert kinds.count("baseline-diagnosed") == 2
    assert kinds.index("proposed") > max(k for k, kind in enumerate(kinds) if "diagnosed" in kind)
    history = folder.state.history
    assert list(history.diagnoses) == ["asc", "sc:width=4"]
    for told in history.diagnoses.values():
        assert told.digest.startswith("# Diagnosis of ")
        assert "Where accuracy is lost" in told.digest
        assert told.traces
    text = history_text(History(history.baselines, (), None, history.diagnoses), traces=True)
    assert "## Baseline asc" in text
    assert "Where accuracy is lost" in text
    assert "## Baseline" not in history_text(history, traces=False)


def test_baselines_are_not_diagnosed_where_scores_are_all_that_is_shown(tmp_path, stores):
    folder = RunFolder.create(tmp_path / "run", settings(stores / "stores", traces=False))
    session(folder.path, Scripted(tmp_path / "sent"))
    assert folder.state.diagnosed == {}


def test_every_kind_is_read_as_it_was_written(old, tmp_path, stores):
    """What the log folds while it is written is what a reader folds."""
    folder = RunFolder.create(tmp_path / "new", settings(stores / "stores", baselines=("asc",)))
    session(folder.path, Scripted(tmp_path / "sent"))
    with folder.open() as run:
        run.append(events.Interrupted("SIGINT"))
        run.append(events.Stopped("a lone surrogate \ud800"))
        assert run.state == folder.state
    assert folder.state.last.reason == "a lone surrogate ?"


@pytest.mark.parametrize("kind", KINDS.values())
def test_an_event_says_nothing_that_its_class_does_not(kind):
    name = next(name for name, found in KINDS.items() if found is kind)
    line = {"event": name, "version": VERSION, "at": "", "clock": 0.0, "surprise": 1}
    with pytest.raises(RunError, match=f"damaged: {name}: "):
        parse_event(json.dumps(line).encode())
    assert {"at", "clock"} <= {field.name for field in fields(kind)}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"event": "ended", "version": 99, "at": "", "clock": 0, "rounds": 1}', "update autotts"),
        ('{"event": "ended", "version": "2", "at": "", "clock": 0, "rounds": 1}', "version '2'"),
        ('{"event": "dreamt", "version": 2, "at": "", "clock": 0}', "kind 'dreamt'"),
        ('{"event": ["ended"], "at": "", "clock": 0}', "kind"),
        ('{"event": "ended", "at": "", "clock": 0, "rounds": "many"}', "rounds: "),
        ('{"event": "ended", "at": "", "clock": NaN, "rounds": 1}', "damaged"),
        ('{"event": "stopped", "at": "", "clock": 1e999, "reason": ""}', "too large"),
        ('{"event": "ended", "at": ""}', "event, at and clock"),
        ("[" * 100_000, "damaged"),
        ("7", "event, at and clock"),
    ],
)
def test_a_line_that_is_no_event_is_named(tmp_path, line, words):
    path = tmp_path / "events.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(RunError, match=words) as caught:
        list(events.read(path))
    assert str(caught.value).startswith(f"{path}:1: ")


def test_events_that_contradict_each_other_are_refused(tmp_path):
    reply = events.CallReplied("call-9", {}, events.Usage())
    with pytest.raises(RunError, match="speaks of call call-9, which the log doesn't have"):
        RunState.of([reply])
    proposed = events.Proposed(1, 1.0, (Proposal("x"),))
    scored = events.Scored(1, 0, "", True, (), (), "", "", {}, 1.0, (), None, {})
    for again in (proposed, events.NothingProposed(1, "", 1.0)):
        with pytest.raises(RunError, match="speaks of round 1, which was scored before"):
            RunState.of([proposed, scored, again])


def test_an_event_that_could_not_be_read_is_not_written(tmp_path):
    log = EventLog(tmp_path / "events.jsonl", RunState().fold)
    with pytest.raises(RunError, match="rounds: "):
        log.append(events.Ended(float("nan")))
    log.append(events.Ended(1))
    assert [event.rounds for event in events.read(tmp_path / "events.jsonl")] == [1]


def test_a_session_told_to_end_while_it_writes_leaves_whole_lines(tmp_path, monkeypatch):
    log = EventLog(tmp_path / "events.jsonl", RunState().fold)
    log.append(events.Ended(1))
    write = events.os.write

    def interrupted(handle, line):
        write(handle, line[:10])
        raise KeyboardInterrupt

    monkeypatch.setattr(events.os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        log.append(events.Ended(2))
    monkeypatch.undo()
    log.append(events.Ended(3))
    assert [event.rounds for event in events.read(tmp_path / "events.jsonl")] == [1, 3]
