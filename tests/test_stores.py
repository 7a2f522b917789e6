"""Stores on disk and in memory: round trips, digests, and every way a folder can be damaged."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import timeit
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotts.errors import StoreError
from autotts.stores import (
    Branch,
    Recording,
    Store,
    build,
    check,
    find,
    import_recordings,
    load,
    store_folder,
    write,
)
from autotts.stores.schema import sealed

answers = st.one_of(
    st.sampled_from(["ERR", "No", "12", "204"]), st.text(st.characters(codec="utf-8"), max_size=6)
)
branches = st.builds(
    Branch,
    probes=st.lists(answers, min_size=1, max_size=5),
    tokens=st.integers(5_000, 60_000),
    final=answers,
)


@st.composite
def stores(draw: st.DrawFn) -> Store:
    """Any small store in memory."""
    width = draw(st.integers(1, 4))
    questions = draw(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, unique=True))
    recordings = [
        Recording(q, draw(answers), draw(st.lists(branches, min_size=width, max_size=width)))
        for q in questions[:4]
    ]
    return build(
        recordings,
        model="toy",
        dataset="any",
        interval_tokens=draw(st.integers(1, 1000)),
        billing=draw(st.sampled_from(["reference", "exact"])),
        sampling={"temperature": 0.7, "seed": 1},
        source="hypothesis",
    )


def toy(width: int = 2) -> Store:
    recordings = [
        Recording(f"What is {q}?", str(q), [Branch(["ERR", str(q)], 900 + i, str(q))] * width)
        for q, i in ((0, 7), (1, 8), (2, 9))
    ]
    return build(recordings, model="toy", dataset="counting", interval_tokens=500)


def same(left: Store, right: Store) -> bool:
    arrays = ("probes", "lengths", "tokens", "finals", "failed", "n_codes")
    return (
        all(np.array_equal(getattr(left.pool, a), getattr(right.pool, a)) for a in arrays)
        and np.array_equal(left.gold, right.gold)
        and (left.answers, left.texts, left.digest) == (right.answers, right.texts, right.digest)
        and (left.pool.interval, left.pool.billing) == (right.pool.interval, right.pool.billing)
    )


@given(store=stores())
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_a_store_comes_back_from_the_disk_as_it_was(
    store: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Arrays, strings, manifest and digest survive; the arrays are what the brief promises."""
    folder = tmp_path_factory.mktemp("store") / "s"
    written = write(store, folder)
    back = check(folder)
    assert same(back, store)
    assert back.manifest == written.manifest
    assert back.path == written.path == folder
    for name in ("probes", "lengths", "tokens", "finals", "failed", "n_codes"):
        array = getattr(back.pool, name)
        assert array.dtype == np.int32
        assert array.flags.c_contiguous
        assert array.flags.writeable  # compiled code tells read-only arrays from others


def test_codes_follow_the_order_of_appearance() -> None:
    """Branch by branch, probes then final; gold last when unseen."""
    recording = Recording("q", "9", [Branch(["5", "ERR"], 700, "7"), Branch(["7", "8"], 900, "5")])
    store = build([recording], model="m", dataset="d", interval_tokens=500)
    assert store.answers == (("5", "ERR", "7", "8", "9"),)
    assert store.pool.probes.tolist() == [[[0, 1], [2, 3]]]
    assert store.pool.finals.tolist() == [[2, 0]]
    assert store.pool.failed.tolist() == [1]
    assert store.gold.tolist() == [4]
    assert not store.correct.any()


def test_the_digest_is_of_the_content() -> None:
    """One golden value for all machines; every field of content moves it, the path does not."""
    assert toy().digest == "1b65d9dd91646e7fbe4a296288224193b672d5cb6729c75fee85de568272a8f7"
    assert toy(width=3).digest != toy().digest


def test_load_is_fast(tmp_path: Path) -> None:
    """A store of the usual size loads in well under the promised 0.2 s, warm."""
    rng = np.random.default_rng(0)
    recordings = [
        Recording(
            f"q{q}",
            "1",
            [
                Branch([str(a) for a in rng.integers(200, size=rng.integers(1, 81))], 500, "1")
                for _ in range(128)
            ],
        )
        for q in range(30)
    ]
    write(build(recordings, model="m", dataset="d", interval_tokens=500), tmp_path / "s")
    load(tmp_path / "s")
    assert min(timeit.repeat(lambda: load(tmp_path / "s"), number=1, repeat=5)) < 0.2


