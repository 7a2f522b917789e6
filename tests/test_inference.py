"""Model servers: ids in and out, checked; what is asked again, what is not; what stops."""

import asyncio
import gzip
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import pytest
import typer

import model_server
from autotts.cli.sandbox import doctor
from autotts.errors import ServerError, SpecError
from autotts.inference import Patience, Sampling, Server, connect, examine, joined
from autotts.inference.replies import legacy_logprobs
from autotts.inference.signals import answer_logprob, signals_of
from model_server import EOS, SUFFIX, ModelServer, serving

T = TypeVar("T")
QUICK = Patience(timeout_seconds=5, attempts=4, first_wait_seconds=0.01, longest_wait_seconds=0.05)
EXACT = ("vllm", "sglang", "llamacpp")


def using(server: ModelServer, use: Callable[[Server], Awaitable[T]], **settings: Any) -> T:
    """What comes of using a server that was connected to before anything went wrong."""

    async def run() -> T:
        faults, server.faults = server.faults, []
        slow, server.token_seconds = server.token_seconds, 0.0
        connected = await connect(server.url, **{"patience": QUICK, **settings})
        server.faults, server.token_seconds = faults, slow
        try:
            return await use(connected)
        finally:
            await connected.aclose()

    return asyncio.run(run())


async def prompt(server: Server) -> Any:
    return await server.render([("user", "what is it?")])


def test_a_stop_text_that_ends_every_branch_at_once_is_refused():
    with pytest.raises(SpecError, match="empty would end every branch"):
        Sampling(stop=("\n", ""))


@pytest.mark.parametrize("dialect", EXACT)
def test_a_dialect_is_found_by_trying(dialect):
    with serving(dialect) as server:
        can = using(server, lambda s: asyncio.sleep(0, (s.dialect, s.can)))
    assert can[0] == dialect
    assert can[1].exact
    assert can[1].renders
    assert can[1].repeats
    assert can[1].logprobs == 20
    assert can[1].tells_cached == (dialect == "llamacpp")
    assert can[1].aborts == {"vllm": "/abort_requests", "sglang": "/abort_request"}.get(dialect, "")
    assert can[1].context_tokens == 4096


@pytest.mark.parametrize("dialect", EXACT)
@pytest.mark.parametrize("interval", [7, 50])
def test_intervals_join_to_what_one_request_gives(dialect, interval):
    """Id for id, streamed or not, with the end token and without."""

    async def use(server: Server) -> tuple[Any, Any]:
        start = await prompt(server)
        sampling = Sampling(temperature=1.0)
        whole = await server.decode(start, max_tokens=900, sampling=sampling, seed=7)
        branch, ended = start, False
        while not ended:
            part = await server.decode(branch, max_tokens=interval, sampling=sampling, seed=7)
            assert part.tokens == len(part.content) <= interval
            branch, ended = joined(branch, part.content), part.ended
        assert whole.ended
        assert whole.content[-1] == EOS
        assert whole.text == model_server.decode(whole.content.tolist())
        return branch, joined(start, whole.content)

    with serving(dialect) as server:
        branch, whole = using(server, use)
    assert branch == whole


@pytest.mark.parametrize("dialect", EXACT)
def test_a_probe_is_greedy_and_adds_its_suffix_as_ids(dialect):
    async def use(server: Server) -> str:
        start = await prompt(server)
        part = await server.decode(start, max_tokens=40, sampling=Sampling(), seed=1)
        suffix = await server.encode(SUFFIX)
        branch = joined(start, part.content)
        probe = await server.probe(branch, suffix, max_tokens=8, stop=("}",))
        body = server_.bodies()[-1]
        assert body["prompt"] == joined(branch, suffix).tolist()
        assert body["temperature"] == 0.0
        assert body["stop"] == ["}"]
        return probe.text

    with serving(dialect) as server_:
        assert using(server_, use) in ("", " 11.", " 118.")


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        ("vllm", {"return_token_ids": True, "top_k": 0, "skip_special_tokens": False}),
        ("sglang", {"return_token_ids": True, "top_k": -1, "skip_special_tokens": False}),
        ("llamacpp", {"return_tokens": True, "verbose": True, "top_k": 0, "cache_prompt": True}),
    ],
)
def test_every_sampling_field_is_sent(dialect, fields):
    """Servers have defaults of their own, and two would sample two distributions."""

    async def use(server: Server) -> None:
        sampling = Sampling(temperature=0.8, top_p=0.9, min_p=0.01, stop=("\n",))
        await server.decode(await prompt(server), max_tokens=9, sampling=sampling, seed=5)

    with serving(dialect) as server:
        using(server, use)
        body = server.bodies()[-1]
    asked = {"temperature": 0.8, "top_p": 0.9, "min_p": 0.01, "stop": ["\n"], "seed": 5}
    assert {**asked, "max_tokens": 9, **fields}.items() <= body.items()
    assert "logprobs" not in body


