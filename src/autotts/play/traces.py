"""An episode for the page: what happened, action by action, whoever played it.

A replayed episode and a live one have the same steps, so the page shows both alike.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from autotts import control
from autotts.replay.driver import Ran
from autotts.replay.traces import TRACED, note_names

_CODE, _TOKENS = (control.STEP.index(name) for name in ("code", "tokens"))
_ANSWER = TRACED.index(_CODE)


@dataclass(frozen=True, slots=True)
class EpisodeTrace:
    """One episode.

    answers: the texts of what was revealed, in that order; answers below are indices into it.
    steps: (round, kind, branch, depth, answer, tokens) each, without notes; kinds as in `control`,
        and -1 where no answer was revealed.
    notes: (round, name, value).
    answer: the one given, -1 for none.
    remark: what an audit says of it, in words.
    """

    controller: str
    beta: float
    parameters: dict[str, float]
    answers: tuple[str, ...]
    steps: list[list[int]]
    notes: list[tuple[int, str, float]]
    answer: int
    tokens: int
    sequential_tokens: int
    rounds: int
    remark: str = ""

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def trace_of(ran: Ran) -> EpisodeTrace:
    """The one episode that was run, with its log."""
    raw = ran.steps()
    is_note = raw[:, control.STEP.index("kind")] == control.NOTE
    steps = raw[~is_note][:, TRACED]
    codes = steps[:, _ANSWER]
    shown = list(dict.fromkeys(codes[codes >= 0].tolist()))
    index = {code: k for k, code in enumerate(shown)}
    steps[:, _ANSWER] = [index.get(code, -1) for code in codes.tolist()]
    q = int(ran.task.pairs[0, 0])
    names = note_names(ran.spec.source.text)
    notes = raw[is_note]
    values = np.ascontiguousarray(notes[:, _TOKENS]).view(np.float64)
    return EpisodeTrace(
        controller=ran.spec.text,
        beta=ran.spec.beta,
        parameters=dict(ran.parameters),
        answers=tuple(ran.store.answers[q][code] for code in shown),
        steps=steps.tolist(),
        notes=[
            (int(row[1]), names[int(row[_CODE])], value)
            for row, value in zip(notes, values.tolist(), strict=True)
            if int(row[_CODE]) in names
        ],
        answer=index.get(int(ran.codes[0]), -1),
        tokens=int(ran.tokens[0]),
        sequential_tokens=int(ran.episodes.column("sequential_tokens")[0]),
        rounds=int(ran.episodes.column("rounds")[0]),
        remark=ran.how.words,
    )
