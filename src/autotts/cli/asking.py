"""Options of commands that ask a model's server: whom, how tokens are drawn, what it costs."""

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from autotts.cli import options
from autotts.cli.screen import say
from autotts.errors import SpecError

if TYPE_CHECKING:
    from autotts.collect import Columns, Item, TokenPrices
    from autotts.inference import Patience, Server


Probe = Annotated[
    str | None,
    typer.Option(
        help="Text that is added to a branch to ask for its answer so far, or a file that holds it."
        " The default is Dynasor's text, inside the thinking."
    ),
]
ProbeTokens = Annotated[int, typer.Option(min=1, help="Most tokens of the reply to a probe.")]
ProbeStop = Annotated[
    list[str] | None,
    typer.Option(
        help="Text that ends the reply to a probe; give it several times for several texts."
    ),
]


@dataclass(frozen=True, slots=True)
class AskedServers:
    """The servers that a command asks.

    at_once: branches that each goes on with side by side.
    timeout: seconds until a request is given up and sent again.
    """

    urls: tuple[str, ...]
    at_once: int
    timeout: float
    prices: "TokenPrices"

    @property
    def required_urls(self) -> tuple[str, ...]:
        """The servers; raises SpecError if none was named."""
        if not self.urls:
            raise SpecError("no server was named: give --server URL, as http://localhost:8000")
        return self.urls

    @property
    def patience(self) -> "Patience":
        from autotts.inference import Patience

        return Patience(timeout_seconds=self.timeout)

    @contextlib.asynccontextmanager
    async def connected(self, model: str) -> "AsyncIterator[list[Server]]":
        """The servers, told to whoever looks on.

        Raises:
            SpecError: none was named, or they have different models.
            ServerError: one can't be reached or lacks the model.
        """
        from autotts.inference import connected

        async with connected(
            self.required_urls,
            model,
            at_once=self.at_once,
            patience=self.patience,
            interruptible=False,
        ) as servers:
            for server in servers:
                exact = "exact to the token" if server.can.exact else "by text, which is not exact"
                say(
                    f"{server.address}: {server.model}, spoken to as {server.dialect}, {exact}",
                    err=True,
                )
            yield servers


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """The questions that a command was given.

    name: their file's, or the preset's.
    """

    name: str
    items: "list[Item]"
    columns: "Columns"


def asking(command: options.Command) -> options.Command:
    """Give a command the options of whom it asks; it takes `asked` in their place."""
    return options.converted(command, _asked, {"asked"}, {})


def drawing(command: options.Command) -> options.Command:
    """Give a command the options of how tokens are drawn; it takes `sampling` in their place."""
    return options.converted(command, _sampling, {"sampling"}, {})


def questioning(command: options.Command) -> options.Command:
    """Give a command the options of what is asked; it takes `question_set` in their place,
    None where no questions are named."""
    return options.converted(command, _questions, {"question_set"}, {})


PlanFields: TypeAlias = dict[str, Any]
"""Some of the fields of a `collect.Plan`, by name."""


def prompting(command: options.Command) -> options.Command:
    """Give a command the options of how a question is put; it takes `prompted` in their place."""
    return options.converted(command, _prompted, {"prompted"}, {})


def probing(command: options.Command) -> options.Command:
    """Give a command the options of what is asked of an interval; it takes `probed` in their
    place."""
    return options.converted(command, _probed, {"probed"}, {})


@contextlib.contextmanager
def _asked(
    server: Annotated[
        list[str] | None,
        typer.Option(
            help="Address of a model server, such as http://localhost:8000. Give the option"
            " several times to share the work among servers."
        ),
    ] = None,
    at_once: Annotated[
        int, typer.Option(min=1, help="Most branches that one server decodes at the same time.")
    ] = 64,
    timeout: Annotated[
        float,
        typer.Option(min=1.0, help="Seconds to wait for an interval before it is asked for again."),
    ] = 900.0,
    price_in: Annotated[float, typer.Option(help="Dollars per million prompt tokens.")] = 0.0,
    price_cached: Annotated[
        float | None,
        typer.Option(
            help="Dollars per million prompt tokens that the server reads from its cache; by"
            " default --price-in."
        ),
    ] = None,
    price_out: Annotated[float, typer.Option(help="Dollars per million decoded tokens.")] = 0.0,
) -> Iterator[dict[str, Any]]:
    from autotts.collect import TokenPrices

    cached = price_in if price_cached is None else price_cached
    prices = TokenPrices(price_in, cached, price_out)
    yield {"asked": AskedServers(tuple(server or ()), at_once, timeout, prices)}


