"""The keeper of an agent: starts it, waits, and sees that nothing of it is left running.

A process of its own between us and the agent, started as
`python -m autotts.discovery.agents.supervisor` with its orders as JSON on standard input. It is the
subreaper: whatever the agent starts, in whichever session, becomes the keeper's child once its
parent ends, so its whole offspring can be found and killed. It does so when the agent ends, runs
out of time, starts too many processes, or when we end.

Between the two stands one more process, the first in the agent's namespaces where there are any:
it makes the root, starts the agent, and waits for what is left without a parent.

    us ── keeper ── first ── agent ── ...
            │ reads    │ writes
            └── pipe ──┘ layers, error, exit
"""

import contextlib
import json
import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from types import FrameType
from typing import Any

from autotts.sandbox.confine import namespaces
from autotts.sandbox.confine.jail import DEVICES, Jail, enter
from autotts.sandbox.confine.namespaces import Namespaces
from autotts.sandbox.confine.seal import die_with_parent, load_libc

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LOOK_SECONDS = 0.02
_COUNT_SECONDS = 0.2
_KILL_SECONDS = 10.0
CANNOT_START = 126


class ToldToEnd(Exception):
    """We were told to end."""


@dataclass(slots=True)
class KeeperReport:
    """How an agent ended.

    exit: its exit code, negative for a signal; None if the keeper ended it.
    why: why the keeper ended it: "", "time" or "processes".
    left: processes that it had left running, and that were killed.
    layers: of the jail; {} outside one.
    error: why it could not be started.
    """

    exit: int | None
    why: str
    left: int
    seconds: float
    layers: dict[str, str]
    error: str


def keep(orders: dict[str, Any]) -> KeeperReport:
    """Run an agent to its end.

    Args:
        orders: `argv`, `folder`, `environment`, `stdin` (a file), `timeout_seconds`,
            `most_processes`, `parent` (our process), and `jail` (`read`, `write`, `network`) or
            None.

    Raises:
        ToldToEnd: there is nobody left to report to.
    """
    signal.signal(signal.SIGTERM, _end)
    if sys.platform.startswith("linux"):
        libc = load_libc()
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != orders["parent"]:
            raise ToldToEnd  # before the kernel was asked to tell
    began = time.monotonic()
    room = _find_room(orders)
    reader, writer = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(reader)
        _be_first(orders, room, writer)
    os.close(writer)
    report = KeeperReport(None, "", 0, 0.0, {}, "")
    try:
        _wait(first, reader, began, orders, report)
    except ToldToEnd:
        report.why = "told to"
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        others = _kill_all(first)
        # The agent itself is no leftover; where it had not ended it was killed with the others.
        report.left = others if report.exit is not None else max(0, others - 1)
    report.seconds = round(time.monotonic() - began, 3)
    return report


def _end(number: int, frame: FrameType | None) -> None:
    raise ToldToEnd


@dataclass(frozen=True, slots=True)
class _Room:
    """Where an agent will live: in its jail, in namespaces, and why not in more of them."""

    jail: Jail
    namespaces: Namespaces | None
    why_not: str


def _find_room(orders: dict[str, Any]) -> _Room | None:
    """Separate what this process starts as far as it may; None without a jail."""
    if orders["jail"] is None:
        return None
    jail = Jail(**orders["jail"])
    found, why_not = namespaces.find((*jail.read, *DEVICES), jail.write, closed=not jail.network)
    if found is not None:
        namespaces.separate(found)
    return _Room(jail, found, why_not)


