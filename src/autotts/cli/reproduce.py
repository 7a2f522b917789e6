"""`autotts reproduce`: the paper's tables beside what is replayed."""

from collections import Counter

import typer

from autotts.cli import options
from autotts.cli.screen import console

app = typer.Typer(help="Replay the paper's tables beside its figures.", no_args_is_help=True)


@app.callback()
def _reproduce() -> None:
    """Replay the paper's tables beside its figures."""


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
