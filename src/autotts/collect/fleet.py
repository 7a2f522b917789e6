"""Collecting with the machines of a Ray cluster, against any number of model servers.

    head                       a worker, somewhere in the cluster
    plan, questions  ------->  Errand: some questions, and what is there of them already
    Collected        <-------  journal-000007.jsonl, in a folder that both can write to

Each errand has a journal of its own. One whose machine is lost is run again, reads that journal and
goes on behind its last line, so nothing that was journalled is decoded twice. What all journals of
a collection hold is one `Collected`, whoever reads them, and whenever.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from autotts.collect.branches import Begun, Collected, Finished, take_journal
from autotts.collect.collecting import Collection
from autotts.collect.endpoints import Endpoints, urls_of
from autotts.collect.journal import WORKERS, Journal, PlanLine, journals_beside
from autotts.collect.plan import Plan
from autotts.collect.questions import Item
from autotts.collect.units import Place
from autotts.distributed.cluster import Cluster, UnitKills
from autotts.errors import AutottsError, ClusterError, ServerError, StoreError
from autotts.inference import Patience, connected
from autotts.programs import Spec
from autotts.sandbox.live_run import suspending

_ERRANDS_A_WORKER = 8
_WAIT_SECONDS = 5.0
_LOST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Errand:
    """Some questions to be collected by one worker.

    number: of its journal, and whose turn among the servers it begins with.
    items: all questions; `questions` says which of them.
    begun, finished: what earlier sessions have of these.
    servers: as `endpoints.urls_of` takes them.
    patience_seconds: how long to go on while no server answers.
    """

    number: int
    plan: Plan
    items: tuple[Item, ...]
    questions: frozenset[int]
    begun: dict[Place, Begun]
    finished: dict[Place, Finished]
    journal: Path
    servers: tuple[str, ...]
    at_once: int
    patience: Patience
    patience_seconds: float
    program: Spec
    unsafe: bool


def run_errand(errand: Errand) -> AutottsError | None:
    """Collect what an errand asks for, on a machine of the cluster; its error, if any."""
    try:
        asyncio.run(_run(errand))
    except AutottsError as error:
        return error
    return None


async def _run(errand: Errand) -> None:
    collected = Collected(
        plan=errand.plan, begun=dict(errand.begun), finished=dict(errand.finished)
    )
    journal = await _opened(errand.journal)
    try:
        size = take_journal(errand.journal, collected)
        journal.cut(size)
        if not size:
            journal.append_now(PlanLine(plan=errand.plan))
        collection = Collection(
            errand.plan, errand.items, journal, collected, only=errand.questions
        )
        await _collect(errand, collection)
    finally:
        await journal.aclose()


async def _opened(path: Path) -> Journal:
    """An errand's journal, once a worker that was given up for lost has let go of it."""
    deadline = time.monotonic() + _LOST_SECONDS
    while True:
        try:
            return Journal(path)
        except StoreError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def _collect(errand: Errand, collection: Collection) -> None:
    """Go from server to server until nothing is left that one of them gives."""
    endpoints = Endpoints(errand.servers, errand.number)
    deadline = time.monotonic() + errand.patience_seconds
    turns = 0
    with suspending(errand.program, unsafe=errand.unsafe) as suspend:
        while collection.ask_again() and turns <= len(urls_of(errand.servers)):
            url = endpoints.next()
            if url is None:
                if time.monotonic() > deadline:
                    raise ServerError(f"no server of {', '.join(errand.servers[:3])} answers")
                await asyncio.sleep(_WAIT_SECONDS)
                continue
            try:
                async with connected(
                    [url],
                    errand.plan.model,
                    at_once=errand.at_once,
                    patience=errand.patience,
                    interruptible=False,
                ) as servers:
                    await collection.run(servers, errand.at_once, suspend)
            except ServerError:
                endpoints.leave_out(url)
            else:
                # What failed on one server may not on the next; what fails on all stays failed.
                turns += 1
                deadline = time.monotonic() + errand.patience_seconds


def on_cluster(
    cluster: Cluster,
    errand: Errand,
    collected: Collected,
    workers: int,
) -> Iterator[Collected]:
    """Collect all questions of an errand, shared out; gives what is there after each share.

    Args:
        errand: all that shares have in common; its journal is the collection's main one.
        collected: what earlier sessions have; it grows.

    Raises:
        ServerError: no server answered for too long.
        AutottsError: as `Collection.run`.
    """
    open_ = sorted(errand.questions)
    count = max(1, len(open_) // (_ERRANDS_A_WORKER * workers))
    first = 1 + max((_number(path) for path in journals_beside(errand.journal)), default=-1)
    errands = [
        _share(errand, frozenset(open_[k : k + count]), collected, first + k // count)
        for k in range(0, len(open_), count)
    ]
    with closing(cluster.results(run_errand, errands)) as results:
        try:
            for share, error in zip(errands, results, strict=True):
                take_journal(share.journal, collected)
                yield collected
                if error is not None:
                    raise error
        except UnitKills as error:
            raise ClusterError(f"a worker that collects: {error}") from error


def _share(errand: Errand, questions: frozenset[int], collected: Collected, number: int) -> Errand:
    return replace(
        errand,
        number=number,
        questions=questions,
        begun={at: own for at, own in collected.begun.items() if at[0] in questions},
        finished={at: own for at, own in collected.finished.items() if at[0] in questions},
        journal=errand.journal.with_name(f"{WORKERS}{number:06}.jsonl"),
    )


def _number(path: Path) -> int:
    return int(path.stem.removeprefix(WORKERS))
