"""Spans of a service, by the genuine SDK of OpenTelemetry, kept in memory."""

import httpx2
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from autotts.serve.app import Service
from autotts.serve.telemetry import TracedAnswering, exporting, traced_app, traced_servers
from scripted_branches import ScriptedBranches
from toy_service import deployment, listening_to

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SECRET = "the owl is called Brunhild"


@pytest.fixture
def spans():
    return InMemorySpanExporter()


def asked(server, spans, **body):
    """The reply to a request of a service whose spans are kept."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracer = provider.get_tracer("autotts")
    answering = TracedAnswering(tracer, deployment(traced_servers([server], tracer)))
    service = Service(answering)
    with listening_to(traced_app(service.asgi, tracer)) as address:
        return httpx2.post(
            f"{address}/v1/chat/completions",
            json={"messages": [{"role": "user", "content": SECRET}], "seed": 3, **body},
            headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, timeout=30,
        )  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_its_episode_rounds_and_decodes_are_one_tree(spans, stream):
    assert asked(ScriptedBranches(), spans, stream=stream).status_code == 200
    found = spans.get_finished_spans()
    by_id = {one.context.span_id: one for one in found}
    assert {f"{one.context.trace_id:032x}" for one in found} == {TRACE}

    def parents(name):
        own = [one for one in found if one.name.startswith(name)]
        assert own
        return {by_id[one.parent.span_id].name.partition(":")[0] for one in own}

    (request,) = [one for one in found if one.kind is SpanKind.SERVER]
    assert request.name == "POST /v1/chat/completions"
    assert request.attributes["http.response.status_code"] == 200
    assert parents("episode") == {request.name}
    assert parents("round") == {"episode"}
    assert parents("decode") == parents("probe") == {"round"}


def test_tokens_of_decodes_add_up_and_no_span_has_a_text(spans):
    reply = asked(ScriptedBranches(), spans).json()
    found = spans.get_finished_spans()
    made = {
        name: sum(one.attributes["gen_ai.usage.output_tokens"] for one in found if one.name == name)
        for name in ("decode", "probe", "episode")
    }
    account = reply["usage"]["autotts"]
    assert made["decode"] + made["probe"] == made["episode"] == account["total_tokens"]
    (episode,) = [one for one in found if one.name == "episode"]
    assert episode.attributes["autotts.controller"] == "cmc"
    assert episode.attributes["autotts.rounds"] == account["rounds"]
    written = "".join(one.to_json() for one in found)
    assert "Brunhild" not in written
    assert "hm hm" not in written
    assert '"42"' not in written


def test_what_fails_is_an_error_in_its_span(spans):
    assert asked(ScriptedBranches(fails=1000), spans).status_code == 502
    failed = {
        one.name for one in spans.get_finished_spans() if one.status.status_code is StatusCode.ERROR
    }
    assert {"decode", "episode"} <= failed


def test_spans_are_sent_where_the_variables_say(spans, monkeypatch):
    """To a collector that only listens, as OTLP over HTTP, when the provider is shut down."""
    got = []

    async def collector(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        message = await receive()
        got.append((scope["path"], b"autotts" in message["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with listening_to(collector) as address:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        provider = exporting()
        provider.get_tracer("autotts").start_span("here").end()
        provider.shutdown()
    assert got == [("/v1/traces", True)]
