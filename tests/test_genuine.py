"""With a genuine server and a genuine language model; skipped where `make live` was not run."""

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autotts
import genuine
from autotts import collect, stores
from autotts.inference import Sampling, Server, connect, examine

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
BRANCHES, INTERVAL, AT_ONCE, KILLS = 16, 8, 16, 5


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        try:
            served = stack.enter_context(genuine.serving(slots=AT_ONCE))
        except genuine.NotToBeHad as error:
            pytest.skip(str(error))
        yield served


def test_its_intervals_are_exact_and_its_cache_is_kept(url):
    async def run() -> dict[str, Any]:
        server = await connect(url)
        try:
            return {found.what: found for found in await examine(server)}
        finally:
            await server.aclose()

    found = asyncio.run(run())
    for what in ("token ids", "intervals", "cache of prefixes", "log-probabilities"):
        assert found[what].good, found[what]


def test_what_is_cancelled_stops_within_a_second(url):
    """Quiet; ten times as long where the machine is loaded."""

    async def run() -> float:
        server: Server = await connect(url)
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
            while genuine.metric(url, "requests_processing") + genuine.metric(
                url, "requests_deferred"
            ):
                await asyncio.sleep(0.02)
            return time.monotonic() - began
        finally:
            await server.aclose()

    assert asyncio.run(run()) < 10


def lines_of(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def test_collected_killed_five_times_and_resumed(url, tmp_path):
    """No gap, no duplicate, and no token paid twice, as the server itself counts."""
    questions, out, prompt = tmp_path / "sums.jsonl", tmp_path / "out", tmp_path / "prompt.txt"
    rows = [json.dumps({"question": q, "answer": a}) for q, a in SUMS.items()]
    questions.write_text("\n".join(rows))
    prompt.write_text(PROMPT)
    asked = [
        sys.executable, "-m", "autotts", "collect", "--server", url, "--questions", questions,
        "--out", out, "--prompt", prompt, "--no-chat", "--stop", "\n", "--probe", " The answer is",
        "--probe-tokens", 4, "--probe-stop", ".", "--interval", INTERVAL, "--max-tokens", 48,
        "--temperature", 0.7, "--branches", BRANCHES, "--at-once", AT_ONCE, "--resume",
    ]  # fmt: skip
    journal = collect.journal_path(out / "smol" / "sums")
    before = genuine.metric(url, "tokens_predicted_total")
    for lines in sorted(random.Random(5).sample(range(40, 900), KILLS)):
        process = subprocess.Popen([*map(str, asked)], stderr=subprocess.DEVNULL)
        while lines_of(journal) < lines and process.poll() is None:
            time.sleep(0.02)
        process.kill()
        process.wait()
    ran = subprocess.run([*map(str, asked)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    paid = genuine.metric(url, "tokens_predicted_total") - before

    found = collect.read_collected(journal)
    assert len(found.finished) == len(SUMS) * BRANCHES
    assert found.begun == found.failed == {}
    assert len(found.servers) == KILLS + 1
    assert found.decoded <= paid <= found.decoded + KILLS * AT_ONCE * INTERVAL

    store = stores.check(out / "smol" / "sums")
    right = store.correct.mean()
    majorities = [np.bincount(finals).argmax() for finals in store.pool.finals]
    assert 0.05 < right < 0.5
    assert np.mean(majorities == store.gold) >= right
    # From 4 branches to all 16, where every further one costs what it is.
    curves = autotts.evaluate(store, ["sc", "short-mk"], betas=[0, 0.1, 0.2]).frame()
    for _, curve in curves.group_by("controller"):
        tokens = curve.sort("beta")["tokens"].to_list()
        assert tokens == sorted(tokens)
        assert tokens[0] < 0.5 * tokens[-1]
        # As JSON has it, rounded to hundredths.
        assert tokens[-1] <= store.pool.tokens.sum(axis=1).mean() + 0.01
