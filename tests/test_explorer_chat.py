"""The chat explorer end to end: a real HTTP server, a real run, and all that can go wrong."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

import chat_server as served
import discover_toy as toy
from autotts.discovery.explorers import chat, models
from autotts.discovery.explorers.chat import make
from autotts.discovery.loop import Discovery, SessionEnd
from autotts.discovery.run.events import VERSION
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import RunLimits
from autotts.errors import ProposalError, ServerError, SpecError

pytest.importorskip("httpx2", reason="the extra `explorers` is not installed")

KEY = "sk-a-key-that-must-not-be-written"
BROKEN = "def schedule(beta):\n    return {'a': beta}\n\n\ndef solve(env, p)\n    return 0\n"
CHEAT = '''"""Looks where it may not."""


def schedule(beta):
    return {"width": 1 + round(9 * beta)}


def solve(env, p):
    return env._pool.gold
'''


def reply(program: str, idea: str = "Wider.") -> str:
    return f"## Idea\n{idea}\n\n## Learned\nRound 0.\n\n## Program\n```python\n{program}```\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.store_folder(tmp_path_factory.mktemp("stores"))


class Chatted:
    """A run of the chat explorer against a scripted server."""

    def __init__(self, folder: Path, store: Path, url: str, rounds: int, **changes: Any) -> None:
        self.folder = folder
        limits = changes.pop("limits", RunLimits(rounds=rounds))
        proposals = changes.pop("proposals", 1)
        self.explorer = make(
            {"model": "scripted", "base_url": url, "backoff": "0.001", "retries": "2"} | changes
        )
        made = toy.settings(store, limits=limits, proposals=proposals, baselines=())
        RunFolder.create(folder, made)

    def go(self, limits: RunLimits | None = None) -> SessionEnd:
        return toy.session(self.folder, self.explorer, limits)

    def events(self, kind: str) -> list[Any]:
        return [e for e in toy.lines(self.folder) if e["event"] == kind]

    @property
    def replies(self) -> list[str]:
        return [event["reply"]["kind"] for event in self.events("reply")]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def test_a_program_is_proposed_with_its_words(tmp_path: Path, store: Path) -> None:
    """What the model wrote is the round's proposal, and what the server counted its cost."""
    with served.serving(served.says(reply(toy.program()))) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1)
        outcome = run.go()
        asked = server.requests[0][1]
    assert outcome.best is not None
    assert outcome.best.proposal.source == toy.program()
    assert outcome.best.proposal.idea == "Wider."
    assert (outcome.best.proposal.usage.input_tokens, outcome.best.proposal.usage.calls) == (100, 1)
    assert "The rules" in asked["messages"][0]["content"]
    assert json.loads((run.folder / "rounds/0001/cost.json").read_text())["usd"] == "unpriced"


def test_a_syntax_error_is_repaired_in_one_turn(tmp_path: Path, store: Path) -> None:
    """The model is told what is wrong, line and all, and its second program is taken."""
    script = served.says(reply(BROKEN)), served.says(reply(toy.program()))
    with served.serving(*script) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1)
        best = run.go().best
        messages = server.requests[1][1]["messages"]
    assert best is not None
    assert best.proposal.source == toy.program()
    assert best.proposal.usage.calls == 2
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert "line 5" in messages[2]["content"]


def test_a_cheat_is_refused_and_the_next_round_is_told(tmp_path: Path, store: Path) -> None:
    """A program that insists on cheating fails its round; the loop goes on, the history tells."""
    cheat = served.says(reply(CHEAT, "Take the answer."))
    with served.serving(cheat, cheat, served.says(reply(toy.program()))) as server:
        run = Chatted(tmp_path / "run", store, server.url, 2)
        best = run.go().best
        told = server.requests[2][1]["messages"][0]["content"]
    first = run.events("scored")[0]
    assert first["errors"]
    assert first["area"] is None
    assert best is not None
    assert best.round == 2
    assert "Take the answer." in told
    assert "Refused: line 9" in told


