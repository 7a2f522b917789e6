"""A run's tools by the Model Context Protocol, asked by the protocol's own client."""

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import discover_toy as toy
from autotts import stores
from autotts.discovery.agents.scorer_client import SOCKET
from autotts.discovery.explorers.files import make
from autotts.discovery.interop import mcp_server
from autotts.discovery.interop.mcp_server import MOST_BYTES, Tools, serve
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import ExplorerRef
from autotts.errors import RunError, SpecError
from secret_questions import assert_told_nothing, make_store

pytest.importorskip("mcp")

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


def new_run(folder: Path, explorer: str = "files") -> Path:
    """A run on a store whose questions and answers are unmistakable."""
    stores.write(make_store(np.random.default_rng(3), "m"), folder / "store")
    ref = ExplorerRef(name=explorer, deterministic=False)
    changes: dict[str, Any] = {"explorer": ref, "limits": toy.RunLimits(rounds=1)}
    RunFolder.create(folder / "run", toy.settings(folder / "store", **changes))
    return folder / "run"


async def work(run: Path, begin: threading.Event, told: dict[str, Any]) -> None:
    """What an agent does that gets everything wrong once, before the run goes on and meanwhile."""
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "autotts", "mcp", str(run)], env=dict(os.environ)
    )
    async with stdio_client(server) as streams, ClientSession(*streams) as client:
        await client.initialize()
        told["tools"] = [tool.name for tool in (await client.list_tools()).tools]

        async def call(key: str, tool: str, **arguments: Any) -> None:
            found = await client.call_tool(tool, arguments)
            text = "".join(part.text for part in found.content if part.type == "text")
            told[key] = (bool(found.is_error), text)

        await call("early try", "try", program=toy.program())
        await call("early submit", "submit", program=toy.program())
        begin.set()
        while not (run / SOCKET).exists():
            await asyncio.sleep(0.05)
        await call("task", "task")
        await call("matters", "diagnose")
        await call("baseline", "diagnose", name="asc", episodes=True)
        await call("nobody", "diagnose", name="nobody")
        await call("no program", "try")
        await call("wrong type", "try", program=toy.program(), constants={"width": "wide"})
        await call("no such constant", "try", program=toy.program(), constants={"depth": 3})
        await call("broken", "try", program="import os\n")
        await call("tried", "try", program=toy.program(), constants={"width": 9})
        await call("refused", "submit", program="import os\n")
        words = "## Idea\nBy protocol.\x1b[31m\n"
        await call("submitted", "submit", program=toy.program(11, 4), proposal=words)
        await call("history", "history")
        await call("round", "diagnose", name="1")


def test_an_agent_works_by_the_protocol(tmp_path: Path) -> None:
    """It reads, tries, hands in and reads the verdict; its mistakes are told to it."""
    run = new_run(tmp_path)
    begin, told = threading.Event(), {}
    agent = threading.Thread(target=lambda: asyncio.run(work(run, begin, told)))
    agent.start()
    assert begin.wait(60)
    best = toy.session(run, make({"wait": "60"})).best
    agent.join()
    assert best is not None
    assert (best.proposal.source, best.proposal.idea[:12]) == (toy.program(11, 4), "By protocol.")
    assert told.pop("tools") == ["task", "history", "diagnose", "try", "submit"]
    errors = {
        "early try": "nobody is at work on this run",
        "early submit": "nobody is at work on this run",
        "nobody": "there is one of: asc",
        "no program": "program",
        "wrong type": "constants",
        "no such constant": "no parameter depth",
        "refused": "may import",
    }
    for key, words in errors.items():
        failed, text = told[key]
        assert failed, key
        assert words in text
    texts = {key: text for key, (failed, text) in told.items() if not failed}
    assert texts.keys() == told.keys() - errors.keys()
    assert "# The task" in texts["task"]
    assert "Diagnosed: asc" in texts["matters"]
    assert "```" in texts["baseline"]
    assert "not tried" in texts["broken"] or "would be refused" in texts["broken"]
    assert "frontier area" in texts["tried"]
    assert "round 1 accepted: frontier area" in texts["submitted"]
    assert "By protocol." in texts["history"]
    assert "# " in texts["round"]
    for _, text in told.values():
        assert_told_nothing(text)
        assert "\x1b" not in text
        assert len(text.encode()) <= MOST_BYTES


def test_what_is_told_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message as long as somebody likes fits, and says that it was cut."""
    monkeypatch.setattr(mcp_server, "MOST_BYTES", 200)
    tools = Tools(new_run(tmp_path))
    text = mcp_server.bounded(tools.task())
    assert len(text.encode()) <= 200
    assert text.endswith("left out]\n")


def test_a_run_that_asks_nobody_is_refused(tmp_path: Path) -> None:
    """And so is a folder that is none."""
    with pytest.raises(SpecError, match="its explorer is scripted"):
        serve(new_run(tmp_path, "scripted"))
    with pytest.raises(RunError, match="no run here"):
        serve(tmp_path)


def test_without_the_package_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    with pytest.raises(SpecError, match=r'pip install "autotts\[mcp\]"'):
        serve(new_run(tmp_path))
