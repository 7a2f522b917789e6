"""Spans for OpenTelemetry: a request, its episode, the episode's rounds, and what they decode.

```text
POST /v1/chat/completions          where the client sent a traceparent, in its trace
  episode                          controller, beta, answered or not, tokens, branches
    round: branch | continue | ... how many branches
      decode, probe                what a server was asked: tokens asked for, made, read, cached
```

No span has a prompt, a text or an answer: they are the client's. Where spans go is said by the
variables of OpenTelemetry, such as OTEL_EXPORTER_OTLP_ENDPOINT.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from autotts import control
from autotts.errors import SpecError
from autotts.inference.server import Context, Decoded, Server
from autotts.live import ActionRequest, Trajectories
from autotts.serve.answering import Answer, Answering, Progress
from autotts.serve.wish import Wish

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer, TracerProvider

_ACTIONS = {
    control.BRANCH: "branch",
    control.CONTINUE: "continue",
    control.FINISH: "finish",
    control.PROBE: "probe",
    control.PRUNE: "prune",
}

_MISSING = 'spans need OpenTelemetry: pip install "autotts[otel]"'

Asgi = Callable[[Any, Any, Any], Any]
"""An application: scope, receive, send."""


def exporting() -> "TracerProvider":
    """What sends spans as the variables of OpenTelemetry say; its `shutdown` sends the last ones.

    Raises:
        SpecError: it is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SpecError(_MISSING) from error
    # The name is OTEL_SERVICE_NAME's, if that is given.
    provider = TracerProvider(resource=Resource.create({"service.name": "autotts"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class TracedServer:
    """A `Server` whose decodes and probes are spans; all else is the server's own."""

    def __init__(self, server: Server, tracer: "Tracer") -> None:
        self._server, self._tracer = server, tracer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    async def decode(self, context: Context, **asked: Any) -> Decoded:
        return await self._spanned("decode", asked["max_tokens"], context, **asked)

    async def probe(self, context: Context, suffix: Context, **asked: Any) -> Decoded:
        return await self._spanned("probe", asked["max_tokens"], context, suffix, **asked)

    async def _spanned(self, name: str, most: int, *given: Context, **asked: Any) -> Decoded:
        from opentelemetry.trace import SpanKind

        about = {
            "gen_ai.request.model": self._server.model,
            "gen_ai.request.max_tokens": most,
            "server.address": self._server.address,
        }
        with self._tracer.start_as_current_span(
            name, kind=SpanKind.CLIENT, attributes=about
        ) as span:
            made: Decoded = await getattr(self._server, name)(*given, **asked)
            span.set_attributes(
                {
                    "gen_ai.usage.output_tokens": made.tokens,
                    "gen_ai.usage.input_tokens": made.prompt_tokens or 0,
                    "autotts.cached_tokens": made.cached_tokens or 0,
                    "autotts.ended": made.ended,
                }
            )
            return made


def traced_servers(servers: Sequence[Server], tracer: "Tracer") -> list[Server]:
    """The same servers, their decodes and probes as spans."""
    return [cast(Server, TracedServer(server, tracer)) for server in servers]


class TracedAnswering(Answering):
    """`Answering` whose episodes and rounds are spans."""

    def __init__(self, tracer: "Tracer", *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._tracer = tracer

    async def answer(
        self,
        upstream: int,
        prompt: Context,
        wish: Wish,
        on_progress: Callable[[Progress], None],
    ) -> Answer:
        about = {
            "gen_ai.request.model": self.deployment.name,
            "autotts.controller": wish.choice.controller,
            "autotts.beta": wish.choice.beta,
        }
        with self._tracer.start_as_current_span("episode", attributes=about) as span:
            answer = await super().answer(upstream, prompt, wish, on_progress)
            account = answer.account
            span.set_attributes(
                {
                    "autotts.stop_reason": account.stop_reason,
                    "autotts.branches": account.branches,
                    "autotts.pruned": account.pruned,
                    "autotts.rounds": account.rounds,
                    "autotts.vote_share": account.vote_share,
                    "gen_ai.usage.output_tokens": account.spent.decoded + account.spent.probed,
                    "gen_ai.usage.input_tokens": account.spent.prompt,
                }
            )
            return answer

    def _seen(self, trajectories: Trajectories) -> Trajectories:
        return _TracedRounds(trajectories, self._tracer)


class _TracedRounds:
    """`Trajectories` whose requests are spans."""

    def __init__(self, inner: Trajectories, tracer: "Tracer") -> None:
        self._inner, self._tracer = inner, tracer

    async def cover(self, request: ActionRequest) -> None:
        name = f"round: {_ACTIONS[request.kind]}"
        about = {"autotts.branches": len(request.ids), "autotts.probes": request.probe}
        with self._tracer.start_as_current_span(name, attributes=about):
            await self._inner.cover(request)


def traced_app(app: Asgi, tracer: "Tracer") -> Asgi:
    """An application whose requests are spans, in the trace of whoever sent them."""
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        about = {"http.request.method": scope["method"], "url.path": scope["path"][:80]}
        with tracer.start_as_current_span(
            f"{scope['method']} {scope['path'][:80]}", extract(headers),
            kind=SpanKind.SERVER, attributes=about,
        ) as span:  # fmt: skip

            async def telling(message: Any) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await app(scope, receive, telling)

    return traced
