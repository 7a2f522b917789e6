"""The winner's curse: what is left of the best of many on draws that had no part in choosing it.

What was chosen for its figure owes part of it to luck. Fresh draws take away the luck of the draws
and leave that of the questions, which stay the same; how much choosing by them flatters is what
`compare.best` expects from resampling them. Only other questions show all of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from autotts.errors import StoreError
from autotts.evaluation.compare import AREA_RANGE, By, Choice, area, best
from autotts.evaluation.evaluation import Evaluation, Settings, curves_of, run_cells
from autotts.evaluation.frontiers import Curve
from autotts.evaluation.statistics import RESAMPLES
from autotts.programs import Spec
from autotts.stores import Store

_HEADS = {"accuracy": "Most accurate", "area": "Largest frontier area"}
_UNITS = {"accuracy": " %", "area": ""}


@dataclass(frozen=True, slots=True)
class Winner:
    """The best of many, as it was found and measured again.

    name: what was chosen, in words; `candidates`: what from, such as "44 settings".
    by: the figure it was chosen for.
    found: that figure in percent, on the draws it was chosen by.
    fresh: on draws that had no part in choosing it.
    luck: points that choosing is expected to add; None where the questions were not resampled.
    """

    name: str
    candidates: str
    by: By
    found: float
    fresh: float
    luck: float | None = None

    @property
    def words(self) -> str:
        """All of it in a sentence."""
        (head, name), (_, found), (where, fresh), *luck = self.facts
        flattery = "".join(f"; {what} {points}" for what, points in luck)
        return f"{head}: {name}, {found} as found, {fresh} {where}{flattery}."

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
            facts.append(("choosing by these flatters by", f"some {self.luck:.2f} points"))
        return facts


def winner(
    curves: Sequence[Curve],
    rerun: Callable[[Choice], Curve],
    *,
    rng: np.random.Generator,
    by: By = "accuracy",
    reference: Curve | None = None,
    span: tuple[float, float] = AREA_RANGE,
    resamples: int = RESAMPLES,
) -> Winner:
    """The best of many curves, or of all their settings, measured again on fresh draws.

    Args:
        curves: of different names.
        rerun: what was chosen, at its beta or at all of them, on draws that had no part in it.
        rng: consumed.
        by, reference, span: as in `compare.best`.
    """
    reference = reference or curves[0]
    choice = best(curves, rng=rng, by=by, reference=reference, span=span, resamples=resamples)
    again = rerun(choice)
    if by == "area":
        # The budgets stay those of the choice, so that only the draws are others.
        fresh = area(again, reference=reference, span=span, rng=rng, resamples=1).estimate
        name, kind = choice.controller, "controllers"
    else:
        fresh = float(again.points().accuracy[:, again.betas == choice.beta].mean())
        name, kind = f"{choice.controller} at beta {choice.beta:g}", "settings"
    stores = len(reference.stores)
    mean = f", mean of {stores} stores" if stores > 1 else ""
    return Winner(
        name,
        candidates=f"{choice.best.candidates} {kind}{mean}",
        by=by,
        found=100 * choice.best.estimate,
        fresh=100 * fresh,
        luck=100 * choice.best.optimism,
    )


def winner_of(
    evaluation: Evaluation,
    *,
    by: By = "accuracy",
    among: Sequence[str] | None = None,
    reference: str | None = None,
) -> Winner | None:
    """The best of an evaluation, run again on fresh draws.

    Args:
        by: as in `compare.best`.
        among: SPECs it is chosen from; all by default.
        reference: SPEC, as in `compare.best`.

    Returns:
        None where there was nothing to choose from, or where models of one dataset have other
        questions, so that nothing pairs them.
    """
    specs = {(cell.spec.text, cell.spec.beta): cell.spec for cell in evaluation.cells}
    stores = list({id(cell.store): cell.store for cell in evaluation.cells}.values())
    if len(specs) < 2:
        return None
    try:
        found = evaluation.curves()
    except StoreError:
        return None

    def rerun(choice: Choice) -> Curve:
        own = [spec for (text, _), spec in specs.items() if text == choice.controller]
        sweep = [spec for spec in own if choice.beta in (None, spec.beta)]
        return fresh_curve(stores, sweep, evaluation.settings)

    return winner(
        [found[name] for name in among or found],
        rerun,
        rng=np.random.default_rng(evaluation.settings.seed),
        by=by,
        reference=found[reference] if reference else None,
    )


def fresh_curve(stores: Sequence[Store], sweep: Sequence[Spec], settings: Settings) -> Curve:
    """A controller at several betas on draws that had no part in what the settings gave."""
    (curve,) = curves_of(run_cells(stores, sweep, settings.fresh())).values()
    return curve
