"""The files explorer: somebody else proposes, with `autotts submit RUN`, whenever they like.

Each round the explorer writes what there is to read into `rounds/0003/explorer/`, answers
`autotts try` through a socket in the run, and waits. A submission belongs to a round and stays in
its folder, so a resumed run finds it again.
"""

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

from autotts.discovery.agents import scorer_client
from autotts.discovery.agents.scorer_server import ScorerSocket, TryAllowance
from autotts.discovery.agents.workspace import (
    MOST_BYTES,
    proposal_of,
    read_plain,
    write_client,
    write_reading_matter,
)
from autotts.discovery.explorer import FREE, OutOfBudget, Proposal, Record, Trial, Turn, Usage
from autotts.discovery.explorers import take_options
from autotts.discovery.explorers.options import number
from autotts.discovery.prompts.briefing import prompt, sweep_length, task
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.state import RunState
from autotts.errors import ProposalError, RunError
from autotts.files import read_regular, write_text
from autotts.programs.checker import check_source

_LOOK_SECONDS = 0.2
_SUBMITTED = "submitted"


class Files:
    """Proposes what was submitted."""

    name = "files"
    deterministic = False

    def __init__(self, wait_seconds: float | None, allowance: TryAllowance) -> None:
        """
        Args:
            wait_seconds: for a submission; None for as long as it takes.
        """
        self._wait = wait_seconds
        self._allowance = allowance

    def settings(self) -> Record:
        return {"wait_seconds": self._wait, "pause_seconds": self._allowance.pause_seconds}

    def estimate(self, rounds: int, proposals: int) -> Usage:
        return FREE

    def propose(self, turn: Turn) -> list[Proposal]:
        run = turn.folder.resolve().parents[2]
        _write_task(turn)
        deadline = None if self._wait is None else time.monotonic() + self._wait
        turn.say(
            f"round {turn.round}: waiting for program.py and proposal.md: see"
            f" {turn.folder / 'TASK.md'}, then autotts submit {run}"
        )
        with ScorerSocket(run / scorer_client.SOCKET, turn.try_program, self._allowance) as scorer:
            while not (found := _submissions(turn.folder)):
                _check_patience(turn, run, deadline)
                scorer.wait(_LOOK_SECONDS)
        return found[: turn.proposals]


def _check_patience(turn: Turn, run: Path, deadline: float | None) -> None:
    """
    Raises:
        OutOfBudget: it was waited long enough; the run stops and can be resumed.
    """
    seconds = turn.remaining().seconds
    if seconds == 0 or (deadline is not None and time.monotonic() >= deadline):
        raise OutOfBudget(
            f"nothing was submitted for round {turn.round}: autotts submit {run}, then resume"
        )


def _write_task(turn: Turn) -> None:
    """Write what there is to read; what somebody works on already stays."""
    try:
        if not (turn.folder / "TASK.md").exists():
            write_reading_matter(turn.folder, turn)
            text = task(turn.rules, sweep_length(turn.history), turn.objective, turn.judge)
            run = turn.folder.resolve().parents[2]
            text += "\n" + prompt("files", round=turn.round, run=run)
            (turn.folder / "bin").mkdir(exist_ok=True)
            write_client(turn.folder / "bin")
            write_text(turn.folder / "TASK.md", text)
    except OSError as error:
        raise RunError(f"{turn.folder}: {error.strerror}; the run stops here") from error


