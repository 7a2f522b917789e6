"""Running an agent's command line: under a keeper, in a jail, with its output read and capped."""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autotts.discovery.agents.scorer_server import ScorerSocket
from autotts.errors import SandboxError
from autotts.sandbox.confine.jail import Jail
from autotts.sandbox.confine.tier import import_path

MOST_OUTPUT_BYTES = 4 * 1024 * 1024
MOST_PROCESSES = 256
_GRACE_SECONDS = 20.0
_LOOK_SECONDS = 1.0
"""What the keeper may take beyond the agent's time to kill and report."""


@dataclass(frozen=True, slots=True)
class AgentEnd:
    """How an agent ended.

    exit: its exit code, negative for a signal; None if it was killed.
    why: why it was killed: "", "time" or "processes".
    left: processes that it left running, killed.
    output: what it printed, both streams, up to the cap.
    output_bytes: all that it printed.
    layers: of its jail.
    """

    exit: int | None
    why: str
    left: int
    seconds: float
    output: str
    output_bytes: int
    layers: dict[str, str]


def run_agent(
    argv: Sequence[str],
    *,
    folder: Path,
    stdin: Path,
    environment: Mapping[str, str],
    timeout_seconds: float,
    jail: Jail | None,
    scorer: ScorerSocket,
    ended: Callable[[], bool] = lambda: False,
) -> AgentEnd:
    """Run an agent to its end, answering what it tries meanwhile.

    Args:
        ended: whether nobody wants it any more; asked every second.

    Raises:
        KeyboardInterrupt: nobody does; it was ended.
        SandboxError: it could not be started, or its keeper was killed.
    """
    reader, writer = os.pipe()
    orders = {
        "argv": list(argv),
        "folder": str(folder),
        "stdin": str(stdin),
        "environment": dict(environment),
        "timeout_seconds": timeout_seconds,
        "most_processes": MOST_PROCESSES,
        "jail": None if jail is None else asdict(jail),
        "report": writer,
        "parent": os.getpid(),
    }
    keeper = subprocess.Popen(
        [sys.executable, "-s", "-P", "-m", "autotts.discovery.agents.supervisor"],
        env={"PYTHONPATH": import_path()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=(writer,),
    )
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as report:
            _give(keeper, orders)
            output, size = _attend(keeper, scorer, timeout_seconds + _GRACE_SECONDS, ended)
            told = json.loads(report.read() or b"null")
    finally:
        _end(keeper)
    if told is None:
        raise SandboxError(f"the agent's keeper ended without a report: {output[-500:]}")
    if told["error"]:
        raise SandboxError(f"the agent could not be started: {told['error']}")
    return AgentEnd(
        exit=told["exit"],
        why=told["why"],
        left=told["left"],
        seconds=told["seconds"],
        output=output,
        output_bytes=size,
        layers=told["layers"],
    )


def _end(keeper: "subprocess.Popen[bytes]") -> None:
    """End the keeper: on SIGTERM it kills the agent first, so it must not be killed before."""
    keeper.terminate()
    try:
        keeper.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()
    if keeper.stdout is not None:
        keeper.stdout.close()


def _give(keeper: "subprocess.Popen[bytes]", orders: dict[str, Any]) -> None:
    assert keeper.stdin is not None
    try:
        keeper.stdin.write(json.dumps(orders).encode())
        keeper.stdin.close()
    except BrokenPipeError as error:
        raise SandboxError("the agent's keeper ended before it began") from error


def _attend(
    keeper: "subprocess.Popen[bytes]",
    scorer: ScorerSocket,
    seconds: float,
    ended: Callable[[], bool],
) -> tuple[str, int]:
    """Read output and answer tries until all who hold the output's pipe are gone.

    Raises:
        KeyboardInterrupt: nobody wants it any more.
    """
    assert keeper.stdout is not None
    pipe = keeper.stdout.fileno()
    kept = bytearray()
    size = 0
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        selector.register(scorer, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if ended():
                raise KeyboardInterrupt
            left = max(0.0, deadline - time.monotonic())
            for key, _ in selector.select(min(left, _LOOK_SECONDS)):
                if key.fileobj is scorer:
                    scorer.answer()
                    continue
                data = os.read(pipe, 65_536)
                if not data:
                    return kept.decode(errors="replace"), size
                size += len(data)
                kept += data[: MOST_OUTPUT_BYTES - len(kept)]
    return kept.decode(errors="replace"), size
