"""How often does `autotts drift` call, when nothing changed and when something did?

    python benchmarks/drift_power.py [--population 900] [--trials 500] [--seed 0]

A population of questions is simulated three times: as it is, with branches 20 % longer, and with
branches 5 points less often right. Controllers are replayed on all of it. In each trial some
questions are the store's, each with one of `RECORDINGS` recordings, and 500 of the episodes that
were played live are the traffic: so trials share few branches. "same" plays the store's own
questions again, as often each; "other" plays questions that the store has not. A call is any figure
whose interval excludes no change. Whether answers are right is looked at where the store's own
questions are played, and for other questions where it is said, as recorded traffic has no true
answers. Where the population is too small for a setting, it is left out.

For other questions two bounds are printed, of what nobody can do better by luck alone of which
questions they are: the power of one test at 5 % of a change of the mean accuracy, between so many
questions of the store and 500 others. The first is of who knows the accuracy of every question, the
second of who also knows how long its right branches are and how far its wrong ones agree, which a
model that became worse keeps and which tell hard questions from easy ones.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from autotts import programs
from autotts.answers import FAILED
from autotts.evaluation import Experiment, Local
from autotts.evaluation.quantiles import normal_quantile, normal_tail
from autotts.evaluation.shown import FIGURES, FigureValues, figures_of
from autotts.evaluation.study.drift import Side, shifts
from autotts.replay.draws import Deal
from autotts.replay.driver import Driver
from autotts.replay.task import Cell, Task, all_pairs
from autotts.simulation.process import GOLD, Parameters
from autotts.simulation.sampling import sample
from autotts.simulation.typical import ACCURACY, of_models, typical
from autotts.stores import Store, build

REQUESTS, EPISODES, RECORDINGS = 500, 8, 3
CHANGES = ("none", "longer", "worse")
LONGER, WORSE = 1.2, 0.05
AT_ONCE = 100
"""Questions in memory."""
SETTINGS = (("same", 100, True), ("same", 400, True), ("other", 400, False), ("other", 400, True))
"""Whose questions, how many the store has, and whether there are true answers."""
Figures = dict[str, FigureValues]


def changed(parameters: Parameters, change: str) -> Parameters:
    if change == "longer":
        return replace(parameters, log_length=parameters.log_length + np.log(LONGER))
    if change == "worse":
        mean = float(parameters.finals[:, GOLD].mean())
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


def tasks(base: Parameters, given: argparse.Namespace) -> Iterator[tuple[str, Task]]:
    """Some questions at a time: the replays on their recordings, then live episodes by change.

    Replays of a question stand one recording behind the other. Live episodes share no branch.
    """
    rng = np.random.default_rng((given.seed, 1))
    models = {change: changed(base, change) for change in CHANGES}
    for first in range(0, given.population, AT_ONCE):
        rows = np.arange(first, min(first + AT_ONCE, given.population))
        deal = Deal(f"subsets:{RECORDINGS * given.draws}", given.branches, seed=given.seed + first)
        orders = deal.orders(np.full(len(rows), given.branches))
        recording = np.repeat(np.arange(RECORDINGS, dtype=np.int32), given.draws)
        yield "store", _task(base, rows, orders + given.branches * recording[:, None], rng)
        fresh = np.arange(EPISODES * given.branches, dtype=np.int32).reshape(EPISODES, -1)
        for change, model in models.items():
            yield change, _task(model, rows, np.repeat(fresh[None], len(rows), axis=0), rng)


def _task(
    model: Parameters, rows: np.ndarray, orders: np.ndarray, rng: np.random.Generator
) -> Task:
    store = store_of(model.of(rows), 1 + int(orders.max()), rng)
    orders = np.ascontiguousarray(orders)
    return Task(store, orders, all_pairs(orders), Experiment().task(store).rules)


def played(task: Task, controller: str, beta: float, driver: Driver) -> Figures:
    (ran,) = driver.run([Cell(task, programs.parse(controller).at(beta))], keep_log=True)
    return figures_of(ran)


def together(parts: list[Figures]) -> Figures:
    return {
        name: FigureValues(
            np.concatenate([part[name].values for part in parts]),
            np.concatenate([part[name].weights for part in parts]),
        )
        for name in FIGURES
    }


def calls(
    before: Figures, live: Figures, rng: np.random.Generator, *, population: int, questions: int,
    draws: int, same: bool, gold: bool,
) -> list[str]:  # fmt: skip
    """The figures that are called in one trial.

    before: of `RECORDINGS * draws` episodes of each question. live: of `EPISODES` of each.
    """
    chosen = rng.permutation(population)
    own = chosen[:questions]
    recorded = RECORDINGS * own + rng.integers(RECORDINGS, size=questions)
    replays = (draws * recorded[:, None] + np.arange(draws)).ravel()
    asked = np.arange(REQUESTS)
    if same:
        time, asked = np.divmod(asked, questions)
        which = rng.permuted(np.tile(np.arange(EPISODES), (questions, 1)), axis=1)
        at = EPISODES * own[asked] + which[asked, time]
    else:
        at = EPISODES * chosen[questions + asked] + rng.integers(EPISODES, size=REQUESTS)
    names = [name for name in before if gold or name not in ("right", "accuracy")]
    stored: Side = {n: before[n].some(replays) for n in names}, np.repeat(range(questions), draws)
    traffic: Side = {n: live[n].some(at) for n in names}, asked
    return [one.figure for one in shifts(stored, traffic, same=same) if one.drifted]


def bounds(parameters: Parameters, questions: int) -> tuple[float, float]:
    """Power of the best tests on other questions: see above."""
    right, wrong = parameters.finals[:, GOLD], parameters.finals[:, GOLD + 1 :]
    alike = wrong / wrong.sum(axis=1, keepdims=True)
    keeps = [parameters.log_length[:, GOLD], (alike**2).sum(axis=1), alike.max(axis=1)]
    known = np.column_stack([np.ones(len(right)), *keeps, *(one**2 for one in keeps)])
    rest = right - known @ np.linalg.lstsq(known, right, rcond=None)[0]
    errors = np.array([right.std(ddof=1), rest.std(ddof=known.shape[1])])
    errors *= np.sqrt(1 / questions + 1 / REQUESTS)
    plain, told = (normal_tail(WORSE / error - normal_quantile(0.975)) for error in errors)
    return plain, told


def report(controller: str, sides: dict[str, Figures], given: argparse.Namespace) -> None:
    rng = np.random.default_rng((given.seed, 2))
    for whose, questions, gold in SETTINGS:
        if given.population < questions + (REQUESTS if whose == "other" else 0):
            continue
        found = {
            change: [
                calls(
                    sides["store"], sides[change], rng, population=given.population,
                    questions=questions, draws=given.draws, same=whose == "same", gold=gold,
                )
                for _ in range(given.trials)
            ]
            for change in CHANGES
        }  # fmt: skip
        shares = [float(np.mean([bool(one) for one in found[change]])) for change in CHANGES]
        told = []
        for change in ("none", "worse"):
            by = Counter(name for names in found[change] for name in names)
            told.append(f"{change} by " + ", ".join(f"{k} {by[k] / given.trials:.1%}" for k in by))
        print(
            f"{controller:15}{whose:>6}{questions:6}{'  gold' if gold else '      '}",
            *(f"{share:8.1%}" for share in shares), f"  {'; '.join(told)}", flush=True,
        )  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--population", type=int, default=900)
    asked.add_argument("--branches", type=int, default=64, help="as `collect` samples")
    asked.add_argument("--trials", type=int, default=500)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--beta", type=float, default=0.3)
    asked.add_argument("--draws", type=int, default=50, help="as `drift` plays the store")
    asked.add_argument("--controllers", default="sc,cmc,short-mk")
    given = asked.parse_args()
    controllers = given.controllers.split(",")
    base = typical(given.population, rng=np.random.default_rng(given.seed), accuracy=ACCURACY)
    parts: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    with Local() as driver:
        for side, task in tasks(base, given):
            for controller in controllers:
                figures = played(task, controller, given.beta, driver)
                parts[controller, side].append(figures)
    print(f"{'controller':15}{'questions':>12}{'':6}", *(f"{change:>8}" for change in CHANGES))
    for controller in controllers:
        sides = {side: together(parts[controller, side]) for side in ("store", *CHANGES)}
        report(controller, sides, given)
    plain, told = bounds(base, 400)
    print(f"bounds of other questions, a store of 400: {plain:.0%}, {told:.0%}")


if __name__ == "__main__":
    main()
