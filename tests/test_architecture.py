"""What docs/architecture.md says of the way of the data is the way that it takes."""

import re
import sys
import threading
from pathlib import Path

import pytest

import autotts
from autotts import simulation
from autotts.cli.app import app

ROOT = Path(__file__).parent.parent
PACKAGE = Path(autotts.__file__).parent


@pytest.fixture
def called(tmp_path, monkeypatch, capsys):
    """The functions of the package that an evaluation calls, in order: `file.function`."""
    store = simulation.simulate(tmp_path, questions=3, branches=8, seed=0)
    autotts.evaluate(str(store), "cmc")  # what is compiled is found from now on
    monkeypatch.setattr(sys, "argv", ["autotts", "evaluate", str(store), "-c", "cmc"])
    calls: list[str] = []

    def note(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
            calls.append(f"{module}.{frame.f_code.co_qualname}")

    sys.setprofile(note)
    threading.setprofile(note)
    try:
        with pytest.raises(SystemExit, match="0"):
            app()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return calls


def named_in(text: str, heading: str) -> list[str]:
    listed = text.split(heading)[1].split("```text\n")[1].split("```")[0]
    heads = [re.split(r"\s{2,}", line.strip())[0] for line in listed.splitlines()]
    return [name for head in heads for name in head.split(", ")]


def test_an_evaluation_calls_what_its_way_lists_in_that_order(called):
    text = (ROOT / "docs" / "architecture.md").read_text()
    at = -1
    for name in named_in(text, "### The way of a store through evaluate"):
        # A name may stand for a class, or be offered by the package that its file is in.
        own, _, last = name.rpartition(".")
        pattern = re.compile(rf"(^|\.){re.escape(last)}(\.__init__)?$")
        found = [
            k
            for k, full in enumerate(called)
            if k > at and pattern.search(full) and all(part in full for part in own.split("."))
        ]
        assert found, f"{name} is not called after {called[at] if at >= 0 else 'the start'}"
        at = found[0]
