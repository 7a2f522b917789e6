"""What the jail of an agent holds on this machine: one is jailed, and tries what it must not."""

import contextlib
import json
import os
import socket
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from autotts.discovery.agents import attempts
from autotts.discovery.agents.process import run_agent
from autotts.discovery.agents.scorer_server import ScorerSocket, TryAllowance
from autotts.discovery.explorer import Feedback, OutOfBudget
from autotts.errors import SandboxError
from autotts.sandbox.confine import jail
from autotts.untrusted import parse_json


@dataclass(frozen=True, slots=True)
class Reached:
    """What a jailed agent reached.

    layers: as `jail.enter` tells; {} where no agent can be jailed.
    breaches: the attempts that came to something.
    missing: why no agent can be jailed, "" if one can.
    """

    layers: dict[str, str]
    breaches: tuple[str, ...]
    missing: str = ""

    def explain(self) -> str:
        """Layer by layer, and what it means."""
        if self.missing:
            return f"none: {self.missing}; `discover --explorer agent` needs --option jail=off"
        lines = ["agents are jailed" + (", not in all ways" if self.breaches else "")]
        lines += [f"  {layer:13} {state}" for layer, state in self.layers.items()]
        lines += [f"  a jailed agent could {breach}" for breach in self.breaches]
        return "\n".join(lines)


def reach(*, network: bool = False) -> Reached:
    """Jail an agent without network, or with, and see what it gets done.

    Raises:
        SandboxError: not even the attempt could be made.
    """
    if (missing := jail.missing()) is not None:
        return Reached({}, (), missing)
    with tempfile.TemporaryDirectory(prefix="autotts-probe-") as name, contextlib.ExitStack() as on:
        base = Path(name).resolve()
        there = _set_up(base, on)
        scorer = on.enter_context(ScorerSocket(base / "own/s", _nothing, TryAllowance()))
        ended = run_agent(
            [
                sys.executable,
                "-I",
                attempts.__file__,
                json.dumps({"outside": asdict(there), "network": network}),
            ],
            folder=base / "own",
            stdin=Path(os.devnull),
            environment={},
            timeout_seconds=60,
            jail=jail.Jail(
                read=(
                    *jail.SYSTEM,
                    sys.prefix,
                    sys.base_prefix,
                    str(Path(sys.executable).resolve().parent),
                    attempts.__file__,
                    str(base / "shown"),
                ),
                write=(str(base / "own"),),
                network=network,
            ),
            scorer=scorer,
        )
    try:
        found = parse_json(ended.output.encode())
    except ValueError as error:
        raise SandboxError(f"the jail could not be tried: {ended.output[-500:]}") from error
    if not isinstance(found, list):
        raise SandboxError(f"the jail could not be tried: {ended.output[-500:]}")
    return Reached(ended.layers, tuple(str(breach) for breach in found))


def _set_up(base: Path, on: contextlib.ExitStack) -> attempts.Outside:
    """Files and sockets for the attempts."""
    for folder in ("own", "shown", "closed"):
        (base / folder).mkdir()
    for path in ("closed/file", "shown/file"):
        (base / path).write_text("outside")
    there = attempts.Outside(
        closed=str(base / "closed/file"),
        readable=str(base / "shown/file"),
        socket=str(base / "closed/socket"),
        abstract=base.name,
        process=os.getpid(),
    )
    for address in (there.socket, "\0" + there.abstract):
        listening = on.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(address)
        listening.listen()
    return there


def _nothing(source: str) -> Feedback:
    raise OutOfBudget("there is no run here")
