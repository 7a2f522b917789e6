"""Run folders that anybody may have written: named errors only, and nothing hangs."""

import shutil

import pytest

from autotts.discovery.run.settings import StoreRef
from autotts.discovery.run.store_refs import open_stores
from autotts.errors import RunError
from discover_toy import store_folder
from fuzz_runs import fuzz
from test_discovery_events import VERSION_1, VERSION_2


def original(folder, recorded=VERSION_1):
    """A recorded run, among its stores."""
    store_folder(folder / "stores")
    store_folder(folder / "held", name="held", seed=5)
    shutil.copytree(recorded, folder / "original")
    for path in (folder / "original").iterdir():
        path.write_text(path.read_text().replace("STORES", str(folder)))
    return folder / "original"


@pytest.mark.parametrize("recorded", [VERSION_1, VERSION_2], ids=["1", "2"])
def test_mutated_run_folders_end_in_an_answer_or_a_named_error(recorded, tmp_path):
    assert fuzz(tmp_path, original(tmp_path, recorded), 150) == {}


@pytest.mark.parametrize("path", ["x" * 5_000, "a\0b", ""])
def test_a_path_that_no_system_takes_is_named(path):
    ref = StoreRef(path=path, model="m", dataset="toy", digest="")
    with pytest.raises(RunError, match="the run needs m/toy"):
        open_stores([ref])
