"""Genuine coding agents in the jail for one round, asked by a server that plays their model."""

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import discover_toy as toy
from agent_runs import Working, propose
from anthropic_server import ends, plays, results, uses
from autotts.discovery.explorers.agent import PRESETS
from autotts.sandbox.confine import jail
from chat_server import Handler, Step, serving

pytestmark = pytest.mark.skipif(jail.missing() is not None, reason=str(jail.missing()))

KEY = "sk-a-key-of-the-agent"


@pytest.fixture(scope="module")
def claude() -> Path:
    """Claude Code, as it lies in the wheel of claude-agent-sdk."""
    found = importlib.util.find_spec("claude_agent_sdk")
    if found is None or found.origin is None:
        pytest.skip('no Claude Code here: pip install "autotts[agents]" brings it')
    program = Path(found.origin).parent / "_bundled" / "claude"
    if not program.is_file():
        pytest.skip("claude-agent-sdk has no Claude Code for this system")
    return program


def test_claude_code_knows_our_flags(claude: Path, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    told = subprocess.run([claude, "--help"], env=environment, capture_output=True, text=True)
    preset = PRESETS["claude"]
    flags = [
        part for part in f"{preset.command} {preset.model} {preset.usd}".split() if "-" in part
    ]
    known = told.stdout.replace(",", " ").split()
    assert {flag for flag in flags if flag.startswith("-")} <= {*known}
    assert '"stream-json"' in told.stdout


@pytest.mark.parametrize("meter", ["off", "on"])
@pytest.mark.parametrize("preset", ["claude", "claude-sdk"])
def test_claude_code_works_for_a_round(
    claude: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str, meter: str
) -> None:
    """It reads, is kept from the answers, writes, tries, ends; its program is the proposal."""
    store = toy.store_folder(tmp_path / "stores")
    held_out = toy.store_folder(tmp_path / "sealed", "held-out", seed=9)
    (tmp_path / "path").mkdir()
    (tmp_path / "path/claude").symlink_to(claude)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{os.environ['PATH']}")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    for name in ("ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    words = "## Idea\nWider.\n"
    secret = next(store.rglob("manifest.json"))
    script = plays(
        uses("Bash", command="head -1 TASK.md HISTORY.md", description="Look"),
        uses("Bash", command=f"cat {secret}", description="Peep"),
        uses("Read", file_path="program.py"),
        uses("Write", file_path="program.py", content=toy.program(12, 5)),
        uses("Bash", command=f"printf '{words}' > proposal.md"),
        uses("Bash", command="autotts try program.py", description="Score"),
        ends("Done."),
    )
    with serving(script) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url.removesuffix("/v1"))
        options = {"command": "", "preset": preset, "model": "claude-m", "usd": "2"}
        options["meter"] = meter
        run = Working(tmp_path, store, held_out, "true", **options)
        best = run.go().best
    assert best is not None, run.transcript[-3000:]
    assert best.proposal.source == toy.program(12, 5)
    assert best.proposal.idea == "Wider."
    answers = results(server.requests)
    assert len(answers) == 6
    assert "# The task" in answers[0]
    assert "Exit code 1" in answers[1]
    assert "frontier area" in answers[5]
    assert len(run.events("tried")) == 1
    assert {body["model"] for _, body in server.requests} == {"claude-m"}
    headers = {name.lower(): value for name, value in server.requests[0][0].items()}
    assert headers["x-api-key"] == KEY
    assert KEY not in run.transcript
    assert run.ended["exit"] == 0
    usage = run.events("reply")[0]["usage"]
    # The agent may leave a call of its own out of what it says; a meter counts every one.
    calls = len(server.requests) if meter == "on" else 7
    assert (usage["input_tokens"], usage["output_tokens"]) == (100 * calls, 20 * calls)
    assert 0 < usage["usd"] < 2


@pytest.mark.parametrize("meter", ["off", "on"])
def test_codex_works_for_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meter: str
) -> None:
    """It reads, writes, tries and ends, by commands of its shell; what it counted is charged."""
    if shutil.which("codex") is None:
        pytest.skip("no codex on PATH: npm install -g @openai/codex brings it")
    store = toy.store_folder(tmp_path / "stores")
    held_out = toy.store_folder(tmp_path / "sealed", "held-out", seed=9)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("CODEX_API_KEY", raising=False)
    with serving(
        commands("head -1 TASK.md", propose(toy.program(12, 5)), "autotts try program.py")
    ) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        options = {"command": "", "preset": "codex", "model": "m", "minutes": "1", "meter": meter}
        run = Working(tmp_path, store, held_out, "true", **options)
        best = run.go().best
    assert best is not None, run.transcript[-3000:]
    assert best.proposal.source == toy.program(12, 5)
    assert "# The task" in run.transcript
    assert "frontier area" in run.transcript
    assert len(run.events("tried")) == 1
    assert KEY not in run.transcript
    headers = {name.lower(): value for name, value in server.requests[0][0].items()}
    assert headers["authorization"] == f"Bearer {KEY}"
    usage = run.events("reply")[0]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (400, 80)


def commands(*script: str) -> Step:
    """Has Codex run commands one after the other, then end, by the protocol of responses."""

    def step(handler: Handler) -> None:
        done = sum(part["type"] == "function_call_output" for part in handler.body["input"])
        handler.begin()
        if done < len(script):
            arguments = json.dumps({"cmd": script[done]})
            call = {"call_id": f"call_{done}", "name": "exec_command", "arguments": arguments}
            item = {"type": "function_call", "id": f"fc_{done}", **call}
        else:
            words = [{"type": "output_text", "text": "Done."}]
            item = {"type": "message", "id": "m", "role": "assistant", "content": words}
        usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
        for name, fields in (
            ("response.created", {"response": {"id": "r"}}),
            ("response.output_item.done", {"output_index": 0, "item": item}),
            ("response.completed", {"response": {"id": "r", "usage": usage}}),
        ):
            handler.event({"type": name, **fields}, name)

    return step
