"""The package as it is installed: the wheel has all that it needs, and shells complete commands."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALONE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import autotts
assert autotts.__file__.startswith(sys.path[0]), autotts.__file__
from autotts.cli import main
main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A folder with what the wheel unpacks to, and nothing of the checkout."""
    out = tmp_path_factory.mktemp("wheel")
    make = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(out), str(ROOT)]
    made = subprocess.run(make, capture_output=True, text=True, check=False)
    if "No matching distribution" in made.stderr or "No module named pip" in made.stderr:
        pytest.skip("what builds a wheel is not to be had here")
    assert made.returncode == 0, made.stderr
    (file,) = out.glob("autotts-*.whl")
    with zipfile.ZipFile(file) as content:
        content.extractall(out / "there")
    return out / "there"


def run(wheel, folder, *words):
    """A command of the unpacked wheel, in an empty folder."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(wheel), *map(str, words)], cwd=folder,
        capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_wheel_has_every_file_of_the_package(wheel):
    """Pages, prompts and templates too; those are read when they are needed."""

    def files(root):
        return {
            path.relative_to(root)
            for path in (root / "autotts").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    assert files(wheel) == files(ROOT / "src")


def test_the_wheel_works_without_the_checkout(wheel, tmp_path):
    """The steps of `autotts demo`, small, and `doctor`."""
    assert "compiled code" in run(wheel, tmp_path, "doctor")
    run(wheel, tmp_path, "data", "simulate", "--out", "stores", "--model", "m", "--dataset", "d",
        "--questions", 4, "--branches", 8)  # fmt: skip
    json = ("--draws", "reference:2", "--json", "found.json")
    assert "short-mk" in run(wheel, tmp_path, "evaluate", "stores", "-c", "short-mk", *json)
    run(wheel, tmp_path, "report", "found.json", "--out", "report.html")
    assert "<!doctype html>" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell):
    """Scripts and answers, as `--install-completion` has the shell ask for them."""
    env = {**os.environ, "_AUTOTTS_COMPLETE": f"source_{shell}"}
    ask = [Path(sys.executable).with_name("autotts")]
    script = subprocess.run(ask, capture_output=True, text=True, env=env, check=False).stdout
    assert f"complete_{shell}" in script
    env |= {"_AUTOTTS_COMPLETE": f"complete_{shell}"}
    env |= {"COMP_WORDS": "autotts eva", "COMP_CWORD": "1"}
    env |= {"_TYPER_COMPLETE_ARGS": "autotts eva", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    told = subprocess.run(ask, capture_output=True, text=True, env=env, check=False).stdout
    assert "evaluate" in told
