"""How many branches at once collecting goes on with: `make bench`, with nothing else running.

A scripted server in a process of its own takes as long for many requests as for one.
"""

import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autotts import collect
from autotts.inference import Patience, connect

TESTS = Path(__file__).parent.parent / "tests"
INTERVAL = 100


def serve(pipe: Any, seconds: float) -> None:
    """The scripted server, until it is told to end; then it says how many were running at most."""
    sys.path.insert(0, str(TESTS))
    from model_server import serving

    with serving("vllm", reply_seconds=seconds, keep=False) as server:
        pipe.send(server.url)
        pipe.recv()
        pipe.send((server.most_running, server.tokens))


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The pipe to a server, and its address; it takes as many seconds as a test says, or one."""
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    process = context.Process(target=serve, args=(other, getattr(request, "param", 1.0)))
    process.start()
    yield pipe, pipe.recv()
    process.join(10)


async def generate(url: str, requests: int, at_once: int) -> float:
    """A plain load generator on open connections; gives requests a second."""
    host, port = url.removeprefix("http://").split(":")
    left = requests

    async def worker() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection(host, int(port))
        while left > 0:
            left -= 1
            body = json.dumps(
                {"model": "toy", "prompt": [50] * 150, "max_tokens": INTERVAL, "seed": left}
            ).encode()
            head = f"POST /v1/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            said = await reader.readuntil(b"\r\n\r\n")
            length = int(said.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            json.loads(await reader.readexactly(length))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return requests / (time.perf_counter() - began)


async def gather(url: str, out: Path, branches: int, at_once: int) -> float:
    """Collect without probes; gives intervals a second, once connected."""
    items = [collect.Item("0", "how many are there?", "19")]
    plan = collect.Plan(
        model="toy", dataset="bench", branches=branches, interval=INTERVAL, max_tokens=1000,
        prompt="{question}", probe="",
    )  # fmt: skip
    server = await connect(url, at_once=at_once, patience=Patience(timeout_seconds=60))
    try:
        began = time.perf_counter()
        _, collection = await collect.collect(plan, items, [server], out, at_once=at_once)
        seconds = time.perf_counter() - began
    finally:
        await server.aclose()
    found = collection.collected
    assert len(found.finished) == branches
    assert found.failed == {}
    return sum(len(ended.ends) for ended in found.finished.values()) / seconds


@pytest.mark.parametrize("served", [3.0], indirect=True)
def test_two_thousand_branches_at_once(served, tmp_path: Path, benchmark) -> None:
    """One process goes on with 2,000 branches side by side, and every one of them ends."""
    pipe, url = served
    collecting = gather(url, tmp_path, 2_000, 2_000)
    rate = benchmark.pedantic(asyncio.run, (collecting,), rounds=1)
    pipe.send("end")
    # The last may come after the first are done, on a machine that is loaded.
    assert pipe.recv()[0] > 1_800
    benchmark.extra_info["intervals/s"] = round(rate)


def test_beside_a_load_generator(served, tmp_path: Path, benchmark) -> None:
    """Both keep 128 requests at a server that takes a second for each."""
    pipe, url = served
    plain = asyncio.run(generate(url, 512, 128))
    rate = benchmark.pedantic(asyncio.run, (gather(url, tmp_path, 256, 128),), rounds=1)
    pipe.send("end")
    assert pipe.recv()[0] == 128
    benchmark.extra_info["share of a plain load generator"] = round(rate / plain, 2)
