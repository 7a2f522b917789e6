"""How fast collecting is, and with how many branches at once: `make bench`, with nothing else
running.

A scripted server in a process of its own takes as long for many requests as for one. A genuine one,
skipped where `make live` was not run, shares the machine with whoever asks it.
"""

import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from autotts import collect
from autotts.inference import Patience, connect, connected
from autotts.inference.branch import seed_of

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))
import genuine  # noqa: E402

INTERVAL = 100
SUFFIX = "\nSo the answer is"


def serve(pipe: Any, seconds: float) -> None:
    """The scripted server, until it is told to end; then it says how many were running at most."""
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


async def generate(url: str, chains: Sequence[Sequence[dict[str, Any]]], at_once: int) -> float:
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
            for payload in left.popleft():
                body = json.dumps(payload).encode()
                head = (
                    f"POST /v1/completions HTTP/1.1\r\nhost: {host}\r\n"
                    f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                )
                writer.write(head.encode() + body)
                said = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(said.split(b"content-length: ")[1].split(b"\r\n")[0])
                json.loads(await reader.readexactly(length))
                if b"connection: close" in said:  # llama.cpp's does, after 100 requests
                    writer.close()
                    reader, writer = await asyncio.open_connection(host, int(port))
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
            plan, items, [server], out, collect.Session(at_once, watch=watch)
        )
        seconds = time.perf_counter() - began
    finally:
        await server.aclose()
    found = collection.collected
    assert len(found.finished) == branches
    assert found.failed == {}
    return seconds, collection


def turns_asked_for() -> int:
    """How often both are timed after a turn to warm up; 0 times that turn itself."""
    return int(os.environ.get("AUTOTTS_COLLECT_TURNS", "0"))


def told(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """What a benchmark tells of pairs of seconds: of a plain load generator, and of collecting."""
    return {
        "seconds of a plain load generator": [round(plain, 3) for plain, _ in pairs],
        "seconds": [round(ours, 3) for _, ours in pairs],
        "median share of a plain load generator": round(
            statistics.median(plain / ours for plain, ours in pairs), 3
        ),
    }


def lengths(collection: collect.Collection) -> list[int]:
    """Intervals of each branch, in the order in which branches were begun."""
    return [len(ended.ends) for _, ended in sorted(collection.collected.finished.items())]


def scripted_chains(collection: collect.Collection) -> list[list[dict[str, Any]]]:
    """As many requests as there were without probes: one for a branch."""
    said = {"model": "toy", "max_tokens": 1000, "return_token_ids": True, "prompt": [50] * 40}
    return [[{**said, "seed": k}] for k, _ in enumerate(lengths(collection))]


@pytest.mark.parametrize("served", [3.0], indirect=True)
def test_two_thousand_branches_at_once(served, tmp_path: Path, benchmark) -> None:
    """One process goes on with 2,000 branches side by side, and every one of them ends."""
    pipe, url = served
    collecting = gather(url, tmp_path, 2_000, 2_000)
    seconds, collection = benchmark.pedantic(asyncio.run, (collecting,), rounds=1)
    pipe.send("end")
    # The last may come after the first are done, on a machine that is loaded.
    assert pipe.recv()[0] > 1_800
    benchmark.extra_info["intervals/s"] = round(sum(lengths(collection)) / seconds)


def test_beside_a_load_generator(served, tmp_path: Path, benchmark) -> None:
    """Both keep 128 requests at a server that takes a second for each, the same ones in the same
    order, so both have the same end when fewer are left; and what probes add to that."""
    pipe, url = served
    branches = int(os.environ.get("AUTOTTS_COLLECT_BRANCHES", "256"))

    def turn(number: int) -> tuple[float, float]:
        out = tmp_path / f"{number}"
        seconds, collection = asyncio.run(gather(url, out, branches, 128))
        return asyncio.run(generate(url, scripted_chains(collection), 128)), seconds

    pairs = [benchmark.pedantic(turn, (0,), rounds=1)]
    pairs += [turn(number) for number in range(1, turns_asked_for() + 1)]
    few = min(branches, 128)
    probed, with_probes = asyncio.run(gather(url, tmp_path / "probed", few, few, SUFFIX))
    pipe.send("end")
    assert pipe.recv()[0] == 128
    found = with_probes.collected
    benchmark.extra_info.update(told(pairs[1:] or pairs))
    # A branch asks one request after the other, of one second each.
    most = max(2 * count - 1 for count in lengths(with_probes))
    benchmark.extra_info["seconds with probes, of those that its requests take"] = [
        round(probed, 3), most
    ]  # fmt: skip
    benchmark.extra_info["requests with probes"] = round(
        1 + found.probes / sum(lengths(with_probes)), 3
    )


SUMS = [(a, b) for a in range(5, 20, 2) for b in (2, 5, 8)]
TINY_INTERVAL, TINY_TOKENS, TINY_AT_ONCE = 16, 160, 32
HOW = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0}


