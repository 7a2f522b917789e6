"""Workspaces, the scorer's socket, and the files explorer that people and agents hand in to."""

import contextlib
import json
import math
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import discover_toy as toy
from autotts.cli.app import app
from autotts.discovery.agents import scorer_client, scorer_server, workspace
from autotts.discovery.agents.emptying import Emptying
from autotts.discovery.agents.scorer_server import ScorerSocket, TryAllowance
from autotts.discovery.explorer import (
    Diagnosed,
    Feedback,
    History,
    OutOfBudget,
    ProgramRules,
    Proposal,
    Remaining,
    SweepPoint,
    Trial,
    Turn,
)
from autotts.discovery.explorers.files import (
    Files,
    await_verdict,
    find_submission,
    make,
    submit,
)
from autotts.discovery.loop import SessionEnd
from autotts.discovery.run.folder import RunFolder
from autotts.errors import ProgramError, ProposalError, RunError, SpecError
from autotts.programs.checker import problems

POINT = SweepPoint(0.5, 61.25, 90_000.0, 30_000.0, 0.15, {"m/d": (61.25, 90_000.0)})


def turn(folder: Path, **changes: Any) -> Turn:
    """A round with a history of one program."""
    folder.mkdir(parents=True, exist_ok=True)
    wide = Proposal(toy.program(), "Wide.")
    trial = Trial(1, 0, wide, (POINT,), 60.0, (), (), "# lost q3", True, "# AAB")

    def nothing_paid(*_: Any, **__: Any) -> Any:
        raise AssertionError

    fields: dict[str, Any] = {
        "round": 2,
        "proposals": 1,
        "history": History({"asc": (POINT,)}, (trial,), trial),
        "rules": ProgramRules(),
        "seed": 1,
        "stores": (),
        "folder": folder,
        "traces": True,
        "remaining": lambda: Remaining(),
        "check": lambda source: (),
        "try_program": feedback,
        "paid": nothing_paid,
        "say": lambda text: None,
    }
    return Turn(**fields | changes)


def feedback(source: str) -> Feedback:
    """What a scorer says: refuses a program with `bad` in it."""
    if "bad" in source:
        return Feedback(("line 1: bad",), (), (), None, {"asc": 50.0})
    return Feedback((), ("close to round 1",), (POINT,), 61.0, {"asc": 50.0})


class Answering:
    """A scorer socket in a thread."""

    def __init__(self, path: Path, try_program: Any = feedback, **allowed: Any) -> None:
        self.socket = ScorerSocket(
            path, try_program, TryAllowance(**{"pause_seconds": 0.0} | allowed)
        )
        self.path = path
        self._go = True
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while self._go:
            self.socket.wait(0.05)

    def __enter__(self) -> "Answering":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._go = False
        self._thread.join()
        self.socket.__exit__(None, None, None)


@pytest.fixture
def scorer(tmp_path: Path) -> Iterator[Answering]:
    with Answering(tmp_path / scorer_client.SOCKET) as answering:
        yield answering


# The workspace.


def test_it_has_what_there_is_to_read(tmp_path: Path) -> None:
    """Task, history, programs so far, baselines, the program to begin with, and a command."""
    with workspace.Workspace(turn(tmp_path / "turn"), tries=7, minutes=30) as made:
        folder = made.folder
        text = (folder / "TASK.md").read_text()
        assert "You have 7 tries" in text
        assert "30 minutes" in text.replace("\n", " ")
        assert "lost q3" in (folder / "HISTORY.md").read_text()
        assert (folder / "programs/round-1.py").read_text() == toy.program()
        assert (folder / "traces/round-1.md").read_text() == "# AAB"
        assert "def solve" in (folder / "baselines/asc.py").read_text()
        assert (folder / "program.py").read_text() == toy.program()
        assert os.access(folder / "bin/autotts", os.X_OK)
        # The program it was given is not a proposal.
        assert made.collect().programs == ()
    assert not folder.exists()


