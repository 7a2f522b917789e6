"""Finalize: the held-out stores are opened, once, and the best program is measured on them.

Before anything of them is read, the log says what is about to be looked at and when. A run whose
held-out stores were opened takes no further rounds, and they are not opened for another program.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from autotts import stores as stored
from autotts.discovery.explorer import Trial
from autotts.discovery.loop import open_stores
from autotts.discovery.run.events import of_kind
from autotts.discovery.run.folder import OpenRun
from autotts.discovery.run.records import history_of, point_records, trials_of, winner_of
from autotts.discovery.run.settings import DEFAULT_ROUNDS, RunSettings, StoreRef
from autotts.discovery.scoring import Reference, Scorer, Sweep
from autotts.discovery.selection import Candidate, Lead, lead
from autotts.errors import RunError
from autotts.evaluation.compare import area, curve_intervals
from autotts.programs import Source


@dataclass(frozen=True, slots=True)
class Final:
    """What the held-out stores say.

    curves: columns controller, beta, accuracy, accuracy_low, accuracy_high (percent), tokens,
        sequential_tokens; of the program and every baseline, the mean of the stores.
    results: what `finalize/results.json` holds.
    """

    curves: pl.DataFrame
    results: dict[str, Any]


def references(paths: list[str]) -> tuple[StoreRef, ...]:
    """The stores at or below the given paths, by place and content; only manifests are read.

    Raises:
        StoreError: there are none.
    """
    found = []
    for path in stored.find(paths):
        manifest = stored.read_manifest(path)
        found.append(
            StoreRef(
                path=str(path.resolve()),
                model=manifest.model,
                dataset=manifest.dataset,
                digest=manifest.digest,
            )
        )
    return tuple(found)


def finalize(run: OpenRun, say: Callable[[str], None]) -> Final:
    """Open the held-out stores and measure the best program and the baselines.

    Raises:
        RunError: there is nothing to measure, no held-out store, or another program was measured.
    """
    settings, log = run.folder.settings, run.log
    best = history_of(log.events).best
    if best is None:
        raise RunError(f"{run.folder.path}: no program was selected: {_why_none(run)}")
    if not settings.held_out:
        raise RunError(
            f"{run.folder.path}: the run has no held-out stores; begin one with --held-out"
        )
    source = Source(f"round-{best.name}", "best.py", best.proposal.source, trusted=False)
    opened = list(of_kind(log.events, "opened"))
    if opened and opened[0]["program"] != source.digest:
        raise RunError(
            f"{run.folder.path}: the held-out stores were opened at {opened[0]['at']} for round"
            f" {opened[0]['trial']}; looking again, for another program, would be choosing by them"
        )
    if not opened:
        log.append(
            "opened",
            trial=best.name,
            program=source.digest,
            stores=[ref.model_dump(mode="json") for ref in settings.held_out],
            rounds=len({trial.round for trial in trials_of(log.events)}),
        )
    if not best.accepted:
        say(f"round {best.name} leads, and was not accepted: its lead may be chance")
    final = _measure(run, settings, best, source, say)
    folder = run.folder.path / "finalize"
    run.folder.write(folder / "results.json", json.dumps(final.results, indent=1) + "\n")
    run.folder.write(folder / "program.py", best.proposal.source)
    run.folder.write(folder / "curves.csv", final.curves.write_csv())
    if not any(of_kind(log.events, "finalized")):
        log.append("finalized", trial=best.name, results=final.results)
    return final


def _why_none(run: OpenRun) -> str:
    """Why nothing was selected, and what would help."""
    path = run.folder.path
    trials = trials_of(run.log.events)
    if not trials:
        return f"none was proposed; go on with: autotts discover --resume {path}"
    rounds = trials[-1].round + DEFAULT_ROUNDS
    last = trials[-1].errors[0].splitlines()[0]
    return (
        f"all {len(trials)} were refused, the last because {last}; {path}/rounds has an errors.txt"
        f" for each; go on with: autotts discover --resume {path} --rounds {rounds}"
    )


def _measure(
    run: OpenRun,
    settings: RunSettings,
    best: Trial,
    source: Source,
    say: Callable[[str], None],
) -> Final:
    held_out = open_stores(settings.held_out)
    with Scorer(held_out, settings, run.folder.path / "evaluations") as scorer:
        say(f"replaying round {best.name} on {len(held_out)} held-out stores")
        sweeps = {f"round {best.name}": scorer.sweep(source)}
        for name in settings.baselines:
            say(f"replaying {name}")
            sweeps[name] = scorer.baseline(name)
        reference = scorer.reference()
    program, *others = (Candidate(name, sweep.curve) for name, sweep in sweeps.items())
    leads = [lead(program, other, reference, seed=settings.seed) for other in others]
    again = winner_of(run.log.events)
    results = {
        "trial": best.name,
        "on_search": again.words if again else "",
        "accepted": best.accepted,
        "program": source.digest,
        "stores": [ref.model_dump(mode="json") for ref in settings.held_out],
        "sc_tokens": [float(tokens) for tokens in reference.tokens],
        "controllers": {n: _figures(s, reference, settings) for n, s in sweeps.items()},
        "against": {found.other: _lead_record(found) for found in leads},
    }
    frames = [_curve_frame(name, sweep, settings) for name, sweep in sweeps.items()]
    return Final(pl.concat(frames), results)


def _figures(sweep: Sweep, reference: Reference, settings: RunSettings) -> dict[str, Any]:
    """A controller's area with its interval, its accuracy at the budgets, and its sweep."""
    interval = area(
        sweep.curve, rng=np.random.default_rng(settings.seed), reference=reference.curve
    )
    return {
        "area": 100 * interval.estimate,
        "area_low": 100 * interval.low,
        "area_high": 100 * interval.high,
        "fractions": reference.at_fractions(sweep.curve),
        "points": point_records(reference.points(sweep)),
        "notes": sweep.notes,
    }


def _lead_record(found: Lead) -> dict[str, Any]:
    verdict = "beyond chance" if found.beyond_chance else "not beyond chance"
    return {**asdict(found), "words": f"{found.words}: {verdict}"}


def _curve_frame(name: str, sweep: Sweep, settings: RunSettings) -> pl.DataFrame:
    frame = curve_intervals(sweep.curve, rng=np.random.default_rng(settings.seed))
    sequential = np.mean([sweep.sequential[key] for key in sweep.curve.stores], axis=0)
    return frame.select(
        pl.lit(name).alias("controller"),
        "beta",
        *((100 * pl.col(c)).alias(c) for c in ("accuracy", "accuracy_low", "accuracy_high")),
        "tokens",
        pl.Series("sequential_tokens", sequential),
    )
