"""A folder to look through: what is in it is found, and what is hostile in it does nothing."""

import contextlib
import json
import os
import shutil
import time
from pathlib import Path

import httpx2
import pytest

from autotts import simulation, stores
from autotts.errors import ServerError, SpecError
from autotts.evaluation import Experiment, evaluate
from autotts.play.folder import WatchedFolder
from autotts.play.trace_file import read_trace
from autotts.play.viewer import FolderAnswers
from scripted_branches import ScriptedBranches
from toy_service import QUESTION, serving

RUN = Path(__file__).parent / "runs" / "version-2"
HOSTILE = "<img src=x onerror=hacked()>\x1b[31m\u202e"
TRACE = [
    {"autotts_trace": 1, "controller": "cmc", "beta": 0.5},
    {"steps": [[1, 0, 0, 1, 0, 10], [1, 0, 1, 1, -1, 10]], "answers": ["7"]},
    {"steps": [[2, 2, 0, 3, 0, 15], [2, 4, 1, 1, -1, 0]], "answers": []},
]


def write_trace(path, lines=TRACE):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def folder(simulated, tmp_path_factory):
    """One of each, and a file that is none of them."""
    root = tmp_path_factory.mktemp("looked-at")
    shutil.copytree(simulated, root / "stores" / "sim")
    shutil.copytree(RUN, root / "run")
    experiment = Experiment(draws="subsets:2")
    evaluation = evaluate([stores.load(simulated)], ["sc"], betas=[0.5], experiment=experiment)
    (root / "results.json").write_text(json.dumps(evaluation.record()))
    (root / "other.json").write_text('{"not": "results"}')
    write_trace(root / "a.trace.jsonl")
    return root


def by_kind(found):
    return {one.kind: one for one in found}


def test_what_is_in_a_folder_is_found_with_what_it_is(folder):
    found = by_kind(WatchedFolder(folder).found())
    assert {kind: one.name for kind, one in found.items()} == {
        "run": "run", "evaluation": "results.json", "store": "stores/sim", "trace": "a.trace.jsonl"
    }  # fmt: skip
    assert "by sc at beta 0.5" in found["evaluation"].about
    assert "4 questions, 16 branches each" in found["store"].about
    assert "proposal" in found["run"].about
    assert found["evaluation"].digests == found["store"].digests
    assert (found["trace"].live, found["run"].live) == (True, False)


def test_each_is_looked_into(folder):
    answers = FolderAnswers(folder)
    listed = {one["kind"]: one["id"] for one in json.loads(answers.answer("/index.json").content)}
    assert "search by name" in answers.answer("/").content
    for kind in ("run", "evaluation"):
        page = answers.answer(f"/{kind}/{listed[kind]}/")
        assert page.status == 200
        assert "Content-Security-Policy" in page.content
        assert json.loads(answers.answer(f"/{kind}/{listed[kind]}/data.json").content)["lines"]
    store = f"/store/{listed['store']}"
    assert json.loads(answers.answer(f"{store}/catalogue.json").content)["stores"]
    episode = answers.answer(f"{store}/episode.json?store=0&question=1&draw=0&controller=sc&beta=1")
    assert json.loads(episode.content)["steps"]
    trace = json.loads(answers.answer(f"/trace/{listed['trace']}/trace.json").content)
    assert (trace["tokens"], trace["rounds"], trace["answers"]) == (35, 2, ["7"])
    assert trace["live"]
    assert answers.answer(f"/trace/{listed['run']}/").status == 404
    assert answers.answer("/run/../../etc/passwd").status == 404


