"""Whether a program does live what its store says."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.screen import console, say

if TYPE_CHECKING:
    from autotts.evaluation import Experiment
    from autotts.programs import Spec
    from autotts.serve.calibration import Forecast, Lived
    from autotts.stores import Store


@options.giving_json
def calibrate(
    store: Annotated[Path, typer.Argument(help="Store that was collected from the same model.")],
    upstream: Annotated[str, typer.Option(help="Address of the model server to play on.")],
    controller: options.Controllers,
    save: options.Save | None,
    beta: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="The controller's beta, from 0 (spends least) to 1 (spends most)."
        ),
    ] = 0.5,
    repetitions: Annotated[int, typer.Option(min=1, help="How often to play each question.")] = 2,
    at_once: Annotated[
        int, typer.Option(min=1, help="Most episodes to play at the same time.")
    ] = 8,
    max_branches: options.MaxBranches = 64,
    failed: options.Failed = "vote",
    seed: options.Seed = 0,
    record: Annotated[
        Path | None,
        typer.Option(
            help="Write the live episodes to a store below this folder. `trace` and `diagnose`"
            " read that store with --draws recorded."
        ),
    ] = None,
    unsafe: options.Unsafe = False,
) -> None:
    """Play the questions of a store live, and compare the results with the store's forecast.

    The forecast is an interval for accuracy, tokens and rounds of each controller. All of them hold
    in 95 of 100 runs, so a figure outside means that the store does not stand for what the server
    does now.
    """
    from autotts import programs
    from autotts.evaluation import Experiment
    from autotts.stores import load, store_folder, write

    recorded = load(store)
    experiment = Experiment(max_branches=max_branches, failed=failed, seed=seed)
    specs = [spec if spec.fixed else spec.at(beta) for spec in map(programs.parse, controller)]
    found, played = asyncio.run(
        _calibrate(recorded, upstream, specs, experiment, repetitions, at_once, unsafe=unsafe)
    )
    rows: list[dict[str, object]] = []
    for spec, lived, figures in zip(specs, played, found, strict=True):
        if record is not None:
            live = lived.store(recorded, spec, experiment)
            write(live, store_folder(record / spec.name, live.model, live.dataset))
        _show(spec, figures)
        rows += [{"controller": spec.text, "beta": spec.beta, **one.record()} for one in figures]
    say(f"Of runs like this one, 95 % have all {len(rows)} figures inside their intervals.")
    if save:
        save({"store": recorded.name, "digest": recorded.digest, "rows": rows})


async def _calibrate(
    store: "Store",
    upstream: str,
    specs: "Sequence[Spec]",
    experiment: "Experiment",
    repetitions: int,
    at_once: int,
    *,
    unsafe: bool,
) -> "tuple[list[list[Forecast]], list[Lived]]":
    from rich.progress import Progress

    from autotts.collect import plan_of
    from autotts.evaluation import Execution, Local
    from autotts.inference import connected
    from autotts.sandbox.live_run import suspending
    from autotts.serve.calibration import Questions, forecast

    plan = plan_of(store)
    played = []
    async with connected([upstream]) as (server,):
        questions = Questions(store, server, plan, experiment)
        with Progress(console=console(err=True), transient=True) as progress:
            for spec in specs:
                bar = progress.add_task(spec.text, total=len(store.gold) * repetitions)
                with suspending(spec, unsafe=unsafe) as suspend:
                    lived = await questions.play(
                        suspend,
                        repetitions,
                        at_once=at_once,
                        on_played=partial(progress.advance, bar),
                    )
                played.append(lived)
    with Local(Execution(unsafe=unsafe)) as driver:
        return forecast(store, list(zip(specs, played, strict=True)), experiment, driver), played


def _show(spec: "Spec", found: "list[Forecast]") -> None:
    say(f"{spec.text} at beta {spec.beta:g}")
    for one in found:
        scale, digits = (100, 1) if one.figure == "accuracy" else (1, 0 if one.high > 100 else 1)
        verdict = "as forecast" if one.holds else "NOT as forecast"
        say(
            f"  {one.figure:9} {scale * one.live:10,.{digits}f} live;"
            f" {scale * one.expected:,.{digits}f} expected"
            f" ({scale * one.low:,.{digits}f} … {scale * one.high:,.{digits}f}): {verdict}"
        )
