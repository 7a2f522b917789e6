"""What earlier runs teach: printed, bounded, and taken over by new runs."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autotts.cli.app import app
from autotts.discovery.earlier_runs import earlier_runs, taken_over
from autotts.discovery.lessons import lessons_of, lessons_text
from autotts.discovery.prompts.briefing import history_text
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import RunLimits
from autotts.discovery.run.state import RunState
from autotts.errors import RunError, SpecError
from discover_toy import Scripted, lines, result, session, settings, store_folder

RUNS = Path(__file__).parent / "runs"


def call(*arguments):
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(a) for a in arguments])


@pytest.fixture
def run(tmp_path):
    """A recorded run whose lines may be changed: round 1 leads, 2 failed, 3 tried another."""

    def changed(change=lambda event: None):
        folder = tmp_path / "run"
        shutil.copytree(RUNS / "version-1", folder)
        log = folder / "events.jsonl"
        events = [json.loads(line) for line in log.read_text().splitlines()]
        for event in events:
            change(event)
        log.write_text("".join(json.dumps(event) + "\n" for event in events))
        return folder

    return changed


def test_the_lessons_of_a_run_are_its_best_programs_and_what_failed(run):
    found = lessons_of(RunFolder(run()))
    state = RunFolder(RUNS / "version-1").state
    best = found.best[0]
    assert (best.trial, best.accepted, best.changed) == ("1", True, "width 11")
    assert best.score == best.area == state.best.area
    assert found.baselines == {"asc": state.baselines["asc"].area}
    failed = {one.trial: one.words for one in found.failed}
    assert failed["2"] == "no proposal: HTTP 500"
    assert "80% are asked for" in failed["3"]
    assert failed["3.2"].startswith("refused: ")
    assert found.learned[0].words == state.trials[0].proposal.learned
    text = lessons_text(found)
    assert f"- round 1: area {best.score:.2f}: width 11 (area +" in text
    assert "- round 2: no proposal: HTTP 500" in text


def test_no_held_out_figure_is_among_the_lessons(run):
    """Whoever learns from a run must not learn what its held-out stores said."""
    folder = run()
    held_out = RunFolder(folder).state.finalized.results.controllers["round 1"].area
    text = lessons_text(lessons_of(RunFolder(folder)))
    assert f"{held_out:.2f}" not in text
    assert "held" not in text


def test_what_somebody_else_wrote_is_cleaned_and_bounded(run):
    def flood(event):
        for proposal in event.get("proposals", ()):
            proposal["learned"] = "\x1b[31m red " * 100_000
            proposal["idea"] = "idea\n# heading\u202e" * 10_000

    found = lessons_of(RunFolder(run(flood)))
    text = lessons_text(found)
    assert not {"\x1b", "\u202e"} & set(text)
    assert "\n# heading" not in text
    assert len(text) < 12_000


def test_only_the_latest_of_many_rounds_are_told(run):
    folder = run(lambda event: None)
    log = folder / "events.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    failed = next(line for line in lines if json.loads(line)["event"] == "failed")
    more = [
        json.dumps({**json.loads(failed), "round": n, "reason": f"no {n}."}) for n in range(9, 99)
    ]
    log.write_text("".join(lines) + "".join(f"{line}\n" for line in more))
    found = lessons_of(RunFolder(folder))
    assert [one.trial for one in found.failed] == [str(n) for n in range(79, 99)]
    assert found.left_out == 73
    assert "73 earlier entries left out." in lessons_text(found)


def test_lessons_are_printed_and_written_as_json(run):
    folder = run()
    done = call("lessons", folder, RUNS / "version-2", "--json", "-")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)["runs"]
    assert [one["run"] for one in told] == ["toy", "toy"]
    assert told[0]["failed"][0]["words"] == "no proposal: HTTP 500"
    assert "## Run toy on m/toy" in call("lessons", folder).stdout


def test_lessons_of_what_is_no_run_are_refused(tmp_path):
    assert isinstance(call("lessons", tmp_path).exception, RunError)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run of two rounds, its store and another."""
    folder = tmp_path_factory.mktemp("first")
    store = store_folder(folder / "stores")
    other = store_folder(folder / "other", name="other", seed=5)
    RunFolder.create(folder / "run", settings(store, baselines=(), traces=False))
    session(folder / "run", Scripted(folder / "sent"))
    return folder / "run", store, other


def begin(first, path, **changes):
    """A run on the other store that begins with the first one."""
    run, _, other = first
    made = settings(other, baselines=(), earlier=earlier_runs([run], ()), **changes)
    return RunFolder.create(path, made)


class Watching(Scripted):
    """Keeps the history that it was shown first."""

    history = None

    def propose(self, turn):
        self.history = self.history or turn.history
        return super().propose(turn)


def test_a_run_begins_with_the_best_programs_of_an_earlier_one(first, tmp_path):
    """They are scored here, on this run's stores, and nothing of their old scores is taken over."""
    explorer = Watching(tmp_path / "sent")
    folder = begin(first, tmp_path / "run", limits=RunLimits(rounds=1), traces=False)
    session(tmp_path / "run", explorer)
    state, old = folder.state, RunFolder(first[0]).state
    assert [trial.name for trial in state.trials] == ["0", "0.2", "1"]
    best = max(old.trials, key=lambda trial: trial.area)
    assert state.trials[0].proposal.source == best.proposal.source
    assert list(state.trials[0].points[0].stores) == ["m/other"]
    assert state.trials[0].area != best.area
    assert state.trials[0].proposal.idea == f"Round {best.name} of run toy: {best.proposal.idea}"
    assert [trial.name for trial in explorer.history.trials] == ["0", "0.2"]
    assert (state.rounds, state.condition) == (1, "ended")
    assert (tmp_path / "run/rounds/0000/2/program.py").is_file()


