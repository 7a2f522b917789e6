"""The files of a round: what a person or an agent reads; made from the event log alone."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from autotts.discovery.explorer import FREE, Proposal, Record, SweepPoint, Usage
from autotts.discovery.run.budget import priced, usage_of
from autotts.discovery.run.events import of_kind
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.records import best_name, proposals_of, trials_of

_SWEEP_FIELDS = ("area", "fractions", "points", "notes", "errors", "remarks")
_COLUMNS = ("beta", "accuracy", "tokens", "fraction", "sequential_tokens")


def write_round(folder: RunFolder, events: Sequence[Record], number: int) -> None:
    """Write (again) the files of one round.

    Raises:
        RunError: one can't be written.
    """
    for index, proposal in enumerate(proposals_of(events)[number]):
        place = folder.round(number, index)
        folder.write(place / "program.py", proposal.source)
        folder.write(place / "proposal.md", proposal_text(proposal))
    scored = {e["index"]: e for e in of_kind(list(events), "scored") if e["round"] == number}
    for trial in (t for t in trials_of(events) if t.round == number):
        place = folder.round(number, trial.index)
        event: Any = scored[trial.index]
        fields = {key: event[key] for key in _SWEEP_FIELDS}
        folder.write(place / "sweep.json", json.dumps(fields, indent=1) + "\n")
        folder.write(place / "sweep.csv", sweep_csv(trial.points))
        folder.write(place / "errors.txt", "".join(f"{line}\n" for line in trial.errors))
        for name, text in (("digest.md", trial.digest), ("traces.md", trial.traces)):
            if text:
                folder.write(place / name, text)
    failures = [e["reason"] for e in of_kind(list(events), "failed") if e["round"] == number]
    if failures:
        folder.write(folder.round(number) / "errors.txt", f"{failures[0]}\n")
    cost = json.dumps(round_cost(events, number), indent=1)
    folder.write(folder.round(number) / "cost.json", cost + "\n")


def write_best(folder: RunFolder, events: Sequence[Record]) -> None:
    """Write the leading program to `best.py`."""
    name = best_name(events)
    for trial in trials_of(events):
        if trial.name == name:
            folder.write(folder.path / "best.py", trial.proposal.source)


def proposal_text(proposal: Proposal) -> str:
    """A proposal's words, as `proposal.md` has them."""
    parts = (
        ("Idea", proposal.idea),
        ("What was learned", proposal.learned),
        ("Expected effect", proposal.expected_effect),
    )
    return "\n".join(f"# {title}\n\n{text or '(nothing said)'}\n" for title, text in parts)


def sweep_csv(points: Sequence[SweepPoint]) -> str:
    """A sweep as comma-separated values: the means, then accuracy and tokens by store."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    stores = list(points[0].stores) if points else []
    writer.writerow(
        [*_COLUMNS, *(f"{s} {what}" for s in stores for what in ("accuracy", "tokens"))]
    )
    for point in points:
        means = [getattr(point, name) for name in _COLUMNS]
        writer.writerow([*means, *(value for s in stores for value in point.stores[s])])
    return text.getvalue()


def round_cost(events: Sequence[Record], number: int) -> dict[str, Any]:
    """Seconds and model calls of one round."""
    calls = {
        e["id"]: usage_of(e["reserved"])
        for e in of_kind(list(events), "call")
        if e["round"] == number
    }
    for event in of_kind(list(events), "reply", "call-failed"):
        if event["id"] in calls:
            calls[event["id"]] = usage_of(event["usage"])
    usage = sum(calls.values(), FREE)

    def seconds(*kinds: str) -> float:
        found: list[Any] = [e for e in of_kind(list(events), *kinds) if e["round"] == number]
        return round(sum(float(e["seconds"]) for e in found), 3)

    return {
        "seconds_proposing": seconds("proposed", "failed"),
        "seconds_scoring": seconds("scored"),
        "calls": usage.calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usd": "unpriced" if usage.usd is None else usage.usd,
    }


def cost_line(usage: Usage, seconds: float) -> str:
    """What a run cost, in one line, beside what the paper's did."""
    return (
        f"{usage.calls} model calls, {usage.tokens:,} tokens, {priced(usage.usd)},"
        f" {seconds / 60:.1f} minutes (the paper: $39.9 and 160 minutes for 5 rounds)"
    )
