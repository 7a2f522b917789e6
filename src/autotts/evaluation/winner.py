"""The winner's curse: what is left of the best of many on draws that had no part in choosing it.

What was chosen for its figure owes part of it to luck. Fresh draws take away the luck of the draws
and leave that of the questions, which stay the same; how much choosing by them flatters is what
`compare.best` expects from resampling them. Only other questions show all of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autotts.errors import StoreError
from autotts.evaluation.compare import AREA_RANGE, AreaScore, By, Pick, area, best, mean_of_stores
from autotts.evaluation.frontiers import Curve
from autotts.evaluation.objectives import SPANS, Objective
from autotts.evaluation.result import Evaluation, curves_of
from autotts.evaluation.run import run_cells
from autotts.evaluation.statistics import RESAMPLES
from autotts.replay.driver import Driver, Ran
from autotts.text import counted

_HEADS = {"accuracy": "Most accurate", "area": "Largest frontier area"}
_UNITS = {"accuracy": " %", "area": ""}


Rerun = tuple[Curve, str]
"""A curve on fresh draws, and what the audit says of it; see `How.words`."""


@dataclass(frozen=True, slots=True)
class Winner:
    """The best of many, as it was found and measured again.

    name: what was chosen, in words; `candidates`: what from, such as "44 settings".
    by: the figure it was chosen for.
    found: that figure in percent, on the draws it was chosen by.
    fresh: on draws that had no part in choosing it.
    luck: points that choosing is expected to add; None where the questions were not resampled.
    audit: what the audit of the fresh run says; "" for a program of ours.
    interval: of `found` at 95 %, as if it had not been chosen, and `chosen` corrected for choosing
        it, see `statistics.Best`; None in older records and for one question.
    """

    name: str
    candidates: str
    by: By
    found: float
    fresh: float
    luck: float | None = None
    audit: str = ""
    interval: tuple[float, float] | None = None
    chosen: tuple[float, float] | None = None

    @property
    def words(self) -> str:
        """All of it in a sentence."""
        (head, name), (_, found), (where, fresh), *more = self.facts
        rest = "".join(f"; {what} {words}" for what, words in more)
        return f"{head}: {name}, {found} as found, {fresh} {where}{rest}."

    @property
    def facts(self) -> list[tuple[str, str]]:
        """All of it, piece by piece: (what, value in words)."""
        unit = _UNITS[self.by]
        facts = [
            (f"{_HEADS[self.by]} of {self.candidates}", self.name),
            (f"{self.by} as found", f"{self.found:.2f}{unit}"),
            ("on fresh draws of the same questions", f"{self.fresh:.2f}{unit}"),
        ]
        if self.luck is not None:
            count = self.candidates.partition(" ")[0]
            # Resampling may find a hair below zero: picking the best can't understate it.
            luck = f"about {self.luck:.2f}" if self.luck >= 0.005 else "less than 0.01"
            facts.append((f"picking the best of {count} overstates it by", f"{luck} points"))
        for what, bounds in (
            ("its 95 % interval, had it not been chosen, is", self.interval),
            ("and corrected for choosing it", self.chosen),
        ):
            if bounds is not None:
                facts.append((what, f"{bounds[0]:.2f} to {bounds[1]:.2f}"))
        if self.audit:
            facts.append(("the fresh run was", self.audit))
        return facts


def winner(
    curves: Sequence[Curve],
    rerun: Callable[[Pick], Rerun],
    *,
    rng: np.random.Generator,
    by: By = "accuracy",
    reference: Curve | None = None,
    span: tuple[float, float] = AREA_RANGE,
    score: AreaScore = mean_of_stores,
    resamples: int = RESAMPLES,
) -> Winner:
    """The best of many curves, or of all their settings, measured again on fresh draws.

    Args:
        curves: of different names.
        rerun: what was chosen, at its beta or at all of them, on draws that had no part in it.
        rng: consumed.
        by, reference, span, score: as in `compare.best`.
    """
    reference = reference or curves[0]
    choice = best(
        curves, rng=rng, by=by, reference=reference, span=span, score=score, resamples=resamples
    )
    again, audit = rerun(choice)
    if by == "area":
        # The budgets stay those of the choice, so that only the draws are others.
        fresh = area(
            again, reference=reference, span=span, score=score, rng=rng, resamples=1
        ).estimate
        name, kind = choice.controller, "controller"
    else:
        fresh = float(again.points().accuracy[:, again.betas == choice.beta].mean())
        name, kind = f"{choice.controller} at beta {choice.beta:g}", "setting"
    stores = len(reference.stores)
    mean = f", mean of {stores} stores" if stores > 1 else ""
    return Winner(
        name,
        candidates=f"{counted(choice.best.candidates, kind)}{mean}",
        by=by,
        found=100 * choice.best.estimate,
        fresh=100 * fresh,
        luck=100 * choice.best.optimism,
        audit=audit,
        interval=_percent(choice.best.interval),
        chosen=_percent(choice.best.chosen),
    )


def _percent(bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    """Bounds of a share in percent; None where they say nothing."""
    if bounds is None or not np.isfinite(bounds).all():
        return None
    low, high = (min(max(100 * bound, 0.0), 100.0) for bound in bounds)
    return low, high


def winner_of(
    evaluation: Evaluation,
    *,
    by: By = "accuracy",
    among: Sequence[str] | None = None,
    reference: str | None = None,
    objective: Objective = "tokens",
    driver: Driver | None = None,
) -> Winner | None:
    """The best of an evaluation, run again on fresh draws.

    Args:
        by: as in `compare.best`.
        among: SPECs it is chosen from; all by default.
        reference: SPEC, as in `compare.best`.
        objective: what budgets are in, where areas are compared.
        driver: runs it again; this machine if not given.

    Returns:
        None where there was nothing to choose from, or where models of one dataset have other
        questions, so that nothing pairs them.
    """
    specs = evaluation.specs
    if len(specs) < 2:
        return None
    try:
        found = evaluation.curves(objective)
    except StoreError:
        return None

    def rerun(choice: Pick) -> Rerun:
        own = [beta for text, beta in specs if text == choice.controller]
        betas = own if choice.beta is None else [choice.beta]
        again = run_afresh(evaluation, choice.controller, betas, driver=driver)
        (curve,) = curves_of(again, objective, evaluation.server).values()
        return curve, again[0].how.words

    return winner(
        [found[name] for name in among or found],
        rerun,
        rng=np.random.default_rng(evaluation.experiment.seed),
        by=by,
        reference=found[reference] if reference else None,
        span=SPANS[objective],
    )


def run_afresh(
    evaluation: Evaluation, controller: str, betas: Sequence[float], driver: Driver | None = None
) -> list[Ran]:
    """A controller of an evaluation at some of its betas, on draws that had no part in it.

    Audited as the evaluation was: what looks ahead may do so on these draws alone.
    """
    spec = next(one.spec for one in evaluation.ran if one.spec.text == controller)
    stores = {id(one.store): one.store for one in evaluation.ran}.values()
    return run_cells(
        list(stores), replace(spec, fixed=False), betas,
        experiment=evaluation.experiment.fresh(),
        execution=replace(evaluation.execution, traces=False), driver=driver,
        server=evaluation.server,
    )  # fmt: skip
