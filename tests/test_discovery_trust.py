"""A run's folder is data: whoever made it, nothing in it runs, or is written elsewhere, unasked.

Each test is one way in, with a folder as an attacker would make it. What must not run leaves a
marker.
"""

import http.server
import json
import os
import re
import subprocess
import threading

import pytest
from typer.testing import CliRunner

from autotts.cli.app import app
from autotts.discovery import finalize, resume
from autotts.discovery.agents.emptying import Emptying
from autotts.discovery.explorer import Proposal
from autotts.discovery.run import kept
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import ExplorerRef, RunLimits
from autotts.discovery.run.store_refs import open_stores
from autotts.discovery.run.trust import demands, is_ours
from autotts.discovery.scoring import Scorer
from autotts.errors import RunError, SpecError
from autotts.programs import Source
from discover_toy import program, session, settings, store_folder


class Proposes:
    name = "proposes"
    deterministic = True

    def settings(self):
        return {}

    def estimate(self, rounds, proposals):
        raise NotImplementedError

    def propose(self, turn):
        return [Proposal(program(10 + turn.round))]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return store_folder(folder / "search"), store_folder(folder / "held", name="held", seed=5)


@pytest.fixture(scope="module")
def honest(stores, tmp_path_factory):
    """A finished run of the offline explorer's name, with nothing wrong in it."""
    path = tmp_path_factory.mktemp("runs") / "run"
    explorer = ExplorerRef(name="offline", options={"draws": "5"})
    made = settings(*stores, explorer=explorer, limits=RunLimits(rounds=1), traces=False)
    RunFolder.create(path, made)
    session(path, Proposes())
    return path


@pytest.fixture
def theirs(honest, tmp_path):
    """The run with other settings, as if they had been its own from the first."""

    def make(source=None, **changes):
        path = tmp_path / "theirs"
        (path / "rounds").mkdir(parents=True)
        changes = {"driver": "sealed", "audit": 6} | changes
        text = RunFolder(honest).settings.model_copy(update=changes).toml()
        (path / "run.toml").write_text(text)
        log = (honest / "events.jsonl").read_text()
        logged = []
        for line in log.splitlines(keepends=True):
            names = changes.get("baselines", ("asc",)) if '"name": "asc"' in line else ("asc",)
            logged += [line.replace('"name": "asc"', f'"name": {json.dumps(n)}') for n in names]
        log = "".join(logged)
        if source is not None:
            quoted = json.dumps(RunFolder(honest).state.best.proposal.source, ensure_ascii=False)
            assert quoted in log
            log = log.replace(quoted, json.dumps(source))
        (path / "events.jsonl").write_text(log)
        return path

    return make


@pytest.fixture
def marker(tmp_path):
    path = tmp_path / "marker"
    yield path
    assert not path.exists(), "their code ran"


@pytest.fixture
def evil(marker, tmp_path, monkeypatch):
    """A module that leaves the marker when it is run; on the path of modules too."""
    folder = tmp_path / "modules"
    folder.mkdir()
    path = folder / "evilmod.py"
    path.write_text(f'"""Evil."""\nopen({str(marker)!r}, "w").close()\n\nclass Evil:\n    pass\n')
    (folder / "evilpackage").mkdir()
    (folder / "evilpackage/__init__.py").write_text(path.read_text())
    (folder / "evilpackage/inner.py").write_text(path.read_text())
    monkeypatch.syspath_prepend(str(folder))
    return path


def call(*arguments):
    return CliRunner(env={"COLUMNS": "400"}).invoke(app, [str(a) for a in arguments])


BASELINES = ("reference:{evil}:Evil", "evilpackage.inner", "{evil}")


@pytest.mark.parametrize(
    ("command", "baselines"),
    [
        # A report leaves out each that isn't ours by itself; the others end at the first.
        ("report", BASELINES),
        *((command, (name,)) for command in ("finalize", "resume") for name in BASELINES),
    ],
)
def test_a_baseline_that_names_code(theirs, evil, tmp_path, baselines, command):
    path = theirs(baselines=tuple(name.format(evil=evil) for name in baselines))
    done = {
        "report": lambda: call("report", path, "--out", tmp_path / "report.html"),
        "finalize": lambda: call("finalize", path),
        "resume": lambda: call("discover", "--resume", path, "--rounds", 2),
    }[command]()
    assert (done.exit_code == 0) == (command == "report"), done.output
    if command != "report":
        assert "baseline = " in done.output
        assert "--yes" in str(done.exception)


