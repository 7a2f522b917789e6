import os

import pytest

from autotts import stores
from autotts.discovery.agents.emptying import Emptying
from autotts.errors import StoreError
from autotts.files import MOST_LEVELS, files_below, whole, write_text
from autotts.stores.importing import read_recordings


@pytest.fixture
def nested(tmp_path):
    """Makes folders in one another, deeper than a path may be long; pytest can't remove them."""
    folder = tmp_path / "nested"
    folder.mkdir()

    def nest(depth):
        at = os.open(folder, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir("a", dir_fd=at)
            below = os.open("a", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        os.close(at)
        return folder

    yield nest
    at = os.open(folder, os.O_RDONLY)
    Emptying(at).go()
    os.close(at)


@pytest.mark.parametrize("depth", [MOST_LEVELS, 1_500, 3_000])
def test_folders_nested_without_end_hold_nothing_and_break_nothing(nested, depth):
    folder = nested(depth)
    assert list(files_below(folder)) == []
    with pytest.raises(StoreError, match="no store here"):
        stores.find(folder)
    with pytest.raises(StoreError, match="nested: no recordings"):
        read_recordings(folder)


def test_what_is_below_is_found_but_for_what_is_hidden_or_linked(tmp_path):
    for name in ("a/one", "a/b/two", ".hidden/three", "a/.four"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "a/pipe")
    (tmp_path / "a/b/round").symlink_to(tmp_path)
    (tmp_path / "a/link").symlink_to("one")
    found = {str(file.relative_to(tmp_path)) for file in files_below(tmp_path)}
    assert found == {"a/one", "a/b/two", "a/pipe", "a/link", "a/b/round"}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half of it \ud800")
    assert [file.name for file in tmp_path.iterdir()] == ["out.json"]
    assert path.read_text() == "old"


def test_a_block_that_fails_leaves_nothing(tmp_path):
    def fail():
        with whole(tmp_path / "out.bin") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not list(tmp_path.iterdir())


def test_what_is_written_stands_there_at_the_end(tmp_path):
    path = tmp_path / "out.bin"
    with whole(path) as file:
        file.write(b"all of it")
        assert not path.exists()
    assert path.read_bytes() == b"all of it"
    assert path.stat().st_mode & 0o777 == 0o644
