"""`autotts reproduce`: the paper's tables beside what is replayed, and its ablations."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.helping import group
from autotts.cli.screen import console, say

if TYPE_CHECKING:
    from autotts.evaluation.statistics import Interval

app = group("Replay the paper's tables beside its figures, and repeat its ablations.")


@app.callback()
def _reproduce() -> None:
    """Replay the paper's tables beside its figures, and repeat its ablations."""


@app.command()
def table1(
    stores: options.SomeStores = None,
    stores_option: options.StoresOption = None,
    jobs: options.Jobs = None,
) -> None:
    """Table 1 of arXiv 2605.08083, cell by cell."""
    from rich.table import Table

    from autotts.evaluation.study.table1 import NOTES, compare_table1
    from autotts.stores import gather

    cells = compare_table1(gather(options.named_stores(stores, stores_option)), jobs=jobs)
    table = Table(box=None, pad_edge=False)
    for column in ("model", "dataset", "method", "paper", "replayed", ""):
        table.add_column(column, justify="right" if column in ("paper", "replayed") else "left")
    for cell in cells:
        replayed = "" if cell.replayed is None else _show(*cell.replayed)
        table.add_row(
            cell.model,
            cell.dataset,
            cell.method.replace("beta", "β"),
            _show(*cell.paper),
            replayed,
            cell.verdict,
        )
    screen = console()
    screen.print(table)
    counts = Counter(cell.verdict for cell in cells)
    screen.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    for note in NOTES:
        screen.print(note)


def _show(accuracy: float, kilotokens: float) -> str:
    return f"{accuracy:.1f}@{kilotokens:.1f}k"


@app.command("table3", help="The same as `reproduce ablations`.")
@app.command()
def ablations(
    stores: options.SomeStores = None,
    stores_option: options.StoresOption = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the runs; runs that are there already are gone on with.")
    ] = Path("ablations"),
    measure_on: Annotated[
        list[Path] | None,
        typer.Option(
            help="Stores to measure on what was found, opened when all runs are done; by default"
            " the searched stores, on fresh draws. May be repeated."
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=100, help="Runs of each arm: seeds 1, 2, 3 ...")
    ] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each run.")] = 5,
    draws: options.Draws = "reference:100",
) -> None:
    """The paper's ablations (its Table 3): the loop without beta and without traces.

    The explorer is `offline`, not a coding agent. A look in a minute takes one or two small stores,
    --seeds 1 --rounds 1 --draws subsets:8.
    """
    from autotts.discovery.ablations import PAPER, ablate_loop
    from autotts.reports.tables import plain_table

    results = ablate_loop(
        options.named_stores(stores, stores_option), out, measure_on=measure_on or (),
        seeds=range(1, seeds + 1), rounds=rounds, draws=draws,
        say=lambda line: say(line, err=True),
    )  # fmt: skip
    table = plain_table(
        "arm", "seed", "accuracy", "over full at these", "area", "over full in area"
    )
    for one in results:
        table.add_row(
            one.arm, f"{one.seed}", _show(one.accuracy, one.tokens / 1000),
            _points(one.at_its_tokens), f"{one.area.estimate:.2f}", _points(one.over_full),
        )  # fmt: skip
    screen = console()
    screen.print(table)
    screen.print(
        "Accuracy in percent at the setting that was best in the search, and points over the full"
        " loop at the same tokens; frontier area, and points over that of the full loop. Intervals"
        " are over questions, 95 %."
    )
    screen.print("The paper, with a coding agent, mean of 12 stores:")
    for arm, figures in PAPER.items():
        screen.print(f"  {arm}: {_show(*figures)}")


def _points(found: "Interval | None") -> str:
    from autotts.reports.tables import span

    if found is None:
        return ""
    return f"{found.estimate:+.1f} ({span(found.low, found.high, signed=True)})"
