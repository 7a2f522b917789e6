"""Stores that others made to exhaust this machine: refused before anything is allocated."""

import contextlib
import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from autotts.errors import StoreError
from autotts.simulation import simulate
from autotts.stores import (
    Branch,
    PricedModel,
    Recording,
    build,
    classified,
    load,
    write,
)  # fmt: skip
from autotts.stores.parquet import unpacked
from autotts.stores.writing import file_digest

MUTANTS = 150


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return simulate(tmp_path, questions=2, branches=4, seed=1)


@pytest.fixture
def wide_store(tmp_path: Path) -> Path:
    """A store with everything that one can have."""
    ends, signals = [3, 120, 301], {"confidence": [0.5, 0.25, -np.inf]}
    branches = [
        Branch(["1", "1.0", answer], 350, answer, ends, i % 2, signals, {"prompt_tokens": 30})
        for i, answer in enumerate(["1", "2", "ERR", "1.0"])
    ]
    recordings = [
        Recording("1?", ["1", "one"], branches, id="a", weight=2.0, groups={"topic": "x"}),
        Recording("2?", "2", branches[:2], id="b", weight=1.0, groups={"topic": "y"}),
    ]
    models = [
        PricedModel(name=name, price=p, price_text=str(p)) for name, p in (("s", 1), ("l", 9))
    ]
    store = build(recordings, model="m", dataset="d", interval_tokens=100, models=models)
    labels = [[text.removesuffix(".0") for text in known] for known in store.answers]
    return write(classified(store, labels, equality="math"), tmp_path / "wide").path


