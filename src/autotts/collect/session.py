"""A collection from its plan to its store: journal opened, branches collected, store written."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path

from autotts.collect.collecting import Collection, Watched, open_collection
from autotts.collect.journal import Journal
from autotts.collect.plan import Plan
from autotts.collect.questions import Item
from autotts.collect.writing import to_store
from autotts.errors import SpecError, StoreError
from autotts.inference import Server
from autotts.programs import DEFAULT_BETA, Spec, read
from autotts.sandbox.live_run import suspending
from autotts.stores import Store, store_folder, write

_SECONDS_BETWEEN_LOOKS = 0.5

Watch = Callable[[Watched], None]


def journal_path(folder: Path) -> Path:
    """Where the journal of a store that is collected lies: beside the store."""
    return folder.with_name(f"{folder.name}.collecting") / "journal.jsonl"


async def collect(
    plan: Plan,
    items: Sequence[Item],
    servers: Sequence[Server],
    out: Path,
    *,
    store_model: str = "",
    at_once: int = 64,
    resume: bool = False,
    watch: Watch | None = None,
    controller: Spec | None = None,
    unsafe: bool = False,
) -> tuple[Store, Collection]:
    """Collect what is missing, and write the store OUT/MODEL/DATASET.

    Args:
        servers: connected, of one model.
        store_model: the store's name for the model; by default the end of the server's.
        watch: told twice a second how far it is.
        controller: asks for what is recorded; without one every branch is, to its end, probed at
            every interval.
        unsafe: run a program of others even where no process can be sealed.

    Raises:
        SpecError: there is a store or a journal already, or the journal is of another plan.
        ServerError: too many branches failed one after the other.
        ControllerError: the program failed.
        StoreError: the journal or the store can't be written. Whatever is raised, what came before
            is in the journal.
    """
    facts = {"model": servers[0].model}
    if controller:
        facts |= {"controller": controller.text, "program": controller.source.digest}
    plan = plan.model_copy(update=facts)
    name = store_model or plan.model.rstrip("/").rpartition("/")[2]
    folder = store_folder(out, name, plan.dataset)
    if folder.exists() and not resume:
        raise SpecError(
            f"{folder} is there already: go on with --resume, or give another --out or --dataset"
        )
    journal = Journal(journal_path(folder))
    try:
        collection = open_collection(plan, items, journal, resume=resume)
        watched = collection.watched(servers)
        program = controller or _everything()
        with suspending(program, unsafe=unsafe) as suspend:
            async with _watching(watch, watched):
                await collection.run(servers, at_once, suspend)
    finally:
        await journal.aclose()
    store = to_store(collection.collected, plan, items, model=name)
    try:
        return write(store, folder, overwrite=resume), collection
    except StoreError as error:
        raise StoreError(f"{error}; the branches are kept in {journal.path}: --resume") from error


@cache
def _everything() -> Spec:
    """What asks for all there is."""
    source = read(Path(__file__).with_name("to_the_end.py"), trusted=True)
    return Spec("", source, DEFAULT_BETA, {})


@asynccontextmanager
async def _watching(watch: Watch | None, watched: Watched) -> AsyncIterator[None]:
    async def look() -> None:
        while watch is not None:
            watch(watched)
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        if watch is not None:
            watch(watched)