def test_importing_stores_needs_no_compiler() -> None:
    """A sealed worker that only needs Pool pays for neither Numba, SciPy nor Polars."""
    code = (
        "import sys, autotts.stores; "
        "print([m for m in ('numba', 'scipy', 'polars') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_existing_store_is_kept_unless_asked(tmp_path: Path) -> None:
    write(toy(), tmp_path / "s")
    with pytest.raises(StoreError, match="is there already; give --overwrite"):
        write(toy(width=3), tmp_path / "s")
    assert load(tmp_path / "s").pool.finals.shape == (3, 2)
    write(toy(width=3), tmp_path / "s", overwrite=True)
    assert load(tmp_path / "s").pool.finals.shape == (3, 3)
    assert os.listdir(tmp_path) == ["s"]


def test_a_folder_that_is_no_store_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(StoreError, match=r"is no store .* not overwritten"):
        write(toy(), tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").exists()


def test_a_failing_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a store is never seen, not even as a leftover."""

    def full_disk(self: Path, *args: object, **kwargs: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(StoreError, match=r"s/questions\.parquet: No space left on device"):
        write(toy(), tmp_path / "s")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_told_with_the_file_and_old_stores_stay(tmp_path: Path) -> None:
    """The second store's branches find no room: neither is written, by whichever limit."""
    write(toy(), tmp_path / "old")
    before = (tmp_path / "old" / "manifest.json").read_bytes()
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from autotts.errors import StoreError\n"
        "from autotts.stores import Branch, Recording, build\n"
        "from autotts.stores.writing import write_all\n"
        "def store(count):\n"
        "    branches = [Branch([str(i * i % 9973)], i + 1, str(i)) for i in range(count)]\n"
        "    recordings = [Recording('q', '1', branches)]\n"
        "    return build(recordings, model='m', dataset='d', interval_tokens=5000)\n"
        "small, large = store(2), store(4000)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "folder = Path(sys.argv[1])\n"
        "try:\n"
        "    write_all([(small, folder / 'old'), (large, folder / 'new')], overwrite=True)\n"
        "except StoreError as error:\n"
        "    print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert ran.stdout == f"{tmp_path / 'new' / 'questions.parquet'}: File too large\n", ran.stderr
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old" / "manifest.json").read_bytes() == before


ODD_PATHS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["x" * 300, "a\0b", "\ud800", "a/" * 3000, "[", "**/*", "~", "file/below", ""]),
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=ODD_PATHS)
def test_of_any_path_only_store_errors_come(name: str, tmp_path: Path) -> None:
    """Whatever is named, it is a store, or the error says why it is none."""
    inside = tmp_path / "inside"
    inside.mkdir(exist_ok=True)
    (inside / "file").write_text("[]")
    odd = inside / name.lstrip("/").replace("..", "__")
    for use in (
        lambda: find(odd),
        lambda: load(odd),
        lambda: import_recordings(odd, inside / "out"),
        lambda: write(toy(), odd),
    ):
        with contextlib.suppress(StoreError):
            use()
    shutil.rmtree(inside)


