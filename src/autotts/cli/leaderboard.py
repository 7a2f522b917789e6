"""`autotts leaderboard`: all controllers over all stores."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.screen import console, say
from autotts.errors import SpecError
from autotts.files import write_text

if TYPE_CHECKING:
    from autotts.evaluation import Execution, Experiment
    from autotts.evaluation.study.leaderboard import Leaderboard

_FORMATS = (".html", ".md", ".json")


@options.evaluating()
def leaderboard(
    stores: options.Stores,
    controller: Annotated[
        list[str] | None,
        typer.Option(
            "--controller",
            "-c",
            help="SPEC of a controller to rank. By default all controllers that come with autotts"
            " are ranked.",
        ),
    ] = None,
    objective: options.AnyObjective = "tokens",
    beta: Annotated[
        str, typer.Option(help="Betas to run every controller at, separated by commas.")
    ] = "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1",
    out: Annotated[
        list[Path] | None,
        typer.Option(
            help="Write the leaderboard to FILE.html, FILE.md or FILE.json. Give the option"
            " several times for several files."
        ),
    ] = None,
    server_model: options.ServerModel = None,
    *,
    experiment: "Experiment",
    execution: "Execution",
) -> None:
    """Rank all controllers over all stores: who is ahead, how surely, on which models."""
    from autotts.evaluation.study.leaderboard import leaderboard as run
    from autotts.reports.leaderboard import conclusion, left_out, table_of, title_of

    for path in out or ():
        options.check_file("--out", path)
        if path.suffix not in _FORMATS:
            raise SpecError(f"--out {path}: name a file that ends with {', '.join(_FORMATS)}")
    specs = [options.parse_program(text) for text in controller or ()]
    with options.parts() as on_part:
        found = run(
            stores, specs or None, objective=objective, server=options.read_server(server_model),
            betas=options.parse_betas(beta) or (),
            experiment=experiment, execution=execution, on_part=on_part,
        )  # fmt: skip
    for path in out or ():
        write_text(path, _as(path.suffix)(found))
    screen = console()
    for board in found.boards:
        say(f"{title_of(board, found)}. {conclusion(board)}")
        screen.print(table_of(board))
    for line in left_out(found):
        say(line)
    for path in out or ():
        say(f"wrote {path}", err=True)


def _as(suffix: str) -> "Callable[[Leaderboard], str]":
    """What writes a leaderboard for files that end so."""
    from autotts.reports import leaderboard as words
    from autotts.reports import leaderboard_page as page

    if suffix == ".json":
        return lambda found: json.dumps(found.record(), indent=1) + "\n"
    return page.build if suffix == ".html" else words.markdown
