"""The commands that diagnose, on a small store; wired into a bare application of their own."""

import re

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from autotts import stores
from autotts.cli import diagnose as commands
from autotts.errors import SpecError
from autotts.stores import Branch, Recording

GOLD = "4711"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of four questions on disk; the right answer is a number that nothing else shows."""
    rng = np.random.default_rng(3)
    recordings = []
    for q in range(4):
        branches = []
        for _ in range(12):
            final = GOLD if rng.random() < 0.8 - 0.2 * q else "12"
            length = int(rng.integers(2, 7))
            branches.append(Branch(["12", *[final] * (length - 1)], 10 * length, final))
        recordings.append(Recording(f"Secret question {q}?", GOLD, branches))
    built = stores.build(
        recordings, model="toy", dataset="coins", interval_tokens=10, billing="exact"
    )
    return stores.write(built, tmp_path_factory.mktemp("stores") / "toy").path


@pytest.fixture(scope="module")
def app():
    made = typer.Typer()
    for command in (commands.diagnose, commands.pool, commands.tune, commands.ablate):
        made.command(command.__name__)(command)
    return made


def run(app, *words) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_digest_names_no_answer_and_no_question(app, store):
    told = run(app, "diagnose", store, "-c", "asc", "--draws", "reference:5", "--beta", "0,1")
    assert "# Diagnosis of asc" in told
    assert GOLD not in told
    assert "Secret" not in told


def test_one_question_and_one_episode(app, store, tmp_path):
    told = run(app, "diagnose", store, "-c", "asc", "--question", 3, "--draws", "reference:5",
               "--out", tmp_path / "found.csv")  # fmt: skip
    assert "toy" in told
    assert (tmp_path / "found.csv").read_text().startswith("model,dataset,controller,beta")
    episode = run(app, "diagnose", store, "-c", "asc:beta=1", "--question", 3, "--draw", 2,
                  "--draws", "reference:5")  # fmt: skip
    assert "question 3, draw 2" in episode
    assert GOLD not in episode


def test_against_another_controller(app, store):
    told = run(app, "diagnose", store, "-c", "asc", "--against", "sc", "--draws", "reference:5",
               "--beta", "0,1")  # fmt: skip
    assert "## Against sc" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--draw", 1], "--draw needs --question"),
        (["--round", 2], "is no run"),
        (["-c", "asc", "--question", 9], "questions 0 to 3"),
        (["-c", "asc", "--question", 1, "--draw", 50], "draws 0 to 19"),
        ([], "needs -c SPEC"),
    ],
)
def test_what_cannot_be_diagnosed(app, store, words, message):
    with pytest.raises(SpecError, match=message):
        run(app, "diagnose", store, *words)


def test_pools(app, store):
    told = run(app, "pool", store)
    assert "by streak" in told
    assert "ceilings" in told
    assert GOLD not in told


@pytest.mark.parametrize("columns", [60, 80])
def test_tuning_and_ablation(app, store, tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    told = run(app, "tune", store, "-c", "asc", "--trials", 5, "--draws", "subsets:2",
               "--out", tmp_path / "trials.csv")  # fmt: skip
    assert "Most accurate of 16 settings" in " ".join(told.split())
    heads = [line for line in told.splitlines() if line.startswith("parameter")]
    assert all(line.split()[:3] == ["parameter", "low", "high"] for line in heads)
    assert re.search(r"\n *\d+ +[\d.]* +\d+\.\d\d +\d+\.\d\d +\d+", told)  # percent, two digits
    assert "p.threshold,fresh_accuracy" in (tmp_path / "trials.csv").read_text().splitlines()[0]
    assert max(map(len, told.splitlines())) <= columns
    told = run(app, "ablate", store, "-c", "asc", "--frozen-only", "--draws", "subsets:2")
    assert "threshold" in told
    assert re.search(r"[+-]\d\.\d\d \[[+-]\d+\.\d\d, [+-]\d+\.\d\d\]", told)  # with signs
    assert max(map(len, told.splitlines())) <= columns