def test_it_shows_no_diagnosis_without_traces(tmp_path: Path) -> None:
    """`--no-traces`: scores only."""
    given = turn(tmp_path / "turn", traces=False)
    with workspace.Workspace(given, tries=None, minutes=1) as made:
        assert "lost q3" not in (made.folder / "HISTORY.md").read_text()
        assert not (made.folder / "traces").exists()


def test_a_baseline_by_any_spec_lies_in_its_folder(tmp_path: Path) -> None:
    """Under a name of its own, wherever its program came from."""
    names = []
    for mine in ("a b/mine.py", "a_b/mine.py", ".../mine.py"):
        path = tmp_path / mine
        path.parent.mkdir()
        path.write_text(toy.program(len(names) + 2))
        names.append(str(path))
    given = ("asc", "asc:threshold=0.9", "autotts.controllers.cmc", *names)
    history = History(dict.fromkeys(given, (POINT,)), (), None)
    before = sorted(tmp_path.rglob("*"))
    with workspace.Workspace(turn(tmp_path, history=history), tries=None, minutes=1) as made:
        found = sorted((made.folder / "baselines").iterdir())
        assert len(found) == len(given)
        assert all(path.suffix == ".py" and "solve" in path.read_text() for path in found)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("traces", [True, False])
def test_diagnoses_of_baselines_lie_beside_them(tmp_path: Path, traces: bool) -> None:
    told = {"asc": Diagnosed("# Diagnosis of asc", "branch by branch")}
    history = History({"asc": (POINT,)}, (), None, told)
    given = turn(tmp_path, history=history, traces=traces)
    with workspace.Workspace(given, tries=None, minutes=1) as made:
        digest, shown = (made.folder / name for name in ("baselines/asc.md", "traces/asc.md"))
        assert digest.exists() == shown.exists() == traces
        assert ("Diagnosis of asc" in (made.folder / "HISTORY.md").read_text()) == traces
        if traces:
            assert digest.read_text() == "# Diagnosis of asc"
            assert shown.read_text() == "branch by branch"


def test_several_programs_can_be_left(tmp_path: Path) -> None:
    with workspace.Workspace(turn(tmp_path / "turn", proposals=2), tries=1, minutes=1) as made:
        assert "`program2.py`" in (made.folder / "TASK.md").read_text()
        (made.folder / "program2.py").write_text("second")
        (made.folder / "proposal2.md").write_text("## Idea\nAnother.\n")
        found = made.collect()
    assert found.programs == ("second",)
    assert workspace.proposal_of("second", found.words[0]).idea == "Another."


def test_only_plain_files_are_taken(tmp_path: Path) -> None:
    """No link is followed, no pipe waited for, nothing huge or binary read."""
    (tmp_path / "secret").write_text("gold")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "huge").write_text("x" * 100_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "plain").write_text("text")
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        names = ("link", "pipe", "folder", "huge", "binary", "missing", "plain")
        assert [workspace.read_plain(handle, name) for name in names] == [""] * 6 + ["text"]
    finally:
        os.close(handle)


def test_it_is_removed_whatever_was_closed_in_it(tmp_path: Path) -> None:
    with workspace.Workspace(turn(tmp_path / "turn"), tries=1, minutes=1) as made:
        deep = made.folder / "a" / "b"
        deep.mkdir(parents=True)
        (deep / "file").write_text("x")
        (made.folder / "away").symlink_to(tmp_path)
        deep.chmod(0)
        (made.folder / "a").chmod(0)
    assert not made.folder.exists()
    assert tmp_path.exists()


def filled(folder: Path, fill: Callable[[Path], object], mode: int = 0o755) -> tuple[str, Path]:
    """Empty a folder after filling it; what was said, and the folder."""
    folder.mkdir()
    fill(folder)
    folder.chmod(mode)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return Emptying(handle).go(), folder
    finally:
        os.close(handle)


def nest(folder: Path, depth: int, mode: int = 0o755) -> None:
    """Folders in one another, deeper than any path may be long."""
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d" * 40, dir_fd=handle)
        below = os.open("d" * 40, os.O_RDONLY, dir_fd=handle)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0, dir_fd=below))
        os.fchmod(handle, mode)
        os.close(handle)
        handle = below
    os.close(handle)