async def gather_sums(url: str, out: Path, branches: int, probe: str = "") -> float:
    """Collect from the tiny model; gives seconds as `gather`."""
    items = [collect.Item(f"{a}+{b}", f"What is {a} + {b}?", str(a + b)) for a, b in SUMS]
    plan = collect.Plan(
        model="tiny", dataset="sums", branches=branches, interval=TINY_INTERVAL,
        max_tokens=TINY_TOKENS, prompt="{question}", probe=probe, probe_tokens=6, temperature=1.0,
        top_p=1.0,
    )  # fmt: skip
    async with connected([url], at_once=TINY_AT_ONCE, interruptible=False) as servers:
        began = time.perf_counter()
        await collect.collect(plan, items, servers, out, collect.Session(TINY_AT_ONCE))
        return time.perf_counter() - began


async def sums_generated(url: str, branches: int) -> float:
    """Ask for the same branches without collecting them; gives seconds."""
    async with connected([url]) as (server,):
        prompts = [list(await server.render([("user", f"What is {a} + {b}?")])) for a, b in SUMS]
    chains = [
        [
            {
                "model": "tiny", "prompt": prompt, "max_tokens": TINY_TOKENS,
                "seed": seed_of(0, f"{a}+{b}", n, 0), "return_tokens": True, "verbose": True, **HOW,
            }
        ]
        for (a, b), prompt in zip(SUMS, prompts, strict=True)
        for n in range(branches)
    ]  # fmt: skip
    return await generate(url, chains, TINY_AT_ONCE)


def test_beside_a_load_generator_on_a_genuine_server(tmp_path: Path, benchmark) -> None:
    """The same branches by the same seeds, in turns: `AUTOTTS_COLLECT_TURNS` after one to warm up.

    The server decodes on the same cores, so all that collecting computes is taken from it. Probes
    are timed on an eighth of the branches.
    """
    branches = int(os.environ.get("AUTOTTS_COLLECT_BRANCHES", "1"))

    def turn(url: str, number: int, branches: int) -> tuple[float, float]:
        out = tmp_path / f"{number}"
        plain = asyncio.run(sums_generated(url, branches))
        return plain, asyncio.run(gather_sums(url, out, branches))

    turns = turns_asked_for()
    try:
        with genuine.serving(genuine.TINY, slots=TINY_AT_ONCE) as url:
            few = max(1, branches // 8)
            pairs = [benchmark.pedantic(turn, (url, 0, few if turns else branches), rounds=1)]
            pairs += [turn(url, number, branches) for number in range(1, turns + 1)]
            without = asyncio.run(gather_sums(url, tmp_path / "few", few))
            suffix = collect.PROBE_SUFFIX
            probed = asyncio.run(gather_sums(url, tmp_path / "probed", few, suffix))
    except genuine.NotToBeHad as why:
        pytest.skip(str(why))
    benchmark.extra_info.update(told(pairs[1:] or pairs))
    benchmark.extra_info["seconds of a few without and with probes"] = [
        round(without, 3), round(probed, 3)
    ]  # fmt: skip


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

    def resident(least: int) -> int:
        return next(resident for done, resident in seen if done >= least)

    points = branches // 10, branches // 2, branches
    benchmark.extra_info["MiB at branches"] = {k: resident(k) >> 20 for k in points}
    grown = seen[-1][1] - resident(branches // 4)
    benchmark.extra_info["bytes a branch"] = round(grown / (0.75 * branches))
    assert grown < 16 << 20
