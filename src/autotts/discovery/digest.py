"""What a round's episodes teach: the digest that an explorer reads beside the curve, and traces."""

from dataclasses import dataclass

import numpy as np

from autotts.diagnosis import findings_of
from autotts.diagnosis.digest import digest
from autotts.discovery import traces
from autotts.discovery.scoring import Scorer, Sweep
from autotts.evaluation.frontiers import Curve
from autotts.programs import Source
from autotts.stores import Store

LIMIT_BYTES = 16 * 1024
BETAS = (0.0, 0.5, 1.0)
DRAWS = "reference:2"
"""Of the episodes that are diagnosed: on four stores of 30 questions, 720."""

_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Described:
    """What is said of a program's episodes; neither text holds an answer.

    digest: Markdown, at most `LIMIT_BYTES` bytes.
    traces: some of the episodes branch by branch, at most `traces.LIMIT_BYTES` bytes.
    """

    digest: str
    traces: str


def describe(source: Source, sweep: Sweep, parent: Curve, scorer: Scorer) -> Described:
    """Where a program won and lost against its parent, and what went wrong in its episodes.

    Args:
        parent: the curve of what was accepted before, on the same stores.
    """
    lines = [f"# {source.name} against {parent.controller}", ""]
    for store in scorer.stores:
        lines += _store_lines(sweep, parent, store)
    text = "\n".join(lines) + "\n"
    ran = scorer.diagnosed(source, BETAS, DRAWS)
    found = findings_of(ran)
    text += digest(
        found,
        ran,
        more=f"autotts diagnose STORE -c {source.path}",
        limit_bytes=max(0, LIMIT_BYTES - len(text.encode())),
    )
    return Described(text, traces.sample(ran, found))


def _store_lines(sweep: Sweep, parent: Curve, store: Store) -> list[str]:
    """Per-question means over the whole sweep on one store."""
    key = store.key
    own = 100 * sweep.curve.correct[key].mean(axis=(0, 2))
    other = 100 * parent.correct[key].mean(axis=(0, 2))
    tokens = sweep.curve.tokens[key].mean(axis=(0, 2))
    gap = own - other
    order = np.argsort(gap, kind="stable")

    def listed(questions: np.ndarray) -> str:
        return ", ".join(
            f"q{q} {gap[q]:+.0f} ({other[q]:.0f} -> {own[q]:.0f} %)" for q in questions
        )

    lost = order[:_SHOWN][gap[order[:_SHOWN]] < -1]
    won = order[::-1][:_SHOWN][gap[order[::-1][:_SHOWN]] > 1]
    wrong = tokens[own < 50].sum() / tokens.sum()
    return [
        f"## {store.name}: {own.mean():.1f} % over the sweep, {gap.mean():+.1f}",
        f"- won: {listed(won) or 'none by more than a point'}",
        f"- lost: {listed(lost) or 'none by more than a point'}",
        f"- {wrong:.0%} of the tokens go to questions that it mostly gets wrong",
        "",
    ]
