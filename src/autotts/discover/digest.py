"""The digest of a round: what an explorer reads beside the curve, within a byte budget."""

from collections.abc import Sequence

import numpy as np

from autotts.discover.scoring import Sweep
from autotts.evaluate.frontiers import Curve
from autotts.programs import Source
from autotts.stores import Store

MAX_BYTES = 8_000
_SHOWN = 6


def describe(source: Source, sweep: Sweep, parent: Curve, stores: Sequence[Store]) -> str:
    """Where a program won and lost against its parent, question by question, and where it spends.

    Args:
        parent: the curve of what was accepted before, on the same stores.
    """
    lines = [f"# {source.name} against {parent.controller}", ""]
    for store in stores:
        lines += _store_lines(sweep, parent, store)
    text = "\n".join(lines) + "\n"
    return text.encode()[:MAX_BYTES].decode(errors="ignore")


def _store_lines(sweep: Sweep, parent: Curve, store: Store) -> list[str]:
    """Per-question means over the whole sweep on one store."""
    key = (store.model, store.dataset)
    own = 100 * sweep.curve.correct[key].mean(axis=(0, 2))
    other = 100 * parent.correct[key].mean(axis=(0, 2))
    tokens = sweep.curve.tokens[key].mean(axis=(0, 2))
    gap = own - other
    order = np.argsort(gap, kind="stable")
    single = 100 * store.correct.mean(axis=1)

    def listed(questions: np.ndarray) -> str:
        return ", ".join(
            f"q{q} {gap[q]:+.0f} ({other[q]:.0f} -> {own[q]:.0f} %, single branch"
            f" {single[q]:.0f} %)"
            for q in questions
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
