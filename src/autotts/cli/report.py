"""`autotts report`, `view`, `plot` and `compare`: results that a person can look at."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from autotts.cli import options
from autotts.cli.screen import answer_until_interrupted, console, say

if TYPE_CHECKING:
    from autotts.evaluation import Execution, Experiment, Ran
    from autotts.evaluation.study.comparison import Comparison

Target = Annotated[
    Path, typer.Argument(help="A run's folder, or a file of `autotts evaluate --json`.")
]
Stores = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Stores of a results file, from which questions and episodes are added.",
        metavar="STORES",
    ),
]
Replay = Annotated[
    bool, typer.Option(help="For a run: whether to replay some episodes, or to show its log alone.")
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        help="Allow a results file to name code that runs with your rights: reference:PATH"
        " and modules by import path.",
    ),
]


def _beside(stores: list[Path] | None, option: list[Path] | None) -> list[Path] | None:
    """The stores to read beside a results file, None where none was named."""
    return options.named_stores(stores, option) if stores or option else None


def report(
    target: Target,
    stores: Stores = None,
    stores_option: options.StoresOption = None,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    replay: Replay = True,
    yes: Yes = False,
) -> None:
    """Write a report: one HTML file that opens anywhere, without a network."""
    options.check_file("--out", out)
    found = _beside(stores, stores_option)
    write_report(target, out, stores=found, replay=replay, trust=yes)


def write_report(target: Path, out: Path, **how: Any) -> None:
    """Write a report, showing what is computed, and say that it is there; see `reports.report`."""
    from autotts import reports

    with options.parts() as on_part:
        reports.report(target, out, on_part=on_part, **how)
    say(f"wrote {out}, {out.stat().st_size / 1e6:.1f} MB")


def view(
    target: Annotated[
        Path,
        typer.Argument(
            help="A run's folder, a file of `autotts evaluate --json`, or a folder of these, of"
            " stores and of traces."
        ),
    ],
    stores: Stores = None,
    stores_option: options.StoresOption = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to serve on; 0 takes a free one.")
    ] = 0,
    yes: Yes = False,
) -> None:
    """Serve a report to a browser on this machine; the page follows a run that is at work.

    A folder of runs, evaluations, stores and live traces is listed, to search and to look into.
    """
    from autotts.reports import report_on
    from autotts.reports.server import Followed, LoopbackServer

    found = _beside(stores, stores_option)
    if target.is_dir() and not (target / "run.toml").exists() and found is None:
        from autotts.play.viewer import FolderAnswers

        answer = FolderAnswers(target).answer
    else:
        from autotts.play.viewer import version_of

        followed = target / "events.jsonl" if target.is_dir() else target
        # What is live is read from the log alone, so that looking costs the run nothing.
        source = Followed(
            lambda: report_on(target, found, replay=False, trust=yes), lambda: version_of(followed)
        )
        source.current()
        answer = source.answer
    with LoopbackServer(answer, port=port) as server:
        answer_until_interrupted(server)


def plot(
    target: Target,
    stores: Stores = None,
    stores_option: options.StoresOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("figures"),
    replay: Replay = True,
    store: Annotated[
        str | None, typer.Option(help="MODEL/DATASET of the curves; their mean by default.")
    ] = None,
    formats: Annotated[
        str, typer.Option(help="Formats to write, separated by commas: png, svg, pdf.")
    ] = "png",
    theme: Annotated[
        Literal["light", "dark"],
        typer.Option(help="Colours: light for paper, dark for a dark slide."),
    ] = "light",
    yes: Yes = False,
) -> None:
    """Write figures, as PNG or for a paper: curves, latency, questions, waste, an episode."""
    from autotts.reports import plot as draw

    options.check_folder("--out", out)
    found = _beside(stores, stores_option)
    with options.parts() as on_part:
        written = draw(
            target, out, stores=found, replay=replay, store=store, formats=formats.split(","),
            theme=theme, trust=yes, on_part=on_part,
        )  # fmt: skip
    for path in written:
        say(f"wrote {path}")


@options.giving_json
@options.evaluating()
def compare(
    a: Annotated[str, typer.Argument(help="SPEC of one controller.")],
    b: Annotated[str, typer.Argument(help="SPEC of the other.")],
    stores: options.SomeStores = None,
    stores_option: options.StoresOption = None,
    beta: Annotated[
        str, typer.Option(help="Betas to sweep, separated by commas.")
    ] = "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1",
    objective: options.AnyObjective = "tokens",
    server_model: options.ServerModel = None,
    *,
    experiment: "Experiment",
    execution: "Execution",
    save: options.Save | None,
) -> None:
    """Compare two controllers at equal tokens and at equal accuracy, question by question.

    With `--objective seconds` they are compared at equal seconds, and so on.
    """
    from autotts.evaluation.study.comparison import compare as run
    from autotts.reports.tables import acceptance_line, comparison_table, saving_table

    for text in (a, b):
        options.parse_program(text)
    found = run(
        a, b, options.named_stores(stores, stores_option), betas=options.parse_betas(beta) or (),
        objective=objective, server=options.read_server(server_model), experiment=experiment,
        execution=execution,
    )  # fmt: skip
    if save is not None:  # before anything is shown, which may fail
        save(_record(found))
    screen = console()
    reference = _votes(found.evaluation.ran)
    screen.print(
        comparison_table(found.at_tokens, a=a, b=b, reference=reference, objective=objective)
    )
    screen.print()
    screen.print(saving_table(found.at_accuracy, a=a, b=b, objective=objective))
    screen.print()
    screen.print(acceptance_line(found.area))
    options.print_remarks(found.evaluation.ran)
    if found.winner is not None:
        screen.print(found.winner.words)


def _votes(ran: "Sequence[Ran]") -> str:
    """What budgets are shares of: a vote of all the branches that episodes may open."""
    widths = sorted({min(64, one.task.ceiling) for one in ran})
    return " to ".join(f"SC@{width}" for width in dict.fromkeys((widths[0], widths[-1])))


def _record(found: "Comparison") -> dict[str, Any]:
    """A comparison for JSON; accuracies and areas are in percent, their differences in points."""
    from autotts.evaluation.statistics import in_percent

    return found.evaluation.record(
        objective=found.objective,
        at_tokens=options.rows(found.at_tokens),
        at_accuracy=options.rows(found.at_accuracy),
        area=asdict(replace(found.area, difference=in_percent(found.area.difference))),
        winner=found.winner and asdict(found.winner),
    )
