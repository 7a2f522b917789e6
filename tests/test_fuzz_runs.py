"""Run folders that anybody may have written: named errors only, and nothing hangs."""

import shutil

import pytest

from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import StoreRef
from autotts.discovery.run.store_refs import open_stores
from autotts.errors import RunError
from discover_toy import Scripted, session, settings, store_folder
from fuzz_runs import fuzz
from test_discovery_events import VERSION_1


def original(folder, version="1"):
    """A run among its stores: the recorded one, or one of this version that was just made."""
    store = store_folder(folder / "stores")
    held = store_folder(folder / "held", name="held", seed=5)
    if version == "1":
        shutil.copytree(VERSION_1, folder / "original")
        for path in (folder / "original").iterdir():
            path.write_text(path.read_text().replace("STORES", str(folder)))
    else:
        run = RunFolder.create(folder / "original", settings(store, held, traces=True))
        session(run.path, Scripted(folder / "sent"))
    return folder / "original"


@pytest.mark.parametrize("version", ["1", "this"])
def test_mutated_run_folders_end_in_an_answer_or_a_named_error(version, tmp_path):
    assert fuzz(tmp_path, original(tmp_path, version), 150) == {}


@pytest.mark.parametrize("path", ["x" * 5_000, "a\0b", ""])
def test_a_path_that_no_system_takes_is_named(path):
    ref = StoreRef(path=path, model="m", dataset="toy", digest="")
    with pytest.raises(RunError, match="the run needs m/toy"):
        open_stores([ref])
