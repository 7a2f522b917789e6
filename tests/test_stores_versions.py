"""Stores of both schema versions on disk: round trips of every part, and the upgrade."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from typer.testing import CliRunner

from any_stores import any_stores, same
from autotts.cli.app import app
from autotts.errors import StoreError
from autotts.evaluation import Experiment, evaluate
from autotts.reports import page
from autotts.reports.evaluations import from_evaluation, matrices_of
from autotts.stores import Branch, Recording, Store, build, check, classified, load, write
from autotts.stores.limits import (
    MOST_BRANCHES,
    MOST_CELLS,
    MOST_CELLS_IN_ALL,
    MOST_CODES,
    MOST_INTERVALS,
)  # fmt: skip
from autotts.stores.manifest import Manifest
from autotts.stores.schema import TOKEN_COLUMNS
from autotts.stores.tables import schema_of

FIRST = Path(__file__).parent / "first_version"
DIGEST = "6807da8c09d5e8061f6e4ddc2aa160e76419b8f49473a295ae7b16cca9e652e0"


@given(store=any_stores())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_store_comes_back_as_it_was(store: Store, tmp_path_factory: pytest.TempPathFactory):
    """Whatever parts it has; arrays are contiguous, and writeable as compiled code wants them."""
    folder = tmp_path_factory.mktemp("store") / "s"
    written = write(store, folder)
    back = check(folder)
    assert same(back, store)
    assert back.manifest == written.manifest
    arrays = [back.pool.probes, back.pool.ends, back.pool.model, *back.pool.signals.values()]
    for array in (back.pool.lengths, back.pool.finals, *(a for a in arrays if a is not None)):
        assert array.flags.c_contiguous
        assert array.flags.writeable


@given(store=any_stores(everything=True))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_a_table_holds_what_its_columns_are_called(
    store: Store, tmp_path_factory: pytest.TempPathFactory
):
    """Read by Polars alone: a row a branch, lists by interval, strings by code."""
    folder = tmp_path_factory.mktemp("store") / "s"
    write(store, folder)
    questions = pl.read_parquet(folder / "questions.parquet").to_dicts()
    rows = pl.read_parquet(folder / "branches.parquet").to_dicts()
    pool, spelled = store.pool, store.spellings
    assert len(rows) == pool.n_branches.sum()
    for row in rows:
        q, i = row["question"], row["branch"]
        length = int(pool.lengths[q, i])
        assert row["tokens"] == pool.tokens[q, i]
        assert row["model"] == pool.model[q, i]
        assert row["ends"] == pool.ends[q, i, :length].tolist()
        for name, values in pool.signals.items():
            assert row[f"signal:{name}"] == values[q, i, :length].tolist()
        asked = questions[q]
        if spelled is None:
            assert asked["answers"][row["final"]] == store.answers[q][pool.finals[q, i]]
            continue
        classes = asked["classes"]
        assert asked["answers"][classes[row["final"]]] == store.answers[q][pool.finals[q, i]]
        assert [classes[code] for code in row["probes"]] == pool.probes[q, i, :length].tolist()


def test_a_store_of_the_first_version_is_read_for_ever():
    """The folder was written by the code before version 2; its digest is what it was then."""
    store = check(FIRST / "toy" / "sums")
    assert (store.manifest.schema_version, store.digest) == (1, DIGEST)
    assert store.pool.probes.tolist()[0] == [[0, 1, -1], [2, 2, 1], [1, -1, -1]]
    assert store.pool.tokens.tolist() == [[950, 1400, 420], [499, 1000, 1511], [30, 640, 700]]
    assert [known[code] for known, code in zip(store.answers, store.gold, strict=True)] == [
        "2",
        "4",
        "7",
    ]
    assert store.pool.failed.tolist() == [0, 1, 2]
    assert store.manifest.sampling == {"temperature": 0.6, "seed": 3, "stop": None}


def test_the_same_recordings_have_the_digest_of_the_first_version():
    first = load(FIRST / "toy" / "sums")
    recordings = [
        Recording(
            text,
            known[first.gold[q]],
            [
                Branch(
                    [known[code] for code in first.pool.probes[q, i, : first.pool.lengths[q, i]]],
                    int(first.pool.tokens[q, i]),
                    known[first.pool.finals[q, i]],
                )
                for i in range(3)
            ],
        )
        for q, (text, known) in enumerate(zip(first.texts, first.answers, strict=True))
    ]
    about = first.manifest
    again = build(
        recordings, model=about.model, dataset=about.dataset, interval_tokens=500,
        sampling=about.sampling, source=about.source,
    )  # fmt: skip
    assert again.digest == DIGEST


def test_upgrade_rewrites_a_store_and_keeps_its_digest(tmp_path: Path):
    shutil.copytree(FIRST, tmp_path / "stores")
    folder = tmp_path / "stores" / "toy" / "sums"
    before = load(folder)
    told = CliRunner().invoke(app, ["data", "upgrade", str(tmp_path)])
    assert (told.exit_code, DIGEST[:12] in told.output) == (0, True), told.output
    assert json.loads((folder / "manifest.json").read_text())["schema_version"] == 2
    assert same(check(folder), before)
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    told = CliRunner().invoke(app, ["data", "upgrade", str(folder)])
    assert "has schema version 2 already" in told.output
    assert files == {file.name: file.read_bytes() for file in folder.iterdir()}


def test_what_is_damaged_is_not_upgraded(tmp_path: Path):
    shutil.copytree(FIRST / "toy" / "sums", tmp_path / "s")
    damaged = (tmp_path / "s" / "branches.parquet").read_bytes()[:-9]
    (tmp_path / "s" / "branches.parquet").write_bytes(damaged)
    told = CliRunner().invoke(app, ["data", "upgrade", str(tmp_path / "s")])
    assert told.exit_code != 0
    assert (tmp_path / "s" / "branches.parquet").read_bytes() == damaged


def spelled() -> Store:
    """Three spellings of a half, one of them never given, and two marks of no answer."""
    branches = [
        Branch(["0.5", "?"], 200, "1/2"),
        Branch(["none"], 90, "?"),
        Branch(["ERR"], 9, "7"),
    ]
    store = build(
        [Recording("Half?", ["1/2", "0.50"], branches)], model="m", dataset="d", interval_tokens=100
    )
    labels = [[{"0.5": "½", "1/2": "½", "0.50": "½"}.get(text, text) for text in store.answers[0]]]
    return classified(store, labels, equality="math", unreadable=["?", "none"])


def test_classes_are_one_vote_and_strings_stay(tmp_path: Path):
    """Equal strings have one code, shown as the accepted one; marks of no answer are failed."""
    store = spelled()
    assert store.answers == (("1/2", "ERR", "7"),)
    assert store.pool.probes.tolist() == [[[0, 1], [1, -1], [1, -1]]]
    assert store.pool.finals.tolist() == [[0, 1, 2]]
    assert (store.pool.failed.tolist(), store.gold.tolist(), store.golds) == ([1], [0], None)
    assert store.spellings.answers == (("0.5", "?", "1/2", "none", "ERR", "7", "0.50"),)
    write(store, tmp_path / "s")
    assert same(check(tmp_path / "s"), store)


def test_classes_can_be_taken_back():
    """Every string its own label, and nothing unreadable: the store as it was recorded."""
    store = spelled()
    back = classified(store, [store.spellings.answers[0]])
    assert back.spellings is None
    assert back.answers == store.spellings.answers
    assert back.golds == ((2, 6),)
    again = classified(back, [["½" if t in ("0.5", "1/2", "0.50") else t for t in back.answers[0]]],
                       equality="math", unreadable=["?", "none"])  # fmt: skip
    assert same(again, store)


def test_fewer_labels_than_answers_are_refused():
    with pytest.raises(StoreError, match="question 0: 1 labels for 7 answers"):
        classified(spelled(), [["½"]])


def test_40_000_questions_and_40_000_branches(tmp_path: Path):
    one = [Branch(["4"], 100, "4")]
    many = [Branch(None, 100 + i, str(i)) for i in range(40_000)]
    for name, recordings in {
        "questions": [Recording(f"Q{i}?", "4", one) for i in range(40_000)],
        "branches": [Recording("Q?", "39999", many)],
    }.items():
        write(build(recordings, model="m", dataset=name, interval_tokens=500), tmp_path / name)
        store = load(tmp_path / name)
        assert store.pool.lengths.size == 40_000
        assert store.correct[-1, -1]
    assert np.array_equal(store.pool.finals[0], np.arange(40_000))


def test_recordings_that_differ_in_what_they_have_make_no_store():
    branch = Branch(["1"], 5, "1")
    wrong = {
        "question 0, branch 1: it has nothing beside its final answer, the first": [
            Recording("a", "1", [branch, Branch(None, 5, "1")])
        ],
        "question 0, branch 0: a value for each interval is needed, got 2 of ends, 1 of probes": [
            Recording("a", "1", [Branch(["1"], 5, "1", ends=[1, 2])])
        ],
        "question 0, branch 0: model 1; there are 1 from 0 on": [
            Recording("a", "1", [Branch(["1"], 5, "1", model=1)])
        ],
        "question 1: the same text as question 0; ids would tell them apart": [
            Recording("a", "1", [branch]), Recording("a", "2", [branch])
        ],
        "question 1: the same id as question 0": [
            Recording("a", "1", [branch], id="x"), Recording("b", "2", [branch], id="x")
        ],
        "question 1: ids are given for all questions or for none": [
            Recording("a", "1", [branch], id="x"), Recording("b", "2", [branch])
        ],
        "question 1: weights are given for all": [
            Recording("a", "1", [branch], weight=1.0), Recording("b", "2", [branch])
        ],
        "question 1: groups [], question 0 has ['topic']": [
            Recording("a", "1", [branch], groups={"topic": "x"}), Recording("b", "2", [branch])
        ],
        "question 0: no accepted answer": [Recording("a", [], [branch])],
    }  # fmt: skip
    for message, recordings in wrong.items():
        with pytest.raises(StoreError) as caught:
            build(recordings, model="m", dataset="d", interval_tokens=100)
        assert message in str(caught.value)


def test_questions_with_ids_may_have_the_same_text(tmp_path: Path):
    branch = [Branch(["1"], 5, "1")]
    twice = [Recording("a", "1", branch, id="x"), Recording("a", "2", branch, id="y")]
    write(build(twice, model="m", dataset="d", interval_tokens=100), tmp_path / "s")
    assert check(tmp_path / "s").ids == ("x", "y")


def test_the_documentation_names_every_column_and_field_with_its_type():
    page = (Path(__file__).parent.parent / "docs" / "store.md").read_text()
    types = {"text": pl.String, "float64": pl.Float64, "int32": pl.Int32, "float32": pl.Float32}
    for name, optional in {
        "questions.parquet": ["golds", "id", "weight", "group:NAME", "spellings", "classes"],
        "branches.parquet": [
            "probes", "length", "ends", "model", "signal:NAME", *TOKEN_COLUMNS
        ],
    }.items():  # fmt: skip
        part = page.partition(f"## {name}")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| `([^`]+)` \| (list of )?(\w+) \|", part, re.MULTILINE)
        told = {
            column: pl.List(types[kind]) if listed else types[kind] for column, listed, kind in rows
        }
        manifest = load(FIRST / "toy" / "sums").manifest.model_copy(
            update={"schema_version": 2, "columns": {name: optional}}
        )
        assert told == schema_of(name, manifest)
    part = page.partition("## manifest.json")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", part, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(Manifest.model_fields)
    for limit in (MOST_CODES, MOST_INTERVALS, MOST_BRANCHES, MOST_CELLS, MOST_CELLS_IN_ALL):
        assert f"{limit:,}" in page


def uneven_recordings(*, probed: bool = True, ends: bool = False) -> Store:
    """Five questions with one to five branches."""

    def branch(k: int) -> Branch:
        answer, tokens = "45"[k % 2], 130 + 40 * k
        length = -(-tokens // 100)
        return Branch(
            [answer] * length if probed else None,
            tokens,
            answer,
            ends=[tokens * (i + 1) // length for i in range(length)] if ends else None,
        )

    recordings = [Recording(f"Q{q}?", "4", [branch(k) for k in range(q + 1)]) for q in range(5)]
    return build(recordings, model="m", dataset="d", interval_tokens=100, billing="exact")


@pytest.mark.parametrize("parts", [{}, {"probed": False}, {"ends": True}])
def test_what_not_every_recording_has_is_evaluated_and_reported(parts: dict):
    """Self-consistency over all branches there are costs all their tokens, whatever is missing."""
    store = uneven_recordings(**parts)
    found = evaluate(store, ["sc:width=64"], experiment=Experiment(draws="subsets:3"))
    (ran,) = found.ran
    spent = ran.tokens.reshape(5, 3)
    assert (spent == store.pool.tokens.sum(axis=1)[:, None]).all()
    assert ran.correct.reshape(5, 3)[0].all()
    assert "Q4?" in page.build(from_evaluation(found, title="any"))
    first, *_, last = matrices_of(ran.task)
    assert (len(first.probes), len(last.probes)) == (1, 5)


def test_40_000_branches_are_drawn_from():
    many = [Branch(None, 100 + i, str(i % 9)) for i in range(40_000)]
    store = build([Recording("Q?", "4", many)], model="m", dataset="d", interval_tokens=500)
    (ran,) = evaluate(store, ["sc:width=8"], experiment=Experiment(draws="subsets:3")).ran
    assert (ran.tokens > 8 * 100).all()
    assert ran.task.orders.max() >= 2**15
