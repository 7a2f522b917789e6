"""A collected store is kept up: more branches and questions, new probes; nothing drawn twice."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import model_server
from autotts import collect, stores
from autotts.cli.app import app
from autotts.collect import upkeep
from autotts.errors import ServerError, SpecError
from autotts.inference import connect
from model_server import SUFFIX, ModelServer, serving
from test_collect import QUESTIONS, QUICK, as_recorded, branch_of, collected, questions  # noqa: F401

OTHER_SUFFIX = "\nI am done thinking." + SUFFIX


def using(server: ModelServer, use: Any) -> Any:
    async def run() -> Any:
        connected = await connect(server.url, at_once=8, patience=QUICK)
        try:
            return await use([connected])
        finally:
            await connected.aclose()

    return asyncio.run(run())


def run(*words: object) -> Any:
    return CliRunner().invoke(app, ["data", *map(str, words)], catch_exceptions=False)


def test_a_store_is_topped_up_with_branches_of_its_kind(questions, tmp_path):  # noqa: F811
    """Those that were there stay, new ones are others, and it can be done again."""
    with serving("vllm") as server:
        before, _ = collected(questions, tmp_path / "out", server)
        paid = server.tokens
        folder = before.path
        for more in (2, 3):
            ran = run("top-up", folder, "--server", server.url, "--branches", more, "--at-once", 8)
            assert ran.exit_code == 0, ran.output
        after = stores.check(folder)
    assert after.pool.n_branches.tolist() == [9, 9, 9]
    for q in range(3):
        for n in range(4):
            assert as_recorded(after, q, n) == as_recorded(before, q, n)
        assert as_recorded(after, q, 6)["tokens"] != as_recorded(after, q, 4)["tokens"] or q
    new = after.pool.tokens[:, 4:].sum() + after.used["probe_tokens"][:, 4:].sum()
    assert server.tokens - paid == new + 2 * 16  # and the trials
    assert after.manifest.sampling == before.manifest.sampling
    journals = sorted(p.name[:10] for p in collect.journal_path(folder).parent.iterdir())
    assert journals == ["journal.js", "topped-up-", "topped-up-"]
    with serving("vllm") as server, pytest.raises(SpecError, match=r"would lose some: .*top-up"):
        collected(questions, tmp_path / "out", server, resume=True)


def test_a_store_is_topped_up_with_questions(questions, tmp_path):  # noqa: F811
    more = tmp_path / "more.jsonl"
    row = {"id": "q9", "question": "and now?", "answer": "8"}
    more.write_text(questions.read_text() + json.dumps(row) + "\n")
    with serving("vllm") as server:
        before, _ = collected(questions, tmp_path / "out", server)
        with pytest.raises(SpecError, match="has all of these questions"):
            using(server, lambda servers: collect.top_up(before, servers))
        ran = run("top-up", before.path, "--server", server.url, "--questions", more)
        assert ran.exit_code == 0, ran.output
    after = stores.check(before.path)
    assert after.texts == (*QUESTIONS, "and now?")
    assert after.pool.n_branches.tolist() == [4, 4, 4, 4]


def test_what_was_topped_up_in_part_is_gone_on_with(questions, tmp_path):  # noqa: F811
    with serving("vllm") as server:
        before, _ = collected(questions, tmp_path / "out", server)
        whole = stores.load(before.path)
        with pytest.raises(ServerError, match=r"1[6-9] branches failed one after the other"):
            using(server, lambda servers: failing(servers, server, before))
        server.faults = []
        assert stores.load(before.path).digest == whole.digest
        store, _ = using(
            server,
            lambda servers: collect.top_up(
                before, servers, branches=20, session=collect.Session(resume=True)
            ),
        )
    assert store.pool.n_branches.tolist() == [24, 24, 24]


def test_what_ended_between_its_store_and_its_journal_is_whole(
    questions,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    """Neither sampled nor added again; what it said lies beside the store's own journal."""

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    def topped_up(**how: Any) -> Any:
        session = collect.Session(**how)
        top_up = collect.top_up
        return using(
            server, lambda servers: top_up(stores.load(path), servers, branches=2, session=session)
        )

    def added() -> list[Path]:
        return list(collect.journal_path(path).parent.glob("topped-up-*.jsonl"))

    with serving("vllm") as server:
        before, _ = collected(questions, tmp_path / "out", server)
        path = before.path
        with monkeypatch.context() as patched:
            patched.setattr("autotts.collect.upkeep._put_beside", dies)
            with pytest.raises(KeyboardInterrupt):
                topped_up()
        written = stores.check(path)
        assert written.pool.n_branches.tolist() == [6, 6, 6]
        paid = server.tokens
        store, found = topped_up(resume=True)
        assert server.tokens - paid <= 16  # the trials
        assert stores.load(path).digest == store.digest == written.digest
        assert len(found.finished) == 6
        assert len(added()) == 1
        store, _ = topped_up()
        assert store.pool.n_branches.tolist() == [8, 8, 8]
        assert len(added()) == 2


async def failing(servers: Any, server: ModelServer, store: stores.Store) -> Any:
    server.faults = [model_server.fails(400)] * 40
    return await collect.top_up(store, servers, branches=20, session=collect.Session(4))


