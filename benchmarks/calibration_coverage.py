"""How often `autotts calibrate` finds a model that did not change as forecast.

A simulated model with many branches is the truth; of it come stores of few branches, and fresh
episodes as if they were played live. Prints in how many of the runs each figure was inside its own
interval, and in how many all figures were inside their common ones: both should be 95 %.

    python benchmarks/calibration_coverage.py [RUNS] [REPETITIONS]
"""

import sys
import tempfile
from dataclasses import replace

import numpy as np

from autotts import programs, simulation, stores
from autotts.evaluation import Experiment, Local
from autotts.replay.task import Cell, Task, all_pairs
from autotts.serve.calibration import FIGURES, Lived, forecast

QUESTIONS, TRUTH, BRANCHES, CEILING = 24, 1_500, 64, 32
SPECS = [
    programs.parse(f"{name}:beta=0.3") for name in ("sc", "asc", "short-mk", "race-prune", "cmc")
]


def some_of(truth: stores.Store, branches: np.ndarray) -> stores.Store:
    """The store that has these branches, `[Q, N]`, of each question."""
    pool, q = truth.pool, np.arange(len(branches))[:, None]
    assert pool.probes is not None
    columns = ("probes", "lengths", "tokens", "finals")
    chosen = {name: np.ascontiguousarray(getattr(pool, name)[q, branches]) for name in columns}
    manifest = truth.manifest.model_copy(update={"branches": branches.shape[1]})
    return replace(truth, path=None, manifest=manifest, pool=replace(pool, **chosen), used={})


def played_on(truth: stores.Store, spec: programs.Spec, orders: np.ndarray, driver: Local) -> Lived:
    """Episodes on fresh branches, `[Q, R, W]`."""
    rules = Experiment(max_branches=CEILING).task(truth).rules
    (ran,) = driver.run([Cell(Task(truth, orders, all_pairs(orders), rules), spec)])
    columns = ran.correct, ran.tokens, ran.episodes.column("rounds")
    return Lived(*(column.reshape(orders.shape[:2]) for column in columns))


def main(runs: int, repetitions: int) -> None:
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        truth = stores.load(
            simulation.simulate(
                folder, questions=QUESTIONS, branches=TRUTH, billing="exact", accuracy=0.55
            )
        )
    experiment = Experiment(max_branches=CEILING)
    alone = np.zeros((runs, len(SPECS), len(FIGURES)))
    together = np.zeros(runs)
    with Local() as driver:
        for run in range(runs):
            store = some_of(
                truth, rng.permuted(np.tile(np.arange(TRUTH), (QUESTIONS, 1)), axis=1)[:, :BRANCHES]
            )
            played = []
            for spec in SPECS:
                orders = np.stack(
                    [
                        np.stack([rng.permutation(TRUTH)[:CEILING] for _ in range(repetitions)])
                        for _ in range(QUESTIONS)
                    ]
                ).astype(np.int32)
                played.append((spec, played_on(truth, spec, orders, driver)))
            found = forecast(store, played, replace(experiment, seed=run), driver)
            alone[run] = [
                [one.low_alone <= one.live <= one.high_alone for one in figures]
                for figures in found
            ]
            together[run] = all(one.holds for figures in found for one in figures)
    for spec, shares in zip(SPECS, alone.mean(axis=0), strict=True):
        told = ", ".join(f"{f} {100 * s:.1f} %" for f, s in zip(FIGURES, shares, strict=True))
        print(f"{spec.text}: inside its own interval: {told}")
    print(f"all {alone[0].size} inside their own: {100 * alone.all(axis=(1, 2)).mean():.1f} %")
    print(
        f"all {alone[0].size} inside the common ones: {100 * together.mean():.1f} % of {runs} runs"
    )


if __name__ == "__main__":
    main(*(int(text) for text in (*sys.argv[1:], *("100", "2")[len(sys.argv) - 1 :])))
