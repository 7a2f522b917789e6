"""`autotts diagnose`, `pool`, `tune` and `ablate`: why a controller scores as it does."""

import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.screen import console, say
from autotts.errors import SpecError
from autotts.text import counted

if TYPE_CHECKING:
    import polars as pl

    from autotts.evaluation import Execution, Experiment, Ran
    from autotts.evaluation.study.tuning import Tuning
    from autotts.programs import Spec
    from autotts.replay.driver import How
    from autotts.stores import Store

Place = Annotated[
    list[Path], typer.Argument(help="Stores, folders that hold stores, or the folder of one run.")
]
Stored = Annotated[Path | None, typer.Option("--out", help="Write the whole table here, as CSV.")]
_NONE = {
    "first_finishers": "a race takes 8 branches per question or more",
    "features": "it takes two questions or more that have right and wrong branches",
    "by_streak": "the recording has no probes",
    "onset": "the recording has no probes",
}
"""Why a table of a pool is empty."""
_SEARCHED = (
    "The frontier was run again for these figures, on the draws of the search and on fresh ones."
    " All other settings are unaudited."
)
OneController = Annotated[str, typer.Option("--controller", "-c", help="SPEC of the controller.")]


@options.giving_json
@options.evaluating(draws="reference:20")
def diagnose(
    place: Place,
    controller: Annotated[
        str | None,
        typer.Option(
            "--controller", "-c", help="SPEC of the controller to diagnose; not with a run."
        ),
    ] = None,
    round_: Annotated[
        int | None,
        typer.Option("--round", min=1, help="Diagnose the program of this round (runs only)."),
    ] = None,
    beta: Annotated[
        str, typer.Option(help="Betas to diagnose, separated by commas.")
    ] = "0,0.25,0.5,0.75,1",
    question: Annotated[
        int | None, typer.Option(min=0, help="Show this question only, by its number from 0.")
    ] = None,
    draw: Annotated[
        int | None,
        typer.Option(min=0, help="Show the episode of --question on this draw, from 0, in full."),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="SPEC of another controller, to say where the two differ.")
    ] = None,
    horizon: Annotated[
        int,
        typer.Option(
            min=1,
            help="How much longer an episode that stopped is played on, to see whether it would"
            " have come right: so many intervals of its branches, or so many further branches.",
        ),
    ] = 16,
    out: Stored = None,
    *,
    experiment: "Experiment",
    execution: "Execution",
    save: options.Save | None,
) -> None:
    """Say what went wrong in a controller's episodes, and what would have happened otherwise."""
    from autotts.diagnosis import digest, findings
    from autotts.evaluation import Evaluation
    from autotts.reports.frames import FrameTable
    from autotts.stores import gather

    options.check_file("--out", out)
    if draw is not None and question is None:
        raise SpecError("--draw needs --question: an episode is a draw of a question")
    if len(place) == 1 and (place[0] / "run.toml").is_file():
        loaded, spec, experiment = _of_run(place[0], round_, experiment.draws)
        more = f"autotts diagnose {place[0]} --round {round_}"
    else:
        spec = _of_stores(place, controller, round_)
        loaded, more = gather(place), f"autotts diagnose STORE -c {controller}"
    ran = _run(loaded, spec, beta, experiment, execution, question)
    found = findings.findings_of(ran, horizon=horizon)
    if save is not None:  # before anything is shown, which may fail
        made_by = Evaluation(ran, experiment, execution).made_by()
        save({"findings": options.rows(found), "made_by": made_by})
    options.print_remarks(ran)
    if out is not None:
        options.write_csv(found, out)
    if draw is not None:
        _print_episodes(ran, found, question, draw)
    elif question is not None:
        keys = ["model", "dataset", "beta"]
        table = findings.summarise(found, keys).drop("episodes", "reproduced")
        told = table[[s.name for s in table if s.null_count() < s.len()]]
        console().print(FrameTable(told, "verdicts", keys=len(keys)))
    else:
        other = None
        if against is not None:
            theirs = _run(loaded, options.parse_program(against), beta, experiment, execution, None)
            other = findings.findings_of(theirs, horizon=horizon)
        _print_markdown(digest.digest(found, ran, parent=other, more=more))


