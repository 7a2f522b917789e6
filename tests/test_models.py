"""A model's server, by what one call comes to."""

import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chat_server as served
from autotts.discovery.explorers import models
from autotts.discovery.explorers.models import Asked, Outcome, Price, Request, usage_of
from autotts.errors import SpecError

pytest.importorskip("httpx2", reason="the extra `explorers` is not installed")

KEY = "sk-a-key-that-must-not-be-written"
ASKED = Asked((("user", "hi " * 300),), 1_000, None, 1)
USAGE = {"prompt_tokens": 100, "completion_tokens": 20}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def ask(*script: served.Step, asked: Asked = ASKED, **request: Any) -> tuple[Outcome, list[Any]]:
    """What the last of as many calls comes to as the script has steps, and the bodies sent."""
    with served.serving(*script) as server:
        model = models.openai_model(Request("m", server.url, **{"timeout_seconds": 5.0, **request}))
        for _ in script:
            outcome = model.send(asked)
        return outcome, [body for _, body in server.requests]


@pytest.mark.parametrize(
    ("step", "kind", "detail"),
    [
        (served.completes("Yes."), "answered", ""),
        (served.completes("Yes.", reason="length"), "cut", "length limit"),
        (served.completes("Ye", reason="content_filter"), "filtered", "filter"),
        (served.completes("", reason="tool_calls"), "empty", "tool_calls"),
        (served.completes("", refusal="I can't."), "empty", "I can't."),
        (served.sends(b'{"choices": []}'), "empty", ""),
        (served.sends(b""), "unreadable", "it is empty"),
        (served.sends(b"<html><style>a{}</style><h1>Gateway</h1></html>"), "unreadable", "Gateway"),
        (served.sends(b'{"error": {"message": "slow", "code": 429}}'), "busy", "slow"),
        (served.sends(b'{"error": {"message": "slow", "code": "429"}}'), "busy", "slow"),
        (served.sends(b'{"error": {"message": "who?", "code": 401}}'), "refused", "who?"),
        (served.sends(b'data: {"error": {"message": "oops"}}\n\n'), "failed", "oops"),
        (served.sends(b"[" * 100_000), "unreadable", "[["),
        (served.fails(500, "oops"), "failed", "HTTP 500: oops"),
        (served.fails(429, "slow"), "busy", "slow"),
        (served.fails(401, "who?"), "refused", "HTTP 401: who?"),
        (served.fails(404, "no such model"), "refused", "/v1/chat/completions"),
        (served.fails(400, "maximum context length is 4096 tokens"), "refused", "4096"),
        (served.hangs, "timeout", "in time"),
        (served.resets, "disconnected", ""),
        (served.stops_short, "disconnected", "ended before"),
    ],
)
def test_how_a_call_ended(step: served.Step, kind: str, detail: str) -> None:
    outcome, bodies = ask(step, timeout_seconds=0.5)
    assert outcome.kind == kind
    assert detail in outcome.detail
    assert len(bodies) == 1
    unpaid = kind in ("busy", "failed", "refused")
    assert (usage_of(outcome, ASKED, None).tokens == 0) == unpaid


def test_an_error_page_is_told_without_its_markup() -> None:
    def page(handler: served.Handler) -> None:
        handler.begin(502, "text/html")
        handler.wfile.write(b"<html><head><title>Bad Gateway</title></head>\n<hr></html>")

    assert ask(page)[0].detail == "HTTP 502: Bad Gateway"


def test_what_is_spent_is_no_reason_to_ask_again() -> None:
    def spent(handler: served.Handler) -> None:
        handler.begin(429, "application/json")
        error = {"message": "You exceeded your quota", "code": "insufficient_quota"}
        handler.wfile.write(json.dumps({"error": error}).encode())

    assert ask(spent)[0].kind == "refused"


def test_a_reply_that_is_all_thinking_is_the_reply() -> None:
    """But not where the thinking was cut: what is there is a draft."""
    assert ask(served.completes("", reasoning_content="Yes."))[0].text == "Yes."
    cut = ask(served.completes("", reasoning_content="Perhaps", reason="length"))[0]
    assert (cut.kind, cut.text) == ("cut", "")
    assert usage_of(cut, ASKED, None).output_tokens == 3


