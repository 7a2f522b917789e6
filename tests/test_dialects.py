"""vLLM's and SGLang's completions, field by field: what is asked, and what of a reply is read.

The replies are written out as the servers' own sources have them (vLLM 0.33, SGLang 0.5.23; see
`design/serving.md`), with all fields, so that none is read that only our scripted server has.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

import model_server
from autotts.errors import ServerError
from autotts.inference import Sampling, Server, ids_of
from model_server import serving
from test_inference import using

PROMPT = [151644, 872, 198]

VLLM: dict[str, Any] = {
    "id": "cmpl-4f1c", "object": "text_completion", "created": 1764240000, "model": "toy",
    "choices": [
        {
            "index": 0, "text": " 4\n</think>",
            "logprobs": {
                "text_offset": [0, 2, 3],
                "token_logprobs": [-0.25, -1.5, -0.125],
                "tokens": [" 4", "\n", "</think>"],
                "top_logprobs": [
                    {" 4": -0.25, " 5": -1.75}, {"</think>": -0.5, "\n": -1.5},
                    {"</think>": -0.125, "\n\n": -2.5},
                ],
            },
            "finish_reason": "length", "stop_reason": None, "token_ids": [220, 198, 151668],
            "prompt_logprobs": None, "prompt_token_ids": PROMPT, "routed_experts": None,
        }
    ],
    "service_tier": None, "system_fingerprint": "vllm-0.33.0-tp1",
    "usage": {
        "prompt_tokens": 3, "total_tokens": 6, "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 2},
    },
    "kv_transfer_params": None,
}  # fmt: skip
SGLANG: dict[str, Any] = {
    "id": "5b1e", "object": "text_completion", "created": 1764240000, "model": "toy",
    "choices": [
        {
            "index": 0, "text": " 4\n</think>",
            "logprobs": {
                "text_offset": [-1, -1, -1],
                "token_logprobs": [-0.25, -1.5, -0.125],
                "tokens": [" 4", "\n", "</think>"],
                "top_logprobs": [
                    {" 4": -0.25, " 5": -1.75}, {"</think>": -0.5, "\n": -1.5},
                    {"</think>": -0.125, "\n\n": -2.5},
                ],
            },
            "finish_reason": "length", "matched_stop": None, "hidden_states": None,
            "token_ids": [220, 198, 151668], "prompt_token_ids": PROMPT,
        }
    ],
    "usage": {
        "prompt_tokens": 3, "total_tokens": 6, "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 2}, "reasoning_tokens": 0,
    },
    "metadata": {"weight_version": "default"},
}  # fmt: skip
REPLIES = {"vllm": VLLM, "sglang": SGLANG}
COMMON = {
    "model": "toy", "prompt": PROMPT, "max_tokens": 3, "temperature": 0.6, "top_p": 0.95,
    "min_p": 0.0, "seed": 7, "logprobs": 2, "return_token_ids": True, "skip_special_tokens": False,
}  # fmt: skip
OWN = {
    "vllm": {"top_k": 0, "add_special_tokens": False},
    "sglang": {"top_k": -1},
}
ID_FIELD = {"vllm": "request_id", "sglang": "rid"}
BOTH = pytest.mark.parametrize("dialect", REPLIES)


def asked(
    dialect: str, reply: dict[str, Any], *, logprobs: int = 2, again: bool = False
) -> tuple[Any, Any]:
    """What comes of one request that is answered by a reply, and its body."""

    async def use(server: Server) -> Any:
        assert server.dialect == dialect
        return await server.decode(
            ids_of(PROMPT), max_tokens=3, sampling=Sampling(), seed=7, logprobs=logprobs
        )

    replies = [model_server.sends(reply)] * (4 if again else 1)
    with serving(dialect, *replies) as server:
        return using(server, use), server.bodies()[-1]


@BOTH
def test_a_request_has_these_fields_and_no_others(dialect):
    _, body = asked(dialect, REPLIES[dialect])
    own = body.pop(ID_FIELD[dialect])
    assert len(own) > 32  # SGLang aborts by prefix: it must be nobody else's
    assert body == {**COMMON, **OWN[dialect]}


@BOTH
def test_every_field_of_a_reply_is_read_where_it_stands(dialect):
    decoded, _ = asked(dialect, REPLIES[dialect])
    assert decoded.content.tolist() == [220, 198, 151668]
    assert decoded.text == " 4\n</think>"
    assert (decoded.tokens, decoded.prompt_tokens, decoded.cached_tokens) == (3, 3, 2)
    assert not decoded.ended
    assert not decoded.cut
    assert decoded.logprobs.chosen.tolist() == [-0.25, -1.5, -0.125]
    assert decoded.logprobs.top.tolist() == [[-0.25, -1.75], [-0.5, -1.5], [-0.125, -2.5]]
    assert decoded.logprobs.closing.tolist() == [-np.inf, -0.5, -0.125]
    assert decoded.logprobs.pieces == (" 4", "\n", "</think>")


@BOTH
@pytest.mark.parametrize(
    ("details", "cached"), [(None, None), ({"cached_tokens": None}, None), ({}, None)]
)
def test_without_a_switch_of_the_server_nothing_is_known_of_its_cache(dialect, details, cached):
    """--enable-prompt-tokens-details and --enable-cache-report."""
    reply = copy.deepcopy(REPLIES[dialect])
    reply["usage"]["prompt_tokens_details"] = details
    assert asked(dialect, reply)[0].cached_tokens is cached


@BOTH
def test_an_end_token_is_in_the_ids_and_counted_and_not_in_the_text(dialect):
    reply = copy.deepcopy(REPLIES[dialect])
    choice = reply["choices"][0]
    choice |= {"finish_reason": "stop", "text": " 4\n", "token_ids": [220, 198, 151645]}
    choice["matched_stop" if dialect == "sglang" else "stop_reason"] = 151645
    decoded, _ = asked(dialect, reply)
    assert decoded.ended
    assert (decoded.tokens, decoded.content[-1], decoded.text) == (3, 151645, " 4\n")


@BOTH
def test_a_reply_that_ends_early_at_the_end_of_the_context_is_cut(dialect):
    reply = copy.deepcopy(REPLIES[dialect])
    choice = reply["choices"][0]
    choice |= {"text": " 4\n", "token_ids": [220, 198], "logprobs": None}
    reply["usage"] |= {"completion_tokens": 2, "total_tokens": 5}
    decoded, _ = asked(dialect, reply, logprobs=0)
    assert decoded.cut
    assert not decoded.ended


def _without(*path: Any) -> Callable[[dict[str, Any]], None]:
    def change(reply: dict[str, Any]) -> None:
        for name in path[:-1]:
            reply = reply[name]
        del reply[path[-1]]

    return change


def _with(value: Any, *path: Any) -> Callable[[dict[str, Any]], None]:
    def change(reply: dict[str, Any]) -> None:
        for name in path[:-1]:
            reply = reply[name]
        reply[path[-1]] = value

    return change


UNSOUND = {
    "no ids": _without("choices", 0, "token_ids"),
    "ids of none": _with(None, "choices", 0, "token_ids"),
    "an id fewer": _with([220, 198], "choices", 0, "token_ids"),
    "an id more": _with([220, 198, 1, 2], "choices", 0, "token_ids"),
    "an id that is none": _with([220, 198, -1], "choices", 0, "token_ids"),
    "no usage": _with(None, "usage"),
    "no count": _with(None, "usage", "completion_tokens"),
    "another prompt": _with(4, "usage", "prompt_tokens"),
    "more than asked for": _with(4, "usage", "completion_tokens"),
    "no text": _with(None, "choices", 0, "text"),
    "no choice": _with([], "choices"),
    "no end": _with(None, "choices", 0, "finish_reason"),
    "aborted": _with("abort", "choices", 0, "finish_reason"),
}


@BOTH
@pytest.mark.parametrize("name", UNSOUND)
def test_a_reply_that_does_not_add_up_is_never_data(dialect, name):
    reply = copy.deepcopy(REPLIES[dialect])
    UNSOUND[name](reply)
    with pytest.raises(ServerError, match="4 times"):
        asked(dialect, reply, again=True)


@BOTH
@pytest.mark.parametrize(
    "change",
    [
        _with(None, "choices", 0, "logprobs"),
        _with([-0.25, None, -0.125], "choices", 0, "logprobs", "token_logprobs"),
        _with(None, "choices", 0, "logprobs", "top_logprobs"),
        _without("choices", 0, "logprobs", "tokens"),
    ],
)
def test_log_probabilities_that_are_not_there_cost_no_interval(dialect, change):
    """They are extras: the interval is paid for, and is data without them."""
    reply = copy.deepcopy(REPLIES[dialect])
    change(reply)
    decoded, _ = asked(dialect, reply)
    assert decoded.logprobs is None
    assert decoded.tokens == 3


@BOTH
def test_a_prompt_is_written_by_the_servers_own_template(dialect):
    """/tokenize takes a conversation; vLLM's opens the model's turn only if it is told to."""

    async def use(server: Server) -> Any:
        return await server.render([("user", "hi")], {"enable_thinking": False})

    with serving(dialect) as server:
        ids = using(server, use)
        body = server.bodies("/tokenize")[-1]
    assert ids.tolist() == model_server.encode("hi" + model_server.PROMPT_END)
    own = {"vllm": {"add_generation_prompt": True}, "sglang": {"add_special_tokens": False}}
    assert body == {
        "model": "toy",
        "messages": [{"role": "user", "content": "hi"}],
        "chat_template_kwargs": {"enable_thinking": False},
        **own[dialect],
    }


ABORTS = {
    "vllm": ("/abort_requests", lambda own: {"request_ids": [own, f"cmpl-{own}-0"]}),
    "sglang": ("/abort_request", lambda own: {"rid": own}),
}


@BOTH
def test_what_is_cancelled_is_aborted_by_its_own_id(dialect):
    path, expected = ABORTS[dialect]

    async def use(server: Server) -> None:
        task: Awaitable[Any] = asyncio.create_task(
            server.decode(ids_of(PROMPT), max_tokens=300, sampling=Sampling(), seed=1)
        )
        await asyncio.sleep(0.2)
        task.cancel()  # type: ignore[attr-defined]
        await asyncio.gather(task, return_exceptions=True)

    with serving(dialect, token_seconds=0.05) as server:
        using(server, use)
        own = server.bodies()[-1][ID_FIELD[dialect]]
        # The first was to find out whether there is an endpoint, for a request that nobody sent.
        assert server.bodies(path)[1:] == [expected(own)]
        assert own not in str(server.bodies(path)[0])


@BOTH
def test_without_an_abort_endpoint_closing_is_all_there_is(dialect):
    """vLLM has one only if it was started with --enable-scale-out, or to be developed."""
    with serving(dialect, aborts=False) as server:
        can = using(server, lambda s: asyncio.sleep(0, s.can))
    assert can.aborts == ""