@pytest.mark.parametrize("dialect", EXACT)
@pytest.mark.parametrize("tokens", [20, 60])
def test_log_probabilities_are_those_of_the_tokens(dialect, tokens):
    async def use(server: Server) -> Any:
        start = await prompt(server)
        return await server.decode(
            start, max_tokens=tokens, sampling=Sampling(), seed=1, logprobs=2
        )

    with serving(dialect) as server:
        decoded = using(server, use)
    expected = [-0.1 - i % 7 / 100 for i in decoded.content]
    assert decoded.logprobs.chosen == pytest.approx(expected)
    assert decoded.logprobs.top.shape == (tokens, 2)
    assert decoded.logprobs.top[:, 0] == pytest.approx(expected)


def without_an_id(reply: dict[str, Any]) -> None:
    reply["choices"][0]["token_ids"].pop()


def two_choices(reply: dict[str, Any]) -> None:
    reply["choices"] *= 2


def no_usage(reply: dict[str, Any]) -> None:
    reply["usage"] = None


def another_prompt(reply: dict[str, Any]) -> None:
    reply["usage"]["prompt_tokens"] += 1


def aborted(reply: dict[str, Any]) -> None:
    reply["choices"][0]["finish_reason"] = "abort"


FAULTS = {
    "429": ("busy", model_server.fails(429)),
    "503": ("busy", model_server.fails(503)),
    "500": ("broken", model_server.fails(500)),
    "reset": ("lost", model_server.resets),
    "cut": ("lost", model_server.cuts),
    "empty": ("unsound", model_server.sends(b"")),
    "page": ("unsound", model_server.sends(b"<html>gateway</html>", "text/html")),
    "no JSON": ("unsound", model_server.sends(b'{"choices": [{"te')),
    "error with 200": ("broken", model_server.sends({"error": {"message": "CUDA"}})),
    "busy with 200": ("busy", model_server.sends({"error": {"message": "full", "code": 503}})),
    "error in a stream": (
        "broken",
        model_server.sends(
            b'data: {"choices": [{"text": "a"}]}\n\ndata: {"error": {"message": "died"}}\n\n',
            "text/event-stream",
        ),
    ),
    "cut stream": (
        "unsound",
        model_server.sends(b'data: {"choices": [{"text": "a"}]}\n\n', "text/event-stream"),
    ),
    "empty stream": ("unsound", model_server.sends(b"", "text/event-stream")),
    "fewer ids": ("unsound", model_server.changes(without_an_id)),
    "two choices": ("unsound", model_server.changes(two_choices)),
    "no usage": ("unsound", model_server.changes(no_usage)),
    "another prompt": ("unsound", model_server.changes(another_prompt)),
    "aborted": ("unsound", model_server.changes(aborted)),
}


async def one_interval(server: Server) -> Any:
    return await server.decode(await prompt(server), max_tokens=9, sampling=Sampling(), seed=3)


@pytest.mark.parametrize("name", FAULTS)
def test_what_goes_wrong_once_is_asked_again(name):
    """The same interval, with the same prompt and seed; what was wrong is never data."""
    kind, fault = FAULTS[name]

    async def use(server: Server) -> Any:
        decoded = await one_interval(server)
        assert server.tally.retried == {kind: 2}
        return decoded

    with serving("vllm", fault, fault) as server:
        decoded = using(server, use)
        first, second, third = server.bodies()[-3:]
    assert decoded.text == model_server.decode(
        model_server.continued("what is it?|assistant|", 3, 9)
    )
    for body in (first, second, third):
        del body["request_id"]
    assert first == second == third


