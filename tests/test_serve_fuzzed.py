"""What a service says to any request, of those that its own description allows or does not."""

import asyncio
import logging

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from autotts.serve.deployment import ServiceLimits
from scripted_branches import ScriptedBranches
from toy_service import serving

KEY = "sk-of-a-client-3141592653"
LIMITS = ServiceLimits(branch_tokens=60, total_tokens=600, branches=8, requests=8, waiting=100)
ANSWERING = ["/v1/chat/completions", "/v1/completions", "/v1/responses"]
READING = ["/v1/models", "/v1/models/{model}", "/health", "/metrics"]

load_all_checks()
CONFORMS = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
        "ignored_auth",
    ]
)


@pytest.fixture(scope="module")
def keyed():
    """Where a service is that asks for a key."""
    with serving(ScriptedBranches(), keys=[KEY], limits=LIMITS) as address:
        yield address


@pytest.fixture(scope="module")
def described(keyed):
    return schemathesis.openapi.from_url(f"{keyed}/openapi.json")


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        (path, mode)
        for path in ANSWERING + READING
        for mode in GenerationMode
        if (path, mode) != ("/health", GenerationMode.NEGATIVE)  # nothing of it can be wrong
    ],
)
def test_any_request_gets_what_the_description_promises(described, keyed, path, mode):
    """Statuses that are listed and errors of OpenAI's form; never a 500, and never the key."""
    method = "POST" if path in ANSWERING else "GET"

    @settings(
        max_examples=20 if method == "POST" else 5,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def ask(case):
        reply = case.call(base_url=keyed, headers={"Authorization": f"Bearer {KEY}"})
        case.validate_response(reply, checks=CONFORMS)
        assert KEY not in reply.text

    ask()


def asked_of(mark):
    """Requests with a mark in all that is the client's; some are refused, and may repeat it."""
    text = f"What is 6 times 7, {mark}?"
    chat = {"messages": [{"role": "user", "content": text}], "user": mark, "beta": 0}
    return [
        ("/v1/chat/completions", chat),
        ("/v1/chat/completions", {**chat, "stream": True, "progress": "trace"}),
        ("/v1/chat/completions", {**chat, "model": mark}),
        ("/v1/chat/completions", {**chat, "tools": [{"type": mark}]}),
        ("/v1/completions", {"prompt": [text, mark], "stop": mark, "beta": 0}),
        ("/v1/completions", {"prompt": text, "controller": mark}),
        ("/v1/completions", {"prompt": text, "answers": {"type": "json", "field": mark}}),
        ("/v1/completions", {"prompt": {"text": text}}),
        ("/v1/responses", {"input": text, "metadata": {"of": mark}, "beta": 0}),
    ]


def test_nothing_of_a_request_is_in_the_log_or_in_the_reply_to_another(keyed):
    told = []
    hearing = logging.Handler()
    hearing.emit = lambda record: told.append(f"{record.getMessage()} {vars(record)}")
    loggers = [logging.getLogger(name) for name in ("autotts", "autotts.serve", "uvicorn")]
    levels = [log.level for log in loggers]

    async def run():
        async with httpx2.AsyncClient(timeout=60) as client:
            marks = [f"mark{k:04d}end" for k in range(6)]
            asked = [(mark, *one) for mark in marks for one in asked_of(mark)]
            headers = {"Authorization": f"Bearer {KEY}"}
            posts = [
                client.post(keyed + path, json=body, headers=headers) for _, path, body in asked
            ]
            return marks, [mark for mark, _, _ in asked], await asyncio.gather(*posts)

    try:
        for log in loggers:
            log.addHandler(hearing)
            log.setLevel(logging.DEBUG)
        marks, own, replies = asyncio.run(run())
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.removeHandler(hearing)
            log.setLevel(level)
    assert {reply.status_code for reply in replies} == {200, 400, 404}
    for mark, reply in zip(own, replies, strict=True):
        said = reply.text + str(reply.headers)
        assert [other for other in marks if other in said and other != mark] == []
        assert KEY not in said
    assert any("answered" in line for line in told)
    assert [line for line in told if "mark0" in line or KEY in line] == []