def edit(folder: Path, **fields: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def put(folder: Path, name: str, content: bytes) -> None:
    """A table in place of the store's, with its digest in the manifest."""
    (folder / name).write_bytes(content)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    edit(folder, files={**files, name: file_digest(content)})


def as_parquet(frame: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.write_parquet(file, compression="zstd")
    return file.getvalue()


def long_answer(folder: Path) -> None:
    """One string of a dictionary, named again and again."""
    frame = pl.read_parquet(folder / "questions.parquet")
    answers = pl.Series([["x" * 1_000_000] * 1100, ["1"]], dtype=pl.List(pl.String))
    put(folder, "questions.parquet", as_parquet(frame.with_columns(answers=answers)))


def endless_branch(folder: Path) -> None:
    """A run of equal probes: a count and one value."""
    frame = pl.read_parquet(folder / "branches.parquet")
    lists = [np.zeros(80_000_000 if i == 0 else 1, np.int16) for i in range(len(frame))]
    probes = pl.Series(lists, dtype=pl.List(pl.Int16))
    put(folder, "branches.parquet", as_parquet(frame.with_columns(probes=probes)))


def padded(folder: Path) -> None:
    """Few values in the file, and one branch so long that the array of all is gigabytes."""
    edit(folder, questions=2, branches=2048)
    count = 2 * 2048
    frame = pl.DataFrame(
        {
            "question": np.repeat(np.arange(2, dtype=np.int16), 2048),
            "branch": np.tile(np.arange(2048, dtype=np.int16), 2),
            "tokens": np.ones(count, np.int32),
            "final": np.zeros(count, np.int16),
            "probes": pl.Series(
                [[0] * (32_000 if i == 0 else 1) for i in range(count)], dtype=pl.List(pl.Int16)
            ),
        }
    )
    put(folder, "branches.parquet", as_parquet(frame))


BOMBS = {
    "questions beyond number": lambda folder: edit(folder, questions=10**15),
    "branches beyond number": lambda folder: edit(folder, questions=32_000, branches=32_000),
    "intervals beyond number": lambda folder: edit(folder, interval_tokens=2**40),
    "deep JSON": lambda folder: (folder / "manifest.json").write_text("[" * 100_000),
    "a large manifest": lambda folder: edit(folder, source="x" * (2 << 20)),
    "one long answer": long_answer,
    "one endless branch": endless_branch,
    "one long branch of many": padded,
    "a pipe": lambda folder: (
        (folder / "questions.parquet").unlink(),
        os.mkfifo(folder / "questions.parquet"),
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_within_a_gibibyte_and_five_seconds(store: Path, bomb: str) -> None:
    BOMBS[bomb](store)
    code = (
        "import resource, sys\n"
        "from autotts import stores\n"
        "from autotts.errors import StoreError\n"
        "import polars\n"
        "before = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (before + (1 << 30),) * 2)\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (10, 10))\n"
        "try:\n"
        "    stores.load(sys.argv[1])\n"
        "except StoreError as error:\n"
        "    print('refused:', error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(store)], capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.startswith("refused: "), ran.stderr[-2000:]


def test_headers_say_what_a_table_unpacks_to(store: Path) -> None:
    for name in ("questions.parquet", "branches.parquet"):
        frame = pl.read_parquet(store / name)
        said = unpacked((store / name).read_bytes())
        assert said.rows == len(frame)
        for column in frame.columns:
            lists = isinstance(frame.schema[column], pl.List)
            count = frame[column].list.len().sum() if lists else len(frame)
            assert said.values[column] == count


def test_a_page_of_no_known_kind_is_refused(store: Path) -> None:
    """The first header's fields are renumbered one up, so that none of them says its kind."""
    content = bytearray((store / "branches.parquet").read_bytes())
    content[4] += 0x10
    with pytest.raises(ValueError, match="not Parquet"):
        unpacked(bytes(content))


def mutant(content: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut out or doubled; ends of a file matter most."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.choice([rng.randrange(len(data)), max(0, len(data) - rng.randint(1, 600))])
        kind = rng.randrange(4)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[at : at + rng.randint(1, 8)]
        else:
            data[at:at] = data[at : at + rng.randint(1, 40)]
    return bytes(data) or b"x"


def answers_without_end(folder: Path) -> None:
    """A long list of classes, which is a run of one value."""
    frame = pl.read_parquet(folder / "questions.parquet")
    many = pl.Series([np.zeros(70_000_000, np.int32), np.zeros(1, np.int32)])
    put(folder, "questions.parquet", as_parquet(frame.with_columns(classes=many)))


def deep_signals(folder: Path) -> None:
    """Sixteen signals over branches of 30,000 intervals, most of them one interval long."""
    names = [f"signal:s{k}" for k in range(16)]
    edit(
        folder, questions=1, branches=2_000, branches_in_all=None, models=[], cost_scale=0,
        columns={"questions.parquet": [], "branches.parquet": ["length", *names]},
    )  # fmt: skip
    lists = pl.Series([[0.5] * (30_000 if i == 0 else 1) for i in range(2_000)])
    frame = pl.DataFrame(
        {"question": np.zeros(2_000, np.int32), "branch": np.arange(2_000, dtype=np.int32),
         "tokens": np.ones(2_000, np.int32), "final": np.zeros(2_000, np.int32),
         "length": lists.list.len().cast(pl.Int32)}
        | dict.fromkeys(names, lists.cast(pl.List(pl.Float32)))
    )  # fmt: skip
    put(folder, "branches.parquet", as_parquet(frame))
    asked = {"question": ["?"], "gold": ["1"], "answers": [["1"]]}
    put(folder, "questions.parquet", as_parquet(pl.DataFrame(asked)))


def change(folder: Path, name: str, **columns: pl.Expr) -> None:
    """Columns changed, with digests that fit."""
    put(folder, name, as_parquet(pl.read_parquet(folder / name).with_columns(**columns)))


BOMBS_OF_VERSION_2 = {
    "answers without end": (answers_without_end, "70,000,001 values of classes; at most"),
    "deep signals": (deep_signals, "with 16 columns of values for each"),
    "a hundred columns": (
        lambda folder: edit(folder, columns={"branches.parquet": ["probes"] * 100}),
        "100 columns; at most 64",
    ),
    "a strange column": (
        lambda folder: edit(folder, columns={"questions.parquet": ["__import__"]}),
        "a column '__import__', which no store has",
    ),
    "branches without number": (
        lambda folder: edit(folder, branches_in_all=2**62),
        f"6 rows; the manifest says {2**62:,}",
    ),
    "an exponent": (lambda folder: edit(folder, cost_scale=10**9), "cost_scale: input should be"),
    "a null in a list": (
        lambda folder: change(
            folder, "branches.parquet", ends=pl.lit([1, None, 3], pl.List(pl.Int32))
        ),
        "ends has a null in a list",
    ),
    "a question below 0": (
        lambda folder: change(folder, "branches.parquet", question=pl.col("question") - 1),
        "there are 2 questions, from 0 on",
    ),
    "a question too many": (
        lambda folder: change(folder, "branches.parquet", question=pl.lit(2**31 - 1, pl.Int32)),
        "there are 2 questions, from 0 on",
    ),
    "a code beyond its spellings": (
        lambda folder: change(folder, "branches.parquet", final=pl.lit(2**20, pl.Int32)),
        "a code beyond its 5 spellings",
    ),
    "a code below 0": (
        lambda folder: change(folder, "branches.parquet", final=pl.lit(-(2**31), pl.Int32)),
        "a code below 0",
    ),
    "a class of no answer": (
        lambda folder: change(
            folder, "questions.parquet", classes=pl.lit([0, 9, 1, 2], pl.List(pl.Int32))
        ),
        "classes are one for each spelling",
    ),
    "unequal lists": (
        lambda folder: change(folder, "branches.parquet", ends=pl.lit([1], pl.List(pl.Int32))),
        "row 0 has 3 of probes, 1 of ends",
    ),
    "no number": (
        lambda folder: change(folder, "questions.parquet", weight=pl.lit(float("nan"))),
        "question 0: weight nan is outside",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS_OF_VERSION_2)
def test_what_only_the_second_version_can_hold_is_bounded(wide_store: Path, bomb: str) -> None:
    make, message = BOMBS_OF_VERSION_2[bomb]
    make(wide_store)
    with pytest.raises(StoreError) as caught:
        load(wide_store)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["manifest.json", "questions.parquet", "branches.parquet"])
@pytest.mark.parametrize("kind", ["store", "wide_store"])
def test_mutants_load_or_are_refused(request: pytest.FixtureRequest, name: str, kind: str) -> None:
    """Digests are made right, so that what reads the content is what is tried."""
    store = request.getfixturevalue(kind)
    original = (store / name).read_bytes()
    manifest = (store / "manifest.json").read_bytes()
    for seed in range(MUTANTS):
        content = mutant(original, random.Random(seed))
        (store / "manifest.json").write_bytes(manifest)
        if name == "manifest.json":
            (store / name).write_bytes(content)
        else:
            put(store, name, content)
        with contextlib.suppress(StoreError):
            load(store)
