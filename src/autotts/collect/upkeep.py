"""A store that was collected, kept up: more branches, more questions, new probes."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from autotts.collect.branches import read_collected
from autotts.collect.collecting import Collection
from autotts.collect.journal import IntervalLine, PlanLine, journals_beside, packed, read_journal
from autotts.collect.plan import Plan, digest_of
from autotts.collect.questions import Item
from autotts.collect.session import Watch, gather, journal_path
from autotts.collect.writing import to_store
from autotts.errors import SpecError
from autotts.files import whole
from autotts.inference import Server
from autotts.inference.branch import seed_of
from autotts.stores import Store, merge, store_folder, write
from autotts.stores.schema import sealed


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
    at_once: int = 64,
    resume: bool = False,
    watch: Watch | None = None,
) -> tuple[Store, Collection]:
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
    if begun.plan is not None and begun.plan.seed != more.seed:
        raise SpecError(
            f"{path} was begun when {store.path} had other branches; remove it, or put that store"
            " back"
        )
    collection = await gather(
        more, asked, servers, path, at_once=at_once, resume=resume, watch=watch
    )
    part = to_store(collection.collected, more, asked, model=store.model)
    merged = merge([store, part])
    about = {"sampling": store.manifest.sampling, "source": f"{store.manifest.source}, topped up"}
    merged = sealed(replace(merged, manifest=merged.manifest.model_copy(update=about)))
    written = write(merged, store.path, overwrite=True)
    # The text of its branches is kept, beside that of those before.
    kept = journal_path(store.path).with_name(f"topped-up-{part.digest[:12]}.jsonl")
    kept.parent.mkdir(exist_ok=True)
    path.rename(kept)
    path.parent.rmdir()
    return written, collection


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
    at_once: int = 64,
    resume: bool = False,
    watch: Watch | None = None,
) -> tuple[Store, Collection]:
    """Ask the branches of a store for their answers anew, as the store OUT/MODEL/DATASET.

    Their text comes from the journal of the store, and is not sampled again; branches that failed
    then are.

    Args:
        store: on the disk, its journal beside it.
        probe, probe_tokens, probe_stop: as in `Plan`.
        dataset: the new store's name for the questions; by default the old one's.
        items: the questions as they were collected; by default the store's.

    Raises:
        SpecError: the journal is not there, or of other questions; or the new store is there.
        StoreError, ServerError: as `collect`.
    """
    assert store.path is not None
    before = journal_path(store.path)
    plan = _to_be_gone_on_with(store, servers)
    asked = list(items) if items is not None else items_of(store, plan)
    if not before.is_file():
        raise SpecError(f"{store.path}: no journal {before}, which has the text of its branches")
    if digest_of(asked) != plan.questions:
        raise SpecError(
            f"{before} was collected of other questions; name those with --questions, and with"
            " --first as then"
        )
    name = dataset or store.dataset
    folder = store_folder(out, store.model, name)
    changed = {
        "probe": probe,
        "probe_tokens": probe_tokens,
        "probe_stop": tuple(probe_stop),
        "dataset": name,
    }
    path = journal_path(folder)
    if folder.exists():
        raise SpecError(f"{folder} is there already; give another --out or --dataset")
    fresh = not path.exists()
    new = await asyncio.to_thread(_begun_again, before, path if fresh else None, changed)
    collection = await gather(
        new, asked, servers, path, at_once=at_once, resume=resume or fresh, watch=watch
    )
    made = to_store(collection.collected, new, asked, model=store.model)
    return write(made, folder), collection


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


def _begun_again(before: Path, path: Path | None, changed: Mapping[str, object]) -> Plan:
    """The plan of a journal, with something changed.

    Args:
        path: where a journal of that plan is begun, with the same intervals; None for nowhere.
    """
    plan: Plan | None = None
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) if path else contextlib.nullcontext() as file:
        for line, _ in read_journal(before):
            if isinstance(line, PlanLine):
                plan = line.plan.model_copy(update=dict(changed))
                line = PlanLine(plan=plan)
            if file and isinstance(line, PlanLine | IntervalLine):
                file.write(packed(line))
        for line, _ in chain.from_iterable(map(read_journal, journals_beside(before))):
            if file and isinstance(line, IntervalLine):
                file.write(packed(line))
    assert plan is not None
    return plan
