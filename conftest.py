"""Fixtures of the tests and the benchmarks alike."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).parent

# Compiling makes the first example of a property slow by seconds, and the cores are shared.
settings.register_profile("autotts", settings(), deadline=None)
settings.load_profile("autotts")


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The recorded data: `scout/MODEL/DATASET.json`, `scout/expected.json`, `paper_tables.json`.

    `AUTOTTS_DATA` names the folder; without it, `../shared/data` beside the repository is tried.
    """
    named = os.environ.get("AUTOTTS_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if (folder / "scout").is_dir():
        return folder
    if named:
        pytest.fail(f"AUTOTTS_DATA={named} has no folder scout/ of recorded branches")
    pytest.skip("no recorded data: set AUTOTTS_DATA, or put it in ../shared/data")
