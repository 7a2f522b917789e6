"""Rewrite the golden files: figures on the recorded data, and one trace for each controller.

`make golden` runs it; look at the difference before you commit it. The figures of the released
code among them are also in the recorded data's own `expected.json`, and must equal those.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from autotts import programs, stores
from autotts.evaluation import Execution, Experiment, evaluate
from autotts.stores import Store

HERE = Path(__file__).parent
FIGURES = HERE / "figures.json"
TRACES = HERE / "traces"
RECORDED = Path(os.environ.get("AUTOTTS_DATA", HERE.parents[1] / "../shared/data")) / "scout"

RELEASED = (
    "asc:max_branches=64,threshold=0.95",
    "esc:max_branches=64,window=8",
    "parallel-probe:width=64,stable=40,patience=7,warmup=15",
    "cmc:beta=1.0",
    "cmc:beta=0.5",
)
"""What the released code was run with, on all stores."""

ALL_ON = ("Qwen3-1.7B", "aime24")
"""The store on which every controller is run at both ends and in the middle of beta."""


def load_recorded(folder: Path) -> list[Store]:
    """The recorded stores, imported to `folder`."""
    return [stores.load(path) for path in stores.import_recordings(RECORDED, folder)]


def figures(recorded: list[Store]) -> list[dict[str, Any]]:
    """Means per question over the released code's 100 draws."""
    one = [store for store in recorded if (store.model, store.dataset) == ALL_ON]
    swept = [f"{name}:beta={beta}" for name in programs.built_in() for beta in (0.0, 0.5, 1.0)]
    results = evaluate(recorded, RELEASED).results() + evaluate(one, swept).results()
    return [
        {
            "model": row["model"],
            "dataset": row["dataset"],
            "controller": row["controller"],
            "accuracy": round(row["accuracy"], 2),
            "tokens": round(row["tokens"], 4),
            "sequential_tokens": round(row["sequential_tokens"], 4),
            "width": round(row["width"], 4),
            "rounds": round(row["rounds"], 4),
        }
        for row in results
    ]


def traces() -> dict[str, str]:
    """One episode of each controller on a toy store, as CSV by controller."""
    experiment = Experiment(draws="reference:1", max_branches=10)
    with tempfile.TemporaryDirectory() as folder:
        (path,) = stores.import_recordings(HERE / "toy.json", folder, model="toy", dataset="toy")
        store = stores.load(path)
    names = programs.built_in()
    specs = [f"{name}:beta=0.2" for name in names]
    found = evaluate([store], specs, experiment=experiment, execution=Execution(traces=True))
    return {
        name: ran.trace().drop("question", "draw").write_csv()
        for name, ran in zip(names, found.ran, strict=True)
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = figures(load_recorded(Path(folder)))
    lines = ",\n".join(json.dumps(row) for row in rows)
    FIGURES.write_text(f"[\n{lines}\n]\n")
    TRACES.mkdir(exist_ok=True)
    for old in TRACES.glob("*.csv"):
        old.unlink()
    for name, text in traces().items():
        (TRACES / f"{name}.csv").write_text(text)


if __name__ == "__main__":
    main()