@pytest.mark.parametrize(
    ("usage", "given", "made"),
    [
        (USAGE, 100, 20),
        (None, ASKED.input_tokens, 2),
        ({"total_tokens": 5}, ASKED.input_tokens, 2),
        ({"prompt_tokens": None, "completion_tokens": 20}, ASKED.input_tokens, 20),
        ({"prompt_tokens": 100}, 100, 2),
        ({"prompt_tokens": 0, "completion_tokens": 0}, ASKED.input_tokens, 2),
        ({"prompt_tokens": -5, "completion_tokens": -(10**9)}, ASKED.input_tokens, 2),
        ({"prompt_tokens": 10**15, "completion_tokens": 1e300}, ASKED.input_tokens, 2),
    ],
)
def test_tokens_that_were_not_counted_are_estimated(usage: Any, given: int, made: int) -> None:
    outcome, _ = ask(served.completes("Yes..", usage))
    spent = usage_of(outcome, ASKED, Price(input=1, output=2))
    assert (spent.input_tokens, spent.output_tokens) == (given, made)
    assert spent.usd == (given + 2 * made) / 1e6
    assert outcome.reported == (usage == USAGE)


def test_an_estimate_keeps_to_the_limit_that_was_sent() -> None:
    outcome, _ = ask(served.completes("Yes. " * 10_000))
    assert usage_of(outcome, ASKED, None).output_tokens == ASKED.max_tokens


def test_fields_that_the_server_refuses_are_left_out_from_then_on() -> None:
    step = served.forbids(served.completes("Yes.", USAGE), "seed", "stream_options", "stream")
    outcome, bodies = ask(step, step)
    assert outcome.kind == "answered"
    assert outcome.left_out == ()
    assert [sorted(body) for body in bodies[3:]] == [["max_tokens", "messages", "model"]] * 2
    first, _ = ask(step)
    assert first.left_out == ("seed", "stream_options", "stream")


def test_a_server_that_names_one_of_the_fields_it_refuses_is_understood() -> None:
    def step(handler: served.Handler) -> None:
        unknown = {"seed", "stream_options"} & set(handler.server.requests[-1][1])
        refusal = served.fails(422, "stream_options: Extra inputs are not permitted")
        (refusal if unknown else served.completes("Yes."))(handler)

    outcome, bodies = ask(step)
    assert (outcome.kind, outcome.left_out) == ("answered", ("stream_options", "seed"))
    assert len(bodies) == 3


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        ("Unrecognized request argument supplied: seed", ("seed",)),
        ("property 'stream_options' is unsupported", ("stream_options",)),
        ("streaming is not supported", ("stream", "stream_options")),
        ("Unsupported value: 'temperature' does not support 0.5", ("temperature",)),
        ("temperature must be at most 0.3", None),
        ("please reduce max_tokens", None),
        ("no", None),
    ],
)
def test_the_field_is_found_in_the_servers_words(
    words: str, left_out: tuple[str, ...] | None
) -> None:
    asked = Asked(ASKED.messages, 1_000, 0.5, 1)

    def step(handler: served.Handler) -> None:
        gone = left_out and not set(left_out) & set(handler.server.requests[-1][1])
        (served.completes("Yes.") if gone else served.fails(400, words))(handler)

    outcome, bodies = ask(step, asked=asked)
    assert outcome.kind == ("answered" if left_out else "refused")
    assert len(bodies) == 1 + bool(left_out)


def test_the_other_name_of_the_limit_is_tried() -> None:
    words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."

    def step(handler: served.Handler) -> None:
        old = "max_tokens" in handler.server.requests[-1][1]
        (served.fails(400, words) if old else served.completes("Yes."))(handler)

    outcome, bodies = ask(step)
    assert outcome.kind == "answered"
    assert bodies[-1]["max_completion_tokens"] == 1_000


def test_fields_can_be_left_out_and_added() -> None:
    extra = {"top_p": 0.9, "chat_template_kwargs": {"enable_thinking": False}}
    omit = frozenset({"seed", "stream", "max_tokens"})
    _, bodies = ask(served.completes("Yes."), omit=omit, extra=extra)
    assert sorted(bodies[0]) == ["chat_template_kwargs", "messages", "model", "top_p"]
    assert bodies[0]["top_p"] == 0.9


@pytest.mark.parametrize("value", ["7", "0", "-7", "1e400", "inf", "nan", "soon", ""])
def test_a_wait_that_is_asked_for_is_bounded(value: str) -> None:
    wait = ask(served.fails(429, Retry_After=value))[0].retry_after
    assert wait == {"7": 7.0, "1e400": 120.0, "inf": 120.0}.get(value, 0.0)