def _be_first(orders: dict[str, Any], room: _Room | None, writer: int) -> None:
    """In the child: start the agent, tell how it ended, and reap what is orphaned."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        die_with_parent()
        os.setsid()
        stdin = os.open(orders["stdin"], os.O_RDONLY)
        os.dup2(stdin, 0)
        if room is not None and room.namespaces is not None:
            namespaces.new_root(
                (*room.jail.read, *DEVICES),
                room.jail.write,
                processes=room.namespaces.processes,
            )
        agent = os.fork()
        if agent == 0:
            _become_agent(orders, room, writer)
        while True:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                signal.pause()
            else:
                if pid == agent:
                    _tell(writer, {"exit": os.waitstatus_to_exitcode(status)})
    except OSError as error:
        _tell(writer, {"error": str(error)})
    finally:
        os._exit(CANNOT_START)


def _become_agent(orders: dict[str, Any], room: _Room | None, writer: int) -> None:
    """In the child of the first: jailed, and then the agent's program."""
    try:
        os.chdir(orders["folder"])
        layers = {}
        if room is not None:
            layers = enter(room.jail, room.namespaces, room.why_not)
        _tell(writer, {"layers": layers})
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.execvpe(orders["argv"][0], orders["argv"], orders["environment"])
    except (OSError, ValueError) as error:
        _tell(writer, {"error": f"{orders['argv'][0]}: {error}"})
    finally:
        os._exit(CANNOT_START)


def _tell(writer: int, fields: dict[str, Any]) -> None:
    os.write(writer, json.dumps(fields).encode() + b"\n")


def _wait(
    first: int, reader: int, began: float, orders: dict[str, Any], report: KeeperReport
) -> None:
    """Wait for the agent to end, by itself or because it must."""
    deadline = began + orders["timeout_seconds"]
    count_at = began
    told = b""
    ended = None
    with os.fdopen(reader, "rb", buffering=0) as stream:
        while report.exit is None:
            if select.select([stream], [], [], _LOOK_SECONDS)[0]:
                told += (part := stream.read(65_536) or b"")
                *lines, told = told.split(b"\n")
                for line in lines:
                    _hear(json.loads(line), report)
                if not part and report.exit is None:
                    # The first process has ended: killed, or unable to start the agent.
                    report.exit = _reap(first, 0) if ended is None else ended
                continue
            ended = _reap(first, os.WNOHANG) if ended is None else ended
            now = time.monotonic()
            if now >= deadline:
                report.why = "time"
                return
            if now >= count_at:
                count_at = now + _COUNT_SECONDS
                if len(_offspring()) - 1 > orders["most_processes"]:
                    report.why = "processes"
                    return


def _hear(told: dict[str, Any], report: KeeperReport) -> None:
    report.layers = told.get("layers", report.layers)
    report.error = told.get("error", report.error)
    report.exit = told.get("exit", report.exit)


def _reap(first: int, options: int) -> int | None:
    """Let orphans that came to the keeper go; the first process's exit code if it has ended."""
    while True:
        pid, status = os.waitpid(-1, options)
        if pid == first:
            return os.waitstatus_to_exitcode(status)
        if pid == 0:
            return None


def _kill_all(first: int) -> int:
    """Kill everything below the keeper; returns how many beside the first process.

    All are stopped before any is killed, so that none forks while others die.
    """
    killed = set(_offspring())
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(first, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_SECONDS
    while time.monotonic() < deadline:
        found = _offspring()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        killed.update(found)
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            break
        time.sleep(_LOOK_SECONDS)
    return len(killed - {first})


def _offspring() -> list[int]:
    """Every living process below this one; only Linux tells, elsewhere none is found."""
    if not sys.platform.startswith("linux"):
        return []
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                # The name stands in brackets and may hold anything, brackets too.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != b"Z":
            children.setdefault(int(parent), []).append(int(entry))
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def main() -> None:
    """Read orders from standard input; write the report to the file descriptor they name."""
    orders = json.loads(sys.stdin.buffer.read())
    os.set_inheritable(orders["report"], False)
    report = keep(orders)
    with os.fdopen(orders["report"], "w") as file:
        json.dump({name: getattr(report, name) for name in KeeperReport.__slots__}, file)


if __name__ == "__main__":
    main()
