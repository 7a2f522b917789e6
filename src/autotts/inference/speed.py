"""How fast a server is, by the number of branches at once: measured, and kept as a file.

A branch on a server is a row of requests, each of which waits (for the network, the queue, and
what of its prompt is not in the cache of prefixes) and then decodes token by token. More branches
at once make each of them slower, and all of them together faster, as much as the server is one:

    seconds of a request = wait(n) + token(n) for each of its tokens      n: requests at a time

Probes wait longer, for their question is read; and a branch's first request reads the prompt, which
takes its time for each of the prompt's tokens.

Branches of a round end at different times, and then the others go faster: n falls as they do. All
requests that were measured are equations for wait and token at each number, solved together by
least squares (in shares of what was measured, none below zero). Between these numbers both are
interpolated; beyond the last one a server is taken to be full, and twice as many branches take
twice as long.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from autotts.errors import ServerError, SpecError
from autotts.files import read_regular, write_text
from autotts.inference.branch import Decoding, Probed, Probing, ServedBranch
from autotts.inference.prices import TokenPrices
from autotts.inference.server import Context, Decoded, Sampling, Server, joined
from autotts.untrusted import parse_json
from autotts.version import __version__

VERSION = 2
AT_ONCE = (1, 2, 4, 8, 16)
_TOKENS = (8, 24, 40)
"""Of the requests of a branch, one after the other."""
_REPEATS = 2
_ATTEMPTS = 3
_SAMPLING = Sampling(temperature=0.6, top_p=0.9)
_MOST_BYTES = 1 << 20
_PROMPT = (
    "Write down the numbers from one to one thousand, one after the other, each on a line of its"
    " own, and say of each whether it is even or odd, and by which numbers it can be divided.\n"
    "one is odd, and can be divided by one.\ntwo is even, and can be divided by one and two.\n"
)
_SUFFIX = "\n\n**Final Answer**\n\\boxed{"
_STORY = "and so on, as was said before: one more number, one more line, and then the next. "

WAITS = ("waiting", "asking")
"""What a request waits for: its turn, or the question of a probe too."""

FloatArray = np.ndarray


@dataclass(frozen=True, slots=True)
class ServerSpeed:
    """What was measured of a server; all lists are by `at_once`.

    at_once: requests at a time, ascending.
    reading_seconds: a token of a branch's prompt, read before its first token.
    waiting_seconds: a request up to its first token, its prefix in the cache.
    asking_seconds: a probe up to its first token, its question read.
    token_seconds: a token of one branch, decoded beside the others.
    prompt_tokens: of the prompt that was read.
    depth: tokens that branches had when they were measured, beside the prompt.
    prices: what tokens cost there.
    made_by: server, model, date and version, for whoever finds the file.
    """

    at_once: tuple[int, ...]
    reading_seconds: tuple[float, ...]
    waiting_seconds: tuple[float, ...]
    asking_seconds: tuple[float, ...]
    token_seconds: tuple[float, ...]
    prompt_tokens: int
    prices: TokenPrices = field(default_factory=TokenPrices)
    made_by: dict[str, Any] = field(default_factory=dict)
    depth: int = 0

    def __post_init__(self) -> None:
        lists = (
            self.reading_seconds, self.waiting_seconds, self.asking_seconds, self.token_seconds,
        )  # fmt: skip
        if not self.at_once or any(len(one) != len(self.at_once) for one in lists):
            raise SpecError("a server model needs a value for each number of branches at once")
        if any(b <= a for a, b in zip((0, *self.at_once), self.at_once, strict=False)):
            raise SpecError(f"branches at once must ascend from 1 on, got {self.at_once}")
        if any(not 0 <= value < 1e6 for one in lists for value in one):
            raise SpecError("seconds of a server model must be from 0 to a million")
        if self.prompt_tokens < 0:
            raise SpecError(f"a prompt of {self.prompt_tokens} tokens")

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
        content = read_regular(path, most_bytes=_MOST_BYTES, follow=True)
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
class TimedRound:
    """Requests side by side, `[n]` each.

    kind: what they wait for, one of `WAITS`.
    prompt_tokens: of the prompt that each reads, 0 where it was read before.
    seconds: from the beginning of the round to the reply.
    tokens: that each decoded.
    """

    kind: str
    seconds: FloatArray
    tokens: np.ndarray
    prompt_tokens: int = 0


async def measure_speed(
    server: Server,
    *,
    at_once: Sequence[int] = AT_ONCE,
    prices: TokenPrices | None = None,
    depth: int = 0,
    repeats: int = _REPEATS,
) -> ServerSpeed:
    """Measure a server, at the cost of some thousand tokens.

    Args:
        at_once: numbers of branches to measure at.
        depth: tokens that branches have before they are measured: with much to look back on,
            tokens take longer.

    Raises:
        ServerError: it stopped answering, or gave errors all the time.
        SpecError: it can't go on with a branch.
    """
    if not server.can.continues:
        raise SpecError(f"{server.address} can't go on with a branch, so rounds can't be timed")
    probing = Probing(await server.encode(_SUFFIX), _SUFFIX)
    filler = await server.encode(_STORY)
    before = joined(filler[:0], filler[:0])
    while len(before) < depth:
        before = joined(before, filler)
    rounds: list[TimedRound] = []
    prompt_tokens = 0
    for _ in range(repeats):  # all numbers in turn: what else the machine does hits all alike
        for n in at_once:
            for _ in range(_ATTEMPTS):
                # Another one from its beginning on, or it would be in the cache of prefixes.
                text = f"{secrets.token_hex(4)} {_PROMPT}"
                prompt = await server.encode(text, special=True)
                found = await _measure(server, prompt, n, before, probing)
                if found is not None:
                    break
            else:
                raise ServerError(f"{server.address} gave errors all the time that it was measured")
            rounds += found[0]
            prompt_tokens = found[1]
    reading, waiting, asking, token = speeds_of(rounds, at_once)
    return ServerSpeed(
        tuple(at_once), reading, waiting, asking, token, prompt_tokens,
        prices=prices or TokenPrices(),
        made_by={
            "address": server.address, "dialect": server.dialect, "model": server.model,
            "measured": datetime.now(UTC).isoformat(timespec="seconds"), "version": __version__,
        },
        depth=len(before),
    )  # fmt: skip


async def _measure(
    server: Server, prompt: Context, n: int, before: Context, probing: Probing
) -> tuple[list[TimedRound], int] | None:
    """Rounds of n branches at once, and tokens of the prompt; None where some were asked again."""
    retried = sum(server.tally.retried.values())
    numbers = count()

    def another(context: Context) -> ServedBranch:
        return ServedBranch(context, ("speed", n, next(numbers)))

    branches = [another(prompt) for _ in range(n)]
    first = await _advance(server, branches, _TOKENS[0])
    prompt_tokens = branches[0].prompt_tokens
    rounds = [replace(first, prompt_tokens=prompt_tokens)]
    if len(before):
        prompt = joined(prompt, before)
        branches = [another(prompt) for _ in range(n)]
        await _advance(server, branches, 1)  # so that it has read all of it
    for tokens in _TOKENS:
        # One that ended would end at once again; what another one begins with is read already.
        branches = [another(prompt) if branch.ended else branch for branch in branches]
        rounds.append(await _advance(server, branches, tokens))
        asked = [_said(branch.probe(server, probing)) for branch in branches]
        rounds.append(await _timed("asking", asked))
    return None if sum(server.tally.retried.values()) > retried else (rounds, prompt_tokens)


async def _said(probing: Awaitable[Probed]) -> Decoded:
    return (await probing).said


async def _advance(server: Server, branches: Sequence[ServedBranch], tokens: int) -> TimedRound:
    """Decode an interval of every branch side by side."""
    how = Decoding(tokens, 1 << 20, _SAMPLING)
    return await _timed("waiting", [branch.advance(server, how) for branch in branches])


async def _timed(kind: str, requests: Sequence[Awaitable[Decoded]]) -> TimedRound:
    began = time.monotonic()

    async def one(request: Awaitable[Decoded]) -> tuple[float, int]:
        decoded = await request
        return time.monotonic() - began, decoded.tokens

    seconds, made = zip(*await asyncio.gather(*map(one, requests)), strict=True)
    return TimedRound(kind, np.array(seconds), np.array(made))


def speeds_of(
    rounds: Sequence[TimedRound], at_once: Sequence[int]
) -> tuple[tuple[float, ...], ...]:
    """What explains the rounds best, `[G]` each.

    Returns:
        Seconds of a prompt's token, of each of `WAITS`, and of a token.
    """
    from scipy.optimize import nnls

    def shares(branches: np.ndarray) -> FloatArray:
        """`[..., G]` what each measured number counts in a value interpolated between them."""
        units = np.eye(len(at_once))
        return np.stack([np.interp(branches, at_once, unit) for unit in units], axis=-1)

    rows = []
    for one in rounds:
        n, steps = len(one.tokens), np.arange(1, one.tokens.max() + 1)
        going = (one.tokens[:, None] >= steps).sum(axis=0)
        tokens = np.cumsum(shares(going), axis=0)[one.tokens - 1]
        before = np.broadcast_to(shares(np.array(n)), tokens.shape)
        waits = [before * (one.kind == kind) for kind in WAITS]
        parts = [before * one.prompt_tokens, *waits, tokens]
        rows.append(np.concatenate(parts, axis=1) / one.seconds[:, None])
    equations = np.concatenate(rows)
    found, _ = nnls(equations, np.ones(len(equations)))
    return tuple(tuple(part.tolist()) for part in np.split(found, len(WAITS) + 2))
