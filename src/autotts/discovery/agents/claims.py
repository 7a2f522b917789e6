"""What an agent says a session cost, and what is charged for it.

A transcript is the word of the agent, and whatever it runs may print into it. So lines that can't
be true are passed over, of several claims the largest counts, and a session of which nothing is
said, or that did not end well, costs at least what was reserved. An agent that says too little and
ends well is believed: only who carries its calls could know better.
"""

import json
from collections.abc import Iterator
from typing import Any

from autotts.discovery.explorer import Usage
from autotts.discovery.run.charges import is_tokens, is_usd
from autotts.untrusted import parse_json

_LONGEST_LINE = 4 * 1024 * 1024
_READ_BY_CLAUDE = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def no_claim(transcript: str) -> Usage | None:
    """Of an unknown agent, which says nothing that we could count."""
    return None


def claude_claim(transcript: str) -> Usage | None:
    """From the results that Claude Code prints last; it knows dollars."""
    claims = []
    for event in _events(transcript, "result"):
        usage, usd = event.get("usage"), event.get("total_cost_usd")
        given = [_tokens(usage, name) for name in _READ_BY_CLAUDE]
        made = _tokens(usage, "output_tokens")
        if None not in (*given, made) and (usd is None or is_usd(usd)):
            claims.append((sum(filter(None, given)), made or 0, usd))
    if not claims:
        return None
    given, made, prices = zip(*claims, strict=True)
    known = [float(usd) for usd in prices if usd is not None]
    return Usage(1, max(given), max(made), max(known, default=None))


def codex_claim(transcript: str) -> Usage | None:
    """From the turns that Codex reports; it gives no dollars."""
    claims = []
    for event in _events(transcript, "turn.completed"):
        turn = [_tokens(event.get("usage"), name) for name in ("input_tokens", "output_tokens")]
        if None not in turn:
            claims.append(turn)
    given, made = (sum(turn[side] or 0 for turn in claims) for side in (0, 1))
    return Usage(1, given, made, None) if claims else None


def charged(claim: Usage | None, reserved: Usage, *, ended_well: bool) -> Usage:
    """What a session is charged.

    Args:
        claim: what the agent said; without tokens read or written it has not said them all.
        reserved: what is charged for what is not said, and the least where it did not end well.
        ended_well: whether it ended by itself and without an error.
    """
    if claim is None:
        return reserved
    missing = 0
    if not (ended_well and claim.input_tokens and claim.output_tokens):
        missing = max(0, reserved.tokens - claim.tokens)
    usd = claim.usd
    if usd is None:
        usd = reserved.usd
    elif reserved.usd is not None and not ended_well:
        usd = max(usd, reserved.usd)
    return Usage(claim.calls, claim.input_tokens + missing, claim.output_tokens, usd)


def metered(
    counted: Usage, claim: Usage | None, reserved: Usage, *, whole: bool, ended_well: bool
) -> Usage:
    """What a session is charged whose calls were carried by us.

    Args:
        counted: what the replies reported; without a call, the agent's word counts as ever.
        claim, reserved, ended_well: as in `charged`, for the dollars.
        whole: whether every reply reported what it took; else it costs at least what was reserved.
    """
    told = charged(claim, reserved, ended_well=ended_well)
    if not counted.calls:
        return told
    missing = 0 if whole else max(0, reserved.tokens - counted.tokens)
    return Usage(counted.calls, counted.input_tokens + missing, counted.output_tokens, told.usd)


def _tokens(usage: object, name: str) -> int | None:
    """A count of an event, 0 if it isn't given; None if what is given can't be one."""
    if usage is None:
        return 0
    if not isinstance(usage, dict):
        return None
    count = usage.get(name)
    if count is None:
        return 0
    return count if is_tokens(count) else None


def _events(transcript: str, kind: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of one type among the lines."""
    quoted = json.dumps(kind)
    for line in transcript.split("\n"):
        if line.startswith("{") and quoted in line:
            try:
                event = parse_json(line.encode(), most_bytes=_LONGEST_LINE)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("type") == kind:
                yield event
