"""A run survives: kills at any instant, a full disk, a read-only folder, a second process."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from autotts.discovery.run import events
from autotts.discovery.run.folder import RunFolder
from autotts.errors import RunError
from discover_toy import Scripted, result, session, settings, store_folder

TOY = Path(__file__).with_name("discover_toy.py")


def test_a_kill_at_any_instant_loses_only_the_step_in_flight(tmp_path):
    """SIGKILL in the middle of every event, right after it, and at random instants.

    Resumed, the run ends with the same result, and no call whose reply was recorded is paid again;
    where rounds are proposed side by side too.
    """
    ran = subprocess.run(
        [sys.executable, str(TOY), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["points"] > 40
    assert found["wrong"] == []


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(tmp_path):
    """The log can't grow: the run says so, and is complete once there is room."""
    store = store_folder(tmp_path / "stores")
    folder, whole = tmp_path / "run", tmp_path / "whole"
    for path in (folder, whole):
        RunFolder.create(path, settings(store, baselines=()))
    session(whole, Scripted(tmp_path / "sent"))
    limit = (whole / "events.jsonl").stat().st_size // 2
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(RunError, match=r"(too large|No space).* can be resumed"):
            session(folder, Scripted(tmp_path / "sent"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    session(folder, Scripted(tmp_path / "sent"))
    assert result(folder) == result(whole)


@pytest.mark.privileges
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write in a read-only folder")
def test_a_read_only_folder_is_refused(tmp_path):
    store = store_folder(tmp_path / "stores")
    folder = tmp_path / "run"
    RunFolder.create(folder, settings(store))
    folder.chmod(0o500)
    try:
        with pytest.raises(RunError, match="Permission denied"):
            session(folder, Scripted(tmp_path / "sent"))
    finally:
        folder.chmod(0o700)


def test_a_second_process_is_refused(tmp_path):
    store = store_folder(tmp_path / "stores")
    folder = RunFolder.create(tmp_path / "run", settings(store))
    with folder.open(), pytest.raises(RunError, match=f"process {os.getpid()} is at work"):
        folder.open()
    with folder.open():
        pass


def test_another_store_is_refused_on_resuming(tmp_path):
    store = store_folder(tmp_path / "a")
    made = settings(store)
    other = store_folder(tmp_path / "b", seed=1)
    moved = made.stores[0].model_copy(update={"path": str(other)})
    folder = tmp_path / "run"
    RunFolder.create(folder, made.model_copy(update={"stores": (moved,)}))
    with pytest.raises(RunError, match=r"has digest .* began with"):
        session(folder, Scripted(tmp_path / "sent"))


def test_a_damaged_line_is_named(tmp_path):
    log = tmp_path / "events.jsonl"
    log.write_text('{"event": "ended", "at": "", "clock": 0, "rounds": 1}\nnonsense\n{"torn')
    with pytest.raises(RunError, match=r"events.jsonl:2: damaged"):
        list(events.read(log))


def test_a_folder_in_use_is_not_taken(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    store = store_folder(tmp_path / "stores")
    with pytest.raises(RunError, match="is not empty"):
        RunFolder.create(tmp_path, settings(store))
