"""A controller behind an OpenAI-compatible endpoint, over a model that is made up."""

import asyncio
import json
import time
from dataclasses import replace

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotts import control, programs
from autotts.answers.reader import AnswerReader
from autotts.errors import ServerError
from autotts.serve.body import ChatBody, CompletionBody
from autotts.serve.deployment import ServiceLimits
from autotts.serve.passing import PassedOn
from scripted_branches import ScriptedBranches
from toy_service import QUESTION, post, serving


@pytest.mark.parametrize("controller", ["cmc", "short-mk"])
def test_the_openai_client_gets_a_branch_that_ends_with_the_answer(client, controller):
    reply = client.chat.completions.create(
        model=f"toy@{controller}", messages=QUESTION, seed=1, extra_body={"beta": 0.3}
    )
    (choice,) = reply.choices
    assert choice.message.content.endswith(r"\boxed{42}")
    assert choice.finish_reason == "stop"
    # The text, as the model's own tokens: its characters, and the end.
    assert reply.usage.completion_tokens == len(choice.message.content) + 2
    account = reply.usage.autotts
    assert account["answer"] == "42"
    assert (account["controller"], account["beta"]) == (controller, 0.3)
    assert account["stop_reason"] == "answered"
    assert account["total_tokens"] > reply.usage.completion_tokens
    assert 0 < account["vote_share"] <= 1
    assert account["cost"] > 0


def test_a_stream_has_the_same_text_and_usage_as_a_whole_reply(client):
    asked = {"model": "toy@cmc:0.2", "messages": QUESTION, "seed": 5}
    whole = client.chat.completions.create(**asked)
    chunks = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].usage.autotts == whole.usage.autotts


def test_completions_take_text_token_ids_and_several_prompts(client):
    asked = {"model": "toy", "seed": 3, "extra_body": {"beta": 0.1}}
    by_text = client.completions.create(prompt="6*7 is", **asked)
    by_ids = client.completions.create(prompt=[ord(c) for c in "6*7 is"], **asked)
    two = client.completions.create(prompt=["6*7 is", "6*7 is"], **asked)
    streamed = client.completions.create(prompt="6*7 is", stream=True, **asked)
    text = by_text.choices[0].text
    assert text == by_ids.choices[0].text
    assert [c.text for c in two.choices] == [text, text]
    assert "".join(chunk.choices[0].text for chunk in streamed) == text


def test_models_name_a_budget_that_a_plain_client_can_choose(client):
    names = [model.id for model in client.models.list()]
    assert names[0] == "toy"
    assert {"toy@cmc", "toy@cmc:0.25", "toy@short-mk:1"} <= set(names)
    assert client.models.retrieve("toy@cmc:0.25").id == "toy@cmc:0.25"


