"""A service over a model that is made up, on a socket of its own, and how it is asked."""

import asyncio
import contextlib
import socket
import threading

import httpx2
import uvicorn

from autotts import programs
from autotts.collect import TokenPrices
from autotts.inference.server import Sampling
from autotts.serve.answering import Answering
from autotts.serve.app import Service
from autotts.serve.deployment import Deployment, ServiceLimits
from autotts.serve.listening import listening_config

QUESTION = [{"role": "user", "content": "What is 6 times 7?"}]


def deployment(server, **more):
    more.setdefault("limits", ServiceLimits(branch_tokens=400, branches=32, requests=4, waiting=4))
    controllers = more.pop("controllers", {"cmc": "cmc", "short-mk": "short-mk"})
    specs = {name: programs.parse(spec) for name, spec in controllers.items()}
    return Deployment(
        name="toy",
        upstreams=server if isinstance(server, list) else [server],
        controllers=more.pop("specs", specs),
        interval=10,
        sampling=Sampling(),
        prices=TokenPrices(prompt=1.0, decoded=10.0),
        **more,
    )


@contextlib.contextmanager
def serving(
    server,
    *,
    keys=(),
    passed_on=None,
    keep_alive_seconds=10.0,
    body_seconds=60.0,
    head_seconds=30.0,
    page="",
    traces=None,
    traffic=None,
    **more,
):
    """The address of a service on a socket of its own."""
    service = Service(
        Answering(deployment(server, **more), traces=traces, traffic=traffic),
        keys=keys,
        passed_on=passed_on,
        keep_alive_seconds=keep_alive_seconds,
        body_seconds=body_seconds,
        page=page,
    )
    upstreams = service.deployment.upstreams
    with listening_to(service.asgi, upstreams, head_seconds=head_seconds) as address:
        yield address


@contextlib.contextmanager
def listening_to(asgi, upstreams=(), *, head_seconds=30.0):
    """The address of an application; servers that it used are closed after it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1024)  # here, so that whoever has the address can connect at once
        config = listening_config(asgi, head_seconds=head_seconds, lifespan="auto")
        runner = uvicorn.Server(config)

        async def run():
            await runner.serve(sockets=[listening])
            for upstream in upstreams:
                await upstream.aclose()

        thread = threading.Thread(target=lambda: asyncio.run(run()))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            runner.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


def post(address, path="/v1/chat/completions", headers=None, **body):
    body.setdefault(
        "messages" if "chat" in path else "prompt", QUESTION if "chat" in path else "6*7"
    )
    return httpx2.post(address + path, json=body, headers=headers or {}, timeout=30)