@pytest.mark.parametrize("name", FAULTS)
def test_what_goes_wrong_every_time_is_an_error(name):
    with serving("vllm", *[FAULTS[name][1]] * 4) as server:
        with pytest.raises(ServerError, match=r"http://127\.0\.0\.1.*, 4 times"):
            using(server, one_interval)
        assert server.faults == []


SOUND = b'{"choices": [{"text": "a", "finish_reason": "stop"}], "usage": {}}'
BOMBS = {
    "packed by zstd": (model_server.sends(SOUND, Content_Encoding="zstd"), "compressed by zstd"),
    "packed twice": (
        model_server.sends(gzip.compress(gzip.compress(SOUND)), Content_Encoding="gzip, gzip"),
        "compressed by gzip, gzip",
    ),
    "packed zeros": (
        model_server.sends(gzip.compress(bytes(1 << 26)), Content_Encoding="gzip"),
        "a reply of over",
    ),
    "long": (model_server.sends(b" " * (2 << 20) + SOUND), "a reply of over 1,"),
    "many events": (
        model_server.sends(b"data:1\n" * 100_000, "text/event-stream"),
        "events in 700,000 bytes",
    ),
    "countless tokens": (
        model_server.sends(
            SOUND.replace(b"{}", b'{"prompt_tokens": 4611686018427387904, "completion_tokens": 1}')
        ),
        "a usage of 4611686018427387904",
    ),
}


async def one_text(server: Server) -> Any:
    start = await server.encode("what is it?")
    return await server.decode(start, max_tokens=9, sampling=Sampling(), seed=3)


@pytest.mark.parametrize("name", BOMBS)
def test_a_reply_that_costs_more_than_was_asked_for_is_not_read(name):
    """A hostile server gets neither the memory nor the minutes of whoever asks it."""
    fault, words = BOMBS[name]
    patience = Patience(timeout_seconds=5, attempts=1)
    with serving("text", fault) as server:
        began = time.process_time()
        with pytest.raises(ServerError, match=words):
            using(server, one_text, patience=patience)
        assert time.process_time() - began < 3


@pytest.mark.parametrize("value", [1e4, 1e308, -1e308, -1e30, -5000.0])
def test_signals_are_finite_whatever_log_probabilities_a_server_makes_up(value):
    """A figure that is none would end a journal, which could not be resumed."""
    given = {
        "token_logprobs": [value] * 3,
        "top_logprobs": [{"a": value, "b": -2.0}, {"</think>": value}] * 2,
        "tokens": ["a"] * 3,
    }
    given["top_logprobs"].pop()
    logprobs = legacy_logprobs(given, 3, 2)
    assert (logprobs is None) == (value > 0)
    signals = signals_of(logprobs, np.zeros(1, np.float16))
    sure = answer_logprob("aa", logprobs, lambda said: said)
    assert all(map(math.isfinite, [*signals.values(), sure or 0.0]))


def test_the_names_of_a_server_s_models_are_told_in_short():
    models = tuple(f"model-{k}" for k in range(5_000))
    with serving("vllm", models=models) as server, pytest.raises(SpecError) as refused:
        asyncio.run(connect(server.url))
    assert len(str(refused.value)) < 600


def test_a_refusal_is_not_asked_again():
    with serving("vllm", model_server.fails(400), model_server.fails(400)) as server:
        with pytest.raises(ServerError, match="HTTP 400: not now"):
            using(server, one_interval)
        assert len(server.faults) == 1


def test_a_request_that_hangs_is_given_up_stopped_and_asked_again():
    patience = Patience(timeout_seconds=0.3, attempts=2, first_wait_seconds=0.01)
    with serving("sglang", model_server.hangs) as server:
        decoded = using(server, one_interval, patience=patience)
        assert decoded.tokens == 9
        given_up = server.bodies()[-2]["rid"]
        assert {"rid": given_up} in server.bodies("/abort_request")


