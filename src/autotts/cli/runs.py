"""`autotts runs`, `watch` and `diff`: looking at runs of `autotts discover`."""

from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotts.errors import RunError

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from autotts.discovery.explorer import Record

Run = Annotated[Path, typer.Argument(help="A run's folder.")]


def runs(folder: Annotated[Path, typer.Argument(help="Folder of runs.")] = Path("runs")) -> None:
    """List the runs in a folder: explorer, rounds, best, state, cost."""
    from rich.console import Console

    from autotts.discovery.run.budget import Ledger, priced
    from autotts.discovery.run.events import seconds_spent
    from autotts.discovery.run.folder import RunFolder
    from autotts.discovery.run.records import history_of
    from autotts.reports.tables import plain_table

    found = sorted(path.parent for path in folder.glob("*/run.toml"))
    if not found:
        raise RunError(f"{folder}: no runs here")
    table = plain_table(
        "run", "explorer", "rounds", "best", "area", "state", "tokens", "cost", "minutes",
        text=(0, 1, 5),
    )  # fmt: skip
    for path in found:
        run = RunFolder(path)
        events = run.events
        ledger = Ledger(run.settings.limits, lambda: 0.0)
        ledger.replay(events)
        best = history_of(events).best
        table.add_row(
            path.name,
            run.settings.explorer.name,
            f"{ledger.rounds}/{run.settings.limits.rounds}",
            best.name if best else "-",
            f"{best.area:.2f}" if best and best.area is not None else "-",
            str(events[-1]["event"]) if events else "empty",
            f"{ledger.usage.tokens:,}",
            priced(ledger.usage.usd),
            f"{seconds_spent(events) / 60:.1f}",
        )
    Console().print(table)


def watch(
    run: Run,
    once: Annotated[bool, typer.Option("--once", help="Print it once and leave.")] = False,
) -> None:
    """Follow a run in the terminal, while another process works on it."""
    import time

    from rich.console import Console, Group
    from rich.live import Live

    from autotts.discovery.run.folder import RunFolder

    folder = RunFolder(run)

    def view() -> "tuple[Group, bool]":
        events = folder.events
        last = f"{events[-1]['at']} {events[-1]['event']}" if events else "nothing yet"
        over = bool(events) and events[-1]["event"] in ("ended", "stopped", "finalized")
        return Group(rounds_table(events), last), over

    if once:
        Console().print(view()[0])
        return
    with Live(view()[0], refresh_per_second=2) as live:
        over = False
        while not over:
            time.sleep(0.5)
            shown, over = view()
            live.update(shown)


def diff(
    run: Run,
    a: Annotated[str, typer.Argument(help="A trial, such as 3 or 3.2.")],
    b: Annotated[str, typer.Argument(help="Another.")],
) -> None:
    """Show how two programs of a run differ: in code and in figures."""
    import difflib

    from autotts.discovery.run.folder import RunFolder
    from autotts.discovery.run.records import trials_of

    trials = {trial.name: trial for trial in trials_of(RunFolder(run).events)}
    for name in (a, b):
        if name not in trials:
            raise RunError(f"{run}: no trial {name}; there are {', '.join(trials) or 'none'}")
    old, new = trials[a], trials[b]
    lines = difflib.unified_diff(
        old.proposal.source.splitlines(),
        new.proposal.source.splitlines(),
        f"round {a}",
        f"round {b}",
        lineterm="",
    )
    typer.echo("\n".join(lines))
    typer.echo(f"\n{'beta':>5} {'accuracy':>9} {'':>7} {'tokens':>11} {'':>7}")
    for x, y in zip(old.points, new.points, strict=False):
        change = y.tokens / x.tokens - 1
        typer.echo(
            f"{x.beta:5.2g} {y.accuracy:9.2f} {y.accuracy - x.accuracy:+7.2f}"
            f" {y.tokens:11,.0f} {change:+7.1%}"
        )


def rounds_table(events: "list[Record]") -> "Table":
    """Baselines and proposals: frontier area, and accuracy at shares of SC@64's tokens."""
    from rich.text import Text

    from autotts.discovery.run.records import best_name, trials_of
    from autotts.reports.tables import plain_table

    table = plain_table("round", "area", "10%", "30%", "60%", "state", "idea", text=(0, 5, 6))
    best = best_name(events)
    records: list[Any] = list(events)
    rows = [
        (str(e["name"]), e["area"], e["fractions"], "baseline", "")
        for e in records
        if e["event"] == "baseline"
    ]
    scored = [e for e in records if e["event"] == "scored"]
    for trial, event in zip(trials_of(events), scored, strict=True):
        state = "accepted" if trial.accepted else ("refused" if trial.errors else "kept")
        state = f"{state}, best" if trial.name == best else state
        words = trial.errors[0] if trial.errors else trial.proposal.idea
        rows.append((trial.name, trial.area, event["fractions"], state, words))
    for name, area, figures, state, words in rows:
        at = [f"{figures[k]:.1f}" if k in figures else "-" for k in ("0.1", "0.3", "0.6")]
        shown = "-" if area is None else f"{area:.2f}"
        # An idea is somebody's text: never read as markup.
        table.add_row(name, shown, *at, state, Text(shorten(words, 90)))
    return table