def test_a_store_that_appears_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writers of one place: the second is told, and leaves nothing."""
    write(toy(), tmp_path / "s")
    monkeypatch.setattr("autotts.stores.writing.require_free", lambda path, overwrite: None)
    with pytest.raises(StoreError, match="something else was written there meanwhile"):
        write(toy(width=3), tmp_path / "s")
    assert load(tmp_path / "s").pool.finals.shape == (3, 2)
    assert os.listdir(tmp_path) == ["s"]


def test_find_gives_stores_at_and_below_each_once(tmp_path: Path) -> None:
    for name in ("b/two", "a/one"):
        write(toy(), tmp_path / name)
    (tmp_path / "a" / ".one.12345678.new").mkdir()
    (tmp_path / "a" / ".one.12345678.new" / "manifest.json").write_text("{}")
    both = [tmp_path / "a" / "one", tmp_path / "b" / "two"]
    assert find(tmp_path) == both
    assert find([tmp_path / "b" / "two", tmp_path]) == both[::-1]
    assert find(str(tmp_path / "*" / "[ot]*")) == both


def test_find_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file or folder"):
        find(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"no\*where: no such file or folder"):
        find(tmp_path / "no*where")
    (tmp_path / "Model").mkdir()
    (tmp_path / "Model" / "d.json").write_text("[]")
    with pytest.raises(
        StoreError, match=r"no store here .*recordings become stores by `autotts data import`"
    ):
        find(tmp_path)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", ".hidden"])
def test_names_stay_inside_the_folder(name: str) -> None:
    with pytest.raises(StoreError, match="can't name a folder"):
        store_folder("out", name, "d")


def edit(folder: Path, **fields: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **fields}))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


DAMAGE = {
    "no manifest": (lambda s: (s / "manifest.json").unlink(), "it has no manifest.json"),
    "manifest cut short": (lambda s: cut(s / "manifest.json"), "manifest.json: not JSON"),
    "not a manifest": (lambda s: (s / "manifest.json").write_text("[]"), "no schema_version"),
    "schema version": (
        lambda s: edit(s, schema_version=9),
        "schema version 9; this autotts reads 1",
    ),
    "field of wrong type": (lambda s: edit(s, billing="free"), "billing: input should be"),
    "unknown field": (lambda s: edit(s, colour="red"), "colour: extra inputs"),
    "file missing": (lambda s: (s / "branches.parquet").unlink(), "branches.parquet is missing"),
    "branches cut short": (lambda s: cut(s / "branches.parquet"), "branches.parquet: its sha256"),
    "questions changed": (lambda s: cut(s / "questions.parquet"), "questions.parquet: its sha256"),
    "files unlisted": (lambda s: edit(s, files={}), "manifest.json says none"),
    "digest changed": (lambda s: edit(s, digest="0" * 64), "manifest.json: its digest is 0000"),
    "model renamed": (lambda s: edit(s, model="other"), "manifest.json: its digest is"),
    "questions miscounted": (lambda s: edit(s, questions=4), "3 rows; the manifest says 4"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_on_load(damage: str, tmp_path: Path) -> None:
    """The error names the file or folder and says what is wrong with it."""
    folder = tmp_path / "toy"
    write(toy(), folder)
    harm, message = DAMAGE[damage]
    harm(folder)
    with pytest.raises(StoreError, match=message) as caught:
        load(folder)
    assert str(folder) in str(caught.value)


def test_check_finds_codes_out_of_order(tmp_path: Path) -> None:
    """A store whose digests are right and whose codes are not canonical: load trusts, check not."""
    store = toy()
    swapped = replace(
        store.pool,
        probes=np.where(store.pool.probes == -1, -1, 1 - store.pool.probes).astype(np.int32),
        finals=(1 - store.pool.finals).astype(np.int32),
        failed=(1 - store.pool.failed).astype(np.int32),
    )
    flipped = tuple(strings[::-1] for strings in store.answers)
    gold = (1 - store.gold).astype(np.int32)
    changed = replace(store, pool=swapped, gold=gold, answers=flipped)
    write(sealed(changed), tmp_path / "s")
    load(tmp_path / "s")
    with pytest.raises(StoreError, match="question 0: codes are not in order"):
        check(tmp_path / "s")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("finals", 9, "question 0, branch 0: final answer code 9 is outside 0..1"),
        ("lengths", 0, "question 0, branch 0: length 0 is outside 1..2"),
        ("tokens", 0, "question 0, branch 0: tokens 0 is outside"),
        ("probes", -1, "question 0, branch 0, interval 0: probe code -1 is outside 0..1"),
    ],
)
def test_a_pool_with_wrong_values_cannot_be_built(field: str, value: int, message: str) -> None:
    array = getattr(toy().pool, field).copy()
    array.flat[0] = value
    with pytest.raises(StoreError, match=message):
        replace(toy().pool, **{field: array})


def test_exact_billing_needs_tokens_in_the_last_interval() -> None:
    """Two intervals of 500 tokens and 400 tokens in all: the second was never begun."""
    short = [Recording("q", "1", [Branch(["1", "1"], 400, "1")])]
    build(short, model="m", dataset="d", interval_tokens=500)
    with pytest.raises(StoreError, match=r"tokens 400 is outside 501\.\."):
        build(short, model="m", dataset="d", interval_tokens=500, billing="exact")


def test_a_pool_with_wrong_dtype_cannot_be_built() -> None:
    with pytest.raises(StoreError, match="tokens must be C-contiguous int32"):
        replace(toy().pool, tokens=toy().pool.tokens.astype(np.int64))


BAD_RECORDINGS = {
    "no questions": ([], "no questions"),
    "same question": ([Recording("q", "1", [Branch(["1"], 1, "1")])] * 2, "question 1: the same"),
    "no branches": ([Recording("q", "1", [])], "question 0: no branches"),
    "no probes": ([Recording("q", "1", [Branch([], 1, "1")])], "branch 0: 0 probes"),
    "too long": ([Recording("q", "1", [Branch(["1"], 2**31, "1")])], "2147483648 tokens"),
    "half a character": ([Recording("q", "\ud800", [Branch(["1"], 1, "1")])], "half a character"),
}


@pytest.mark.parametrize("case", BAD_RECORDINGS)
def test_bad_recordings_make_no_store(case: str) -> None:
    recordings, message = BAD_RECORDINGS[case]
    with pytest.raises(StoreError, match=message):
        build(recordings, model="m", dataset="d", interval_tokens=500)


def test_a_store_needs_sound_settings() -> None:
    recordings = [Recording("q", "1", [Branch(["1"], 1, "1")])]
    with pytest.raises(StoreError, match="model: string should have at least 1"):
        build(recordings, model="", dataset="d", interval_tokens=500)
    with pytest.raises(StoreError, match="interval_tokens: input should be greater than 0"):
        build(recordings, model="m", dataset="d", interval_tokens=0)
