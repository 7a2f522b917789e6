"""The files of a round: what a person or an agent reads; made from the state of the run alone."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

from autotts.discovery.explorer import Proposal, SweepPoint, Usage
from autotts.discovery.run.budget import priced
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.state import RoundCost, RunState
from autotts.text import counted, head

DIGEST_BYTES = 16 * 1024

_COLUMNS = ("beta", "accuracy", "tokens", "fraction", "sequential_tokens")


def write_round(folder: RunFolder, state: RunState, number: int) -> None:
    """Write (again) the files of one round.

    Raises:
        RunError: one can't be written.
    """
    for index, proposal in enumerate(state.proposals[number]):
        place = folder.round(number, index)
        folder.write(place / "program.py", proposal.source)
        folder.write(place / "proposal.md", proposal_text(proposal))
    for scored in (found for (of, _), found in state.scored.items() if of == number):
        place = folder.round(number, scored.index)
        sweep = {
            "area": scored.area,
            "fractions": scored.fractions,
            "points": [asdict(point) for point in scored.points],
            "notes": scored.notes,
            "errors": scored.errors,
            "remarks": scored.remarks,
        }
        folder.write(place / "sweep.json", json.dumps(sweep, indent=1) + "\n")
        folder.write(place / "sweep.csv", sweep_csv(scored.points))
        folder.write(place / "errors.txt", "".join(f"{line}\n" for line in scored.errors))
        told = digest_text(scored.digest, state.history.matters)
        for name, text in (("digest.md", told), ("traces.md", scored.traces)):
            if text:
                folder.write(place / name, text)
    if number in state.failures:
        folder.write(folder.round(number) / "errors.txt", f"{state.failures[number].reason}\n")
    cost = json.dumps(_cost_record(state.cost(number)), indent=1)
    folder.write(folder.round(number) / "cost.json", cost + "\n")


def write_best(folder: RunFolder, state: RunState) -> None:
    """Write the leading program to `best.py`."""
    if state.best is not None:
        folder.write(folder.path / "best.py", state.best.proposal.source)


def write_matters(folder: RunFolder, state: RunState) -> None:
    """Write what matters on the search stores to `matters.md`, if that is known."""
    if state.history.matters:
        folder.write(folder.path / "matters.md", state.history.matters)


def proposal_text(proposal: Proposal) -> str:
    """A proposal's words, as `proposal.md` has them."""
    parts = (
        ("Idea", proposal.idea),
        ("What was learned", proposal.learned),
        ("Expected effect", proposal.expected_effect),
    )
    return "\n".join(f"# {title}\n\n{text or '(nothing said)'}\n" for title, text in parts)


def digest_text(digest: str, matters: str) -> str:
    """A round's digest as `digest.md` has it, with what matters on the search stores.

    Of at most `DIGEST_BYTES`: a longer digest loses its last lines.
    """
    if not digest or not matters:
        return digest
    left = DIGEST_BYTES - len(matters.encode()) - 1
    if len(digest.encode()) > left:
        kept = head(digest, max(0, left))
        digest = kept[: kept.rfind("\n") + 1]
    return f"{digest}\n{matters}"


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


def _cost_record(cost: RoundCost) -> dict[str, float | str]:
    usage = cost.usage
    return {
        "seconds_proposing": round(cost.seconds_proposing, 3),
        "seconds_scoring": round(cost.seconds_scoring, 3),
        "calls": usage.calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usd": "unpriced" if usage.usd is None else usage.usd,
    }


def cost_line(usage: Usage, seconds: float) -> str:
    """What a run cost, in one line, beside what the paper's did."""
    return (
        f"{counted(usage.calls, 'model call')}, {usage.tokens:,} tokens, {priced(usage.usd)},"
        f" {seconds / 60:.1f} minutes (the paper: $39.9 and 160 minutes for 5 rounds)"
    )
