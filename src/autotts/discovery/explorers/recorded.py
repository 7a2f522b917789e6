"""The recorded explorer: proposes again what an earlier run proposed, round by round."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from autotts.discovery.explorer import FREE, Proposal, Record, Turn, Usage
from autotts.discovery.explorers import take_options
from autotts.discovery.run import events
from autotts.discovery.run.state import RunState
from autotts.errors import ProposalError, SpecError


class Recorded:
    """Replays the proposals of a run. Calls nothing and costs nothing."""

    name = "recorded"
    deterministic = True
    side_by_side = True

    def __init__(self, run: Path) -> None:
        """
        Raises:
            RunError: there is no run in that folder.
        """
        self._run = run
        self._proposals = RunState.of(events.read(run / "events.jsonl")).proposals

    def settings(self) -> Record:
        return {"run": str(self._run), "rounds": len(self._proposals)}

    def estimate(self, rounds: int, proposals: int) -> Usage:
        return FREE

    def propose(self, turn: Turn) -> list[Proposal]:
        found = self._proposals.get(turn.round)
        if found is None:
            raise ProposalError(f"{self._run} has no round {turn.round}")
        return [replace(proposal, usage=FREE) for proposal in found]


def make(options: Mapping[str, str]) -> Recorded:
    """From the option `run`, the folder of the earlier run."""
    run = take_options("recorded", options, {"run": ""})["run"]
    if not run:
        raise SpecError("explorer recorded needs the run to replay: --option run=runs/NAME")
    return Recorded(Path(run))
