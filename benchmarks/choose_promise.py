"""Does `autotts choose` keep its promise? Many simulated stores, against what is true of them.

    python benchmarks/choose_promise.py [--stores 200] [--questions 40] [--branches 24] [--seed 0]

A population of questions is simulated, each with branches of its own, and dealt out: every store
gets other questions of it. Each store is given a budget somewhere inside the sweep, another for
each store and controller, and `choose` names a beta. **The budget holds** if the mean spending per
question of that beta over all other questions of the population, which the store has not seen, is
at most the budget. **Accuracy lies in its interval** if the mean accuracy of that beta over those
same questions does. A budget should hold in 95 % of the stores or more, and accuracy lie in its
interval in 90 to 98 %.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autotts import simulation, stores
from autotts.evaluation import Experiment
from autotts.evaluation.study.choose import BETAS, Allowed, choose, pick
from autotts.stores import Store, build, recordings_of

CONTROLLERS = ("cmc", "sc", "short-mk", "asc")
DRAWS = "reference:6"


@dataclass
class Kept:
    """What became of one controller's choices.

    held, inside: how often the budget held, and accuracy lay in its interval.
    used: mean share of the budget that was truly spent.
    """

    chosen: int = 0
    held: int = 0
    inside: int = 0
    used: float = 0.0


def deal(count: int, questions: int, branches: int, seed: int, folder: Path) -> list[Store]:
    """So many stores of one population, with other questions each, in memory."""
    path = simulation.simulate(
        folder, questions=count * questions, branches=branches, seed=seed, billing="exact"
    )
    population = stores.load(path)
    # The simulator spreads its questions evenly; shuffled and cut, they are a sample like any.
    order = np.random.default_rng(seed).permutation(count * questions)
    every = recordings_of(population)
    return [
        build(
            [every[q] for q in order[k * questions : (k + 1) * questions]],
            model="simulated", dataset=f"part{k}", billing="exact",
            interval_tokens=population.pool.interval,
            failed_answer=population.manifest.failed_answer,
        )
        for k in range(count)
    ]  # fmt: skip


def judge(dealt: list[Store], controller: str, betas: tuple[float, ...], seed: int) -> Kept:
    """Choose on each store, and hold the choice against all others."""
    rng = np.random.default_rng(seed)
    experiment = Experiment(draws=DRAWS)
    whole = [
        choose(s, controller, budget=Allowed(1.0), betas=betas, experiment=experiment)
        for s in dealt
    ]
    spent = np.array([[one.spent.estimate for one in found.settings] for found in whole])
    right = np.array([[one.accuracy.estimate for one in found.settings] for found in whole])
    kept = Kept()
    for k in range(len(dealt)):
        others = np.delete(np.arange(len(dealt)), k)
        means = spent[others].mean(axis=0)
        budget = float(np.exp(rng.uniform(*np.log([1.1 * means.min(), 0.95 * means.max()]))))
        at, _, _ = pick(whole[k].settings, Allowed(budget), None)
        if at is None:
            continue
        accuracy = whole[k].settings[at].accuracy
        kept.chosen += 1
        kept.held += bool(means[at] <= budget)
        truth = float(right[others, at].mean())
        kept.inside += accuracy.low <= truth <= accuracy.high
        kept.used += float(means[at]) / budget
    return kept


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--stores", type=int, default=200)
    asked.add_argument("--questions", type=int, default=40)
    asked.add_argument("--branches", type=int, default=24)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--controllers", default=",".join(CONTROLLERS))
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dealt = deal(given.stores, given.questions, given.branches, given.seed, Path(folder))
        print(f"{'controller':12} chosen  budget held  accuracy inside  budget used")
        for controller in given.controllers.split(","):
            kept = judge(dealt, controller, BETAS, given.seed)
            n = max(1, kept.chosen)
            print(
                f"{controller:12} {kept.chosen:6}  {kept.held / n:10.1%}  {kept.inside / n:14.1%}"
                f"  {kept.used / n:10.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