def _print_markdown(text: str) -> None:
    """Set where somebody looks on, as it is where it goes to a file or to another program."""
    screen = console()
    if not screen.is_terminal:
        say(text)
        return
    from autotts.reports.frames import markdown

    for part in markdown(text):
        screen.print(part)


def _of_stores(place: Sequence[Path], controller: str | None, number: int | None) -> "Spec":
    """The program to diagnose where no run was named."""
    if number is not None:
        raise SpecError(f"--round {number}: {place[0]} is no run (it has no run.toml)")
    if controller is None:
        raise SpecError("diagnose needs -c SPEC, or a run and --round N")
    return options.parse_program(controller)


def _of_run(folder: Path, number: int | None, draws: str) -> "tuple[list[Store], Spec, Experiment]":
    """The search stores of a run, the program of a round, and the run's rules with these draws."""
    from autotts import programs
    from autotts.discovery.run.folder import RunFolder
    from autotts.discovery.run.store_refs import open_stores

    run = RunFolder(folder)
    run.check_no_links()
    if number is None:
        raise SpecError(f"{folder} is a run: say which program with --round N")
    path = run.round(number) / "program.py"
    if not path.is_file():
        raise SpecError(f"--round {number}: the run has no {path}")
    experiment = run.settings.experiment(draws=draws)
    return open_stores(run.settings.stores), programs.parse(str(path)), experiment


def _run(
    stores: "Sequence[Store]",
    spec: "Spec",
    beta: str,
    experiment: "Experiment",
    execution: "Execution",
    question: int | None,
) -> "list[Ran]":
    import numpy as np

    from autotts.evaluation import run_cells

    pairs = None
    if question is not None:
        draws = experiment.task(stores[0]).orders.shape[1]
        least = min(len(store.gold) for store in stores)
        if question >= least:
            raise SpecError(f"question {question}: the stores have questions 0 to {least - 1}")
        pairs = np.stack([np.full(draws, question), np.arange(draws)], axis=1)
    return run_cells(
        stores, spec, options.parse_betas(beta), experiment=experiment,
        execution=replace(execution, traces=True), pairs=pairs,
    )  # fmt: skip


def _print_episodes(
    ran: "Sequence[Ran]", found: "pl.DataFrame", question: int | None, draw: int
) -> None:
    from autotts.diagnosis.episode_text import show

    draws = ran[0].task.orders.shape[1]
    if question is None or draw >= draws:
        raise SpecError(f"draw {draw}: there are draws 0 to {draws - 1}")
    for one in ran:
        say(show(one, found, question, draw))


@options.giving_json
def pool(stores: options.Stores, seed: options.Seed = 0, *, save: options.Save | None) -> None:
    """Print what the recordings of stores are like, whatever controller plays on them."""
    from autotts.diagnosis import pools
    from autotts.evaluation.result import store_record
    from autotts.reports.frames import FrameTable, side
    from autotts.stores import gather
    from autotts.version import __version__

    loaded = gather(stores)
    described = [pools.describe(store, seed=seed) for store in loaded]
    if save is not None:  # before anything is shown, which may fail
        tables = [{name: options.rows(frame) for name, frame in of.items()} for of in described]
        made_by = {
            "version": __version__,
            "stores": [store_record(store) for store in loaded],
            "seed": seed,
        }
        save({"pools": tables, "made_by": made_by})
    screen = console()
    for store, frames in zip(loaded, described, strict=True):
        say(store.name)
        for name, frame in frames.items():
            say(f"\n{name.replace('_', ' ')}")
            if frame.is_empty():
                say(f"  none: {_NONE[name]}")
                continue
            screen.print(FrameTable(side(frame) if name == "summary" else frame, name))