def test_failures_that_pass_are_tried_again(tmp_path: Path, store: Path) -> None:
    """429 with Retry-After, 500, an empty reply, a reset, no JSON: recorded and survived."""
    script = [
        served.fails(429, Retry_After="0.3"),
        served.fails(500),
        served.says("", tokens=(100, 0)),
        served.resets,
        served.sends_no_json,
        served.sends_a_page,
        served.stops_short,
        served.says(reply(toy.program())),
    ]
    with served.serving(*script) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1, retries="7")
        began = time.monotonic()
        best = run.go().best
    assert best is not None
    assert time.monotonic() - began > 0.3
    unread = ["disconnected", "unreadable", "unreadable", "disconnected", "answered"]
    assert run.replies == ["busy", "failed", "empty", *unread]
    usage = [event["usage"] for event in run.events("reply")]
    assert [u["output_tokens"] > 0 for u in usage] == [False] * 3 + [True, False, False, True, True]
    assert [u["input_tokens"] > 0 for u in usage] == [False] * 2 + [True] * 6


def test_a_server_that_hangs_is_given_up(tmp_path: Path, store: Path) -> None:
    """Time-outs are charged for what may have been read; the round fails, the next one goes on."""
    hangs = [served.hangs] * 2
    with served.serving(*hangs, served.says(reply(toy.program()))) as server:
        run = Chatted(tmp_path / "run", store, server.url, 2, timeout="0.4", retries="1")
        best = run.go().best
    assert best is not None
    assert best.round == 2
    assert run.replies == ["timeout", "timeout", "answered"]
    assert "no reply in 2 attempts" in run.events("failed")[0]["reason"]
    assert run.events("reply")[0]["usage"]["input_tokens"] > 1_000


def test_a_reply_cut_by_the_length_limit_is_asked_for_again(tmp_path: Path, store: Path) -> None:
    """Half a program is none: the model is told of the limit, and asked for a shorter one."""
    half = reply(toy.program())[:-60]
    script = served.says(half, reason="length"), served.says(reply(toy.program()))
    with served.serving(*script) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1, max_tokens="777")
        best = run.go().best
        told = server.requests[1][1]["messages"][2]["content"]
    assert run.replies == ["cut", "answered"]
    assert best is not None
    assert best.proposal.source == toy.program()
    assert "cut at 777 tokens" in told


def test_no_program_at_all_fails_the_round(tmp_path: Path, store: Path) -> None:
    """A model that only talks is asked once more, and then the round is recorded as failed."""
    with served.serving(served.says("I would rather not.")) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1)
        outcome = run.go()
    assert outcome.best is None
    assert outcome.stopped == ""
    assert "no Python code block" in run.events("failed")[0]["reason"]


def test_keys_are_written_nowhere(tmp_path: Path, store: Path) -> None:
    """Not in settings, not in events, not in errors, though the server repeats the key."""
    with served.serving(served.echoes_the_key) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1)
        run.go()
        assert server.requests[0][0]["authorization"] == f"Bearer {KEY}"
    reason = run.events("stopped")[0]["reason"]
    assert "refused" in reason
    assert "[OPENAI_API_KEY]" in reason
    assert KEY not in json.dumps(run.explorer.settings())
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    assert {"run.toml", "events.jsonl"} <= {path.name for path in files}
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_replies_are_paid_once(tmp_path: Path, store: Path) -> None:
    """A run that stopped goes through its recorded replies again without a single request."""
    script = served.fails(500), served.says(reply(BROKEN)), served.says(reply(toy.program()))
    with served.serving(*script) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1)
        run.go()
        assert len(server.requests) == 3
        log = run.folder / "events.jsonl"
        kept = log.read_bytes().splitlines(keepends=True)
        proposed = next(n for n, line in enumerate(kept) if b'"event": "proposed"' in line)
        before = json.loads(kept[proposed])["proposals"]
        log.write_bytes(b"".join(kept[:proposed]))
        run.go()
        assert len(server.requests) == 3
    assert run.events("proposed")[0]["proposals"] == before


