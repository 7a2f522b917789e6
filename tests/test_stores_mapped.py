"""Stores that are read from the disk: what they hold is what their shards hold."""

import json
import os
import resource

import numpy as np
import pytest

from autotts import stores
from autotts.errors import StoreError
from autotts.evaluation import Experiment, evaluate
from autotts.programs import parse
from autotts.replay.in_process import InProcess
from autotts.replay.task import cells_of
from autotts.simulation import simulate
from autotts.stores.mapped import put_together

SIGNALS = {"confidence": 0.7}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    return [
        simulate(out / str(seed), questions=count, branches=8, seed=seed, signals=SIGNALS)
        for seed, count in enumerate((3, 5, 2))
    ]


@pytest.fixture(scope="module")
def mapped(shards, tmp_path_factory):
    return put_together(shards, tmp_path_factory.mktemp("mapped") / "store", stores.load)


def test_a_mapped_store_holds_what_its_shards_hold(shards, mapped):
    whole, begin = stores.check(mapped), 0
    assert whole.pool.on_disk is not None
    for part in map(stores.load, shards):
        rows = slice(begin, begin + len(part.texts))
        begin = rows.stop
        depth = part.pool.depth
        assert whole.texts[rows] == part.texts
        assert whole.answers[rows] == part.answers
        assert np.array_equal(whole.gold[rows], part.gold)
        for name in ("lengths", "tokens", "finals", "failed", "n_codes"):
            assert np.array_equal(getattr(whole.pool, name)[rows], getattr(part.pool, name))
        assert np.array_equal(whole.pool.probes[rows, :, :depth], part.pool.probes)
        assert (whole.pool.probes[rows, :, depth:] == -1).all()
        values = whole.pool.signals["confidence"][rows, :, :depth]
        assert np.array_equal(values, part.pool.signals["confidence"])
    assert begin == len(whole.texts) == 10


@pytest.mark.parametrize("name", ["cmc", "sc"])
def test_it_is_played_as_its_shards_are(shards, mapped, name):
    experiment = Experiment("reference:5")
    specs = [parse(name).at(beta) for beta in (0.2, 0.8)]
    ran = InProcess().run(cells_of([experiment.task(stores.load(mapped))], specs))
    parts = [
        InProcess().run(cells_of([experiment.task(stores.load(shard))], specs)) for shard in shards
    ]
    for k, one in enumerate(ran):
        expected = np.concatenate([part[k].episodes.results for part in parts])
        assert np.array_equal(one.episodes.results, expected)
        assert np.array_equal(one.correct, np.concatenate([part[k].correct for part in parts]))


def test_memory_that_was_given_up_is_read_again(mapped):
    """Parts of a question's pages are never given up with a neighbour's."""
    store = stores.load(mapped)
    before = store.pool.probes.copy()
    for first in range(10):
        store.pool.on_disk.release(first, first + 1)
    store.pool.on_disk.release(0, 10)
    assert np.array_equal(store.pool.probes, before)


def test_it_is_found_and_evaluated_like_any_store(mapped, shards):
    (row,) = evaluate(mapped.parent, "sc", experiment=Experiment("reference:3")).results()
    assert row["episodes"] == 30


def test_a_column_that_was_changed_is_found(shards, tmp_path):
    """Its size and codes when it is loaded, any byte by a check."""
    folder = put_together(shards[:2], tmp_path / "store", stores.load)
    probes = bytearray((folder / "probes.column").read_bytes())
    tokens = bytearray((folder / "tokens.column").read_bytes())
    tokens[0] ^= 1
    (folder / "tokens.column").write_bytes(tokens)
    stores.load(folder)
    with pytest.raises(StoreError, match=r"tokens\.column: it was changed"):
        stores.check(folder)
    (folder / "probes.column").write_bytes(b"\xff\xff\x00\x00" + probes[4:])
    with pytest.raises(StoreError, match="question 0, branch 0, interval 0: probe code 65535"):
        stores.load(folder)
    (folder / "probes.column").write_bytes(probes[:-4])
    with pytest.raises(StoreError, match=r"probes\.column: [\d,]+ bytes; \[8, 8, \d+\] take"):
        stores.load(folder)


@pytest.mark.parametrize("name", ["/dev/zero", "../pipe.column", "signal.x/../../pipe.column"])
def test_a_manifest_names_files_of_its_folder_alone(name, shards, tmp_path):
    """Somebody else's could have us read what never ends, or keep us waiting."""
    folder = put_together(shards[:1], tmp_path / "store", stores.load)
    os.mkfifo(tmp_path / "pipe.column")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="which no store has"):
        stores.check(folder)


def test_a_pipe_in_the_place_of_a_column_keeps_nobody_waiting(shards, tmp_path):
    folder = put_together(shards[:1], tmp_path / "store", stores.load)
    (folder / "tokens.column").unlink()
    os.mkfifo(folder / "tokens.column")
    with pytest.raises(StoreError, match="no plain file"):
        stores.check(folder)


def test_what_is_not_alike_is_not_put_together(shards, tmp_path):
    other = simulate(tmp_path, questions=2, branches=8, seed=1, model="other")
    with pytest.raises(StoreError, match="it is not like"):
        put_together([shards[0], other], tmp_path / "store", stores.load)
    assert not (tmp_path / "store").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]


def test_little_of_it_is_in_memory(shards, tmp_path, monkeypatch):
    """What was gone through is given up: the pages that stay are those of a part."""
    monkeypatch.setattr("autotts.stores.pool._PART_BYTES", 1 << 16)
    monkeypatch.setattr("autotts.stores.pool._BLOCK_CELLS", 1 << 12)
    folder = put_together(shards * 30, tmp_path / "store", stores.load)
    store = stores.load(folder)
    assert store.pool.parts > 5
    size = (folder / "probes.column").stat().st_size
    InProcess(jobs=1).run(cells_of([Experiment("reference:1").task(store)], [parse("sc")]))
    assert _resident(folder / "probes.column") < size / 4


def _resident(path) -> int:
    """Bytes of a file that this process holds in memory."""
    found, held = False, 0
    with open("/proc/self/smaps") as file:
        for line in file:
            if "-" in line.split()[0]:
                found = line.rstrip().endswith(str(path))
            elif found and line.startswith("Rss:"):
                held += 1024 * int(line.split()[1])
    assert resource.getpagesize()
    return held
