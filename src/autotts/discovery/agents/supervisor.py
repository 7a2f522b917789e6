"""The keeper of an agent: starts it, waits, and sees that nothing of it is left running.

A process of its own between us and the agent, started as
`python -m autotts.discovery.agents.supervisor` with its orders as JSON on standard input. It is the
subreaper: whatever the agent starts, in whichever session, becomes the keeper's child once its
parent ends, so its whole offspring can be found and killed. It does so when the agent ends, runs
out of time, starts too many processes, or when we end.
"""

import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from types import FrameType
from typing import Any

from autotts.sandbox.confine.jail import Jail, enter
from autotts.sandbox.confine.seal import load_libc

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LOOK_SECONDS = 0.02
_COUNT_SECONDS = 0.2
_KILL_SECONDS = 10.0
CANNOT_START = 126


class Ended(Exception):
    """We were told to end."""


@dataclass(slots=True)
class Report:
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


def keep(orders: dict[str, Any]) -> Report:
    """Run an agent to its end.

    Args:
        orders: `argv`, `folder`, `environment`, `stdin` (a file), `timeout_seconds`,
            `most_processes`, `parent` (our process), and `jail` (`read`, `write`, `network`) or
            None.

    Raises:
        Ended: there is nobody left to report to.
    """
    signal.signal(signal.SIGTERM, _end)
    if sys.platform.startswith("linux"):
        libc = load_libc()
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != orders["parent"]:
            raise Ended  # before the kernel was asked to tell
    began = time.monotonic()
    reader, writer = os.pipe()
    agent = os.fork()
    if agent == 0:
        os.close(reader)
        _become_agent(orders, writer)
    os.close(writer)
    report = Report(None, "", 0, 0.0, {}, "")
    try:
        # The pipe closes when the agent's program takes over.
        with os.fdopen(reader, "rb") as stream:
            for line in stream:
                told = json.loads(line)
                report.layers = told.get("layers", report.layers)
                report.error = told.get("error", "")
        report.exit, report.why = _wait(agent, began, orders)
    except Ended:
        report.why = "told to"
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        report.left = _kill_all(agent)
    report.seconds = round(time.monotonic() - began, 3)
    return report


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended


def _become_agent(orders: dict[str, Any], writer: int) -> None:
    """In the child: a session of its own, jailed, and then the agent's program."""
    try:
        os.setsid()
        os.chdir(orders["folder"])
        stdin = os.open(orders["stdin"], os.O_RDONLY)
        os.dup2(stdin, 0)
        layers = {}
        if orders["jail"] is not None:
            layers = enter(Jail(**orders["jail"]))
        _tell(writer, {"layers": layers})
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.execvpe(orders["argv"][0], orders["argv"], orders["environment"])
    except (OSError, ValueError) as error:
        _tell(writer, {"error": f"{orders['argv'][0]}: {error}"})
    finally:
        os._exit(CANNOT_START)


def _tell(writer: int, fields: dict[str, Any]) -> None:
    os.write(writer, json.dumps(fields).encode() + b"\n")


def _wait(agent: int, began: float, orders: dict[str, Any]) -> tuple[int | None, str]:
    deadline = began + orders["timeout_seconds"]
    count_at = began
    while True:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == agent:
                return os.waitstatus_to_exitcode(status), ""
            if pid == 0:
                break
        now = time.monotonic()
        if now >= deadline:
            return None, "time"
        if now >= count_at:
            count_at = now + _COUNT_SECONDS
            if len(_offspring()) > orders["most_processes"]:
                return None, "processes"
        time.sleep(_LOOK_SECONDS)


def _kill_all(agent: int) -> int:
    """Kill everything below the keeper; returns how many beside the agent itself.

    All are stopped before any is killed, so that none forks while others die.
    """
    killed = set(_offspring())
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(agent, signal.SIGKILL)
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
    return len(killed - {agent})


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
        json.dump({name: getattr(report, name) for name in Report.__slots__}, file)


if __name__ == "__main__":
    main()