def test_several_proposals_are_asked_for_side_by_side(tmp_path: Path, store: Path) -> None:
    """Best of n: each has a conversation of its own, and one that fails does not spoil the rest."""
    script = served.says(reply(toy.program(9))), served.says(reply(toy.program(12)))
    with served.serving(*script) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1, proposals=2)
        run.go()
        seeds = {body["seed"] for _, body in server.requests}
    assert len(run.events("proposed")[0]["proposals"]) == 2
    assert len(seeds) == 2


def test_a_limit_in_dollars_stops_before_it_is_passed(tmp_path: Path, store: Path) -> None:
    """The price comes from the user's table; a call that may not fit is not sent."""
    prices = tmp_path / "prices.toml"
    prices.write_text('["scripted"]\ninput = 1.0\noutput = 10.0\n')
    with served.serving(served.says(reply(toy.program()))) as server:
        run = Chatted(
            tmp_path / "run", store, server.url, 1,
            prices=str(prices), limits=RunLimits(rounds=1, usd=0.05),
        )  # fmt: skip
        stopped = run.go().stopped
        assert "USD" in stopped
        assert not server.requests
        assert run.go(RunLimits(rounds=1, usd=1.0)).best is not None
    assert run.events("reply")[0]["usage"]["usd"] == pytest.approx((100 + 20 * 10) / 1e6)
    assert run.explorer.estimate(5, 1).usd == pytest.approx(10 * (16_000 + 160_000) / 1e6)


def test_without_a_price_nothing_is_free(tmp_path: Path) -> None:
    """Unknown is unpriced; a model that a table lacks is an error, not nothing."""
    with served.serving(served.fails(500)) as server:
        explorer = make({"model": "scripted", "base_url": server.url})
        assert explorer.estimate(5, 2).usd is None
        prices = tmp_path / "prices.toml"
        prices.write_text("[other]\ninput = 1\noutput = 2\n")
        with pytest.raises(SpecError, match="no price of 'scripted'; it has other"):
            make({"model": "scripted", "base_url": server.url, "prices": str(prices)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs a model"),
        ({"model": "gpt"}, "needs OPENAI_API_KEY"),
        ({"model": "claude-x"}, "needs ANTHROPIC_API_KEY"),
        ({"model": "m", "base_url": "http://me:key@host/v1"}, "no key in base_url"),
        ({"model": "m", "base_url": "http://host/v1", "timeout": "soon"}, "timeout='soon'"),
        ({"model": "m", "modell": "n"}, "did you mean model"),
        ({"model": "m", "provider": "nobody"}, "there are openai and anthropic"),
        ({"model": "m", "base_url": "host:8000/v1"}, "no scheme; do you mean http://host:8000/v1"),
        ({"model": "m", "base_url": "http://host/v1/chat/completions"}, "leave out"),
        ({"model": "m", "base_url": "http://host/v1 "}, "spaces"),
        ({"model": "m", "omit": "seed,sed"}, "sed can't be left out; of seed, stream"),
        ({"model": "m", "extra_body": "{top_p: 1}"}, "extra_body is no JSON"),
        ({"model": "m", "extra_body": "[" * 100_000}, "extra_body is no JSON"),
        ({"model": "m", "extra_body": '{"model": "n"}'}, "without model, messages, stream"),
    ],
)
def test_wrong_options_say_what_would_work(
    options: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(SpecError, match=message):
        make(options)


def test_a_key_in_an_option_is_not_recorded() -> None:
    with pytest.raises(SpecError, match="no key in extra_body") as caught:
        make({"model": "m", "base_url": "http://host/v1", "extra_body": f'{{"key": "{KEY}"}}'})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "step",
    [
        served.completes(reply(toy.program()), {"prompt_tokens": None, "total_tokens": 9}),
        served.completes("", reasoning_content=reply(toy.program())),
        served.says(f"<think>\n{reply(CHEAT)}</think>\n{reply(toy.program())}", tokens=None),
        served.says(f"```markdown\n{reply(toy.program())}```\n".replace("\n", "\r\n")),
        served.forbids(served.says(reply(toy.program())), "seed", "stream_options"),
        served.completes([{"type": "text", "text": reply(toy.program())}]),  # type: ignore[arg-type]
    ],
)
def test_odd_servers_are_understood_at_once(step: served.Step, tmp_path: Path, store: Path) -> None:
    """One paid call, one program, and counts that are numbers."""
    with served.serving(step) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1)
        best = run.go().best
    assert best is not None
    assert best.proposal.source == toy.program()
    assert run.replies == ["answered"]
    usage = best.proposal.usage
    assert (usage.calls, usage.input_tokens > 0, usage.output_tokens > 0) == (1, True, True)