@pytest.mark.parametrize("dialect", ["vllm", "llamacpp"])
def test_probes_are_asked_anew_without_sampling_again(dialect, questions, tmp_path):  # noqa: F811
    """The new store is what would have been collected with that probe, and costs its probes."""
    with serving(dialect) as server:
        before, _ = collected(questions, tmp_path / "out", server)
        expected, _ = collected(questions, tmp_path / "other", server, probe=OTHER_SUFFIX)
        paid = server.tokens
        ran = run(
            "refresh", before.path, "--server", server.url, "--probe", OTHER_SUFFIX, "--out",
            tmp_path / "new",
        )  # fmt: skip
        assert ran.exit_code == 0, ran.output
        store = stores.check(tmp_path / "new" / "toy" / "lengths")
        assert server.tokens - paid == store.used["probe_tokens"].sum() + 16
    assert np.array_equal(store.pool.tokens, before.pool.tokens)
    assert store.manifest.sampling["probe"] == OTHER_SUFFIX
    for q in range(3):
        for n in range(4):
            assert as_recorded(store, q, n) == as_recorded(expected, q, n)
    assert as_recorded(before, 0, 0)["probes"] == branch_of(QUESTIONS[0], 0, 0)["probes"]
    assert (store.pool.probes != before.pool.probes).any()


def test_what_was_added_is_asked_anew_too(questions, tmp_path):  # noqa: F811
    """Branches and questions, in their places, for their probes alone; and it can be done again."""
    row = {"id": "q9", "question": "and now?", "answer": "8"}
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps(row) + "\n" + questions.read_text())
    with serving("vllm") as server:
        before, _ = collected(questions, tmp_path / "out", server)
        for words in (["--branches", 1], ["--questions", more], ["--branches", 2]):
            ran = run("top-up", before.path, "--server", server.url, *words)
            assert ran.exit_code == 0, ran.output
        topped_up = stores.load(before.path)
        asked = ["--server", server.url, "--probe", OTHER_SUFFIX, "--out"]
        paid = server.tokens
        ran = run("refresh", before.path, *asked, tmp_path / "new")
        assert ran.exit_code == 0, ran.output
        store = stores.check(tmp_path / "new" / "toy" / "lengths")
        assert server.tokens - paid == store.used["probe_tokens"].sum() + 16
        ran = run("refresh", store.path, *asked, tmp_path / "newer")
        assert ran.exit_code == 0, ran.output
        ran = run("refresh", store.path, *asked, tmp_path / "newer", "--resume")
        assert ran.exit_code == 0, ran.output

        async def failing(servers: Any) -> Any:
            server.faults = [model_server.fails(400)] * 2
            return await collect.refresh(
                store, servers, tmp_path / "in-part", probe=OTHER_SUFFIX, session=collect.Session(1)
            )

        in_part, _ = using(server, failing)
        assert in_part.pool.n_branches.tolist() == [5, 7, 7, 7]
        ran = run("refresh", store.path, *asked, tmp_path / "in-part", "--resume")
        assert ran.exit_code == 0, ran.output
    assert store.texts == (*QUESTIONS, "and now?")
    assert store.pool.n_branches.tolist() == [7, 7, 7, 7]
    assert np.array_equal(store.pool.tokens, topped_up.pool.tokens)
    assert (store.pool.probes != topped_up.pool.probes)[:, 4:].any()
    for name in ("newer", "in-part"):
        assert stores.load(tmp_path / name / "toy" / "lengths").digest == store.digest


def test_branches_without_probes_are_probed_at_every_interval_later(
    questions,  # noqa: F811
    tmp_path,
):
    """Though several intervals came in one request."""
    with serving("vllm") as server:
        expected, _ = collected(questions, tmp_path / "probed", server)
        without, _ = collected(questions, tmp_path / "out", server, probe="")
        store, _ = using(
            server,
            lambda servers: collect.refresh(without, servers, tmp_path / "new", probe=SUFFIX),
        )
    for q in range(3):
        for n in range(4):
            assert as_recorded(store, q, n) == as_recorded(expected, q, n)


def test_few_branches_are_in_memory_while_probes_are_asked_anew(
    questions,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    """A question at a time; and what was interrupted goes on with no probe asked twice."""
    monkeypatch.setattr("autotts.collect.upkeep._BRANCHES_A_BATCH", 1)
    begun = []

    def refreshed(name: str, **how: Any) -> Any:
        session = collect.Session(
            4, watch=lambda watched: begun.append(len(watched.collected.begun)), **how
        )
        return using(
            server,
            lambda servers: collect.refresh(
                before, servers, tmp_path / name, probe=OTHER_SUFFIX, session=session
            ),
        )

    def one_batch_alone(*given: Any) -> Any:
        yield next(batches(*given))
        raise KeyboardInterrupt

    batches = upkeep._batches
    with serving("vllm", token_seconds=0.002) as server:
        before, _ = collected(questions, tmp_path / "out", server)
        paid = server.tokens
        expected, _ = refreshed("whole")
        cost = server.tokens - paid
        assert 0 < max(begun) <= 4
        with monkeypatch.context() as patched:
            patched.setattr(upkeep, "_batches", one_batch_alone)
            with pytest.raises(KeyboardInterrupt):
                refreshed("cut")
        store, _ = refreshed("cut", resume=True)
        assert server.tokens - paid - 2 * cost == 16  # it was connected to once more
    assert store.digest == expected.digest


def test_what_can_not_be_kept_up_is_told(questions, tmp_path):  # noqa: F811
    with serving("vllm") as server:
        store, _ = collected(questions, tmp_path / "out", server)
        chosen, _ = collected(questions, tmp_path / "chosen", server, controller="asc")

        def refreshed(store: stores.Store) -> Any:
            return using(
                server, lambda servers: collect.refresh(store, servers, tmp_path, probe="?")
            )

        with pytest.raises(SpecError, match="has what asc chose"):
            using(server, lambda servers: collect.top_up(chosen, servers, branches=2))
        collect.journal_path(store.path).unlink()
        with pytest.raises(SpecError, match=r"no journal .* which has the text"):
            refreshed(store)
    released = stores.load(Path(__file__).parent / "first_version" / "toy" / "sums")
    with pytest.raises(SpecError, match="was not collected by"):
        collect.plan_of(released)
