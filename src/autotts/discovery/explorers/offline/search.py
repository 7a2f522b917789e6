"""The offline explorer: it learns from traces, with no model and no key.

Each round replaces one plain rule of a race with what traces of a broad race teach, and measures
both: the vote, the stop, the pruning; then the fits are made again on the states that the program
itself meets. What is learned is kept where questions that had no part in it say that it is better,
and is written as a plain program. A rule that is not kept costs no round: the next is tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from autotts.diagnosis.evidence import FEATURES
from autotts.diagnosis.matters import WIDTHS
from autotts.discovery.explorer import FREE, Proposal, Record, Turn, Usage
from autotts.discovery.explorers import take_options
from autotts.discovery.explorers.offline.lab import Lab, Step
from autotts.discovery.explorers.offline.writing import Learned, source
from autotts.errors import ProposalError, RunError, SpecError
from autotts.files import read_regular, write_text

_FILE = "learned.json"
_MOST_KEPT_BYTES = 2**20
_MOST_DRAWS = 24
_PLAIN = "Nothing that was tried is surely better than a plain race, so that is proposed."


@dataclass(frozen=True, slots=True)
class Kept:
    """What a round leaves for the next: the program, and how many stages are done."""

    learned: Learned
    stages: int


_KEPT = TypeAdapter(Kept)


class Offline:
    """Proposes what it has learned, a part more every round."""

    name = "offline"
    deterministic = True

    def __init__(self, draws: int) -> None:
        """
        Args:
            draws: of each question that exploring races play, at each width.
        """
        self._draws = draws

    def settings(self) -> Record:
        return {"draws": self._draws, "widths": list(WIDTHS), "features": dict(FEATURES)}

    def estimate(self, rounds: int, proposals: int) -> Usage:
        return FREE

    def propose(self, turn: Turn) -> list[Proposal]:
        lab = Lab(turn, self._draws)
        before = _kept(turn) or Kept(lab.plain, 0)
        learned, passed = before.learned, list[str]()
        for number, name in enumerate(lab.stages[before.stages :], before.stages + 1):
            step = lab.stage(name, learned)
            learned = step.learned
            turn.say(f"round {turn.round}, {name}: {step.finding}")
            _keep(turn, Kept(learned, number))
            if step.kept:
                return [_proposal(turn, step, passed)]
            passed.append(f"{name}: {step.finding}")
        if not turn.history.trials and passed:
            return [_proposal(turn, replace(step, hypothesis=_PLAIN), passed[:-1])]
        if not passed:
            turn.say(f"round {turn.round}: every stage was tried; nothing is left to learn")
        return []


def _proposal(turn: Turn, step: Step, passed: Sequence[str]) -> Proposal:
    """What a stage came to, in words.

    Raises:
        ProposalError: the rules of the run refuse it, and why.
    """
    text = source(step.learned)
    left = turn.remaining().evaluations
    affordable = left is None or left > turn.proposals
    refusals = turn.try_program(text).errors if affordable else turn.check(text)
    if refusals:
        raise ProposalError(f"what was learned does not keep to the rules: {refusals[0]}")
    learned = " ".join([step.finding, *(f"Tried before it, {words}" for words in passed)])
    effect = f"Area {step.area:.2f} on draws of its own."
    return Proposal(text, step.hypothesis, learned, effect)


def _keep(turn: Turn, kept: Kept) -> None:
    """Leave what was learned for the next round."""
    write_text(turn.folder / _FILE, _KEPT.dump_json(kept, indent=1).decode())


def _kept(turn: Turn) -> Kept | None:
    """What the rounds before left, the latest that left something; None if none did."""
    for number in range(turn.round - 1, 0, -1):
        path = turn.folder.parent.parent / f"{number:04}" / "explorer" / _FILE
        if path.is_file():
            try:
                return _KEPT.validate_json(read_regular(path, most_bytes=_MOST_KEPT_BYTES))
            except (OSError, ValueError) as error:
                raise RunError(
                    f"{path}: {error}; delete it, and learning begins without it"
                ) from error
    return None


def make(options: Mapping[str, str]) -> Offline:
    """From the option `draws`, of each question that exploring races play at each width."""
    draws = take_options("offline", options, {"draws": "16"})["draws"]
    if not draws.isdecimal() or not 1 <= int(draws) <= _MOST_DRAWS:
        raise SpecError(f"explorer offline: draws={draws!r}: need a number from 1 to {_MOST_DRAWS}")
    return Offline(int(draws))
