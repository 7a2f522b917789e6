"""What a service makes of upstreams that fail, over servers of tests on real sockets."""

import asyncio
import random
import re

import httpx2
import pytest

import model_server
from autotts.inference import Capabilities, Patience
from autotts.inference.http import Client
from autotts.inference.vllm import VllmServer
from autotts.serve.deployment import ServiceLimits
from toy_service import QUESTION, serving

REQUESTS = 12
LIMITS = ServiceLimits(branch_tokens=400, branches=8, requests=8, waiting=REQUESTS)


def upstream(scripted, attempts=8):
    """The scripted server as a service asks it; bound to the service's own event loop."""
    patience = Patience(attempts=attempts, first_wait_seconds=0.01, longest_wait_seconds=0.05)
    able = Capabilities(exact=True, continues=True, renders=True)
    return VllmServer(Client(scripted.url, patience=patience), "toy", able)


async def slow(exchange):
    await asyncio.sleep(0.2)
    return False


async def well(exchange):
    return False


def asked(address, **more):
    """Many requests at once; their replies."""

    async def run():
        async with httpx2.AsyncClient(timeout=60) as client:
            posts = (
                client.post(
                    f"{address}/v1/chat/completions",
                    json={
                        "messages": QUESTION,
                        "seed": seed,
                        "controller": "sc",
                        "beta": 0,
                        **more,
                    },
                )
                for seed in range(REQUESTS)
            )
            return await asyncio.gather(*posts)

    return asyncio.run(run())


def served(servers):
    return serving(servers, controllers={"sc": "sc"}, probes=False, limits=LIMITS)


def test_resets_refusals_and_slow_replies_lose_no_request():
    """5 % each, of some hundreds; usage is as if there had been none."""
    chosen = random.Random(1)
    kinds = [model_server.resets, model_server.fails(503, retry_after="0.01"), slow, well]
    faults = chosen.choices(kinds, [5, 5, 5, 85], k=5_000)
    with model_server.serving("vllm") as scripted, served(upstream(scripted)) as address:
        sound = asked(address)
        scripted.faults = faults
        replies = asked(address)
        metrics = httpx2.get(f"{address}/metrics").text
    assert {reply.status_code for reply in replies} == {200}
    texts = [
        [r.json()["choices"][0]["message"]["content"] for r in given] for given in (sound, replies)
    ]
    assert texts[0] == texts[1]
    usages = [[r.json()["usage"] for r in given] for given in (sound, replies)]
    assert usages[0] == usages[1]
    assert len(faults) < 4_800  # of these more than 20 were faults
    assert "autotts_running 0.0" in metrics


def test_what_can_not_be_had_is_a_proper_error():
    broken = [model_server.fails(503)] * 5_000
    with (
        model_server.serving("vllm", *broken) as scripted,
        served(upstream(scripted, attempts=2)) as address,
    ):
        reply = httpx2.post(f"{address}/v1/chat/completions", json={"messages": QUESTION})
    assert reply.status_code == 502
    assert re.search("503.*2 times", reply.json()["error"]["message"])


@pytest.mark.parametrize("dead", [0, 1])
def test_an_upstream_that_dies_in_the_middle_costs_no_request(dead):
    """The others answer what it leaves, and it is left alone."""
    with model_server.serving("vllm") as one, model_server.serving("vllm") as other:
        both = [one, other]
        # It answers some, then resets all that it is asked.
        both[dead].faults = [well] * 12 + [model_server.resets] * 5_000
        with served([upstream(server, attempts=2) for server in both]) as address:
            replies = asked(address)
            before = len(both[dead].faults)
            more = asked(address)
    assert {reply.status_code for reply in (*replies, *more)} == {200}
    assert before < 5_000
    assert len(both[dead].faults) == before
    assert both[1 - dead].tokens > both[dead].tokens > 0


def test_requests_at_once_are_shared_out():
    with (
        model_server.serving("vllm", reply_seconds=0.01) as one,
        model_server.serving("vllm", reply_seconds=0.01) as other,
        served([upstream(one), upstream(other)]) as address,
    ):
        assert {reply.status_code for reply in asked(address)} == {200}
    assert 0.3 < one.tokens / (one.tokens + other.tokens) < 0.7
