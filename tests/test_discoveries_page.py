"""The script behind docs/discoveries/: a record holds all of a run, a table each pair."""

import importlib.util
import json
from pathlib import Path

import pytest

from autotts import stores
from autotts.discovery.held_out import finalize
from autotts.discovery.run.folder import RunFolder
from autotts.simulation import simulate
from discover_toy import Scripted, program, session, settings, store_folder

_PLACE = Path(__file__).resolve().parent.parent / "benchmarks" / "discoveries.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("discoveries", _PLACE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_record_has_what_was_proposed_what_it_cost_and_what_was_found(script, tmp_path):
    searched, held_out = (store_folder(tmp_path / name, name=name) for name in ("a", "b"))
    RunFolder.create(tmp_path / "run", settings(searched, held_out))
    session(tmp_path / "run", Scripted(tmp_path / "sent"))
    with RunFolder(tmp_path / "run").open() as run:
        results = finalize(run, lambda text: None)
    found = json.loads(json.dumps(script.record(tmp_path / "run")))
    assert [one["round"] for one in found["proposals"]] == ["1", "2"]
    assert [len(one["curve"]) for one in found["proposals"]] == [3, 3]
    assert found["program"] in (program(11, 7), program(12, 7))
    assert found["cost"]["usd"] == 0.5
    assert [one["round"] for one in found["tried"]] == [1, 2]
    best = found["held_out"]["controllers"][f"round {found['best']}"]
    assert best["area"] == results.controllers[f"round {found['best']}"].area
    assert set(found["held_out"]["against"]) == {"asc"}


def test_a_table_has_a_row_for_each_family_and_says_who_can_not_play(script, tmp_path):
    probed = simulate(tmp_path, questions=4, branches=16, seed=1, model="a-1", dataset="d")
    blind = simulate(
        tmp_path, questions=4, branches=16, seed=2, model="b-1", dataset="d", probes=False
    )
    loaded = [stores.load(path) for path in (probed, blind)]
    lines = script.table(["race-prune", "asc"], ["margin", "cmc"], loaded, "subsets:2")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len({len(row) for row in cells}) == 1
    rows = {(row[0], row[1]): row[3:] for row in cells[2:]}
    assert rows["`race-prune`", "b"][0] == "needs probes"
    assert rows["`asc`", "b"][2] == "needs probes"  # cmc
    assert all("[" in cell for cell in (*rows["`race-prune`", "a"], *rows["`asc`", "a"]))
    assert "[" in rows["`asc`", "b"][1]