LOGGED = (
    "{evil}",
    "evilpackage.inner",
    "reference:{evil}:Evil",
    "../../out",
    "cmc:beta=/x.py",
    "sc",
)


@pytest.mark.parametrize("command", ["report", "finalize", "resume", "submit"])
@pytest.mark.parametrize("name", LOGGED)
def test_a_baseline_that_only_the_log_names(theirs, evil, name, command):
    """However good it is said to be: none is looked up, run, imported, or copied anywhere."""
    path = theirs(baselines=("asc",))
    name = name.format(evil=evil)
    log = path / "events.jsonl"
    event = json.loads(log.read_text().splitlines()[1])
    assert event["event"] == "baseline"
    log.write_text(log.read_text() + json.dumps(event | {"name": name, "area": 99.0}) + "\n")
    (path / "program.py").write_text(program(13))
    arguments = {
        "report": ("report", path, "--out", path.parent / "report.html"),
        "finalize": ("finalize", path, "--yes"),
        "resume": ("discover", "--resume", path, "--rounds", 2, "--yes"),
        "submit": ("submit", path),
    }[command]
    before = sorted(path.parent.rglob("*"))
    done = call(*arguments)
    assert isinstance(done.exception, RunError)
    assert "none of those that run.toml names: asc" in str(done.exception)
    assert [p for p in sorted(path.parent.rglob("*")) if p not in before] in ([], [path / "lock"])


@pytest.mark.parametrize("command", ["report", "plot", "view", "runs", "watch", "diff", "lessons"])
def test_a_driver_without_a_seal_is_not_used_to_look_at_a_run(theirs, marker, tmp_path, command):
    """The program has its code where it is loaded, and would leave the marker in this process."""
    source = program(11).replace('"""Race', f'open({str(marker)!r}, "w")\n"""Race')
    path = theirs(source, driver="in-process", unsafe=True)
    arguments = {
        "report": ("report", path, "--out", tmp_path / "report.html"),
        "plot": ("plot", path, "--out", tmp_path / "figures", "--formats", "svg"),
        "view": ("report", path, "--no-replay", "--out", tmp_path / "report.html"),
        "runs": ("runs", path.parent),
        "watch": ("watch", path, "--once"),
        "diff": ("diff", path, "1", "1"),
        "lessons": ("lessons", path),
    }[command]
    done = call(*arguments)
    assert done.exit_code == 0 or "outside functions a program has" in str(done.exception), (
        done.output
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"driver": "in-process"}, "driver = 'in-process'"), ({"unsafe": True}, "unsafe = 'yes'")],
)
def test_a_driver_without_a_seal_is_asked_for(theirs, changes, words):
    path = theirs(**changes)
    for arguments in (("finalize", path), ("discover", "--resume", path, "--rounds", 2)):
        done = call(*arguments)
        assert words in done.output
        assert "give --yes" in str(done.exception)
    for function in (finalize, resume):
        with pytest.raises(RunError, match="trust=True"):
            function(path)


def test_the_command_of_an_agent_is_asked_for(theirs, marker):
    options = {"command": f"touch {marker}", "jail": "off"}
    path = theirs(explorer=ExplorerRef(name="agent", options=options))
    done = call("discover", "--resume", path, "--rounds", 2)
    assert f"option command = 'touch {marker}'" in done.output
    assert "option jail = 'off'" in done.output
    assert "give --yes" in str(done.exception)


def test_a_server_is_asked_for_before_it_gets_a_key(theirs, monkeypatch):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(dict(self.headers))
            self.send_error(500)

    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        options = {"model": "m", "base_url": url}
        path = theirs(explorer=ExplorerRef(name="chat", options=options))
        done = call("discover", "--resume", path, "--rounds", 2)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert f"option base_url = '{url}'" in done.output
    assert not asked


def test_what_the_command_line_names_too_is_not_asked_for(theirs):
    """Naming a setting again is allowing it; here the run then has nothing left to do."""
    path = theirs(driver="in-process")
    assert call("discover", "--resume", path, "--driver", "in-process").exit_code == 0
    assert call("discover", "--resume", path, "--yes").exit_code == 0


