"""Plug-ins: a package that `autotts init --plugin` makes is found, and passes the kit."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autotts import plugins, testing
from autotts.answers.reader import AnswerReader
from autotts.cli import app
from autotts.errors import ProgramError, RunError, SpecError
from autotts.inference import connect
from autotts.scaffold import write_package
from model_server import serving

DIST = "autotts_mine-0.1.0.dist-info"


def install(folder: Path) -> Path:
    """What pip makes of the package, as far as Python looks; gives a folder for sys.path."""
    import tomllib

    about = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    site = folder / "site"
    (site / DIST).mkdir(parents=True)
    (site / DIST / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    )
    lines = []
    for group, entries in about["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
    (site / DIST / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for path in (folder / "src").iterdir():
        path.rename(site / path.name)
    return site


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The package, installed for the time of a test."""
    write_package(tmp_path / "autotts-mine")
    site = install(tmp_path / "autotts-mine")
    monkeypatch.syspath_prepend(str(site))
    yield tmp_path / "autotts-mine"
    for name in [name for name in sys.modules if name.partition(".")[0] == "autotts_mine"]:
        del sys.modules[name]


def test_a_new_package_passes_the_kit(mine):
    """Its own tests do, that is, as whoever begins with it runs them."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(mine / "tests")],
        env={**os.environ, "PYTHONPATH": str(mine / "site")},
        capture_output=True, text=True, timeout=240, cwd=mine,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_plugins_are_listed_by_package(mine):
    listed = CliRunner().invoke(app, ["plugins", "--others"], env={"COLUMNS": "200"}).output
    assert "autotts-mine 0.1.0" in listed
    assert "offline" not in listed
    for name, kind in {"race": "controller", "line": "answer reader", "runs": "importer"}.items():
        (line,) = [line for line in listed.splitlines() if f"autotts-mine-{name}" in line]
        assert kind in line
    assert "offline" in CliRunner().invoke(app, ["plugins"], env={"COLUMNS": "200"}).output


def test_an_installed_importer_and_reader_serve_imports(mine, tmp_path):
    for place in ("model/runs.jsonl", "model/own.jsonl"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / "model" / "runs.jsonl").write_text((mine / "tests" / "sample.jsonl").read_text())
    own = '{"question": "6*7?", "gold": "42", "response": "let me see\\n>>> 42", "tokens": 9}\n'
    (tmp_path / "model" / "own.jsonl").write_text(own)
    for file, *more in (["runs.jsonl"], ["own.jsonl", "--reader", "autotts-mine-line"]):
        asked = ["data", "import", str(tmp_path / "model" / file), "--out", str(tmp_path / "out")]
        done = CliRunner().invoke(app, [*asked, *more])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "model" / "own" / "manifest.json").is_file()


def test_what_cant_be_loaded_is_told_by_package(mine):
    (mine / "site" / "autotts_mine" / "reader.py").write_text("import not_there\n")
    with pytest.raises(SpecError, match=r"autotts-mine-line of the package autotts-mine can't be"):
        plugins.one(plugins.READERS, "autotts-mine-line").load()
    with pytest.raises(SpecError, match=r"'autotts-mine-lien' is not known; did you mean"):
        plugins.one(plugins.READERS, "autotts-mine-lien")


DIALECT = """
from autotts.inference.sglang import SglangServer


class Mine(SglangServer):
    dialect = "mine"
"""


def test_an_installed_dialect_is_tried_before_ours(mine):
    (mine / "site" / "autotts_mine" / "dialect.py").write_text(DIALECT)
    with (mine / "site" / DIST / "entry_points.txt").open("a") as entries:
        entries.write("[autotts.server_dialects]\nmine = autotts_mine.dialect:Mine\n")

    async def dialect(url):
        server = await connect(url)
        await server.aclose()
        return server.dialect

    with serving("sglang") as server:
        assert asyncio.run(dialect(server.url)) == "mine"
    with serving("vllm") as server:
        assert asyncio.run(dialect(server.url)) == "vllm"
    (mine / "site" / "autotts_mine" / "dialect.py").write_text("Mine = 3\n")
    sys.modules.pop("autotts_mine.dialect")
    with serving("sglang") as server, pytest.raises(SpecError, match="subclass of ExactServer"):
        asyncio.run(dialect(server.url))


@pytest.mark.parametrize("name", ["Mine", "a b", "-x", "mine_"])
def test_a_folder_that_cant_name_a_package_is_refused(tmp_path, name):
    with pytest.raises(SpecError, match="called as its package"):
        write_package(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_nothing_is_overwritten(tmp_path):
    write_package(tmp_path / "mine")
    with pytest.raises(RunError, match="is there already"):
        write_package(tmp_path / "mine")


PEEKS = '''"""Looks at what it may not."""

import os


def schedule(beta):
    return {"width": 4}


def solve(env, p):
    env.branch(4)
    return os.getpid()
'''
LEAPS = '''"""Its parameters are no numbers in the middle."""


def schedule(beta):
    return {"share": beta / (beta - 0.5) if beta != 0.5 else float("nan")}


def solve(env, p):
    env.branch(1)
    return env.vote()
'''


@pytest.mark.parametrize(("text", "why"), [(PEEKS, "may not"), (LEAPS, "finite|nan")])
def test_the_kit_refuses_controllers(save, text, why):
    with pytest.raises((AssertionError, ProgramError), match=why):
        testing.check_controller(str(save(text)))


def test_the_kit_refuses_readers():
    raises = AnswerReader(lambda text: text.splitlines()[0])
    with pytest.raises(IndexError):
        testing.check_reader(raises, {"42": "42"})
    with pytest.raises(AssertionError, match="is read as '42', not '43'"):
        testing.check_reader(raises, {"42": "43"})
    never = AnswerReader(lambda text: text, same=lambda one, other: False)
    with pytest.raises(AssertionError, match="not the same as itself"):
        testing.check_reader(never, {"42": "42"})
