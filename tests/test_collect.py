"""Collecting: exact, resumable, and nothing that a server did wrong becomes data."""

import asyncio
import base64
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import model_server
from autotts import collect, programs, stores
from autotts.answers import FAILED, extract
from autotts.cli.app import app
from autotts.collect.branches import Collected
from autotts.errors import ServerError, SpecError, StoreError
from autotts.evaluation import Experiment
from autotts.inference import Patience, connect
from autotts.inference.branch import seed_of
from autotts.replay.in_process import InProcess
from autotts.replay.task import Cell
from model_server import PROMPT_END, SUFFIX, ModelServer, serving

QUESTIONS = ("how many?", "which one is it?", "why?")
QUICK = Patience(timeout_seconds=5, attempts=9, first_wait_seconds=0.01, longest_wait_seconds=0.05)
INTERVAL = 25
WINDOW = 40


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """A file of questions whose answer is their length: what about half of the branches say."""
    path = tmp_path / "lengths.jsonl"
    rows = [{"id": f"q{k}", "question": q, "answer": str(len(q))} for k, q in enumerate(QUESTIONS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def plan_of(items: Any, **changes: Any) -> collect.Plan:
    fields = {
        "model": "toy", "dataset": "lengths", "branches": 4, "interval": INTERVAL,
        "max_tokens": 400, "prompt": "{question}", "probe": SUFFIX,
        "questions": collect.digest_of(items),
    }  # fmt: skip
    return collect.Plan(**{**fields, **changes})


def collected(
    questions: Path,
    out: Path,
    *servers: ModelServer,
    resume: bool = False,
    controller: str = "",
    keep: tuple[str, ...] = (),
    **changes: Any,
) -> tuple[stores.Store, Collected]:
    """Collect in this process; faults begin after connecting."""
    items = collect.read_questions(str(questions))

    async def run() -> tuple[stores.Store, Collected]:
        faults = [server.faults for server in servers]
        for server in servers:
            server.faults = []
        connected = [await connect(s.url, at_once=8, patience=QUICK) for s in servers]
        for server, later in zip(servers, faults, strict=True):
            server.faults = later
        try:
            store, collection = await collect.collect(
                plan_of(items, **changes), items, connected, out,
                collect.Session(
                    8,
                    resume,
                    controller=programs.parse(controller) if controller else None,
                    keep=keep,
                ),
            )  # fmt: skip
        finally:
            for server in connected:
                await server.aclose()
        return store, collection.collected

    return asyncio.run(run())


def branch_of(question: str, k: int, n: int, interval: int = INTERVAL) -> dict[str, Any]:
    """What the model says in a branch by itself, without any server: the truth."""
    ids: list[int] = []
    probes, depth = [], 0
    while model_server.EOS not in ids:
        text = question + PROMPT_END + model_server.decode(ids)
        if depth:
            said = model_server.decode(model_server.continued(text + SUFFIX, 0, 20))
            probes.append(extract(SUFFIX + said) if said else FAILED)
        ids += model_server.continued(text, seed_of(0, f"q{k}", n, depth), interval)
        depth += 1
    final = extract(model_server.decode(ids))
    return {"tokens": len(ids), "final": final, "probes": [*probes, final]}


def as_recorded(store: stores.Store, q: int, n: int) -> dict[str, Any]:
    pool, answers = store.pool, store.answers[q]
    depth = pool.lengths[q, n]
    return {
        "tokens": pool.tokens[q, n],
        "final": answers[pool.finals[q, n]],
        "probes": [answers[code] for code in pool.require_probes()[q, n, :depth]],
    }


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llamacpp", "text"])
def test_a_store_is_what_the_model_says(dialect, questions, tmp_path):
    """Token for token, probe for probe, in each dialect; and it lies there as a sound store."""
    written = {"chat": False, "prompt": "{question}" + PROMPT_END} if dialect == "text" else {}
    with serving(dialect) as server:
        store, found = collected(questions, tmp_path / "out", server, **written)
    for q, question in enumerate(QUESTIONS):
        for n in range(4):
            assert as_recorded(store, q, n) == branch_of(question, q, n)
    checked = stores.check(tmp_path / "out" / "toy" / "lengths")
    assert checked.digest == store.digest
    assert checked.pool.billing == "exact"
    assert checked.manifest.sampling["token_exact"] == (dialect != "text")
    assert bool(checked.manifest.tokens_counted) == (dialect == "text")
    assert 0 < checked.correct.mean() < 1
    assert checked.used["probe_tokens"].sum() == found.probe_tokens
    assert server.tokens == found.decoded


def test_every_fault_leaves_the_store_as_it_would_be(questions, tmp_path):
    """A reply that is cut, empty, not JSON or doesn't add up is asked for again, never stored."""
    from test_inference import FAULTS

    with serving("vllm") as server:
        sound, _ = collected(questions, tmp_path / "sound", server)
    faults = [fault for _, fault in FAULTS.values()]
    random.Random(3).shuffle(faults)
    with serving("vllm", *faults) as server:
        store, found = collected(questions, tmp_path / "out", server)
        assert server.faults == []
    assert store.digest == sound.digest
    assert found.failed == {}


def command(questions: Path, out: Path, url: str, *more: object) -> list[str]:
    options = [
        "--server", url, "--questions", questions, "--out", out, "--branches", 4,
        "--interval", INTERVAL, "--max-tokens", 400, "--prompt", "{question}", "--probe", SUFFIX,
        "--at-once", 6, *more,
    ]  # fmt: skip
    return [sys.executable, "-m", "autotts", "collect", *map(str, options)]


def test_killed_at_any_instant_nothing_is_lost_and_nothing_paid_twice(questions, tmp_path):
    """But for the intervals in flight: those that were asked for again, at most one a branch."""
    rng = random.Random(1)
    with serving("vllm") as server:
        sound, whole = collected(questions, tmp_path / "sound", server)
    kills = 3
    with serving("vllm", token_seconds=0.004) as server:
        asked = command(questions, tmp_path / "out", server.url, "--resume")
        for _ in range(kills):
            process = subprocess.Popen(asked, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
            most = server.tokens + rng.uniform(0.05, 0.25) * whole.decoded
            until = time.monotonic() + 60
            while server.tokens < most and time.monotonic() < until:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert process.returncode == -signal.SIGKILL
        process = subprocess.Popen(asked, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        said, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
        journal = tmp_path / "out" / "toy" / "lengths.collecting" / "journal.jsonl"
        found = collect.read_collected(journal)
        time.sleep(0.3)
        paid = server.tokens
        bodies = [b for b in server.bodies() if len(b["prompt"]) > 8]
    assert b"wrote" in said
    store = stores.check(tmp_path / "out" / "toy" / "lengths")
    assert store.digest == sound.digest
    assert found.decoded <= paid <= found.decoded + kills * (6 * INTERVAL + 16)
    again = len(bodies) - len({json.dumps([b["prompt"], b["seed"]]) for b in bodies})
    assert again <= kills * 6


def test_a_last_line_that_was_cut_is_dropped_and_asked_for_again(questions, tmp_path):
    with serving("vllm") as server:
        sound, _ = collected(questions, tmp_path / "out", server)
        journal = collect.journal_path(tmp_path / "out" / "toy" / "lengths")
        whole = journal.read_bytes()
        for cut in (1, 40, 1000, 4000):
            journal.write_bytes(whole[:-cut])
            store, _ = collected(questions, tmp_path / "out", server, resume=True)
            assert store.digest == sound.digest


def test_a_journal_that_is_damaged_is_told_by_line(questions, tmp_path):
    with serving("vllm") as server:
        collected(questions, tmp_path / "out", server)
        journal = collect.journal_path(tmp_path / "out" / "toy" / "lengths")
        lines = journal.read_bytes().splitlines(keepends=True)
        for number, line in ((5, b"{nothing}\n"), (7, b'{"at": [0, 0, 9]}\n')):
            journal.write_bytes(b"".join([*lines[: number - 1], line, *lines[number:]]))
            with pytest.raises(StoreError, match=f"line {number} is damaged"):
                collected(questions, tmp_path / "out", server, resume=True)
        without = [line for line in lines if b'"at": [0, 0, 1]' not in line]
        journal.write_bytes(b"".join(without))
        with pytest.raises(StoreError, match="out of turn"):
            collected(questions, tmp_path / "out", server, resume=True)


def packed_zeros(count: int) -> str:
    return base64.b64encode(zlib.compress(bytes(4 * count))).decode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ids": packed_zeros(1 << 26)}, "other token ids than"),
        ({"ids": "####"}, "can't be unpacked|other token ids"),
        ({"ids": packed_zeros(1)[:-6]}, "can't be unpacked|other token ids"),
        ({"ids": None}, "mixed"),
        ({"tokens": 2**23}, r"8,388,6\d\d tokens"),
        ({"tokens": 2**40}, "line .* is damaged"),
        ({"at": [0, 0, 1], "text": "\ud800"}, "line .* is damaged"),
    ],
)
def test_a_journal_of_somebody_else_is_told_and_never_believed(change, words, questions, tmp_path):
    """What it packs without bound, miscounts or mixes ends in one error, and asks for nothing."""
    with serving("vllm") as server:
        collected(questions, tmp_path / "out", server)
        journal = collect.journal_path(tmp_path / "out" / "toy" / "lengths")
        records = [json.loads(line) for line in journal.read_bytes().splitlines()]
        for record in records:
            if record.get("at") == [0, 0, 1]:
                record.update(change)
        journal.write_text("".join(json.dumps(record) + "\n" for record in records))
        asked, began = len(server.bodies()), time.process_time()
        with pytest.raises(StoreError, match=words):
            collected(questions, tmp_path / "out", server, resume=True)
        assert time.process_time() - began < 3
        assert len(server.bodies()) - asked <= 8  # to try it out


@pytest.mark.parametrize(("question", "branch"), [(9, 0), (0, 9)])
def test_a_journal_has_only_branches_that_are_asked_for(question, branch, questions, tmp_path):
    with serving("vllm") as server:
        collected(questions, tmp_path / "out", server)
        journal = collect.journal_path(tmp_path / "out" / "toy" / "lengths")
        line = {"at": [question, branch, 0], "tokens": 1, "text": "a", "ids": packed_zeros(1)}
        with journal.open("a") as file:
            file.write(json.dumps(line) + "\n")
        with pytest.raises(StoreError, match=f"branch {branch} of question {question}"):
            collected(questions, tmp_path / "out", server, resume=True)


@pytest.mark.parametrize("place", ["link", "pipe", "worker's link"])
def test_a_journal_is_read_and_written_through_no_link(place, questions, tmp_path):
    """Whoever made the folder could have a file elsewhere cut, or keep us waiting."""
    journal = collect.journal_path(tmp_path / "out" / "toy" / "lengths")
    victim = tmp_path / "victim"
    with serving("vllm") as server:
        if place == "worker's link":
            collected(questions, tmp_path / "out", server)
            journal.with_name("journal-x.jsonl").touch()  # no worker's
            journal.with_name("journal-000001.jsonl").symlink_to(victim)
        else:
            journal.parent.mkdir(parents=True)
            (journal.symlink_to if place == "link" else lambda _: os.mkfifo(journal))(victim)
        victim.write_text("mine\nand mine")
        with pytest.raises(StoreError, match=r"it is a link|it is no plain file"):
            collected(questions, tmp_path / "out", server, resume=True)
    assert victim.read_text() == "mine\nand mine"


def test_a_branch_that_can_not_be_had_is_left_out_and_asked_for_again(questions, tmp_path):
    """The store is of those that ended; --resume completes it."""
    with serving("vllm") as server:
        sound, _ = collected(questions, tmp_path / "sound", server)
    refuses = [model_server.fails(400)] * 3
    with serving("vllm", *refuses) as server:
        store, found = collected(questions, tmp_path / "out", server)
        assert len(found.failed) == 3
        assert store.pool.n_branches.sum() == 9
        store, found = collected(questions, tmp_path / "out", server, resume=True)
    assert found.failed == {}
    assert store.digest == sound.digest


def test_a_server_that_fails_for_good_ends_the_collection(questions, tmp_path):
    with serving("vllm", *[model_server.fails(400)] * 40) as server:
        with pytest.raises(ServerError, match=r"(1[6-9]|20) branches failed one.*HTTP 400"):
            collected(questions, tmp_path / "out", server, branches=20)
        assert len(server.faults) > 10


def test_a_full_disk_stops_with_an_error_and_keeps_what_was_paid(questions, tmp_path):
    with serving("vllm") as server:
        sound, _ = collected(questions, tmp_path / "sound", server)
        most = 6000
        ran = subprocess.run(
            command(questions, tmp_path / "out", server.url),
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        )
        assert ran.returncode == 1
        assert "journal.jsonl: File too large; what was collected before is kept" in ran.stderr
        journal = collect.journal_path(tmp_path / "out" / "toy" / "lengths")
        kept = collect.read_collected(journal)
        assert kept.interval_tokens > 0
        before = server.tokens
        store, found = collected(questions, tmp_path / "out", server, resume=True)
    assert store.digest == sound.digest
    assert server.tokens - before == found.decoded - kept.decoded


def test_a_place_that_can_not_be_written_is_an_error_before_anything_is_asked(questions, tmp_path):
    (tmp_path / "out").write_text("a file")
    with serving("vllm") as server:
        with pytest.raises(StoreError, match="Not a directory"):
            collected(questions, tmp_path / "out", server)
        assert len(server.bodies()) == 2


def test_one_process_at_a_time(questions, tmp_path):
    journal = collect.Journal(collect.journal_path(tmp_path / "out" / "toy" / "lengths"))
    with serving("vllm") as server, pytest.raises(StoreError, match="another process"):
        collected(questions, tmp_path / "out", server)
    asyncio.run(journal.aclose())


def test_a_collection_is_gone_on_with_by_the_same_plan_only(questions, tmp_path):
    with serving("vllm") as server:
        collected(questions, tmp_path / "out", server)
        with pytest.raises(SpecError, match="is there already: go on with --resume"):
            collected(questions, tmp_path / "out", server)
        with pytest.raises(SpecError, match="another interval and temperature"):
            collected(questions, tmp_path / "out", server, resume=True, interval=9, temperature=1.0)
        with pytest.raises(SpecError, match="would leave some out"):
            collected(questions, tmp_path / "out", server, resume=True, branches=2)


def test_more_branches_are_added_to_those_that_are_there(questions, tmp_path):
    with serving("vllm") as server:
        sound, _ = collected(questions, tmp_path / "sound", server, branches=6)
        collected(questions, tmp_path / "out", server)
        before = server.tokens
        store, _ = collected(questions, tmp_path / "out", server, resume=True, branches=6)
        added = store.pool.tokens[:, 4:].sum() + store.used["probe_tokens"][:, 4:].sum()
        assert server.tokens - before == added + 16  # and the trial
    assert store.digest == sound.digest


def test_servers_share_the_work(questions, tmp_path):
    with serving("vllm", token_seconds=0.001) as one, serving("vllm", token_seconds=0.001) as two:
        store, found = collected(questions, tmp_path / "out", one, two, branches=12)
        assert min(one.tokens, two.tokens) > 100
        assert one.tokens + two.tokens == found.decoded
    assert as_recorded(store, 1, 7) == branch_of(QUESTIONS[1], 1, 7)


@pytest.mark.parametrize("keep", ["text", "ids", "ids,text"])
def test_what_branches_said_is_kept_by_their_numbers_in_the_store(
    keep, questions, tmp_path, monkeypatch
):
    """In several parts, and where branches before them are not in the store."""
    import polars as pl

    monkeypatch.setattr("autotts.collect.kept._TOKENS_A_PART", 100)
    refuses = [model_server.fails(400)] * 3
    kept = collect.kept_columns(keep)
    with serving("vllm", *refuses) as server:
        store, found = collected(questions, tmp_path / "out", server, keep=kept)
    place = collect.kept_path(store.path)
    assert len(list(place.glob("*.parquet"))) > 1
    table = pl.read_parquet(place / "*.parquet")
    assert set(table.columns) == {"question", "branch", "interval", "tokens", *kept}
    for q, texts in enumerate(store.texts):
        there = [n for n in range(4) if (QUESTIONS.index(texts), n) in found.finished]
        for branch, n in enumerate(there):
            rows = table.filter(question=q, branch=branch).sort("interval")
            assert rows["tokens"].sum() == store.pool.tokens[q, branch]
            assert rows["interval"].to_list() == list(range(len(rows)))
            whole = branch_of(texts, QUESTIONS.index(texts), n)
            if "text" in kept:
                assert extract("".join(rows["text"])) == whole["final"]
            if "ids" in kept:
                said = model_server.decode([i for ids in rows["ids"] for i in ids])
                assert extract(said) == whole["final"]


def test_what_can_not_be_kept_is_told():
    with pytest.raises(SpecError, match="'words' can't be kept; need text, ids or text,ids"):
        collect.kept_columns("text,words")


def test_final_answers_alone(questions, tmp_path):
    with serving("vllm") as server:
        store, found = collected(questions, tmp_path / "out", server, probe="")
    assert store.pool.probes is None
    assert found.probes == 0
    truth = branch_of(QUESTIONS[2], 2, 3)
    assert store.pool.tokens[2, 3] == truth["tokens"]
    assert store.answers[2][store.pool.finals[2, 3]] == truth["final"]


@pytest.mark.parametrize("dialect", ["vllm", "llamacpp", "text"])
def test_without_probes_several_intervals_come_in_one_request(
    dialect, questions, tmp_path, monkeypatch
):
    """The store has each of them; what was cut off goes on. Of text they can't be told apart."""
    monkeypatch.setattr("autotts.collect.plan._TOKENS_A_REQUEST", 4 * INTERVAL)
    written = {"chat": False, "prompt": "{question}" + PROMPT_END} if dialect == "text" else {}
    with serving(dialect) as server:
        probed, _ = collected(questions, tmp_path / "probed", server, **written)
        asked = len(server.bodies())
        store, found = collected(questions, tmp_path / "out", server, probe="", **written)
        asked = len(server.bodies()) - asked
        journal = collect.journal_path(store.path)
        lines = journal.read_bytes().splitlines(keepends=True)
        cut = tmp_path / "cut" / "toy" / "lengths"
        collect.journal_path(cut).parent.mkdir(parents=True)
        collect.journal_path(cut).write_bytes(b"".join(lines[: len(lines) // 2]))
        again, _ = collected(questions, tmp_path / "cut", server, probe="", resume=True, **written)
    requests = np.ceil(probed.pool.lengths / (1 if dialect == "text" else 4)).sum()
    trials = asked - requests
    assert 2 <= trials <= 6
    assert np.array_equal(store.pool.lengths, probed.pool.lengths)
    assert np.array_equal(store.pool.tokens, probed.pool.tokens)
    assert (store.pool.lengths > 4).any()
    for q in range(3):
        for n in range(4):
            ends = found.finished[q, n].ends.tolist()
            assert ends == [*range(INTERVAL, ends[-1], INTERVAL), ends[-1]]
    assert again.digest == store.digest


def test_chat_servers_give_final_answers_alone(questions, tmp_path):
    with serving("chat") as server:
        with pytest.raises(SpecError, match="--no-probes"):
            collected(questions, tmp_path / "out", server)
        store, _ = collected(questions, tmp_path / "other", server, probe="")
    truth = branch_of(QUESTIONS[2], 2, 3, 400)
    assert store.pool.tokens[2, 3] == truth["tokens"]
    assert store.manifest.sampling["token_exact"] is False


def test_a_branch_that_reaches_the_most_tokens_is_cut_there(questions, tmp_path):
    with serving("vllm") as server:
        store, found = collected(questions, tmp_path / "out", server, max_tokens=60)
    assert (store.pool.tokens == 60).all()
    assert (store.pool.lengths == 3).all()
    assert all(ended.cut for ended in found.finished.values())


def test_a_stop_text_ends_a_branch_though_it_lies_across_two_intervals(questions, tmp_path):
    with serving("vllm") as server:
        store, _ = collected(questions, tmp_path / "out", server, stop=("so then", "then so"))
        journal = collect.journal_path(tmp_path / "out" / "toy" / "lengths").read_text()
    whole = [branch_of(q, k, n)["tokens"] for k, q in enumerate(QUESTIONS) for n in range(4)]
    assert (store.pool.tokens.ravel() <= whole).all()
    assert (store.pool.tokens.ravel() < whole).any()
    assert "so then" not in journal or "answer is" not in journal.split("so then")[1][:40]


@pytest.mark.parametrize("resume", [False, True])
def test_a_branch_that_a_server_can_not_hold_is_told_before_it_is_paid_for(
    resume, questions, tmp_path
):
    """And who then asks for shorter ones, as the message has it, is not held to the first plan."""
    with serving("vllm") as server:
        with pytest.raises(SpecError, match=r"holds 4,096 tokens.*4,0\d\d"):
            collected(questions, tmp_path / "out", server, max_tokens=4090)
        store, _ = collected(questions, tmp_path / "out", server, resume=resume, max_tokens=60)
    assert (store.pool.tokens == 60).all()


def test_a_preset_that_can_not_be_fetched_says_what_would_work(monkeypatch):
    def load_dataset(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'HuggingFaceH4/MATH-500' on the Hub")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(SpecError, match=r"Couldn't reach .*; with a file .* --preset math500"):
        collect.read_questions("math500")


def test_the_command_collects_and_says_so(questions, tmp_path):
    with serving("vllm") as server:
        asked = command(questions, tmp_path / "out", server.url)
        tried = subprocess.run([*asked, "--dry-run"], capture_output=True, text=True, check=True)
        assert "how many?" in tried.stdout
        assert "nothing was collected" in tried.stdout
        assert not (tmp_path / "out").exists()
        prices = ("--price-in", "1", "--price-out", "2")
        ran = subprocess.run([*asked, *prices], capture_output=True, text=True, check=True)
    assert "spoken to as vllm, exact to the token" in ran.stderr
    assert "branches 12 of 12" in ran.stderr
    assert "dollars 0.0" in ran.stderr
    assert ran.stdout.startswith(
        f"wrote {tmp_path / 'out' / 'toy' / 'lengths'}: <Store toy/lengths"
    )


def test_what_it_will_cost_is_told_before_anything_is_asked(questions, tmp_path):
    """What is told of branches of one length is what such branches cost."""
    asked = command(questions, tmp_path / "out", "http://127.0.0.1:9", "--estimate")
    ran = subprocess.run([*asked, "--price-out", "2"], capture_output=True, text=True, check=True)
    told = dict(line.rsplit(maxsplit=1) for line in ran.stdout.splitlines() if line[:2] == "  ")
    assert told["  tokens of branches"] == f"{12 * 400:,}"
    assert told["  probes"] == f"{12 * 15}"
    assert told["  dollars"] == f"{(12 * 400 + 12 * 15 * 20) * 2 / 1e6:.2f}"
    items = collect.read_questions(str(questions))
    with serving("vllm") as server:
        _, found = collected(questions, tmp_path / "out", server, max_tokens=60)
    guess = collect.estimate(plan_of(items, max_tokens=60), 12, 60, prompt_tokens=20)
    assert guess.branch_tokens == found.interval_tokens
    assert guess.probes == found.probes
    assert guess.prompt_tokens == pytest.approx(found.prompt_tokens, rel=0.15)


ROWS: dict[str, dict[str, Any]] = {
    "aime24": {"id": 60, "problem": "Find m+n.", "solution": "...", "answer": "204", "url": "..."},
    "aime25": {"problem": "Find the sum.", "answer": "70", "id": "0"},
    "hmmt25": {"problem_idx": 1, "problem": "Compute.", "answer": r"\frac{1}{576}"},
    "gpqa-diamond": {
        "Question": "Which one?", "Correct Answer": "the third", "Incorrect Answer 1": "first",
        "Incorrect Answer 2": "second", "Incorrect Answer 3": "fourth", "Record ID": "rec06",
    },
    "math500": {
        "problem": "Convert (0,3).", "solution": "...", "level": 2,
        "answer": r"\left( 3, \frac{\pi}{2} \right)", "unique_id": "test/precalculus/807.json",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_presets_read_rows_of_their_sets(name, kind, tmp_path):
    import polars as pl

    path, row = tmp_path / f"set.{kind}", ROWS[name]
    if kind == "parquet":
        pl.DataFrame([row]).write_parquet(path)
    else:
        path.write_text(json.dumps(row if kind == "jsonl" else [row]))
    columns = collect.presets()[name]
    (item,) = collect.read_questions(str(path), columns)
    prompt = item.prompt(collect.PROMPTS[columns.kind])
    assert item.question in prompt
    assert r"\boxed{}" in prompt
    if name == "gpqa-diamond":
        assert f"{item.gold}) the third" in prompt
        assert sorted(item.options) == ["first", "fourth", "second", "the third"]
    else:
        assert item.gold == collect.questions.canonical(row["answer"])


def test_a_table_of_questions_is_read_and_its_columns_found(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("problem,answer\nWhat is 1/2?,0.5\nAnd 3?,033\n")
    items = collect.read_questions(str(path))
    assert [(i.id, i.question, i.gold) for i in items] == [
        ("0", "What is 1/2?", "1/2"),
        ("1", "And 3?", "33"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no questions"),
        ('{"question": "a", "answer": ""}', "row 0 has no 'answer'"),
        ('{"question": "a", "solved": 1}', "no column of golds among question, solved"),
        ('{"text": "a", "answer": 1}', "no column of questions among text, answer"),
        (json.dumps({"a" * 5_000: "a"}), "no column of questions among a{499}…; name it"),
        ('{"question": "a", "answer": 1}\n{"question": "a", "answer": 2}', "rows 0 and 1"),
        ("[1]", "an object for each question"),
        ("{", "mine.jsonl: "),
        ("[" * 100_000, "nested"),
        ('{"question": "a", "answer": 1' + "0" * 5_000 + "}", "an integer of 5001 digits"),
    ],
)
def test_questions_that_are_none_are_told(content, message, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(content)
    with pytest.raises(SpecError, match=message):
        collect.read_questions(str(path))


def test_a_preset_that_is_none_is_told_with_those_that_are():
    with pytest.raises(SpecError, match="no such file, and no preset; presets: aime24"):
        collect.read_questions("aime23")


@pytest.mark.parametrize("dialect", ["vllm", "llamacpp"])
def test_signals_are_those_of_the_log_probabilities(dialect, questions, tmp_path):
    """By interval, as they come out of what the server gave for its tokens."""
    with serving(dialect) as server:
        store, _ = collected(questions, tmp_path / "out", server, signals=True, window=WINDOW)
        without, _ = collected(questions, tmp_path / "without", server)
    assert without.pool.signals == {}
    assert (store.pool.tokens == without.pool.tokens).all()
    signals = {name: values[1, 2] for name, values in store.pool.signals.items()}
    ids: list[int] = []
    confidences = np.zeros(0)
    for k in range(last := store.pool.lengths[1, 2]):
        text = QUESTIONS[1] + PROMPT_END + model_server.decode(ids)
        new = model_server.continued(text, seed_of(0, "q1", 2, k), INTERVAL)
        ids += new
        said = [i for i in new if i != model_server.EOS or dialect == "vllm"]
        tops = np.array([[-0.1 - i % 7 / 100, -3.0 - i % 5 / 10] for i in said])
        shares = np.exp(tops) / np.exp(tops).sum(axis=1, keepdims=True)
        assert signals["confidence"][k] == pytest.approx(-tops.mean(), rel=1e-4)
        entropy = -(shares * np.log(shares)).sum(axis=1).mean()
        assert signals["entropy"][k] == pytest.approx(entropy, rel=1e-5)
        assert signals["end_of_thinking"][k] == 0
        confidences = np.append(confidences, -tops.mean(axis=1))
        ends = range(max(WINDOW, len(confidences) - len(tops) + 1), len(confidences) + 1)
        windows = [confidences[end - WINDOW : end].mean() for end in ends]
        lowest = min(windows, default=confidences.mean())
        assert signals["lowest_confidence"][k] == pytest.approx(lowest, rel=1e-3)
        if k == last - 1:
            assert signals["answer_logprob"][k] == -np.inf  # it ended, and was not probed
            continue
        probed = QUESTIONS[1] + PROMPT_END + model_server.decode(ids) + SUFFIX
        told = model_server.continued(probed, 0, 20)
        # Up to the last digit; then come the full stop and the end.
        digits = [-0.1 - i % 7 / 100 for i in told[:-2]]
        expected = sum(digits) if digits else -np.inf
        assert signals["answer_logprob"][k] == pytest.approx(expected, rel=1e-5)


def test_signals_are_refused_where_there_are_no_log_probabilities(questions, tmp_path):
    written = {"chat": False, "prompt": "{question}" + PROMPT_END}
    with serving("text") as server, pytest.raises(SpecError, match="leave --signals out"):
        collected(questions, tmp_path / "out", server, signals=True, **written)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--probe-stop", ""], "error: collect: probe_stop has an empty text, which ends all"),
        (["--prompt", "no place"], "error: collect: the prompt has no {question} in it, where"),
        (["--top-p", "3"], "--top-p 3: need a number between 0 and 1"),
        (["--template", "thinking"], "need NAME=VALUE"),
    ],
)
def test_options_that_are_none_are_told(options, message, questions, tmp_path):
    asked = command(questions, tmp_path / "out", "http://127.0.0.1:9", *options)
    ran = subprocess.run(asked, capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: ")
    assert message in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_an_interrupt_says_how_to_go_on(questions, tmp_path):
    """And stops on the server what is being decoded."""
    journal = collect.journal_path(tmp_path / "out" / "toy" / "lengths")
    with serving("vllm", token_seconds=0.02) as server:
        asked = command(questions, tmp_path / "out", server.url)
        process = subprocess.Popen(asked, stderr=subprocess.PIPE, text=True)
        while not journal.exists() or journal.read_bytes().count(b"\n") < 9:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "--resume goes on" in said
        assert "Traceback" not in said
        began = time.monotonic()
        while server.running:
            assert time.monotonic() - began < 2
            time.sleep(0.02)
    assert collect.read_collected(journal).interval_tokens > 0


MINE = """
def schedule(beta):
    return {"width": 3}


def solve(env, p):
    env.branch(p.width)
    env.advance(env.active(), probe=False)
    while env.n_finished < 1:
        env.advance(env.active()[:1])
    env.prune(env.active())
    return env.vote()
"""


@pytest.mark.parametrize("name", ["asc", "parallel-probe", "mine.py"])
def test_a_controller_chooses_what_is_recorded(name, questions, tmp_path):
    """What it read is there and no more is paid for; replay does what was done."""
    if name == "mine.py":
        (tmp_path / name).write_text(MINE)
        name = str(tmp_path / name)
    with serving("vllm") as server:
        store, found = collected(questions, tmp_path / "out", server, controller=name, branches=8)
        assert server.tokens == found.decoded
    spec = programs.parse(name)
    experiment = Experiment(draws="recorded", max_branches=8, failed="abstain")
    ours = replace(spec, source=replace(spec.source, trusted=True))
    (ran,) = InProcess().run([Cell(experiment.task(store), ours)])
    for q, answered in enumerate(found.answered.values()):
        assert ran.tokens[q] == answered.tokens
        assert ran.correct[q] == (answered.answer == str(len(QUESTIONS[q])))
    ended = [at for at, branch in found.finished.items() if not branch.given_up]
    if spec.name == "mine":
        assert len(ended) < len(found.finished) == 3 * 3
    q, n = ended[0]
    assert as_recorded(store, q, n)["tokens"] == branch_of(QUESTIONS[q], q, n)["tokens"]
    assert store.manifest.sampling["controller"] == spec.text
    assert store.manifest.source.endswith(f"what {spec.text} read")


def test_an_episode_that_was_interrupted_is_played_again_from_what_is_there(questions, tmp_path):
    """Wherever its journal ends, it comes to the same and pays for what is missing alone."""
    with serving("vllm") as server:
        sound, found = collected(
            questions, tmp_path / "out", server, controller="parallel-probe", branches=8
        )
        journal = collect.journal_path(tmp_path / "out" / "toy" / "lengths")
        whole = journal.read_bytes()
        for share in (0.05, 0.3, 0.6, 0.95):
            journal.write_bytes(whole[: int(share * len(whole))])
            before, kept = server.tokens, collect.read_collected(journal)
            store, found = collected(
                questions, tmp_path / "out", server, controller="parallel-probe", branches=8,
                resume=True,
            )  # fmt: skip
            assert store.digest == sound.digest
            assert server.tokens - before == found.decoded - kept.decoded
        with pytest.raises(SpecError, match="another branches"):
            collected(
                questions, tmp_path / "out", server, controller="parallel-probe", branches=9,
                resume=True,
            )  # fmt: skip
        with pytest.raises(SpecError, match="another controller and program"):
            collected(
                questions, tmp_path / "out", server, controller="asc", branches=8, resume=True
            )


def test_a_question_whose_episode_fails_is_left_out_and_asked_again(questions, tmp_path):
    with serving("vllm") as server:
        sound, _ = collected(questions, tmp_path / "sound", server, controller="asc")
    with serving("vllm", model_server.fails(400)) as server:
        store, found = collected(questions, tmp_path / "out", server, controller="asc")
        assert len(found.failed) == 1
        assert len(store.texts) == 2
        store, found = collected(questions, tmp_path / "out", server, controller="asc", resume=True)
    assert found.failed == {}
    assert store.digest == sound.digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-c", "deepconf"], "reads confidence, which is not known while branches are decoded"),
        (["-c", "parallel-probe", "--no-probes"], "leave --no-probes out"),
        (["-c", "ascc"], "did you mean asc"),
    ],
)
def test_a_controller_that_can_not_choose_is_told(options, message, questions, tmp_path):
    asked = command(questions, tmp_path / "out", "http://127.0.0.1:9", *options)[3:]
    ran = CliRunner().invoke(app, asked)
    assert isinstance(ran.exception, SpecError)
    assert message in str(ran.exception)
