"""Reports from discovery runs: what the event log says, and what replay adds to it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotts.discovery.explorer import SweepPoint, Trial
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import RunSettings
from autotts.discovery.run.state import RoundCost, RunState
from autotts.discovery.run.store_refs import open_stores
from autotts.discovery.run.trust import is_ours
from autotts.discovery.scoring import Scorer
from autotts.discovery.selection import Candidate, Lead, lead
from autotts.discovery.sweeps import Sweep
from autotts.evaluation import Execution, Local
from autotts.evaluation.families import area_name, area_note
from autotts.programs import Source, Spec, parse
from autotts.replay.driver import UNAUDITED, Ran
from autotts.reports.conclusion import of_run
from autotts.reports.evaluations import (
    grid_of,
    grid_row,
    lines_of,
    matrices_of,
    replay_shown,
    told,
)
from autotts.reports.model import (
    HELD_OUT,
    MEAN,
    GridRow,
    Line,
    OnCurves,
    OnPart,
    Point,
    Report,
    Round,
    unheard,
)
from autotts.sandbox.confine.tier import reach
from autotts.stores import Store

SHOWN_PROGRAMS = 2
"""Programs whose episodes a report shows beside the baselines': the best, and the latest other.
Each is compiled anew, which takes seconds."""


def from_run(
    path: Path,
    *,
    replay: bool = True,
    on_part: OnPart = unheard,
    on_curves: OnCurves | None = None,
    page: bool = True,
) -> Report:
    """The report of a run, finished or not.

    A run's folder is data: no program of it runs but sealed, whatever driver its settings name, no
    baseline that it names by a path is run at all, and what its log says is marked as such.

    Args:
        replay: whether to add what replaying the search stores tells: intervals, questions,
            episodes and diagnosis. Held-out stores are never opened. Sweeps that this user's run
            has kept are not run again. Without it nothing but the event log is read.
        page: whether to add what a page shows beside figures: all episodes and the recordings.
        on_curves: called with the report as soon as its curves and questions are there.

    Raises:
        RunError: there is no run, or the stores are not those that it began with.
    """
    folder = RunFolder(path)
    state, settings = folder.state, folder.settings
    trials = state.trials
    conclusion = of_run(state, judge=settings.judge)
    report = Report(
        settings.name,
        conclusion=conclusion.words,
        best=conclusion.best,
        made_by=_made_by(settings),
        facts=tuple(_facts(state, settings)),
        lines=tuple(_mean_lines(state)),
        rounds=tuple(_rounds(state)),
        matters=state.matters,
        objective=settings.objective,
        live=state.condition in ("empty", "begun"),
    )
    evaluated = [trial for trial in trials if trial.points]
    if not replay:
        return replace(report, facts=(*report.facts, ("figures", "as the run's log says")))
    tier = reach()
    if not tier.sealed:
        why = f"as the run's log says; nothing was replayed: no process can be sealed: {tier.name}"
        return replace(report, facts=(*report.facts, ("figures", why)))
    with Local(Execution()) as driver:
        driver.sandbox.warm_up()
        found, shown, opened = _replayed(
            report, folder, state, evaluated, driver, on_part, on_curves
        )
    return replace(found, **told(shown, opened, on_part=on_part, page=page))


def _sealed(settings: RunSettings) -> RunSettings:
    """The settings of a run, less what a folder can't ask for."""
    driver = "sealed" if settings.driver == "in-process" else settings.driver
    ours = tuple(name for name in settings.baselines if is_ours(name))
    return settings.model_copy(update={"driver": driver, "unsafe": False, "baselines": ours})


