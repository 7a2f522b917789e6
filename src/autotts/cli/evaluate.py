"""`autotts evaluate`: controllers over stores."""

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.screen import console, say
from autotts.errors import ControllerError, SpecError
from autotts.files import whole

if TYPE_CHECKING:
    from autotts.evaluation import Evaluation, Execution, Experiment, Ran
    from autotts.evaluation.winner import Winner
    from autotts.inference.speed import ServerSpeed
    from autotts.programs import Spec
    from autotts.replay.driver import Driver
    from autotts.stores import Store


@options.giving_json
@options.evaluating()
def evaluate(
    stores: options.Stores,
    controller: options.Controllers,
    beta: Annotated[
        str | None, typer.Option(help="Betas to sweep, such as 0,0.5,1; default 0.5.")
    ] = None,
    traces: Annotated[
        Path | None, typer.Option(help="Write every step of every episode here, as Parquet.")
    ] = None,
    server_model: options.ServerModel = None,
    *,
    experiment: "Experiment",
    execution: "Execution",
    save: options.Save | None,
) -> None:
    """Evaluate controllers on stores: accuracy with its interval, and tokens."""
    from autotts.evaluation.run import opened
    from autotts.stores import gather

    options.check_folder("--traces", traces)
    for text in controller:
        if controller.count(text) > 1:
            raise SpecError(f"-c {text}: a controller is named twice")
    execution = replace(execution, traces=traces is not None)
    specs = [options.parse_program(text) for text in controller]
    loaded, betas = gather(stores), options.parse_betas(beta)
    server = options.read_server(server_model)
    with opened(None, execution) as driver:
        evaluation = _run(loaded, specs, betas, experiment, execution, driver, traces, server)
        best = _best(evaluation, driver) if len(evaluation.specs) > 1 else None
    if save is not None:  # before anything is shown, which may fail
        save(evaluation.record(winner=best and asdict(best)))
    _print(evaluation)
    if best is not None:
        console().print(best.words)


def _run(
    stores: "Sequence[Store]",
    specs: "Sequence[Spec]",
    betas: Sequence[float] | None,
    experiment: "Experiment",
    execution: "Execution",
    driver: "Driver",
    traces: Path | None,
    server: "ServerSpeed | None",
) -> "Evaluation":
    """Evaluate, showing how far it is and writing each trace as it is there."""
    from autotts.evaluation import evaluate as run
    from autotts.evaluation.run import at_betas

    total = len(stores) * sum(len(at_betas(spec, betas)) for spec in specs)
    with options.progress("episodes", total) as progress:

        def show(ran: "Ran") -> None:
            if traces is not None:
                write_trace(traces, ran)
            progress(advance=1, description=f"{ran.spec.text} on {ran.store.model}")

        return run(
            stores, specs, betas=betas, experiment=experiment, execution=execution, driver=driver,
            on_ran=show, server=server,
        )  # fmt: skip


def _print(evaluation: "Evaluation") -> None:
    from autotts.reports.tables import evaluation_table

    console().print(evaluation_table(evaluation.results()))
    options.print_remarks(evaluation.ran)
    for text, how in {ran.spec.text: ran.how for ran in evaluation.ran}.items():
        if how.reason:
            say(f"{text} ran {how.driver}, slower: {how.reason}", err=True)


def _best(evaluation: "Evaluation", driver: "Driver") -> "Winner | None":
    """The most accurate setting on fresh draws; what was evaluated stands, even if that fails."""
    from autotts.evaluation.winner import winner_of

    try:
        return winner_of(evaluation, driver=driver)
    except ControllerError as error:
        say(f"the most accurate fails on fresh draws: {error}", err=True)
        return None


def write_trace(folder: Path, ran: "Ran") -> None:
    """Write the trace of a cell to a file of its own in `folder`.

    Its name says the program, by its digest too where a path may hold another of that name, and all
    that was set.
    """
    from autotts.programs import built_in

    folder.mkdir(parents=True, exist_ok=True)
    spec = ran.spec
    ours = spec.source.trusted and spec.name in built_in()
    settings = [f"{name}={value!r}" for name, value in sorted(spec.named.items())]
    words = [
        spec.name, *([] if ours else [spec.source.digest[:8]]), *settings, f"beta{spec.beta!r}",
        ran.store.model, ran.store.dataset,
    ]  # fmt: skip
    name = re.sub(r"[^\w.=+-]", "-", "-".join(words))
    with whole(folder / f"{name}.parquet") as file:
        ran.trace().write_parquet(file, compression="zstd")


def controllers() -> None:
    """List the controllers that come with autotts."""
    import ast

    from autotts import programs

    for name in programs.built_in():
        text = ast.get_docstring(ast.parse(programs.find(name).text)) or ""
        say(f"{name:16} {text.splitlines()[0].rstrip('.')}")
