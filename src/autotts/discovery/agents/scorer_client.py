"""The side of the scorer that anybody may run: sends a program, shows what came back.

Only the standard library, and one file: workspaces and exported tasks get a copy of it, so that
`autotts try` works where autotts can't be imported. Changing the copy changes nothing but what its
owner is shown; scores are made, and recorded, on the other side of the socket.
"""

import argparse
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOCKET = "scorer.sock"
ENVIRONMENT = "AUTOTTS_SCORER"
TIMEOUT_SECONDS = 600.0
_LONGEST_ADDRESS = 100
"""Bytes that every system takes as the address of a socket."""
_QUEUE_SECONDS = 0.05
_MOST_BYTES = 4 * 1024 * 1024
"""Longest reply that is read."""


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """The address of a socket, by a short way where its path is longer than a system takes."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def ask(path: Path, source: str, timeout_seconds: float = TIMEOUT_SECONDS) -> dict[str, Any]:
    """Score a program, waiting where the scorer says that it is too soon.

    Raises:
        OSError: nobody answers there.
        ValueError: what answers is not the scorer.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        reply = _ask_once(path, source, max(1.0, deadline - time.monotonic()))
        wait = reply.get("wait_seconds", 0)
        if not wait or time.monotonic() + wait > deadline:
            return reply
        time.sleep(wait)


def _ask_once(path: Path, source: str, timeout_seconds: float) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, address(path) as name:
        connection.settimeout(timeout_seconds)
        _connect(connection, name, time.monotonic() + timeout_seconds)
        connection.sendall(json.dumps({"program": source}).encode() + b"\n")
        with connection.makefile("rb") as stream:
            try:
                reply = json.loads(stream.readline(_MOST_BYTES) or b"null")
            except RecursionError as error:
                raise ValueError("the reply is nested too deeply") from error
    if not isinstance(reply, dict):
        raise ValueError(f"{path}: the scorer hung up; it may have ended")
    return reply


def _connect(connection: socket.socket, name: str, deadline: float) -> None:
    """Connect, waiting while others wait: a full queue refuses a socket with a time-out at once."""
    while True:
        try:
            return connection.connect(name)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_QUEUE_SECONDS)


def describe(reply: dict[str, Any]) -> str:
    """A reply in words."""
    lines = [f"refused: {error}" for error in reply["errors"]]
    lines += [f"remark: {remark}" for remark in reply["remarks"]]
    if reply["points"]:
        lines.append(
            f"{'beta':>5} {'accuracy':>9} {'tokens':>10} {'of SC@64':>9} {'sequential':>11}"
        )
        lines += [
            f"{p['beta']:5.2f} {p['accuracy']:8.2f}% {p['tokens']:10,.0f} {p['fraction']:9.1%}"
            f" {p['sequential_tokens']:11,.0f}"
            for p in reply["points"]
        ]
    if reply["area"] is not None:
        others = ", ".join(f"{name} {area:.2f}" for name, area in reply["baseline_areas"].items())
        lines.append(f"frontier area {reply['area']:.2f} (to compare: {others})")
    if reply["tries_left"] is not None:
        lines.append(f"tries left: {reply['tries_left']}")
    return "\n".join(lines)


def find_socket() -> Path:
    """The scorer's socket: from the environment, or above this file, or above the work folder."""
    if ENVIRONMENT in os.environ:
        return Path(os.environ[ENVIRONMENT])
    here = Path.cwd()
    folders = [*Path(__file__).resolve().parents, here, *here.parents]
    return next((path for folder in folders if (path := folder / SOCKET).exists()), Path(SOCKET))


def try_program(program: Path, path: Path, as_json: bool) -> int:
    """Score a file, print the reply, return the exit code: 0 scored, 1 refused, 2 no answer."""
    try:
        reply = ask(path, program.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        print(f"error: no answer from the scorer at {path}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(reply) if as_json else describe(reply))
    return 1 if reply["errors"] else 0


def main() -> int:
    """`autotts try program.py`, for where autotts itself can't be imported."""
    parser = argparse.ArgumentParser(prog="autotts")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("try", help="score a program on the search set, quickly")
    command.add_argument("program", type=Path)
    command.add_argument("--json", action="store_true", help="print the reply as JSON")
    options = parser.parse_args()
    return try_program(options.program, find_socket(), options.json)


if __name__ == "__main__":
    sys.exit(main())
