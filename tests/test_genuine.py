"""With a genuine server and a genuine language model; skipped where `make live` was not run.

It reads 50 tokens a second on two busy cores, so few branches are collected here; `AUTOTTS_FULL=1`
collects 16 of twice as many questions, killed five times, and looks at their majority too. In CI
`test_genuine_tiny.py` has the numbers.
"""

import asyncio
import json
import os
import random
import sys
import time
from typing import Any

import numpy as np

import genuine
from autotts import collect, stores
from autotts.inference import Sampling, Server, connect, examine, joined
from autotts.inference.server import GREEDY

SUMS = {
    "12 + 13": 25, "22 + 14": 36, "31 + 15": 46, "9 + 8": 17, "18 - 5": 13, "45 - 11": 34,
    "3 * 5": 15, "7 * 2": 14, "50 + 27": 77, "16 + 12": 28, "8 * 3": 24, "29 - 6": 23,
}  # fmt: skip
PROMPT = """Q: What is 14 + 25?
A: 14 + 20 = 34. 34 + 5 = 39. The answer is 39.
Q: What is 37 - 12?
A: 37 - 10 = 27. 27 - 2 = 25. The answer is 25.
Q: What is 6 * 4?
A: 6 + 6 + 6 + 6 = 24. The answer is 24.
Q: What is 23 + 41?
A: 23 + 40 = 63. 63 + 1 = 64. The answer is 64.
Q: What is {question}?
A:"""
FULL = bool(os.environ.get("AUTOTTS_FULL"))
BRANCHES, KILLS = (16, 5) if FULL else (2, 1)
INTERVAL, AT_ONCE = 8, 4  # each slot of the server reads the examples of the prompt for itself


def test_its_intervals_are_exact_and_its_cache_is_kept(smol):
    async def run() -> dict[str, Any]:
        server = await connect(smol)
        try:
            return {found.what: found for found in await examine(server)}
        finally:
            await server.aclose()

    found = asyncio.run(run())
    for what in ("token ids", "intervals", "cache of prefixes", "log-probabilities"):
        assert found[what].good, found[what]


def test_intervals_begin_and_end_inside_a_character(smol):
    """Characters of two to four bytes, cut at every token and at some; nothing is asked twice."""

    async def run() -> list[str]:
        server: Server = await connect(smol)
        try:
            prompt = await server.encode("你好😀é你好😀é你好", special=False)
            retried = dict(server.tally.retried)
            texts = []
            for interval in (1, 2, 15):
                context, text = prompt, ""
                while left := len(prompt) + 15 - len(context):
                    decoded = await server.decode(
                        context, max_tokens=min(interval, left), sampling=GREEDY, seed=1
                    )
                    context, text = joined(context, decoded.content), text + decoded.text
                texts.append(text)
            assert server.tally.retried == retried
            return texts
        finally:
            await server.aclose()

    texts = asyncio.run(run())
    assert len(set(texts)) == 1, texts
    assert "😀" in texts[0]
    assert "\N{REPLACEMENT CHARACTER}" not in texts[0]


def test_what_is_cancelled_stops_within_a_second(smol):
    """Quiet; ten times as long where the machine is loaded."""

    async def run() -> float:
        server: Server = await connect(smol)
        try:
            prompt = await server.encode("Once upon a time", special=True)
            sampling = Sampling(temperature=1.0)
            tasks = [
                asyncio.create_task(
                    server.decode(prompt, max_tokens=900, sampling=sampling, seed=seed)
                )
                for seed in range(8)
            ]
            await asyncio.sleep(1)
            for task in tasks:
                task.cancel()
            began = time.monotonic()
            while genuine.busy(smol):
                await asyncio.sleep(0.02)
            return time.monotonic() - began
        finally:
            await server.aclose()

    assert asyncio.run(run()) < 10


def test_collected_killed_and_resumed(smol, tmp_path):
    """No gap, no duplicate, and no token paid twice, as the server itself counts."""
    questions, out, prompt = tmp_path / "sums.jsonl", tmp_path / "out", tmp_path / "prompt.txt"
    rows = [json.dumps({"question": q, "answer": a}) for q, a in SUMS.items()][:: 1 if FULL else 2]
    questions.write_text("\n".join(rows))
    branches = len(rows) * BRANCHES
    prompt.write_text(PROMPT)
    asked = [
        sys.executable, "-m", "autotts", "collect", "--server", smol, "--questions", questions,
        "--out", out, "--prompt", prompt, "--no-chat", "--stop", "\n", "--probe", " The answer is",
        "--probe-tokens", 4, "--probe-stop", ".", "--interval", INTERVAL, "--max-tokens", 48,
        "--temperature", 0.7, "--branches", BRANCHES, "--at-once", AT_ONCE, "--resume",
    ]  # fmt: skip
    journal = collect.journal_path(out / "smol" / "sums")
    kills = random.Random(5).sample(range(branches, 3 * branches), KILLS)
    before = genuine.metric(smol, "tokens_predicted_total")
    genuine.killed_and_resumed(asked, journal, kills)
    paid = genuine.metric(smol, "tokens_predicted_total") - before

    found = collect.read_collected(journal)
    assert len(found.finished) == branches
    assert found.begun == found.failed == {}
    assert len(found.servers) == KILLS + 1
    assert found.decoded <= paid <= found.decoded + KILLS * AT_ONCE * INTERVAL

    store = stores.check(out / "smol" / "sums")
    right = store.correct.mean()
    assert 0 < right < 0.6
    if FULL:
        majorities = [np.bincount(finals).argmax() for finals in store.pool.finals]
        assert 0.05 < right < 0.5
        assert np.mean(majorities == store.gold) >= right
