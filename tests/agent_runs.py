"""A small run whose explorer is an agent, and what it left."""

import json
from pathlib import Path
from typing import Any

import discover_toy as toy
from autotts.discovery.explorers.agent import make
from autotts.discovery.loop import SessionEnd
from autotts.discovery.run.folder import RunFolder


class Working:
    """A run whose agent is a shell script."""

    def __init__(self, folder: Path, store: Path, held_out: Path, script: str, **options: str):
        self.folder = folder / "run"
        tools = folder / "tools"
        tools.mkdir()
        self.program = tools / "agent"
        self.program.write_text(f"#!/bin/sh\n{script}\n")
        self.program.chmod(0o755)
        given = {"command": str(self.program), "minutes": "0.5", "pause": "0"} | options
        self.explorer = make(given)
        RunFolder.create(
            self.folder,
            toy.settings(store, held_out, limits=toy.RunLimits(rounds=1), baselines=("asc",)),
        )

    def go(self) -> SessionEnd:
        return toy.session(self.folder, self.explorer)

    def events(self, kind: str) -> list[Any]:
        return [e for e in toy.lines(self.folder) if e["event"] == kind]

    @property
    def transcript(self) -> str:
        return (self.folder / "rounds/0001/explorer/transcript.txt").read_text()

    @property
    def ended(self) -> Any:
        return json.loads((self.folder / "rounds/0001/explorer/agent.json").read_text())


def propose(program: str) -> str:
    """Shell that leaves a program and words."""
    words = "## Idea\\nWider.\\n\\n## Learned\\nNothing yet.\\n"
    return f"cat > program.py <<'END'\n{program}END\nprintf '{words}' > proposal.md\n"
