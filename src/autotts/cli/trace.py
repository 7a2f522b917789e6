"""`autotts trace`: one episode, so that a person can follow it.

It names the answers, the true one too. What an explorer may see of an episode is
`diagnosis.episode_text.show`, which `autotts diagnose --question Q --draw D` prints.
"""

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.screen import say
from autotts.errors import SpecError
from autotts.text import counted, letters

if TYPE_CHECKING:
    import polars as pl

    from autotts.evaluation import Execution, Experiment, Ran

WIDTH = 80
_INTERVALS = 40  # of a branch on a line, which leaves room for how it ended


@options.evaluating(audit=1)
def trace(
    store: options.Stores,
    controller: options.Controllers,
    question: Annotated[int, typer.Option(min=0, help="Number of the question, from 0.")],
    draw: Annotated[int, typer.Option(min=0, help="Number of the draw, from 0.")] = 0,
    *,
    experiment: "Experiment",
    execution: "Execution",
) -> None:
    """Print one episode for a person: branches by depth, rounds, decision and true answer.

    An explorer must not see answers: autotts diagnose --question Q --draw D shows letters instead.
    """
    import numpy as np

    from autotts import programs
    from autotts.evaluation import run_cells
    from autotts.stores import gather

    loaded = gather(store)
    if len(loaded) != 1 or len(controller) != 1:
        names = ", ".join(one.name for one in loaded)
        raise SpecError(
            f"trace shows one episode, so it needs one store and one -c; got {names} and"
            f" {', '.join(controller)}"
        )
    questions, n_draws, _ = experiment.task(loaded[0]).orders.shape
    if question >= questions or draw >= n_draws:
        raise SpecError(
            f"question {question}, draw {draw}: the store has questions 0 to {questions - 1} and"
            f" {experiment.draws} has draws 0 to {n_draws - 1}"
        )
    (ran,) = run_cells(
        loaded, programs.parse(controller[0]), experiment=experiment,
        execution=replace(execution, traces=True),
        pairs=np.array([[question, draw]]),
    )  # fmt: skip
    say("\n".join(describe(ran)))


def describe(ran: "Ran") -> list[str]:
    """One episode in lines: its grid of branches by depth, its rounds, its decision."""
    steps = ran.trace()
    q, d = ran.task.pairs[0].tolist()
    gold = ran.store.answers[q][ran.store.gold[q]]
    code = int(ran.codes[0])
    answer = "no answer" if code < 0 else ran.store.answers[q][code]
    revealed = steps["answer"].drop_nulls().unique(maintain_order=True).to_list()
    marks = letters(revealed)
    tokens = int(ran.tokens[0])
    return [
        f"{ran.spec.text} at beta {ran.spec.beta:g}",
        f"{ran.store.model}/{ran.store.dataset}, question {q}, draw {d}",
        *textwrap.wrap(", ".join(f"{name}={v:g}" for name, v in ran.parameters.items()), WIDTH),
        "",
        "branch  a letter an interval: the answer probed there, '.' none; how it ended",
        *_grid(steps, marks),
        "",
        *textwrap.wrap("answers: " + ", ".join(f"{m}={text}" for text, m in marks.items()), WIDTH),
        "",
        *_rounds(steps, marks),
        "",
        f"answered {answer} ({'right' if ran.correct[0] else f'wrong: it is {gold}'}) after"
        f" {tokens:,} tokens",
        f"in {counted(int(ran.episodes.column('rounds')[0]), 'round')},"
        f" {int(ran.episodes.column('sequential_tokens')[0]):,} tokens one after the other",
    ]


def _grid(steps: "pl.DataFrame", marks: dict[str, str]) -> list[str]:
    import polars as pl

    lines = []
    for key, part in steps.filter(pl.col("branch") >= 0).group_by("branch", maintain_order=True):
        cells: dict[int, str] = {}
        ending = "left open"
        for row in part.iter_rows(named=True):
            mark = marks.get(row["answer"], ".")
            if row["action"] == "prune":
                ending = f"pruned in round {row['round']}"
            elif row["action"] == "finish":
                ending = f"finished on {mark} in round {row['round']}"
                for depth in range(1, row["depth"] + 1):
                    cells.setdefault(depth, ".")
            else:
                cells[row["depth"]] = mark
        marked = "".join(cells[depth] for depth in sorted(cells))
        rows = [marked[at : at + _INTERVALS] for at in range(0, len(marked), _INTERVALS)]
        names = [str(key[0]), *[""] * (len(rows) - 1)]
        lines += [f"{name:>6}  {row}" for name, row in zip(names, rows, strict=True)]
        lines[-1] += f"  {ending}"
    return lines


def _rounds(steps: "pl.DataFrame", marks: dict[str, str]) -> list[str]:
    """What each round did; rounds that did the same stand on one line."""
    told: list[tuple[int, int, str]] = []
    for key, part in steps.group_by("round", maintain_order=True):
        number = int(str(key[0]))
        words = f"{part['tokens'].sum():>7,} tokens  {_words(part, marks)}"
        if told and told[-1][2] == words:
            told[-1] = (told[-1][0], number, words)
        else:
            told.append((number, number, words))
    lines = []
    for first, last, words in told:
        name = f"round {first}" if first == last else f"rounds {first}-{last}, each"
        lines += textwrap.wrap(f"{name:20}{words}", WIDTH, subsequent_indent=" " * 36)
    return lines


def _words(part: "pl.DataFrame", marks: dict[str, str]) -> str:
    """One round in words."""
    import polars as pl

    def branches(action: str) -> list[int]:
        return part.filter(pl.col("action") == action)["branch"].unique().sort().to_list()

    words = [
        f"{verb} {len(branches(action))}"
        for action, verb in (("branch", "open"), ("continue", "advance"), ("probe", "probe"))
        if branches(action)
    ]
    words += [
        f"branch {row['branch']} ends on {marks.get(row['answer'], '.')}"
        for row in part.filter(pl.col("action") == "finish").iter_rows(named=True)
    ]
    if branches("prune"):
        words.append(f"prune {', '.join(map(str, branches('prune')))}")
    words += [
        f"{row['note']} = {row['value']:g}"
        for row in part.filter(pl.col("action") == "note").iter_rows(named=True)
    ]
    return "; ".join(words)