@pytest.mark.parametrize(
    ("model", "headers", "body", "beta", "controller"),
    [
        ("toy", {}, {}, 0.5, "cmc"),
        ("toy@short-mk:0.1", {}, {}, 0.1, "short-mk"),
        ("toy@short-mk:0.1", {"X-AutoTTS-Beta": "0.2"}, {}, 0.2, "short-mk"),
        ("toy@cmc:0.1", {"X-AutoTTS-Beta": "0.2"}, {"beta": 0.0}, 0.0, "cmc"),
        ("toy@cmc:0.1", {}, {"controller": "short-mk"}, 0.1, "short-mk"),
    ],
)
def test_what_is_nearer_to_the_request_counts(address, model, headers, body, beta, controller):
    account = post(address, model=model, headers=headers, **body).json()["usage"]["autotts"]
    assert (account["beta"], account["controller"]) == (beta, controller)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"beta": 1.5}, 400, "beta"),
        ({"beta": "much"}, 400, "beta"),
        ({"controller": "nobody"}, 400, "served are cmc, short-mk"),
        ({"model": "other"}, 404, "there is toy"),
        ({"model": "toy@cmc:2"}, 400, "from 0 to 1"),
        ({"max_total_tokens": 3}, 400, "doesn't pay for one interval"),
        ({"max_tokens": 401}, 400, "at most 400"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"deadline_seconds": -1}, 400, "deadline_seconds"),
        ({"n": 2}, 400, "n is not served"),
        ({"tools": [{"type": "function"}]}, 400, "tools is not served"),
        ({"response_format": {"type": "json_schema"}}, 400, "response_format is not served"),
        ({"logprobs": True}, 400, "logprobs is not served"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages[0] is not served"),
        ({"messages": [{"content": "x"}]}, 400, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [3]}]}, 400, "messages.0.content"),
        ({"answers": {"type": "regex", "pattern": "(a+)+$"}}, 400, "answers"),
        ({"presence_penalty": 0.5}, 400, "presence_penalty is not served"),
        ({"top_k": -2}, 400, "top_k"),
        ({"min_p": 1.5}, 400, "min_p"),
        ({"chat_template_kwargs": {"tokenize": True}}, 400, "chat_template_kwargs.tokenize"),
        ({"chat_template_kwargs": {"x": {"y": 1}}}, 400, "chat_template_kwargs.x"),
        ({"chat_template_kwargs": {"__class__": 1}}, 400, "chat_template_kwargs"),
        ({"answers": {"type": "json"}}, 400, "name it"),
        ({"answers": {"type": "math", "field": "x"}}, 400, "name it"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(address, body, status, says):
    reply = post(address, **body)
    assert reply.status_code == status
    assert says in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "field"), [("/v1/chat/completions", "messages"), ("/v1/responses", "input")]
)
@pytest.mark.parametrize(
    "said",
    [
        {"content": "Three?", "type": "text", "name": "ann", "id": "m1", "cache_control": {}},
        {"content": "Three?", "type": "message", "refusal": None, "tool_calls": [], "audio": None},
        {"content": [{"type": "text", "text": "Three?", "annotations": [], "x": 1}]},
        {"content": ["Thr", {"text": "ee?"}, {"type": "refusal", "refusal": ""}]},
    ],
)
def test_what_only_some_clients_say_of_a_message_is_left_out(
    server, address, monkeypatch, path, field, said
):
    """Clients send back what they were sent, and fields that other servers know."""
    rendered = []
    render = server.render

    async def seen(messages, *args):
        rendered.extend(messages)
        return await render(messages, *args)

    monkeypatch.setattr(server, "render", seen)
    body = {
        "messages": None, "stream": None, "stream_options": {"include_usage": None}, "model": None,
        "beta": 0, "stop": ["", ""], "reasoning": {"effort": None, "summary": None},
    }  # fmt: skip
    reply = post(address, path, **{**body, field: [{"role": "user", **said}]})
    assert reply.status_code == 200, reply.text
    assert rendered == [("user", "Three?")]
    assert reply.json()["usage"]["autotts"]["answer"]


def test_how_tokens_are_drawn_and_what_the_template_is_told_reach_the_upstream(
    server, address, monkeypatch
):
    """As the cards of models recommend, by the fields of vLLM."""
    told, drawn = [], set()
    render, decode = server.render, server.decode

    async def rendering(messages, options=None):
        told.append(options)
        return await render(messages, options)

    async def decoding(context, *, sampling, **how):
        drawn.add((sampling.top_k, sampling.min_p, sampling.top_p))
        return await decode(context, sampling=sampling, **how)

    monkeypatch.setattr(server, "render", rendering)
    monkeypatch.setattr(server, "decode", decoding)
    options = {"enable_thinking": False, "reasoning_effort": "low"}
    sampled = {"top_k": 20, "min_p": 0.1, "top_p": 0.9, "presence_penalty": 0}
    assert post(address, beta=0, chat_template_kwargs=options, **sampled).status_code == 200
    assert told == [options]
    assert drawn == {(20, 0.1, 0.9)}
    drawn.clear()
    assert post(address, "/v1/completions", beta=0, top_k=-1).status_code == 200
    assert {top_k for top_k, *_ in drawn} == {0}
    monkeypatch.setattr(server, "can", replace(server.can, exact=False))
    refused = post(address, chat_template_kwargs=options)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "chat_template_kwargs")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a": 1e999}'])
