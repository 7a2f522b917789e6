"""What is sent to other machines: stores by digest, orders by how they are dealt, programs as text.

    Parcel    a task: digest of its store, `Deal` of its orders, its pairs where they are not all
    Share      cells that run together: parcels, SPECs, and which of their episodes are audited

A machine that has unpacked a store or dealt orders keeps the last few for the shares that follow.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from autotts.distributed import cluster
from autotts.distributed.fetching import fetched
from autotts.engine.cache import sources_digest
from autotts.errors import ClusterError, SpecError, StoreError
from autotts.programs import Spec
from autotts.replay.draws import Deal
from autotts.replay.task import Cell, Rules, Task, all_pairs
from autotts.sandbox.blind_run import Place
from autotts.stores import Store, load
from autotts.version import __version__

K = TypeVar("K")
V = TypeVar("V")

PATHS = "paths"
_KEPT = 4
_STORES: "OrderedDict[str, Store]" = OrderedDict()
_TASKS: "OrderedDict[tuple[str, Deal], Task]" = OrderedDict()

Whereabouts = Any
"""Where a machine gets a store: a reference of Ray's, a folder, or a URL."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A task as another machine can make it again.

    pairs: `[E, 2]` int64 (question, draw); None where the task has them all.
    part: which of these episodes are meant.
    """

    store: str
    deal: Deal
    rules: Rules
    pairs: np.ndarray | None
    part: slice


@dataclass(frozen=True, slots=True)
class Share:
    """Cells that a worker runs together, of one program.

    cells: each a parcel and a SPEC.
    sampled: those of their episodes that are audited.
    blind: whether they run blind.
    stores: by digest, where they are to be had.
    code: what a machine must run to come to the same.
    """

    cells: tuple[tuple[Parcel, Spec], ...]
    sampled: tuple[Place, ...]
    blind: bool
    keep_log: bool
    stores: Mapping[str, Whereabouts]
    timeout_seconds: float
    unsafe: bool
    code: tuple[str, str]


def this_code() -> tuple[str, str]:
    """Version, and digest of what the figures of episodes depend on."""
    return __version__, sources_digest()


def pack(task: Task, part: slice) -> Parcel:
    """A task, or some of its episodes.

    Raises:
        SpecError: its orders are its own, and nobody can deal them again.
    """
    if task.deal is None:
        raise SpecError(
            f"{task.store.name}: these episodes are in orders that no draw SPEC names, so they run"
            " on this machine only"
        )
    everything = np.array_equal(task.pairs, all_pairs(task.orders))
    return Parcel(
        task.store.digest, task.deal, task.rules, None if everything else task.pairs, part
    )


def unpack(share: Share) -> list[Cell]:
    """The cells of a share, on the machine that runs it.

    Raises:
        ClusterError: this machine has other code than the one that asks.
        StoreError: it can't get a store.
    """
    if share.code != this_code():
        raise ClusterError(
            f"{cluster.node()} runs autotts {this_code()[0]}, and {share.code[0]} asks it; figures"
            " are the same only where autotts, Python, Numba and NumPy are"
        )
    return [Cell(_task(parcel, share.stores), spec) for parcel, spec in share.cells]


def _task(parcel: Parcel, stores: Mapping[str, Whereabouts]) -> Task:
    def deal() -> Task:
        store = _kept(_STORES, parcel.store, lambda: _get(parcel.store, stores[parcel.store]))
        orders = parcel.deal.orders(store.pool.n_branches)
        return Task(store, orders, all_pairs(orders), parcel.rules, parcel.deal)

    whole = _kept(_TASKS, (parcel.store, parcel.deal), deal)
    pairs = whole.pairs if parcel.pairs is None else parcel.pairs
    # What was sent can't be written to, and compiled code takes what can.
    own = pairs[parcel.part].copy()
    return Task(whole.store, whole.orders, own, parcel.rules, parcel.deal)


def _get(digest: str, where: Whereabouts) -> Store:
    if not isinstance(where, str):
        found: Store = cluster.get(where)
        return found
    with fetched(where) as folder:
        store = load(folder)
    if store.digest != digest:
        raise StoreError(
            f"{where} on {cluster.node()} is another store: its digest is {store.digest[:12]},"
            f" {digest[:12]} is asked for"
        )
    return store


def _kept(known: "OrderedDict[K, V]", key: K, make: Callable[[], V]) -> V:
    """What is known by this key, else made; the last few are kept."""
    if key not in known:
        known[key] = make()
    known.move_to_end(key)
    while len(known) > _KEPT:
        known.popitem(last=False)
    return known[key]


def whereabouts(
    stores: Sequence[Store], stores_at: str, put: Callable[[Store], Whereabouts]
) -> dict[str, Whereabouts]:
    """By digest, where the machines get these stores.

    Args:
        stores_at: "" to send them, but for those that are read from the disk; "paths" for the
            folders they were loaded from; else a URL.

    Raises:
        SpecError: a store has no folder that others could read.
    """
    if not stores_at:
        sent = [store for store in stores if store.pool.on_disk is None]
        read = [store for store in stores if store.pool.on_disk is not None]
        return {store.digest: put(store) for store in sent} | whereabouts(read, PATHS, put)
    if stores_at != PATHS:
        prefix = stores_at.rstrip("/")
        return {store.digest: f"{prefix}/{store.name}" for store in stores}
    found = {}
    for store in stores:
        if store.path is None:
            raise SpecError(f"{store.name} is not on disk: other machines can't read it by path")
        found[store.digest] = str(Path(store.path).resolve())
    return found
