"""The side of the scorer that anybody may run: sends a program, shows what came back.

Only the standard library, and one file: workspaces and exported tasks get a copy of it, so that
`autotts try` works where autotts can't be imported. Changing the copy changes nothing but what its
owner is shown; scores are made, and recorded, on the other side of the socket.
"""

import argparse
import contextlib
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

SOCKET = "scorer.sock"
ENVIRONMENT = "AUTOTTS_SCORER"
TIMEOUT_SECONDS = 600.0
_LONGEST_ADDRESS = 100
"""Bytes that every system takes as the address of a socket."""
_QUEUE_SECONDS = 0.05
_REPLY_SECONDS = 4.0
"""From the first byte of a reply to its last."""
_MOST_QUESTIONS = 5
_MOST_BYTES = 4 * 1024 * 1024
"""Longest reply that is read."""
_LARGEST = 1e15
"""Of the numbers in a reply."""
_WITH_CONSTANTS = re.compile(r"(.*\.py):(\w+=[^,:]*(?:,\w+=[^,:]*)*)", re.S)
_SCHEDULE = re.compile(r"^def schedule\b", re.M)


def read_program(given: str) -> str:
    """The text of a program's file; `mine.py:width=8,first=2` puts constants in its schedule.

    Raises:
        OSError: it can't be read.
        ValueError: it is no text, or has no such parameters.
    """
    found = None if os.path.exists(given) else _WITH_CONSTANTS.fullmatch(given)
    source = Path(found[1] if found else given).read_text(encoding="utf-8-sig")
    pairs = [pair.split("=", 1) for pair in found[2].split(",")] if found else []
    return with_constants(source, dict(pairs)) if pairs else source


def with_constants(source: str, constants: Mapping[str, str]) -> str:
    """A program whose schedule gives these parameters these values at every beta.

    Raises:
        ValueError: it has no such parameter, or a value is no number.
    """
    for name, value in constants.items():
        if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value):
            raise ValueError(f"{name}={value}: need a number")
        if not re.search(rf"""(["']){name}\1""", source):
            raise ValueError(f"{name}={value}: its schedule has no parameter {name}")
    source, schedules = _SCHEDULE.subn("def given_schedule", source)
    if schedules != 1:
        raise ValueError(f"need one line that begins with `def schedule`, found {schedules}")
    put = ", ".join(f'"{name}": {value}' for name, value in constants.items())
    return f"{source}\n\ndef schedule(beta):\n    return {{**given_schedule(beta), {put}}}\n"


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

    Whoever listens there may be anybody: all of it takes at most `timeout_seconds`, and what comes
    back has the shape of a scorer's reply.

    Raises:
        OSError: nobody answers there, or not in time.
        ValueError: what answers is not the scorer.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        reply = _parsed(_exchange(path, {"program": source}, deadline))
        wait = float(reply.get("wait_seconds", 0.0))
        if not wait or time.monotonic() + wait > deadline:
            return reply
        time.sleep(max(wait, _QUEUE_SECONDS))


def _exchange(path: Path, request: dict[str, str], deadline: float) -> bytes:
    """Send a request, and receive a line: whole, or up to where the other side hung up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, address(path) as name:
        connection.settimeout(_left(deadline))
        _connect(connection, name, deadline)
        connection.settimeout(_left(deadline))
        connection.sendall(json.dumps(request).encode() + b"\n")
        reply = bytearray()
        while not reply.endswith(b"\n") and len(reply) <= _MOST_BYTES:
            connection.settimeout(_left(deadline))
            part = connection.recv(65_536)
            if not part:
                break
            if not reply:  # a scorer writes its reply in one go
                deadline = min(deadline, time.monotonic() + _REPLY_SECONDS)
            reply += part
    if not reply:
        raise ValueError(f"{path}: the scorer hung up; it may have ended")
    return bytes(reply)


def _left(deadline: float) -> float:
    """Seconds to a deadline.

    Raises:
        TimeoutError: it has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    return left


_TEXTS, _NUMBERS = [str], {str: float}
_POINT = dict.fromkeys(("beta", "accuracy", "tokens", "fraction", "sequential_tokens"), float)
_NEEDED: dict[str, Any] = {
    "ok": bool, "errors": _TEXTS, "remarks": _TEXTS, "points": [_POINT], "area": (float, None),
    "baseline_areas": _NUMBERS, "tries_left": (float, None),
}  # fmt: skip
_MAY_BE: dict[str, Any] = {
    "tried": bool, "shares": _NUMBERS, "store_areas": _NUMBERS, "lead": str, "questions": _NUMBERS,
    "draws": str, "noise": float, "wait_seconds": float,
}  # fmt: skip

_DETAILS = {"shares", "store_areas", "questions", "draws", "noise"}


def _parsed(line: bytes) -> dict[str, Any]:
    """A reply, of which every field that is used has its type.

    Raises:
        ValueError: it is none.
    """
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the reply is no JSON that can be read: {str(error)[:100]}") from error
    if isinstance(reply, dict):
        # With the lead over the best so far comes all that is said beside it.
        asked = _MAY_BE.keys() & (reply.keys() | (_DETAILS if reply.get("lead") else set()))
        shape = _NEEDED | {name: _MAY_BE[name] for name in asked}
        if _fits(reply, shape) and all(map(_is_share, reply.get("shares", ()))):
            return reply
    raise ValueError("the reply has not the shape of a scorer's")


