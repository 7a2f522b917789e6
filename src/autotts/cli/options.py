"""Options that several commands share."""

import ast
import contextlib
import functools
import inspect
import json as json_
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from autotts.cli.screen import console, say
from autotts.errors import SpecError
from autotts.files import whole, write_text

if TYPE_CHECKING:
    import polars as pl

    from autotts.evaluation import Ran
    from autotts.inference.speed import ServerSpeed
    from autotts.programs import Spec
    from autotts.reports.model import OnPart

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
Draws = Annotated[
    str,
    typer.Option(
        help="Branch orders per question: reference:N for the paper's N shuffles, subsets:N for N"
        " random ones, recorded for the order of the recording."
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(min=1, help="Most tokens that an episode may spend; no limit by default."),
]
CostBudget = Annotated[
    float | None,
    typer.Option(
        help="Most that an episode may cost: tokens times the price of their model in the"
        " store, or plain tokens where a store has one model. No limit by default.",
    ),
]
ProbeTokens = Annotated[int, typer.Option(min=0, help="Tokens that each probe is charged.")]
MaxBranches = Annotated[int, typer.Option(min=1, help="Most branches that an episode may open.")]
Failed = Annotated[
    str,
    typer.Option(
        help="How to treat an unreadable answer (ERR): vote counts it as a vote, as the paper does;"
        " abstain ignores it."
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, help="Random seed for subsets draws and for bootstrap intervals.")
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Grouping of the stores, such as topic, whose groups of questions are resampled"
        " together for intervals; without it questions are resampled one by one."
    ),
]
Unsafe = Annotated[
    bool,
    typer.Option(
        "--unsafe-no-sandbox",
        help="Run programs by path unprotected if this machine can't seal a process.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="How many parts of the work run at a time, in threads or in sealed workers; as many"
        " as there are cores by default.",
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        help="Seconds that a program given by path may take per store and beta. A program that does"
        " not get on with an episode is stopped after 3; above 600 this grows in proportion."
    ),
]
Audit = Annotated[
    int,
    typer.Option(
        min=0,
        help="How many episodes of a program given by path are replayed blind as a check; 0 for"
        " none.",
    ),
]
On = Annotated[
    str,
    typer.Option(
        help="Where programs run: local, this machine; ray, the Ray cluster that this machine"
        " belongs to, or one started here; ray://HOST:PORT, a cluster elsewhere."
    ),
]
StoresAt = Annotated[
    str,
    typer.Option(
        help="How machines of a Ray cluster get stores: sent to each once by default; paths, if all"
        " of them have the same folders; or a URL that holds MODEL/DATASET folders."
    ),
]
Json = Annotated[
    Path | None,
    typer.Option(
        help="Write results to this file as JSON; - writes them to standard output, and tables go"
        " to standard error."
    ),
]
ServerModel = Annotated[
    Path | None,
    typer.Option(
        "--server-model",
        help="Show seconds and dollars for the server that was measured in this file;"
        " `autotts doctor --server URL --speed FILE` makes it.",
    ),
]
AnyObjective = Annotated[
    Literal["tokens", "sequential", "cost", "seconds", "usd"],
    typer.Option(
        "--objective",
        help="Unit that budgets are counted in. Sequential tokens stand for latency; seconds"
        " and usd need --server-model.",
    ),
]
Save = Callable[[Mapping[str, Any]], None]
"""Writes results where `--json` says."""

Command = Callable[..., None]
_STANDARD_OUTPUT = Path("-")


def evaluating(**defaults: Any) -> Callable[[Command], Command]:
    """Give a command the options that every evaluation has.

    The command takes `experiment` and `execution` in their place. One that has an option of such a
    name itself keeps its own.

    Args:
        defaults: of options for which the command has its own.
    """
    return lambda command: converted(command, _settings, {"experiment", "execution"}, defaults)


def giving_json(command: Command) -> Command:
    """Give a command `--json`; it takes `save` in its place, None where the option is not given."""
    return converted(command, _saving, {"save"}, {})