def test_what_changes_is_seen_and_a_page_is_told_by_its_tag(folder, tmp_path):
    root = tmp_path / "r"
    root.mkdir()
    answers = FolderAnswers(root)
    empty = answers.answer("/index.json")
    assert empty.content == "[]"
    write_trace(root / "b.trace.jsonl", TRACE[:2])
    one = answers.answer("/index.json")
    assert one.tag != empty.tag
    assert answers.answer("/index.json").tag == one.tag
    id = json.loads(one.content)[0]["id"]
    end = {"end": {"answer": "7", "stop_reason": "budget", "sequential_tokens": 25}}
    write_trace(root / "b.trace.jsonl", [*TRACE, end])
    trace = json.loads(answers.answer(f"/trace/{id}/trace.json").content)
    assert (trace["answer"], trace["remark"], trace["live"]) == (0, "ended by: budget", False)
    assert not json.loads(answers.answer("/index.json").content)[0]["live"]


def test_links_pipes_and_large_files_are_passed_by(folder, tmp_path):
    root = tmp_path / "hostile"
    root.mkdir()
    (root / "link").symlink_to(folder, target_is_directory=True)
    (root / "results.json").symlink_to(folder / "results.json")
    (root / "run").mkdir()
    (root / "run" / "run.toml").symlink_to(folder / "run" / "run.toml")
    (root / "store").mkdir()
    for file in (folder / "stores" / "sim").iterdir():
        (root / "store" / file.name).symlink_to(file)
    os.mkfifo(root / "pipe.json")
    with (root / "large.json").open("wb") as large:
        large.truncate(1 << 40)
    (root / "deep.json").write_text("[" * 100_000)
    (root / "round").symlink_to(root, target_is_directory=True)
    assert WatchedFolder(root).found() == []


def test_what_takes_long_is_named_first_and_looked_into_later(folder, monkeypatch):
    """A page is answered in seconds, however long it takes to look into all that is there."""
    watched = WatchedFolder(folder)
    monkeypatch.setattr("autotts.play.folder._LOOK_SECONDS", 0.0)
    named = by_kind(watched.found())
    assert {one.about for one in named.values()} == {"not looked into yet"}
    assert set(named) == {"run", "store", "trace"}  # results are told by their content alone
    monkeypatch.setattr("autotts.play.folder._LOOK_SECONDS", 60.0)
    assert len(seen := by_kind(watched.found())) == 4
    monkeypatch.setattr("autotts.play.folder._LOOK_SECONDS", 0.0)
    assert by_kind(watched.found()) == seen
    (folder / "a.trace.jsonl").touch()
    assert by_kind(watched.found())["trace"].about == seen["trace"].about


def test_of_a_long_trace_its_ends_are_read(tmp_path):
    for k in range(200):
        write_trace(tmp_path / f"{k}.trace.jsonl")
        os.truncate(tmp_path / f"{k}.trace.jsonl", 1 << 25)
    began = time.process_time()
    assert len(WatchedFolder(tmp_path).found()) == 200
    assert time.process_time() - began < 1.5


def test_a_run_whose_log_is_huge_is_not_looked_through(tmp_path):
    shutil.copytree(RUN, tmp_path / "run")
    os.truncate(tmp_path / "run" / "events.jsonl", 1 << 29)
    (one,) = WatchedFolder(tmp_path).found()
    assert "too much to look through" in one.about


def test_a_file_that_becomes_a_link_is_not_read(folder, tmp_path):
    root = tmp_path / "r"
    root.mkdir()
    shutil.copy(folder / "results.json", root / "mine.json")
    answers = FolderAnswers(root)
    (one,) = json.loads(answers.answer("/index.json").content)
    (root / "mine.json").unlink()
    (root / "mine.json").symlink_to(folder / "results.json")
    assert answers.answer(f"/evaluation/{one['id']}/").status == 404


def test_names_and_texts_are_shown_and_do_nothing(tmp_path):
    write_trace(tmp_path / f"{HOSTILE}.trace.jsonl", [{**TRACE[0], "controller": HOSTILE}])
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.trace.jsonl")).write_text("nothing")
    (tmp_path / "store").mkdir()
    for name in ("manifest.json", "questions.parquet", "branches.parquet"):
        (tmp_path / "store" / name).write_text("{}")
    reply = FolderAnswers(tmp_path).answer("/index.json")
    listed = {one["name"]: one for one in json.loads(reply.content)}
    assert "\x1b" not in reply.content
    assert "can't be read" in listed["store"]["about"]
    assert "can't be read" in listed["\ufffd.trace.jsonl"]["about"]
    assert len(listed) == 3


