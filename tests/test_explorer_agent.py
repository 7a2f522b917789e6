"""The agent explorer end to end: an executable that behaves as badly as an agent can."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import chat_server
import discover_toy as toy
from agent_runs import Working, propose
from autotts.discovery.explorers.agent import make
from autotts.errors import SpecError
from autotts.sandbox.confine import jail

pytestmark = pytest.mark.skipif(jail.missing() is not None, reason=str(jail.missing()))

KEY = "sk-a-key-of-the-agent"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.store_folder(tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.store_folder(tmp_path_factory.mktemp("sealed"), "held-out", seed=9)


def living(mark: str) -> list[str]:
    """Processes whose command line has a mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if mark in line:
                found.append(line)
    return found


def test_what_it_leaves_is_proposed(tmp_path: Path, store: Path, held_out: Path) -> None:
    """Files edited, a try asked for and answered, the transcript kept, the workspace gone."""
    script = (
        "cat > got\nls; head -1 got HISTORY.md\n"
        + propose(toy.program())
        + "autotts try program.py && autotts try --json program.py | tail -c 20\n"
        + "echo in $PWD, home $HOME"
    )
    run = Working(tmp_path, store, held_out, script)
    best = run.go().best
    assert best is not None
    assert best.proposal.source == toy.program()
    assert (best.proposal.idea, best.proposal.learned) == ("Wider.", "Nothing yet.")
    for said in (
        "TASK.md",
        "# The task",
        "# What was tried so far",
        "frontier area",
        "tries left: 29",
    ):
        assert said in run.transcript
    assert '"tries_left": 28' in run.transcript
    assert run.ended["exit"] == 0
    assert run.ended["layers"]["landlock"].startswith("on")
    assert len(run.events("tried")) == 1
    workspace = run.transcript.split("in /")[-1].split(",")[0]
    assert not Path(f"/{workspace}").exists()


