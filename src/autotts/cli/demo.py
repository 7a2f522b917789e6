"""`autotts demo`: the main job end to end, on simulated stores."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from autotts.cli.screen import console, say
from autotts.errors import RunError
from autotts.files import write_text

_MARKER = "demo.txt"
_MODELS = {"small": 0.35, "large": 0.55}
_SEEDS = {"search": 1, "held-out": 101}


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder to write; an earlier demo there is replaced.")
    ] = Path("runs/demo"),
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds the search has.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the search.")] = 0,
) -> None:
    """Discover a controller on simulated stores, judge it on held-out ones, and write a report."""
    from autotts.cli.discover import begin
    from autotts.cli.report import write_report
    from autotts.discovery.assembly import plan
    from autotts.simulation import simulate

    if out.exists():
        if not (out / _MARKER).is_file():
            raise RunError(f"{out} is there and is no demo; choose another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    write_text(out / _MARKER, "Written by `autotts demo`, and replaced by the next one.\n")
    say("Simulating two models on a search set and on a held-out set")
    for dataset, first_seed in _SEEDS.items():
        for k, (model, accuracy) in enumerate(_MODELS.items()):
            folder = simulate(
                out / "stores" / dataset, seed=first_seed + k, accuracy=accuracy, model=model,
                dataset=dataset,
            )  # fmt: skip
            say(f"wrote {folder}")
    settings, explorer = plan(
        out / "stores" / "search",
        held_out=out / "stores" / "held-out",
        name="demo",
        limits={"rounds": rounds},
        seed=seed,
        draws="reference:20",
    )
    run = out / "run"
    begin(run, settings, explorer, True)
    write_report(run, out / "report.html")
    _show_matters(run)


def _show_matters(run: Path) -> None:
    """Print what matters on the search stores of a run."""
    from rich.markdown import Markdown

    from autotts.discovery.run.folder import RunFolder

    console().print(Markdown(RunFolder(run).state.history.matters))
