"""What a service costs beside decoding: many requests at once, rounds of many branches.

The upstream is made up and answers at once, so all that is measured is ours: admission, the pool,
answers, the program, HTTP. `AUTOTTS_SOAK=600` goes on for so many seconds.
"""

import asyncio
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from autotts import live
from autotts.inference.branch import Decoding, ServedBranch
from autotts.inference.server import Sampling
from autotts.serve.deployment import ServiceLimits
from autotts.serve.formats import Format
from scripted_branches import ScriptedBranches
from toy_service import QUESTION, serving

SOAK_SECONDS = float(os.environ.get("AUTOTTS_SOAK", "0"))
AT_ONCE = 200


def rounds_of(width, rounds):
    """Play rounds of `width` branches over a server that answers at once; seconds of each."""
    server = ScriptedBranches(longest=6000)
    pool = live.GrowingPool(branches=width, intervals=rounds + 9, interval=10, log_words=1 << 20)
    how = Format()
    seconds = []

    def solve(env, p):
        env.branch(width, probe=False)
        for _ in range(rounds):
            began = time.perf_counter()
            env.advance(env.active(), probe=False)
            seconds.append(time.perf_counter() - began)
        return env.vote()

    async def play():
        prompt = await server.encode("6*7?")
        trajectories = live.ServedTrajectories(
            server, lambda i: ServedBranch(prompt, (1, i)), pool, live.Reading(of=how.read),
            Decoding(10, 10 * pool.intervals, Sampling()),
        )  # fmt: skip
        program = live.InThisProcess(SimpleNamespace(solve=solve), {}, pool)
        await live.play(program, pool, trajectories)

    asyncio.run(play())
    return seconds


def direct(width, rounds):
    """The same decodes, asked for side by side without an episode; seconds of each round."""
    server = ScriptedBranches(longest=6000)
    seconds = []

    async def ask():
        contexts = [await server.encode(f"6*7?\n#{i} ") for i in range(width)]
        for _ in range(rounds):
            began = time.perf_counter()
            decoded = await asyncio.gather(
                *(
                    server.decode(context, max_tokens=10, sampling=Sampling(), seed=i)
                    for i, context in enumerate(contexts)
                )
            )
            seconds.append(time.perf_counter() - began)
            contexts = [c + d.content for c, d in zip(contexts, decoded, strict=True)]

    asyncio.run(ask())
    return seconds


@pytest.mark.parametrize("width", [1, 64])
def test_a_round_costs_little_beside_decoding(benchmark, width):
    def overhead():
        mine = statistics.median(rounds_of(width, 30))
        return mine - statistics.median(direct(width, 30))

    found = benchmark.pedantic(lambda: [overhead() for _ in range(3)], rounds=1)
    milliseconds = 1e3 * statistics.median(found)
    benchmark.extra_info["overhead_ms"] = milliseconds
    if benchmark.enabled:
        print(f"\n{width} branches: {milliseconds:.2f} ms a round over direct calls")
        assert milliseconds <= (1 if width == 1 else 10)


def test_many_requests_at_once_are_all_answered(benchmark):
    """200 requests at once with 8 branches each, again and again; memory stays where it was."""
    server = ScriptedBranches(seconds=0.002)
    limits = ServiceLimits(branch_tokens=400, branches=8, requests=AT_ONCE, waiting=AT_ONCE)

    async def storm(address, seconds):
        answered, peaks = 0, []
        until = time.monotonic() + seconds
        room = httpx2.Limits(max_connections=AT_ONCE)
        async with httpx2.AsyncClient(timeout=120, limits=room) as client:

            async def one(seed):
                asked = {"messages": QUESTION, "seed": seed}
                reply = await client.post(f"{address}/v1/chat/completions", json=asked)
                assert reply.status_code == 200
                assert reply.json()["usage"]["autotts"]["branches"] == 8

            while True:
                # The same seeds each time: the same work, so that memory can be compared.
                await asyncio.gather(*(one(seed) for seed in range(AT_ONCE)))
                answered += AT_ONCE
                peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
                if time.monotonic() > until and len(peaks) >= 3:
                    return answered, peaks

    controllers = {"race-prune": "race-prune:width=8"}
    with serving(server, limits=limits, controllers=controllers) as address:
        answered, peaks = benchmark.pedantic(
            lambda: asyncio.run(storm(address, SOAK_SECONDS)), rounds=1
        )
    assert server.running == 0
    growth = peaks[-1] - peaks[len(peaks) // 3]
    benchmark.extra_info |= {"answered": answered, "growth_mib": growth}
    tenths = [f"{peaks[len(peaks) * tenth // 10]:.0f}" for tenth in range(10)]
    print(f"\n{answered} requests answered, {growth:.1f} MiB more than at a third of the way")
    print(f"MiB at most, by tenths of the way: {', '.join(tenths)}, {peaks[-1]:.0f}")
    assert growth < 8 if SOAK_SECONDS else growth < 32