def test_an_explorer_that_we_do_not_know_is_asked_for_with_its_options(theirs):
    made = RunFolder(theirs(explorer=ExplorerRef(name="plugin", options={"x": "y"}))).settings
    assert [d.name for d in demands(made, explorer=True)] == ["explorer", "option x"]
    assert demands(made, explorer=False) == []


def test_only_what_comes_along_or_is_installed_is_ours():
    assert all(map(is_ours, ("cmc", "asc:threshold=0.9", "short-mk")))
    assert not any(map(is_ours, ("mine.py", "a.b", "reference:x.py:Y", "controllers/cmc.py", "")))
    assert not any(map(is_ours, ("cmc:x/mine.py", "cmc:x.py:beta=1", "reference:cmc.py:X")))


@pytest.mark.parametrize("name", ["lock", "events.jsonl", "best.py", "rounds", "finalize"])
def test_nothing_is_written_through_a_link(theirs, tmp_path, name):
    path = theirs()
    mine = tmp_path / "mine"
    is_file = name in ("lock", "events.jsonl", "best.py")
    if is_file:
        mine.write_bytes((path / "events.jsonl").read_bytes())
    else:
        mine.mkdir()
    there = path / name
    if there.is_dir():
        there.rmdir()
    there.unlink(missing_ok=True)
    there.symlink_to(mine)
    before = mine.read_bytes() if is_file else sorted(os.listdir(mine))
    for arguments in (("finalize", path), ("discover", "--resume", path, "--rounds", 2)):
        assert isinstance(call(*arguments).exception, RunError | SpecError)
    assert (mine.read_bytes() if is_file else sorted(os.listdir(mine))) == before


@pytest.mark.parametrize(
    "place",
    [
        "program.py", "proposal.md", "rounds", "rounds/0002", "rounds/0002/explorer",
        "rounds/0002/explorer/submitted", "rounds/0002/explorer/program.py", "scorer.sock",
    ],
)  # fmt: skip
def test_nothing_is_handed_in_or_tried_through_a_link(theirs, tmp_path, place):
    """Neither is what lies elsewhere read into a submission, nor is one written elsewhere."""
    path = theirs()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "secret").write_text("a key")
    files = place.endswith((".py", ".md", ".sock"))
    there = path / place
    if there.is_dir():
        there.rmdir()
    there.parent.mkdir(parents=True, exist_ok=True)
    there.symlink_to(mine / "secret" if files else mine)
    if there.name != "program.py":
        (path / "program.py").write_text(program(13))
    own = tmp_path / "own.py"
    own.write_text(program(13))
    for arguments in (
        ("submit", path),
        ("submit", path, "--program", own),
        ("submit", path, "--program", path / "program.py", "--wait"),
        ("try", own, "--run", path),
    ):
        done = call(*arguments)
        assert isinstance(done.exception, RunError)
        assert "is a link" in str(done.exception)
    assert os.listdir(mine) == ["secret"]


def test_a_program_is_diagnosed_through_no_link(theirs, tmp_path):
    path = theirs()
    (tmp_path / "mine.py").write_text(program(13))
    (path / "rounds/0001").mkdir()
    (path / "rounds/0001/program.py").symlink_to(tmp_path / "mine.py")
    assert "is a link" in str(call("diagnose", path, "--round", 1).exception)


def test_programs_of_any_length_and_figures_are_compared_or_not(theirs):
    """What costs nothing, and lines that repeat without end."""
    path = theirs("x\n" * 20_000)
    assert "more than 1,000 lines" in str(call("diff", path, "1", "1").exception)
    log = path / "events.jsonl"
    log.write_text(
        re.sub(r'"tokens": [0-9.]+', '"tokens": 0', log.read_text()).replace("x\\n" * 20_000, "x")
    )
    assert "+nan%" in call("diff", path, "1", "1").output.replace(" ", "")


@pytest.mark.parametrize("depth", [21, 1_500])
def test_folders_nested_without_end_are_told(theirs, depth, request):
    path = theirs()
    here = os.getcwd()
    try:
        os.chdir(path)
        for _ in range(depth):
            os.mkdir("below")
            os.chdir("below")
    finally:
        os.chdir(here)
    # Python's own way of removing folders, which ends the session of tests, goes in too deep.
    request.addfinalizer(lambda: subprocess.run(["rm", "-rf", path / "below"], check=True))
    (path / "program.py").write_text(program(13))
    for arguments in (("finalize", path), ("discover", "--resume", path), ("submit", path)):
        done = call(*arguments)
        assert isinstance(done.exception, RunError)
        assert "nested at most 20 deep" in str(done.exception)
    assert call("runs", path.parent).exit_code == 0
    workspace = os.open(path, os.O_RDONLY)
    assert Emptying(workspace).go() == ""
    os.close(workspace)