def _submissions(folder: Path) -> list[Proposal]:
    """What was submitted for a round, in order."""
    found = []
    place = folder / _SUBMITTED
    numbers = sorted(int(p.name) for p in place.glob("*") if p.name.isdecimal())
    for entry in numbers:
        try:
            handle = os.open(place / str(entry), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # Somebody's file or link: what `submit` makes is a folder of ours.
        try:
            source = read_plain(handle, "program.py")
            found.append(proposal_of(source, read_plain(handle, "proposal.md")))
        finally:
            os.close(handle)
    return found


def find_submission(run: Path) -> Path:
    """The program somebody has put into a run: at its top, or in the folder of its open round.

    Raises:
        RunError: there is no such run, or it has links in it.
        ProposalError: there is none.
    """
    folder = RunFolder(run)
    folder.check_no_links()
    following = max(folder.state.proposals, default=0) + 1
    places = (run, folder.round(following) / "explorer")
    for place in places:
        if (place / "program.py").is_file():
            return place / "program.py"
    raise ProposalError(
        f"there is no program.py in {places[0]} or {places[1]}; put one there, with proposal.md,"
        " or name it: --program FILE"
    )


def submit(run: Path, program: Path, proposal: Path | None) -> tuple[int, Path]:
    """Hand in a program for the round that is next; returns the round and where it lies.

    Raises:
        RunError: there is no such run, it has links in it, or it can't be written.
        ProposalError: there is no program, or it can't be read.
        ProgramError: the program says what none may.
    """
    # What is named may lie in the run, and a run may be somebody else's.
    RunFolder(run).check_no_links()
    try:
        source = _text(program)
        words = "" if proposal is None else _text(proposal)
    except (OSError, UnicodeDecodeError) as error:
        raise ProposalError(
            f"{error}; a submission needs {program} and, in words, proposal.md"
        ) from error
    return hand_in(run, source, words, name=str(program))


def hand_in(run: Path, source: str, words: str, *, name: str = "program.py") -> tuple[int, Path]:
    """Put a program's text, and the words to it, where the next round takes it; see `submit`.

    Args:
        name: what the program is called in a message.

    Raises:
        RunError: there is no such run, it has links in it, or it can't be written.
        ProgramError: the program says what none may.
    """
    folder = RunFolder(run)
    folder.check_no_links()
    check_source(source, name)
    following = max(folder.state.proposals, default=0) + 1
    place = folder.round(following) / "explorer" / _SUBMITTED
    entries = [int(p.name) for p in place.glob("*") if p.name.isdecimal()]
    target = place / str(max(entries, default=0) + 1)
    half = place / f".{os.getpid()}"
    try:
        half.mkdir(parents=True)
        write_text(half / "program.py", source)
        write_text(half / "proposal.md", words)
        half.rename(target)
    except OSError as error:
        raise RunError(f"{place}: {error.strerror}; nothing was submitted") from error
    return following, target


def _text(path: Path) -> str:
    return read_regular(path, most_bytes=MOST_BYTES, follow=True).decode("utf-8-sig")


def await_verdict(
    run: Path, round_number: int, source: str, *, at_most_seconds: float = math.inf
) -> tuple[Trial, list[str]]:
    """Wait until what was submitted for a round is judged; what became of it, in words.

    Raises:
        TimeoutError: it takes longer.
        RunError: nobody is at work on the run, or nobody any more.
        ProposalError: the round took others.
    """
    folder = RunFolder(run)
    deadline = time.monotonic() + at_most_seconds
    while True:
        at_work = folder.at_work  # asked before the log, which it may end with
        state = folder.state
        proposals = [proposal.source for proposal in state.proposals.get(round_number, ())]
        if proposals and source not in proposals:
            raise ProposalError(f"round {round_number} took other programs; submit it again")
        judged = round_number in state.selections
        found = [t for t in state.trials if t.round == round_number]
        trial = next((t for t in found if t.proposal.source == source), None)
        if judged and trial is not None:
            return trial, _verdict(state, trial)
        if not at_work:
            raise RunError(
                f"{run}: nobody is at work on this run; go on with autotts discover --resume {run}"
            )
        if time.monotonic() >= deadline:
            raise TimeoutError(f"round {round_number} is not judged yet")
        time.sleep(_LOOK_SECONDS)


def _verdict(state: RunState, trial: Trial) -> list[str]:
    """What became of a trial: refused and why, or its area and what the selection says."""
    lines = [f"round {trial.name} refused: {error}" for error in trial.errors]
    lines += [f"remark: {remark}" for remark in trial.remarks]
    if trial.area is not None:
        verdict = "accepted" if trial.accepted else "not accepted"
        lines.append(f"round {trial.name} {verdict}: frontier area {trial.area:.2f}")
    lines += state.words(trial)
    if (best := state.best) is not None and best.area is not None:
        lines.append(f"{state.leading}: frontier area {best.area:.2f}")
    return lines


def make(options: Mapping[str, str]) -> Files:
    """From the options `wait` (seconds, or `forever`) and `pause` (seconds between tries).

    Raises:
        SpecError: one is no number.
    """
    taken = take_options("files", options, {"wait": "forever", "pause": "0"})
    wait = None if taken["wait"] == "forever" else number("files", taken, "wait")
    return Files(wait, TryAllowance(None, number("files", taken, "pause")))
