"""One episode in words and letters, as an explorer may see it: no answer, no text of the question.

Answers are letters in the order in which they were revealed in this episode, so they mean nothing
in another one. Whether the answer given is right is said; which letter is right is not.
"""

import textwrap
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from autotts import control
from autotts.replay.driver import Ran
from autotts.replay.episodes import failed_codes
from autotts.text import LETTERS, letters

_WIDTH = 88
_STEP = {name: at for at, name in enumerate(control.STEP)}

_LEGEND = (
    "branch  a letter for the answer at each interval; how it ended",
    f"        '.' no answer, or not read; '?' any answer after the first {len(LETTERS)}",
)
_UNREAD = "        '~' the program read none of this branch's intervals: what the store has there"

_MEANINGS = {
    "right": "right",
    "early": "wrong, stopped too early",
    "pruned": "wrong, pruned the branches that would have won",
    "outvoted": "wrong, the right answer was there and outvoted",
    "unopened": "wrong, only unopened branches had the right answer",
    "hopeless": "wrong, and no branch of the draw shows the right answer",
}


def show(ran: Ran, found: pl.DataFrame, question: int, draw: int) -> str:
    """An episode: its verdict with evidence, and what each branch showed, interval by interval.

    Args:
        found: the findings of `ran`, or of more.

    Raises:
        ValueError: there is no such episode among the findings.
    """
    pairs = ran.task.pairs
    at = np.flatnonzero((pairs[:, 0] == question) & (pairs[:, 1] == draw))
    row = found.filter(
        model=ran.store.model, dataset=ran.store.dataset, controller=ran.spec.text,
        beta=ran.spec.beta, question=question, draw=draw,
    )  # fmt: skip
    if not len(at) or row.is_empty():
        raise ValueError(f"question {question}, draw {draw} was not among the episodes")
    steps = ran.steps(int(at[0]), int(at[0]) + 1)
    drawn = ran.task.rows(question, draw, control.models_opened(ran.log.of(int(at[0]))))
    pool = ran.task.pool
    probes = np.full((len(drawn), pool.depth), -1)
    if pool.probes is not None:
        probes = pool.probes[question, drawn]
    rows = _rows(steps, np.where(probes == failed_codes(ran.task)[question], -1, probes))
    letter_of = _letters(steps, rows)
    heading = (
        f"{ran.spec.text} at beta {ran.spec.beta:g} on {ran.store.name}, question {question},"
        f" draw {draw}"
    )
    lines = [heading, "", *_evidence(row.row(0, named=True), letter_of)]
    lines += ["", *_LEGEND]
    lines += [_UNREAD] if any(not row.read for row in rows.values()) else []
    grid = [row.line(branch, letter_of) for branch, row in rows.items()]
    return "\n".join([*lines, "", *grid]) + "\n"


@dataclass(slots=True)
class _Row:
    """A branch of an episode.

    codes: the answer at each interval, by depth from 1; `read`: whether the program read any.
    """

    codes: dict[int, int] = field(default_factory=dict)
    depth: int = 0
    read: bool = False
    ended: int = -1
    ending: str = "left open"

    def line(self, branch: int, letter_of: dict[int, str]) -> str:
        last = self.depth if not self.read else max(self.codes, default=0)
        shown = "".join(letter_of.get(self.codes.get(d, -1), ".") for d in range(1, last + 1))
        ending = self.ending.format(letter=letter_of.get(self.ended, "."))
        return f"{branch:>6} {' ' if self.read or not shown else '~'}{shown}  {ending}"


def _rows(steps: np.ndarray, probes: np.ndarray) -> dict[int, _Row]:
    """What each branch showed and how it ended, by its index.

    Args:
        probes: `[W, K]` of the episode's branches, which stand in where the program read nothing.
    """
    rows: dict[int, _Row] = {}
    for step in steps.tolist():
        kind, branch, depth, code, at = (
            step[_STEP[name]] for name in ("kind", "branch", "depth", "code", "round")
        )
        if kind == control.NOTE:
            continue
        row = rows.setdefault(branch, _Row())
        row.depth = depth
        if kind == control.PRUNE:
            row.ending = f"pruned in round {at}"
        elif kind == control.FINISH:
            # A branch that ends in its first interval had nothing to read before.
            row.read = row.read or not row.codes
            row.ended, row.ending = code, f"ended on {{letter}} in round {at}"
        else:
            row.codes[depth] = code
            row.read = row.read or code >= 0
    for branch, row in rows.items():
        if not row.read:
            row.codes = dict(enumerate(probes[branch, : row.depth].tolist(), 1))
    return rows


def _letters(steps: np.ndarray, rows: dict[int, _Row]) -> dict[int, str]:
    """The letter of each code: those the program saw in order of appearance, then the others."""
    codes = steps[steps[:, _STEP["kind"]] != control.NOTE, _STEP["code"]].tolist()
    for row in rows.values():
        codes += row.codes.values()
    return letters(code for code in codes if code >= 0)


def _evidence(row: dict[str, int], letters: dict[int, str]) -> list[str]:
    answer = letters.get(row["answer"], "nothing")
    sentences = [
        f"Answered {answer} after {row['tokens']:,} tokens: {_MEANINGS[str(row['verdict'])]}."
    ]
    if row["late"]:
        sentences.append(f"The vote was settled after {row['settled_tokens']:,} tokens.")
    for name, way in (
        ("early_intervals", "intervals of the active branches"),
        ("early_branches", "further branches"),
    ):
        if row[name]:
            sentences.append(
                f"With {row[name]} more {way} ({row[f'{name}_tokens']:,} tokens) the vote would"
                " have been right."
            )
    if row["n_pruned"]:
        effect = {1: "pruning saved the vote", 0: "the vote is the same", -1: "pruning cost it"}
        sentences.append(
            f"{row['pruned_right']} of {row['n_pruned']} pruned branches would have ended right;"
            f" with them {effect[row['pruning']]}."
        )
    return textwrap.wrap(" ".join(sentences), _WIDTH)
