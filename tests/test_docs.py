"""What the documentation shows is so: its commands run, its programs do what they say.

Examples in docstrings are run by pytest itself, which collects them from `src`.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from autotts import stores
from autotts.cli import app
from autotts.evaluation import Experiment, evaluate
from autotts.programs.checker import check_source
from autotts.stores import importing
from model_server import SUFFIX, serving

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN = "<!-- not run -->"
WHY_NOT_RUN = {
    "README.md": "recordings that are not part of the repository, and discoveries of minutes; the"
    " tutorial and test_cli_discover go the same ways",
    "collect.md": "a model server of one's own, or a store elsewhere; test_genuine, test_collect,"
    " test_upkeep and test_stores_remote go the same ways",
    "import.md": "recordings of one's own; test_importing_formats reads each format",
    "leaderboard.md": "25 stores, an hour; test_leaderboard ranks on small ones",
    "play.md": "pages that are served until Ctrl-C; tests/browser looks at them",
    "operate.md": "a model server; most is run below over a scripted one, the rest in test_traffic",
    "plugins.md": "packages of one's own; test_plugins makes one",
    "scale.md": "a cluster; test_ray starts one",
    "serve.md": "a service until Ctrl-C; test_serve and test_genuine_serve ask it",
    "discovery.md": "discoveries of minutes",
}
"""Pages with commands that are not run as they stand: what they would need, and what is run."""


def blocks(page, language):
    """The fenced blocks of a page in a language, but those that are marked not to be run."""
    found, fence, before = [], None, ""
    for line in page.read_text().splitlines():
        if fence is not None and line == "```":
            found += [fence] if fence[0] == language and fence[1] != NOT_RUN else []
            fence, before = None, line
        elif fence is not None:
            fence.append(line)
        elif line.startswith("```"):
            fence = [line.removeprefix("```"), before]
        elif line:
            before = line
    return ["\n".join(lines[2:]) + "\n" for lines in found]


def commands(text):
    """The words of each call of autotts in a transcript; lines that go on are one."""
    found, asked = [], None
    for line in text.splitlines():
        if line.startswith("$ autotts "):
            asked = line.removeprefix("$ autotts ")
        elif asked is not None:
            asked += "\n" + line
        else:
            continue
        try:
            found.append(shlex.split(asked.removesuffix("\\"), comments=True))
        except ValueError:  # within a quotation
            continue
        asked = asked.removesuffix("\\") if asked.endswith("\\") else None
        if asked is not None:
            found.pop()
    return found


_PATHS = re.compile(r"`((?:[\w-]+/)*(?:[\w-]+\.(?:py|md|toml|js|css|html)|[\w-]+/))`")
_OF_USERS = {"mine.py", "run.toml", "rounds/0003/", "src/autotts/controllers/NAME.py"}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page):
    """From the top or from the package; a name alone is that of some file of the package."""
    package = ROOT / "src" / "autotts"
    alone = {path.name for path in package.rglob("*.*")}
    for path in set(_PATHS.findall(page.read_text())) - _OF_USERS:
        there = (ROOT / path).exists() or (package / path).exists()
        assert there or ("/" not in path and path in alone), path


def test_the_commands_of_the_readme_run_in_order(tmp_path):
    """In an empty folder, one after the other, as a reader would type them."""
    asked = commands("".join(blocks(README, "console")))
    assert asked
    for arguments in asked:
        ran = subprocess.run(
            [sys.executable, "-m", "autotts", *arguments],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{arguments}\n{ran.stderr}"


def every_command():
    shown = [
        (page, words)
        for page in PAGES
        for text in re.findall(
            r"^```console$(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE
        )
        for words in commands(text)
        if "..." not in words
    ]
    return [pytest.param(words, id=f"{page.name}-{k}") for k, (page, words) in enumerate(shown)]


@pytest.mark.parametrize("words", every_command())
def test_every_command_that_is_shown_is_understood(words):
    """Its options exist and their values are of the right kind, whether it is run here or not."""
    command = typer.main.get_command(app)
    context = command.context_class(command, info_name="autotts")
    while isinstance(command, click.Group | typer.core.TyperGroup):
        name, command, words = command.resolve_command(context, words)
        context = command.context_class(command, parent=context, info_name=name)
    command.make_context(context.info_name, [*words], parent=context.parent)


def test_pages_whose_commands_are_not_run_say_why():
    marked = {page.name for page in PAGES if f"{NOT_RUN}\n```console" in page.read_text()}
    assert marked <= WHY_NOT_RUN.keys()


@pytest.mark.parametrize("name", ["operate.md", "play.md", "plugins.md"])
def test_the_commands_of_a_page_run_in_order(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = commands("".join(blocks(ROOT / "docs" / name, "console")))
    assert asked
    for words in asked:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{words}\n{done.output}"


_ASKING = {
    "doctor": (), "calibrate": ("--repetitions", "1"), "evaluate": ("--draws", "reference:2"),
    "choose": ("--draws", "reference:2", "--beta", "0,1"),
    "compare": ("--draws", "reference:2", "--beta", "0,1"),
}  # fmt: skip


def test_forecasts_and_calibration_run_as_they_are_shown(tmp_path, monkeypatch):
    """What docs/operate.md asks of a server and its store, of one that is made up, on few draws."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "operate.md").read_text()
    questions = "".join(f"Is it {k * 'very '}old?,{14 + k * 5}\n" for k in range(5))
    Path("sums.csv").write_text("question,gold\n" + questions)

    def run(*words):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{words}\n{done.output}\n{done.exception}"

    with serving("llamacpp") as server:
        run(
            "collect", "--server", server.url, "--questions", "sums.csv", "--out", "made",
            "--branches", "6", "--interval", "40", "--max-tokens", "200", "--probe", SUFFIX,
        )  # fmt: skip
        (made,) = Path("made").glob("*/sums")
        Path("recorded").mkdir()
        made.rename("recorded/sums")
        asked = commands(text.replace("http://localhost:8000", server.url))
        ran = [words for words in asked if words[0] in _ASKING and "stores/sim/toy" not in words]
        for words in ran:
            run(*words, *_ASKING[words[0]])
    assert {words[0] for words in ran} == _ASKING.keys()


