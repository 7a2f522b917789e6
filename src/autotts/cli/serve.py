"""Serving a model under a controller."""

import asyncio
import contextlib
import gc
import ipaddress
import json
import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.asking import drawing
from autotts.cli.screen import say
from autotts.errors import SpecError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from autotts.answers.reader import AnswerReader
    from autotts.inference import Sampling, Server
    from autotts.programs import Spec
    from autotts.serve.app import Service
    from autotts.serve.formats import Format, Kind

KEYS = "AUTOTTS_KEYS"
_DRAIN_SECONDS = 30
_USUAL_THRESHOLDS = gc.get_threshold()
"""Of this Python, before `main` raises them."""
_ATTEMPTS = 5
"""How often an upstream is asked before it counts as failing: 8 seconds, for a client waits."""
_PLAIN: "dict[str, Kind]" = {
    "math": "math",
    "choice": "choice",
    "last_line": "last_line",
    "text": "text",
}


@drawing
def serve(
    upstream: Annotated[
        list[str],
        typer.Option(
            help="Address of a model server to send requests to. Give the option several times to"
            " share requests among servers."
        ),
    ],
    controller: options.Controllers,
    sampling: "Sampling",
    model: Annotated[
        str,
        typer.Option(
            help="Name of the model on the upstream servers. You need it where they serve more"
            " than one."
        ),
    ] = "",
    beta: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="How much to spend on requests that set no beta of their own, from 0 (least) to"
            " 1 (most).",
        ),
    ] = 0.5,
    host: Annotated[str, typer.Option(help="Address that the server listens on.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port that the server listens on; 0 picks a free one."),
    ] = 8080,
    interval: Annotated[
        int,
        typer.Option(
            min=1,
            help="Tokens that each branch decodes between two decisions of the controller. Use"
            " the interval of the store that the controller was found on.",
        ),
    ] = 500,
    branches: Annotated[
        int, typer.Option(min=1, help="Most branches that one request may open.")
    ] = 64,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Most tokens that one branch may decode.")
    ] = 32_768,
    max_total_tokens: Annotated[
        int,
        typer.Option(
            min=0,
            help="Most tokens that all branches of one request may decode together; 0 sets no"
            " limit.",
        ),
    ] = 0,
    deadline: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds after which a request is answered with the best vote so far; 0 sets no"
            " limit.",
        ),
    ] = 0.0,
    requests: Annotated[
        int, typer.Option(min=1, help="Most requests that are answered at the same time.")
    ] = 64,
    waiting: Annotated[
        int,
        typer.Option(
            min=0,
            help="Most further requests that wait in line. Clients beyond them are told when to"
            " retry.",
        ),
    ] = 256,
    answers: Annotated[
        str,
        typer.Option(
            help="How to find the answer in a branch's text: math, choice, json:FIELD,"
            " regex:PATTERN, last_line or text."
        ),
    ] = "math",
    probes: Annotated[
        bool,
        typer.Option(
            help="Ask branches for their answer so far whenever the controller wants to know it."
        ),
    ] = True,
    price_read: Annotated[
        float,
        typer.Option(
            min=0,
            help="Price of a million prompt tokens, in any currency; replies and metrics tell"
            " costs in it.",
        ),
    ] = 0.0,
    price_written: Annotated[
        float, typer.Option(min=0, help="Price of a million decoded tokens, in the same currency.")
    ] = 0.0,
    pass_through: Annotated[
        bool,
        typer.Option(
            "--pass-through",
            help="Pass requests for tools, images, several choices or schemas on to the upstream"
            " untouched, instead of refusing them.",
        ),
    ] = False,
    traces: Annotated[
        Path | None,
        typer.Option(
            help="Write a trace of each request to this folder: what its branches answered and"
            " when, but no prompt and no text. `autotts view` shows the traces."
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            help="Folder to record traffic in: what branches answered and how long they were, no"
            " prompt and no text. `autotts data traffic` makes a store of it, for `autotts drift`."
        ),
    ] = None,
    record_prompts: Annotated[
        bool, typer.Option("--record-prompts", help="With --record: keep questions too, as text.")
    ] = False,
    record_megabytes: Annotated[
        int,
        typer.Option(min=1, help="With --record: most of the disk; older requests make room."),
    ] = 64,
    otel: Annotated[
        bool,
        typer.Option(
            "--otel",
            help="Send spans to OpenTelemetry: of requests, rounds and decodes, without prompts and"
            " texts. OTEL_EXPORTER_OTLP_ENDPOINT says where to.",
        ),
    ] = False,
    playground: Annotated[
        bool,
        typer.Option(
            help="Serve a page at / where you can ask questions, move beta and watch the branches."
        ),
    ] = True,
    unsafe: options.Unsafe = False,
) -> None:
    """Serve a model under a controller, behind an OpenAI-compatible endpoint.

    Clients choose how much to spend with the field `beta`, the header X-AutoTTS-Beta, or the model
    name (NAME@CONTROLLER:BETA). If AUTOTTS_KEYS holds keys, one a line, clients must send one of
    them. OPENAI_API_KEY is sent to the upstream servers. docs/serve.md describes the rest.
    """
    from autotts.collect import TokenPrices
    from autotts.inference import Patience, connected
    from autotts.inference.address import read_key
    from autotts.play.page import build
    from autotts.serve.answering import Answering
    from autotts.serve.app import Service
    from autotts.serve.deployment import Deployment, ServiceLimits
    from autotts.serve.passing import PassedOn
    from autotts.serve.telemetry import TracedAnswering, exporting, traced_servers
    from autotts.serve.traffic import TrafficJournal

    options.check_folder("--traces", traces)
    options.check_folder("--record", record)
    if record is None and record_prompts:
        raise SpecError("--record-prompts needs --record FOLDER, where they are kept")
    keys = os.environ.get(KEYS, "").split()
    _require_private(host, keys)
    controllers = _controllers(controller)
    limits = ServiceLimits(
        branch_tokens=max_tokens,
        total_tokens=max_total_tokens,
        seconds=deadline,
        branches=branches,
        requests=requests,
        waiting=waiting,
    )
    how = _format(answers)
    key = read_key("OPENAI_API_KEY", "serve")
    spans = exporting() if otel else None
    tracer = spans.get_tracer("autotts") if spans is not None else None

    async def run() -> None:
        async with connected(upstream, model, patience=Patience(attempts=_ATTEMPTS)) as servers:
            _say_what_they_give(servers, controllers)
            deployment = Deployment(
                name=servers[0].model,
                upstreams=servers if tracer is None else traced_servers(servers, tracer),
                controllers=controllers,
                beta=beta,
                interval=interval,
                sampling=sampling,
                answers=how,
                probes=probes,
                prices=TokenPrices(prompt=price_read, decoded=price_written),
                limits=limits,
            )
            traffic = None
            if record is not None:
                traffic = TrafficJournal(
                    record, prompts=record_prompts, most_bytes=record_megabytes << 20
                )
            kind = Answering if tracer is None else partial(TracedAnswering, tracer)
            answering = kind(deployment, unsafe=unsafe, traces=traces, traffic=traffic)
            passed_on = (
                [PassedOn(server.address, key) for server in servers] if pass_through else None
            )
            page = build("served", "autotts serve") if playground else ""
            service = Service(answering, keys=keys, passed_on=passed_on, page=page)
            await _listen(service, host, port, tracer)

    try:
        asyncio.run(run())
    finally:
        if spans is not None:
            spans.shutdown()


