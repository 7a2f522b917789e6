"""Questions through the `datasets` library, by presets, from local data of the same shape."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from autotts import collect
from test_collect import ROWS

pytestmark = pytest.mark.skipif(
    find_spec("datasets") is None, reason='no datasets: pip install "autotts[datasets]"'
)

PLACES = {
    "aime24": "data/train-00000-of-00001.parquet",
    "aime25": "test.jsonl",
    "hmmt25": "data/train-00000-of-00001.parquet",
    "gpqa-diamond": "gpqa_diamond.csv",
    "math500": "test.jsonl",
}
"""Where each set has its rows."""

READ = """
import json, sys
from autotts import collect
from dataclasses import asdict
print(json.dumps({name: [asdict(item) for item in collect.read_questions(name)]
                  for name in json.loads(sys.argv[1])}))
"""


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pl.DataFrame(rows)
    if path.suffix == ".parquet":
        table.write_parquet(path)
    elif path.suffix == ".csv":
        table.write_csv(path)
    else:
        table.write_ndjson(path)


def test_presets_come_through_the_library(tmp_path):
    """Its sets are looked for beside the working folder first, so no network is needed."""
    presets = collect.presets()
    for name, place in PLACES.items():
        columns, row = presets[name], ROWS[name]
        folder = tmp_path / columns.path
        other = row[columns.id] + (1 if isinstance(row[columns.id], int) else "b")
        write(folder / place, [row, {**row, columns.question: "Another?", columns.id: other}])
        if columns.name:
            named = f"configs:\n- config_name: {columns.name}\n  data_files: {place}\n"
            (folder / "README.md").write_text(f"---\n{named}---\n")
    own = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", READ, json.dumps([*PLACES])],
        cwd=tmp_path, env={**os.environ, **own}, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    for name in PLACES:
        columns = presets[name]
        path = tmp_path / columns.path / PLACES[name]
        rows = collect.read_questions(str(path), columns)
        assert [(i["id"], i["question"], i["gold"]) for i in found[name]] == [
            (i.id, i.question, i.gold) for i in rows
        ]
        assert [tuple(i["options"]) for i in found[name]] == [i.options for i in rows]
        assert len(rows) == 2