def recordings_shown():
    """The files of docs/import.md: the path that the text before a block ends on, and the block."""
    page = (ROOT / "docs" / "import.md").read_text()
    return re.findall(r"[Aa]s\s+`([^`\s]+)`:\n\n```json\n(.*?)```", page, re.DOTALL)


@pytest.mark.parametrize(("path", "text"), recordings_shown(), ids=lambda value: value[:60])
def test_the_recordings_that_are_shown_can_be_imported(path, text, tmp_path):
    """A file of every format, found by looking; none has more than a few answers to 6 x 7."""
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    if file.suffix == ".jsonl":
        values, decoder = [], json.JSONDecoder()
        while text.strip():
            value, end = decoder.raw_decode(text := text.lstrip())
            values, text = [*values, value], text[end:]
        text = "".join(json.dumps(value) + "\n" for value in values)
    file.write_text(text)
    counted = {"chars_per_token": 4} if "samples_" in path else {}
    (folder,) = stores.import_recordings(file, tmp_path / "stores", **counted)
    model, dataset = stores.check(folder).key
    assert model.startswith(("Tiny-", "org__Tiny-"))
    assert dataset in ("sums", "products", "issues", "released")


def test_a_recording_of_every_format_is_shown():
    page = (ROOT / "docs" / "import.md").read_text()
    for one in importing.formats.FORMATS:
        assert re.search(rf"^##.*`{one.name}`$", page, re.MULTILINE), one.name
    assert len(recordings_shown()) == len(importing.formats.FORMATS) + 2  # verifiers has two


def test_the_tutorial_runs(tmp_path):
    """As a script, to its end; what it writes goes to a folder for temporary files."""
    ran = subprocess.run(
        [sys.executable, ROOT / "examples" / "tutorial.py"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert list(tmp_path.glob("*/report.html"))


def programs_shown():
    shown = [(page, body) for page in PAGES for body in blocks(page, "python")]
    return [
        pytest.param(body, id=f"{page.name}-{k}")
        for k, (page, body) in enumerate(shown)
        if "def solve(env, p):" in body and "def schedule(beta):" in body
    ]


@pytest.mark.parametrize("text", programs_shown())
def test_a_program_that_is_shown_runs(text, simulated, trust):
    """The source check admits it, and it answers on every question."""
    check_source(text, "shown.py")
    evaluation = evaluate(
        [stores.load(simulated)], [trust(text)], experiment=Experiment("reference:2")
    )
    assert evaluation.episodes["rounds"].min() > 0


def test_links_between_pages_lead_somewhere():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
        for target in targets:
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_explorers_are_told_of_no_command_that_names_answers():
    """What they may run scores a program, hands it in, or shows an episode in letters."""
    prompts = ROOT / "src" / "autotts" / "discovery" / "prompts"
    told = {
        name
        for page in prompts.glob("*.md")
        for name in re.findall(r"autotts (\w+)", page.read_text())
    }
    assert told
    assert told <= {"try", "submit", "diagnose"}
