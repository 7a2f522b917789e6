"""With a genuine server and a tiny Qwen3, for what needs numbers; skipped where there is none.

`AUTOTTS_FULL=1` collects 64 branches a question, and not 24.
"""

import asyncio
import json
import math
import os
import random
import sys

import httpx2
import numpy as np
import pytest

import autotts
import genuine
from autotts import collect, stores
from autotts.collect import journal as journals
from autotts.collect.questions import Item
from autotts.inference import connected

SUMS = [(a, b) for a in range(5, 20, 2) for b in (2, 5, 8)]
FULL = bool(os.environ.get("AUTOTTS_FULL"))
BRANCHES, INTERVAL, AT_ONCE, KILLS = 64 if FULL else 24, 16, 32, 5
SAMPLING = {"temperature": 1.0, "top_p": 1.0}


@pytest.fixture(scope="module")
def collected(tiny, tmp_path_factory):
    """The folder of a store of 24 questions, and what its server was paid for.

    Collected by the command line, killed five times.
    """
    folder = tmp_path_factory.mktemp("tiny")
    questions, out = folder / "sums.jsonl", folder / "out"
    rows = [json.dumps({"question": f"What is {a} + {b}?", "answer": a + b}) for a, b in SUMS]
    questions.write_text("\n".join(rows))
    asked = [
        sys.executable, "-m", "autotts", "collect", "--server", tiny, "--questions", questions,
        "--out", out, "--prompt", "{question}", "--interval", INTERVAL, "--max-tokens", 160,
        "--temperature", 1, "--top-p", 1, "--branches", BRANCHES, "--at-once", AT_ONCE,
        "--probe-tokens", 6, "--signals", "--resume",
    ]  # fmt: skip
    store = out / "tiny" / "sums"
    before = genuine.metric(tiny, "tokens_predicted_total")
    kills = random.Random(5).sample(range(60, 60 * BRANCHES), KILLS)
    genuine.killed_and_resumed(asked, collect.journal_path(store), kills)
    return store, genuine.metric(tiny, "tokens_predicted_total") - before


def test_collected_killed_five_times_and_resumed(collected):
    """No gap, no duplicate, and no token paid twice, as the server itself counts."""
    folder, paid = collected
    found = collect.read_collected(collect.journal_path(folder))
    assert len(found.finished) == len(SUMS) * BRANCHES
    assert found.begun == found.failed == {}
    assert len(found.servers) == KILLS + 1
    assert found.decoded <= paid <= found.decoded + KILLS * AT_ONCE * INTERVAL


def test_the_majority_is_right_more_often_than_a_branch(collected):
    store = stores.check(collected[0])
    right = store.correct.mean()
    majorities = [np.bincount(finals).argmax() for finals in store.pool.finals]
    assert 0.4 < right < 0.7
    assert np.mean(majorities == store.gold) > right + 0.15
    # From 4 branches to all 64, where every further one costs what it is.
    curves = autotts.evaluate(store, ["sc", "short-mk"], betas=[0, 0.5, 1]).frame()
    for _, curve in curves.group_by("controller"):
        tokens = curve.sort("beta")["tokens"].to_list()
        assert tokens == sorted(tokens)
        assert tokens[0] < 0.5 * tokens[-1]
        # As JSON has it, rounded to hundredths.
        assert tokens[-1] <= store.pool.tokens.sum(axis=1).mean() + 0.01


def test_signals_are_those_of_the_raw_log_probabilities(collected, tiny):
    """Of each prefix of an interval the server is asked alone what may come next."""
    lines = journals.read_journal(collect.journal_path(collected[0]))
    line = next(
        line
        for line, _ in lines
        if isinstance(line, journals.IntervalLine) and line.at == (0, 0, 0)
    )
    (a, b), ids = SUMS[0], list(journals.unpack_ids(line.ids))

    async def prompt():
        async with connected([tiny]) as (server,):
            return list(await server.render([("user", f"What is {a} + {b}?")]))

    before = asyncio.run(prompt())
    tops = []
    for k in range(len(ids)):
        asked = {"prompt": before + ids[:k], "max_tokens": 1, "logprobs": 20, "temperature": 1.0}
        reply = httpx2.post(f"{tiny}/v1/completions", json=asked).json()
        (token,) = reply["choices"][0]["logprobs"]["content"]
        tops.append([one["logprob"] for one in token["top_logprobs"]])
    assert {len(top) for top in tops} == {20}
    confidence = np.mean([-sum(top) / 20 for top in tops])
    shares = [[math.exp(p) / sum(map(math.exp, top)) for p in top] for top in tops]
    entropy = np.mean([-sum(s * math.log(s) for s in row) for row in shares])
    assert line.signals["confidence"] == pytest.approx(confidence, rel=1e-3)
    assert line.signals["entropy"] == pytest.approx(entropy, rel=1e-2, abs=1e-4)


def test_without_probes_a_branch_comes_in_one_request_and_ends_alike(tiny, tmp_path):
    plan = collect.Plan(
        model="tiny", dataset="sums", branches=16, interval=160, max_tokens=160, probe="",
        prompt="{question}", **SAMPLING,
    )  # fmt: skip
    items = [Item(str(k), f"What is {a} + {b}?", str(a + b)) for k, (a, b) in enumerate(SUMS)]

    async def run():
        async with connected([tiny]) as servers:
            return await collect.collect(plan, items, servers, tmp_path, at_once=AT_ONCE)

    store, collection = asyncio.run(run())
    assert store.pool.probes is None
    assert collection.collected.probes == 0
    assert 0.4 < store.correct.mean() < 0.7
    majorities = [np.bincount(finals).argmax() for finals in store.pool.finals]
    assert np.mean(majorities == store.gold) > store.correct.mean()
