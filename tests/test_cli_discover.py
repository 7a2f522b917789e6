"""The commands of a search: what they print in 80 columns, and what they say when it goes wrong."""

import re
import tomllib

import pytest
from typer.testing import CliRunner

from autotts.cli.app import app
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
            "discover", "--stores", store, "--held-out", held_out, "--out", tmp_path / "run",
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


def test_finalizing_a_run_without_a_program_says_what_to_do(begin, tmp_path):
    """Nothing of so small a store spends as little as the rules ask for."""
    assert begin().exit_code == 0
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
    made = [tomllib.loads(t.stdout[: t.stdout.index("5 rounds of 1")]) for t in told]
    assert made[0] == made[1]
    assert made[0]["explorer"]["options"] == {"model": "m", "base_url": url}


def test_init_gives_a_controller_to_begin_with(tmp_path):
    assert call("init", tmp_path / "new").exit_code == 0
    assert (tmp_path / "new/controller.py").read_text() == find("race-beta").text