def test_explorers_are_told_the_lessons_of_earlier_runs(first, tmp_path):
    made = begin(first, tmp_path / "run").settings
    state = RunState.of([taken_over(made)])
    best = max(RunFolder(first[0]).state.trials, key=lambda trial: trial.area)
    assert state.proposals[0][0].learned == best.proposal.learned
    shown = history_text(state.history, traces=True)
    assert "## Lessons of earlier runs" in shown
    assert f"round {best.name}: area {best.area:.2f}" in shown
    assert "Lessons" not in history_text(state.history, traces=False)


def test_explorers_that_see_no_traces_are_told_no_lessons(first, tmp_path):
    explorer = Watching(tmp_path / "sent")
    folder = begin(first, tmp_path / "run", limits=RunLimits(rounds=1), traces=False)
    session(tmp_path / "run", explorer)
    assert explorer.history.lessons == ""
    assert {trial.proposal.learned for trial in folder.state.history.round(0)} == {""}


def test_a_run_goes_on_without_the_run_that_it_began_with(first, tmp_path):
    """What was taken over is in its own log; before that, the earlier run must be as it was."""
    run = tmp_path / "earlier"
    shutil.copytree(first[0], run)
    folder = begin((run, *first[1:]), tmp_path / "run", traces=False, limits=RunLimits(rounds=1))
    session(tmp_path / "run", Scripted(tmp_path / "sent"))
    shutil.rmtree(run)
    before = lines(tmp_path / "run")
    session(tmp_path / "run", Scripted(tmp_path / "sent"), RunLimits(rounds=2))
    assert lines(tmp_path / "run")[: len(before)] == before
    assert [trial.round for trial in folder.state.trials] == [0, 0, 1, 2]


def test_a_run_that_died_in_round_0_comes_to_the_same(first, tmp_path):
    """Resumed after each of its events, the earlier run is read again only before it was taken."""
    limits = RunLimits(rounds=0)
    begin(first, tmp_path / "run", traces=False, limits=limits)
    session(tmp_path / "run", Scripted(tmp_path / "sent"))
    log = tmp_path / "run/events.jsonl"
    whole, wanted = log.read_bytes().splitlines(keepends=True), result(tmp_path / "run")
    assert [event["event"] for event in wanted][1:5] == ["earlier", "scored", "scored", "selected"]
    for kept in range(1, len(whole)):
        log.write_bytes(b"".join(whole[:kept]))
        session(tmp_path / "run", Scripted(tmp_path / "sent"))
        assert result(tmp_path / "run") == wanted


def test_an_earlier_run_that_went_on_is_refused(first, tmp_path):
    run = tmp_path / "earlier"
    shutil.copytree(first[0], run)
    begin((run, *first[1:]), tmp_path / "run", traces=False)
    with (run / "events.jsonl").open("a") as log:
        log.write((run / "events.jsonl").read_text().splitlines()[-1] + "\n")
    with pytest.raises(RunError, match="is not as it was"):
        session(tmp_path / "run", Scripted(tmp_path / "sent"))


def test_a_program_of_an_earlier_run_that_breaks_the_rules_is_refused(first, tmp_path):
    """It is admitted like any other, whatever its own run said of it."""
    run = tmp_path / "earlier"
    shutil.copytree(first[0], run)
    log = run / "events.jsonl"
    log.write_text(log.read_text().replace("def solve(env, p):", "import os\\ndef solve(env, p):"))
    folder = begin((run, *first[1:]), tmp_path / "run", traces=False, limits=RunLimits(rounds=0))
    session(tmp_path / "run", Scripted(tmp_path / "sent"))
    trials = folder.state.trials
    assert [trial.name for trial in trials] == ["0", "0.2"]
    assert all("import" in trial.errors[0] for trial in trials)
    assert folder.state.best is None


def test_an_earlier_run_that_saw_the_held_out_stores_is_refused(first, tmp_path):
    """By digest, and through runs between, wherever the store lies now."""
    run, store, other = first
    moved = tmp_path / "moved"
    shutil.copytree(store, moved)
    between = begin(first, tmp_path / "between").path
    for earlier in (run, between):
        done = call(
            "discover", other, "--held-out", moved, "--from", earlier, "--out", tmp_path / "new"
        )
        assert isinstance(done.exception, SpecError)
        assert "which is held out now" in str(done.exception)
    assert not (tmp_path / "new").exists()


def test_the_command_begins_with_an_earlier_run(first, tmp_path):
    run, _, other = first
    done = call(
        "discover", other, "--from", run, "--out", tmp_path / "run", "--rounds", 1,
        "--explorer", "recorded", "--option", f"run={run}", "--no-traces", "--no-beta",
        "--driver", "in-process", "--draws", "reference:3",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "round 0: 2 programs of 1 earlier run" in done.output
    shown = call("runs", tmp_path).output
    assert "1/1" in shown
