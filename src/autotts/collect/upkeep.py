"""A store that was collected, kept up: more branches, more questions, new probes."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from autotts.collect.branches import Collected, read_collected
from autotts.collect.collecting import Batch
from autotts.collect.journal import (
    IntervalLine,
    LinePlace,
    PlanLine,
    journals_beside,
    read_journal,
)
from autotts.collect.plan import Plan, digest_of, first_of
from autotts.collect.questions import Item
from autotts.collect.session import Session, gather, journal_path, require_all_in
from autotts.collect.writing import to_store
from autotts.errors import SpecError
from autotts.inference import Server
from autotts.inference.branch import seed_of
from autotts.stores import Store, merge, store_folder, write
from autotts.stores.schema import sealed

_DEFAULT = Session()
_BRANCHES_A_BATCH = 512
_TOPPED_UP = "topped-up-"


def plan_of(store: Store) -> Plan:
    """How a store's branches were sampled.

    Raises:
        SpecError: it doesn't say.
    """
    known = {
        key: value for key, value in store.manifest.sampling.items() if key in Plan.model_fields
    }
    if "prompt" not in known or store.pool.billing != "exact":
        raise SpecError(
            f"{store.name} was not collected by `autotts collect`, so nothing says how to ask for"
            " branches like its own"
        )
    pool = store.pool
    facts = {
        "model": store.manifest.sampling.get("server_model", store.model),
        "dataset": store.dataset,
        "branches": int(pool.n_branches.max()),
        "interval": pool.interval,
    }
    return Plan.model_validate({**known, **facts})


def item_of(store: Store, q: int, plan: Plan) -> Item:
    """A question of a store, to be asked again.

    Raises:
        SpecError: it had options, which a store doesn't hold.
    """
    if "{options}" in plan.prompt:
        raise SpecError(
            f"{store.name}: its questions have options, which a store doesn't hold; name their file"
            " or preset (--questions)"
        )
    name = str(q) if store.ids is None else store.ids[q]
    return Item(name, store.texts[q], store.answers[q][int(store.gold[q])])


def items_of(store: Store, plan: Plan) -> list[Item]:
    """All questions of a store; raises as `item_of`."""
    return [item_of(store, q, plan) for q in range(len(store.texts))]


async def top_up(
    store: Store,
    servers: Sequence[Server],
    *,
    branches: int | None = None,
    items: Sequence[Item] | None = None,
    session: Session = _DEFAULT,
) -> tuple[Store, Collected]:
    """Add branches, or questions, to a store, sampled as its own were.

    Args:
        store: on the disk; it is replaced.
        branches: more, of each question; by default as many as the store has, of the questions that
            it lacks.
        items: the questions that get them; by default the store's.

    Raises:
        SpecError: nothing says how the store was sampled, or nothing is missing.
        StoreError, ServerError: as `collect`.
    """
    plan = _to_be_gone_on_with(store, servers)
    asked = list(items) if items is not None else items_of(store, plan)
    if branches is None:
        there = set(store.ids or ())
        asked = [item for item in asked if item.id not in there]
        if not asked:
            raise SpecError(f"{store.name} has all of these questions; --branches adds branches")
    assert store.path is not None
    path = store.path.with_name(f"{store.path.name}.topping-up") / "journal.jsonl"
    # Another seed, so that no branch is drawn again that is there.
    more = plan.model_copy(
        update={
            "branches": branches or plan.branches,
            "seed": seed_of(plan.seed, store.digest),
            "questions": digest_of(asked),
        }
    )
    begun = await asyncio.to_thread(read_collected, path)
    if begun.plan is not None and _added_by(begun.plan) in store.manifest.source:
        # The last time ended between the store and its journal.
        _put_beside(path, begun.plan, store.path)
        if session.resume:
            return store, begun
    elif begun.plan is not None and begun.plan.seed != more.seed:
        raise SpecError(
            f"{path} was begun when {store.path} had other branches; remove it, or put that store"
            " back"
        )
    collection = await gather(more, asked, servers, path, session)
    part = to_store(collection.collected, more, asked, model=store.model)
    written = write(_with_part(store, part, more), store.path, overwrite=True)
    _put_beside(path, more, store.path)
    return written, collection.collected


def _with_part(store: Store, part: Store, more: Plan) -> Store:
    """A store with what another plan added to it."""
    merged = merge([store, part])
    source = f"{store.manifest.source}, {_added_by(more)}"
    about = {"sampling": store.manifest.sampling, "source": source}
    return sealed(replace(merged, manifest=merged.manifest.model_copy(update=about)))


def _added_by(plan: Plan) -> str:
    """What the source of a store says of branches that a plan added: no other has its seed."""
    return f"topped up by seed {plan.seed}"


def _put_beside(path: Path, plan: Plan, folder: Path) -> None:
    """Keep the journal of branches that were added, which has their text, beside the others."""
    kept = journal_path(folder).with_name(f"{_TOPPED_UP}{plan.seed}.jsonl")
    kept.parent.mkdir(exist_ok=True)
    path.rename(kept)
    path.parent.rmdir()


def _journals_of(store: Store) -> list[Path]:
    """The journal of a store, and those of what was added to it, in the order of its branches."""
    assert store.path is not None
    main = journal_path(store.path)
    if not main.is_file():
        raise SpecError(f"{store.path}: no journal {main}, which has the text of its branches")
    added = {
        store.manifest.source.find(f"topped up by seed {path.stem.removeprefix(_TOPPED_UP)}"): path
        for path in main.parent.glob(f"{_TOPPED_UP}*.jsonl")
    }
    return [main, *(added[place] for place in sorted(added))]


class _Asked:
    """The questions that a store's journals were collected of, found by their digests.

    What is added to a store stands behind what was there.
    """

    def __init__(self, *lists: Sequence[Item]) -> None:
        self._lists = [(items, {0}) for items in lists]

    def by(self, plan: Plan, path: Path) -> Sequence[Item]:
        """Those of a journal.

        Raises:
            SpecError: it is of others.
        """
        for items, starts in self._lists:
            for start in sorted(starts):
                found = first_of(items[start:], plan.questions)
                if found is not None:
                    starts.add(start + len(found))
                    return found
        raise SpecError(
            f"{path} was collected of other questions than its store has; name those with"
            " --questions"
        )


async def refresh(
    store: Store,
    servers: Sequence[Server],
    out: Path,
    *,
    probe: str,
    probe_tokens: int = 20,
    probe_stop: Sequence[str] = (),
    dataset: str = "",
    items: Sequence[Item] | None = None,
    session: Session = _DEFAULT,
) -> tuple[Store, list[Collected]]:
    """Ask the branches of a store for their answers anew, as the store OUT/MODEL/DATASET.

    Their text comes from the journals of the store, those of what `top_up` added too, and is not
    sampled again; branches that failed then are.

    Args:
        store: on the disk, its journals beside it.
        probe, probe_tokens, probe_stop: as in `Plan`.
        dataset: the new store's name for the questions; by default the old one's.
        items: the questions as they were collected; by default the store's.

    Returns:
        The new store, and what was collected by each journal.

    Raises:
        SpecError: a journal is not there, or of other questions; or the new store is there
            and is not to be gone on with.
        StoreError, ServerError: as `collect`.
    """
    plan = _to_be_gone_on_with(store, servers)
    own = [] if items is not None and "{options}" in plan.prompt else items_of(store, plan)
    asked = _Asked(items or [], own)
    name = dataset or store.dataset
    folder = store_folder(out, store.model, name)
    changed = {
        "probe": probe,
        "probe_tokens": probe_tokens,
        "probe_stop": tuple(probe_stop),
        "dataset": name,
    }
    journals = _journals_of(store)
    if folder.exists() and not session.resume:
        raise SpecError(
            f"{folder} is there already: go on with --resume, or give another --out or --dataset"
        )
    made: Store | None = None
    found = []
    for before in journals:
        then, lines = await asyncio.to_thread(_read_before, before)
        mine, new = asked.by(then, before), then.model_copy(update=changed)
        path = journal_path(folder).with_name(before.name)
        # Some questions at a time: the text of all branches may be more than memory holds.
        batches = _batches(new, len(mine), lines)
        collection = await gather(new, mine, servers, path, session, batches)
        found.append(collection.collected)
        part = to_store(collection.collected, new, mine, model=store.model)
        made = part if made is None else _with_part(made, part, new)
    assert made is not None
    if folder.exists():
        require_all_in(sum(len(each.finished) for each in found), folder)
    return write(made, folder, overwrite=session.resume), found


def _to_be_gone_on_with(store: Store, servers: Sequence[Server]) -> Plan:
    plan = plan_of(store)
    if plan.controller:
        raise SpecError(f"{store.name} has what {plan.controller} chose, and no whole branches")
    exact = store.manifest.sampling["token_exact"]
    for server in servers:
        if server.can.exact != exact:
            raise SpecError(
                f"{store.name} was collected {'as token ids' if exact else 'by text'}, and"
                f" {server.address} {'takes none' if exact else 'is spoken to by ids'}"
            )
    return plan


def _read_before(main: Path) -> tuple[Plan, dict[int, list[LinePlace]]]:
    """The plan of a journal, and by question where its intervals lie, those of a fleet too."""
    plan: Plan | None = None
    places: dict[int, list[LinePlace]] = {}
    added = main.name.startswith(_TOPPED_UP)  # which no fleet does
    for path in (main, *([] if added else journals_beside(main))):
        start = 0
        for line, end in read_journal(path):
            if isinstance(line, PlanLine) and path == main:
                plan = line.plan
            elif isinstance(line, IntervalLine):
                places.setdefault(line.at[0], []).append(LinePlace(path, start, end))
            start = end
    assert plan is not None
    return plan, places


def _batches(
    plan: Plan, questions: int, places: Mapping[int, Sequence[LinePlace]]
) -> Iterator[Batch]:
    """All questions, about as many at a time as have `_BRANCHES_A_BATCH`."""
    count = max(1, _BRANCHES_A_BATCH // plan.branches)
    for first in range(0, questions, count):
        some = range(first, min(first + count, questions))
        lines = (place.read() for q in some for place in places.get(q, ()))
        # Without probes several intervals came at a time, and now there may be one after each.
        each = (
            part
            for line in lines
            if isinstance(line, IntervalLine)
            for part in line.split(plan.interval)
        )
        yield Batch(frozenset(some), each)