@contextlib.contextmanager
def _sampling(
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Temperature that branches are sampled at.")
    ] = 0.6,
    top_p: Annotated[
        float,
        typer.Option(
            help="Sample from the likeliest tokens that together have this probability (nucleus"
            " sampling); above 0, up to 1."
        ),
    ] = 0.95,
    top_k: Annotated[
        int,
        typer.Option(
            min=0, help="Sample from this many of the likeliest tokens; 0 samples from all."
        ),
    ] = 0,
    min_p: Annotated[
        float,
        typer.Option(
            help="Leave out tokens less probable than this share of the likeliest token's"
            " probability."
        ),
    ] = 0.0,
) -> Iterator[dict[str, Any]]:
    from autotts.inference import Sampling

    for name, value, good in (("top-p", top_p, 0 < top_p <= 1), ("min-p", min_p, 0 <= min_p <= 1)):
        if not good:
            raise SpecError(f"--{name} {value:g}: need a number between 0 and 1")
    yield {"sampling": Sampling(temperature, top_p, top_k, min_p)}


@contextlib.contextmanager
def _questions(
    questions: Annotated[
        str,
        typer.Option(
            help="File of questions (.jsonl, .json, .csv, .parquet), or a preset: aime24, aime25,"
            " hmmt25, gpqa-diamond, math500."
        ),
    ] = "",
    question_column: Annotated[str, typer.Option(help="Column that holds the question.")] = "",
    gold_column: Annotated[str, typer.Option(help="Column that holds the true answer.")] = "",
    id_column: Annotated[
        str, typer.Option(help="Column that holds a name for each question.")
    ] = "",
    preset: Annotated[
        str, typer.Option(help="Read the file of questions with the columns of this preset.")
    ] = "",
    first: Annotated[
        int | None, typer.Option(min=1, help="Use only this many questions, from the first.")
    ] = None,
) -> Iterator[dict[str, Any]]:
    from autotts import collect

    if not questions:
        yield {"question_set": None}
        return
    given = {"question": question_column, "gold": gold_column, "id": id_column}
    columns = _columns(preset or questions, given, known_only=bool(preset))
    items = collect.read_questions(questions, columns)[:first]
    yield {"question_set": QuestionSet(Path(questions).stem, items, columns)}


@contextlib.contextmanager
def _prompted(
    prompt: Annotated[
        str,
        typer.Option(
            help="Prompt for the model, with {question} in it, or a file that holds the prompt."
            " The default comes with the questions."
        ),
    ] = "",
    chat: Annotated[
        bool, typer.Option(help="Put the prompt into the model's chat template.")
    ] = True,
    template: Annotated[
        list[str] | None,
        typer.Option(help="Argument to pass to the chat template, such as enable_thinking=true."),
    ] = None,
) -> Iterator[dict[str, PlanFields]]:
    arguments = dict(_argument(text) for text in template or ())
    text = text_or_file(prompt) if prompt else ""
    yield {"prompted": {"prompt": text, "chat": chat, "template": arguments}}


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SpecError(f"--template {text}: need NAME=VALUE, such as enable_thinking=true")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@contextlib.contextmanager
def _probed(
    probe: Probe = None,
    probes: Annotated[
        bool,
        typer.Option(help="Ask each branch for its answer so far at the end of every interval."),
    ] = True,
    probe_tokens: ProbeTokens = 20,
    probe_stop: ProbeStop = None,
    signals: Annotated[
        bool,
        typer.Option(
            "--signals",
            help="Record how sure the model was of every interval and of every probe's answer,"
            " which controllers can read as signals.",
        ),
    ] = False,
    window: Annotated[
        int,
        typer.Option(
            min=1, help="Tokens in the window of --signals whose lowest confidence is recorded."
        ),
    ] = 2048,
) -> Iterator[dict[str, PlanFields]]:
    yield {
        "probed": {
            "probe": probe_text(probe) if probes else "",
            "probe_tokens": probe_tokens,
            "probe_stop": tuple(probe_stop or ()),
            "signals": signals,
            "window": window,
        }
    }


def _columns(name: str, given: dict[str, str], *, known_only: bool) -> "Columns":
    from autotts import collect

    known = collect.presets()
    if known_only and name not in known:
        raise SpecError(f"--preset {name}: presets are {', '.join(known)}")
    columns = known.get(name, collect.Columns())
    return columns.model_copy(update={key: value for key, value in given.items() if value})


def probe_text(given: str | None) -> str:
    """What asks a branch for its answer so far."""
    from autotts.collect import PROBE_SUFFIX

    return PROBE_SUFFIX if given is None else text_or_file(given)


def text_or_file(given: str) -> str:
    """A text, or what the file of that name holds."""
    path = Path(given)
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n") if path.is_file() else given
    except (OSError, ValueError):
        # A long text is no name of a file.
        return given
