"""How many branches at once collecting goes on with: `make bench`, with nothing else running.

A scripted server in a process of its own takes as long for many requests as for one.
"""

import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from autotts import collect
from autotts.inference import Patience, connect

TESTS = Path(__file__).parent.parent / "tests"
INTERVAL = 100
SUFFIX = "\nSo the answer is"


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


async def generate(url: str, chains: Sequence[int], at_once: int) -> float:
    """A plain load generator on open connections; gives seconds.

    Args:
        chains: requests that follow one another, as the intervals of a branch do; the next worker
            that is free takes the next chain, as collecting does.
    """
    host, port = url.removeprefix("http://").split(":")
    left = deque(chains)

    async def worker() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while left:
            for k in range(left.popleft()):
                body = json.dumps(
                    {
                        "model": "toy", "prompt": [50] * (40 + k * INTERVAL),
                        "max_tokens": INTERVAL, "seed": k, "return_token_ids": True,
                    }
                ).encode()  # fmt: skip
                head = f"POST /v1/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                said = await reader.readuntil(b"\r\n\r\n")
                length = int(said.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                json.loads(await reader.readexactly(length))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return time.perf_counter() - began


async def gather(
    url: str, out: Path, branches: int, at_once: int, probe: str = "", watch: Any = None
) -> tuple[float, collect.Collection]:
    """Collect; gives seconds from the first request to the store on the disk, once connected."""
    items = [collect.Item("0", "how many are there?", "19")]
    plan = collect.Plan(
        model="toy", dataset="bench", branches=branches, interval=INTERVAL, max_tokens=1000,
        prompt="{question}", probe=probe,
    )  # fmt: skip
    server = await connect(url, at_once=at_once, patience=Patience(timeout_seconds=60))
    try:
        began = time.perf_counter()
        _, collection = await collect.collect(
            plan, items, [server], out, at_once=at_once, watch=watch
        )
        seconds = time.perf_counter() - began
    finally:
        await server.aclose()
    found = collection.collected
    assert len(found.finished) == branches
    assert found.failed == {}
    return seconds, collection


def chains_of(collection: collect.Collection) -> list[int]:
    """Intervals of each branch, in the order in which branches were begun."""
    return [len(ended.ends) for _, ended in sorted(collection.collected.finished.items())]


@pytest.mark.parametrize("served", [3.0], indirect=True)
def test_two_thousand_branches_at_once(served, tmp_path: Path, benchmark) -> None:
    """One process goes on with 2,000 branches side by side, and every one of them ends."""
    pipe, url = served
    collecting = gather(url, tmp_path, 2_000, 2_000)
    seconds, collection = benchmark.pedantic(asyncio.run, (collecting,), rounds=1)
    pipe.send("end")
    # The last may come after the first are done, on a machine that is loaded.
    assert pipe.recv()[0] > 1_800
    benchmark.extra_info["intervals/s"] = round(sum(chains_of(collection)) / seconds)


def test_beside_a_load_generator(served, tmp_path: Path, benchmark) -> None:
    """Both keep 128 requests at a server that takes a second for each, the same ones in the same
    order, so both have the same end when fewer are left; and what probes add to that."""
    pipe, url = served
    branches = int(os.environ.get("AUTOTTS_COLLECT_BRANCHES", "256"))
    collecting = gather(url, tmp_path / "plain", branches, 128)
    seconds, collection = benchmark.pedantic(asyncio.run, (collecting,), rounds=1)
    plain = asyncio.run(generate(url, chains_of(collection), 128))
    probed, with_probes = asyncio.run(gather(url, tmp_path / "probed", branches, 128, SUFFIX))
    pipe.send("end")
    assert pipe.recv()[0] == 128
    found = with_probes.collected
    benchmark.extra_info["share of a plain load generator"] = round(plain / seconds, 3)
    benchmark.extra_info["seconds with probes"] = round(probed / seconds, 3)
    benchmark.extra_info["requests with probes"] = round(
        1 + found.probes / sum(chains_of(with_probes)), 3
    )


@pytest.mark.parametrize("served", [0.0], indirect=True)
def test_memory_is_flat(served, tmp_path: Path, benchmark) -> None:
    """A branch that ended is a few hundred bytes, whatever its text; `AUTOTTS_COLLECT_BRANCHES`."""
    pipe, url = served
    branches = int(os.environ.get("AUTOTTS_COLLECT_BRANCHES", "200"))
    page, seen = os.sysconf("SC_PAGE_SIZE"), []

    def watch(watched: collect.Watched) -> None:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * page
        seen.append((len(watched.collected.finished), resident))

    collecting = gather(url, tmp_path, branches, 64, SUFFIX, watch)
    benchmark.pedantic(asyncio.run, (collecting,), rounds=1)
    pipe.send("end")
    pipe.recv()
    warm = next(resident for done, resident in seen if done >= branches // 4)
    grown = seen[-1][1] - warm
    benchmark.extra_info["bytes a branch"] = round(grown / (0.75 * branches))
    assert grown < 16 << 20
