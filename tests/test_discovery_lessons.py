"""What earlier runs teach: printed, bounded, and taken over by new runs."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autotts.cli.app import app
from autotts.discovery.lessons import lessons_of, lessons_text
from autotts.discovery.run.folder import RunFolder
from autotts.errors import RunError

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
