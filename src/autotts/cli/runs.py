"""`autotts runs`, `watch`, `diff` and `lessons`: looking at runs of `autotts discover`."""

import math
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.screen import console, say
from autotts.errors import RunError

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from autotts.discovery.run.folder import RunFolder
    from autotts.discovery.run.state import RunState

_SHARES = ("0.1", "0.3", "0.6")

_MOST_COMPARED = 1_000
"""Lines of a program in `diff`."""

Run = Annotated[Path, typer.Argument(help="A run's folder.")]


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder that holds runs.")] = Path("runs"),
) -> None:
    """List the runs in a folder: explorer, rounds, best, state, cost."""

    from autotts.reports.tables import plain_table

    found = sorted(path.parent for path in folder.glob("*/run.toml"))
    if not found:
        raise RunError(f"{folder}: no runs here")
    table = plain_table(
        "run", "explorer", "rounds", "best", "area", "state", "tokens", "cost", "minutes",
        text=(0, 1, 5),
    )  # fmt: skip
    damaged = []
    for path in found:
        try:
            table.add_row(*_run_row(path))
        except RunError as error:
            damaged.append(str(error))
            table.add_row(path.name, "", "", "", "", "damaged")
    console().print(table)
    for line in damaged:
        say(f"damaged: {line}", err=True)


def _run_row(path: Path) -> list[str]:
    from autotts.discovery.run.budget import priced
    from autotts.discovery.run.folder import RunFolder

    run = RunFolder(path)
    state = run.state
    limits, best, usage = state.limits or run.settings.limits, state.best, state.usage
    return [
        path.name,
        run.settings.explorer.name,
        f"{state.rounds}/{'any' if limits.rounds is None else limits.rounds}",
        best.name if best else "-",
        f"{best.area:.2f}" if best and best.area is not None else "-",
        condition(run, state),
        f"{usage.tokens:,}",
        priced(usage.usd),
        f"{state.seconds / 60:.1f}",
    ]


def condition(run: "RunFolder", state: "RunState") -> str:
    """Where a run stands, in a word: what its log ends with, and whether anybody goes on."""
    if run.at_work:
        return "at work"
    # A session that ended without a word was killed.
    return "interrupted" if state.condition == "begun" else state.condition


def watch(
    run: Run,
    once: Annotated[
        bool, typer.Option("--once", help="Print the run as it stands, and leave.")
    ] = False,
) -> None:
    """Follow a run in the terminal, while another process works on it."""
    import time

    from rich.console import Group
    from rich.live import Live

    from autotts.discovery.run.folder import RunFolder

    folder = RunFolder(run)

    def view() -> "tuple[Group, bool]":
        state = folder.state
        at = "" if state.last is None else f"{state.last.at} "
        over = state.condition in ("ended", "stopped", "interrupted", "finalized")
        return Group(rounds_table(state), f"{at}{condition(folder, state)}"), over

    if once:
        console().print(view()[0])
        return
    with Live(view()[0], console=console(), refresh_per_second=2) as live:
        over = False
        while not over:
            time.sleep(0.5)
            shown, over = view()
            live.update(shown)


def diff(
    run: Run,
    a: Annotated[
        str,
        typer.Argument(help="One program: its round, such as 3, or 3.2 for the second of a round."),
    ],
    b: Annotated[str, typer.Argument(help="The program to compare it with.")],
) -> None:
    """Show how two programs of a run differ: in code and in figures."""
    import difflib

    from autotts.discovery.run.folder import RunFolder

    trials = {trial.name: trial for trial in RunFolder(run).state.trials}
    for name in (a, b):
        if name not in trials:
            raise RunError(f"{run}: no trial {name}; there are {', '.join(trials) or 'none'}")
    old, new = trials[a], trials[b]
    for trial in (old, new):  # lines are compared with lines: what repeats for long takes for ever
        if trial.proposal.source.count("\n") > _MOST_COMPARED:
            raise RunError(f"{run}: round {trial.name} has more than {_MOST_COMPARED:,} lines")
    lines = difflib.unified_diff(
        old.proposal.source.splitlines(),
        new.proposal.source.splitlines(),
        f"round {a}",
        f"round {b}",
        lineterm="",
    )
    say("\n".join(lines))
    say(f"\n{'beta':>5} {'accuracy':>9} {'':>7} {'tokens':>11} {'':>7}")
    for x, y in zip(old.points, new.points, strict=False):
        change = y.tokens / x.tokens - 1 if x.tokens else math.nan
        say(
            f"{x.beta:5.2g} {y.accuracy:9.2f} {y.accuracy - x.accuracy:+7.2f}"
            f" {y.tokens:11,.0f} {change:+7.1%}"
        )


@options.giving_json
def lessons(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    *,
    save: options.Save | None,
) -> None:
    """Print what earlier runs teach: their best programs, what was learned, and what failed."""
    from dataclasses import asdict

    from autotts.discovery.lessons import lessons_of, lessons_text
    from autotts.discovery.run.folder import RunFolder

    found = [lessons_of(RunFolder(path)) for path in runs]
    if save is not None:
        save({"runs": [asdict(one) for one in found]})
    for one in found:
        say(lessons_text(one))


def rounds_table(state: "RunState") -> "Table":
    """Baselines and proposals: frontier area, and accuracy at shares of what SC@64 spends."""
    from rich.text import Text

    from autotts.reports.tables import plain_table

    known = [scored.fractions for scored in state.baselines.values()]
    known += [scored.fractions for scored in state.scored.values() if scored.fractions]
    # What a run of another objective shows are other shares.
    shown = _SHARES if not known or "0.1" in known[0] else ("0.3", "0.5", "1")
    heads = (f"{float(share):.0%}" for share in shown)
    table = plain_table("round", "area", *heads, "state", "idea", text=(0, 5, 6))
    rows: list[tuple[str, float | None, dict[str, float], str, str]] = [
        (name, scored.area, scored.fractions, "baseline", "")
        for name, scored in state.baselines.items()
    ]
    best = state.best
    for trial, scored in zip(state.trials, state.scored.values(), strict=True):
        became = "accepted" if trial.accepted else ("refused" if trial.errors else "kept")
        became += ", leads" if best is not None and trial.name == best.name else ""
        words = trial.errors[0] if trial.errors else trial.proposal.idea
        rows.append((trial.name, trial.area, scored.fractions, became, words))
    for name, area, figures, became, words in rows:
        at = [f"{figures[k]:.1f}" if k in figures else "-" for k in shown]
        score = "-" if area is None else f"{area:.2f}"
        # An idea is somebody's text: never read as markup.
        table.add_row(name, score, *at, became, Text(shorten(words, 90)))
    return table
