"""What trying a program tells: its figures, how far they are from the best so far, and how sure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from autotts.discovery.explorer import Feedback
from autotts.discovery.rules import Breach
from autotts.discovery.selection import Candidate, lead
from autotts.discovery.sweeps import Reference, Sweep
from autotts.evaluation.frontiers import Curve, mixture_at
from autotts.evaluation.statistics import FloatArray

_BUDGETS = 33
"""Budgets at which a question's part in an area is read."""


def feedback(
    sweep: Sweep,
    best: Candidate,
    reference: Reference,
    breaches: Sequence[Breach],
    *,
    baseline_areas: Mapping[str, float],
    draws: str,
    seed: int,
    by_question: bool,
) -> Feedback:
    """Of a program's quick sweep.

    Args:
        best: what it is held against, on the same draws.
        draws: those of both.
        seed: of the resamples.
        by_question: whether more than scores may be shown.
    """
    curve, figures = sweep.curve, reference.figures(sweep)
    return Feedback(
        errors=tuple(b.reason for b in breaches if b.fatal),
        remarks=tuple(b.reason for b in breaches if not b.fatal),
        points=figures.points,
        area=figures.area,
        baseline_areas=baseline_areas,
        shares=figures.fractions,
        store_areas=_store_areas(curve, reference),
        lead=lead(curve, best, reference, seed=seed).words,
        questions=_question_gains(curve, best.curve, reference) if by_question else {},
        draws=draws,
        noise=_noise(curve, reference),
    )


def _store_areas(curve: Curve, reference: Reference) -> dict[str, float]:
    """Frontier area in percent by store."""
    areas = reference.store_areas(curve)
    return {"/".join(key): float(area) for key, area in zip(curve.stores, areas, strict=True)}


def _question_gains(curve: Curve, other: Curve, reference: Reference) -> dict[str, float]:
    """By question, points of accuracy on the frontier above another's; those without are left out.

    The mean of all questions of all stores is, up to the grid of budgets, that of the areas.
    """
    own, others = (_by_question(c, reference) for c in (curve, other))
    return {
        f"{'/'.join(key)} q{question}": round(float(gain), 2)
        for key in curve.stores
        for question, gain in zip(
            curve.rows.get(key, curve.questions[key[1]]), own[key] - others[key], strict=True
        )
        if abs(gain) >= 0.01
    }


def _by_question(curve: Curve, reference: Reference) -> dict[tuple[str, str], FloatArray]:
    """Per store, `[Q]` accuracy in percent on the frontier over the budgets that count."""
    budgets = reference.tokens[:, None] * np.geomspace(*reference.span, _BUDGETS)
    mixtures = mixture_at(curve.points(), budgets).mean(axis=1)
    return {
        key: 100 * mixture @ curve.correct[key].mean(axis=2)
        for key, mixture in zip(curve.stores, mixtures, strict=True)
    }


def _noise(curve: Curve, reference: Reference) -> float:
    """Standard error of the area by the draws alone, in points; 0 where there is one draw."""
    count = min(values.shape[2] for values in curve.correct.values())
    if count < 2:
        return 0.0
    areas = [
        reference.area(
            replace(
                curve,
                correct={key: v[:, :, d : d + 1] for key, v in curve.correct.items()},
                tokens={key: v[:, :, d : d + 1] for key, v in curve.tokens.items()},
            )
        )
        for d in range(count)
    ]
    return float(np.std(areas, ddof=1) / np.sqrt(count))