@options.giving_json
@options.evaluating(draws="subsets:20")
def tune(
    stores: options.Stores,
    controller: OneController,
    trials: Annotated[
        int, typer.Option(min=1, help="How many settings of the schedule to try.")
    ] = 500,
    out: Stored = None,
    *,
    experiment: "Experiment",
    execution: "Execution",
    save: options.Save | None,
) -> None:
    """Search over the constants of a program's schedule; print the frontier and what matters."""
    from autotts.evaluation.result import made_by
    from autotts.evaluation.study.tuning import tune as search
    from autotts.stores import gather

    options.check_file("--out", out)
    spec = options.parse_program(controller)
    loaded = gather(stores)
    with options.progress("settings", trials) as progress:
        found = search(
            loaded,
            spec,
            trials=trials,
            experiment=experiment,
            execution=execution,
            seed=experiment.seed,
            on_batch=lambda count: progress(completed=count),
        )
    if out is not None:
        options.write_csv(found.table, out)
    if save is not None:  # before anything is shown, which may fail
        made = made_by(loaded, [spec.source], [found.how], experiment, execution)
        winner = asdict(found.winner)
        save({"trials": options.rows(found.table), "winner": winner, "made_by": made})
    _print_tuning(found)


def _print_tuning(found: "Tuning") -> None:
    from autotts.reports.studies import frontier_rows, frontier_table, residuals_table

    screen = console()
    rows = frontier_rows(found.confirmed)
    settings = counted(len(found.trials), "setting")
    _say_wrapped(
        f"{settings}, {found.per_minute:,.0f} a minute, {len(found.confirmed)} of them on the"
        f" frontier; {len(rows)} of these, and the same on fresh draws (--out has all):"
    )
    screen.print(frontier_table(rows))
    say()
    _say_wrapped(found.winner.words)
    if not found.spec.source.trusted:
        _say_wrapped(_SEARCHED)
    say()
    _say_wrapped(
        "Mean distance from the frontier in points, by value and by tokens per question; what"
        " matters most first: a column is a range of tokens, 0 is on the frontier, less is below"
        " it."
    )
    screen.print(residuals_table(found.residuals()))


@options.giving_json
@options.evaluating(draws="subsets:20", timeout=60.0)
def ablate(
    stores: options.Stores,
    controller: OneController,
    beta: Annotated[
        str, typer.Option(help="Betas to sweep, separated by commas.")
    ] = "0,0.25,0.5,0.75,1",
    frozen_only: Annotated[
        bool,
        typer.Option("--frozen-only", help="Take out parameters only, which needs no sandbox."),
    ] = False,
    out: Stored = None,
    *,
    experiment: "Experiment",
    execution: "Execution",
    save: options.Save | None,
) -> None:
    """Take out each parameter and mechanism of a program in turn, on fresh draws."""
    import polars as pl

    from autotts.evaluation.result import made_by
    from autotts.evaluation.study.ablation import SEED
    from autotts.evaluation.study.ablation import ablate as run
    from autotts.reports.studies import ablation_table
    from autotts.stores import gather

    options.check_file("--out", out)
    spec = options.parse_program(controller)
    loaded = gather(stores)
    # Fresh draws: nothing was chosen on them, whatever seed was searched with.
    experiment = replace(experiment, seed=SEED + experiment.seed)
    hows: list[How] = []
    with options.progress("variants", None) as progress:
        table = run(
            loaded,
            spec,
            betas=options.parse_betas(beta) or (),
            experiment=experiment,
            execution=execution,
            on_ran=lambda ran: hows.append(ran.how),
            mechanisms=not frozen_only,
            on_variant=lambda name: progress(description=name),
        )
    if out is not None:
        options.write_csv(table, out)
    if save is not None:  # before anything is shown, which may fail
        made = made_by(loaded, [spec.source], hows, experiment, execution)
        save({"variants": options.rows(table), "made_by": made})
    _say_wrapped(
        "Without each, against the program: accuracy and frontier area (at equal tokens) in points,"
        " tokens in percent, with 95 % intervals; the most harmful first."
    )
    for audit in table["audit"].drop_nulls().unique(maintain_order=True).to_list():
        if audit:
            names = table.filter(pl.col("audit") == audit)["variant"].to_list()
            _say_wrapped(f"{', '.join(names)}: {audit}.")
    console().print(ablation_table(table))


def _say_wrapped(text: str) -> None:
    say("\n".join(textwrap.wrap(text, shutil.get_terminal_size().columns)))