def test_what_the_server_does_not_do_is_said_once(tmp_path: Path, store: Path) -> None:
    step = served.forbids(served.says(reply(toy.program()), tokens=None), "seed")
    with served.serving(step) as server:
        run = Chatted(tmp_path / "run", store, server.url, 3)
        said: list[str] = []
        with RunFolder(run.folder).open() as opened:
            Discovery(opened, run.explorer, said.append).go()
    assert len([line for line in said if "refuses the field seed" in line]) == 1
    assert len([line for line in said if "does not count tokens" in line]) == 1


def test_a_refusal_fails_at_once_with_the_servers_words(tmp_path: Path, store: Path) -> None:
    """And costs nothing."""
    step = served.sends(b'{"error": {"message": "no such key", "code": 401}}')
    with served.serving(step) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1)
        run.go()
        assert len(server.requests) == 1
    assert "no such key" in run.events("stopped")[0]["reason"]
    assert run.events("reply")[0]["usage"] == {
        "calls": 1, "input_tokens": 0, "output_tokens": 0, "usd": 0.0,
    }  # fmt: skip


def test_a_server_that_was_mended_is_asked_again(tmp_path: Path, store: Path) -> None:
    """A run that stopped on a refusal, or on an error of ours, goes on when it is resumed."""
    with served.serving(served.fails(401), served.says(reply(toy.program()))) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1)
        run.go()
        log = run.folder / "events.jsonl"
        kept = log.read_bytes().splitlines(keepends=True)
        assert run.go().best is not None
        assert len(server.requests) == 2
        replied = next(n for n, line in enumerate(kept) if b'"event": "reply"' in line)
        broke = json.loads(kept[replied])
        del broke["reply"]
        broke |= {"event": "call-failed", "error": "TypeError: no"}
        log.write_bytes(b"".join(kept[:replied]) + json.dumps(broke).encode() + b"\n")
        assert run.go().best is not None
        assert len(server.requests) == 3


def test_a_record_without_counts_can_be_read(tmp_path: Path, store: Path) -> None:
    """Older runs recorded null where a server counted nothing."""
    with served.serving(served.says(reply(toy.program()))) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1)
        run.go()
        log = run.folder / "events.jsonl"
        kept = log.read_bytes().splitlines(keepends=True)
        upto = next(n for n, line in enumerate(kept) if b'"event": "proposed"' in line)
        nulls = b"".join(kept[:upto]).replace(f'"version": {VERSION}, '.encode(), b"")
        nulls = nulls.replace(b'"input_tokens": 100', b'"input_tokens": null')
        log.write_bytes(nulls)
        assert run.go().best is not None
        assert len(server.requests) == 1


def test_a_run_of_refusals_says_so_to_the_loop(tmp_path: Path, store: Path) -> None:
    """What will not pass is another error than what may: the loop need not try each round."""
    with served.serving(served.fails(403), served.fails(500)) as server:
        run = Chatted(tmp_path / "run", store, server.url, 1, retries="0", proposals=1)
        with RunFolder(run.folder).open() as opened:
            session = Discovery(opened, run.explorer, lambda words: None)
            with pytest.raises(ServerError):
                run.explorer.propose(session._turn(1))
            with pytest.raises(ProposalError) as caught:
                run.explorer.propose(session._turn(2))
    assert not isinstance(caught.value, ServerError)


def test_the_wait_doubles_up_to_a_limit() -> None:
    waits = models.backoff(20.0)
    assert [next(waits) for _ in range(5)] == [20.0, 40.0, 80.0, 120.0, 120.0]
    assert chat.OPTIONS["repairs"] == "1"
