"""Finalize: the held-out stores are opened, once, and the best program is measured on them.

Before anything of them is read, the log says what is about to be looked at and when. A run whose
held-out stores were opened takes no further rounds, and they are not opened for another program.
"""

import json
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import polars as pl

from autotts.discovery.explorer import Trial
from autotts.discovery.run.events import (
    Finalized,
    HeldOutFigures,
    HeldOutLead,
    HeldOutResults,
    Opened,
)
from autotts.discovery.run.folder import OpenRun
from autotts.discovery.run.settings import DEFAULT_ROUNDS, RunSettings
from autotts.discovery.run.store_refs import open_stores
from autotts.discovery.scoring import Scorer
from autotts.discovery.selection import Candidate, Lead, lead
from autotts.discovery.sweeps import Reference, Sweep
from autotts.errors import RunError
from autotts.evaluation.compare import area, curve_intervals
from autotts.evaluation.statistics import in_percent
from autotts.programs import Source

_CURVE_NUMBERS = (
    "beta", "accuracy", "accuracy_low", "accuracy_high", "tokens", "sequential_tokens",
)  # fmt: skip


def finalize(run: OpenRun, say: Callable[[str], None]) -> HeldOutResults:
    """Open the held-out stores and measure the best program and the baselines.

    A run that was finalized says again what it said, and opens nothing.

    Raises:
        RunError: there is nothing to measure, no held-out store, or another program was measured.
    """
    settings, state = run.folder.settings, run.state
    if state.finalized is not None:
        say(f"finalized at {state.finalized.at}; the held-out stores are not opened again")
        return state.finalized.results
    best = state.best
    if best is None:
        raise RunError(f"{run.folder.path}: no program was selected: {_why_none(run)}")
    if not settings.held_out:
        raise RunError(
            f"{run.folder.path}: the run has no held-out stores; begin one with --held-out"
        )
    source = Source(f"round-{best.name}", "best.py", best.proposal.source, trusted=False)
    opened = state.opened
    if opened is not None and opened.program != source.digest:
        raise RunError(
            f"{run.folder.path}: the held-out stores were opened at {opened.at} for round"
            f" {opened.trial}; looking again, for another program, would be choosing by them"
        )
    if opened is None:
        rounds = len({trial.round for trial in state.trials} - {0})
        run.append(Opened(best.name, source.digest, settings.held_out, rounds))
    if not best.accepted:
        say(f"round {best.name} leads, and was not accepted: its lead may be chance")
    results = _measure(run, best, source, say)
    folder = run.folder.path / "finalize"
    record = {**asdict(results), "stores": [ref.model_dump() for ref in results.stores]}
    run.folder.write(folder / "results.json", json.dumps(record, indent=1) + "\n")
    run.folder.write(folder / "program.py", best.proposal.source)
    run.folder.write(folder / "curves.csv", curves(results).write_csv())
    return run.append(Finalized(best.name, results)).results


def _why_none(run: OpenRun) -> str:
    """Why nothing was selected, and what would help."""
    path = run.folder.path
    trials = run.state.trials
    if not trials:
        return f"none was proposed; go on with: autotts discover --resume {path}"
    rounds = trials[-1].round + DEFAULT_ROUNDS
    # A log may be somebody else's, and say nothing of it.
    said = [line for trial in trials for text in trial.errors for line in text.splitlines()[:1]]
    last = f", the last because {said[-1]}" if said else ""
    return (
        f"all {len(trials)} were refused{last}; {path}/rounds has an errors.txt"
        f" for each; go on with: autotts discover --resume {path} --rounds {rounds}"
    )


def _measure(
    run: OpenRun, best: Trial, source: Source, say: Callable[[str], None]
) -> HeldOutResults:
    settings = run.folder.settings
    held_out = open_stores(settings.held_out)
    # Nothing that lies in the folder stands in for a replay: what is said here was run here.
    with Scorer(held_out, settings) as scorer:
        say(f"replaying round {best.name} on {len(held_out)} held-out stores")
        sweeps = {f"round {best.name}": scorer.sweep(source)}
        for name in settings.baselines:
            say(f"replaying {name}")
            sweeps[name] = scorer.baseline(name)
        reference = scorer.reference()
    program, *others = (Candidate(name, sweep.curve) for name, sweep in sweeps.items())
    leads = [lead(program.curve, other, reference, seed=settings.seed) for other in others]
    again = run.state.winner
    return HeldOutResults(
        trial=best.name,
        on_search=again.words if again else "",
        accepted=best.accepted,
        program=source.digest,
        stores=settings.held_out,
        sc_tokens=tuple(float(tokens) for tokens in reference.tokens),
        controllers={n: _figures(s, reference, settings) for n, s in sweeps.items()},
        against={found.other: _held_out_lead(found) for found in leads},
    )


def _figures(sweep: Sweep, reference: Reference, settings: RunSettings) -> HeldOutFigures:
    """A controller's area with its interval, its accuracy at the budgets, and its sweep."""
    found = area(
        sweep.curve,
        rng=np.random.default_rng(settings.seed),
        reference=reference.curve,
        span=reference.span,
        score=reference.score,
    )
    figures, interval = reference.figures(sweep), in_percent(found)
    return HeldOutFigures(
        area=interval.estimate,
        area_low=interval.low,
        area_high=interval.high,
        fractions=figures.fractions,
        points=figures.points,
        notes=sweep.notes,
        bands=_bands(sweep, settings),
        families=figures.families,
    )


def _held_out_lead(found: Lead) -> HeldOutLead:
    verdict = "beyond chance" if found.beyond_chance else "not beyond chance"
    return HeldOutLead(**asdict(found) | {"words": f"{found.words}: {verdict}"})


def _bands(sweep: Sweep, settings: RunSettings) -> tuple[tuple[float, float], ...]:
    frame = curve_intervals(sweep.curve, rng=np.random.default_rng(settings.seed))
    bounds = frame.select(pl.col("accuracy_low", "accuracy_high") * 100)
    return tuple((float(low), float(high)) for low, high in bounds.iter_rows())


def curves(results: HeldOutResults) -> pl.DataFrame:
    """The sweeps on the held-out stores, the mean of them.

    Returns:
        Columns controller, beta, accuracy, accuracy_low, accuracy_high (percent), tokens,
        sequential_tokens.
    """
    columns: dict[str, type] = {"controller": str} | dict.fromkeys(_CURVE_NUMBERS, float)
    rows = [
        (name, point.beta, point.accuracy, low, high, point.tokens, point.sequential_tokens)
        for name, found in results.controllers.items()
        for point, (low, high) in zip(
            found.points, found.bands or [(None, None)] * len(found.points), strict=False
        )
    ]
    return pl.DataFrame(rows, schema=columns, orient="row")
