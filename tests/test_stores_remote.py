"""Stores at other addresses and back: what comes is what went, or nothing comes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import fsspec
import fsspec.implementations.memory
import pytest
from typer.testing import CliRunner

from autotts import simulation, stores
from autotts.cli.app import app
from autotts.errors import SpecError, StoreError
from autotts.stores import remote
from autotts.stores.schema import sealed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return simulation.simulate(tmp_path / "mine", questions=3, branches=4, seed=1)


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/there"
    fsspec.filesystem("memory").store.clear()
    return "memory://bucket/stores"


def test_what_is_pulled_is_what_was_pushed(folder, url, tmp_path):
    run = CliRunner().invoke
    other = simulation.simulate(tmp_path / "mine", questions=2, branches=3, seed=2, dataset="two")
    ran = run(app, ["data", "push", str(tmp_path / "mine"), "--to", url], catch_exceptions=False)
    assert ran.exit_code == 0
    ran = run(app, ["data", "pull", url, "--out", str(tmp_path / "here")], catch_exceptions=False)
    assert ran.exit_code == 0
    for one in (folder, other):
        here = tmp_path / "here" / one.relative_to(tmp_path / "mine")
        assert stores.check(here).digest == stores.load(one).digest
    (one,) = remote.pull(f"{url}/simulated/two", tmp_path / "one")
    assert one.digest == stores.load(other).digest
    assert remote.push(folder, url).endswith("was there already")


def test_another_store_is_replaced_only_when_asked(folder, url, tmp_path):
    remote.push(folder, url)
    other = simulation.simulate(tmp_path / "other", questions=3, branches=4, seed=9)
    with pytest.raises(StoreError, match="is another store; give --overwrite"):
        remote.push(other, url)
    remote.push(other, url, overwrite=True)
    (store,) = remote.pull(url, tmp_path / "here")
    assert store.digest == stores.load(other).digest
    with pytest.raises(StoreError, match="is there already"):
        remote.pull(url, tmp_path / "here")


def test_a_store_whose_name_leads_elsewhere_goes_nowhere(folder, url, tmp_path):
    """Whoever made it may have given it any."""
    store = stores.load(folder)
    named = store.manifest.model_copy(update={"model": "../../up"})
    hostile = stores.write(sealed(replace(store, manifest=named)), tmp_path / "hostile").path
    with pytest.raises(StoreError, match=r"'../../up' can't name a folder"):
        remote.push(hostile, url)
    files, root = fsspec.core.url_to_fs(url)
    assert not files.exists(root) or files.find(root) == []


def test_what_is_damaged_there_does_not_come_here(folder, url, tmp_path):
    remote.push(folder, url)
    files, root = fsspec.core.url_to_fs(url)
    (table,) = (name for name in files.find(root) if name.endswith("branches.parquet"))
    content = files.cat_file(table)
    files.pipe_file(table, content[:-9] + bytes(9))
    with pytest.raises(StoreError):
        remote.pull(url, tmp_path / "here")
    assert not (tmp_path / "here").exists()
    files.rm_file(table)
    with pytest.raises(StoreError):
        remote.pull(url, tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_a_hub_is_told_of_every_table(folder, url):
    """In the front matter of README.md, as names of files that are there."""
    import polars as pl

    remote.push(folder, url)
    remote.write_card(url)
    remote.write_card(url)
    files, root = fsspec.core.url_to_fs(url)
    card = files.cat_file(f"{root}/README.md").decode()
    _, front, _ = card.split("---\n", 2)
    names = [json.loads(text) for text in re.findall(r"config_name: (.*)", front)]
    paths = [json.loads(text) for text in re.findall(r"data_files: (.*)", front)]
    assert names == ["simulated--sim--branches", "simulated--sim--questions"]
    rows = [len(pl.read_parquet(files.cat_file(f"{root}/{path}"))) for path in paths]
    assert rows == [12, 3]
    files.pipe_file(f"{root}/README.md", b"# mine")
    with pytest.raises(StoreError, match="written by somebody else"):
        remote.write_card(url)


class Endless(fsspec.implementations.memory.MemoryFileSystem):
    """A server that says nothing of sizes, and whose files never end, nor its folders."""

    protocol = "endless"
    store, pseudo_dirs = {}, [""]
    folders = False

    def ls(self, path, detail=True, **_):
        kind = "directory" if self.folders else "file"
        names = ("a", "b", "c", "manifest.json")
        found = [{"name": f"{path}/{name}", "size": None, "type": kind} for name in names]
        return found if detail else [one["name"] for one in found]

    def size(self, path):
        return None

    def open(self, path, mode="rb", **_):
        return open("/dev/zero", "rb")


@pytest.fixture
def endless():
    fsspec.register_implementation("endless", Endless, clobber=True)
    yield Endless
    Endless.folders = False


def test_what_never_ends_is_not_pulled(endless, tmp_path, monkeypatch):
    with pytest.raises(StoreError, match="a store has at most 16,777,216 bytes"):
        remote.pull("endless://x", tmp_path / "here")
    endless.folders = True
    with pytest.raises(StoreError, match="more than 100,000 files"):
        remote.pull("endless://x", tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_whatever_a_file_system_raises_is_told(endless, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise LookupError("HTTP 418")

    monkeypatch.setattr(endless, "ls", broken)
    with pytest.raises(StoreError, match="endless://x: LookupError: HTTP 418"):
        remote.pull("endless://x", tmp_path)


@pytest.mark.parametrize("address", ["nowhere://x", "memory://empty"])
def test_an_address_without_a_store_is_told(address, tmp_path):
    with pytest.raises((SpecError, StoreError), match=r"nowhere|no store there"):
        remote.pull(address, tmp_path)