def test_a_body_that_is_no_json_object_is_a_400(address, content):
    reply = httpx2.post(f"{address}/v1/chat/completions", content=content)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_a_body_that_is_too_large_is_a_413(address):
    reply = httpx2.post(f"{address}/v1/chat/completions", content=b" " * (5 << 20))
    assert reply.status_code == 413


def test_paths_and_methods_that_are_not_there_have_an_error_of_openais(address):
    assert httpx2.get(f"{address}/v1/nothing").json()["error"]["message"]
    assert httpx2.get(f"{address}/v1/completions").status_code == 405


def test_a_budget_holds_over_all_branches_and_says_so(address):
    for budget in (60, 200, 700):
        reply = post(address, model="toy@cmc:1", max_total_tokens=budget, seed=2).json()
        account = reply["usage"]["autotts"]
        assert account["total_tokens"] <= budget
    assert account["stop_reason"] == "budget"


@pytest.mark.parametrize("limit", [{"max_total_tokens": 10**18}, {"max_cost": 1e300}])
def test_a_limit_beyond_all_numbers_is_none(address, limit):
    assert post(address, **limit).status_code == 200


@pytest.mark.parametrize("controller", ["cmc", "short-mk"])
def test_free_text_is_never_probed_and_any_branch_may_be_the_answer(address, controller):
    asked = {"controller": controller, "answers": {"type": "text"}}
    account = post(address, **asked).json()["usage"]["autotts"]
    assert account["probes"] == 0
    assert account["stop_reason"] == "answered"


@pytest.mark.parametrize("equal", [None, lambda one, other: ("42" in one) == ("42" in other)])
def test_free_text_votes_under_an_equality_of_the_users_own(equal):
    """No two texts of the model are the same; with an equality, most of them are one vote."""
    reader = AnswerReader(read=str.strip, same=equal)
    with serving(ScriptedBranches(right=0.7), answers=reader) as address:
        asked = {"controller": "short-mk", "beta": 1.0, "seed": 3}
        reply = post(address, **asked).json()
    account = reply["usage"]["autotts"]
    if equal is None:
        assert account["vote_share"] == pytest.approx(1 / account["finished"])
    else:
        assert account["vote_share"] > 0.5
        assert "42" in reply["choices"][0]["message"]["content"]
    assert account["answer"] == reply["choices"][0]["message"]["content"].strip()


ASKED_BY_LM_EVAL = {
    "model": "toy@cmc:0.2", "max_tokens": 160, "temperature": 0, "stop": ["<|im_end|>"],
    "seed": 1234,
}  # fmt: skip


def test_lm_eval_reads_what_it_asks_for(address):
    """Its bodies (0.4.13), by `local-chat-completions` and `local-completions`."""
    chat = {"messages": QUESTION, **ASKED_BY_LM_EVAL}
    (choice,) = httpx2.post(f"{address}/v1/chat/completions", json=chat).json()["choices"]
    assert choice["index"] == 0
    assert "boxed" in choice["message"]["content"]
    texts = {"prompt": ["What is 6 times 7?", "What is 7 times 6?"], **ASKED_BY_LM_EVAL}
    choices = httpx2.post(f"{address}/v1/completions", json=texts).json()["choices"]
    assert [one["index"] for one in choices] == [0, 1]
    assert all("boxed" in one["text"] for one in choices)
    likelihoods = {
        "model": "toy", "prompt": [[54, 42]], "temperature": 0, "max_tokens": 1, "logprobs": 1,
        "seed": 1234, "echo": True,
    }  # fmt: skip
    refused = httpx2.post(f"{address}/v1/completions", json=likelihoods)
    assert refused.status_code == 400
    assert "logprobs" in refused.json()["error"]["message"]


