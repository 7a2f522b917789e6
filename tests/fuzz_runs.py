"""Mutated run folders: whatever is in them, looking at them ends in an answer or a named error.

The tests run some hundreds; `python tests/fuzz_runs.py WORK 10000` more. Nothing of a folder may
run: the commands that would start its explorer, or replay its programs, are stopped where they
would, and that they got so far is an answer.
"""

import contextlib
import io
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from autotts.discovery import assembly, loop
from autotts.discovery.earlier_runs import earlier_runs, taken_over
from autotts.discovery.explorers import agent, chat
from autotts.discovery.interop.mcp_server import Tools
from autotts.discovery.lessons import lessons_of, lessons_text
from autotts.discovery.run.folder import RunFolder
from autotts.errors import AutottsError
from autotts.play.folder import WatchedFolder
from autotts.reports.runs import from_run

MOST_SECONDS = 5.0

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**6, 2**63, 10**40, -0.5, 1e308, "", "x", "\x1b[2J", "\ud800",
    "../../etc/passwd", "reference:/tmp/x.py:X", "in-process", "agent", "reference:999999", "nan",
    [], {}, [[]], {"": {}}, ["x"] * 50, {"command": "touch x", "jail": "off"}, "a" * 10_000,
)  # fmt: skip
_TOKENS = (
    b"\n", b"\x00", b"\xff", b'"', b"{", b"[" * 300, b"1e999", b"NaN", b"null", b"\xef\xbb\xbf",
    b",", b"9" * 5_000, b"]", b"}",
)  # fmt: skip


class Reached(Exception):
    """A command got as far as to begin a session, to replay, or to make an explorer."""


def mutate(folder: Path, rng: random.Random) -> None:
    """Change one to three things in a run's folder."""
    for _ in range(rng.randint(1, 3)):
        path = rng.choice([folder / "events.jsonl", folder / "events.jsonl", folder / "run.toml"])
        rng.choice([change_bytes, change_bytes, change_lines, _values, _values, _places])(path, rng)


def change_bytes(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes()) if path.is_file() else bytearray()
    at, size = rng.randrange(len(content) + 1), rng.choice([0, 1, 1, 10, 1000])
    content[at : at + size] = rng.choice([*_TOKENS, rng.randbytes(size)])
    _put(path, bytes(content))


