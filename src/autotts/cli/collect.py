"""`autotts collect`: branches from model servers, into a journal and a store."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotts.cli import options
from autotts.cli.asking import (
    AskedServers,
    PlanFields,
    QuestionSet,
    asking,
    drawing,
    probing,
    prompting,
    questioning,
)
from autotts.cli.collecting import CollectingDisplay
from autotts.cli.screen import INTERRUPTED, say
from autotts.errors import SpecError

if TYPE_CHECKING:
    from autotts.collect import Collected, Collection, Item, Plan, Session, TokenPrices
    from autotts.inference import Context, Sampling
    from autotts.programs import Spec
    from autotts.stores import Store

LOCAL = "local"


@asking
@drawing
@questioning
@prompting
@probing
def collect(
    out: Annotated[
        Path, typer.Option(help="Folder to write to; the store becomes OUT/MODEL/DATASET.")
    ],
    asked: AskedServers,
    sampling: "Sampling",
    question_set: QuestionSet | None,
    prompted: PlanFields,
    probed: PlanFields,
    model: Annotated[
        str,
        typer.Option(
            help="Name of the model on the server. You need it where the server has several."
        ),
    ] = "",
    store_model: Annotated[
        str,
        typer.Option(
            help="Name that the model gets in the store; by default the last part of --model."
        ),
    ] = "",
    dataset: Annotated[
        str,
        typer.Option(
            help="Name that the questions get in the store; by default the name of their file."
        ),
    ] = "",
    branches: Annotated[
        int, typer.Option(min=1, help="Branches to sample for each question.")
    ] = 64,
    interval: Annotated[
        int, typer.Option(min=1, help="Tokens in each interval that a branch is cut into.")
    ] = 500,
    max_tokens: Annotated[
        int,
        typer.Option(
            min=1, help="Most tokens that a branch may decode; longer branches are cut there."
        ),
    ] = 40_000,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            help="Text that ends a branch when the model writes it. Give the option several times"
            " for several texts."
        ),
    ] = None,
    controller: Annotated[
        str,
        typer.Option(
            "--controller",
            "-c",
            help="Record only what this controller (a SPEC) would read. By default every branch"
            " is recorded to its end and probed at every interval.",
        ),
    ] = "",
    keep: Annotated[
        str,
        typer.Option(
            help="Write what the branches said to tables in OUT/MODEL/DATASET.kept: text, ids"
            " (token ids), or text,ids for both."
        ),
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Random seed for sampling the branches.")] = 0,
    like: Annotated[
        Path | None,
        typer.Option(help="Estimate the cost from the mean branch length of this store."),
    ] = None,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate", help="Print the estimated cost and stop, without sending any request."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Try the servers, print the first prompt and stop.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a collection that stopped before its end.")
    ] = False,
    on: Annotated[
        str,
        typer.Option(
            help="Where the requests come from: local, this machine; ray or ray://HOST:PORT, one"
            " worker of a Ray cluster for each server, all of which must be able to write to"
            " --out. With Ray, --server may also be @FILE (one URL a line) or"
            " dns+http://SERVICE:PORT (every address of that name)."
        ),
    ] = LOCAL,
    unsafe: options.Unsafe = False,
) -> None:
    """Sample branches from a model server, probe them at every interval, and write a replay store.

    Every interval is written to a journal on the disk as it arrives. If you press Ctrl-C or lose
    the machine, run the command again with --resume: it continues, and nothing is paid twice.
    """
    if question_set is None:
        raise SpecError("collect needs --questions FILE, or a preset such as aime24")
    plan = _plan(
        question_set, prompted, probed, replace(sampling, stop=tuple(stop or ())), model=model,
        dataset=dataset or question_set.name, branches=branches, interval=interval,
        max_tokens=max_tokens, seed=seed,
    )  # fmt: skip
    items = question_set.items
    if estimate:
        _say_estimate(plan, items, asked.prices, like)
    elif dry_run:
        _try(plan, items, asked, on)
    else:
        from autotts.collect import Session, kept_columns

        spec = _controller(controller, bool(plan.probe)) if controller else None
        session = Session(
            asked.at_once, resume, controller=spec, unsafe=unsafe, keep=kept_columns(keep)
        )
        with keeping_what_came():
            store, collection = _collect(plan, items, asked, out, store_model, on, session)
        say_written(store, collection.collected)


def _plan(
    question_set: QuestionSet,
    prompted: PlanFields,
    probed: PlanFields,
    sampling: "Sampling",
    **fields: Any,
) -> "Plan":
    from pydantic import ValidationError

    from autotts import collect as collecting
    from autotts.stores.recordings import describe

    own = collecting.PROMPTS[question_set.columns.kind]
    try:
        return collecting.Plan(
            **asdict(sampling),
            **{**prompted, "prompt": prompted["prompt"] or own},
            **probed,
            **fields,
            questions=collecting.digest_of(question_set.items),
        )
    except ValidationError as error:
        raise SpecError(f"collect: {describe(error)}") from error


def _collect(
    plan: "Plan",
    items: "Sequence[Item]",
    asked: AskedServers,
    out: Path,
    store_model: str,
    on: str,
    session: "Session",
) -> "tuple[Store, Collection]":
    """Collect with this machine, or with those of a cluster."""
    from autotts import collect as collecting

    async def here(session: "Session") -> "tuple[Store, Collection]":
        async with asked.connected(plan.model) as servers:
            return await collecting.collect(
                plan, items, servers, out, session, store_model=store_model
            )

    with CollectingDisplay(asked.prices) as display:
        session = replace(session, watch=display.show)
        if on == LOCAL:
            return asyncio.run(here(session))
        return collecting.collect_on(
            on, plan, items, asked.required_urls, out, session, store_model=store_model,
            patience=asked.patience,
        )  # fmt: skip


@contextlib.contextmanager
def keeping_what_came() -> Iterator[None]:
    """On Ctrl-C, say how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        say("what was collected is kept: the same command with --resume goes on", err=True)
        raise typer.Exit(INTERRUPTED) from None


def say_written(
    store: "Store", *collected: "Collected", again: str = "; --resume asks for them again"
) -> None:
    """Tell of a store and of what failed, and leave with exit code 1 if anything did.

    Args:
        again: how to ask for what failed.
    """
    say(f"wrote {store.path}: {store!r}")
    failed = [(*place, why) for each in collected for place, why in each.failed.items()]
    if not failed:
        return
    q, n, why = failed[0]
    what, which = "branches", f"branch {n} of "
    if (plan := collected[0].plan) is not None and plan.controller:
        what, which = "questions", ""
    say(
        f"{len(failed)} {what} failed and are not in it, such as {which}question {q}: {why}{again}",
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


def _try(plan: "Plan", items: "Sequence[Item]", asked: AskedServers, on: str) -> None:
    """Say what the first prompt is, as it would be sent, and the most that could be spent."""
    from autotts.collect import prompt_of

    if on != LOCAL:
        raise SpecError("--dry-run tries servers from this machine: leave --on out")

    async def first_prompt() -> "tuple[Context, int]":
        async with asked.connected(plan.model) as servers:
            prompt = await prompt_of(plan, items[0], servers[0])
            return prompt, servers[0].tally.tokens

    prompt, tokens = asyncio.run(first_prompt())
    say(f"The first of {len(items)} prompts has {len(prompt)} tokens:")
    say(items[0].prompt(plan.prompt))
    say()
    say(f"Then {plan.branches} branches of at most {plan.max_tokens:,} tokens each.")
    say(f"{tokens} tokens were decoded to try the server; nothing was collected.")


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