@pytest.mark.parametrize("mode", [0o755, 0o500])
def test_folders_of_any_depth_are_removed(tmp_path: Path, mode: int) -> None:
    """Without recursion, a long path, or many open files."""
    began = time.monotonic()
    reason, folder = filled(tmp_path / "f", lambda f: nest(f, 1_500, mode))
    assert (reason, list(folder.iterdir())) == ("", [])
    assert time.monotonic() - began < 20


def test_emptying_follows_no_link_and_waits_for_no_pipe(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir(mode=0o750)
    (tmp_path / "kept/file").write_text("mine")

    def fill(folder: Path) -> None:
        (folder / "link").symlink_to(tmp_path / "kept")
        (folder / "below").mkdir()
        (folder / "below/link").symlink_to(tmp_path / "kept")
        (folder / "below/dangling").symlink_to("nowhere")
        os.mkfifo(folder / "pipe")
        (folder / "\udcff strange \n").touch()

    reason, folder = filled(tmp_path / "f", fill)
    assert (reason, list(folder.iterdir())) == ("", [])
    assert (tmp_path / "kept/file").read_text() == "mine"
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("limit", ["_MOST_ENTRIES", "_MOST_SECONDS"])
def test_emptying_gives_up_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(f"autotts.discovery.agents.emptying.{limit}", 0)
    reason, folder = filled(tmp_path / "f", lambda f: (f / "file").touch())
    assert "gave up" in reason
    assert (folder / "file").exists()


def test_what_cannot_be_removed_is_said_and_the_rest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.unlink

    def unlink(name: str, *, dir_fd: int) -> None:
        if name == "stuck":
            raise PermissionError(1, "Operation not permitted", name)
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr("autotts.discovery.agents.emptying.os.unlink", unlink)

    def fill(folder: Path) -> None:
        for name in ("a/stuck", "a/other", "stuck", "z"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()

    reason, folder = filled(tmp_path / "f", fill)
    assert "stuck" in reason
    assert sorted(path.name for path in folder.iterdir()) == ["a", "stuck"]
    monkeypatch.undo()


def test_words_without_headings_are_the_idea() -> None:
    assert workspace.proposal_of("p", "I made it wider.").idea == "I made it wider."
    assert workspace.proposal_of("p", "# Wider\nIt helps.").idea == "# Wider\nIt helps."
    assert workspace.proposal_of("p", "Wider.\nLearned: y").idea == "Wider."
    assert workspace.proposal_of("p", "## Learned\nx\n").idea == ""


# The socket.


def test_a_program_is_scored(scorer: Answering) -> None:
    """The reply has the figures, and a line for a reader."""
    reply = scorer_client.ask(scorer.path, "good")
    assert reply["ok"] is True
    assert reply["points"][0]["accuracy"] == 61.25
    text = scorer_client.describe(reply)
    assert "frontier area 61.00 (to compare: asc 50.00)" in text
    assert "remark: close to round 1" in text
    bad = scorer_client.describe(scorer_client.ask(scorer.path, "bad"))
    assert "would be refused at submit: line 1: bad" in bad


def test_the_copied_command_needs_nothing_of_ours(scorer: Answering, tmp_path: Path) -> None:
    """It is found beside the socket, runs isolated, and says by its exit code what came of it."""
    (tmp_path / "bin").mkdir()
    workspace.write_client(tmp_path / "bin")
    (tmp_path / "good.py").write_text("good")
    (tmp_path / "bad.py").write_text("bad")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [tmp_path / "bin/autotts", *arguments],
            env={},
            capture_output=True,
            text=True,
            check=False,
        )

    found = run("try", str(tmp_path / "good.py"), "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["area"] == 61.0
    assert run("try", str(tmp_path / "bad.py")).returncode == 1
    assert run("try", str(tmp_path / "missing.py")).returncode == 2


def test_tries_are_counted_and_paced(tmp_path: Path) -> None:
    """The client waits where it is too soon; when none is left, the scorer says so."""
    with Answering(tmp_path / "s", tries=2, pause_seconds=0.3) as scorer:
        began = time.monotonic()
        assert scorer_client.ask(scorer.path, "a")["tries_left"] == 1
        assert scorer_client.ask(scorer.path, "b")["ok"]
        assert time.monotonic() - began >= 0.3
        refused = scorer_client.ask(scorer.path, "c")
    assert refused["errors"] == ["no tries are left this round; hand in your best program"]
    assert scorer_client.describe(refused).startswith("not tried: no tries are left")
    assert scorer.socket.answered == 2


def test_a_spent_budget_is_an_answer(tmp_path: Path) -> None:
    def spent(source: str) -> Feedback:
        raise OutOfBudget("all 3 evaluations are spent")

    with Answering(tmp_path / "s", spent) as scorer:
        assert scorer_client.ask(scorer.path, "a")["errors"] == ["all 3 evaluations are spent"]


def test_clients_that_break_the_protocol_are_let_go(scorer: Answering) -> None:
    """And the next one is answered."""
    for sent in (b"", b"\n", b"no json\n", b"[]\n", b'{"program": 1}\n', b"x" * 400_000):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(scorer.path))
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(10) == b""
            except (BrokenPipeError, ConnectionResetError):
                continue
    assert scorer_client.ask(scorer.path, "good")["ok"] is True


@pytest.mark.parametrize(
    "sent",
    [b"[" * 200_000 + b"\n", b'{"program":' * 20_000 + b"\n", b"9" * 200_000 + b"\n",
     b'{"program": "\\ud800"}\n', b"\xff\xfe\n", b"NaN\n"],
)  # fmt: skip
def test_json_that_breaks_readers_is_let_go(scorer: Answering, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(scorer.path))
        connection.sendall(sent)
        assert connection.recv(10) == b""
    assert scorer_client.ask(scorer.path, "good")["ok"] is True


def test_slow_and_many_clients_hold_up_nobody(scorer: Answering) -> None:
    """Half messages, and more of them than are let in, while others are answered at once."""
    slow = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    try:
        for connection in slow:
            connection.connect(str(scorer.path))
            connection.sendall(b'{"program": ')
        began = time.monotonic()
        assert scorer_client.ask(scorer.path, "good")["ok"] is True
        assert time.monotonic() - began < 5 * scorer_server._PATIENCE_SECONDS  # one by one: 40
    finally:
        for connection in slow:
            connection.close()


def test_a_message_in_pieces_is_put_together(scorer: Answering) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(scorer.path))
        for part in (b'{"prog', b'ram": "go', b'od"}', b"\n"):
            connection.sendall(part)
            time.sleep(0.05)
        assert json.loads(connection.makefile("rb").readline())["ok"] is True