def change_lines(path: Path, rng: random.Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    if lines:
        k, other = rng.randrange(len(lines)), rng.choice(lines)
        lines[k : k + 1] = rng.choice([[], [lines[k]] * 2, [other, lines[k]], [other]])
    _put(path, b"".join(lines))


def _values(path: Path, rng: random.Random) -> None:
    """Another value somewhere in an event; in the settings, a value after an equals sign."""
    value = rng.choice(VALUES)
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    if not lines:
        return
    k = rng.randrange(len(lines))
    with contextlib.suppress(ValueError):
        if path.suffix == ".toml":
            name, equals, _ = lines[k].partition(" = ")
            lines[k] = f"{name}{equals}{json.dumps(value)}"
        else:
            record = json.loads(lines[k])
            replace_some(record, value, rng)
            lines[k] = json.dumps(record)
    _put(path, "".join(f"{line}\n" for line in lines).encode(errors="replace"))


def replace_some(record: Any, value: Any, rng: random.Random) -> None:
    """Replace, rename or remove one of a record's values, at any depth."""
    while isinstance(record, dict | list) and record:
        keys = list(record) if isinstance(record, dict) else list(range(len(record)))
        key = rng.choice(keys)
        if not isinstance(record[key], dict | list) or rng.random() < 0.3:
            change = rng.random()
            if change < 0.15:
                del record[key]
            elif change < 0.25 and isinstance(record, dict):
                record["surprise"] = record.pop(key)
            else:
                record[key] = value
            return
        record = record[key]


def _places(path: Path, rng: random.Random) -> None:
    """Something else in a file's place."""
    path = rng.choice([path, path.parent / "lock", path.parent / "best.py"])
    if path.is_dir() and not path.is_symlink():
        return
    path.unlink(missing_ok=True)
    rng.choice([os.mkfifo, Path.mkdir, lambda p: p.symlink_to("/etc/passwd"), lambda p: None])(path)


def _put(path: Path, content: bytes) -> None:
    if path.is_file() and not path.is_symlink():
        path.write_bytes(content)


def look(folder: Path) -> None:
    """Everything that reads a run's folder, as the commands do."""
    from rich.console import Console

    from autotts.cli.diagnose import _of_run
    from autotts.cli.runs import condition, diff, rounds_table
    from autotts.discovery.explorers.files import find_submission
    from autotts.discovery.explorers.recorded import Recorded
    from autotts.discovery.held_out import curves
    from autotts.discovery.prompts.briefing import history_text
    from autotts.reports.page import build

    commands = (
        lambda: Console(file=io.StringIO()).print(rounds_table(RunFolder(folder).state)),
        lambda: _shown(lambda: diff(folder, "1", "2")),
        lambda: _of_run(folder, 1, "reference:5"),
        lambda: condition(RunFolder(folder), RunFolder(folder).state),
        lambda: history_text(RunFolder(folder).state.history, traces=True),
        lambda: build(from_run(folder, replay=False)),
        lambda: from_run(folder),
        lambda: Recorded(folder),
        lambda: find_submission(folder),
        lambda: assembly.resume(folder, say=len),
        lambda: assembly.resume(folder, trust=True, say=len),
        lambda: curves(assembly.finalize(folder, say=len)),
        lambda: repr(RunFolder(folder).state),
        lambda: lessons_text(lessons_of(RunFolder(folder))),
        lambda: earlier_runs([folder], []),
        lambda: _taken_over(folder),
        lambda: WatchedFolder(folder).found(),
        lambda: _asked(Tools(folder)),
    )
    for command in commands:
        with contextlib.suppress(AutottsError, Reached):
            command()


def _taken_over(folder: Path) -> None:
    """Begin another run with this one, as far as its own settings can be read."""
    begun_with = earlier_runs([folder], [])
    taken_over(RunFolder(folder).settings.model_copy(update={"earlier": begun_with}))


def _asked(tools: Tools) -> None:
    """Whatever an agent may ask of the run by MCP that starts nothing."""
    tools.task()
    tools.history()
    for name in ("", "1", "asc", "../x"):
        with contextlib.suppress(AutottsError):
            tools.diagnose(name, episodes=True)


def _shown(command: Callable[[], None]) -> None:
    """Run a command, and keep what it says to itself."""
    with contextlib.redirect_stdout(io.StringIO()):
        command()


def fuzz(work: Path, original: Path, count: int, seed: int = 0) -> Counter[str]:
    """Look at so many mutations of a run; returns what ended in anything but an answer.

    Args:
        original: a run's folder, whose stores are there.
    """
    wrong: Counter[str] = Counter()

    def reached(*_: object, **__: object) -> Any:
        raise Reached

    stops = [
        (loop.Discovery, "go"), (agent, "make"), (chat, "make"),
        ("autotts.reports.runs._replayed", None), ("autotts.discovery.held_out._measure", None),
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        for owner, name in stops:
            patch = mock.patch.object(owner, name, reached) if name else mock.patch(owner, reached)
            stack.enter_context(patch)
        for number in range(count):
            folder = work / "mutated"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(original, folder)
            mutate(folder, random.Random(f"{seed}-{number}"))
            began = time.monotonic()
            try:
                look(folder)
            except Exception as error:
                wrong[f"{number}: {type(error).__name__}: {error}"[:300]] += 1
            if time.monotonic() - began > MOST_SECONDS:
                wrong[f"{number}: took {time.monotonic() - began:.1f} s"] += 1
    return wrong


if __name__ == "__main__":
    work = Path(sys.argv[1])
    found = fuzz(work, work / "original", int(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps(found, indent=1))