def _replayed(
    report: Report,
    folder: RunFolder,
    state: RunState,
    trials: Sequence[Trial],
    driver: Local,
    on_part: OnPart,
    on_curves: OnCurves | None,
) -> tuple[Report, list[Ran], list[Store]]:
    """The report with curves and questions, the episodes that it is to show, and the stores."""
    settings = _sealed(folder.settings)
    stores = open_stores(settings.stores)
    experiment = settings.experiment()
    sources = {
        title(trial): folder.source(trial.proposal.source, trial.round, trial.index)
        for trial in trials
    }
    best = report.best
    latest = [name for name in reversed(sources) if name != best]
    names = ([best] if best in sources else []) + latest

    def shown(specs: Sequence[Spec]) -> list[Ran]:
        return replay_shown(stores, [specs], experiment, driver, on_part=on_part)

    with ThreadPoolExecutor(1) as thread:
        # Proposed programs are compiled and run in a process of their own, beside all of this.
        proposed = thread.map(
            lambda name: shown([Spec(name, sources[name], b, {}) for b in settings.betas]),
            names[:SHOWN_PROGRAMS],
        )
        sweeps, leads = _swept(folder, settings, stores, sources, best, on_part)
        on_part("drawing intervals")
        report = replace(
            report,
            lines=tuple(
                line
                for name, sweep in sweeps.items()
                for line in lines_of(
                    replace(sweep.by_tokens, controller=name), sweep.sequential, seed=settings.seed
                )
            )
            + tuple(line for line in report.lines if line.store == HELD_OUT),
            grids=tuple(grid_of(store, _grid_rows(store, sweeps)) for store in stores),
        )
        if on_curves is not None:
            on_curves(report)
        ran = [one for found in proposed for one in found]
    for name in settings.baselines:
        ran += shown([parse(name).at(beta) for beta in settings.betas])
    marks = (
        ("figures of rounds and of held-out stores", "as the run's log says"),
        ("curves, questions and episodes", "replayed for this report, sealed"),
    )
    whole = replace(
        report,
        facts=(*report.facts, *marks),
        conclusion=of_run(state, leads).words,
        matrices=tuple(m for task in experiment.tasks(stores) for m in matrices_of(task)),
    )
    return whole, ran, stores


def _swept(
    folder: RunFolder,
    settings: RunSettings,
    stores: Sequence[Store],
    sources: Mapping[str, Source],
    best: str,
    on_part: OnPart,
) -> tuple[dict[str, Sweep], dict[str, Lead]]:
    """The sweep of each program and baseline, and how far the best is ahead of each baseline."""
    with Scorer(stores, settings, folder.path / "evaluations", keep=False) as scorer:
        sweeps = {}
        for name, source in sources.items():
            on_part(f"replaying {name}")
            sweeps[name] = scorer.sweep(source)
        for name in settings.baselines:
            on_part(f"replaying {name}")
            sweeps[name] = scorer.baseline(name)
        reference = scorer.reference()
    leads = {}
    if best in sources:
        for name in settings.baselines:
            baseline = Candidate(name, sweeps[name].curve)
            leads[name] = lead(sweeps[best].curve, baseline, reference, seed=settings.seed)
    return sweeps, leads


def title(trial: Trial) -> str:
    """What a proposal is called beside other controllers."""
    return f"round {trial.name}"


def _grid_rows(store: Store, sweeps: dict[str, Sweep]) -> list[GridRow]:
    key = store.key
    return [
        grid_row(name, float(beta), curve.correct[key][b], curve.tokens[key][b])
        for name, sweep in sweeps.items()
        for curve in [sweep.by_tokens]
        for b, beta in enumerate(curve.betas)
    ]


def _mean_lines(state: RunState) -> list[Line]:
    lines = [Line(title(t), MEAN, _points(t.points)) for t in state.trials if t.points]
    lines += [Line(name, MEAN, _points(b.points)) for name, b in state.baselines.items()]
    if state.finalized is not None:
        held_out = state.finalized.results.controllers
        lines += [Line(n, HELD_OUT, _points(f.points, f.bands)) for n, f in held_out.items()]
    return lines


def _points(
    points: Sequence[SweepPoint], bands: Sequence[tuple[float, float]] = ()
) -> tuple[Point, ...]:
    known: Sequence[tuple[float | None, float | None]] = bands
    if len(bands) != len(points):
        # Runs of version 1 kept none; and a run's folder may be somebody else's.
        known = [(None, None)] * len(points)
    return tuple(
        Point(p.beta, p.accuracy, p.tokens, p.sequential_tokens, *band)
        for p, band in zip(points, known, strict=True)
    )


