"""`autotts drift`: whether live traffic is still like the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.screen import console, say
from autotts.text import percent

if TYPE_CHECKING:
    from autotts.evaluation.study.drift import Drift, Shift

DRIFTED = 3
"""Exit code for traffic that is no longer like the store."""


@options.giving_json
def drift(
    store: Annotated[Path, typer.Argument(help="The store that the controller was chosen on.")],
    live: Annotated[
        Path,
        typer.Argument(help="A store that `calibrate --record` or `data traffic` wrote."),
    ],
    save: options.Save | None,
    controller: Annotated[
        str | None,
        typer.Option(
            "--controller",
            "-c",
            help="SPEC of the traffic to compare; what most of it was served under by default.",
        ),
    ] = None,
    beta: Annotated[
        float | None, typer.Option(min=0, max=1, help="Beta of the traffic to compare.")
    ] = None,
    draws: options.Draws = "subsets:50",
) -> None:
    """Say whether live traffic still looks like the store, and when to collect anew.

    The controller is replayed on the store at the beta that the traffic was served at, so that
    both sides are cut short alike. Play the store's own questions (`calibrate --record`) to notice
    a model that became worse: among other questions it looks like harder ones. Exit code 3 means
    that something drifted.
    """
    from autotts.evaluation.study.drift import drift as compare

    found = compare(store, live, controller=controller, beta=beta, draws=draws)
    if save is not None:
        save(found.record())
    _print(found)
    if found.drifted:
        raise typer.Exit(DRIFTED)


def _print(found: "Drift") -> None:
    from autotts.evaluation.shown import FIGURES

    how = "the store's own questions" if found.same_questions else "other questions"
    _wrapped(
        f"{found.controller} at beta {found.beta:g}: {found.requests:,} requests, {how}"
        f" ({found.questions:,}), against {found.store}"
    )
    say(f"  {'':11}{'stored':>10}{'live':>10}{'change':>14}")
    for one in found.shifts:
        say(f"  {one.figure:11}{_words(one)}{'  DRIFTED' if one.drifted else ''}")
    noticed = ", ".join(f"{one.figure} {_noticed(one)}" for one in found.shifts)
    _wrapped(f"Noticed in 9 of 10 comparisons of this size: {noticed}")
    for line in found.left_out:
        _wrapped(f"left out: {line}")
    names = ", ".join(f"{one.figure} ({FIGURES[one.figure]})" for one in found.drifted)
    if names:
        verdict = f"The traffic is no longer like the store: {names}. Collect anew."
        if not found.same_questions:
            verdict += (
                " Other questions may be the reason as well as another model; `calibrate --record`"
                " plays the store's own and tells the two apart."
            )
    else:
        verdict = (
            "Nothing drifted beyond chance; what the intervals leave open can't be told from so few"
            " requests."
        )
    _wrapped(verdict)


def _wrapped(text: str) -> None:
    console().print(text, markup=False, highlight=False)


def _words(one: "Shift") -> str:
    from autotts.evaluation.shown import LOGS

    if one.figure in LOGS:
        return (
            f"{one.stored:10,.0f}{one.live:10,.0f}{one.change:+14.1%}"
            f"  ({one.low:+.1%} … {one.high:+.1%})"
        )
    return (
        f"{one.stored:10.1%}{one.live:10.1%}{percent(one.change, '+7.1f')} points"
        f"  ({percent(one.low, '+.1f')} … {percent(one.high, '+.1f')})"
    )


def _noticed(one: "Shift") -> str:
    from autotts.evaluation.shown import LOGS

    return f"{one.noticed:.1%}" if one.figure in LOGS else f"{percent(one.noticed)} points"
