"""`autotts data`: import, check, upgrade, list and simulate replay stores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli.screen import console, say
from autotts.errors import SpecError, StoreError
from autotts.text import counted

if TYPE_CHECKING:
    from autotts.simulation import SimulatedModel

app = typer.Typer(
    help="Import, check, upgrade, list and simulate replay stores.", no_args_is_help=True
)


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="PATH/MODEL/DATASET.json files, or one file.")],
    out: Annotated[Path, typer.Option(help="Folder for OUT/MODEL/DATASET stores.")],
    model: Annotated[
        str | None, typer.Option(help="Model of one file; default its folder.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Dataset of one file; default its name.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace stores that are there.")] = False,
) -> None:
    """Import recorded branches in the JSON layout of the AutoTTS release."""
    from autotts import stores

    written = stores.import_released(path, out, model=model, dataset=dataset, overwrite=overwrite)
    for folder in written:
        say(f"wrote {folder}")


@app.command()
def check(
    folders: Annotated[list[Path], typer.Argument(help="Stores, or folders with stores below.")],
) -> None:
    """Check stores: schema, digests, shapes. Exit code 1 if one is damaged."""
    from autotts import stores

    damaged = 0
    for folder in stores.find(folders):
        try:
            store = stores.check(folder)
        except StoreError as error:
            damaged += 1
            say(f"damaged {error}", err=True)
            continue
        questions, branches = store.pool.lengths.shape
        fewest = int(store.pool.n_branches.min())
        least = "" if fewest == branches else f"{fewest} to "
        size = f"{counted(questions, 'question')} x {least}{counted(branches, 'branch')}"
        say(f"sound   {folder}: {size}, {store.digest[:12]}")
    if damaged:
        raise typer.Exit(1)


@app.command()
def upgrade(
    folders: Annotated[list[Path], typer.Argument(help="Stores, or folders with stores below.")],
) -> None:
    """Rewrite stores in the present schema version. Their digests stay."""
    from autotts import stores
    from autotts.stores.manifest import SCHEMA_VERSION

    for folder in stores.find(folders):
        if stores.read_manifest(folder).schema_version == SCHEMA_VERSION:
            say(f"{folder} has schema version {SCHEMA_VERSION} already")
            continue
        store = stores.load(folder)
        stores.write(store, folder, overwrite=True)
        say(f"upgraded {folder} to schema version {SCHEMA_VERSION}, digest {store.digest[:12]}")


@app.command("list")
def list_(
    folders: Annotated[list[Path], typer.Argument(help="Stores, or folders with stores below.")],
) -> None:
    """List stores: what they hold and where they come from."""
    from rich.table import Table

    from autotts import stores

    table = Table(box=None, pad_edge=False)
    for column in ("model", "dataset", "questions", "branches", "interval", "billing", "digest"):
        right = column in ("questions", "branches", "interval")
        table.add_column(column, justify="right" if right else "left")
    for folder in stores.find(folders):
        manifest = stores.read_manifest(folder)
        table.add_row(
            manifest.model,
            manifest.dataset,
            str(manifest.questions),
            f"{'up to ' if manifest.branches_in_all else ''}{manifest.branches}",
            str(manifest.interval_tokens),
            manifest.billing,
            manifest.digest[:12],
        )
    console().print(table)


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for OUT/MODEL/DATASET.")],
    like: Annotated[Path | None, typer.Option(help="Store whose parameters to fit.")] = None,
    model: Annotated[str, typer.Option(help="Model name to write.")] = "simulated",
    dataset: Annotated[str, typer.Option(help="Dataset name to write.")] = "sim",
    questions: Annotated[
        int | None, typer.Option(min=1, help="Questions; default 30, or as many as --like has.")
    ] = None,
    branches: Annotated[int, typer.Option(min=1, help="Branches per question.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generator.")] = 0,
    slope: Annotated[
        float | None,
        typer.Option(
            help="How much likelier a question's longest branch is to be right than its shortest:"
            " -0.4 makes short answers the right ones. As it comes by default."
        ),
    ] = None,
    signal: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=AUC: record a signal whose last value tells right branches from wrong ones"
            " of their question this well. May be given several times."
        ),
    ] = None,
    with_model: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME:ACCURACY:PRICE of one of several models whose branches the store holds, such"
            " as small:0.4:0.6. Give two or more."
        ),
    ] = None,
    probes: Annotated[
        bool, typer.Option(help="Whether answers are known at each interval, or at the end only.")
    ] = True,
    family: Annotated[str, typer.Option(help="Family of the model, for leaderboards.")] = "",
    overwrite: Annotated[bool, typer.Option(help="Replace a store that is there.")] = False,
) -> None:
    """Write a synthetic store from a seeded generative model of recorded branches."""
    from autotts import simulation, stores

    fitted = stores.load(like) if like else None
    folder = simulation.simulate(
        out, questions=questions or (len(fitted.texts) if fitted else 30),
        branches=branches, seed=seed, like=fitted, model=model, dataset=dataset, slope=slope,
        signals=dict(_named_share("--signal", text) for text in signal or ()),
        models=[_simulated_model(text) for text in with_model or ()],
        probes=probes, family=family, overwrite=overwrite,
    )  # fmt: skip
    say(f"wrote {folder}")


def _named_share(option: str, text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        return name, float(share)
    except ValueError as error:
        raise SpecError(f"{option} {text}: write NAME=NUMBER, such as confidence=0.7") from error


def _simulated_model(text: str) -> "SimulatedModel":
    from autotts.simulation import SimulatedModel

    try:
        name, accuracy, price = text.split(":")
        return SimulatedModel(name, float(accuracy), price)
    except ValueError as error:
        raise SpecError(
            f"--with-model {text}: write NAME:ACCURACY:PRICE, such as small:0.4:0.6"
        ) from error
