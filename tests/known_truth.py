"""Simulated stores of which it is known what tells the right answer, and what doesn't."""

from dataclasses import replace

import numpy as np

from autotts import stores
from autotts.answers import FAILED
from autotts.simulation.process import FAILED as FAILED_CODE
from autotts.simulation.process import GOLD, Signal
from autotts.simulation.sampling import sample
from autotts.simulation.typical import typical
from autotts.stores.recordings import build

_SLOPE = 0.5
_SIGNALS = {
    "signal": {"confidence": Signal(auc=0.8, mean=12.0, deviation=2.0), "length": Signal(auc=0.5)},
    "noise": {name: Signal(auc=0.5) for name in ("one", "two", "three", "four", "five")},
}


def store(folder, truth, *, seed, questions=48, branches=64):
    """A store of questions that are all contested, written to a folder.

    truth: "none": a branch shows its final answer from its first interval, and lengths don't
        depend on it, so only the number of branches tells. "length": wrong branches are longer.
        "decoy": branches that end right show a wrong answer first, the most frequent one, and
        leave it; wrong ones show theirs throughout. "signal": two signals are recorded, of which
        `confidence` tells right branches from wrong ones. "noise": five, and none tells anything.
    """
    rng = np.random.default_rng(seed)
    parameters = typical(questions, rng=rng)
    right = rng.uniform(0.25, 0.5, questions)
    finals = np.zeros_like(parameters.finals)
    finals[:, GOLD], finals[:, 2], finals[:, 3] = right, 0.65 * (1 - right), 0.35 * (1 - right)
    lengths = np.full_like(parameters.log_length, 2.5)
    if truth == "length":
        lengths[:, GOLD + 1 :] += _SLOPE
    wander = np.zeros_like(parameters.wander)
    wander[:, :, 2] = 1
    tables = {
        event: tuple(np.zeros_like(table) for table in parts)
        for event, parts in parameters.tables.items()
    }
    tables["enter"][0][:] = 20.0
    tables["leave"][0][:] = -20.0
    if truth == "decoy":
        tables["enter"][0][:, 0, :5] = -20.0  # [seen, ends, stage]: right ones, in their first half
    made = replace(
        parameters, finals=finals, log_length=lengths, wander=wander, tables=tables,
        spread=np.full_like(parameters.spread, 0.3), signals=_SIGNALS.get(truth, {}),
    )  # fmt: skip
    assert FAILED_CODE == 1
    recordings = sample(made, questions=questions, branches=branches, billing="reference", rng=rng)
    built = build(
        recordings, model=truth, dataset=f"known{seed}", interval_tokens=500, billing="reference",
        failed_answer=FAILED, sampling={"simulated": True}, source="known truth",
    )  # fmt: skip
    path = folder / f"{truth}{seed}"
    stores.writing.write(built, path, overwrite=False)
    return stores.load(path)
