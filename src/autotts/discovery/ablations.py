"""The paper's ablations of the loop: with and without beta, with and without traces, several seeds.

Every arm is a run of the offline explorer. Without beta its program has constants: the width that
is best, and no other for another budget. Without traces it looks at scores alone, so it chooses
among fixed rules (the pace, the pruning) and fits nothing to episodes. When all runs are done their
best programs are measured on draws that had no part in the search, or on stores that had none; the
arms of one seed are compared question by question.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autotts.discovery.assembly import AnyPath, Discovered, discover, resume
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.store_refs import open_stores, references
from autotts.discovery.scoring import Scorer
from autotts.discovery.selection import Candidate, lead
from autotts.discovery.sweeps import Reference
from autotts.errors import RunError
from autotts.evaluation.compare import area, compare
from autotts.evaluation.frontiers import Curve
from autotts.evaluation.statistics import LEVEL, Interval, in_percent
from autotts.programs import Source
from autotts.stores import Store

FULL = "full"

ARMS = (FULL, "without beta", "without traces")

PAPER = {FULL: (53.1, 575.5), "without beta": (49.0, 93.3), "without traces": (51.6, 824.0)}
"""Accuracy in percent and thousands of tokens by arm: arXiv 2605.08083, its ablations, the mean of
four Qwen3 models on AIME24, AIME25 and HMMT25, at the setting that each found most accurate."""


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What an arm found with one seed.

    accuracy, tokens: in percent and tokens per question, at the beta that is most accurate on the
        search stores.
    area: of the frontier, in percent.
    at_its_tokens: points by which `accuracy` is ahead of the full loop of the same seed at the same
        tokens; over_full: by which `area` is. Both None for the full loop itself.
    """

    arm: str
    seed: int
    accuracy: float
    tokens: float
    area: Interval
    at_its_tokens: Interval | None
    over_full: Interval | None


def ablate_loop(
    stores: Sequence[AnyPath],
    out: Path,
    *,
    measure_on: Sequence[AnyPath] = (),
    seeds: Sequence[int] = (1, 2, 3),
    rounds: int = 5,
    draws: str = "reference:100",
    say: Callable[[str], None] = print,
    **settings: Any,
) -> list[ArmResult]:
    """Run all arms, or go on with those that are in the folder, and measure what they found.

    Args:
        stores: that are searched.
        out: folder of the runs.
        measure_on: stores that are opened once all runs are done; the searched ones on fresh draws
            by default.
        settings: any others of the runs, as `assembly.discover` takes them.

    Raises:
        SpecError, StoreError, RunError: as `assembly.discover`; or an arm found no program.
    """
    settings |= {"rounds": rounds, "draws": draws}
    runs = {
        (arm, seed): _run(stores, out, arm, seed, settings, say) for seed in seeds for arm in ARMS
    }
    opened = open_stores(references(list(measure_on) or list(stores)))
    return [
        result
        for seed in seeds
        for result in _measured(
            {arm: runs[arm, seed] for arm in ARMS}, seed, opened, fresh=not measure_on
        )
    ]


def _run(
    stores: Sequence[AnyPath],
    out: Path,
    arm: str,
    seed: int,
    settings: Mapping[str, Any],
    say: Callable[[str], None],
) -> Discovered:
    path = out / f"{arm.replace(' ', '-')}-{seed}"
    say(f"{arm}, seed {seed}: {path}")
    if (path / "run.toml").exists():
        return resume(path, say=say)
    rules = {**settings.get("rules", {}), "one_knob": arm != "without beta"}
    changes = {**settings, "seed": seed, "rules": rules, "traces": arm != "without traces"}
    return discover(stores, path, explorer="offline", say=say, **changes)


def _measured(
    found: Mapping[str, Discovered], seed: int, stores: Sequence[Store], *, fresh: bool
) -> list[ArmResult]:
    """The best programs of one seed, full loop first."""
    curves: dict[str, Curve] = {}
    results = []
    reference: Reference | None = None
    for arm, discovered in found.items():
        best = discovered.best
        if best is None:
            raise RunError(f"{discovered.path}: no program was found, so there is none to measure")
        source = Source(arm, f"{arm}.py", best.proposal.source, trusted=False)
        with Scorer(stores, RunFolder(discovered.path).settings) as scorer:
            reference = reference or scorer.reference()
            sweep = scorer.sweep_afresh(source) if fresh else scorer.sweep(source)
        curves[arm] = sweep.curve
        at = int(np.argmax([point.accuracy for point in best.points]))
        point = reference.points(sweep)[at]
        ahead = over = None
        if arm != FULL:
            ahead = _at_its_tokens(sweep.curve, at, curves[FULL], seed)
            full = Candidate(FULL, curves[FULL])
            found_lead = lead(sweep.curve, full, reference, seed=seed)
            over = Interval(found_lead.difference, found_lead.low, found_lead.high, LEVEL)
        whole = area(
            sweep.curve, rng=np.random.default_rng(seed), reference=reference.curve,
            span=reference.span,
        )  # fmt: skip
        results.append(
            ArmResult(arm, seed, point.accuracy, point.tokens, in_percent(whole), ahead, over)
        )
    return results


def _at_its_tokens(curve: Curve, at: int, full: Curve, seed: int) -> Interval:
    """Points by which one setting is ahead of the full loop at the tokens that it spends."""
    one = Curve(
        curve.controller,
        curve.betas[[at]],
        curve.questions,
        {key: values[[at]] for key, values in curve.correct.items()},
        {key: values[[at]] for key, values in curve.tokens.items()},
        curve.designs,
    )
    rng = np.random.default_rng(seed)
    (row,) = compare(one, full, rng=rng, reference=one, fractions=(1.0,)).iter_rows(named=True)
    return in_percent(Interval(row["difference"], row["low"], row["high"], LEVEL))
