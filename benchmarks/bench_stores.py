"""How long a large store takes from the disk: `make bench`, with nothing else running.

1,000 questions x 256 branches of up to 80 intervals, as issue 12 asks for: at most a second.
"""

from pathlib import Path

import numpy as np
import pytest

from autotts import stores
from autotts.stores.schema import sealed

CODES = 40


def large(questions: int = 1000, branches: int = 256, depth: int = 80) -> stores.Store:
    """Branches that show their final answer half of the time."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(depth // 4, depth + 1, (questions, branches), np.int32)
    finals = rng.integers(0, CODES, lengths.shape, np.int32)
    probes = rng.integers(0, CODES, (*lengths.shape, depth), np.int32)
    settled = rng.random(probes.shape, np.float32) < 0.5
    probes[settled] = np.broadcast_to(finals[:, :, None], probes.shape)[settled]
    probes[np.arange(depth) >= lengths[:, :, None]] = -1
    pool = stores.Pool(
        probes=probes,
        lengths=lengths,
        tokens=lengths * np.int32(500),
        finals=finals,
        failed=np.full(questions, -1, np.int32),
        n_codes=np.full(questions, CODES, np.int32),
        interval=500,
        billing="exact",
    )
    manifest = stores.Manifest(
        model="large", dataset="any", interval_tokens=500, billing="exact",
        questions=questions, branches=branches, digest="",
    )  # fmt: skip
    answers = (tuple(map(str, range(CODES))),) * questions
    texts = tuple(f"Question {q}?" for q in range(questions))
    gold = np.zeros(questions, np.int32)
    return sealed(stores.Store(None, manifest, pool, gold, answers, texts))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stores.write(large(), tmp_path_factory.mktemp("large") / "s").path


def test_a_large_store_loads(folder: Path, benchmark) -> None:
    """Verified as any: digests of files and content, shapes and codes."""
    store = benchmark.pedantic(stores.load, (folder,), rounds=5, warmup_rounds=1)
    assert store.pool.probes.shape == (1000, 256, 80)


def test_a_large_store_is_written(tmp_path: Path, benchmark) -> None:
    store = large(questions=200)
    written = benchmark.pedantic(
        stores.write, (store, tmp_path / "s"), {"overwrite": True}, rounds=3
    )
    assert written.digest == store.digest
