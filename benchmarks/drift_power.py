"""How often does `autotts drift` call, when nothing changed and when something did?

    python benchmarks/drift_power.py [--population 1000] [--trials 1000] [--seed 0]

A population of questions is simulated three times: as it is, with branches 20 % longer, and with
branches 5 points less often right. A controller is replayed on all of it. In each trial some
questions are the store's, with the first population's figures, and 500 episodes are the traffic.
"same" plays the store's own questions again, a few times each on branches of its own; "other" plays
questions that the store has not. A call is any figure whose interval excludes no change. Whether
answers are right is looked at where the store's own questions are played, and for other questions
where it is said, as recorded traffic has no true answers.

The bound of other questions is what nobody can do better than who sees all of every question, by
luck alone of which questions they are: the power of one test at 5 % of a change of the mean
accuracy of questions, between so many of the store and 500 others.
"""

import argparse
from dataclasses import replace

import numpy as np

from autotts import programs
from autotts.answers import FAILED
from autotts.evaluation import Experiment, Local
from autotts.evaluation.quantiles import normal_quantile, normal_tail
from autotts.evaluation.shown import FigureValues, figures_of
from autotts.evaluation.study.drift import Side, shifts
from autotts.replay.task import Cell, Task, all_pairs
from autotts.simulation.process import Parameters
from autotts.simulation.sampling import sample
from autotts.simulation.typical import ACCURACY, of_models, typical
from autotts.stores import Store, build

REQUESTS, REPETITIONS = 500, 5
CHANGES = ("none", "longer", "worse")
LONGER, WORSE = 1.2, 0.05
Figures = dict[str, FigureValues]


def changed(parameters: Parameters, change: str) -> Parameters:
    if change == "longer":
        return replace(parameters, log_length=parameters.log_length + np.log(LONGER))
    if change == "worse":
        mean = float(parameters.finals[:, 0].mean())
        return replace(of_models(parameters, [mean - WORSE]), models=1)
    return parameters


def store_of(parameters: Parameters, branches: int, rng: np.random.Generator) -> Store:
    recordings = sample(
        parameters, questions=len(parameters.finals), branches=branches, billing="exact", rng=rng
    )
    return build(
        recordings, model="simulated", dataset="sim", billing="exact",
        interval_tokens=parameters.interval_tokens, failed_answer=FAILED,
    )  # fmt: skip


def played(task: Task, controller: str, beta: float) -> Figures:
    with Local() as driver:
        (ran,) = driver.run([Cell(task, programs.parse(controller).at(beta))], keep_log=True)
    return figures_of(ran)


def on_fresh_branches(store: Store, branches: int) -> Task:
    """Episodes that share no branch, `REPETITIONS` of each question."""
    orders = np.arange(REPETITIONS * branches, dtype=np.int32).reshape(REPETITIONS, branches)
    every = np.repeat(orders[None], len(store.texts), axis=0)
    return Task(store, every, all_pairs(every), Experiment().task(store).rules)


def calls(
    before: Figures, live: Figures, rng: np.random.Generator, *, population: int, questions: int,
    draws: int, same: bool, gold: bool,
) -> list[str]:  # fmt: skip
    """The figures that are called in one trial.

    before: of `draws` episodes of each question. live: of `REPETITIONS` of each.
    """
    chosen = rng.permutation(population)
    own = chosen[:questions]
    if same:
        each = -(-REQUESTS // questions)
        asked = np.repeat(np.arange(questions), each)[:REQUESTS]
        at = REPETITIONS * own[asked] + np.tile(np.arange(each), questions)[:REQUESTS]
    else:
        asked = np.arange(REQUESTS)
        at = REPETITIONS * chosen[questions : questions + REQUESTS]
    names = [name for name in before if gold or name not in ("right", "accuracy")]
    replays = (draws * own[:, None] + np.arange(draws)).ravel()
    stored: Side = {n: before[n].some(replays) for n in names}, np.repeat(range(questions), draws)
    traffic: Side = {n: live[n].some(at) for n in names}, asked
    return [one.figure for one in shifts(stored, traffic, same=same) if one.drifted]


def bound(parameters: Parameters, questions: int) -> float:
    """Power of the best test on other questions: see above."""
    spread = float(parameters.finals[:, 0].std(ddof=1))
    error = spread * np.sqrt(1 / questions + 1 / REQUESTS)
    return normal_tail(WORSE / error - normal_quantile(0.975))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--population", type=int, default=1000)
    asked.add_argument("--branches", type=int, default=32)
    asked.add_argument("--trials", type=int, default=1000)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--beta", type=float, default=0.3)
    asked.add_argument("--draws", type=int, default=50, help="as `drift` plays the store")
    asked.add_argument("--controllers", default="cmc,sc")
    given = asked.parse_args()
    rng = np.random.default_rng(given.seed)
    base = typical(given.population, rng=rng, accuracy=ACCURACY)
    recorded = store_of(base, given.branches, rng)
    lived = {
        change: store_of(changed(base, change), REPETITIONS * given.branches, rng)
        for change in CHANGES
    }
    sizes = {"population": given.population, "draws": given.draws}
    print(
        f"{'controller':11}{'questions':>10}{'store':>7}{'gold':>6}", *(f"{c:>9}" for c in CHANGES)
    )
    for controller in given.controllers.split(","):
        replays = Experiment(draws=f"subsets:{given.draws}").task(recorded)
        before = played(replays, controller, given.beta)
        live = {
            change: played(on_fresh_branches(store, given.branches), controller, given.beta)
            for change, store in lived.items()
        }
        for same in (True, False):
            for questions in (100, 400) if same else (400,):
                # The store's own questions have the store's true answers.
                for gold in (True,) if same else (False, True):
                    shares, figures = [], {change: dict.fromkeys(before, 0) for change in CHANGES}
                    for change in CHANGES:
                        each = {"questions": questions, "gold": gold, "same": same}
                        found = [
                            calls(before, live[change], rng, **sizes, **each)
                            for _ in range(given.trials)
                        ]
                        shares.append(np.mean([bool(one) for one in found]))
                        for name in (name for one in found for name in one):
                            figures[change][name] += 1
                    told = [
                        f"{change} by "
                        + ", ".join(f"{k} {v / given.trials:.1%}" for k, v in own.items() if v)
                        for change, own in figures.items()
                        if change != "longer"
                    ]
                    print(
                        f"{controller:11}{'same' if same else 'other':>10}{questions:7}{gold!s:>6}",
                        *(f"{share:9.1%}" for share in shares), f"  {'; '.join(told)}", flush=True,
                    )  # fmt: skip
    print(f"bound of other questions, a store of 400: {bound(base, 400):.0%}")


if __name__ == "__main__":
    main()