def _say_what_they_give(servers: "Sequence[Server]", controllers: "Mapping[str, Spec]") -> None:
    """Say how each upstream is spoken to, and which signals it lacks that controllers read."""
    from autotts.programs.needs import needs_of
    from autotts.serve.answering import signals_read

    for server in servers:
        how_exact = "exact" if server.can.exact else "by text, tokens as it counts them"
        say(f"{server.address}: {server.model}, {server.dialect}, {how_exact}")
        for name, spec in controllers.items():
            read = needs_of(spec.source).signals
            if missing := read.difference(signals_read(spec.source, server)):
                say(f"  it gives no {', '.join(sorted(missing))}, which {name} reads")


async def _listen(service: "Service", host: str, port: int, tracer: "Tracer | None") -> None:
    import uvicorn

    from autotts.serve.listening import listening_config
    from autotts.serve.telemetry import traced_app

    _log_as_json()
    config = listening_config(
        service.asgi if tracer is None else traced_app(service.asgi, tracer),
        host=host,
        port=port,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    _collect_what_requests_leave()
    with contextlib.closing(config.bind_socket()) as listening:
        listening.listen(config.backlog)  # before anybody is told the address
        at = listening.getsockname()
        deployment = service.deployment
        names = ", ".join(deployment.controllers)
        say(
            f"serving {deployment.name} under {names} at http://{host}:{at[1]}/v1  (Ctrl-C ends it)"
        )
        await uvicorn.Server(config).serve(sockets=[listening])


def _collect_what_requests_leave() -> None:
    """Look for garbage as often as Python does, among what comes from now on.

    Other commands hardly ever do. A service lives long, and each client that leaves early leaves
    circles of objects with the buffers of its branches.
    """
    gc.freeze()
    gc.set_threshold(*_USUAL_THRESHOLDS)


def _require_private(host: str, keys: Sequence[str]) -> None:
    """Raises SpecError if anybody could ask."""
    try:
        private = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        private = False
    if not private and not keys:
        raise SpecError(
            f"--host {host} can be reached from elsewhere, and no key is asked for: put keys for"
            f" clients into {KEYS}, one a line, or leave --host at 127.0.0.1"
        )


def _controllers(given: Sequence[str]) -> "dict[str, Spec]":
    """Controllers by the names that clients call them: SPECs, programs, or a run's best."""
    from autotts import programs

    found: dict[str, Spec] = {}
    for text in given:
        best = Path(text) / "best.py"
        spec = programs.parse(str(best) if best.is_file() else text)
        if spec.entry:
            raise SpecError(f"{text}: a program of the released code can't be served")
        name = Path(text).name if best.is_file() else spec.name
        if name in found:
            raise SpecError(f"two controllers are called {name}; serve them one at a time")
        found[name] = spec
    return found


def _format(text: str) -> "Format | AnswerReader":
    from autotts import plugins
    from autotts.answers.reader import installed_reader
    from autotts.serve.formats import Format

    kind, _, rest = text.partition(":")
    try:
        if kind == "json":
            return Format("json", field=rest)
        if kind == "regex":
            return Format("regex", pattern=rest)
        if kind in _PLAIN and not rest:
            return Format(_PLAIN[kind])
    except ValueError as error:
        raise SpecError(f"--answers {text}: {error}") from error
    if text in (installed := plugins.names(plugins.READERS)):
        return installed_reader(text)
    own = f", or one that is installed: {', '.join(installed)}" if installed else ""
    raise SpecError(
        f"--answers {text}: need math, choice, json:FIELD, regex:PATTERN, last_line or text{own}"
    )


class _AsJson(logging.Formatter):
    """A record a line; what was given as `extra` beside the message."""

    _OWN = frozenset(vars(logging.makeLogRecord({})))

    def format(self, record: logging.LogRecord) -> str:
        said = {"time": self.formatTime(record), "level": record.levelname.lower()}
        said["event"] = record.getMessage()
        said |= {key: value for key, value in vars(record).items() if key not in self._OWN}
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


def _log_as_json() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_AsJson())
    log = logging.getLogger("autotts.serve")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