@pytest.fixture(scope="module")
def budgeted(tmp_path_factory):
    """Controllers that spend in every way there is, one of them sealed."""
    mine = tmp_path_factory.mktemp("mine") / "mine.py"
    mine.write_text(programs.parse("sc").source.text)
    names = {name: name for name in ("sc", "short-mk", "cmc", "race-prune", "asc", "esc")}
    with serving(
        ScriptedBranches(longest=120), controllers={**names, "mine": str(mine)}
    ) as address:
        yield address


@pytest.mark.parametrize("name", ["sc", "short-mk", "cmc", "race-prune", "asc", "mine"])
@pytest.mark.parametrize(
    ("limit", "most"),
    [("max_total_tokens", 200), ("max_total_tokens", 900), ("max_cost", 0.003), ("max_cost", 0.02)],
)
def test_nothing_is_decoded_or_read_that_a_budget_does_not_pay_for(budgeted, name, limit, most):
    """Finished branches included, and prompts read again before every interval."""
    reply = post(budgeted, controller=name, beta=1, seed=2, **{limit: most}).json()
    account = reply["usage"]["autotts"]
    assert 0 < account["cost" if limit == "max_cost" else "total_tokens"] <= most
    assert account["branches"] >= 1
    if name == "sc":  # which leaves nothing
        assert account["stop_reason"].startswith("budget")


def test_what_is_cached_leaves_more_of_a_cost():
    """The same with a server that reads a branch once only, and says so."""

    class Caching(ScriptedBranches):
        async def decode(self, context, **how):
            decoded = await super().decode(context, **how)
            return replace(decoded, cached_tokens=len(context))

    accounts = []
    for server in (ScriptedBranches(), Caching()):
        with serving(server, controllers={"sc": "sc"}) as address:
            reply = post(address, beta=1, seed=2, max_cost=0.008).json()
            accounts.append(reply["usage"]["autotts"])
    plain, cached = accounts
    assert plain["cost"] <= 0.008
    assert cached["cost"] <= 0.008
    assert cached["finished"] > plain["finished"]


@pytest.mark.parametrize(
    ("said", "where", "says"),
    [
        ({"max_cost": 0.00005}, "max_cost", "to read the prompt once"),
        ({"max_cost": 0.003, "controller": "esc"}, "max_cost", "opens several at once"),
        ({"max_total_tokens": 60, "controller": "esc"}, "max_total_tokens", "opens several"),
    ],
)
def test_a_budget_that_pays_for_nothing_is_refused(budgeted, said, where, says):
    reply = post(budgeted, **{"beta": 1, **said})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == where
    assert says in reply.json()["error"]["message"]


def test_a_deadline_gives_the_best_vote_so_far():
    with serving(ScriptedBranches(seconds=0.05, longest=300)) as address:
        began = time.monotonic()
        reply = post(address, model="toy@cmc:1", deadline_seconds=0.4).json()
    assert time.monotonic() - began < 2
    assert reply["usage"]["autotts"]["stop_reason"].startswith("deadline")
    assert reply["choices"][0]["finish_reason"] in ("stop", "length")


def test_a_stream_keeps_alive_and_tells_progress_on_request():
    server = ScriptedBranches(seconds=0.05)
    with serving(server, keep_alive_seconds=0.02) as address:
        plain = post(address, stream=True, model="toy@cmc:0").text
        events = post(address, stream=True, progress="events", model="toy@cmc:0").text
        reasoning = post(address, stream=True, progress="reasoning", model="toy@cmc:0").text
    assert ": still running" in plain
    assert "autotts.progress" not in plain
    assert "reasoning_content" not in plain
    told = [
        json.loads(part.partition("data: ")[2])
        for part in events.split("\n\n")
        if part.startswith("event: autotts.progress")
    ]
    assert [one["rounds"] for one in told] == sorted({one["rounds"] for one in told})
    assert told[0]["branches"] > 0
    assert "branches finished" in reasoning


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_what_is_decoded(stream):
    server = ScriptedBranches(seconds=30)
    with serving(server) as address:
        with pytest.raises(httpx2.TimeoutException):
            httpx2.post(
                f"{address}/v1/chat/completions",
                json={"messages": QUESTION, "stream": stream},
                timeout=httpx2.Timeout(0.5),
            )
        until = time.monotonic() + 1
        while server.running and time.monotonic() < until:
            time.sleep(0.01)
        assert server.running == 0
        text = httpx2.get(f"{address}/metrics").text
    assert "autotts_cancelled_total 1.0" in text
    assert "autotts_running 0.0" in text