def test_an_agent_is_found_through_links(
    tmp_path: Path, store: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As installers set it up: a link on PATH leads through others in folders that are closed."""
    (tmp_path / "path").mkdir()
    (tmp_path / "opt/v1").mkdir(parents=True)
    (tmp_path / "opt/current").symlink_to("v1")
    (tmp_path / "path/my-agent").symlink_to(tmp_path / "opt/current/my-agent")
    program = tmp_path / "opt/v1/my-agent"
    program.write_text(f"#!/bin/sh\n{propose(toy.program(15, 3))}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{os.environ['PATH']}")
    run = Working(tmp_path, store, held_out, "true", command="my-agent")
    best = run.go().best
    assert best is not None
    assert best.proposal.source == toy.program(15, 3)


def test_nothing_is_found(
    tmp_path: Path, store: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the gold answers, the held-out store, the run, our environment, a home, the network."""
    monkeypatch.setenv("AUTOTTS_TEST_SECRET", KEY)
    run = Working(tmp_path, store, held_out, "true")
    listed = [store, held_out, run.folder, Path.home(), Path("/tmp")]
    reads = "\n".join(f'ls -R "{path}" && echo FOUND {path}' for path in listed)
    script = f"""
{reads}
for f in "{store}"/manifest.json "{held_out}"/manifest.json "{run.folder}/run.toml" /etc/shadow; do
    cat "$f" && echo FOUND $f
done
for p in /proc/[0-9]*; do
    case $p in /proc/$$) continue;; esac
    tr '\\0' '\\n' < $p/environ 2>/dev/null | grep AUTOTTS_TEST && echo FOUND $p
    ls $p/fd/ 2>/dev/null | grep -q . && ls -l $p/fd/ 2>/dev/null | grep -q stores && echo FOUND $p
done
env | grep AUTOTTS_TEST && echo FOUND in the environment
ln -s "{store}/manifest.json" link.py; cat link.py && echo FOUND by a link
ln "{held_out}/manifest.json" hard.py && echo FOUND by a hard link
kill -0 $PPID && echo FOUND the keeper
kill -0 {os.getpid()} && echo FOUND us
{sys.executable} -c 'import socket; socket.socket(socket.AF_INET)' && echo FOUND the network
{sys.executable} -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)' && echo FOUND
mount -t tmpfs none tmp && echo FOUND a mount
rm -f program.py; ln -s "{store}/manifest.json" program.py
"""
    run.program.write_text(f"#!/bin/sh\n{script}\n")
    outcome = run.go()
    assert "FOUND" not in run.transcript
    assert "Permission denied" in run.transcript
    assert KEY not in run.transcript
    # The link that it left for us to follow was not followed either.
    assert outcome.best is None
    assert "left no program" in run.events("failed")[0]["reason"]


def test_without_the_jail_it_would_be_found(tmp_path: Path, store: Path, held_out: Path) -> None:
    """So the jail is what hides it, and `jail=off` means what it says."""
    script = f'cat "{store}/manifest.json" && echo FOUND; {propose(toy.program(4, 3))}'
    run = Working(tmp_path, store, held_out, script, jail="off")
    assert run.go().best is not None
    assert "FOUND" in run.transcript
    assert run.ended["layers"] == {}


def test_the_scorer_cannot_be_changed(tmp_path: Path, store: Path, held_out: Path) -> None:
    """It may rewrite every tool it was given: what counts is made on the other side."""
    forged = '{"ok": true, "errors": [], "area": 100.0, "points": []}'
    script = f"""
cp program.py bin/autotts_client.py
for f in bin/* HISTORY.md TASK.md baselines/*; do echo '{forged}' > $f; done
rm -f scorer.sock; echo '{forged}' > scorer.sock
echo 'print(1)' > sitecustomize.py
{propose(toy.program(5, 3))}
"""
    run = Working(tmp_path, store, held_out, script)
    best = run.go().best
    assert best is not None
    assert best.area is not None
    assert best.area < 100
    assert run.events("tried") == []


def test_a_flood_a_fork_and_a_hang_end_with_the_time(
    tmp_path: Path, store: Path, held_out: Path
) -> None:
    """Killed at the hour, whatever it started, in whichever session; what it left still counts."""
    mark = f"autotts-mark-{os.getpid()}"
    script = f"""
{propose(toy.program(6, 3))}
trap '' TERM INT HUP
setsid sh -c 'trap "" TERM; while :; do sleep 0.1; done # {mark}' &
(setsid setsid sh -c 'setsid sh -c "while :; do sleep 0.1; done # {mark}" & exit' &)
for i in 1 2 3 4 5 6; do sh -c 'while :; do sleep 0.2; done # {mark}' & done
head -c 12000000 /dev/zero | tr '\\0' x
while :; do sleep 0.1; done # {mark}
"""
    run = Working(tmp_path, store, held_out, script, minutes="0.04")
    began = time.monotonic()
    best = run.go().best
    assert time.monotonic() - began < 30
    assert best is not None
    assert (run.ended["exit"], run.ended["why"]) == (None, "time")
    assert run.ended["left"] >= 8
    assert run.ended["output_bytes"] > 8_000_000
    assert len(run.transcript) < 5_000_000
    assert living(mark) == []


def test_what_it_leaves_running_is_killed(tmp_path: Path, store: Path, held_out: Path) -> None:
    """An agent that ends, and whose grandchild in another session would go on."""
    mark = f"autotts-left-{os.getpid()}"
    script = (
        f"{propose(toy.program(7, 3))}(setsid sh -c 'while :; do sleep 0.1; done # {mark}' &)\n"
    )
    run = Working(tmp_path, store, held_out, script + "sleep 0.2; exit 3")
    assert run.go().best is not None
    assert (run.ended["exit"], run.ended["why"]) == (3, "")
    assert run.ended["left"] >= 1
    assert living(mark) == []


def test_too_many_processes_end_it(
    tmp_path: Path, store: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork bomb is seen while it grows."""
    monkeypatch.setattr("autotts.discovery.agents.process.MOST_PROCESSES", 20)
    mark = f"autotts-bomb-{os.getpid()}"
    script = f"while :; do sh -c 'while :; do sleep 1; done # {mark}' & sleep 0.01; done"
    run = Working(tmp_path, store, held_out, script)
    assert run.go().best is None
    assert run.ended["why"] == "processes"
    assert living(mark) == []


def test_tries_are_limited(tmp_path: Path, store: Path, held_out: Path) -> None:
    """By number and by pace, whatever the client does."""
    script = 'for i in 1 2 3; do echo "# $i" >> program.py; autotts try program.py; done'
    run = Working(tmp_path, store, held_out, script, tries="2")
    run.go()
    assert run.transcript.count("frontier area") == 2
    assert "no tries are left" in run.transcript
    assert run.ended["tries"] == 2


def test_its_key_reaches_it_and_no_file(
    tmp_path: Path, store: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the user names is passed on; the transcript and the program have it blotted out."""
    monkeypatch.setenv("MY_API_KEY", KEY)
    script = f'{propose(toy.program(8, 3))}echo "# $MY_API_KEY" >> program.py; env'
    run = Working(tmp_path, store, held_out, script, env="MY_API_KEY")
    run.go()
    assert "[MY_API_KEY]" in run.transcript
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_session_is_paid_once(tmp_path: Path, store: Path, held_out: Path) -> None:
    """Resuming after the reply was recorded starts no agent."""
    run = Working(tmp_path, store, held_out, propose(toy.program(9, 3)))
    run.go()
    log = run.folder / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    proposed = next(n for n, line in enumerate(lines) if b'"event": "proposed"' in line)
    log.write_bytes(b"".join(lines[:proposed]))
    run.program.write_text("#!/bin/sh\nexit 1\n")
    best = run.go().best
    assert best is not None
    assert best.proposal.source == toy.program(9, 3)


def test_stores_that_it_could_open_stop_the_run(tmp_path: Path, store: Path) -> None:
    """A folder that is opened to the agent must not hold the answers."""
    held_out = toy.store_folder(tmp_path / "mine", "held-out", seed=9)
    run = Working(tmp_path, store, held_out, "true", read=str(tmp_path / "mine"))
    with pytest.raises(SpecError, match="must not find the answers"):
        run.go()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of them"),
        ({"preset": "nobody"}, "no preset 'nobody'; claude, codex"),
        ({"command": "no-such-program-anywhere"}, "not installed"),
        ({"command": "sh {nothing}"}, "may have the blanks"),
        ({"command": "sh", "minutes": "x"}, "minutes='x'"),
        ({"command": "sh", "jail": "maybe"}, "need on or off"),
        ({"command": "sh", "meter": "on"}, "needs network=on"),
    ],
)
def test_wrong_options_say_what_would_work(options: dict[str, str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make(options)


def test_without_landlock_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the user says so in so many words."""
    monkeypatch.setattr(jail.seal, "landlock_abi", lambda: 0)
    with pytest.raises(SpecError, match="could read the answers"):
        make({"command": "sh"})
    assert make({"command": "sh", "jail": "off"}).name == "agent"


def test_killing_us_ends_the_agent(tmp_path: Path) -> None:
    """Whoever kills the run without a word leaves no agent behind."""
    mark = f"autotts-orphan-{os.getpid()}"
    (tmp_path / "task").write_text("")
    program = f"""
import sys
from pathlib import Path
from autotts.discovery.agents.process import run_agent
from autotts.discovery.agents.scorer_server import ScorerSocket, TryAllowance
here = Path({str(tmp_path)!r})
loop = "setsid sh -c 'while :; do sleep 0.1; done # {mark}' & while :; do sleep 0.1; done # {mark}"
with ScorerSocket(here / "s", lambda source: None, TryAllowance()) as scorer:
    run_agent(["sh", "-c", loop], folder=here, stdin=here / "task", environment={{}},
              timeout_seconds=60, jail=None, scorer=scorer)
"""
    ours = subprocess.Popen([sys.executable, "-c", program])
    try:
        _until(lambda: len(living(mark)) > 2)
    finally:
        ours.kill()
        ours.wait()
    _until(lambda: living(mark) == [])


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_claude_code_is_started_as_it_wants(
    tmp_path: Path, store: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The preset's flags, model and limit; its key, and no other; what it reports is charged."""
    (tmp_path / "path").mkdir()
    claude = tmp_path / "path/claude"
    result = '{"type": "result", "total_cost_usd": 0.5, "usage": {"output_tokens": 3}}'
    claude.write_text(
        f"#!/bin/sh\necho \"$@\"; env; head -1; {propose(toy.program(10, 3))}echo '{result}'\n"
    )
    claude.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{os.environ['PATH']}")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    given = {"command": "", "preset": "claude", "model": "claude-m", "usd": "2"}
    run = Working(tmp_path, store, held_out, "true", **given)
    assert run.go().best is not None
    flags = "-p --verbose --output-format stream-json --dangerously-skip-permissions"
    assert f"{flags} --model claude-m --max-budget-usd 2" in run.transcript
    assert "ANTHROPIC_API_KEY=[ANTHROPIC_API_KEY]" in run.transcript
    assert "OPENAI_API_KEY" not in run.transcript
    assert "# The task" in run.transcript
    assert run.events("call")[0]["reserved"]["usd"] == 2
    assert run.events("reply")[0]["usage"]["usd"] == 0.5


def test_codex_is_told_address_and_key_as_it_takes_them(
    tmp_path: Path, store: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads neither OPENAI_BASE_URL nor OPENAI_API_KEY."""
    (tmp_path / "path").mkdir()
    codex = tmp_path / "path/codex"
    codex.write_text(f'#!/bin/sh\necho "$@"; env\n{propose(toy.program(10, 3))}')
    codex.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{os.environ['PATH']}")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("CODEX_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")
    run = Working(tmp_path, store, held_out, "true", command="", preset="codex")
    run.go()
    assert '-c openai_base_url="http://127.0.0.1:8000/v1"' in run.transcript
    assert "CODEX_API_KEY=[" in run.transcript
    assert KEY not in run.transcript


CALLING = """cat > call.py <<'END'
import json, os, sys, urllib.request
key = sys.argv[1] if len(sys.argv) > 1 else os.environ["OPENAI_API_KEY"]
request = urllib.request.Request(
    os.environ["OPENAI_BASE_URL"] + "/chat/completions",
    json.dumps({"messages": []}).encode(),
    {"Authorization": "Bearer " + key, "Content-Type": "application/json"},
)
try:
    print("reply", urllib.request.urlopen(request).read())
except urllib.error.HTTPError as error:
    print("refused", error.code, error.read())
END
"""
"""Shell that leaves a script which calls the model, with the key of an argument if there is one."""


def metered(tmp_path, store, held_out, monkeypatch, url, script, **options):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    whole = f"{CALLING}{script}\nenv\n{propose(toy.program(8, 3))}"
    run = Working(
        tmp_path, store, held_out, whole,
        env="OPENAI_API_KEY,OPENAI_BASE_URL", meter="on", network="on", **options,
    )  # fmt: skip
    run.go()
    return run


def test_a_metered_agent_is_charged_what_its_calls_took(
    tmp_path: Path, store: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replies say it, not the agent, whose key is the session's in place of the user's."""
    script = f"{sys.executable} call.py; {sys.executable} call.py; {sys.executable} call.py forged"
    with chat_server.serving(chat_server.says("hello", tokens=(700, 30))) as server:
        run = metered(tmp_path, store, held_out, monkeypatch, server.url, script)
    usage = run.events("reply")[0]["usage"]
    assert (usage["calls"], usage["input_tokens"], usage["output_tokens"]) == (2, 1_400, 60)
    assert [headers["Authorization"] for headers, _ in server.requests] == [f"Bearer {KEY}"] * 2
    assert run.transcript.count("data: [DONE]") == 2
    assert "refused 401" in run.transcript
    assert "OPENAI_API_KEY=metered-" in run.transcript
    assert run.events("proposed")


def test_a_metered_agent_is_stopped_at_its_tokens(
    tmp_path: Path, store: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"{sys.executable} call.py; {sys.executable} call.py"
    with chat_server.serving(chat_server.says("hello", tokens=(700, 30))) as server:
        run = metered(tmp_path, store, held_out, monkeypatch, server.url, script, tokens="500")
    assert len(server.requests) == 1
    assert "refused 429" in run.transcript
    assert run.events("reply")[0]["usage"]["input_tokens"] == 700


def test_a_reply_that_does_not_say_what_it_took_costs_what_was_reserved(
    tmp_path: Path, store: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chat_server.serving(chat_server.says("hello", tokens=None)) as server:
        run = metered(
            tmp_path, store, held_out, monkeypatch, server.url,
            f"{sys.executable} call.py", tokens="5000",
        )  # fmt: skip
    assert run.events("reply")[0]["usage"]["input_tokens"] == 5_000


def test_an_agent_that_says_no_cost_is_charged_its_limit(
    tmp_path: Path, store: Path, held_out: Path
) -> None:
    """And without a limit it is unpriced, not free."""
    run = Working(tmp_path, store, held_out, propose(toy.program(5, 2)), usd="2", tokens="1000")
    run.go()
    usage = run.events("reply")[0]["usage"]
    assert (usage["input_tokens"], usage["usd"]) == (1_000, 2)
    assert make({"command": "sh"}).estimate(5, 1).usd is None


@pytest.mark.skipif(
    importlib.util.find_spec("claude_agent_sdk") is not None, reason="claude-agent-sdk is installed"
)
def test_the_sdk_is_an_extra(tmp_path: Path, store: Path, held_out: Path) -> None:
    """Its preset starts in the jail, and says how to get it."""
    run = Working(tmp_path, store, held_out, "true", command="", preset="claude-sdk")
    run.go()
    assert 'pip install "autotts[agents]"' in run.events("failed")[0]["reason"]


@pytest.mark.parametrize(
    "forged",
    [
        '{"type": "result", "total_cost_usd": -600, "usage": {"output_tokens": -5000000}}',
        '{"type": "result", "total_cost_usd": NaN}',
        '{"type": "result", "total_cost_usd": "free", "usage": [1]}',
        '{"type": "result", "total_cost_usd": 1' + "0" * 400 + "}",
        '{"type": "result", "total_cost_usd": true, "usage": {"output_tokens": 1e400}}',
        '{"type":' * 20_000 + '"result"',
    ],
)
def test_a_forged_line_books_what_was_reserved(
    tmp_path: Path,
    store: Path,
    held_out: Path,
    monkeypatch: pytest.MonkeyPatch,
    forged: str,
) -> None:
    """Whatever a line says: the round counts, and the ledger never falls."""
    (tmp_path / "path").mkdir()
    claude = tmp_path / "path/claude"
    (tmp_path / "path/line").write_text(forged + "\n")
    claude.write_text(f"#!/bin/sh\n{propose(toy.program(12, 3))}cat {tmp_path}/path/line\n")
    claude.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{os.environ['PATH']}")
    given = {"command": "", "preset": "claude", "usd": "2", "tokens": "1000"}
    run = Working(tmp_path, store, held_out, "true", **given)
    assert run.go().best is not None
    usage = run.events("reply")[0]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["usd"]) == (1_000, 0, 2)


def test_what_it_leaves_to_trip_us_up_loses_no_round(
    tmp_path: Path, store: Path, held_out: Path
) -> None:
    """A folder in the socket's place, nested JSON, five thousand folders in one another: all of it
    costs nobody the round, and nothing of it stays."""
    nest = (
        "import os, socket\n"
        "s = socket.socket(socket.AF_UNIX); s.connect('scorer.sock')\n"
        "s.sendall(b'[' * 100_000 + bytes([10])); s.close()\n"
        "os.remove('scorer.sock'); os.makedirs('scorer.sock/x')\n"
        "os.mkdir('deep'); os.chdir('deep')\n"
        "for i in range(5000): os.mkdir('d'); os.chdir('d')\n"
        "os.chmod('..', 0)\n"
    )
    script = f"{propose(toy.program(13, 3))}cat > nest.py <<'END'\n{nest}END\n"
    script += f"{sys.executable} nest.py && echo DONE in $PWD,"
    run = Working(tmp_path, store, held_out, script)
    best = run.go().best
    assert "DONE" in run.transcript
    assert best is not None
    assert best.proposal.source == toy.program(13, 3)
    assert not Path(run.transcript.split("in ")[-1].split(",")[0]).exists()


def test_a_workspace_that_cannot_be_removed_loses_no_round(
    tmp_path: Path, store: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left, and said; by then the reply is in the log."""
    monkeypatch.setattr("autotts.discovery.agents.emptying._MOST_ENTRIES", 3)
    run = Working(tmp_path, store, held_out, propose(toy.program(14, 3)) + "echo in $PWD,")
    best = run.go().best
    left = Path(run.transcript.split("in ")[-1].split(",")[0])
    assert best is not None
    assert left.exists()
    shutil.rmtree(left.parent)
