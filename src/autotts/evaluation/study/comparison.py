"""Two controllers against each other: at equal tokens, at equal accuracy, over all budgets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from autotts.evaluation import compare as curves
from autotts.evaluation.compare import Acceptance
from autotts.evaluation.objectives import SHOWN, SPANS, Objective
from autotts.evaluation.result import Evaluation
from autotts.evaluation.run import evaluate, opened
from autotts.evaluation.settings import Execution, Experiment, explaining
from autotts.evaluation.statistics import in_percent
from autotts.evaluation.winner import Winner, winner_of
from autotts.inference.speed import ServerSpeed
from autotts.programs import AnyController, as_specs, parse
from autotts.replay.driver import Driver, OnRan
from autotts.stores import AnyStores

BETAS = tuple(k / 10 for k in range(11))
REFERENCE = "sc:beta=1"
"""What budgets are shares of: a vote of all 64 branches."""


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """What is known of two controllers on the same stores.

    a, b: their SPECs.
    objective: what budgets are in, and what the columns called tokens count.
    at_tokens: a row per budget, with the columns of `evaluation.compare.compare`: accuracies are in
        percent, as in `Evaluation.results`, and their differences in points.
    at_accuracy: a row per accuracy, in percent, with those of `evaluation.compare.compare_tokens`.
    area: whether the frontier area of a is above that of b, and by how much, in shares.
    winner: the one with the larger area, run again on fresh draws.
    evaluation: every episode, of the reference too.
    """

    a: str
    b: str
    objective: Objective
    at_tokens: pl.DataFrame
    at_accuracy: pl.DataFrame
    area: Acceptance
    winner: Winner | None
    evaluation: Evaluation

    def __repr__(self) -> str:
        gap = in_percent(self.area.difference)
        return (
            f"<Comparison {self.a} with {self.b}: frontier area {gap.estimate:+.2f} points,"
            f" 95 % {gap.low:+.1f} to {gap.high:+.1f}>"
        )

    def _repr_html_(self) -> str:
        return f"{self.at_tokens._repr_html_()}{self.at_accuracy._repr_html_()}"


@explaining
def compare(
    a: AnyController,
    b: AnyController,
    stores: AnyStores,
    *,
    betas: Sequence[float] = BETAS,
    objective: Objective = "tokens",
    server: ServerSpeed | None = None,
    experiment: Experiment | None = None,
    execution: Execution | None = None,
    driver: Driver | None = None,
    on_ran: OnRan | None = None,
) -> Comparison:
    """Compare two controllers at equal spending and at equal accuracy, question by question.

    Args:
        a, b: SPECs such as `"cmc"`, or paths of programs.
        stores: loaded stores, their folders, or patterns such as `"stores/*/aime24"`.
        betas: swept; the more there are, the better equal tokens can be compared.
        objective: what budgets are in.
        server: a server that was measured, for seconds and dollars; results have them too.
        experiment, execution, driver, on_ran: as in `evaluate`.

    Raises:
        SpecError: a and b are the same, or the objective needs a server model.
    """
    experiment, execution = experiment or Experiment(), execution or Execution()
    specs = as_specs([a, b])
    named = [spec.text for spec in specs]
    if REFERENCE not in named:
        specs.append(parse(REFERENCE))
    with opened(driver, execution) as chosen:
        evaluation = evaluate(
            stores, specs, betas=betas, experiment=experiment, execution=execution,
            driver=chosen, server=server, on_ran=on_ran,
        )  # fmt: skip
        found = evaluation.curves(objective)
        best = winner_of(
            evaluation, by="area", among=named, reference=REFERENCE, objective=objective,
            driver=chosen,
        )  # fmt: skip
    pair, base = (found[named[0]], found[named[1]]), found[REFERENCE]

    shares = SHOWN[objective]

    def rng() -> np.random.Generator:
        return np.random.default_rng(experiment.seed)

    return Comparison(
        a=named[0],
        b=named[1],
        objective=objective,
        at_tokens=curves.compare(*pair, reference=base, fractions=shares, rng=rng()).with_columns(
            pl.col("accuracy_a", "accuracy_b", "difference", "low", "high", "detectable") * 100
        ),
        at_accuracy=curves.compare_tokens(
            *pair, reference=base, fractions=shares, rng=rng()
        ).with_columns(pl.col("accuracy") * 100),
        area=curves.clears_noise(*pair, reference=base, span=SPANS[objective], rng=rng()),
        winner=best,
        evaluation=evaluation,
    )
