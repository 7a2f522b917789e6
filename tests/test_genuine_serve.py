"""`autotts serve` over a genuine server, asked by real clients; skipped where there is none."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import openai
import pytest

import autotts
import genuine
from autotts import stores
from autotts.evaluation import Experiment
from autotts.serve.traffic import traffic_store

HARNESS = genuine.folder() / "harness"
"""Where `make harness` installs it."""
CHAT = [{"role": "user", "content": "What is 11 + 8?"}]


@contextmanager
def served(upstream: str, *options: object) -> Iterator[str]:
    """The address of `autotts serve`, which ends by itself when it is told to."""
    words = [
        sys.executable,
        "-m",
        "autotts",
        "serve",
        "--port",
        0,
        "--upstream",
        upstream,
        *options,
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        found = None
        while found is None:
            line = process.stdout.readline()
            assert line, f"it ended with {process.wait()}"
            found = re.search(r"^serving .* at (http://\S+)/v1", line)
        yield found[1]
    finally:
        process.terminate()
        assert process.wait(40) in (0, -15)
        process.stdout.close()


@pytest.fixture(scope="module")
def sums(tiny) -> Iterator[str]:
    """The tiny Qwen3 under three controllers."""
    options = (
        "-c", "race-prune", "-c", "deepconf", "-c", "sc", "--interval", 16, "--max-tokens", 160,
        "--temperature", 1, "--top-p", 1, "--price-read", 0.1, "--price-written", 0.6,
    )  # fmt: skip
    with served(tiny, *options) as address:
        yield address


@pytest.fixture(scope="module")
def words(smol) -> Iterator[str]:
    """SmolLM2 under self-consistency."""
    options = ("-c", "sc", "--interval", 16, "--answers", "last_line", "--max-tokens", 400)
    with served(smol, *options) as address:
        yield address


@contextmanager
def client(address):
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("controller", ["race-prune", "deepconf", "sc"])
def test_chat_by_the_openai_client(sums, controller):
    asked = {"model": f"tiny@{controller}:0.2", "messages": CHAT, "seed": 1}
    with client(sums) as asking:
        reply = asking.chat.completions.create(**asked)
        chunks = list(
            asking.chat.completions.create(
                **asked, stream=True, stream_options={"include_usage": True}
            )
        )
    streamed = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    for content, usage in (
        (reply.choices[0].message.content, reply.usage),
        (streamed, chunks[-1].usage),
    ):
        account = usage.autotts
        assert f"\\boxed{{{account['answer']}}}" in content
        assert account["controller"] == controller
        assert account["exact"]
        assert account["stop_reason"] == "answered"
        assert account["total_tokens"] > usage.completion_tokens


def test_usage_is_what_the_upstreams_own_tokenizer_counts(sums, tiny):
    prompt = "<|im_start|>user\nWhat is 11 + 8?<|im_end|>\n<|im_start|>assistant\n"
    with client(sums) as asking:
        reply = asking.completions.create(model="tiny@sc:0", prompt=prompt, seed=2)
        chunks = list(
            asking.completions.create(
                model="tiny@sc:0", prompt=prompt, seed=2, stream=True,
                stream_options={"include_usage": True},
            )
        )  # fmt: skip
    streamed = "".join(c.choices[0].text for c in chunks if c.choices)
    for text, usage in ((reply.choices[0].text, reply.usage), (streamed, chunks[-1].usage)):
        assert text.startswith("<think>\n")
        counted = httpx2.post(f"{tiny}/tokenize", json={"content": text}).json()["tokens"]
        assert usage.completion_tokens == len(counted) + 1  # the end token has no text
        given = httpx2.post(f"{tiny}/tokenize", json={"content": prompt}).json()["tokens"]
        assert usage.prompt_tokens == len(given)


def test_a_language_model_by_the_openai_client(words):
    with client(words) as asking:
        asked = {"model": "smol@sc:0", "max_tokens": 16, "seed": 1}
        chat = asking.chat.completions.create(
            messages=[{"role": "user", "content": "Say hello."}], **asked
        )
        text = asking.completions.create(prompt="Once upon a time", **asked)
        stream = asking.completions.create(prompt="Once upon a time", stream=True, **asked)
        streamed = "".join(chunk.choices[0].text for chunk in stream if chunk.choices)
    for said in (chat.choices[0].message.content, text.choices[0].text, streamed):
        assert re.search(r"[a-z]{2,} ", said)
    assert text.usage.completion_tokens <= 16
    assert text.usage.autotts["branches"] == 4


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_curl(sums):
    def curl(**asked):
        command = ["curl", "-sN", f"{sums}/v1/chat/completions", "-d", json.dumps(asked)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    reply = json.loads(curl(messages=CHAT, beta=0))
    assert "boxed" in reply["choices"][0]["message"]["content"]
    events = curl(messages=CHAT, beta=0, stream=True, progress="events")
    assert "event: autotts.progress" in events
    assert events.endswith("data: [DONE]\n\n")
    refused = json.loads(curl(messages=CHAT, beta=2))
    assert "beta" in refused["error"]["message"]


@pytest.mark.skipif(not HARNESS.is_dir(), reason=f"no {HARNESS}: make harness installs lm-eval")
def test_lm_eval_as_a_client(sums, tmp_path):
    """By chat, with its own prompts, requests side by side and judgement."""
    task = (Path(__file__).parent / "harness" / "sums.yaml").read_text()
    (tmp_path / "sums.yaml").write_text(task.replace("sums.jsonl", str(tmp_path / "sums.jsonl")))
    rows = [{"question": f"What is {a} + 2?", "answer": str(a + 2)} for a in (5, 7, 9, 11)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    where = f"model=tiny@sc:0.2,base_url={sums}/v1/chat/completions"
    command = [
        sys.executable, "-m", "lm_eval", "run", "--model", "local-chat-completions",
        "--model_args", f"{where},num_concurrent=4,tokenizer_backend=None",
        "--apply_chat_template", "--include_path", tmp_path, "--tasks", "sums",
        "--output_path", tmp_path / "out",
    ]  # fmt: skip
    environment = {
        **os.environ, "PYTHONPATH": str(HARNESS), "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"),
    }  # fmt: skip
    ran = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    (results,) = (tmp_path / "out").rglob("results_*.json")
    found = json.loads(results.read_text())["results"]["sums"]
    assert found["exact_match,boxed"] >= 0.75  # 24 of 32 branches are right on each


def seconds_until_idle(address, upstream, *, stream):
    """How long a server goes on for a client that left."""
    body = {"messages": CHAT, "stream": stream, "max_tokens": 400, "beta": 0.1}

    def ask():
        with pytest.raises(httpx2.TimeoutException):
            httpx2.post(f"{address}/v1/chat/completions", json=body, timeout=httpx2.Timeout(1.5))

    leaving = threading.Thread(target=ask)
    leaving.start()
    while not genuine.busy(upstream):
        time.sleep(0.01)
    leaving.join()
    left = time.monotonic()
    while genuine.busy(upstream):
        time.sleep(0.01)
    return time.monotonic() - left


@pytest.mark.parametrize("stream", [False, True])
def test_the_upstream_is_idle_soon_after_a_client_left(words, smol, stream):
    """Below half a second where nothing else runs; the request itself would take a minute."""
    tries = (seconds_until_idle(words, smol, stream=stream) for _ in range(3))
    assert any(seconds < 5 for seconds in tries)


def test_traffic_is_recorded_as_the_clients_were_charged(tiny, tmp_path):
    """The store of a service's traffic, replayed, spends what its replies said."""
    options = ("-c", "race-prune", "--beta", 0.2, "--interval", 16, "--max-tokens", 160)
    charged = {}
    with served(tiny, *options, "--record", tmp_path) as address:
        for k in range(12):
            asked = {"messages": [{"role": "user", "content": f"What is {10 + k} + 8?"}], "seed": k}
            reply = httpx2.post(f"{address}/v1/chat/completions", json=asked, timeout=60).json()
            account = reply["usage"]["autotts"]
            charged[reply["id"]] = account["total_tokens"] - account["probe_tokens"]
    live = traffic_store(tmp_path).store
    answers = dict.fromkeys(live.ids or (), "1")
    found = autotts.evaluate(
        stores.grade(live, answers), "race-prune:beta=0.2",
        experiment=Experiment(draws="recorded", failed="abstain"),
    )  # fmt: skip
    assert dict(zip(live.ids or (), found.episodes["tokens"].to_list(), strict=True)) == charged


