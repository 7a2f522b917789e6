"""The commands of a search: what they print in 80 columns, and what they say when it goes wrong."""

import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib

import pytest
from typer.testing import CliRunner

from autotts.cli.app import app
from autotts.cli.discover import NOTHING_PROPOSED
from autotts.discovery.assembly import plan
from autotts.discovery.explorer import ProgramRules
from autotts.discovery.run.folder import RunFolder
from autotts.programs import find
from discover_toy import Scripted, session, settings, store_folder


def call(*arguments):
    """Run a command in a terminal of 80 columns."""
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of two rounds whose proposals others can play again, its store and a held-out one."""
    folder = tmp_path_factory.mktemp("recorded")
    store = store_folder(folder / "stores")
    held_out = store_folder(folder / "held-out", name="held", seed=5)
    RunFolder.create(folder / "run", settings(store, baselines=()))
    session(folder / "run", Scripted(folder / "sent"))
    return folder / "run", store, held_out


@pytest.fixture
def begin(recorded, tmp_path):
    run, store, held_out = recorded

    def new(*more):
        return call(
            "discover", store, "--held-out", held_out, "--out", tmp_path / "run",
            "--explorer", "recorded", "--option", f"run={run}", "--rounds", 2,
            "--driver", "in-process", "--draws", "reference:3", *more,
        )  # fmt: skip

    return new


def test_a_run_and_its_held_out_figures_fit_80_columns(begin, tmp_path):
    done = begin("--no-beta", "--finalize")
    assert done.exit_code == 0, done.output
    table = done.output[done.output.index("held out") :]
    assert max(map(len, table.splitlines()[:7])) <= 80
    assert re.search(r"held out +area +95 % +10% +15% +20% +30% +40% +50% +60%", table)
    assert re.search(r"\ncmc( +\d+\.\d+){2} … \d+\.\d( +\d+\.\d){7} *\n", table)
    assert (tmp_path / "run/finalize/frontier.png").is_file()
    assert done.output.count("Largest frontier area of 2 controllers: round-") == 2
    shown = call("watch", tmp_path / "run", "--once").output
    assert max(map(len, shown.splitlines())) <= 80
    assert "width 12" in shown


def test_stores_of_few_branches_are_asked_for_as_few_of_them(begin, tmp_path):
    """A twentieth of 64 branches is a fifth of 16."""
    assert begin("--no-beta").exit_code == 0
    assert RunFolder(tmp_path / "run").settings.rules.cheapest == pytest.approx(0.2)


def test_rules_that_were_given_whole_stay_as_they_are(recorded):
    _, store, _ = recorded
    asked = ProgramRules(cheapest=0.07)
    assert plan(store, name="mine", rules=asked)[0].rules == asked


def test_finalizing_a_run_without_a_program_says_what_to_do(recorded, tmp_path):
    """Nothing of so small a store spends as little as the rules for 64 branches ask for."""
    _, store, held_out = recorded
    RunFolder.create(tmp_path / "run", settings(store, held_out, rules=ProgramRules()))
    session(tmp_path / "run", Scripted(tmp_path / "sent"))
    done = call("finalize", tmp_path / "run")
    assert "all 2 were refused, the last because" in str(done.exception)
    assert f"autotts discover --resume {tmp_path / 'run'} --rounds 7" in str(done.exception)


def test_what_the_client_calls_model_and_base_url_are_options(recorded, monkeypatch):
    _, store, _ = recorded
    url = "http://localhost:9/v1"
    short = ("--model", "m", "--base-url", url)
    long = ("--option", "model=m", "--option", f"base_url={url}")
    told = [
        call(
            "discover", "--stores", store, "--explorer", "chat", *how, "--dry-run",
            "--driver", "in-process",
        )
        for how in (short, long)
    ]  # fmt: skip
    made = [tomllib.loads(t.stdout[: t.stdout.index("5 rounds of 1 proposal:")]) for t in told]
    assert made[0] == made[1]
    assert made[0]["explorer"]["options"] == {"model": "m", "base_url": url}


def test_init_makes_what_it_says(tmp_path):
    """A controller, and stores for the commands that it prints, which are there to be run."""
    made = call("init", tmp_path / "new")
    assert made.exit_code == 0, made.output
    assert (tmp_path / "new/controller.py").read_text() == find("race-beta").text
    said = "".join(made.output.split("next:")[1].split("\n")[:2])
    evaluate = said.replace("autotts", "", 1).split()
    assert call(*evaluate, "--draws", "reference:2").exit_code == 0
    stores = [path.parent.name for path in (tmp_path / "new/stores").glob("*/*/*/manifest.json")]
    assert len(stores) == 2


def test_a_search_begins_with_a_line_and_not_with_its_settings(begin):
    done = begin()
    assert "recorded on 1 store, 2 rounds; all settings are in" in " ".join(done.output.split())
    assert "[explorer]" not in done.output


def test_all_settings_are_shown_if_asked_for(begin, tmp_path):
    done = begin("--show-settings")
    assert (tmp_path / "run/run.toml").read_text().strip() in done.output


def test_a_run_whose_rounds_are_done_says_so(begin, tmp_path):
    begin()
    done = call("discover", "--resume", tmp_path / "run", "--yes")
    assert done.exit_code == 0
    said = " ".join(done.output.split())
    assert "this run has done 2 rounds, as many as it was to do; --rounds says" in said


def test_what_a_resumed_run_has_settled_is_refused_and_not_ignored(begin, tmp_path, recorded):
    begin()
    before = (tmp_path / "run/events.jsonl").read_bytes()
    done = call(
        "discover", recorded[1], "--resume", tmp_path / "run", "--yes", "--seed", 4, "--no-beta",
        "--rounds", 3,
    )  # fmt: skip
    assert done.exit_code == 1
    assert "it can't take STORES, --no-beta, --seed" in str(done.exception)
    assert (tmp_path / "run/events.jsonl").read_bytes() == before


def test_a_run_is_not_begun_where_one_is(begin, tmp_path):
    """Before anything is read: the stores are none."""
    begin()
    done = call("discover", tmp_path / "none", "--out", tmp_path / "run")
    assert f"go on with --resume {tmp_path / 'run'}" in str(done.exception)


def test_draws_of_one_order_alone_are_refused_in_words(recorded, tmp_path):
    done = call("discover", recorded[1], "--out", tmp_path / "run", "--draws", "recorded")
    assert done.exit_code == 1
    said = "draws: a search needs reference:N or subsets:N, such as reference:100, got 'recorded'"
    assert str(done.exception) == said
    assert not (tmp_path / "run").exists()


def test_a_search_in_which_nothing_was_proposed_ends_with_the_reason(recorded, tmp_path):
    """Here the run that is played again has no rounds left to give."""
    run, store, _ = recorded
    empty = tmp_path / "empty"
    shutil.copytree(run, empty)
    (empty / "events.jsonl").write_text("")
    done = call(
        "discover", "--stores", store, "--out", tmp_path / "run", "--explorer", "recorded",
        "--option", f"run={empty}", "--rounds", 2, "--driver", "in-process",
        "--draws", "reference:3",
    )  # fmt: skip
    assert done.exit_code == NOTHING_PROPOSED
    said = " ".join(done.output.split())
    assert f"nothing was proposed in 2 rounds: {empty} has no round 2" in said
    assert f"autotts discover --resume {tmp_path / 'run'} --rounds 4" in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_search_told_to_end_says_what_is_kept_and_how_to_go_on(tmp_path, number, code):
    """Its log ends with the signal, `runs` shows it as interrupted, and it can be resumed."""
    store, path = store_folder(tmp_path / "stores"), tmp_path / "runs" / "a run"
    command = [
        sys.executable, "-m", "autotts", "discover", "--stores", store, "--out", path,
        "--rounds", "1", "--explorer", "files", "--draws", "reference:2",
    ]  # fmt: skip

    def take_interrupts():
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, preexec_fn=take_interrupts,
    )  # fmt: skip
    task = path / "rounds/0001/explorer/TASK.md"
    deadline = time.monotonic() + 120
    while not task.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == code, said
    assert f"stopped by {number.name}: 0 rounds are kept in {path}" in said
    assert said.rstrip().endswith(f"go on with: autotts discover --resume '{path}'")
    state = RunFolder(path).state
    assert state.last.signal == number.name
    assert "interrupted" in call("runs", path.parent).output


def test_a_run_that_was_killed_is_shown_as_interrupted(recorded, tmp_path):
    run, _, _ = recorded
    killed = tmp_path / "runs/killed"
    shutil.copytree(run, killed)
    lines = (killed / "events.jsonl").read_text().splitlines(keepends=True)
    (killed / "events.jsonl").write_text("".join(lines[:-3]))
    assert "interrupted" in call("runs", killed.parent).output
    with RunFolder(killed).open():
        assert "at work" in call("runs", killed.parent).output


def test_a_damaged_run_is_listed_beside_the_others(recorded, tmp_path):
    run, _, _ = recorded
    for name in ("good", "bad"):
        shutil.copytree(run, tmp_path / "runs" / name)
    (tmp_path / "runs/bad/events.jsonl").write_text("nonsense\n")
    done = call("runs", tmp_path / "runs")
    assert done.exit_code == 0
    assert re.search(r"\ngood .* ended", done.output)
    assert re.search(r"\nbad .*damaged", done.output)
    assert "events.jsonl:1: damaged" in "".join(done.output.split("\n"))