def test_a_failing_upstream_is_a_502_and_the_next_request_is_served(caplog):
    with serving(ScriptedBranches(fails=1)) as address:
        failed = post(address)
        assert failed.status_code == 502
        assert failed.json()["error"]["message"] == "the upstream said no"
        assert post(address).status_code == 200
    (line,) = [record for record in caplog.records if record.getMessage() == "failed"]
    assert (line.path, line.status, line.why) == (
        "/v1/chat/completions", 502, "the upstream said no",
    )  # fmt: skip


def test_the_log_has_why_a_request_failed_and_nothing_that_it_said(server, monkeypatch, caplog):
    """Nor what an upstream repeats of it."""

    async def refuses(*_, **__):
        raise ServerError(f"http://up: HTTP 400: can't read {QUESTION}, 5 times")

    caplog.set_level("INFO", "autotts.serve")
    monkeypatch.setattr(server, "render", refuses)
    with serving(server) as address:
        post(address)
        post(address, stream=True)
        post(address, controller="SECRET")
        post(address, messages=[{"role": "SECRET"}])
    told = [
        (record.getMessage(), record.status, getattr(record, "why", ""))
        for record in caplog.records
        if record.name == "autotts.serve"
    ]
    assert told[:2] == [("failed", 502, "http://up: HTTP 400")] * 2
    assert [each[:2] for each in told[2:]] == [("refused", 400)] * 2
    assert "SECRET" not in str([vars(record) for record in caplog.records])
    assert "6 times 7" not in str([vars(record) for record in caplog.records])


def test_a_failure_within_a_stream_is_its_last_event():
    with serving(ScriptedBranches(fails=1)) as address:
        text = post(address, stream=True).text
    assert '"the upstream said no"' in text
    assert text.endswith("data: [DONE]\n\n")


def test_keys_are_asked_for():
    with serving(ScriptedBranches(), keys=["secret-1", "secret-2"]) as address:
        assert post(address).status_code == 401
        assert post(address, headers={"Authorization": "Bearer secret"}).status_code == 401
        assert httpx2.get(f"{address}/v1/models").status_code == 401
        assert httpx2.get(f"{address}/metrics").status_code == 401
        assert httpx2.get(f"{address}/health").status_code == 200
        assert post(address, headers={"Authorization": "Bearer secret-2"}).status_code == 200


def test_more_than_may_wait_are_told_to_come_back():
    server = ScriptedBranches(seconds=0.2)
    limits = ServiceLimits(branch_tokens=400, branches=8, requests=1, waiting=1)
    with serving(server, limits=limits) as address:

        async def many():
            async with httpx2.AsyncClient(timeout=60) as client:
                asked = {"messages": QUESTION, "beta": 0}
                posts = (client.post(f"{address}/v1/chat/completions", json=asked) for _ in "1234")
                return await asyncio.gather(*posts)

        replies = asyncio.run(many())
    statuses = sorted(reply.status_code for reply in replies)
    assert statuses == [200, 200, 429, 429]
    full = next(reply for reply in replies if reply.status_code == 429)
    assert int(full.headers["retry-after"]) >= 1


