"""How often does the offline explorer keep what is worth nothing, and find what is there?

    python benchmarks/false_keeps.py [--truths none noise length decoy signal]
        [--stages vote stop prune] [--stores 40] [--seed 0]

Stores are simulated of which it is known what tells the right answer (`tests/known_truth.py`):
nothing but the number of branches, also where signals are recorded that tell nothing; shorter
branches; that branches left a decoy; or a signal. Each stage is tried on top of the plain race.
What it keeps is held against the plain race on many other questions of the same kind: a **false
keep** is one that is no better there. Of a stage's stores at most 5 % should end in one.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from autotts.discovery.explorer import History, ProgramRules, Remaining, Turn
from autotts.discovery.explorers.offline.bench import Bench
from autotts.discovery.explorers.offline.lab import Lab
from autotts.stores import Store

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from known_truth import store

TRUTHS = ("none", "noise", "length", "decoy", "signal")
QUESTIONS, BRANCHES, DRAWS = 32, 24, 4
_FRESH = 12  # times the questions, to know what is true
_RULES = ProgramRules(ceiling=BRANCHES, cheapest=1.0, dearest=0.0, isotonic_slack=1.0)


@dataclass
class StageCount:
    """Stores on which a stage was tried, kept something, and kept what is no better in truth."""

    tried: int = 0
    kept: int = 0
    false: int = 0
    features: int = 0


def turn(found: Store, seed: int) -> Turn:
    """As much of a round as the explorer's lab reads."""
    return Turn(
        round=1, proposals=1, history=History({}, ()), rules=_RULES, seed=seed,
        stores=[found.path], folder=found.path, traces=True, remaining=Remaining,
        check=_unused, try_program=_unused, paid=_unused, say=print,
    )  # fmt: skip


def _unused(*_: object, **__: object) -> NoReturn:
    raise AssertionError("a lab asks for no more than stores")


def count(truth: str, stages: list[str], stores: int, seed: int) -> dict[str, StageCount]:
    """Try stages on so many stores."""
    counts = {stage: StageCount() for stage in stages}
    with tempfile.TemporaryDirectory() as folder:
        many = store(
            Path(folder), truth, seed=seed + 10_000, questions=_FRESH * QUESTIONS, branches=BRANCHES
        )
        fresh = Bench(turn(many, seed))
        for number in range(stores):
            one = store(
                Path(folder), truth, seed=seed + number, questions=QUESTIONS, branches=BRANCHES
            )
            lab = Lab(turn(one, seed + number), DRAWS)
            for stage in stages:
                step = lab.stage(stage, lab.plain)
                found = counts[stage]
                found.tried += 1
                found.kept += step.kept
                found.features += set(step.learned.vote) != {"votes"}
                if step.kept:
                    lead = fresh.area(fresh.measure(step.learned)) - fresh.area(
                        fresh.measure(lab.plain)
                    )
                    found.false += bool(np.all(lead <= 0))
    return counts


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--truths", nargs="+", default=list(TRUTHS))
    asked.add_argument("--stages", nargs="+", default=["vote", "stop", "prune"])
    asked.add_argument("--stores", type=int, default=40)
    asked.add_argument("--seed", type=int, default=0)
    given = asked.parse_args()
    print("truth   stage  stores  kept  with features  false keeps  seconds")
    for truth in given.truths:
        began = time.monotonic()
        for stage, one in count(truth, given.stages, given.stores, given.seed).items():
            print(
                f"{truth:7} {stage:6} {one.tried:6} {one.kept:5} {one.features:14} {one.false:12}"
                f"  {time.monotonic() - began:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
