"""What a round's episodes teach: the digest that an explorer reads beside the curve, and traces."""

from collections.abc import Sequence

import numpy as np

from autotts import programs
from autotts.diagnosis import findings_of
from autotts.diagnosis.digest import digest
from autotts.discovery import traces
from autotts.discovery.explorer import Diagnosed
from autotts.discovery.run.round_files import DIGEST_BYTES
from autotts.discovery.scoring import Scorer
from autotts.discovery.sweeps import Sweep
from autotts.evaluation.frontiers import Curve
from autotts.programs import Source
from autotts.replay.driver import Ran
from autotts.stores import Store

BETAS = (0.0, 0.5, 1.0)
DRAWS = "reference:2"
"""Of the episodes that are diagnosed: on four stores of 30 questions, 720."""

_SHOWN = 6


def describe(source: Source, sweep: Sweep, parent: Curve, scorer: Scorer) -> Diagnosed:
    """Where a program won and lost against its parent, and what went wrong in its episodes.

    Args:
        parent: the curve of what was accepted before, on the same stores.

    Returns:
        Texts of at most `DIGEST_BYTES` and `traces.LIMIT_BYTES` bytes.
    """
    lines = [f"# {source.name} against {parent.controller}", ""]
    for store in scorer.stores:
        lines += _store_lines(sweep, parent, store)
    ran = scorer.diagnosed(source, BETAS, DRAWS)
    return _told(ran, source.path, "\n".join(lines) + "\n")


def describe_baseline(name: str, scorer: Scorer) -> Diagnosed:
    """What went wrong in the episodes of a baseline; see `describe`.

    Nothing is said of programs of the released research code, which keep no log.
    """
    if programs.parse(name).entry:
        return Diagnosed("", "")
    return _told(scorer.diagnosed_baseline(name, BETAS, DRAWS), name, "")


def _told(ran: Sequence[Ran], spec: str, text: str) -> Diagnosed:
    """A digest that begins with a text, and traces."""
    found = findings_of(ran)
    text += digest(
        found,
        ran,
        more=f"autotts diagnose STORE -c {spec}",
        limit_bytes=max(0, DIGEST_BYTES - len(text.encode())),
    )
    return Diagnosed(text, traces.sample(ran, found))


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