def test_a_server_is_heeded_that_asks_to_wait():
    with serving("vllm", model_server.fails(429, Retry_After="1")) as server:
        began = time.monotonic()
        using(server, one_interval)
        assert time.monotonic() - began >= 1


def test_a_busy_server_is_sent_less_at_a_time():
    """And more again when it takes it; nothing is lost."""

    async def use(server: Server) -> tuple[int, int]:
        start = await prompt(server)

        async def one(seed: int) -> int:
            decoded = await server.decode(start, max_tokens=5, sampling=Sampling(), seed=seed)
            return decoded.tokens

        tokens = sum(await asyncio.gather(*(one(seed) for seed in range(64))))
        limit = server._client.limit  # type: ignore[attr-defined]
        return tokens, limit.now

    with serving("vllm", *[model_server.fails(503)] * 16, token_seconds=0.001) as server:
        tokens, limit = using(server, use, at_once=32)
    assert tokens == 64 * 5
    assert server.most_running <= 32
    assert 16 <= limit < 32


@pytest.mark.parametrize("dialect", EXACT)
def test_a_branch_that_is_cancelled_stops_on_the_server(dialect):
    """By the abort endpoint or by closing, within a second; one that waits is never sent."""

    async def use(server: Server) -> None:
        start = await prompt(server)
        sent = len(server_.bodies())

        async def branch(seed: int) -> None:
            await server.decode(start, max_tokens=500, sampling=Sampling(), seed=seed)

        tasks = [asyncio.create_task(branch(seed)) for seed in range(8)]
        await asyncio.sleep(0.2)
        assert server_.running == 4
        for task in tasks:
            task.cancel()
        began = time.monotonic()
        while server_.running:
            assert time.monotonic() - began < 1
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert len(server_.bodies()) == sent + 4

    with serving(dialect, token_seconds=0.05) as server_:
        using(server_, use, at_once=4)
    assert len(server_.aborted) + server_.closed >= 4


