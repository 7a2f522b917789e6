"""A round's digest: what matters is in it, it keeps to its size, and it tells no answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts import stores
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.round_files import DIGEST_BYTES, digest_text
from autotts.discovery.run.settings import RunLimits
from discover_toy import Scripted, session, settings
from secret_questions import assert_told_nothing, make_store

LINES = st.lists(st.text(st.characters(codec="utf-8"), max_size=60), max_size=40)


@given(LINES, LINES, st.integers(1, 60))
def test_what_matters_is_whole_and_the_digest_loses_its_last_lines(lines, others, times):
    digest, matters = "\n".join(lines * times) + "\n", "\n".join(others) + "\n"
    told = digest_text(digest, matters)
    assert len(told.encode()) <= DIGEST_BYTES
    assert told.endswith(matters)
    assert digest.startswith(told[: -len(matters) - 1])
    assert digest_text(digest, "") == digest


@pytest.mark.parametrize("seed", range(3))
def test_a_digest_has_findings_and_neither_gold_nor_question(tmp_path, seed):
    made = make_store(np.random.default_rng(seed), "m")
    stores.writing.write(made, tmp_path / "store", overwrite=False)
    RunFolder.create(
        tmp_path / "run", settings(tmp_path / "store", limits=RunLimits(rounds=1), baselines=())
    )
    session(tmp_path / "run", Scripted(tmp_path / "sent"))
    (digest,) = (tmp_path / "run" / "rounds").rglob("digest.md")
    told = digest.read_text()
    assert "# What matters here" in told
    assert "## Which states still gain" in told
    assert told.startswith("# round-1 against sc")
    assert len(told.encode()) <= DIGEST_BYTES
    for path in (digest, *(tmp_path / "run").rglob("traces.md"), tmp_path / "run" / "matters.md"):
        assert_told_nothing(path.read_text())
