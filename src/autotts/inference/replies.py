"""Replies of /v1/completions, read with mistrust: what does not add up is never data."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from autotts.inference.http import AskAgain
from autotts.inference.server import END_OF_THINKING, Logprobs

ENDS = frozenset({"stop", "eos", "eos_token", "stop_sequence"})
_MOST_TOKENS = 2**31
"""Of a prompt or a reply, or of a vocabulary: more than there are, and few enough to add up."""
_LEAST_LOGPROB, _ROUNDING = -1e30, 1e-2
"""What log-probabilities lie between, 0 but for rounding; beyond, signals would overflow."""


def unsound(words: str) -> AskAgain:
    return AskAgain("unsound", words)


def whole(reply: Any) -> Any:
    """A reply that was streamed, as it would have come in one piece."""
    if not isinstance(reply, list):
        return reply
    events = [event for event in reply if isinstance(event, dict)]
    if not events:
        raise unsound("a stream without events")
    choices = [choice_of(event) for event in events if event.get("choices")]
    logprobs = [c for choice in choices for c in _content(choice.get("logprobs"))]
    tokens = [t for event in events for t in _tokens(event.get("__verbose"))]
    return {
        **events[-1],
        "choices": [
            {
                "text": "".join(text_of(choice) for choice in choices),
                "finish_reason": choices[-1].get("finish_reason") if choices else None,
                "logprobs": {"content": logprobs},
            }
        ],
        "__verbose": {"tokens": tokens},
    }


def _content(logprobs: Any) -> list[Any]:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return content if isinstance(content, list) else []


def _tokens(details: Any) -> list[Any]:
    tokens = details.get("tokens") if isinstance(details, dict) else None
    return tokens if isinstance(tokens, list) else []


def choice_of(reply: Any) -> Mapping[str, Any]:
    """The one choice of a reply.

    Raises:
        AskAgain: there is none, or more than one.
    """
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        found = f"{len(choices)} choices" if isinstance(choices, list) else "no choices"
        raise unsound(f"a reply with {found}, where one was asked for")
    choice: dict[str, Any] = choices[0]
    return choice


def text_of(choice: Mapping[str, Any]) -> str:
    text = choice.get("text")
    if not isinstance(text, str):
        raise unsound(f"a choice whose text is {type(text).__name__}")
    return text


def reason_of(choice: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether the model ended, and whether it ran into a limit: of tokens or of the context."""
    reason = choice.get("finish_reason")
    ended, limited = reason in ENDS, reason == "length"
    if not ended and not limited:
        raise unsound(f"a reply that ended by {reason!r}")
    return ended, limited


def usage_of(reply: Mapping[str, Any]) -> tuple[int, int, int | None]:
    """Prompt tokens, new tokens, and cached tokens of the prompt, as the server counted.

    Raises:
        AskAgain: it did not count.
    """
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        raise unsound("a reply without usage")
    prompt, made = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not _is_count(prompt) or not _is_count(made):
        raise unsound(f"a usage of {prompt!r} prompt and {made!r} completion tokens")
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return prompt, made, cached if _is_count(cached) else None


def checked_ids(values: Any, made: int) -> list[int]:
    """Token ids, as many as the server counted.

    Raises:
        AskAgain: they are none, or others.
    """
    if not isinstance(values, list) or not all(map(_is_count, values)):
        raise unsound("a reply without token ids")
    if len(values) != made:
        raise unsound(f"{len(values)} token ids for {made} tokens counted")
    return values


def legacy_logprobs(given: Any, tokens: int, k: int) -> Logprobs | None:
    """Log-probabilities as `{token_logprobs, top_logprobs}`; None where not of T tokens."""
    if not isinstance(given, dict):
        return None
    chosen, tops, pieces = (
        given.get(name) for name in ("token_logprobs", "top_logprobs", "tokens")
    )
    if not isinstance(chosen, list) or not isinstance(tops, list) or not isinstance(pieces, list):
        return None
    named = [[*top.items()] if isinstance(top, dict) else [] for top in tops]
    return _logprobs([*zip(pieces, chosen, strict=False)], named, tokens, k)


def listed_logprobs(given: Any, ids: Sequence[int], k: int) -> Logprobs | None:
    """Log-probabilities as `{content: [{id, logprob, top_logprobs}]}`; None where of other tokens.

    Tokens at the end that are not in the text have none.
    """
    content = _content(given)
    said = [c.get("id") for c in content if isinstance(c, dict)]
    if not said or said != ids[: len(said)] or len(said) != len(content):
        return None
    tops = [
        [_named(t) for t in c.get("top_logprobs") or () if isinstance(t, dict)] for c in content
    ]
    return _logprobs([_named(c) for c in content], tops, len(said), k)


def _named(token: Mapping[str, Any]) -> tuple[Any, Any]:
    return token.get("token"), token.get("logprob")


def _logprobs(
    chosen: Sequence[tuple[Any, Any]],
    tops: Sequence[Sequence[tuple[Any, Any]]],
    tokens: int,
    k: int,
) -> Logprobs | None:
    """Of tokens by text and log-probability; None where they are not T tokens with numbers.

    Args:
        chosen: `[T]` those that were drawn.
        tops: `[T]` the likeliest of each.
    """
    every = (*chosen, *(named for top in tops for named in top))
    sound = all(
        isinstance(text, str) and isinstance(v, float | int) and v <= _ROUNDING for text, v in every
    )
    if len(chosen) != tokens or len(tops) != tokens or not sound:
        return None
    top = np.full((tokens, k), -np.inf, np.float32)
    closing = np.full(tokens, -np.inf, np.float32)
    for i, (one, named) in enumerate(zip(chosen, tops, strict=True)):
        kept = sorted((value for _, value in named), reverse=True)[:k]
        top[i, : len(kept)] = np.maximum(kept, _LEAST_LOGPROB)
        if (ends := dict([*named, one]).get(END_OF_THINKING)) is not None:
            closing[i] = max(ends, _LEAST_LOGPROB)
    drawn = np.array([value for _, value in chosen], np.float64)
    return Logprobs(
        np.maximum(drawn, _LEAST_LOGPROB).astype(np.float32),
        top,
        closing,
        tuple(text for text, _ in chosen),
    )


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS
