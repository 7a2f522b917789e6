"""`autotts evaluate`: controllers over stores."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.screen import console, say
from autotts.errors import ControllerError, SpecError
from autotts.files import whole

if TYPE_CHECKING:
    from autotts.evaluation import Cell, Evaluation, Settings
    from autotts.evaluation.winner import Winner
    from autotts.programs import Spec
    from autotts.stores import Store


def evaluate(
    stores: options.Stores,
    controller: options.Controllers,
    beta: Annotated[
        str | None, typer.Option(help="Betas to sweep, such as 0,0.5,1; default 0.5.")
    ] = None,
    draws: options.Draws = "reference:100",
    budget: options.Budget = None,
    probe_tokens: options.ProbeTokens = 0,
    max_branches: options.MaxBranches = 64,
    failed: options.Failed = "vote",
    seed: options.Seed = 0,
    jobs: options.Jobs = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds for a program given by path, per store and beta.")
    ] = 600.0,
    json: Annotated[Path | None, typer.Option(help="Write results here as JSON.")] = None,
    traces: Annotated[
        Path | None, typer.Option(help="Write every step of every episode here, as Parquet.")
    ] = None,
    audit: Annotated[
        int, typer.Option(min=0, help="Episodes of a program by path to replay blind; 0 for none.")
    ] = 600,
    unsafe_no_sandbox: options.Unsafe = False,
) -> None:
    """Evaluate controllers on stores: accuracy with its interval, and tokens."""
    from autotts import programs

    options.check_file("--json", json)
    options.check_folder("--traces", traces)
    for text in controller:
        if controller.count(text) > 1:
            raise SpecError(f"-c {text}: a controller is named twice")
    settings = options.settings(
        draws, budget, probe_tokens, max_branches, failed, seed,
        jobs=jobs, timeout_seconds=timeout, traces=traces is not None, audit=audit,
        unsafe=unsafe_no_sandbox,
    )  # fmt: skip
    specs = [programs.parse(text) for text in controller]
    evaluation = _run(
        options.load_stores(stores), specs, options.parse_betas(beta), settings, traces
    )
    best = _best(evaluation)
    if json is not None:  # before anything is shown, which may fail
        evaluation.write_json(json, winner=best and asdict(best))
    _print(evaluation)
    if best is not None:
        console().print(best.words)
    if json is not None:
        say(f"wrote {json}", err=True)


def _run(
    stores: "Sequence[Store]",
    specs: "Sequence[Spec]",
    betas: Sequence[float] | None,
    settings: "Settings",
    traces: Path | None,
) -> "Evaluation":
    """Evaluate, showing how far it is and writing each trace as it is there."""
    from autotts.evaluation import evaluate as run
    from autotts.evaluation.evaluation import sweep

    with options.progress() as progress:
        cells = progress.add_task("episodes", total=len(stores) * len(sweep(specs, betas)))

        def show(cell: "Cell") -> None:
            if traces is not None:
                write_trace(traces, cell, settings)
            progress.advance(cells)
            progress.update(cells, description=f"{cell.spec.text} on {cell.store.model}")

        return run(stores, specs, betas=betas, settings=settings, on_cell=show)


def _print(evaluation: "Evaluation") -> None:
    from autotts.reports.tables import evaluation_table

    console().print(evaluation_table(evaluation.results()))
    slower = {cell.spec.text: cell for cell in evaluation.cells if "reason" in cell.notes}
    for text, cell in slower.items():
        say(f"{text} ran {cell.driver}, slower: {cell.notes['reason']}", err=True)


def _best(evaluation: "Evaluation") -> "Winner | None":
    """The most accurate setting on fresh draws; what was evaluated stands, even if that fails."""
    from autotts.evaluation.winner import winner_of

    try:
        return winner_of(evaluation)
    except ControllerError as error:
        say(f"the most accurate fails on fresh draws: {error}", err=True)
        return None


def write_trace(folder: Path, cell: "Cell", settings: "Settings") -> None:
    """Write the trace of a cell to a file of its own in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{cell.spec.name}-beta{cell.spec.beta:g}-{cell.store.model}-{cell.store.dataset}"
    with whole(folder / f"{name}.parquet") as file:
        cell.trace(settings).write_parquet(file, compression="zstd")


def controllers() -> None:
    """List the controllers that come with autotts."""
    import ast

    from autotts import programs

    for name in programs.built_in():
        text = ast.get_docstring(ast.parse(programs.find(name).text)) or ""
        say(f"{name:16} {text.splitlines()[0].rstrip('.')}")
