"""What a service records of its traffic: a store, bounded, without prompts unless wanted."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from typer.testing import CliRunner

import autotts
from autotts import stores
from autotts.answers import FAILED
from autotts.cli import app
from autotts.collect import Item, Plan, collect
from autotts.errors import StoreError
from autotts.evaluation import Experiment
from autotts.live import served_under
from autotts.serve.traffic import JOURNAL, TrafficJournal, traffic_store
from autotts.stores import Branch, Recording
from scripted_branches import ScriptedBranches
from toy_service import serving

QUESTIONS = 12


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """What the controller was chosen on: the model that is served, collected."""
    plan = Plan(
        model="toy", dataset="sums", branches=24, interval=10, max_tokens=400, prompt="{question}",
        probe="so \\boxed{", probe_tokens=5,
    )  # fmt: skip
    items = [Item(str(k), f"question {k}", "42") for k in range(QUESTIONS)]
    out = tmp_path_factory.mktemp("collected")
    return asyncio.run(collect(plan, items, [ScriptedBranches()], out))[0]


def ask(address, times=2):
    """Each question so many times; gives the ids of the replies."""

    def one(k):
        asked = {"messages": [{"role": "user", "content": f"question {k % QUESTIONS}"}], "seed": k}
        reply = httpx2.post(f"{address}/v1/chat/completions", json=asked, timeout=60)
        assert reply.status_code == 200, reply.text
        return reply.json()["id"]

    with ThreadPoolExecutor(4) as threads:
        return [*threads.map(one, range(times * QUESTIONS))]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder of traffic with prompts, from two services after one another; and reply ids."""
    folder = tmp_path_factory.mktemp("traffic")
    ids = []
    for _ in range(2):
        with serving(ScriptedBranches(), traffic=TrafficJournal(folder, prompts=True)) as address:
            ids += ask(address)
    return folder, ids


def run(*words):
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code in (0, 3), done.output
    return done


def test_traffic_is_a_store_that_drift_gold_and_evaluate_read(store, recorded, tmp_path):
    folder, ids = recorded
    assert "48 requests" in run("data", "traffic", folder).output
    live = stores.check(folder / "toy" / "traffic")
    assert set(live.ids) == set(ids)
    assert not live.graded
    found = autotts.drift(store, live)
    assert (found.controller, found.requests, found.same_questions) == ("cmc", 48, True)
    assert [one.figure for one in found.drifted] == []

    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(f'{{"id": "{one}", "gold": "42"}}\n' for one in ids))
    run("data", "gold", live.path, answers)
    graded = stores.load(live.path)
    assert {"right", "accuracy"} <= {one.figure for one in autotts.drift(store, graded).shifts}
    (row,) = autotts.evaluate(
        graded, "cmc", experiment=Experiment(draws="recorded", failed="abstain")
    ).results()
    assert row["accuracy"] > 50


def test_what_replay_says_of_an_episode_is_what_the_client_was_charged(tmp_path):
    charged = {}
    with serving(ScriptedBranches(), traffic=TrafficJournal(tmp_path)) as address:
        for k in range(3):
            asked = {"prompt": f"{k}+{k}=", "model": "toy@cmc:0.2", "seed": k}
            reply = httpx2.post(f"{address}/v1/completions", json=asked, timeout=60).json()
            charged[reply["id"]] = reply["usage"]["autotts"]
    live = traffic_store(tmp_path).store
    found = autotts.evaluate(
        stores.grade(live, dict.fromkeys(live.ids, "42")), "cmc:beta=0.2",
        experiment=Experiment(draws="recorded", failed="abstain", max_branches=32),
    )  # fmt: skip
    replayed = dict(zip(live.ids, found.episodes["tokens"].to_list(), strict=True))
    for reply_id, account in charged.items():
        assert replayed[reply_id] == account["total_tokens"] - account["probe_tokens"]


def test_no_prompt_and_no_text_is_kept_unless_it_is_wanted(tmp_path):
    secret = "the owl is called Brunhild"
    asked = {"messages": [{"role": "user", "content": secret}], "answers": {"type": "text"}}
    with serving(ScriptedBranches(), traffic=TrafficJournal(tmp_path)) as address:
        for _ in range(2):
            httpx2.post(f"{address}/v1/chat/completions", json={**asked, "seed": 1}, timeout=60)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Brunhild" not in kept
    assert b"hm hm" not in kept
    live = traffic_store(tmp_path).store
    assert set(live.texts) == {""}
    assert len(set(live.groups["prompt"])) == 1


def recording(k, answer="A"):
    return Recording(
        f"question {k}", FAILED, [Branch((answer, answer), 15, answer)], id=str(k),
        groups=served_under("sc", 0.5, "answered"),
    )  # fmt: skip


def fill(journal, numbers):
    async def add():
        for k in numbers:
            await journal.add(
                recording(k), f"prompt {k}", model="org/m", interval=10, max_branches=4
            )

    asyncio.run(add())


def test_the_disk_is_bounded_and_the_latest_requests_stay(tmp_path):
    journal = TrafficJournal(tmp_path, most_bytes=1 << 16)
    fill(journal, range(1000))
    journal.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= (1 << 16) + 1000
    kept = [int(one) for one in traffic_store(tmp_path).store.ids]
    assert kept == [*range(kept[0], 1000)]
    assert len(kept) > 100


def test_a_line_that_was_cut_is_dropped_and_a_damaged_one_is_named(tmp_path):
    journal = TrafficJournal(tmp_path)
    fill(journal, range(3))
    with pytest.raises(StoreError, match="another process records into it"):
        TrafficJournal(tmp_path)
    journal.close()
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes()[:-5])
    assert traffic_store(tmp_path).store.ids == ("0", "1")
    journal = TrafficJournal(tmp_path)
    fill(journal, [7])
    journal.close()
    assert traffic_store(tmp_path).store.ids == ("0", "1", "7")
    path.write_bytes(path.read_bytes().replace(b'"tokens":15', b'"tokens":"x"', 1))
    with pytest.raises(StoreError, match="line 1 is damaged"):
        traffic_store(tmp_path)
    with pytest.raises(StoreError, match="serve --record FOLDER"):
        traffic_store(tmp_path / "nothing")


KILLED = """
    import asyncio, sys
    from pathlib import Path
    from autotts.serve.traffic import TrafficJournal
    from test_traffic import recording

    async def add():
        for k in range(10**6):
            await journal.add(recording(k), "p", model="m", interval=10, max_branches=4)
            print(k, flush=True)

    journal = TrafficJournal(Path(sys.argv[1]))
    asyncio.run(add())
"""


def test_a_process_that_is_killed_has_kept_all_that_it_answered(tmp_path):
    there = os.path.dirname(__file__)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": there},
    )  # fmt: skip
    for _ in range(30):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    told = 30 + len(process.communicate()[0].splitlines())
    kept = traffic_store(tmp_path).store.ids
    assert kept[:told] == tuple(map(str, range(told)))
    assert len(kept) <= told + 1


def test_requests_that_fit_into_no_store_with_the_others_are_counted(tmp_path):
    journal = TrafficJournal(tmp_path)
    fill(journal, range(5))
    asyncio.run(journal.add(recording(9), "p", model="m", interval=99, max_branches=4))
    journal.close()
    found = traffic_store(tmp_path)
    assert (len(found.store.texts), found.left_out) == (5, 1)
    assert found.store.name == "m/traffic"