def converted(
    command: Command,
    convert: Callable[..., contextlib.AbstractContextManager[dict[str, Any]]],
    converted: Collection[str],
    defaults: Mapping[str, Any],
) -> Command:
    """The command with the parameters of `convert` in place of those that it makes of them."""
    own = inspect.signature(command).parameters.values()
    named = {p.name for p in own}
    shared = [p for p in inspect.signature(convert).parameters.values() if p.name not in named]
    parameters = [
        *(p.replace(kind=p.KEYWORD_ONLY) for p in own if p.name not in converted),
        *(p.replace(kind=p.KEYWORD_ONLY, default=defaults.get(p.name, p.default)) for p in shared),
    ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = {p.name: given.pop(p.name) for p in shared}
        with convert(**options) as made:
            command(**given, **made)

    # Typer reads these, and no others.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


@contextlib.contextmanager
def _settings(
    draws: Draws = "reference:100",
    budget: Budget = None,
    cost_budget: CostBudget = None,
    probe_tokens: ProbeTokens = 0,
    max_branches: MaxBranches = 64,
    failed: Failed = "vote",
    seed: Seed = 0,
    cluster: Cluster = None,
    jobs: Jobs = None,
    timeout: Timeout = 600.0,
    audit: Audit = 600,
    unsafe_no_sandbox: Unsafe = False,
    on: On = "local",
    stores_at: StoresAt = "",
) -> Iterator[dict[str, Any]]:
    from autotts.evaluation import Execution, Experiment

    yield {
        "experiment": Experiment(
            draws, budget, probe_tokens, max_branches, failed, seed, cost_budget, cluster
        ),
        "execution": Execution(
            jobs, timeout, audit, unsafe=unsafe_no_sandbox, on=on, stores_at=stores_at
        ),
    }


@contextlib.contextmanager
def _saving(json: Json = None) -> Iterator[dict[str, Any]]:
    if json is None:
        yield {"save": None}
    elif json == _STANDARD_OUTPUT:
        results = sys.stdout
        with contextlib.redirect_stdout(sys.stderr):
            yield {"save": lambda content: _write_line(results, content)}
    else:
        check_file("--json", json)
        yield {"save": lambda content: write_text(json, _as_json(content))}
        say(f"wrote {json}", err=True)


def _write_line(results: TextIO, content: Mapping[str, Any]) -> None:
    results.write(_as_json(content))
    results.flush()


def _as_json(content: Mapping[str, Any]) -> str:
    return json_.dumps(content, indent=1) + "\n"


def rows(frame: "pl.DataFrame") -> list[dict[str, Any]]:
    """The rows of a table for JSON, which has no nan."""
    import polars.selectors as cs

    return frame.with_columns(cs.float().fill_nan(None)).to_dicts()


def parse_program(text: str) -> "Spec":
    """Read a SPEC, and check a program given by path before anything is set up to run it.

    Raises:
        SpecError: the text names no program.
        ProgramError: the program breaks the rules for programs; the message says where.
    """
    from autotts import programs
    from autotts.programs.checker import check_source

    spec = programs.parse(text)
    if not spec.source.trusted and not spec.entry:
        check_source(spec.source.text, spec.source.path)
        if not ast.get_docstring(ast.parse(spec.source.text)):
            say(
                f"{spec.source.path} has no docstring; one at its top says what the program does to"
                " whoever reads it, in a search to the explorer too",
                err=True,
            )
    return spec


def print_remarks(ran: "Sequence[Ran]") -> None:
    """Say what a reader of the figures must know: audits, widths that were cut, what was printed.

    What audits say stands with the figures; the rest goes to standard error.
    """
    from autotts.evaluation.result import cut_widths
    from autotts.evaluation.serving import doubts

    for text, how in {one.spec.text: one.how for one in ran}.items():
        if how.words:
            console().print(f"{text} was {how.words}")
    doubted = {(one.spec.text, one.store.name): doubts(one.store, one.spec) for one in ran}
    for (text, name), doubt in doubted.items():
        if doubt:
            say(f"{text} {doubt} in {name}", err=True)
    for cut in cut_widths(ran):
        say(cut.words, err=True)
    for text, printed in {one.spec.text: one.how.printed for one in ran if one.how.printed}.items():
        say(f"{text} printed:\n{printed.rstrip()}", err=True)


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


def read_server(path: Path | None) -> "ServerSpeed | None":
    """The server model of a file, if one was named."""
    if path is None:
        return None
    from autotts.inference.speed import read_speed

    return read_speed(path)


def parse_betas(text: str | None) -> list[float] | None:
    """Betas from `0,0.5,1`."""
    from autotts.programs import parse_beta

    if text is None:
        return None
    betas = [parse_beta(part) for part in text.split(",")]
    if len(set(betas)) != len(betas):
        raise SpecError(f"--beta {text}: a beta is named twice")
    return betas
