"""How often does `autotts drift` call, when nothing changed and when something did?

    python benchmarks/drift_power.py [--population 2500] [--trials 1000] [--seed 0]

A population of questions is simulated three times: as it is, with branches 20 % longer, and with
branches 5 points less often right. A controller is replayed on all of it. In each trial some
questions are the store's, with the first population's figures, and 500 episodes are the traffic.
"same" plays the store's own questions again, a few times each; "other" plays questions that the
store has not. A call is any figure whose interval excludes no change. Whether answers are right is
looked at where the store's own questions are played, and for other questions where it is said, as
recorded traffic has no true answers.
"""

import argparse
from dataclasses import replace

import numpy as np

from autotts import programs
from autotts.answers import FAILED
from autotts.evaluation import Experiment, Local
from autotts.evaluation.shown import figures_of
from autotts.evaluation.statistics import FloatArray
from autotts.evaluation.study.drift import by_question, shifts
from autotts.replay.task import Cell
from autotts.simulation.process import Parameters
from autotts.simulation.sampling import sample
from autotts.simulation.typical import ACCURACY, of_models, typical
from autotts.stores import Store, build

REQUESTS = 500
CHANGES = ("none", "longer", "worse")
LONGER, WORSE = 1.2, 0.05
Figures = dict[str, FloatArray]


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


def played(store: Store, controller: str, beta: float, draws: str) -> Figures:
    """By figure, `[Q, D]`."""
    task = Experiment(draws=draws).task(store)
    with Local() as driver:
        (ran,) = driver.run([Cell(task, programs.parse(controller).at(beta))], keep_log=True)
    return {name: task.by_question(values) for name, values in figures_of(ran).items()}


def calls(
    before: Figures, live: Figures, rng: np.random.Generator, *, questions: int, same: bool,
    gold: bool,
) -> list[str]:  # fmt: skip
    """The figures that are called in one trial.

    before: `[P, D]` of the store. live: `[P, R]` played again.
    """
    count, repetitions = live["tokens"].shape
    chosen = rng.permutation(count)
    own = chosen[:questions]
    if same:
        each = -(-REQUESTS // questions)
        asked = np.repeat(np.arange(questions), each)[:REQUESTS]
        at = own[asked], np.tile(np.arange(each) % repetitions, questions)[:REQUESTS]
    else:
        asked = np.arange(REQUESTS)
        at = chosen[questions : questions + REQUESTS], np.zeros(REQUESTS, np.int64)
    names = [name for name in before if gold or name not in ("right", "accuracy")]
    flat = np.repeat(np.arange(questions), before["tokens"].shape[1])
    stored = {name: by_question(before[name][own].ravel(), flat, questions) for name in names}
    found = shifts(stored, {name: live[name][at] for name in names}, asked, same=same)
    return [one.figure for one in found if one.drifted]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--population", type=int, default=2500)
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
    lived = {change: store_of(changed(base, change), given.branches, rng) for change in CHANGES}
    print(
        f"{'controller':11}{'questions':>10}{'store':>7}{'gold':>6}", *(f"{c:>9}" for c in CHANGES)
    )
    for controller in given.controllers.split(","):
        before = played(recorded, controller, given.beta, f"subsets:{given.draws}")
        live = {c: played(s, controller, given.beta, "subsets:6") for c, s in lived.items()}
        for same in (True, False):
            for questions in (100, 400) if same else (400,):
                # The store's own questions have the store's true answers.
                for gold in (True,) if same else (False, True):
                    shares, figures = [], {change: dict.fromkeys(before, 0) for change in CHANGES}
                    for change in CHANGES:
                        found = [
                            calls(
                                before, live[change], rng, questions=questions, same=same, gold=gold
                            )
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


if __name__ == "__main__":
    main()