@pytest.mark.parametrize(
    "steps",
    [
        [[1, 0, 10**6, 1, -1, 1]],
        [[1, 0, 0, 10**9, -1, 1]],
        [[10**9, 0, 0, 1, -1, 1]],
        [[1, 0, 0, 1, 5, 1]],
        [[1, 0, 0, 1, -1, 1], [1, 3, 0, 2, -1, 1]],
        [[1, 1, 0, 1, -1, 1]],
        [[1, 9, 0, 1, -1, 1]],
        [[1, 0, 0, 1, -1, 2**60]],
        [[1, 0, 0, 1, -1, 1.5]],
        [[1, 0, 0, 1, -1, 1], [1, 2, 0, 10**7, -1, 1]],
    ],
)
def test_a_trace_that_no_episode_has_is_refused(tmp_path, steps):
    path = tmp_path / "x.trace.jsonl"
    write_trace(path, [TRACE[0], {"steps": steps, "answers": []}])
    with pytest.raises(SpecError, match="is no trace"):
        read_trace(path)


def test_a_service_keeps_traces_without_prompts(tmp_path):
    kept = tmp_path / "traces"
    with serving(ScriptedBranches(), traces=kept) as address:
        asked = {"messages": QUESTION, "seed": 3, "beta": 0.4}
        said = httpx2.post(f"{address}/v1/chat/completions", json=asked, timeout=30).json()
    (one,) = WatchedFolder(kept).found()
    assert (one.about, one.live) == ("cmc at beta 0.4", False)
    (path,) = kept.iterdir()
    trace, account = read_trace(path), said["usage"]["autotts"]
    assert trace["rounds"] == account["rounds"]
    assert trace["answers"][trace["answer"]] == account["answer"]
    assert len({step[2] for step in trace["steps"]}) == account["branches"]
    assert QUESTION[0]["content"] not in path.read_text()
    assert said["choices"][0]["message"]["content"] not in path.read_text()


def test_a_trace_ends_with_its_client_and_with_its_upstream(tmp_path):
    """Else whoever looks would take it for an episode at work."""
    asked = {"messages": QUESTION, "beta": 1}
    ends = {}
    for name, upstream in (("left", ScriptedBranches(seconds=0.3)), ("broke", Failing())):
        kept = tmp_path / name
        with serving(upstream, traces=kept) as address, contextlib.suppress(httpx2.HTTPError):
            httpx2.post(f"{address}/v1/chat/completions", json=asked, timeout=0.8)
        (path,) = kept.iterdir()
        trace = read_trace(path)
        ends[name] = (trace["live"], trace["remark"], trace["answer"])
    assert ends["left"] == (False, "ended by: its client left", -1)
    assert ends["broke"] == (False, "ended by: it failed", -1)


class Failing(ScriptedBranches):
    """Breaks in the third round."""

    async def decode(self, context, **how):
        if len(context) > 60:
            raise ServerError("it is gone")
        return await super().decode(context, **how)


def test_of_many_traces_the_newest_are_listed_beside_all_else(tmp_path, monkeypatch):
    monkeypatch.setattr("autotts.play.folder._MOST_FOUND", 3)
    (tmp_path / "traces").mkdir()
    for second in range(5):
        write_trace(tmp_path / "traces" / f"20260101-00000{second}-cmc.trace.jsonl", TRACE)
    simulated = simulation.simulate(tmp_path / "a", questions=2, branches=2)
    found = WatchedFolder(tmp_path).found()
    assert sorted(one.name for one in found) == [
        str(simulated.relative_to(tmp_path)),
        *(f"traces/20260101-00000{second}-cmc.trace.jsonl" for second in (3, 4)),
    ]
