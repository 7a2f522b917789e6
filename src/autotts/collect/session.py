"""A collection from its plan to its store: journal opened, branches collected, store written."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from autotts.collect.collecting import Batch, Collection, Watched, open_collection
from autotts.collect.endpoints import urls_of
from autotts.collect.fleet import Errand, on_cluster
from autotts.collect.journal import Journal
from autotts.collect.kept import write_kept
from autotts.collect.plan import Plan
from autotts.collect.questions import Item
from autotts.collect.writing import to_store
from autotts.distributed.cluster import Cluster
from autotts.errors import ServerError, SpecError, StoreError
from autotts.inference import Patience, Server, connected
from autotts.programs import DEFAULT_BETA, Spec, read
from autotts.sandbox.live_run import suspending
from autotts.stores import Store, read_manifest, store_folder, write

_SECONDS_BETWEEN_LOOKS = 0.5

Watch = Callable[[Watched], None]


@dataclass(frozen=True, slots=True)
class Session:
    """How a session of collecting goes about it, whatever it collects.

    at_once: branches that each server goes on with side by side.
    resume: whether to go on with what a journal has.
    watch: told twice a second how far it is.
    controller: asks for what is recorded; without one every branch is, to its end, probed at every
        interval.
    unsafe: run a program of others even where no process can be sealed.
    keep: "text", "ids": what is kept of what branches said, beside the store.
    """

    at_once: int = 64
    resume: bool = False
    watch: Watch | None = None
    controller: Spec | None = None
    unsafe: bool = False
    keep: tuple[str, ...] = ()

    @property
    def program(self) -> Spec:
        """What asks for what is recorded."""
        return self.controller or _everything()


_DEFAULT = Session()


def journal_path(folder: Path) -> Path:
    """Where the journal of a store that is collected lies: beside the store."""
    return folder.with_name(f"{folder.name}.collecting") / "journal.jsonl"


async def collect(
    plan: Plan,
    items: Sequence[Item],
    servers: Sequence[Server],
    out: Path,
    session: Session = _DEFAULT,
    *,
    store_model: str = "",
) -> tuple[Store, Collection]:
    """Collect what is missing, and write the store OUT/MODEL/DATASET.

    Args:
        servers: connected, of one model.
        store_model: the store's name for the model; by default the end of the server's.

    Raises:
        SpecError: there is a store or a journal already, or the journal is of another plan.
        ServerError: too many branches failed one after the other.
        ControllerError: the program failed.
        StoreError: the journal or the store can't be written. Whatever is raised, what came before
            is in the journal.
    """
    plan, name, folder = _begun(plan, servers[0].model, out, store_model, session)
    collection = await gather(plan, items, servers, journal_path(folder), session)
    return _written(collection, folder, name, session), collection


async def gather(
    plan: Plan,
    items: Sequence[Item],
    servers: Sequence[Server],
    path: Path,
    session: Session,
    batches: Iterable[Batch] | None = None,
) -> Collection:
    """Collect what a journal lacks, as `collect`, without a store.

    Args:
        path: of the journal.
        batches: what to collect one after the other; all at once if None.
    """
    journal = Journal(path)
    try:
        collection = open_collection(plan, items, journal, resume=session.resume)
        watched = collection.watched(servers)
        with suspending(session.program, unsafe=session.unsafe) as suspend:
            async with _watching(session.watch, watched):
                if batches is None:
                    await collection.run(servers, session.at_once, suspend)
                for batch in batches or ():
                    collection.go_on_with(batch)
                    await collection.run(servers, session.at_once, suspend)
    finally:
        await journal.aclose()
    return collection


def collect_on(
    on: str,
    plan: Plan,
    items: Sequence[Item],
    servers: Sequence[str],
    out: Path,
    session: Session = _DEFAULT,
    *,
    store_model: str = "",
    patience: Patience | None = None,
    patience_seconds: float = 600.0,
) -> tuple[Store, Collection]:
    """Collect as `collect` does, with the machines of a Ray cluster; OUT is a folder of them all.

    Args:
        on: as `distributed.Cluster` takes it.
        servers: as `endpoints.urls_of` takes them; as many workers collect as there are now.
        session: `at_once` branches are side by side of a worker, and who watches is told each time
            that one is done with some questions.
        patience_seconds: how long a worker goes on while no server answers.

    Raises:
        SpecError, ServerError, ControllerError, StoreError: as `collect`.
        ClusterError: there is no such cluster, or collecting ends its workers.
    """
    there, patience = urls_of(servers), patience or Patience()
    model = asyncio.run(_model_of(there, plan.model, patience))
    plan, name, folder = _begun(plan, model, out, store_model, session)
    journal = Journal(journal_path(folder.resolve()))
    try:
        collection = open_collection(plan, items, journal, resume=session.resume)
        watched = collection.watched(())
        errand = Errand(
            number=0, plan=plan, items=tuple(items), questions=frozenset(collection.questions_left),
            begun={}, finished={}, journal=journal.path, servers=tuple(servers),
            at_once=session.at_once, patience=patience, patience_seconds=patience_seconds,
            program=session.program, unsafe=session.unsafe,
        )  # fmt: skip
        with Cluster(on, jobs=len(there)) as cluster:
            for _ in on_cluster(cluster, errand, collection.collected, len(there)):
                if session.watch is not None:
                    session.watch(watched)
    finally:
        asyncio.run(journal.aclose())
    return _written(collection, folder, name, session), collection


async def _model_of(urls: Sequence[str], model: str, patience: Patience) -> str:
    """The model of the first server that answers."""
    for k, url in enumerate(urls):
        try:
            async with connected([url], model, patience=patience) as servers:
                return servers[0].model
        except ServerError:
            if k == len(urls) - 1:
                raise
    raise SpecError("collect needs --server URL, such as http://localhost:8000")


def _begun(
    plan: Plan, model: str, out: Path, store_model: str, session: Session
) -> tuple[Plan, str, Path]:
    """The plan with what is known now, the store's name for the model, and the store's folder."""
    facts = {"model": model}
    if chooses := session.controller:
        facts |= {"controller": chooses.text, "program": chooses.source.digest}
    plan = plan.model_copy(update=facts)
    name = store_model or plan.model.rstrip("/").rpartition("/")[2]
    folder = store_folder(out, name, plan.dataset)
    if folder.exists() and not session.resume:
        raise SpecError(
            f"{folder} is there already: go on with --resume, or give another --out or --dataset"
        )
    return plan, name, folder


def _written(collection: Collection, folder: Path, name: str, session: Session) -> Store:
    if folder.exists():
        require_all_in(len(collection.collected.finished), folder)
    store = to_store(collection.collected, collection.plan, collection.items, model=name)
    journal = journal_path(folder)
    try:
        if session.keep:
            write_kept(journal, collection.collected, folder, session.keep)
        return write(store, folder, overwrite=session.resume)
    except StoreError as error:
        raise StoreError(f"{error}; the branches are kept in {journal}: --resume") from error


def require_all_in(journalled: int, folder: Path) -> None:
    """See to it that a store has nothing that its journal doesn't, for it will be replaced.

    Args:
        journalled: branches that the journal has.
    """
    manifest = read_manifest(folder)
    there = manifest.branches_in_all or manifest.questions * manifest.branches
    if there > journalled:
        raise SpecError(
            f"{folder} has {there} branches and its journal {journalled}, so --resume would lose"
            " some: `autotts data top-up` adds to it, or give another --out"
        )


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
