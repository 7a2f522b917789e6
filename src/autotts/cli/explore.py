"""`autotts submit`, `try` and `export-task`: a run's doors for people, agents and frameworks."""

from pathlib import Path
from typing import Annotated

import typer

from autotts.cli.screen import say
from autotts.errors import SpecError

Run = Annotated[Path, typer.Argument(help="The folder of a run.")]


def submit(
    run: Run,
    program: Annotated[
        Path | None, typer.Option(help="By default program.py of the run, or of its open round.")
    ] = None,
    proposal: Annotated[
        Path | None, typer.Option(help="By default proposal.md beside the program.")
    ] = None,
) -> None:
    """Hand in a program for the next round of a run whose explorer is `files`."""
    from autotts.discovery.explorers.files import find_submission
    from autotts.discovery.explorers.files import submit as hand_in

    program = program or find_submission(run)
    beside = program.parent / "proposal.md"
    number, place = hand_in(run, program, proposal or (beside if beside.is_file() else None))
    say(f"submitted {program} for round {number}: {place}")
    say(f"it is taken by the run at work, or by: autotts discover --resume {run}")


def try_(
    program: Annotated[Path, typer.Argument(help="A controller program.")],
    run: Annotated[Path | None, typer.Option(help="A run that is at work and waits.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Score a program quickly on a run's search set, through the run's own scorer."""
    from autotts.discovery.agents import scorer_client

    where = scorer_client.find_socket() if run is None else run / scorer_client.SOCKET
    if not where.exists():
        raise SpecError(
            f"no scorer at {where}: try works in an agent's workspace, or with --run RUN while"
            " `autotts discover RUN --explorer files` waits"
        )
    raise typer.Exit(scorer_client.try_program(program, where, json))


def export_task(
    run: Run,
    framework: Annotated[
        str, typer.Option("--for", help="openevolve, skydiscover, shinka or gepa.")
    ],
    out: Annotated[Path, typer.Option(help="A new folder for the task.")],
) -> None:
    """Write a run's task in the shape of another framework; scores come through the run."""
    from autotts.discovery.interop import export

    written = export(run, framework, out)
    for path in written:
        say(f"wrote {path}")
    say(f"how to go on: {out / 'README.md'}")
