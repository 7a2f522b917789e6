"""Reports from discovery runs: what the event log says, and what replay adds to it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotts.discovery.explorer import Record, SweepPoint, Trial
from autotts.discovery.loop import open_stores
from autotts.discovery.run.events import of_kind, seconds_spent
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.records import best_name, points_of, trials_of, winner_of
from autotts.discovery.run.round_files import round_cost
from autotts.discovery.run.settings import RunSettings
from autotts.discovery.scoring import Scorer, Sweep
from autotts.programs import Source, Spec, parse
from autotts.reports.evaluations import (
    episodes_of,
    grid_of,
    grid_row,
    lines_of,
    matrices_of,
    replay_shown,
    waste_of,
)
from autotts.reports.model import HELD_OUT, MEAN, GridRow, Line, Point, Report, Round
from autotts.reports.recordings import facts_of
from autotts.stores import Store

SHOWN_PROGRAMS = 3
"""Programs whose episodes a report shows beside the baselines': the best, and the latest others.
Each is compiled anew in its sandbox, which takes seconds."""


def from_run(path: Path, *, replay: bool = True) -> Report:
    """The report of a run, finished or not.

    Args:
        replay: whether to add what replaying the search stores tells: intervals, questions,
            episodes and diagnosis. Held-out stores are never opened. Sweeps that the run has kept
            are not run again. Without it nothing but the event log is read.

    Raises:
        RunError: there is no run, or the stores are not those that it began with.
    """
    folder = RunFolder(path)
    events, settings = folder.events, folder.settings
    trials = trials_of(events)
    report = Report(
        settings.name,
        made_by=_made_by(settings),
        facts=tuple(_facts(events, trials)),
        lines=tuple(_mean_lines(events, trials)),
        rounds=tuple(_rounds(events, trials)),
        live=not any(of_kind(events[-1:], "ended", "stopped", "opened", "finalized")),
    )
    evaluated = [trial for trial in trials if trial.points]
    return _replayed(report, folder, evaluated) if replay else report


def _replayed(report: Report, folder: RunFolder, trials: Sequence[Trial]) -> Report:
    settings = folder.settings
    stores = open_stores(settings.stores)
    evaluation = replace(settings.evaluation(), unsafe=settings.unsafe, audit=0)
    sources = {title(trial): _source(folder, trial) for trial in trials}
    with Scorer(stores, settings, folder.path / "evaluations") as scorer:
        sweeps = {name: scorer.sweep(source) for name, source in sources.items()}
        sweeps |= {name: scorer.baseline(name) for name in settings.baselines}
    best = next((round_.controller for round_ in report.rounds if round_.best), "")
    latest = [name for name in reversed(sources) if name != best]
    first = [best] if best in sources else []
    programs = [
        [Spec(name, sources[name], beta, {}) for beta in settings.betas]
        for name in (first + latest)[:SHOWN_PROGRAMS]
    ]
    baselines = [[parse(name).at(beta) for beta in settings.betas] for name in settings.baselines]
    cells = replay_shown(stores, programs + baselines, evaluation)
    traced = replace(evaluation, traces=True)
    return replace(
        report,
        lines=tuple(
            line
            for name, sweep in sweeps.items()
            for line in lines_of(
                replace(sweep.curve, controller=name), sweep.sequential, seed=settings.seed
            )
        )
        + tuple(line for line in report.lines if line.store == HELD_OUT),
        grids=tuple(grid_of(store, _grid_rows(store, sweeps)) for store in stores),
        matrices=tuple(m for store in stores for m in matrices_of(store, traced.orders(store))),
        episodes=tuple(episode for cell in cells for episode in episodes_of(cell, traced)),
        waste=tuple(waste_of(cells, traced)),
        pools=tuple(facts_of(store) for store in stores),
    )


def title(trial: Trial) -> str:
    """What a proposal is called beside other controllers."""
    return f"round {trial.name}"


def _source(folder: RunFolder, trial: Trial) -> Source:
    path = folder.round(trial.round, trial.index).relative_to(folder.path) / "program.py"
    name = title(trial).replace(" ", "-")
    trusted = folder.settings.driver == "in-process"
    return Source(name=name, path=str(path), text=trial.proposal.source, trusted=trusted)


def _grid_rows(store: Store, sweeps: dict[str, Sweep]) -> list[GridRow]:
    key = (store.model, store.dataset)
    return [
        grid_row(name, float(beta), sweep.curve.correct[key][b], sweep.curve.tokens[key][b])
        for name, sweep in sweeps.items()
        for b, beta in enumerate(sweep.curve.betas)
    ]


def _mean_lines(events: Sequence[Record], trials: Sequence[Trial]) -> list[Line]:
    lines = [Line(title(trial), MEAN, _points(trial.points)) for trial in trials if trial.points]
    baselines: list[Any] = list(of_kind(list(events), "baseline"))
    lines += [Line(event["name"], MEAN, _points(points_of(event["points"]))) for event in baselines]
    finalized: list[Any] = list(of_kind(list(events), "finalized"))
    return lines + [
        Line(name, HELD_OUT, _points(points_of(found["points"])))
        for event in finalized
        for name, found in event["results"]["controllers"].items()
    ]


def _points(points: Sequence[SweepPoint]) -> tuple[Point, ...]:
    return tuple(Point(p.beta, p.accuracy, p.tokens, p.sequential_tokens) for p in points)


def _rounds(events: Sequence[Record], trials: Sequence[Trial]) -> list[Round]:
    """Proposals and failed rounds, in order."""
    best = best_name(events)
    scored: dict[tuple[int, int], Any] = {
        (e["round"], e["index"]): e  # type: ignore[misc]
        for e in of_kind(list(events), "scored")
    }
    found: dict[tuple[int, int], Round] = {}
    for trial in trials:
        event = scored[trial.round, trial.index]
        cost = round_cost(events, trial.round) if trial.index == 0 else None
        found[trial.round, trial.index] = Round(
            name=trial.name,
            controller=title(trial),
            source=trial.proposal.source,
            idea=trial.proposal.idea,
            learned=trial.proposal.learned,
            expected_effect=trial.proposal.expected_effect,
            errors=trial.errors,
            remarks=(*trial.remarks, *_words(events, trial)),
            digest=trial.digest,
            accepted=trial.accepted,
            best=trial.name == best,
            area=trial.area,
            points=_points(trial.points),
            **_cost(cost, float(event["seconds"])),
        )
    failed: list[Any] = list(of_kind(list(events), "failed"))
    for event in failed:
        number = event["round"]
        found[number, 0] = Round(
            name=str(number),
            controller="",
            source="",
            errors=(event["reason"],),
            **_cost(round_cost(events, number), 0.0),
        )
    return [found[key] for key in sorted(found)]


def _cost(cost: dict[str, Any] | None, scoring: float) -> dict[str, Any]:
    """The first proposal of a round bears what proposing cost; each, its own scoring."""
    if cost is None:
        return {"seconds": scoring, "usd": 0.0, "model_tokens": 0}
    return {
        "seconds": cost["seconds_proposing"] + scoring,
        "usd": None if cost["usd"] == "unpriced" else cost["usd"],
        "model_tokens": cost["input_tokens"] + cost["output_tokens"],
    }


def _words(events: Sequence[Record], trial: Trial) -> list[str]:
    """What the selection said of a trial."""
    selected: list[Any] = list(of_kind(list(events), "selected"))
    head = f"round {trial.name}: "
    return [
        words.removeprefix(head)
        for event in selected
        for words in event["words"]
        if words.startswith(head)
    ]


def _facts(events: Sequence[Record], trials: Sequence[Trial]) -> list[tuple[str, str]]:
    best = next((trial for trial in trials if trial.name == best_name(events)), None)
    facts = [("proposals", str(len(trials))), ("accepted", str(sum(t.accepted for t in trials)))]
    if best is not None and best.area is not None:
        top = max(point.accuracy for point in best.points)
        facts += [
            ("best program", title(best)),
            ("its frontier area", f"{best.area:.2f}"),
            ("its best accuracy", f"{top:.2f} %"),
        ]
    if (again := winner_of(events)) is not None:
        facts += again.facts
    baselines: list[Any] = list(of_kind(list(events), "baseline"))
    if baselines:
        leader = max(baselines, key=lambda event: float(event["area"]))
        facts.append((f"frontier area of {leader['name']}", f"{leader['area']:.2f}"))
    finalized: list[Any] = list(of_kind(list(events), "finalized"))
    for event in finalized:
        found = event["results"]["controllers"][f"round {event['trial']}"]
        interval = f"{found['area']:.2f} ({found['area_low']:.1f} … {found['area_high']:.1f})"
        facts.append((f"held-out area of round {event['trial']}", interval))
    facts += [(f"programs that ran {tier}", str(count)) for tier, count in _tiers(events)]
    facts.append(("time", f"{seconds_spent(list(events)) / 60:.1f} min"))
    costs = [round_cost(events, number) for number in {trial.round for trial in trials}]
    unpriced = any(cost["usd"] == "unpriced" for cost in costs)
    dollars = "unpriced" if unpriced else f"${sum(cost['usd'] for cost in costs):.2f}"
    return [*facts, ("cost of model calls", dollars)]


def _tiers(events: Sequence[Record]) -> list[tuple[str, int]]:
    """How well proposed programs were sealed, and how many were so."""
    notes: list[Any] = [event["notes"] for event in of_kind(list(events), "scored")]
    return sorted(Counter(note["tier"] for note in notes if "tier" in note).items())


def _made_by(settings: RunSettings) -> dict[str, Any]:
    """Provenance without places on somebody's disk."""
    fields = settings.model_dump(mode="json")
    for key in ("stores", "held_out"):
        fields[key] = [{k: v for k, v in ref.items() if k != "path"} for ref in fields[key]]
    fields["explorer"] = {
        key: value for key, value in fields["explorer"].items() if key != "options"
    }
    return {**fields.pop("made_by"), **{k: v for k, v in fields.items() if k != "name"}}