def test_a_slot_is_not_lost_to_what_is_cancelled():
    """However often requests are cancelled, waiting or sent, as many as before are let in."""

    async def use(server: Server) -> None:
        start = await prompt(server)
        for k in range(30):
            tasks = [
                asyncio.create_task(
                    server.decode(start, max_tokens=3, sampling=Sampling(), seed=seed)
                )
                for seed in range(6)
            ]
            await asyncio.sleep(0.0005 * (k % 9))
            for task in tasks[:: 1 + k % 2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        limit = server._client.limit  # type: ignore[attr-defined]
        assert limit.inside == 0
        assert not limit._waiting

    with serving("vllm", token_seconds=0.001) as server:
        using(server, use, at_once=2)


def test_text_is_a_way_to_branch_and_says_that_it_is_not_exact():
    async def use(server: Server) -> str:
        assert (server.dialect, server.can.exact) == ("text", False)
        branch = await server.encode("what is it?|assistant|", special=True)
        ended = False
        while not ended:
            part = await server.decode(branch, max_tokens=11, sampling=Sampling(), seed=4)
            branch, ended = joined(branch, part.content), part.ended
        probe = await server.probe(branch, await server.encode(SUFFIX), max_tokens=9)
        assert f"The answer is{probe.text}" in branch
        with pytest.raises(ServerError, match="no template"):
            await server.render([("user", "hi")])
        return branch

    with serving("text") as server:
        assert using(server, use).endswith(".")


def test_chat_gives_whole_branches_alone():
    async def use(server: Server) -> str:
        assert (server.dialect, server.can.continues) == ("chat", False)
        start = await server.render([("user", "what is it?")])
        decoded = await server.decode(start, max_tokens=900, sampling=Sampling(), seed=4)
        assert decoded.ended
        with pytest.raises(ServerError, match="chat alone"):
            await server.probe(start, start, max_tokens=9)
        return decoded.text

    with serving("chat") as server:
        assert "The answer is" in using(server, use)


def test_a_server_that_is_not_there_says_so_at_once():
    with serving("vllm") as server:
        url = server.url
    began = time.monotonic()
    with pytest.raises(ServerError, match=r"127\.0\.0\.1.*no server answers"):
        asyncio.run(connect(url))
    assert time.monotonic() - began < 3


def test_a_model_that_is_not_there_is_told_with_those_that_are():
    with serving("vllm") as server, pytest.raises(ServerError, match="'other'; it has toy"):
        asyncio.run(connect(server.url, "other"))


def test_an_address_that_is_none_is_an_error():
    with pytest.raises(SpecError, match="do you mean http://localhost:8000"):
        asyncio.run(connect("localhost:8000"))


def test_a_key_is_sent_and_never_told(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")

    async def told(exchange: model_server.Exchange) -> bool:
        key = exchange.headers["authorization"]
        await exchange.send({"error": {"message": f"bad key {key}"}}, 401)
        return True

    with (
        serving("vllm", told) as server,
        pytest.raises(ServerError, match=r"HTTP 401: bad key Bearer .*OPENAI_API_KEY") as caught,
    ):
        using(server, one_interval)
    assert "sk-very-secret" not in str(caught.value)


@pytest.mark.parametrize("dialect", EXACT)
def test_examining_says_what_is_so(dialect):
    with serving(dialect) as server:
        found = {e.what: e for e in using(server, examine)}
    assert found["token ids"].good
    assert found["intervals"].good
    assert found["cache of prefixes"].good == (dialect == "llamacpp")
    assert found["abort endpoint"].good == (dialect != "llamacpp")


def test_the_doctor_examines_servers(capsys):
    """Exit code 1 says that a server is not exact."""
    with serving("vllm") as server, serving("text") as other:
        doctor([server.url])
        assert "spoken to as vllm" in capsys.readouterr().out
        with pytest.raises(typer.Exit):
            doctor([server.url, other.url])
    said = capsys.readouterr().out
    assert "no  token ids" in said
    assert "collected stores will say so" in said


SPOKEN = [*model_server.encode("it is "), *(model_server.BYTES + b for b in "😀é你".encode()), 36]


def speaking_in_bytes(parses: bool) -> model_server.Fault:
    """As llama.cpp's server speaks where characters have tokens of their bytes.

    parses: whether it reads a reply as a message, with the parser that it is given; else it refuses
        a parser, as an older build that writes them otherwise.
    """

    async def answered(exchange: model_server.Exchange) -> bool:
        body = exchange.body
        at = len(body["prompt"]) - len("what is it?" + model_server.PROMPT_END)
        ids = SPOKEN[at : at + body["max_tokens"]]
        if parses and ids[0] >= model_server.BYTES and "chat_parser" not in body:
            halves = model_server.decode(ids).startswith("\N{REPLACEMENT CHARACTER}")
            error = {"code": 500, "message": "The model produced output that does not match"}
            await exchange.send({"error": error}, 500 if halves else 200)
        elif not parses and "chat_parser" in body:
            await exchange.send({"error": {"message": "Field 'chat_parser': no parser"}}, 400)
        else:
            prompt = len(body["prompt"])
            await exchange.send(model_server.completion("llamacpp", body, prompt, ids))
        return True

    return answered


@pytest.mark.parametrize("interval", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("parses", [True, False])
def test_intervals_may_begin_and_end_inside_a_character(parses, interval):
    """Ids are exact, each is decoded once, and the character stands where it ends."""

    async def spoken(server: Server) -> Any:
        context = start = await prompt(server)
        texts = []
        while len(context) < len(start) + len(SPOKEN):
            decoded = await server.decode(context, max_tokens=interval, sampling=Sampling(), seed=1)
            context = joined(context, decoded.content)
            texts.append(decoded.text)
        return list(context[len(start) :]), texts, server.tally

    with serving("llamacpp") as server:
        server.faults = [speaking_in_bytes(parses)] * 20
        ids, texts, tally = using(server, spoken)
    assert ids == SPOKEN
    assert "".join(texts) == "it is 😀é你!"
    assert tally.retried == {}
    assert sum("😀" in text for text in texts) == 1