def _fits(value: Any, shape: Any) -> bool:
    """Whether a value of JSON has a shape.

    A shape is a type, a choice of shapes, a list of one shape, fields by name, or `{str: shape}`.
    """
    if isinstance(shape, tuple):
        return any(_fits(value, one) for one in shape)
    if shape is float:  # and no NaN, and no whole number that is too large to be shown as one
        return type(value) in (int, float) and abs(value) <= _LARGEST
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(one, shape[0]) for one in value)
    if isinstance(shape, dict) and str in shape:
        return isinstance(value, dict) and all(_fits(one, shape[str]) for one in value.values())
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            name in value and _fits(value[name], of) for name, of in shape.items()
        )
    return value is None if shape is None else isinstance(value, shape)


def _is_share(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,20})?", text) is not None


def _connect(connection: socket.socket, name: str, deadline: float) -> None:
    """Connect, waiting while others wait: a full queue refuses a socket with a time-out at once."""
    while True:
        try:
            return connection.connect(name)
        except BlockingIOError:
            time.sleep(min(_QUEUE_SECONDS, _left(deadline)))


def describe(reply: dict[str, Any]) -> str:
    """A reply of `ask` in words."""
    outcome = "would be refused at submit" if reply.get("tried", True) else "not tried"
    lines = [f"{outcome}: {error}" for error in reply["errors"]]
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
        lines += _details(reply)
    if reply["tries_left"] is not None:
        lines.append(f"tries left: {reply['tries_left']}")
    return "\n".join(lines)


def _details(reply: dict[str, Any]) -> list[str]:
    """How the figures stand to the best so far, where, and how sure they are."""
    if not reply.get("lead"):
        return []
    shares = ", ".join(f"{float(s):.0%} {a:.1f}" for s, a in reply["shares"].items())
    stores = ", ".join(f"{store} {area:.2f}" for store, area in reply["store_areas"].items())
    lines = [
        f"best so far: {reply['lead']}",
        f"accuracy by share of SC@64's tokens: {shares}",
        f"area by store: {stores}",
    ]
    gains = sorted(reply["questions"].items(), key=lambda item: -item[1])
    for word, found in (
        ("gained", [(q, gain) for q, gain in gains if gain > 0]),
        ("lost", [(q, gain) for q, gain in reversed(gains) if gain < 0]),
    ):
        named = ", ".join(f"{question} {gain:+.0f}" for question, gain in found[:_MOST_QUESTIONS])
        more = f" and {len(found) - _MOST_QUESTIONS} more" if len(found) > _MOST_QUESTIONS else ""
        if named:
            lines.append(f"{word} against it, in points: {named}{more}")
    lines.append(
        f"tried on {reply['draws']}; by these draws alone the area may be off by"
        f" {2 * reply['noise']:.2f}"
    )
    return lines


def find_socket() -> Path:
    """The scorer's socket: from the environment, or above this file, or above the work folder."""
    if ENVIRONMENT in os.environ:
        return Path(os.environ[ENVIRONMENT])
    here = Path.cwd()
    folders = [*Path(__file__).resolve().parents, here, *here.parents]
    return next((path for folder in folders if (path := folder / SOCKET).exists()), Path(SOCKET))


def _print(text: str) -> None:
    """Print what somebody else may have written: no control character reaches the terminal."""
    print("".join(c if c.isprintable() or c in "\n\t" else "?" for c in text))


def try_program(
    program: str | Path, path: Path, as_json: bool, show: Callable[[str], object] = _print
) -> int:
    """Score a file, with constants or without (`read_program`), and show the reply.

    Returns:
        the exit code: 0 scored, 1 it would be refused, 2 it was not read or answered.
    """
    try:
        reply = ask(path, read_program(str(program)))
        text = json.dumps(reply) if as_json else describe(reply)
    except OSError as error:
        unread = error.filename is not None
        reason = error if unread else f"no answer from the scorer at {path}: {error}"
        print(f"error: {reason}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"error: {program}: {error}", file=sys.stderr)
        return 2
    show(text)
    return int(bool(reply.get("errors")))


def try_programs(
    programs: Sequence[str], path: Path, as_json: bool, show: Callable[[str], object] = _print
) -> int:
    """Score programs one after the other, as JSON a line each; returns the worst exit code."""
    worst = 0
    for program in programs:
        if len(programs) > 1 and not as_json:
            show(f"{program}:")
        worst = max(worst, try_program(program, path, as_json, show))
    return worst


def main() -> int:
    """`autotts try program.py`, for where autotts itself can't be imported."""
    parser = argparse.ArgumentParser(prog="autotts")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("try", help="score programs on the search set, quickly")
    command.add_argument(
        "programs", nargs="+", metavar="PROGRAM", help="such as mine.py or mine.py:width=8"
    )
    command.add_argument("--json", action="store_true", help="print each reply as a line of JSON")
    options = parser.parse_args()
    return try_programs(options.programs, find_socket(), options.json)


if __name__ == "__main__":
    sys.exit(main())
