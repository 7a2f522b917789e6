"""What chat servers send, in every shape that has been seen, and some that have not."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotts.discovery.explorers.completions import Completion, complaint, read_completion


def stream(*records: Any, end: str = "\n\n", start: str = "data: ") -> bytes:
    texts = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records]
    return "".join(f"{start}{text}{end}" for text in texts).encode()


def chunk(content: Any = None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}]
    } | more


END = chunk(None, "stop")
TEXT = {"type": "text", "text": "Yes."}
THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
MESSAGE = {"role": "assistant", "content": "Yes."}
WHOLE = {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    "body",
    [
        stream(chunk("Y"), chunk("es."), END, "[DONE]"),
        stream(chunk("Yes."), END),
        stream(chunk("Yes."), END, end="\r\n\r\n"),
        stream(chunk("Yes."), END, end="\r\r"),
        stream(chunk("Yes."), END, end="\n"),
        stream(chunk("Yes."), END, start="data:"),
        stream(chunk("Yes."), END, start="event: message\nid: 4\nretry: 5\ndata: "),
        b": keep-alive\n\n" + stream(chunk("Yes."), END),
        b"\xef\xbb\xbf" + stream(chunk("Yes."), END),
        stream(chunk("Yes."), END)[:-2],
        stream("data", chunk("Yes."), "{no JSON", END),
        stream({"type": "ping"}, [1], "null", chunk("Yes."), END),
        stream(json.dumps(chunk("Yes."), indent=1).replace("\n", "\ndata: "), END),
        stream(chunk([TEXT]), chunk([THINKING]), END),
        stream(chunk([THINKING, TEXT]), END),
        stream(chunk(TEXT), END),
        stream(chunk(["Y", "es."]), END),
        stream(
            {"choices": []}, {"choices": None}, chunk("Yes."), END, {"choices": [], "usage": {}}
        ),
        stream({"choices": [{"delta": None}]}, chunk("Yes."), END),
        stream({"choices": [{"index": 1, "delta": {"content": "No."}}]}, chunk("Yes."), END),
        stream({"choices": [{"text": "Yes.", "finish_reason": "stop"}]}),
        stream(chunk("Ye"), chunk("s."), WHOLE),
        stream(chunk("Yes.", error=None), END),
        stream(WHOLE, "[DONE]"),
        json.dumps(WHOLE).encode(),
        json.dumps([WHOLE], indent=2).encode(),
        stream(
            {"message": {"content": "Ye"}}, {"message": {"content": "s."}}, END, start="", end="\n"
        ),
    ],
)
def test_a_reply_is_read_however_it_is_sent(body: bytes) -> None:
    said = read_completion(body)
    assert said.text == "Yes."
    assert said.error == ""
    assert said.reason == "stop" or said.ended


def test_thinking_is_told_apart_under_every_name() -> None:
    for name in ("reasoning_content", "reasoning"):
        delta = {"content": None, name: "Hm."}
        said = read_completion(stream({"choices": [{"delta": delta}]}, chunk("Yes."), END))
        assert (said.thinking, said.text) == ("Hm.", "Yes.")
    said = read_completion(stream(chunk([THINKING, TEXT]), END))
    assert (said.thinking, said.text) == ("Hm.", "Yes.")


def test_characters_that_came_apart_are_joined() -> None:
    halves = [chunk("a\ud83d"), chunk("\ude00b"), chunk("\ud83d")]
    body = "".join(f"data: {json.dumps(half)}\n\n" for half in halves).encode()
    assert read_completion(body).text == "a\U0001f600b\ufffd"


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3}, (7, 3)),
        ({"prompt_tokens": 7.0, "completion_tokens": 0}, (7, 0)),
        ({"input_tokens": 7, "output_tokens": 3}, (7, 3)),
        ({"prompt_tokens": None, "completion_tokens": 3}, (None, 3)),
        ({"total_tokens": 10}, (None, None)),
        ({"prompt_tokens": -7, "completion_tokens": "3"}, (None, None)),
        ({"prompt_tokens": True, "completion_tokens": 2.5}, (None, None)),
        ({"prompt_tokens": [], "completion_tokens": {}}, (None, None)),
        (None, (None, None)),
        ("many", (None, None)),
        ([1, 2], (None, None)),
    ],
)
def test_only_counts_count(usage: Any, counts: tuple[int | None, int | None]) -> None:
    said = read_completion(stream(chunk("Yes."), END, {"choices": [], "usage": usage}))
    assert (said.input_tokens, said.output_tokens) == counts
    infinite = b'data: {"usage": {"prompt_tokens": Infinity, "completion_tokens": NaN}}\n\n'
    assert read_completion(infinite).input_tokens is None


@pytest.mark.parametrize(
    ("body", "error", "code"),
    [
        (b'{"error": {"message": "slow down", "code": 429}}', "slow down", "429"),
        (b'{"error": "slow down"}', "slow down", ""),
        (b'{"object": "error", "message": "slow down", "code": 429}', "slow down", "429"),
        (b'{"detail": "slow down"}', "slow down", ""),
        (b'{"message": "slow down"}', "slow down", ""),
        (stream({"error": {"message": "slow down", "type": "busy"}}), "slow down", "busy"),
        (stream({"message": "slow down"}, start="event: error\ndata: "), "slow down", ""),
        (stream("slow down", start="event: error\ndata: "), "slow down", ""),
        (stream(chunk("Ye"), {"error": {"message": "slow down"}}), "slow down", ""),
        (
            stream({"type": "error", "error": {"type": "overloaded", "message": "slow down"}}),
            "slow down", "overloaded error",
        ),
        (b'{"error": {"error": {"error": {"error": {"error": 1}}}}}', '{"error": 1}', ""),
    ],
)  # fmt: skip
def test_what_the_server_says_of_an_error_is_kept(body: bytes, error: str, code: str) -> None:
    said = read_completion(body)
    assert said.error == error
    assert set(code.split()) <= set(said.code.split())


def test_errors_of_validators_name_the_field() -> None:
    item = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}
    for record in ({"detail": [item]}, {"object": "error", "message": {"detail": [item]}}):
        assert complaint(record)[0] == "body.seed: Extra inputs"


def test_messages_of_the_anthropic_api() -> None:
    usage = {"input_tokens": 70, "output_tokens": 1}
    message = {"type": "message", "content": [], "stop_reason": None, "usage": usage}
    events = [
        {"type": "ping"},
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "Hm."}},
        {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "x"}},
        {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Yes."}},
    ]
    begun = read_completion(stream(*events))
    assert (begun.text, begun.thinking, begun.input_tokens, begun.output_tokens) == (
        "Yes.", "Hm.", 70, None,
    )  # fmt: skip
    last = {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}
    said = read_completion(stream(*events, last | {"usage": {"output_tokens": 9}}))
    assert (said.reason, said.output_tokens) == ("max_tokens", 9)
    whole = {**message, "content": [THINKING, TEXT], "stop_reason": "end_turn"}
    said = read_completion(json.dumps(whole).encode())
    assert (said.text, said.reason, said.output_tokens) == ("Yes.", "end_turn", 1)


FIELDS = st.sampled_from(
    ["choices", "delta", "message", "content", "text", "type", "usage", "error", "index", "code",
     "finish_reason", "prompt_tokens", "reasoning", "detail", "loc", "refusal", "stop_reason"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["thinking", "message_start", "content_block_delta", "message", "error"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(VALUES, max_size=4), st.sampled_from(["data: ", "", "event: error\ndata: "]))
def test_no_json_is_too_odd(records: list[Any], start: str) -> None:
    said = read_completion(stream(*(json.dumps(r) for r in records), start=start))
    assert isinstance(said, Completion)
    json.dumps([said.text, said.thinking, said.reason, said.error, said.code]).encode()
    for count in (said.input_tokens, said.output_tokens):
        assert count is None or (type(count) is int and count >= 0)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_are_too_odd(noise: bytes, at: int) -> None:
    """Noise in the middle of a reply, which may end anywhere."""
    body = stream(chunk("Yes."), END)
    read_completion(body[:at] + noise + body[at:])
    read_completion(body[:at])


@pytest.mark.parametrize(
    "piece", [b"\n", b"\r", b"data: ", b"data:\n", b"[", b'{"error":', b"data: {}\n\n"]
)
def test_no_body_takes_long_to_read(piece: bytes) -> None:
    began = time.process_time()
    read_completion(piece * (2_000_000 // len(piece)))
    assert time.process_time() - began < 5
