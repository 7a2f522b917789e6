"""What collecting from a server will be like: each answer is found by trying."""

from dataclasses import dataclass

from autotts.errors import ServerError
from autotts.inference.server import GREEDY, Context, Server, joined

_TOKENS, _INTERVAL = 24, 8
_QUESTION = "What is 3 + 4? Think step by step."
_CACHED_SHARE = 0.5
_SUFFIX = " So the final answer is"


@dataclass(frozen=True, slots=True)
class Examined:
    """One property of a server.

    words: what was seen, or what follows.
    """

    what: str
    good: bool
    words: str


async def examine(server: Server) -> list[Examined]:
    """The properties of a server that matter to branches, at the cost of some hundred tokens.

    Raises:
        ServerError: it stopped answering.
    """
    can = server.can
    found = [
        Examined(
            "token ids",
            can.exact,
            "go in and come out, as many as it counts" if can.exact else "text only: not exact",
        ),
        Examined(
            "prompts by its template",
            can.renders,
            "conversations are rendered on the server" if can.renders else "give prompts as text",
        ),
    ]
    if can.continues:
        found += await _branches(server)
    return [
        *found,
        Examined(
            "log-probabilities",
            bool(can.logprobs),
            f"the {can.logprobs} likeliest of each token" if can.logprobs else "no signals",
        ),
        Examined(
            "seeds",
            can.repeats,
            "the same seed gave the same tokens"
            if can.repeats
            else "a seed does not repeat a text",
        ),
        Examined(
            "abort endpoint",
            bool(can.aborts),
            can.aborts or "requests are stopped by closing the connection",
        ),
        Examined(
            "length of its context",
            can.context_tokens is not None,
            f"{can.context_tokens:,} tokens" if can.context_tokens else "it doesn't say",
        ),
    ]


async def _branches(server: Server) -> list[Examined]:
    """How it goes on with a branch, and probes it."""
    prompt = await _prompt(server)
    whole = await server.decode(prompt, max_tokens=_TOKENS, sampling=GREEDY, seed=0)
    branch, ended = prompt, False
    while not ended and len(branch) < len(prompt) + len(whole.content):
        part = await server.decode(branch, max_tokens=_INTERVAL, sampling=GREEDY, seed=0)
        branch, ended = joined(branch, part.content), part.ended
    same = branch == joined(prompt, whole.content)
    suffix = await server.encode(_SUFFIX)
    probe = await server.probe(branch, suffix, max_tokens=_INTERVAL)
    share = (probe.cached_tokens or 0) / max(1, probe.prompt_tokens or 0)
    return [
        Examined(
            "intervals",
            same,
            f"of {_INTERVAL} tokens give what one request of {_TOKENS} gives"
            if same
            else "give other tokens than one long request: its numerics depend on the batch",
        ),
        Examined(
            "cache of prefixes",
            share >= _CACHED_SHARE,
            "it doesn't say how much of a prompt it had"
            if probe.cached_tokens is None
            else f"{share:.0%} of a probe's prompt was there",
        ),
    ]


async def _prompt(server: Server) -> Context:
    try:
        return await server.render([("user", _QUESTION)])
    except ServerError:
        return await server.encode(_QUESTION, special=True)
