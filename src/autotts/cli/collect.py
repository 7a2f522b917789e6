"""`autotts collect`: branches from model servers, into a journal and a store."""

import asyncio
import contextlib
import datetime
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotts.cli import options
from autotts.cli.screen import console, say
from autotts.errors import SpecError

if TYPE_CHECKING:
    from rich.table import Table

    from autotts.collect import Collection, Columns, Item, Plan, TokenPrices, Watched
    from autotts.inference import Server
    from autotts.programs import Spec
    from autotts.stores import Store

_SECONDS_BETWEEN_LINES = 30.0
LOCAL = "local"


def collect(
    questions: Annotated[
        str,
        typer.Option(
            help="File of questions (.jsonl, .json, .csv, .parquet), or a preset: aime24, aime25,"
            " hmmt25, gpqa-diamond, math500."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the store OUT/MODEL/DATASET.")],
    server: Annotated[
        list[str] | None,
        typer.Option(
            help="Model server, such as http://localhost:8000; several share the work. With --on"
            " also @FILE, a URL a line, and dns+http://SERVICE:PORT, each address of a name."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Model as the server calls it; needed where it has several.")
    ] = "",
    store_model: Annotated[
        str, typer.Option(help="Name of the model in the store; by default the end of --model.")
    ] = "",
    dataset: Annotated[
        str, typer.Option(help="Name of the questions in the store; by default their file's.")
    ] = "",
    branches: Annotated[int, typer.Option(min=1, help="Branches of each question.")] = 64,
    interval: Annotated[int, typer.Option(min=1, help="Tokens of an interval.")] = 500,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens at which a branch is cut.")
    ] = 40_000,
    temperature: Annotated[float, typer.Option(min=0.0, help="Temperature of branches.")] = 0.6,
    top_p: Annotated[float, typer.Option(help="Nucleus of sampling.")] = 0.95,
    top_k: Annotated[int, typer.Option(min=0, help="Likeliest tokens to draw; 0 for all.")] = 0,
    min_p: Annotated[float, typer.Option(help="Least share of the likeliest's probability.")] = 0.0,
    stop: Annotated[
        list[str] | None, typer.Option(help="A text that ends a branch; may be given again.")
    ] = None,
    prompt: Annotated[
        str,
        typer.Option(
            help="What the model is asked, with {question} in it, or a file that holds this; by"
            " default the questions' own."
        ),
    ] = "",
    chat: Annotated[
        bool, typer.Option(help="Make a conversation of the prompt by the model's template.")
    ] = True,
    template: Annotated[
        list[str] | None,
        typer.Option(help="Argument of the model's template, such as enable_thinking=true."),
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(
            help="What is added to a branch to ask for its answer so far, or a file that holds"
            " this; by default the text of Dynasor, inside the thinking."
        ),
    ] = None,
    probes: Annotated[
        bool, typer.Option(help="Ask for the answer so far at the end of every interval.")
    ] = True,
    probe_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a probe.")] = 20,
    probe_stop: Annotated[
        list[str] | None, typer.Option(help="A text that ends a probe; may be given again.")
    ] = None,
    signals: Annotated[
        bool,
        typer.Option(
            "--signals", help="Record confidence and entropy of every interval, for controllers."
        ),
    ] = False,
    controller: Annotated[
        str,
        typer.Option(
            "--controller",
            "-c",
            help="SPEC of a controller that chooses what is recorded: only what it would read. By"
            " default every branch is recorded, to its end, probed at every interval.",
        ),
    ] = "",
    question_column: Annotated[str, typer.Option(help="Column of the question.")] = "",
    gold_column: Annotated[str, typer.Option(help="Column of the true answer.")] = "",
    id_column: Annotated[str, typer.Option(help="Column of a question's own name.")] = "",
    preset: Annotated[
        str, typer.Option(help="Read a file of questions as this preset is read.")
    ] = "",
    first: Annotated[int | None, typer.Option(min=1, help="Only so many questions.")] = None,
    at_once: Annotated[
        int, typer.Option(min=1, help="Branches that a server goes on with side by side.")
    ] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the branches.")] = 0,
    timeout: Annotated[
        float, typer.Option(min=1.0, help="Seconds until an interval is given up and asked again.")
    ] = 900.0,
    price_in: Annotated[float, typer.Option(help="Dollars per million tokens read.")] = 0.0,
    price_cached: Annotated[
        float | None, typer.Option(help="The same, read from the cache; by default --price-in.")
    ] = None,
    price_out: Annotated[float, typer.Option(help="Dollars per million tokens decoded.")] = 0.0,
    like: Annotated[
        Path | None, typer.Option(help="Store whose mean length to estimate the cost by.")
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what it will cost, ask nothing, and stop.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Try the servers, show the first prompt, and stop.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an earlier collection stopped.")
    ] = False,
    on: Annotated[
        str,
        typer.Option(
            help="Who asks the servers: local, this machine; ray or ray://HOST:PORT, a worker of a"
            " Ray cluster for each server, which can all write to --out."
        ),
    ] = "local",
    unsafe: options.Unsafe = False,
) -> None:
    """Collect branches of a model from its server, probed at every interval, as a replay store.

    What comes is in a journal on the disk before anything follows: press Ctrl-C, or lose the
    machine, and --resume goes on.
    """
    from pydantic import ValidationError

    from autotts import collect as collecting
    from autotts.stores.recordings import describe

    items, columns = _questions(questions, preset, question_column, gold_column, id_column, first)
    try:
        plan = collecting.Plan(
            model=model,
            dataset=dataset or Path(questions).stem,
            branches=branches,
            interval=interval,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            min_p=min_p,
            stop=tuple(stop or ()),
            prompt=_text(prompt) if prompt else collecting.PROMPTS[columns.kind],
            chat=chat,
            template=dict(_argument(text) for text in template or ()),
            probe="" if not probes else collecting.PROBE_SUFFIX if probe is None else _text(probe),
            probe_tokens=probe_tokens,
            probe_stop=tuple(probe_stop or ()),
            signals=signals,
            seed=seed,
            questions=collecting.digest_of(items),
        )
    except ValidationError as error:
        raise SpecError(f"collect: {describe(error)}") from error
    cached = price_in if price_cached is None else price_cached
    prices = collecting.TokenPrices(price_in, cached, price_out)
    if estimate:
        _say_estimate(plan, items, prices, like)
        return
    if not server:
        raise SpecError("collect needs --server URL, such as http://localhost:8000")
    spec = _controller(controller, probes) if controller else None
    if on != LOCAL:
        if dry_run:
            raise SpecError("--dry-run tries servers from this machine: leave --on out")
        _run_on(on, plan, items, server, out, prices, timeout, store_model=store_model,
                at_once=at_once, resume=resume, controller=spec, unsafe=unsafe)  # fmt: skip
        return
    try:
        asyncio.run(
            _run(
                plan,
                items,
                server,
                out,
                store_model=store_model,
                prices=prices,
                at_once=at_once,
                timeout=timeout,
                dry_run=dry_run,
                resume=resume,
                controller=spec,
                unsafe=unsafe,
            )
        )
    except KeyboardInterrupt:
        say("what was collected is kept: the same command with --resume goes on", err=True)
        raise


async def _run(
    plan: "Plan",
    items: "Sequence[Item]",
    urls: Sequence[str],
    out: Path,
    *,
    store_model: str,
    prices: "TokenPrices",
    at_once: int,
    timeout: float,
    dry_run: bool,
    resume: bool,
    controller: "Spec | None",
    unsafe: bool,
) -> None:
    from autotts import collect as collecting
    from autotts.inference import Patience, connected

    patience = Patience(timeout_seconds=timeout)
    async with connected(urls, plan.model, at_once=at_once, patience=patience) as servers:
        for server in servers:
            exact = "exact to the token" if server.can.exact else "by text, which is not exact"
            say(
                f"{server.address}: {server.model}, spoken to as {server.dialect}, {exact}",
                err=True,
            )
        if dry_run:
            await _show(plan, items, servers[0])
            return
        with _Display(prices) as display:
            store, collection = await collecting.collect(
                plan,
                items,
                servers,
                out,
                store_model=store_model,
                at_once=at_once,
                resume=resume,
                watch=display.show,
                controller=controller,
                unsafe=unsafe,
            )
    _say_written(store, collection)


def _run_on(
    on: str,
    plan: "Plan",
    items: "Sequence[Item]",
    named: Sequence[str],
    out: Path,
    prices: "TokenPrices",
    timeout: float,
    **how: Any,
) -> None:
    from autotts import collect as collecting
    from autotts.inference import Patience

    with _Display(prices) as display:
        store, collection = collecting.collect_on(
            on, plan, items, named, out, patience=Patience(timeout_seconds=timeout),
            watch=display.show, **how,
        )  # fmt: skip
    _say_written(store, collection)


def _say_written(store: "Store", collection: "Collection") -> None:
    failed = collection.collected.failed
    say(f"wrote {store.path}: {store!r}")
    if failed:
        (q, n), why = next(iter(failed.items()))
        what, which = (
            ("questions", "") if collection.plan.controller else ("branches", f"branch {n} of ")
        )
        say(
            f"{len(failed)} {what} failed and are not in it, such as {which}question {q}: {why};"
            " --resume asks for them again",
            err=True,
        )
        raise typer.Exit(1)


def _controller(text: str, probes: bool) -> "Spec":
    """A controller that can be played on branches as they come.

    Raises:
        SpecError: it is none, or needs what such branches don't have.
    """
    from autotts import programs
    from autotts.programs.needs import needs_of

    spec = programs.parse(text)
    if spec.entry:
        raise SpecError(f"{text}: a program of the released code can't choose what is collected")
    needs = needs_of(spec.source)
    if needs.probes and not probes:
        raise SpecError(f"{text} reads answers of running branches; leave --no-probes out")
    if needs.signals:
        raise SpecError(
            f"{text} reads {', '.join(sorted(needs.signals))}, which is not known while branches"
            " are decoded: collect without --controller, with --signals"
        )
    return spec


async def _show(plan: "Plan", items: "Sequence[Item]", server: "Server") -> None:
    """The first prompt as it would be sent, and the most that could be spent."""
    text = items[0].prompt(plan.prompt)
    if plan.chat:
        prompt = await server.render([("user", text)], plan.template)
    else:
        prompt = await server.encode(text, special=True)
    say(f"The first of {len(items)} prompts has {len(prompt)} tokens:")
    say(text)
    say()
    say(f"Then {plan.branches} branches of at most {plan.max_tokens:,} tokens each.")
    say(f"{server.tally.tokens} tokens were decoded to try the server; nothing was collected.")


def _questions(
    named: str, preset: str, question: str, gold: str, id_: str, first: int | None
) -> "tuple[list[Item], Columns]":
    from autotts import collect as collecting

    known = collecting.presets()
    if preset and preset not in known:
        raise SpecError(f"--preset {preset}: presets are {', '.join(known)}")
    columns = known.get(preset or named, collecting.Columns())
    given = {"question": question, "gold": gold, "id": id_}
    columns = columns.model_copy(update={name: value for name, value in given.items() if value})
    return collecting.read_questions(named, columns)[:first], columns


def _text(given: str) -> str:
    """A text, or what the file of that name holds."""
    path = Path(given)
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n") if path.is_file() else given
    except (OSError, ValueError):
        # A long text is no name of a file.
        return given


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SpecError(f"--template {text}: need NAME=VALUE, such as enable_thinking=true")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _say_estimate(
    plan: "Plan", items: "Sequence[Item]", prices: "TokenPrices", like: Path | None
) -> None:
    from autotts import stores
    from autotts.collect import estimate

    if like:
        store = stores.load(like)
        each = float(store.pool.tokens[store.pool.exists].mean())
        basis = f"if branches are as long as those of {store.name}, {each:,.0f} tokens"
    else:
        each = float(plan.max_tokens)
        most = f"{plan.max_tokens:,}"
        basis = f"if every branch had {most} tokens, the most; --like STORE takes a mean length"
    found = estimate(plan, len(items) * plan.branches, each)
    say(f"{len(items)} questions x {plan.branches} branches, {basis}:")
    rows = {
        "branches": found.branches,
        "tokens of branches": found.branch_tokens,
        "probes": found.probes,
        "tokens of probes": found.probe_tokens,
        "tokens read": found.prompt_tokens,
        "of these cached": found.cached_tokens,
    }
    for name, value in rows.items():
        say(f"  {name:20}{value:>18,}")
    if prices.prompt or prices.decoded:
        with_cache = prices.of(found.prompt_tokens, found.cached_tokens, found.tokens)
        without = prices.of(found.prompt_tokens, 0, found.tokens)
        say(f"  {'dollars':20}{with_cache:>18,.2f}")
        say(f"  {'without a cache':20}{without:>18,.2f}")
    say("A server without a cache of prefixes reads all of a branch again for each interval.")


class _Display(contextlib.AbstractContextManager["_Display"]):
    """How far a collection is: live on a terminal, else a line every half minute."""

    def __init__(self, prices: "TokenPrices") -> None:
        from rich.live import Live

        self._prices = prices
        self._screen = console(err=True)
        self._live = Live(console=self._screen, auto_refresh=False, transient=True)
        self._said = 0.0
        self._last: Watched | None = None

    def __enter__(self) -> "_Display":
        if self._screen.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if self._last is not None:
            say(self._line(self._last), err=True)

    def show(self, watched: "Watched") -> None:
        self._last = watched
        if self._screen.is_terminal:
            self._live.update(self._table(watched), refresh=True)
        elif (now := time.monotonic()) - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = now
            say(self._line(watched), err=True)

    def _facts(self, watched: "Watched") -> dict[str, str]:
        found = watched.collected
        left = watched.seconds_left
        ended = len(found.finished)
        done = {"branches": f"{ended:,} of {watched.branches:,}"}
        if watched.units < watched.branches:
            done = {
                "questions": f"{found.units_done:,} of {watched.units:,}",
                "branches": f"{ended:,}",
            }
        facts = {
            **done,
            "tokens": f"{found.decoded:,}",
            "tokens/s": f"{watched.tokens_per_second:,.0f}",
            "probes": f"{found.probes:,}",
            "cached": f"{found.cached_tokens / max(1, found.prompt_tokens):.0%}",
            "asked again": f"{watched.retried:,}",
            "failed": f"{len(found.failed):,}",
        }
        if self._prices.prompt or self._prices.decoded:
            dollars = self._prices.of(found.prompt_tokens, found.cached_tokens, found.decoded)
            facts["dollars"] = f"{dollars:,.2f}"
        if left is not None:
            facts["left"] = str(datetime.timedelta(seconds=round(left)))
        return facts

    def _table(self, watched: "Watched") -> "Table":
        from rich.table import Table

        facts = self._facts(watched)
        table = Table(box=None, pad_edge=False)
        for name in facts:
            table.add_column(name, justify="right")
        table.add_row(*facts.values())
        return table

    def _line(self, watched: "Watched") -> str:
        return ", ".join(f"{name} {value}" for name, value in self._facts(watched).items())
