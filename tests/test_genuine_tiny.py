"""With a genuine server and a tiny Qwen3, for what needs numbers; skipped where there is none.

`AUTOTTS_FULL=1` collects 64 branches a question, and not 16.
"""

import asyncio
import json
import math
import os
import random
import subprocess
import sys

import httpx2
import numpy as np
import pytest

import autotts
import genuine
from autotts import collect, stores
from autotts.answers import FAILED, extract
from autotts.collect import journal as journals
from autotts.collect.questions import Item
from autotts.inference import Capabilities, connected, joined
from autotts.inference.http import Client
from autotts.inference.server import GREEDY
from autotts.inference.text import TextServer

SUMS = [(a, b) for a in range(5, 20, 2) for b in (2, 5, 8)]
FULL = bool(os.environ.get("AUTOTTS_FULL"))
BRANCHES, INTERVAL, AT_ONCE, KILLS = 64 if FULL else 16, 16, 32, 5
WINDOW = 20
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
        "--probe-tokens", 6, "--signals", "--window", WINDOW, "--resume",
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


def test_five_controllers_do_live_what_the_store_forecasts(collected, tiny, tmp_path):
    """On eight of its questions; `AUTOTTS_FULL=1` plays all, with more branches and more often."""
    store = stores.load(collected[0])
    few = stores.build(
        stores.recordings_of(store)[:: 1 if FULL else 3],
        model=store.model, dataset=store.dataset, interval_tokens=INTERVAL, billing="exact",
        failed_answer=FAILED, sampling=store.manifest.sampling,
    )  # fmt: skip
    stores.write(few, tmp_path / "few")
    controllers = ("sc", "asc", "short-mk", "race-prune", "cmc")
    command = [
        sys.executable, "-m", "autotts", "calibrate", tmp_path / "few", "--upstream", tiny,
        *(word for name in controllers for word in ("-c", name)), "--beta", 0.2,
        "--max-branches", 16 if FULL else 4, "--repetitions", 4 if FULL else 1, "--at-once", 16,
        "--json", tmp_path / "found.json",
    ]  # fmt: skip
    ran = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    rows = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert [row["controller"] for row in rows[::3]] == list(controllers)
    assert [row["figure"] for row in rows if not row["holds"]] == [], ran.stdout


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
    """Of each prefix of two intervals, and of a probe, the server is asked alone what may come."""
    found = {}
    for line, _ in journals.read_journal(collect.journal_path(collected[0])):
        if isinstance(line, journals.IntervalLine | journals.ProbeLine):
            found[
                line.at if isinstance(line, journals.IntervalLine) else line.probed, type(line)
            ] = line
    q, n = next(
        place[:2]
        for (place, kind), line in found.items()
        if kind is journals.ProbeLine and place[2] == 1 and line.logprob is not None
    )
    first, second = (found[(q, n, k), journals.IntervalLine] for k in (0, 1))
    probe = found[(q, n, 1), journals.ProbeLine]
    ids = [*first.decoded().content, *second.decoded().content]

    async def encoded():
        async with connected([tiny]) as (server,):
            a, b = SUMS[q]
            prompt = await server.render([("user", f"What is {a} + {b}?")])
            return list(prompt), list(await server.encode(collect.PROBE_SUFFIX))

    prompt, suffix = asyncio.run(encoded())

    def raw(before, **more):
        asked = {"prompt": before, "max_tokens": 1, "logprobs": 20, "temperature": 1.0, **more}
        reply = httpx2.post(f"{tiny}/v1/completions", json=asked).json()
        (token,) = reply["choices"][0]["logprobs"]["content"]
        return token["top_logprobs"]

    tops = [raw(prompt + ids[:k]) for k in range(len(ids))]
    logprobs = np.array([[one["logprob"] for one in top] for top in tops])
    assert logprobs.shape == (first.tokens + second.tokens, 20)
    confidences = -logprobs.mean(axis=1)
    shares = np.exp(logprobs) / np.exp(logprobs).sum(axis=1, keepdims=True)
    entropies = -(shares * np.log(shares)).sum(axis=1)
    closing = [sum(math.exp(o["logprob"]) for o in t if o["token"] == "</think>") for t in tops]
    assert max(closing) > 0
    for line, at in ((first, slice(first.tokens)), (second, slice(first.tokens, None))):
        assert line.signals["confidence"] == pytest.approx(confidences[at].mean(), rel=1e-3)
        assert line.signals["entropy"] == pytest.approx(entropies[at].mean(), rel=1e-2, abs=1e-4)
        ends = 1 - np.prod(1 - np.array(closing[at]))
        assert line.signals["end_of_thinking"] == pytest.approx(ends, rel=1e-2, abs=1e-6)
    assert first.signals["lowest_confidence"] == pytest.approx(
        confidences[: first.tokens].mean(), rel=1e-3
    )
    windows = [confidences[k : k + WINDOW].mean() for k in range(len(ids) - WINDOW + 1)]
    assert second.signals["lowest_confidence"] == pytest.approx(min(windows), rel=1e-3)

    said, sure, before = "", 0.0, prompt + ids + suffix
    while extract(collect.PROBE_SUFFIX + said) != probe.answer:
        likeliest = raw(before)[0]
        said, sure, before = (
            said + likeliest["token"], sure + likeliest["logprob"], [*before, likeliest["id"]]
        )  # fmt: skip
    assert probe.logprob == pytest.approx(sure, rel=1e-2, abs=1e-3)