def test_metrics_count_what_was_spent():
    with serving(ScriptedBranches()) as address:
        account = post(address, seed=1).json()["usage"]["autotts"]
        text = httpx2.get(f"{address}/metrics").text
    decoded = account["total_tokens"] - account["probe_tokens"]
    assert f'autotts_tokens_total{{kind="decoded"}} {float(decoded)}' in text
    assert f'autotts_branches_total{{controller="cmc"}} {float(account["branches"])}' in text
    assert 'autotts_stops_total{reason="answered"} 1.0' in text


def test_a_program_of_others_is_served_sealed(tmp_path):
    program = tmp_path / "mine.py"
    program.write_text(
        '"""Mine."""\n\n\ndef schedule(beta):\n    return {"width": round(2 + 4 * beta)}\n\n\n'
        "def solve(env, p):\n    env.branch(p.width)\n    env.finish(env.active())\n"
        "    return env.vote()\n"
    )
    with serving(ScriptedBranches(), controllers={"mine": str(program)}) as address:
        account = post(address, beta=0.5).json()["usage"]["autotts"]
    assert (account["controller"], account["branches"], account["finished"]) == ("mine", 4, 4)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(("logprobs", "answer"), [(20, "42"), (0, "")])
def test_a_program_reads_the_signals_of_what_is_decoded(tmp_path, sealed, logprobs, answer):
    """It answers with its surest branch, which only the server's log-probabilities tell."""
    program = tmp_path / "surest.py"
    program.write_text(
        '"""The surest."""\n\nimport numpy as np\n\n\n'
        "def schedule(beta):\n    return {}\n\n\n"
        "def solve(env, p):\n    env.branch(9)\n    env.finish(env.active())\n"
        "    best, at = -np.inf, -1\n    for i in range(env.n):\n"
        '        sure = env.signal("confidence", i)[0]\n'
        "        if sure > best:\n            best, at = sure, i\n"
        "    return env.answer[at] if at >= 0 else -1\n"
    )
    spec = programs.parse(str(program))
    if not sealed:
        spec = replace(spec, source=replace(spec.source, trusted=True))
    with serving(ScriptedBranches(right=0.3, logprobs=logprobs), specs={"mine": spec}) as address:
        account = post(address, seed=4).json()["usage"]["autotts"]
    assert account["answer"] == answer


def test_what_is_not_served_is_passed_on_untouched_where_the_operator_wants_it(address):
    asked = {"model": "toy@cmc:0.3", "messages": QUESTION, "n": 2}
    with serving(ScriptedBranches(), passed_on=[PassedOn(address, "")]) as front:
        # The upstream is a service that refuses it: its very words come back.
        passed = httpx2.post(f"{front}/v1/chat/completions", json=asked)
        served = httpx2.post(f"{front}/v1/chat/completions", json={**asked, "n": 1})
    assert passed.status_code == 400
    assert passed.json()["error"]["param"] == "n"
    assert served.json()["usage"]["autotts"]["beta"] == 0.3


def test_without_a_readable_answer_the_longest_finished_branch_is_returned(address):
    asked = {"answers": {"type": "json", "field": "x"}, "controller": "short-mk", "seed": 1}
    reply = post(address, **asked).json()
    assert "no branch gave an answer" in reply["usage"]["autotts"]["stop_reason"]
    assert reply["choices"][0]["message"]["content"].endswith("}")


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (None, None, 200),
        ("{}", None, 200),
        ("https://evil.example", None, 403),
        ("null", None, 403),
        ("http://[", None, 403),
        ("http://evil.example", "evil.example", 403),
        (None, "evil.example:8080", 403),
        (None, "127.0.0.1.evil.example", 403),
        (None, "localhost:8080", 200),
        (None, "127.1.2.3", 200),
        (None, "[::1]:8080", 200),
    ],
)
def test_without_keys_no_page_of_another_site_spends_tokens(address, origin, host, status):
    """Nor reads anything, by a name that was made to lead here."""
    said = {"origin": origin and origin.format(address), "host": host}
    headers = {name: value for name, value in said.items() if value is not None}
    reply = post(address, headers=headers, beta=0)
    assert reply.status_code == status, reply.text
    assert httpx2.get(f"{address}/metrics", headers=headers).status_code == status


