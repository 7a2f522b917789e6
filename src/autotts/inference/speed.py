"""How fast a server is, by the number of branches at once: measured, and kept as a file.

A branch on a server is a row of requests, each of which waits (for the network, the queue, and
what of its prompt is not in the cache of prefixes) and then decodes token by token. More branches
at once make each of them slower, and all of them together faster, as much as the server is one:

    seconds of a request = wait(n) + tokens * token(n)        n: requests at a time

Between the numbers that were measured both are interpolated; beyond the last one a server is taken
to be full, and twice as many branches take twice as long.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from autotts.errors import SpecError
from autotts.files import write_text
from autotts.inference.branch import Decoding, Probing, ServedBranch
from autotts.inference.prices import TokenPrices
from autotts.inference.server import Context, Sampling, Server
from autotts.untrusted import parse_json
from autotts.version import __version__

VERSION = 1
AT_ONCE = (1, 2, 4, 8, 16)
_SHORT, _LONG = 4, 40
_REPEATS = 2
_PROBE_TOKENS = 10
_MOST_BYTES = 1 << 20
_PROMPT = (
    "Write down the numbers from one to one thousand, one after the other, each on a line of its"
    " own, and say of each whether it is even or odd, and by which numbers it can be divided.\n"
    "one is odd, and can be divided by one.\ntwo is even, and can be divided by one and two.\n"
)
_SUFFIX = "\nSo the final answer is"

FloatArray = np.ndarray


@dataclass(frozen=True, slots=True)
class ServerSpeed:
    """What was measured of a server; all lists are by `at_once`.

    at_once: requests at a time, ascending.
    opening_seconds: a branch's first request up to its first token, its prompt read.
    waiting_seconds: a later request up to its first token, its prefix in the cache.
    token_seconds: a token of one branch, decoded beside the others.
    probing_seconds: a probe, from asking to its answer.
    prompt_tokens: of the prompt that `opening_seconds` read.
    prices: what tokens cost there.
    made_by: server, model, date and version, for whoever finds the file.
    """

    at_once: tuple[int, ...]
    opening_seconds: tuple[float, ...]
    waiting_seconds: tuple[float, ...]
    token_seconds: tuple[float, ...]
    probing_seconds: tuple[float, ...]
    prompt_tokens: int
    prices: TokenPrices = field(default_factory=TokenPrices)
    made_by: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lists = (
            self.opening_seconds, self.waiting_seconds, self.token_seconds, self.probing_seconds,
        )  # fmt: skip
        if not self.at_once or any(len(one) != len(self.at_once) for one in lists):
            raise SpecError("a server model needs a value for each number of branches at once")
        if any(b <= a for a, b in zip((0, *self.at_once), self.at_once, strict=False)):
            raise SpecError(f"branches at once must ascend from 1 on, got {self.at_once}")
        if any(not 0 <= value < 1e6 for one in lists for value in one):
            raise SpecError("seconds of a server model must be from 0 to a million")

    def at(self, name: str, branches: np.ndarray) -> FloatArray:
        """One of the lists for `branches` at once, an array of any shape."""
        values = getattr(self, name)
        beyond = np.maximum(branches / self.at_once[-1], 1.0)
        return np.asarray(np.interp(branches, self.at_once, values) * beyond)

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        write_text(path, json.dumps({"server_model": VERSION, **asdict(self)}, indent=1) + "\n")


def read_speed(path: Path) -> ServerSpeed:
    """A server model from its file.

    Raises:
        SpecError: the file is none.
    """
    try:
        content = path.read_bytes()
        said = parse_json(content, most_bytes=_MOST_BYTES)
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: no server model can be read: {error}") from error
    if not isinstance(said, dict) or said.get("server_model") != VERSION:
        raise SpecError(
            f"{path} is no server model of version {VERSION}; `autotts doctor --server URL --speed"
            " FILE` writes one"
        )
    del said["server_model"]
    try:
        return TypeAdapter(ServerSpeed).validate_python(said)
    except ValidationError as error:
        why = str(error).splitlines()[0]
        raise SpecError(f"{path}: the server model is damaged: {why}") from error


@dataclass(frozen=True, slots=True)
class _Round:
    """A round of requests side by side: its seconds, and tokens of the longest."""

    seconds: float
    tokens: float
    prompt_tokens: int


async def measure_speed(
    server: Server,
    *,
    at_once: Sequence[int] = AT_ONCE,
    prices: TokenPrices | None = None,
    repeats: int = _REPEATS,
) -> ServerSpeed:
    """Measure a server, at the cost of some thousand tokens.

    Args:
        at_once: numbers of branches to measure at.

    Raises:
        ServerError: it stopped answering.
        SpecError: it can't go on with a branch.
    """
    if not server.can.continues:
        raise SpecError(f"{server.address} can't go on with a branch, so rounds can't be timed")
    suffix = await server.encode(_SUFFIX)
    probing = Probing(suffix, _SUFFIX, _PROBE_TOKENS)
    found: dict[int, list[tuple[float, float, float, float]]] = {n: [] for n in at_once}
    prompt_tokens = 0
    for repeat in range(repeats):  # all numbers in turn: what else the machine does hits all alike
        for n in at_once:
            prompt = await server.encode(f"{_PROMPT}({repeat}, {n})\n", special=True)
            figures, prompt_tokens = await _measure(server, prompt, n, probing)
            found[n].append(figures)
    means = np.array([np.median(found[n], axis=0) for n in at_once]).T
    opening, waiting, token, probe = (tuple(row) for row in means.tolist())
    return ServerSpeed(
        tuple(at_once), opening, waiting, token, probe, prompt_tokens,
        prices=prices or TokenPrices(),
        made_by={
            "address": server.address, "dialect": server.dialect, "model": server.model,
            "measured": datetime.now(UTC).isoformat(timespec="seconds"), "version": __version__,
        },
    )  # fmt: skip


async def _measure(
    server: Server, prompt: Context, n: int, probing: Probing
) -> tuple[tuple[float, float, float, float], int]:
    """Seconds of opening, of waiting, of a token and of a probe, with n branches at once."""
    branches = [ServedBranch(prompt, ("speed", n, i)) for i in range(n)]
    first = await _advance(server, branches, _SHORT)
    short = await _advance(server, branches, _SHORT)
    long = await _advance(server, branches, _LONG)
    began = time.monotonic()
    await asyncio.gather(*(branch.probe(server, probing) for branch in branches))
    probe = time.monotonic() - began
    gained = max(long.tokens - short.tokens, 1.0)
    token = max(long.seconds - short.seconds, 0.0) / gained
    waiting = max(short.seconds - short.tokens * token, 0.0)
    opening = max(first.seconds - first.tokens * token, waiting)
    return (opening, waiting, token, probe), first.prompt_tokens


async def _advance(server: Server, branches: Sequence[ServedBranch], tokens: int) -> _Round:
    """Decode an interval of every branch side by side; ended ones are asked to go on."""
    how = Decoding(tokens, 1 << 20, Sampling(temperature=1.0))
    began = time.monotonic()
    decoded = await asyncio.gather(*(branch.advance(server, how) for branch in branches))
    seconds = time.monotonic() - began
    read = max(one.prompt_tokens or 0 for one in decoded)
    return _Round(seconds, float(max(one.tokens for one in decoded)), read)