LONG = {"messages": CHAT, "seed": 1, "beta": 0.5}


def asking_for(address: str, replies: list[httpx2.Response]) -> threading.Thread:
    """A thread in which somebody asks for much, and leaves the reply there."""

    def ask() -> None:
        replies.append(httpx2.post(f"{address}/v1/chat/completions", json=LONG, timeout=60))

    asking = threading.Thread(target=ask)
    asking.start()
    return asking


def until_busy(upstream: str) -> None:
    until = time.monotonic() + 20
    while not genuine.busy(upstream):
        assert time.monotonic() < until
        time.sleep(0.005)


OPTIONS = ("-c", "sc", "--interval", 16, "--max-tokens", 160, "--temperature", 1, "--top-p", 1)


def test_an_upstream_that_dies_in_the_middle_of_a_request_costs_none(tiny):
    """It is killed while it decodes; the other one answers what was asked."""
    replies: list[httpx2.Response] = []
    with contextlib.ExitStack() as dying:
        mortal = dying.enter_context(genuine.serving(genuine.TINY))
        with served(mortal, "--upstream", tiny, *OPTIONS) as address:
            asking = asking_for(address, replies)
            until_busy(mortal)
            dying.close()
            asking.join()
            replies.append(httpx2.post(f"{address}/v1/chat/completions", json=LONG, timeout=60))
    for reply in replies:
        assert reply.status_code == 200, reply.text
        assert reply.json()["usage"]["autotts"]["stop_reason"] == "answered"


def test_what_is_under_way_is_answered_after_a_sigterm(tiny):
    replies: list[httpx2.Response] = []
    with served(tiny, *OPTIONS) as address:
        asking = asking_for(address, replies)
        until_busy(tiny)
    # Told to end while branches were decoded, it has ended with 0 by now.
    asking.join()
    assert replies[0].status_code == 200
    assert replies[0].json()["usage"]["autotts"]["stop_reason"] == "answered"
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{address}/health")