def test_a_client_that_takes_too_long_is_let_go(
    scorer: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotts.discovery.agents.scorer_server._PATIENCE_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(scorer.path))
        connection.sendall(b'{"program": ')
        time.sleep(0.3)
        assert scorer_client.ask(scorer.path, "good")["ok"] is True
        connection.settimeout(2)
        assert connection.recv(10) == b""


def test_clients_without_end_do_not_stop_the_clock(tmp_path: Path) -> None:
    """Whoever waits for so long is done by then, however many knock."""
    with ScorerSocket(tmp_path / "s", feedback, TryAllowance(pause_seconds=0.0)) as scorer:
        knocking = threading.Event()

        def knock() -> None:
            while not knocking.is_set():
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(str(tmp_path / "s"))
                    connection.sendall(b"[]\n")

        person = threading.Thread(target=knock)
        person.start()
        began = time.monotonic()
        scorer.wait(0.3)
        took = time.monotonic() - began
        knocking.set()
        while person.is_alive():
            scorer.wait(0.05)
        assert took < 1


def test_what_stands_in_the_socket_s_place_is_left(tmp_path: Path) -> None:
    """A folder put there ends nothing and is not removed."""
    with ScorerSocket(tmp_path / "s", feedback, TryAllowance()):
        (tmp_path / "s").unlink()
        (tmp_path / "s/x").mkdir(parents=True)
    assert (tmp_path / "s/x").is_dir()


