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
        Path | None,
        typer.Option(help="The program; by default program.py of the run, or of its open round."),
    ] = None,
    proposal: Annotated[
        Path | None,
        typer.Option(help="The words to it; by default proposal.md beside the program."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the verdict, and print it with the digest.")
    ] = False,
) -> None:
    """Hand in a program for the next round of a run whose explorer is `files`."""
    from autotts.discovery.explorers.files import await_verdict, find_submission
    from autotts.discovery.explorers.files import submit as hand_in

    program = program or find_submission(run)
    beside = program.parent / "proposal.md"
    number, place = hand_in(run, program, proposal or (beside if beside.is_file() else None))
    say(f"submitted {program} for round {number}: {place}")
    if not wait:
        say(f"it is taken by the run at work, or by: autotts discover --resume {run}")
        return
    trial, verdict = await_verdict(run, number, program.read_text(encoding="utf-8-sig"))
    say("\n".join(verdict))
    if trial.digest:
        say(f"\n{trial.digest}")
    if trial.errors:
        raise typer.Exit(1)


def try_(
    programs: Annotated[
        list[str],
        typer.Argument(
            help="Controller programs, such as mine.py, or mine.py:width=8 to put a constant in"
            " the schedule."
        ),
    ],
    run: Annotated[
        Path | None,
        typer.Option(help="A run at work; while it scores a round, the command waits for it."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print each answer as a line of JSON.")
    ] = False,
) -> None:
    """Score programs quickly on a run's search set, through the run's own scorer."""
    from autotts.discovery.agents import scorer_client
    from autotts.discovery.agents.scorer_waiting import await_scorer

    where = (
        scorer_client.find_socket()
        if run is None
        else await_scorer(run, lambda t: say(t, err=True))
    )
    if not where.exists():
        raise SpecError(
            f"no scorer at {where}: try works in an agent's workspace, or with --run RUN while"
            " `autotts discover RUN --explorer files` waits"
        )
    raise typer.Exit(scorer_client.try_programs(programs, where, json, say))


def mcp(run: Run) -> None:
    """Offer a run whose explorer is `files` to any agent by MCP, on standard input and output."""
    from autotts.discovery.interop.mcp_server import serve

    serve(run)


def export_task(
    run: Run,
    framework: Annotated[
        str, typer.Option("--for", help="The framework: openevolve, skydiscover, shinka or gepa.")
    ],
    out: Annotated[Path, typer.Option(help="A new folder for the task.")],
) -> None:
    """Write a run's task in the shape of another framework; scores come through the run."""
    from autotts.discovery.interop import export

    written = export(run, framework, out)
    for path in written:
        say(f"wrote {path}")
    say(f"how to go on: {out / 'README.md'}")