def test_the_description_names_what_is_checked(address):
    described = httpx2.get(f"{address}/openapi.json").json()
    fields = described["components"]["schemas"]["ChatBody"]["properties"]
    assert fields["beta"]["anyOf"][0]["maximum"] == 1
    assert set(described["paths"]) == {
        "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/models",
        "/v1/models/{model}", "/health", "/metrics",
    }  # fmt: skip


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = sorted({*ChatBody.model_fields, *CompletionBody.model_fields, "n", "tools", "logprobs"})


@pytest.fixture
def asking(address):
    """A client that is made once: making one takes longer than most requests."""
    with httpx2.Client(base_url=address, timeout=30) as client:
        yield client


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(["/v1/chat/completions", "/v1/completions"]),
    body=st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=4),
    beta=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=9),
)
def test_no_body_is_a_500(asking, path, body, beta):
    headers = {"content-type": "application/json"}
    if beta is not None:
        headers["X-AutoTTS-Beta"] = beta
    content = json.dumps({"prompt": "6*7", "messages": QUESTION, "max_tokens": 30, **body})
    reply = asking.post(path, content=content.encode(), headers=headers)
    assert reply.status_code in (200, 400, 404)


def told_by(text):
    """The progress of a stream, event by event."""
    parts = [part for part in text.split("\n\n") if part.startswith("event: autotts.progress")]
    return [json.loads(part.split("data: ", 1)[1]) for part in parts]


@pytest.mark.parametrize("controller", ["cmc", "short-mk", "race-prune"])
def test_a_trace_that_is_told_piece_by_piece_is_all_that_happened(controller):
    """Its steps are in order, and their tokens are what the episode spent."""
    with serving(ScriptedBranches(), controllers={controller: controller}) as address:
        reply = post(
            address, stream=True, progress="trace", seed=3, beta=0.4,
            stream_options={"include_usage": True},
        ).text  # fmt: skip
        plain = post(address, stream=True, progress="events", seed=3, beta=0.4).text
    told = told_by(reply)
    steps = [step for one in told for step in one["steps"]]
    answers = [text for one in told for text in one["answers"]]
    account = json.loads(reply.split("data: ")[-2])["usage"]["autotts"]
    assert [step[0] for step in steps] == sorted(step[0] for step in steps)
    assert steps[-1][0] == told[-1]["rounds"] == account["rounds"]
    assert sum(step[5] for step in steps) == told[-1]["tokens"]
    assert len({step[2] for step in steps}) == account["branches"]
    assert sum(step[1] == control.FINISH for step in steps) == account["finished"]
    assert sum(step[1] == control.PRUNE for step in steps) == account["pruned"]
    assert account["answer"] in answers
    assert max(step[4] for step in steps) < len(answers) == len(set(answers))
    assert told[-1]["ahead"] == []
    assert all(set(one) == {"rounds", "branches", "finished", "tokens"} for one in told_by(plain))


def test_a_trace_tells_what_is_being_decoded_in_a_long_round():
    with serving(ScriptedBranches(seconds=0.25), controllers={"sc": "sc:width=4"}) as address:
        told = told_by(post(address, stream=True, progress="trace", seed=3).text)
    assert any(ahead for one in told for _, ahead in one["ahead"])


def test_a_page_stands_at_the_root_and_says_nothing_of_the_service():
    with serving(ScriptedBranches(), page="<p>hello", keys=["secret"]) as address:
        reply = httpx2.get(address)
        assert (reply.status_code, reply.text) == (200, "<p>hello")
        assert reply.headers["content-security-policy"] == "frame-ancestors 'none'"
        assert "access-control-allow-origin" not in reply.headers
        assert httpx2.get(f"{address}/v1/models").status_code == 401
    with serving(ScriptedBranches()) as address:
        assert httpx2.get(address).status_code == 404