def test_whoever_sends_and_knocks_without_end_keeps_nobody_out(tmp_path: Path) -> None:
    """All have their turn, in whatever order the system names them."""
    answered: list[str] = []

    def count(source: str) -> Feedback:
        answered.append(source)
        return feedback(source)

    with ScorerSocket(tmp_path / "s", count, TryAllowance(pause_seconds=0.0)) as scorer:
        clients = [socket.socket(socket.AF_UNIX) for _ in range(12)]
        for connection in clients:
            connection.connect(str(tmp_path / "s"))
        for _ in range(3 * len(clients)):  # each is let in, and has sent nothing
            scorer.answer()
        more = []
        for step in range(4 * len(clients)):
            if step == 4:
                for number, connection in enumerate(clients[::3]):
                    connection.sendall(json.dumps({"program": str(number)}).encode() + b"\n")
            for connection in clients[1::3]:
                connection.sendall(b" ")
            more.append(socket.socket(socket.AF_UNIX))
            with contextlib.suppress(BlockingIOError):
                more[-1].setblocking(False)
                more[-1].connect(str(tmp_path / "s"))
            scorer.answer()
        for connection in clients + more:
            connection.close()
    assert sorted(answered) == ["0", "1", "2", "3"]


REPLY = {
    "ok": True, "tried": True, "errors": [], "remarks": [], "area": 61.0, "tries_left": None,
    "points": [{"beta": 0.5, "accuracy": 1, "tokens": 2, "fraction": 0.1, "sequential_tokens": 3}],
    "baseline_areas": {"asc": 50.0}, "shares": {"0.1": 50.0}, "store_areas": {"m/d": 50.0},
    "lead": "better", "questions": {"q": 1.0}, "draws": "3 draws", "noise": 0.5, "wait_seconds": 0,
}  # fmt: skip
WRONG = (
    None, True, 1, -1.0, 10**400, math.inf, math.nan, 1e300, "x", [], [1], ["x"], {}, {"a": "b"},
    {"a": 10**400}, [{}], [[1]], [{**REPLY["points"][0], "beta": "x"}],  # type: ignore[index]
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from([*REPLY, "0.1", "more"]), st.sampled_from(WRONG)),
    st.sets(st.sampled_from(list(REPLY))),
)
def test_any_reply_is_described_or_refused(changes: dict[str, Any], left_out: set[str]) -> None:
    """A run's folder may be anybody's, and so the socket in it."""
    made = {name: value for name, value in (REPLY | changes).items() if name not in left_out}
    try:
        reply = scorer_client._parsed(json.dumps(made).encode())
    except ValueError:
        assert changes or left_out
        return
    assert math.isfinite(reply.get("wait_seconds", 0))
    assert isinstance(scorer_client.describe(reply), str)


@pytest.mark.parametrize("given", [0.9, 600.0])
@pytest.mark.parametrize(
    ("sent", "pause", "expected"),
    [
        (b"[" * 100_000 + b"\n", 0, "recursion"),
        (b'{"area": ' + b"1" * 5_000 + b"}\n", 0, "JSON"),
        (b"\xff\n", 0, "JSON"),
        (b"null\n", 0, "shape"),
        (b"[]", 0, "shape"),
        (b"", 0, "hung up"),
        (b" " * 5_000_000, 0, "JSON"),
        (b" " * 10_000, 0.05, "too long|timed out"),
    ],
)
def test_a_scorer_that_answers_nonsense_or_never_is_an_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sent: bytes,
    pause: float,
    expected: str,
    given: float,
) -> None:
    """All of it within the time that is given, and a reply once begun soon, however it drips."""
    monkeypatch.setattr(scorer_client, "_REPLY_SECONDS", 1.0)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                for part in [sent[k : k + 1] for k in range(len(sent))] if pause else [sent]:
                    connection.sendall(part)
                    time.sleep(pause)

        person = threading.Thread(target=serve)
        person.start()
        began = time.monotonic()
        with pytest.raises((ValueError, TimeoutError), match=expected):
            scorer_client.ask(tmp_path / "s", "good", timeout_seconds=given)
        assert time.monotonic() - began < 3
        person.join()