@pytest.mark.parametrize("name", ["run.toml", "events.jsonl", "lock"])
def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(theirs, tmp_path, name):
    path = theirs()
    (path / name).unlink(missing_ok=True)
    os.mkfifo(path / name)
    done = call("runs", path.parent)
    assert done.exit_code == 0, done.output
    if name != "lock":
        assert "damaged" in done.output
        assert isinstance(call("discover", "--resume", path).exception, RunError)


def test_an_honest_run_is_resumed_and_finalized_without_a_question(theirs):
    path = theirs()
    assert call("discover", "--resume", path).exit_code == 0
    assert call("finalize", path).exit_code == 0
    again = call("finalize", path)
    assert again.exit_code == 0
    assert "not opened again" in again.output


def test_a_forged_lead_does_not_survive_finalizing(theirs):
    """What the log says of the held-out stores' controllers is measured, not believed."""
    path = theirs()
    log = path / "events.jsonl"
    area = RunFolder(path).state.best.area
    log.write_text(log.read_text().replace(f'"area": {area}', '"area": 99.0'))
    assert RunFolder(path).state.best.area == 99.0
    assert finalize(path, say=lambda text: None).controllers["round 1"].area < 99


def test_settings_that_are_somebody_else_s_are_shown_without_control_characters(theirs):
    options = {"command": "\x1b[2Jtouch x"}
    path = theirs(explorer=ExplorerRef(name="agent", options=options))
    assert "\x1b" not in call("discover", "--resume", path, "--rounds", 2).output


def test_a_sweep_that_somebody_else_kept_is_not_believed(theirs, honest, monkeypatch, tmp_path):
    """Not another's, not one under another name; this user's own saves the replay."""
    path = theirs()
    folder = RunFolder(path)
    kept.keep(tmp_path / "kept", "a.sweep", b"content")
    assert kept.find(tmp_path / "kept", "a.sweep") == b"content"
    (tmp_path / "kept/a.sweep").rename(tmp_path / "kept/b.sweep")
    assert kept.find(tmp_path / "kept", "b.sweep") is None

    settings_, source = folder.settings, Source("round-1", "p.py", program(11), False)

    def sweep():
        stores = open_stores(settings_.stores)
        with Scorer(stores, settings_, path / "evaluations") as scorer:
            return scorer.sweep(source).curve

    sweep()
    (mine,) = (path / "evaluations").iterdir()
    written = mine.stat().st_mtime_ns
    sweep()
    assert mine.stat().st_mtime_ns == written
    monkeypatch.setattr(kept, "_secret", lambda: b"of another user")
    sweep()
    assert mine.stat().st_mtime_ns > written


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", os.urandom(500)])
def test_what_is_no_sweep_is_made_again(tmp_path, content):
    (tmp_path / "a.sweep").write_bytes(content)
    assert kept.find(tmp_path, "a.sweep") is None


def test_a_report_keeps_nothing_in_the_run(theirs, tmp_path):
    path = theirs()
    assert call("report", path, "--out", tmp_path / "report.html").exit_code == 0
    assert not (path / "evaluations").exists()


@pytest.mark.parametrize("named", ["reference:{evil}:Evil", "evilpackage.inner", "evilmod"])
def test_a_results_file_that_names_code(stores, evil, tmp_path, named):
    results, store = tmp_path / "results.json", stores[0]
    assert call("evaluate", store, "-c", "sc:width=4", "--json", results).exit_code == 0
    text = results.read_text().replace("sc:width=4", named.format(evil=evil))
    results.write_text(text)
    for command in ("report", "plot"):
        done = call(command, results, "--stores", store, "--out", tmp_path / "out")
        assert "allow it: --yes" in str(done.exception) or "not known" in str(done.exception)


def test_help_says_that_references_run_with_your_rights():
    assert "which runs with your rights" in " ".join(call("evaluate", "--help").output.split())
