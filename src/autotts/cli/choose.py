"""`autotts choose`: the beta to run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.screen import console, say
from autotts.errors import SpecError

if TYPE_CHECKING:
    from autotts.evaluation import Execution, Experiment
    from autotts.evaluation.study.choose import BetaChoice


@options.giving_json
@options.evaluating()
def choose(
    store: Annotated[
        Path, typer.Argument(help="A store of questions like those that will be asked.")
    ],
    controller: Annotated[
        str, typer.Option("--controller", "-c", help="SPEC of the controller, without a beta.")
    ],
    budget: Annotated[
        str | None,
        typer.Option(
            help="Most that a question may cost on average: 2000tokens, 900sequential for latency"
            " in tokens; with --server-model 10s or 0.02usd. The largest beta that surely keeps to"
            " it is chosen.",
        ),
    ] = None,
    accuracy: Annotated[
        float | None,
        typer.Option(
            help="The share of right answers to have, such as 0.6, in place of a budget: the"
            " smallest beta that surely has it is chosen.",
        ),
    ] = None,
    beta: Annotated[
        str | None, typer.Option(help="Betas to choose from; 0, 0.05 ... 1 by default.")
    ] = None,
    server_model: options.ServerModel = None,
    *,
    experiment: "Experiment",
    execution: "Execution",
    save: options.Save | None,
) -> None:
    """Say which beta to run for a budget or an accuracy, what it buys, and how sure that is.

    A mean is known from the store's questions only so well. The chosen beta keeps to the budget on
    other questions like them in 39 of 40 cases.
    """
    from autotts.evaluation.study import choose as study

    if (budget is None) == (accuracy is None):
        raise SpecError("give --budget 2000tokens or --accuracy 0.6, one of them")
    options.parse_program(controller)
    betas = options.parse_betas(beta) or study.BETAS
    with options.progress("episodes", len(betas)) as progress:
        found = study.choose(
            store, controller, betas=betas, accuracy=accuracy,
            budget=budget, server=options.read_server(server_model),
            experiment=experiment, execution=execution, on_ran=lambda _: progress(advance=1),
        )  # fmt: skip
    if save is not None:
        save(found.record())
    _print(found)
    if found.chosen is None:
        raise typer.Exit(1)


def _print(found: "BetaChoice") -> None:
    from autotts.evaluation.study.choose import told, words_of

    chosen, unit = found.chosen, words_of(found.objective)
    asked = f"{told(found.target)} {unit}" if found.by == "budget" else f"{found.target:.1%} right"
    if chosen is None:
        say(f"{found.controller} on {found.store}, for {asked}: no beta. {found.why}")
    else:
        say(f"{found.controller} on {found.store}, for {asked}: beta {chosen.beta:g}")
        rows = [("accuracy", chosen.accuracy, 100.0, " %"), (unit, chosen.spent, 1.0, "")]
        if found.objective != "tokens":
            rows.append(("tokens", chosen.tokens, 1.0, ""))
        for name, value, scale, sign in rows:
            low, estimate, high = (scale * v for v in (value.low, value.estimate, value.high))
            say(f"  {name:18}{told(estimate)}{sign}  (95 %: {told(low)} … {told(high)})")
        say(f"  one question in 20 spends {told(chosen.spent_by_dearest)} {unit} or more")
        keeps = "keeps to it" if found.by == "budget" else "has it"
        where = "on other questions like these too, in 39 of 40 cases"
        say(f"  {keeps} {where}" if found.assured else f"  as measured only: {found.why}")
    for remark in found.remarks:
        console().print(f"- {remark}", markup=False)