class Never(TryAllowance):
    """Asks to wait for next to nothing, again and again."""

    def refusal(self) -> Any:
        return {**scorer_server._refusal("too soon", None), "wait_seconds": 1e-300}


def test_a_scorer_that_lets_wait_for_ever_is_waited_for_so_long(tmp_path: Path) -> None:
    with ScorerSocket(tmp_path / "s", feedback, Never()) as scorer:
        person = threading.Thread(target=scorer.wait, args=(1.5,))
        person.start()
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            assert scorer_client.ask(scorer.path, "a", timeout_seconds=0.5)["tried"] is False
        assert time.monotonic() - began < 1.4
        person.join()


def test_constants_are_put_into_a_schedule(tmp_path: Path) -> None:
    """The program is the same but for these parameters, at every beta."""
    path = tmp_path / "a:b.py"
    path.write_text(toy.program(9, 4))
    changed = scorer_client.read_program(f"{path}:first=2")
    assert problems(changed) == []
    given: dict[str, Any] = {}
    exec(toy.program(9, 4), given)
    made: dict[str, Any] = {}
    exec(changed, made)
    assert made["schedule"](0.3) == given["schedule"](0.3) | {"first": 2}
    assert scorer_client.read_program(str(path)) == toy.program(9, 4)


@pytest.mark.parametrize(
    ("constants", "reason"),
    [
        ("nothing=1", "no parameter nothing"),
        ("first=wide", "need a number"),
        ("first=1e", "need a number"),
        ("first=", "need a number"),
    ],
)
def test_constants_that_cannot_be_put_say_why(
    tmp_path: Path, constants: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.py").write_text(toy.program(9, 4))
    with pytest.raises(ValueError, match=reason):
        scorer_client.read_program(f"{tmp_path / 'p.py'}:{constants}")
    assert scorer_client.try_program(tmp_path / "none.py", tmp_path / "s", as_json=False) == 2
    assert "No such file" in capsys.readouterr().err


def test_several_programs_are_tried_and_the_worst_tells(
    scorer: Answering, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = []
    for name in ("good", "bad"):
        (tmp_path / f"{name}.py").write_text(name)
        names.append(str(tmp_path / f"{name}.py"))
    assert scorer_client.try_programs(names[:1] * 2, scorer.path, False) == 0
    assert scorer_client.try_programs(names, scorer.path, False) == 1
    assert scorer_client.try_programs([*names, "none.py"], scorer.path, False) == 2
    said = capsys.readouterr().out
    assert said.count("frontier area") == 4
    assert f"{names[1]}:\nwould be refused" in said


def test_long_paths_have_sockets_too(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 20) / ("deeper" * 10)
    deep.mkdir(parents=True)
    with Answering(deep / scorer_client.SOCKET) as scorer:
        assert scorer_client.ask(scorer.path, "good")["ok"] is True


def test_a_missing_scorer_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "p.py"
    program.write_text("x")
    assert scorer_client.try_program(program, tmp_path / "none", as_json=False) == 2
    assert "no answer from the scorer" in capsys.readouterr().err
    with pytest.raises(RunError, match="the scorer needs it"):
        ScorerSocket(tmp_path / "no" / "folder", feedback, TryAllowance())


# The files explorer.


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.store_folder(tmp_path_factory.mktemp("stores"))


def new_run(folder: Path, store: Path, rounds: int = 1, **changes: Any) -> Path:
    made = toy.settings(store, limits=toy.RunLimits(rounds=rounds), baselines=(), **changes)
    RunFolder.create(folder, made)
    return folder


def go(run: Path, wait: str = "0") -> SessionEnd:
    return toy.session(run, make({"wait": wait}))


def kinds(run: Path) -> list[Any]:
    return [event["event"] for event in toy.lines(run)]


def test_files_are_handed_in_and_scored(tmp_path: Path, store: Path) -> None:
    """Before the run asks, or after it stopped for want of them: nothing is lost."""
    run = new_run(tmp_path / "run", store)
    assert "nothing was submitted for round 1" in go(run).stopped
    (run / "program.py").write_text(toy.program(11, 4))
    (run / "proposal.md").write_text("## Idea\nBy hand.\n")
    place = run / "rounds/0001/explorer/submitted"
    place.mkdir()
    (place / "7").write_text("no folder")
    assert "nothing was submitted for round 1" in go(run).stopped
    assert submit(run, find_submission(run), run / "proposal.md")[0] == 1
    best = go(run).best
    assert best is not None
    assert (best.proposal.source, best.proposal.idea) == (toy.program(11, 4), "By hand.")
    assert "selected" in kinds(run)


def test_a_waiting_run_answers_tries_and_takes_what_comes(tmp_path: Path, store: Path) -> None:
    """A person at work beside it: try, try again, hand in."""
    run = new_run(tmp_path / "run", store)
    program = tmp_path / "mine.py"
    told = {}

    def work() -> None:
        deadline = time.monotonic() + 60
        while not (run / scorer_client.SOCKET).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        told.update(scorer_client.ask(run / scorer_client.SOCKET, toy.program(13, 4)))
        program.write_text(toy.program(14, 4))
        submit(run, program, None)

    person = threading.Thread(target=work)
    person.start()
    best = go(run, "60").best
    person.join()
    assert told["ok"] is True
    assert told["area"] > 0
    assert best is not None
    assert best.proposal.source == toy.program(14, 4)
    assert kinds(run).count("tried") == 1
    assert not (run / scorer_client.SOCKET).exists()
    explorer = run / "rounds/0001/explorer"
    assert f"autotts submit {run}" in (explorer / "TASK.md").read_text()
    assert (explorer / "HISTORY.md").exists()


def test_each_round_has_its_own_submissions(tmp_path: Path, store: Path) -> None:
    """What comes while a round is scored is for the next one; several go into one round."""
    run = new_run(tmp_path / "run", store, rounds=2, proposals=2)
    for width in (8, 9):
        (run / "program.py").write_text(toy.program(width, 4))
        assert submit(run, run / "program.py", None)[0] == 1
    assert "round 2" in go(run).stopped
    (run / "program.py").write_text(toy.program(15, 4))
    assert submit(run, run / "program.py", None)[0] == 2
    assert go(run).stopped == ""
    assert kinds(run).count("scored") == 3


def test_a_verdict_can_be_waited_for(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Submit, wait, and read what became of it and why."""
    run = new_run(tmp_path / "run", store)
    (run / "program.py").write_text(toy.program(12, 4))
    commands = CliRunner()
    early = commands.invoke(app, ["submit", str(run), "--wait"])
    assert isinstance(early.exception, RunError)
    assert "nobody is at work" in str(early.exception)
    go(run, "60")
    told = commands.invoke(app, ["submit", str(run), "--wait", "--program", "none.py"])
    assert isinstance(told.exception, ProposalError)
    trial, verdict = await_verdict(run, 1, toy.program(12, 4))
    assert trial.digest
    assert any("round 1 accepted: frontier area" in line for line in verdict)
    with pytest.raises(ProposalError, match="took other programs"):
        await_verdict(run, 1, toy.program(13, 4))


def test_bad_submissions_say_why(tmp_path: Path, store: Path) -> None:
    run = new_run(tmp_path / "run", store)
    with pytest.raises(ProposalError, match=r"there is no program\.py"):
        find_submission(run)
    with pytest.raises(ProposalError, match="a submission needs"):
        submit(run, run / "program.py", None)
    (run / "program.py").write_text("x" * (workspace.MOST_BYTES + 1))
    with pytest.raises(ProposalError, match="more than 65,536 bytes"):
        submit(run, run / "program.py", None)
    (run / "program.py").write_text("import os\n")
    with pytest.raises(ProgramError, match="may import"):
        submit(run, run / "program.py", None)
    with pytest.raises(RunError, match="no run here"):
        submit(tmp_path, run / "program.py", None)
    with pytest.raises(SpecError, match="need a number"):
        make({"wait": "long"})
    assert Files(None, TryAllowance()).estimate(5, 1).usd == 0


# The commands.


def test_scores_only_means_no_questions(tmp_path: Path, store: Path) -> None:
    """Under `--no-traces` a try says how far a program is from the best, not on which question."""
    told = []
    for traces in (True, False):
        run = new_run(tmp_path / f"run-{traces}", store, traces=traces)

        def work(run: Path = run) -> None:
            deadline = time.monotonic() + 60
            while not (run / scorer_client.SOCKET).exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            told.append(scorer_client.ask(run / scorer_client.SOCKET, toy.program(13, 4)))
            (run / "program.py").write_text(toy.program(13, 4))
            submit(run, run / "program.py", None)

        person = threading.Thread(target=work)
        person.start()
        go(run, "60")
        person.join()
    assert [bool(reply["questions"]) for reply in told] == [True, False]
    assert all(reply["lead"] for reply in told)


def test_try_waits_while_a_round_is_scored(tmp_path: Path, store: Path) -> None:
    """The scorer is away then; whoever asks is told, and answered when it is back."""
    run = new_run(tmp_path / "run", store)
    (tmp_path / "mine.py").write_text("good")
    began = threading.Event()
    answered = threading.Event()

    def work() -> None:
        with RunFolder(run).open():
            began.set()
            time.sleep(0.5)
            with ScorerSocket(run / scorer_client.SOCKET, feedback, TryAllowance()) as scorer:
                while not answered.is_set():
                    scorer.wait(0.05)

    at_work = threading.Thread(target=work)
    at_work.start()
    began.wait()
    tried = CliRunner().invoke(app, ["try", str(tmp_path / "mine.py"), "--run", str(run)])
    answered.set()
    at_work.join()
    assert tried.exit_code == 0
    assert "waiting for its scorer" in tried.stderr
    assert "frontier area 61.00" in tried.stdout


def test_the_commands_work_together(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Try a program, export the task, hand the program in: all through the folder of the run."""
    run = new_run(tmp_path / "run", store)
    (run / "program.py").write_text(toy.program(14, 5))
    monkeypatch.chdir(tmp_path)
    commands = CliRunner()
    early = commands.invoke(app, ["try", "run/program.py", "--run", "run"])
    assert isinstance(early.exception, SpecError)
    waiting = threading.Thread(target=go, args=(run, "60"))
    waiting.start()
    deadline = time.monotonic() + 60
    while not (run / scorer_client.SOCKET).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    tried = commands.invoke(
        app, ["try", "run/program.py", "run/program.py:first=2", "--run", "run", "--json"]
    )
    shown = commands.invoke(app, ["try", "run/program.py", "--run", "run"])
    exported = commands.invoke(app, ["export-task", "run", "--for", "gepa", "--out", "task"])
    submitted = commands.invoke(app, ["submit", "run"])
    waiting.join()
    assert tried.exit_code == 0
    assert [json.loads(line)["ok"] for line in tried.stdout.splitlines()] == [True, True]
    reply = json.loads(tried.stdout.splitlines()[0])
    assert list(reply["shares"]) == ["0.1", "0.15", "0.2", "0.3", "0.4", "0.5", "0.6"]
    assert np.mean(list(reply["store_areas"].values())) == pytest.approx(reply["area"])
    for words in (
        "best so far: area",
        "95 %",
        "accuracy by share",
        "against it, in points",
        "tried on",
    ):
        assert words in shown.stdout
    assert exported.exit_code == 0
    assert (tmp_path / "task/optimize.py").exists()
    assert "for round 1" in submitted.stdout
    assert kinds(run)[-1] == "ended"