def test_a_wait_may_be_a_date() -> None:
    for seconds, low, high in ((60, 50, 60), (9_999, 120, 120), (-60, 0, 0)):
        date = formatdate(time.time() + seconds, usegmt=True)
        wait = ask(served.fails(429, Retry_After=date))[0].retry_after
        assert low <= wait <= high


def test_the_key_is_kept_out_of_everything() -> None:
    outcome, _ = ask(served.completes(f"Your key is {KEY}."))
    assert outcome.text == "Your key is [OPENAI_API_KEY]."

    def moves(handler: served.Handler) -> None:
        handler.begin(302, "text/plain", Location=f"https://elsewhere.invalid/{KEY}")

    for step in (served.echoes_the_key, moves, served.sends(f"<p>{KEY}".encode())):
        outcome, _ = ask(step)
        assert KEY not in repr(outcome)
        assert "[OPENAI_API_KEY]" in outcome.detail


def test_a_key_that_is_a_word_spoils_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    assert ask(served.completes("none of them"))[0].text == "none of them"


def test_a_key_with_its_line_end_is_sent_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\r\n")
    with served.serving(served.completes("Yes.")) as server:
        models.openai_model(Request("m", server.url)).send(ASKED)
        assert server.requests[0][0]["authorization"] == f"Bearer {KEY}"
    monkeypatch.setenv("OPENAI_API_KEY", "clé-secrète")
    with pytest.raises(SpecError, match="OPENAI_API_KEY") as caught:
        models.openai_model(Request("m", "http://host/v1"))
    assert "secr" not in str(caught.value)


def test_the_address_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "localhost:8000/v1")
    with pytest.raises(SpecError, match="OPENAI_BASE_URL='localhost:8000/v1' has no scheme"):
        models.openai_model(Request("m"))


def test_a_limit_of_time_shortens_the_time_out() -> None:
    began = time.monotonic()
    asked = Asked(ASKED.messages, 10, None, 1, seconds=0.3)
    assert ask(served.hangs, asked=asked, timeout_seconds=60)[0].kind == "timeout"
    assert time.monotonic() - began < 2.5


def test_the_anthropic_api_is_spoken_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, end and counts from its events; an overloaded server is a failure that passes."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)

    def step(handler: served.Handler) -> None:
        handler.begin()
        usage = {"input_tokens": 70, "output_tokens": 1}
        message = {"type": "message", "role": "assistant", "content": [], "usage": usage}
        handler.event({"type": "message_start", "message": message}, "message_start")
        for text in ("Hel", "lo"):
            delta = {"type": "text_delta", "text": text}
            handler.event({"type": "content_block_delta", "delta": delta}, "content_block_delta")
        end = {"stop_reason": "max_tokens", "stop_sequence": None}
        body = {"type": "message_delta", "delta": end, "usage": {"output_tokens": 9}}
        handler.event(body, "message_delta")
        handler.event({"type": "message_stop"}, "message_stop")

    with served.serving(step, served.fails(529)) as server:
        model = models.anthropic_model(Request("c", server.url.removesuffix("/v1")))
        outcome = model.send(ASKED)
        assert model.send(ASKED).kind == "failed"
        headers, body = server.requests[0]
    assert (outcome.kind, outcome.text) == ("cut", "Hello")
    assert (outcome.input_tokens, outcome.output_tokens) == (70, 9)
    assert headers["x-api-key"] == KEY
    assert sorted(body) == ["max_tokens", "messages", "model", "stream"]


@pytest.fixture(scope="module")
def noise() -> Any:
    """A server that answers with whatever it is told to."""
    told: list[served.Step] = [served.fails(500)]
    with served.serving(lambda handler: told[0](handler)) as server:
        yield told, server.url


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from([200, 201, 204, 301, 400, 418, 422, 429, 500, 599]),
    st.binary(max_size=60) | st.text(max_size=60).map(str.encode),
    st.sampled_from(["", "gzip", "deflate", "br", "odd"]),
)
def test_no_response_raises(noise: Any, status: int, body: bytes, coding: str) -> None:
    told, url = noise

    def step(handler: served.Handler) -> None:
        handler.begin(status, "text/event-stream", Content_Encoding=coding, Retry_After=coding)
        handler.wfile.write(body)

    told[0] = step
    outcome = models.openai_model(Request("m", url, 2.0)).send(ASKED)
    assert outcome.kind not in ("answered", "cut")
    assert json.loads(json.dumps(outcome.record(), allow_nan=False)) == outcome.record()
    assert usage_of(outcome, ASKED, None).tokens >= 0
