"""Between the event log and values: proposals, trials and histories to records and back."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from autotts.discovery.explorer import (
    FREE,
    Feedback,
    History,
    Proposal,
    Record,
    SweepPoint,
    Trial,
    Usage,
)
from autotts.discovery.run.events import of_kind
from autotts.evaluation.winner import Winner


def proposal_record(proposal: Proposal) -> Record:
    return asdict(proposal)


def proposal_of(record: Any) -> Proposal:
    return Proposal(**{**record, "usage": Usage(**record.get("usage", asdict(FREE)))})


def point_records(points: Sequence[SweepPoint]) -> list[Any]:
    return [asdict(point) for point in points]


def points_of(records: Any) -> tuple[SweepPoint, ...]:
    return tuple(
        SweepPoint(**{**r, "stores": {k: (v[0], v[1]) for k, v in r["stores"].items()}})
        for r in records
    )


def feedback_record(feedback: Feedback) -> Record:
    return asdict(feedback)


def feedback_of(record: Any) -> Feedback:
    return Feedback(
        errors=tuple(record["errors"]),
        remarks=tuple(record["remarks"]),
        points=points_of(record["points"]),
        area=record["area"],
        baseline_areas=record["baseline_areas"],
    )


def proposals_of(events: Sequence[Record]) -> dict[int, list[Proposal]]:
    """What was proposed, by round; a round that failed or passed has an empty list."""
    found: dict[int, list[Proposal]] = {}
    for event in of_kind(list(events), "proposed", "failed"):
        record: Any = event
        found[record["round"]] = [proposal_of(p) for p in record.get("proposals", [])]
    return found


def trials_of(events: Sequence[Record]) -> list[Trial]:
    """What was scored, in order."""
    proposals = proposals_of(events)
    accepted = set()
    for event in of_kind(list(events), "selected"):
        record: Any = event
        accepted |= set(record["accepted"])
    trials = []
    for event in of_kind(list(events), "scored"):
        record = event
        trial = Trial(
            round=record["round"],
            index=record["index"],
            proposal=proposals[record["round"]][record["index"]],
            points=points_of(record["points"]),
            area=record["area"],
            errors=tuple(record["errors"]),
            remarks=tuple(record["remarks"]),
            digest=record["digest"],
            accepted=False,
            traces=record["traces"],
        )
        trials.append(replace(trial, accepted=trial.name in accepted))
    return trials


def best_name(events: Sequence[Record]) -> str | None:
    """The trial that leads after the last selection."""
    name = None
    for event in of_kind(list(events), "selected"):
        name = event["best"]
    assert name is None or isinstance(name, str)
    return name


def winner_of(events: Sequence[Record]) -> Winner | None:
    """What fresh draws left of the best.

    None before a run is done, where there was nothing to choose, and where the best failed on them.
    """
    found = None
    for event in of_kind(list(events), "winner"):
        record: Any = event["winner"]
        found = None if record is None else Winner(**record)
    return found


def history_of(events: Sequence[Record]) -> History:
    """What an explorer is shown of a run."""
    baselines = {}
    for event in of_kind(list(events), "baseline"):
        baselines[str(event["name"])] = points_of(event["points"])
    trials = trials_of(events)
    leader = best_name(events)
    best = next((trial for trial in trials if trial.name == leader), None)
    return History(baselines, tuple(trials), best)
