"""Options that several commands share."""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli.screen import console
from autotts.errors import SpecError
from autotts.files import whole

if TYPE_CHECKING:
    import polars as pl

    from autotts.evaluation import Ran
    from autotts.reports.model import OnPart
    from autotts.stores import Store

_STORES = "Store folders, folders that hold stores, or a quoted pattern."
Stores = Annotated[list[Path], typer.Argument(help=_STORES)]
SomeStores = Annotated[list[Path] | None, typer.Argument(help=_STORES, metavar="STORES")]
StoresOption = Annotated[
    list[Path] | None, typer.Option("--stores", help="The same as naming STORES as arguments.")
]
Controllers = Annotated[
    list[str],
    typer.Option(
        "--controller",
        "-c",
        help="SPEC: NAME[:key=value,...], path/program.py[:...], which runs sealed, or"
        " reference:path/method.py:CLASS[:...], which runs with your rights.",
    ),
]
Draws = Annotated[str, typer.Option(help="reference:N or subsets:N.")]
Budget = Annotated[int | None, typer.Option(min=1, help="Tokens an episode may spend.")]
ProbeTokens = Annotated[int, typer.Option(min=0, help="Tokens that a probe costs.")]
MaxBranches = Annotated[int, typer.Option(min=1, help="Most branches an episode may open.")]
Failed = Annotated[str, typer.Option(help="What a failed extraction does: vote or abstain.")]
Seed = Annotated[int, typer.Option(min=0, help="Of subsets draws and of the bootstrap.")]
Unsafe = Annotated[
    bool,
    typer.Option("--unsafe-no-sandbox", help="Run a program even where no process can be sealed."),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Threads; all cores by default.")]


def print_audits(ran: "Iterable[Ran]") -> None:
    """Say of every program that is somebody else's what its figures are worth."""
    for text, how in {one.spec.text: one.how for one in ran}.items():
        if how.words:
            console().print(f"{text} was {how.words}")


def check_file(option: str, path: Path | None) -> None:
    """See to it that a file can be written there, before anything is computed for it."""
    if path is None:
        return
    if path.is_dir():
        raise SpecError(f"{option} {path}: that is a folder; name a file")
    if not path.resolve().parent.is_dir():
        raise SpecError(f"{option} {path}: there is no folder {path.parent}")
    _check_writable(option, path, path.resolve().parent)


def check_folder(option: str, path: Path | None) -> None:
    """See to it that a folder is or can be made there, before anything is computed for it."""
    if path is None:
        return
    there = next(folder for folder in (path, *path.resolve().parents) if folder.exists())
    if not there.is_dir():
        raise SpecError(f"{option} {path}: {there} is a file; name a folder")
    _check_writable(option, path, there)


def _check_writable(option: str, path: Path, folder: Path) -> None:
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise SpecError(f"{option} {path}: nothing can be written to {folder}") from error


def write_csv(frame: "pl.DataFrame", path: Path) -> None:
    """Write a table whole or not at all."""
    with whole(path) as file:
        frame.write_csv(file)


@contextlib.contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A bar for whoever looks on at a terminal, gone at the end.

    Gives what moves it: called with `advance`, `completed` or `description`, as rich's `update`.
    """
    screen = console(err=True)
    if not screen.is_terminal:
        yield lambda **_: None
        return
    from rich.progress import Progress

    with Progress(console=screen, transient=True) as shown:
        yield functools.partial(shown.update, shown.add_task(description, total=total))


@contextlib.contextmanager
def parts() -> "Iterator[OnPart]":
    """Shows, to whoever looks on at a terminal, what is being computed."""
    with progress("reading", None) as show:
        yield lambda part: show(description=part)


def named_stores(stores: Sequence[Path] | None, option: Sequence[Path] | None) -> list[Path]:
    """The stores that a command was given, as arguments and by `--stores`.

    Raises:
        SpecError: none was given.
    """
    named = [*(stores or ()), *(option or ())]
    if not named:
        raise SpecError("no store was named: give a store folder, a folder of stores or a pattern")
    return named


def load_stores(folders: Sequence[Path]) -> "list[Store]":
    """Every store at or below these folders."""
    from autotts import stores

    return [stores.load(folder) for folder in stores.find(folders)]


def parse_betas(text: str | None) -> list[float] | None:
    """Betas from `0,0.5,1`."""
    from autotts.programs import parse_beta

    if text is None:
        return None
    betas = [parse_beta(part) for part in text.split(",")]
    if len(set(betas)) != len(betas):
        raise SpecError(f"--beta {text}: a beta is named twice")
    return betas
