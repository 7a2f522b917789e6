"""One episode in words and letters, as an explorer may see it: no answer, no text of the question.

Answers are letters in the order in which they were revealed in this episode, so they mean nothing
in another one. Whether the answer given is right is said; which letter is right is not.
"""

import textwrap

import numpy as np
import polars as pl

from autotts import control
from autotts.replay.driver import Ran
from autotts.text import letters

_WIDTH = 88
_STEP = {name: at for at, name in enumerate(control.STEP)}

_MEANINGS = {
    "right": "right",
    "early": "wrong, stopped too early",
    "pruned": "wrong, pruned the branches that would have won",
    "outvoted": "wrong, the right answer was there and outvoted",
    "unopened": "wrong, only unopened branches had the right answer",
    "hopeless": "wrong, and no branch of the draw had the right answer",
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
    letter_of = _letters(steps)
    heading = (
        f"{ran.spec.text} at beta {ran.spec.beta:g} on {ran.store.name}, question {question},"
        f" draw {draw}"
    )
    lines = [heading, "", *_evidence(row.row(0, named=True), letter_of)]
    lines += ["", "branch  a letter an interval, '.' not read or no answer; how it ended", ""]
    return "\n".join([*lines, *_grid(steps, letter_of)]) + "\n"


def _letters(steps: np.ndarray) -> dict[int, str]:
    """The letter of each code, in order of appearance."""
    codes = steps[steps[:, _STEP["kind"]] != control.NOTE, _STEP["code"]]
    return letters(codes[codes >= 0].tolist())


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


def _grid(steps: np.ndarray, letters: dict[int, str]) -> list[str]:
    """A line for each branch."""
    cells: dict[int, dict[int, str]] = {}
    endings: dict[int, str] = {}
    for step in steps.tolist():
        kind, branch, depth = (step[_STEP[name]] for name in ("kind", "branch", "depth"))
        if kind == control.NOTE:
            continue
        letter = letters.get(step[_STEP["code"]], ".")
        line = cells.setdefault(branch, {})
        if kind == control.PRUNE:
            endings[branch] = f"pruned in round {step[_STEP['round']]}"
        elif kind == control.FINISH:
            endings[branch] = f"ended on {letter} in round {step[_STEP['round']]}"
        else:
            line[depth] = letter
    return [
        f"{branch:>6}  {''.join(line.get(d, '.') for d in range(1, max(line, default=0) + 1))}"
        f"  {endings.get(branch, 'left open')}"
        for branch, line in cells.items()
    ]
