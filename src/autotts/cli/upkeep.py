"""`autotts data top-up`, `refresh`, `push` and `pull`: stores kept up, and taken elsewhere."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli.asking import (
    AskedServers,
    Probe,
    ProbeStop,
    ProbeTokens,
    QuestionSet,
    asking,
    probe_text,
    questioning,
)
from autotts.cli.collect import keeping_what_came, say_written
from autotts.cli.collecting import CollectingDisplay
from autotts.cli.screen import say

if TYPE_CHECKING:
    from autotts.collect import Collected
    from autotts.stores import Store

_Folder = Annotated[Path, typer.Argument(help="A store.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")]


@asking
@questioning
def top_up(
    folder: _Folder,
    asked: AskedServers,
    question_set: QuestionSet | None,
    branches: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many more branches of each question; by default as many as the store has, of"
            " the questions that it lacks.",
        ),
    ] = None,
    resume: _Resume = False,
) -> None:
    """Add branches or questions to a collected store, sampled as its own were."""
    from autotts import collect, stores

    store = stores.load(folder)
    items = question_set.items if question_set else None

    async def run() -> "tuple[Store, Collected]":
        async with asked.connected(collect.plan_of(store).model) as servers:
            with CollectingDisplay(asked.prices) as display:
                return await collect.top_up(
                    store, servers, branches=branches, items=items,
                    session=collect.Session(asked.at_once, resume, display.show),
                )  # fmt: skip

    with keeping_what_came():
        written, collected = asyncio.run(run())
    say_written(written, collected, again="")


@asking
@questioning
def refresh(
    folder: _Folder,
    out: Annotated[Path, typer.Option(help="Folder for the store OUT/MODEL/DATASET.")],
    asked: AskedServers,
    question_set: QuestionSet | None,
    dataset: Annotated[
        str, typer.Option(help="Name of the questions in the new store; by default the old one's.")
    ] = "",
    probe: Probe = None,
    probe_tokens: ProbeTokens = 20,
    probe_stop: ProbeStop = None,
    resume: _Resume = False,
) -> None:
    """Ask the branches of a collected store for their answers anew, as a new store.

    Their text comes from the journals beside the store, and is not sampled again.
    """
    from autotts import collect, stores

    store = stores.load(folder)
    items = question_set.items if question_set else None

    async def run() -> "tuple[Store, list[Collected]]":
        async with asked.connected(collect.plan_of(store).model) as servers:
            with CollectingDisplay(asked.prices) as display:
                return await collect.refresh(
                    store, servers, out, probe=probe_text(probe), probe_tokens=probe_tokens,
                    probe_stop=probe_stop or (), dataset=dataset, items=items,
                    session=collect.Session(asked.at_once, resume, display.show),
                )  # fmt: skip

    with keeping_what_came():
        written, collected = asyncio.run(run())
    say_written(written, *collected)


def push(
    folders: Annotated[list[Path], typer.Argument(help="Stores, or folders with stores below.")],
    to: Annotated[
        str,
        typer.Option(
            help="Where to: URL/MODEL/DATASET, such as s3://bucket/stores or hf://datasets/me/x."
        ),
    ],
    card: Annotated[
        bool,
        typer.Option("--card", help="Write README.md there, by which a hub shows the tables."),
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace stores that are there.")] = False,
) -> None:
    """Copy stores to any address that fsspec knows: S3, GCS, a hub, SSH, another folder."""
    from autotts import stores
    from autotts.stores import remote

    for folder in stores.find(folders):
        say(f"wrote {remote.push(folder, to, overwrite=overwrite)}")
    if card:
        say(f"wrote {remote.write_card(to)}")


def pull(
    url: Annotated[str, typer.Argument(help="A store, or a folder of stores, somewhere else.")],
    out: Annotated[Path, typer.Option(help="Folder for OUT/MODEL/DATASET.")],
    overwrite: Annotated[bool, typer.Option(help="Replace stores that are there.")] = False,
) -> None:
    """Copy stores from any address that fsspec knows, checked before they are here."""
    from autotts.stores import remote

    for store in remote.pull(url, out, overwrite=overwrite):
        say(f"wrote {store.path}: {store!r}")
