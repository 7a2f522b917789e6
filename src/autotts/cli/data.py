"""`autotts data`: import, regrade, check, upgrade, join and simulate replay stores."""

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.helping import group
from autotts.cli.screen import INTERRUPTED, say
from autotts.errors import SpecError, StoreError
from autotts.text import counted, percent

if TYPE_CHECKING:
    from autotts.simulation import SimulatedModel
    from autotts.stores import Store
    from autotts.stores.regrading import OnGraded

app = group("Import, regrade, check, join, split, add to, copy and simulate replay stores.")


class Kind(StrEnum):
    """When two answers are one vote, as `--equality` says it."""

    exact = "exact"
    math = "math"
    choice = "choice"
    code = "code"


Unreadable = Annotated[
    list[str] | None,
    typer.Option(
        help="Answer to treat as missing, whatever its case. Give the option several times"
        " for several answers. Default: empty, ERR, None, null, nan, [invalid]."
    ),
]


@contextlib.contextmanager
def _grading() -> "Iterator[OnGraded]":
    """A bar for comparing answers, which takes minutes where formulas are new."""
    with options.progress("comparing answers", None) as show:

        def on_graded(name: str, done: int, of: int) -> None:
            show(description=f"comparing answers of {name}", completed=done, total=of)

        try:
            yield on_graded
        except KeyboardInterrupt:
            say("stopped, and no store was written. Formulas that were compared are kept: the same"
                " command goes on from there.", err=True)  # fmt: skip
            raise typer.Exit(INTERRUPTED) from None


@app.command("import")
def import_(
    path: Annotated[
        Path, typer.Argument(help="File of recordings, or a folder that holds such files.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder to write to; each store becomes OUT/MODEL/DATASET.")
    ],
    format: Annotated[
        str | None,
        typer.Option(help="Layout of the files. By default it is recognised from their content."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Name of the model, if neither the file nor its path gives a good one."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Name of the dataset, if neither the file nor its path gives a good one."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="Which column of your samples holds what, such as gold=target. Give the option"
            " several times for several columns."
        ),
    ] = None,
    equality: Annotated[
        Kind | None,
        typer.Option(
            help="Rule by which two answers count as the same vote. The default is choice or"
            " math, depending on the answers, and exact for released recordings."
        ),
    ] = None,
    unreadable: Unreadable = None,
    reader: Annotated[
        str | None,
        typer.Option(
            help="Answer reader that finds the answers in responses; `autotts plugins` lists them."
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="Count tokens with this tokenizer.json where the recording has no counts."
        ),
    ] = None,
    chars_per_token: Annotated[
        float | None,
        typer.Option(
            help="Estimate tokens where there are no counts, by so many characters a token."
        ),
    ] = None,
    interval: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tokens in an interval, if the recording has no intervals. Default: 500, or"
            " fewer for short branches.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace stores that exist already.")] = False,
) -> None:
    """Write replay stores from recorded branches; docs/import.md describes the layouts it reads."""
    from autotts.stores import importing

    with _grading() as on_graded:
        understood = importing.read_recordings(
            path, format=format, model=model, dataset=dataset, columns=_columns(column or []),
            equality=equality.value if equality else None,
            unreadable=importing.UNREADABLE if unreadable is None else unreadable,
            reader=reader,
            tokenizer=tokenizer, chars_per_token=chars_per_token, interval_tokens=interval,
            on_graded=on_graded,
        )  # fmt: skip
    # A name that nobody wrote: of the folder that the file lies in, where the path names none.
    folder_name = path.resolve().parent.name if path.is_file() and len(path.parts) == 1 else ""
    for one in understood:
        for line in one.told:
            say(line)
        if folder_name and folder_name in one.store.key and folder_name not in (model, dataset):
            say(f"  {folder_name} is the name of this folder; --model and --dataset give others")
    for folder in importing.write_understood(understood, out, overwrite=overwrite):
        say(f"wrote {folder}")