def test_intervals_join_to_one_long_greedy_request_by_ids_and_by_text(tiny):
    """Id for id in the server's own dialect, streamed and not; and character for character by text,
    which says the same."""

    async def joins(server, prompt, interval):
        one = await server.decode(prompt, max_tokens=150, sampling=GREEDY, seed=0)
        branch, tokens, ended = prompt, 0, False
        while not ended and tokens < 150:
            most = min(interval, 150 - tokens)
            part = await server.decode(branch, max_tokens=most, sampling=GREEDY, seed=tokens)
            branch, tokens, ended = joined(branch, part.content), tokens + part.tokens, part.ended
        assert branch == joined(prompt, one.content)
        assert tokens == one.tokens
        return one

    async def run():
        async with (
            connected([tiny]) as (streams,),
            connected([tiny], interruptible=False) as (own,),
        ):
            can = Capabilities(exact=False, continues=True, renders=False)
            text = TextServer(Client(tiny), "tiny", can)
            for a, b in SUMS[::4]:
                prompt = await own.render([("user", f"What is {a} + {b}?")])
                by_ids = await joins(own, prompt, 7)
                assert (await joins(streams, prompt, 40)).content == by_ids.content
                written = f"<|im_start|>user\nWhat is {a} + {b}?<|im_end|>\n<|im_start|>assistant\n"
                by_text = await joins(text, written, 7)
                assert by_text.prompt_tokens == by_ids.prompt_tokens == len(prompt)
                assert by_text.text == by_ids.text
            await text.aclose()

    asyncio.run(run())


def test_without_probes_a_branch_comes_in_one_request_and_ends_alike(tiny, tmp_path):
    plan = collect.Plan(
        model="tiny", dataset="sums", branches=16, interval=160, max_tokens=160, probe="",
        prompt="{question}", **SAMPLING,
    )  # fmt: skip
    items = [Item(str(k), f"What is {a} + {b}?", str(a + b)) for k, (a, b) in enumerate(SUMS)]

    async def run():
        async with connected([tiny]) as servers:
            return await collect.collect(plan, items, servers, tmp_path, collect.Session(AT_ONCE))

    store, collection = asyncio.run(run())
    assert store.pool.probes is None
    assert collection.collected.probes == 0
    assert 0.4 < store.correct.mean() < 0.7
    majorities = [np.bincount(finals).argmax() for finals in store.pool.finals]
    assert np.mean(majorities == store.gold) > store.correct.mean()
