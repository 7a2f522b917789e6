"""The workspace of an agent: what it is given to read, where it writes, and what is taken from it.

Everything in it is a copy, made for one round. The stores, the gold answers, the run and its scorer
are not in it; `bin/autotts try` speaks to the scorer through a socket. What an agent leaves behind
is read with suspicion: only plain files of a bounded size at their own place, never a link.
"""

import hashlib
import os
import re
import shlex
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from autotts import programs
from autotts.discovery.agents import scorer_client
from autotts.discovery.agents.emptying import Emptying
from autotts.discovery.explorer import History, Proposal, Turn
from autotts.discovery.prompts.briefing import history_text, prompt, sweep_length, task
from autotts.discovery.prompts.replies import parse_words
from autotts.files import write_text
from autotts.text import counted

MOST_BYTES = 64 * 1024
"""Of a program or of the words beside it."""

_DEFAULT_START = "short-mk"


@dataclass(frozen=True, slots=True)
class Found:
    """What an agent left behind.

    programs: text of `program.py`, `program2.py`, ... that are not as they were given.
    words: text of the proposals beside them.
    """

    programs: tuple[str, ...]
    words: tuple[str, ...]


class Workspace:
    """A workspace in a temporary folder, gone at the end. A context manager.

    folder: what the agent has; `home` and `tmp` lie in it, and the socket of the scorer.
    """

    def __init__(self, turn: Turn, *, tries: int | None, minutes: float) -> None:
        self._base = Path(tempfile.mkdtemp(prefix="autotts-agent-")).resolve()
        self.folder = self._base / "workspace"
        self.folder.mkdir()
        # By this it is read and removed, whatever stands at its path by then.
        self._handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        self._turn = turn
        self._start = write_reading_matter(self.folder, turn)
        (self.folder / "TASK.md").write_text(
            f"{task(turn.rules, sweep_length(turn.history), turn.objective, turn.judge)}\n"
            + prompt(
                "workspace",
                round=turn.round,
                minutes=f"{minutes:g}",
                tries="" if tries is None else f"You have {counted(tries, 'try')}.",
                count=_count_words(turn.proposals),
            ),
            encoding="utf-8",
        )
        for name in ("home", "tmp", "bin"):
            (self.folder / name).mkdir()
        write_client(self.folder / "bin")

    @property
    def socket(self) -> Path:
        return self.folder / scorer_client.SOCKET

    def __enter__(self) -> "Workspace":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        reason = Emptying(self._handle).go()
        os.close(self._handle)
        try:
            self.folder.rmdir()
            self._base.rmdir()
        except OSError as error:
            reason = reason or str(error)
        if reason:
            self._turn.say(f"the agent's workspace {self.folder} could not be removed: {reason}")

    def collect(self) -> Found:
        """Read what the agent left: programs that changed, and the words beside them."""
        found, words = [], []
        for index in range(self._turn.proposals):
            suffix = "" if index == 0 else str(index + 1)
            text = read_plain(self._handle, f"program{suffix}.py")
            if text.strip() and text != self._start:
                found.append(text)
                words.append(read_plain(self._handle, f"proposal{suffix}.md"))
        return Found(tuple(found), tuple(words))


def write_reading_matter(folder: Path, turn: Turn) -> str:
    """Write the history, the programs so far, and a program and proposal to begin with.

    Returns:
        the program to begin with.
    """
    history = turn.history
    write_text(folder / "HISTORY.md", history_text(history, traces=turn.traces, max_bytes=200_000))
    (folder / "programs").mkdir(exist_ok=True)
    (folder / "baselines").mkdir(exist_ok=True)
    for trial in history.trials:
        write_text(folder / "programs" / f"round-{trial.name}.py", trial.proposal.source)
        if turn.traces and trial.traces:
            (folder / "traces").mkdir(exist_ok=True)
            write_text(folder / "traces" / f"round-{trial.name}.md", trial.traces)
    for name, told in history.diagnoses.items() if turn.traces else ():
        stem = _file_of(name).removesuffix(".py")
        (folder / "traces").mkdir(exist_ok=True)
        write_text(folder / "baselines" / f"{stem}.md", told.digest)
        write_text(folder / "traces" / f"{stem}.md", told.traces)
    for name in history.baselines:
        write_text(folder / "baselines" / _file_of(name), programs.parse(name).source.text)
    start = start_of(history)
    write_text(folder / "program.py", start)
    write_text(folder / "proposal.md", prompt("proposal"))
    return start


def _file_of(spec: str) -> str:
    """What the program of a SPEC is called in a folder of ours: its name, if it can be."""
    if re.fullmatch(r"[\w-]{1,60}", spec, re.ASCII):
        return f"{spec}.py"
    plain = re.sub(r"[^\w.=-]+", "_", spec, flags=re.ASCII)[-60:]
    digest = hashlib.sha256(spec.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{digest}-{plain.removesuffix('.py')}.py"


def write_client(folder: Path) -> None:
    """Write a command `autotts` that can try programs, and nothing else."""
    source = Path(scorer_client.__file__)
    shutil.copyfile(source, folder / source.name)
    command = folder / "autotts"
    python, script = shlex.quote(sys.executable), shlex.quote(str(folder / source.name))
    command.write_text(f'#!/bin/sh\nexec {python} -I {script} "$@"\n', encoding="utf-8")
    command.chmod(0o755)


def proposal_of(program: str, words: str) -> Proposal:
    """A proposal from the two files."""
    said = parse_words(words)
    return Proposal(
        source=program,
        idea=said.get("idea", "") or said[""],
        learned=said.get("learned", ""),
        expected_effect=said.get("expected effect", ""),
    )


def read_plain(folder: int, name: str) -> str:
    """The text of a plain file in an open folder; "" if it is none, is too large or isn't text.

    A link, a pipe or a folder in its place is not followed: it may lead to what the writer can't
    read and we can.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(name, flags, dir_fd=folder)
    except OSError:
        return ""
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            return ""
        return os.read(handle, MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        return ""
    finally:
        os.close(handle)


def start_of(history: History) -> str:
    """The program to begin with: the best so far."""
    best = history.best
    return best.proposal.source if best is not None else programs.find(_DEFAULT_START).text


def _count_words(proposals: int) -> str:
    if proposals == 1:
        return ""
    return (
        f"Up to {proposals} programs are wanted, as different as can be: the others go into"
        " `program2.py` and `proposal2.md`, and so on."
    )