def _rounds(state: RunState) -> list[Round]:
    """Proposals and failed rounds, in order."""
    best = state.best
    found: dict[tuple[int, int], Round] = {}
    for trial, scored in zip(state.trials, state.scored.values(), strict=True):
        cost = state.cost(trial.round) if trial.index == 0 else None
        found[trial.round, trial.index] = Round(
            name=trial.name,
            controller=title(trial),
            source=trial.proposal.source,
            idea=trial.proposal.idea,
            learned=trial.proposal.learned,
            expected_effect=trial.proposal.expected_effect,
            errors=trial.errors,
            remarks=(*trial.remarks, *state.words(trial)),
            digest=trial.digest,
            accepted=trial.accepted,
            best=best is not None and trial.name == best.name,
            area=trial.area,
            points=_points(trial.points),
            **_cost(cost, scored.seconds),
        )
    for number, failure in state.failures.items():
        found[number, 0] = Round(
            name=str(number),
            controller="",
            source="",
            errors=(failure.reason,),
            **_cost(state.cost(number), 0.0),
        )
    return [found[key] for key in sorted(found)]


def _cost(cost: RoundCost | None, scoring: float) -> dict[str, Any]:
    """The first proposal of a round bears what proposing cost; each, its own scoring."""
    if cost is None:
        return {"seconds": scoring, "usd": 0.0, "model_tokens": 0}
    return {
        "seconds": cost.seconds_proposing + scoring,
        "usd": cost.usage.usd,
        "model_tokens": cost.usage.tokens,
    }


def _facts(state: RunState, settings: RunSettings) -> list[tuple[str, str]]:
    trials, best = state.trials, state.best
    name_of_area = area_name(settings.judge)
    facts = [("proposals", str(len(trials))), ("accepted", str(sum(t.accepted for t in trials)))]
    if best is not None and best.area is not None and best.points:
        top = max(point.accuracy for point in best.points)
        facts += [
            ("best program", title(best)),
            ("its best accuracy on the search questions, as found", f"{top:.2f} %"),
        ]
        if state.winner is None:
            area = f"its {name_of_area} on the search questions, as found"
            facts.append((area, f"{best.area:.2f}"))
    if state.winner is not None:
        facts += state.winner.facts
    if state.baselines:
        leader = max(state.baselines.values(), key=lambda scored: scored.area)
        facts.append(
            (f"{name_of_area} of {leader.name} on the search questions", f"{leader.area:.2f}")
        )
    if state.finalized is not None:
        name = f"round {state.finalized.trial}"
        found = state.finalized.results.controllers.get(name)
        if found is not None:
            interval = f"{found.area:.2f} ({found.area_low:.1f} … {found.area_high:.1f})"
            facts.append((f"{name_of_area} of {name} on held-out questions", interval))
    if note := area_note(settings.judge, settings.family_weight):
        facts.append(("areas", note))
    facts += [(f"programs that ran {tier}", str(count)) for tier, count in _tiers(state)]
    facts += [(f"programs {audit}", str(count)) for audit, count in _audits(state)]
    facts.append(("time", f"{state.seconds / 60:.1f} min"))
    usd = state.usage.usd
    dollars = "unpriced" if usd is None else f"${usd:.2f}"
    return [*facts, ("cost of model calls", dollars)]


def _tiers(state: RunState) -> list[tuple[str, int]]:
    """How well proposed programs were sealed, and how many were so."""
    tiers = (scored.notes.get("tier") for scored in state.scored.values())
    return sorted(Counter(tier for tier in tiers if isinstance(tier, str)).items())


def _audits(state: RunState) -> list[tuple[str, int]]:
    """What vouches for the figures of sealed programs, and for how many of them."""
    found: Counter[str] = Counter()
    for notes in (scored.notes for scored in state.scored.values()):
        if not notes.get("tier"):
            continue
        audit = notes.get("audit")
        # Runs of earlier versions have the status alone.
        status = audit.get("status") if isinstance(audit, dict) else audit
        clean = "audited, with nothing found" if status == "clean" else UNAUDITED
        found["replayed blind" if notes.get("driver") == "blind" else clean] += 1
    return sorted(found.items())


def _made_by(settings: RunSettings) -> dict[str, Any]:
    """Provenance without places on somebody's disk."""
    fields = settings.model_dump(mode="json")
    for key in ("stores", "held_out"):
        fields[key] = [{k: v for k, v in ref.items() if k != "path"} for ref in fields[key]]
    fields["explorer"] = {
        key: value for key, value in fields["explorer"].items() if key != "options"
    }
    return {**fields.pop("made_by"), **{k: v for k, v in fields.items() if k != "name"}}