def _columns(given: list[str]) -> dict[str, str]:
    """Options such as gold=target, by what is before the sign."""
    columns = {}
    for text in given:
        ours, sign, theirs = text.partition("=")
        if not (ours and sign and theirs):
            raise SpecError(f"--column {text}: gold=target was expected, ours before theirs")
        columns[ours] = theirs
    return columns


@app.command()
def gold(
    folder: Annotated[Path, typer.Argument(help="A store, such as one of live traffic.")],
    answers: Annotated[
        str,
        typer.Argument(
            help="File of questions with their true answers (.jsonl, .json, .csv, .parquet), or a"
            " preset of `autotts collect`. With ids a file needs no questions."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for OUT/MODEL/DATASET; the store is replaced without."),
    ] = None,
) -> None:
    """Give a store its true answers, which came later: by id, or by the question's text."""
    from autotts import stores
    from autotts.collect.questions import read_golds

    store = stores.load(folder)
    graded = stores.grade(store, read_golds(answers, by_text=store.ids is None))
    place = folder if out is None else stores.store_folder(out, store.model, store.dataset)
    right = graded.correct[graded.pool.exists].mean()
    written = stores.write(graded, place, overwrite=out is None)
    say(f"{store.name}: {percent(right)} % of branches right")
    say(f"wrote {written.path}")


@app.command()
def traffic(
    folder: Annotated[Path, typer.Argument(help="The folder of `autotts serve --record`.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for OUT/MODEL/traffic; the folder itself without.")
    ] = None,
) -> None:
    """Make a store of recorded traffic, while it is recorded or later; one of before is replaced.

    `drift` holds it against the store that the controller was chosen on, `data gold` gives it true
    answers by the ids of replies.
    """
    from autotts import stores
    from autotts.serve.traffic import traffic_store

    found = traffic_store(folder)
    store = found.store
    place = stores.store_folder(out or folder, store.model, store.dataset)
    written = stores.write(store, place, overwrite=True)
    say(f"{store.name}: {len(store.texts):,} requests")
    if found.left_out:
        others = "of another model or interval, or with other probes or signals"
        say(f"left out: {found.left_out:,} requests {others}")
    say(f"wrote {written.path}")


@app.command()
def regrade(
    folders: Annotated[list[Path], typer.Argument(help="Stores, or folders with stores below.")],
    equality: Annotated[Kind, typer.Option(help="When two answers are one vote.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for OUT/MODEL/DATASET; the stores are replaced without."),
    ] = None,
    unreadable: Unreadable = None,
) -> None:
    """Count votes and right answers again, by another equality, without sampling again."""
    from autotts import stores

    places = []
    for folder in stores.find(folders):
        store = stores.load(folder)
        with _grading() as on_graded:
            graded = stores.regrade(
                store, equality=equality.value, unreadable=unreadable, on_graded=on_graded
            )
        place = folder if out is None else stores.store_folder(out, store.model, store.dataset)
        places.append((graded, place))
        was, now = (each.correct[each.pool.exists].mean() for each in (store, graded))
        say(f"{store.name}: {percent(now)} % of branches right, {percent(was)} % before")
    for store in stores.write_all(places, overwrite=out is None):
        say(f"wrote {store.path}")


@app.command()
def check(
    folders: Annotated[list[Path], typer.Argument(help="Stores, or folders with stores below.")],
    equality: Annotated[
        Kind | None,
        typer.Option(help="Say too what this equality of answers would change, and leave it be."),
    ] = None,
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
        if equality is not None:
            with _grading() as on_graded:
                found = stores.disagreement(store, equality.value, on_graded)
            say(f"        {found}")
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


@app.command()
def join(
    folders: Annotated[list[Path], typer.Argument(help="Stores, one of each model.")],
    price: Annotated[
        str, typer.Option(help="Price of a token of each model, in their order: 0.6,1.7,4,8.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder to write to; the store becomes OUT/MODEL/DATASET.")
    ],
    model: Annotated[
        str, typer.Option(help='Name of the models together; default their names with "+".')
    ] = "",
    unit: Annotated[str, typer.Option(help="What prices are in, for people.")] = "",
    overwrite: Annotated[bool, typer.Option(help="Replace a store that exists already.")] = False,
) -> None:
    """Join stores of several models on one dataset, so that programs can choose a model."""
    from autotts import stores

    loaded = [stores.load(folder) for folder in stores.find(folders)]
    prices = [text.strip() for text in price.split(",")]
    joined = stores.join(loaded, prices, model=model, price_unit=unit)
    for number, one in enumerate(joined.pool.models):
        say(f"model {number} is {one.name}, at {one.price_text} a token")
    _write(joined, out, overwrite)


@app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Stores of one model and dataset.")],
    out: Annotated[
        Path, typer.Option(help="Folder to write to; the store becomes OUT/MODEL/DATASET.")
    ],
    overwrite: Annotated[bool, typer.Option(help="Replace a store that exists already.")] = False,
) -> None:
    """Merge stores of one model on one dataset: more branches, more questions, or both."""
    from autotts import stores

    _write(stores.merge([stores.load(folder) for folder in stores.find(folders)]), out, overwrite)


@app.command("map")
def map_(
    folders: Annotated[
        list[Path], typer.Argument(help="Stores with questions of one model and dataset.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder to write to; the store becomes OUT/MODEL/DATASET.")
    ],
    overwrite: Annotated[bool, typer.Option(help="Replace a store that exists already.")] = False,
) -> None:
    """Put stores together as one that is read from the disk as needed: larger than memory."""
    from autotts import stores
    from autotts.stores.mapped import put_together

    shards = stores.find(folders)
    first = stores.read_manifest(shards[0])
    folder = stores.store_folder(out, first.model, first.dataset)
    say(f"wrote {put_together(shards, folder, stores.load, overwrite=overwrite)}")


@app.command()
def split(
    folder: Annotated[Path, typer.Argument(help="A store.")],
    out: Annotated[Path, typer.Option(help="Folder for OUT/MODEL/DATASET-a and DATASET-b.")],
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the questions that the first part gets.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace stores that exist already.")] = False,
) -> None:
    """Split a store by question, at random, into one to search on and one to hold out."""
    from autotts import stores

    parts = stores.split(stores.load(folder), share, seed=seed)
    places = [(part, stores.store_folder(out, part.model, part.dataset)) for part in parts]
    for part in stores.write_all(places, overwrite=overwrite):
        say(f"wrote {part.path}: {counted(len(part.texts), 'question')}")


def _write(store: "Store", out: Path, overwrite: bool) -> None:
    from autotts import stores

    place = stores.store_folder(out, store.model, store.dataset)
    written = stores.write(store, place, overwrite=overwrite)
    questions, branches = store.pool.lengths.shape
    most = "up to " if store.manifest.branches_in_all else ""
    size = f"{counted(questions, 'question')} x {most}{counted(branches, 'branch')}"
    say(f"wrote {written.path}: {size}, {written.digest[:12]}")


@app.command()
def simulate(
    out: Annotated[
        Path, typer.Option(help="Folder to write to; the store becomes OUT/MODEL/DATASET.")
    ],
    like: Annotated[
        Path | None, typer.Option(help="Store that the new one is to resemble.")
    ] = None,
    model: Annotated[str, typer.Option(help="Model name to write.")] = "simulated",
    dataset: Annotated[str, typer.Option(help="Dataset name to write.")] = "sim",
    questions: Annotated[
        int | None, typer.Option(min=1, help="Questions; default 30, or as many as --like has.")
    ] = None,
    branches: Annotated[int, typer.Option(min=1, help="Branches per question.")] = 128,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed; the same seed gives the same store.")
    ] = 0,
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
    overwrite: Annotated[bool, typer.Option(help="Replace a store that exists already.")] = False,
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
