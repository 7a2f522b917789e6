"""Stores made of others, question by question: several one, one two, true answers put in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from autotts.answers import Equality
from autotts.errors import StoreError
from autotts.stores.classes import classified, spellings_of
from autotts.stores.manifest import priced
from autotts.stores.recordings import Branch, Recording, build
from autotts.stores.regrading import regrade
from autotts.stores.schema import Store
from autotts.text import counted


def recordings_of(store: Store) -> list[Recording]:
    """What `build` would make the store of: every answer as it was recorded."""
    pool, spelled = store.pool, spellings_of(store)
    signals = {name: values.tolist() for name, values in pool.signals.items()}
    used = {name: values.tolist() for name, values in store.used.items()}
    found = []
    for q, strings in enumerate(spelled.answers):
        branches = []
        for i in range(int(pool.n_branches[q])):
            depth = int(pool.lengths[q, i])
            shown = None if spelled.probes is None else spelled.probes[q, i, :depth].tolist()
            branches.append(
                Branch(
                    probes=None if shown is None else [strings[code] for code in shown],
                    tokens=int(pool.tokens[q, i]),
                    final=strings[spelled.finals[q, i]],
                    ends=None if pool.ends is None else pool.ends[q, i, :depth].tolist(),
                    model=0 if pool.model is None else int(pool.model[q, i]),
                    signals={name: values[q][i][:depth] for name, values in signals.items()},
                    used={name: values[q][i] for name, values in used.items()},
                )
            )
        found.append(
            Recording(
                store.texts[q],
                tuple(strings[code] for code in spelled.golds[q]),
                branches,
                id=None if store.ids is None else store.ids[q],
                weight=None if store.weights is None else float(store.weights[q]),
                groups={name: values[q] for name, values in store.groups.items()},
            )
        )
    return found


def join(
    stores: Sequence[Store], prices: Sequence[str], *, model: str = "", price_unit: str = ""
) -> Store:
    """The branches of several models on one dataset as one store, whose programs choose a model.

    Where models were recorded in other intervals, or are billed by other rules, every branch keeps
    what its own intervals hold, the last of which is the rest: `interval_tokens` is the longest
    nominal interval, and all are billed exactly.

    Args:
        stores: one of each model, over the same questions.
        prices: of a token of each model, as decimals in one unit.
        model: what the models are called together; their names with "+" between them by default.
        price_unit: what the prices are in.

    Raises:
        StoreError: the stores have not the same questions, true answers, parts or equality; a
            model is named twice; or a price is none.
    """
    names = [store.model for store in stores]
    if len(stores) < 2 or len(prices) != len(stores):
        raise StoreError(f"{len(prices)} prices for {len(stores)} stores; join two or more")
    if len(set(names)) != len(names):
        raise StoreError(f"a model twice: {', '.join(names)}; `merge` adds branches of one model")
    for store in stores:
        if store.pool.models:
            raise StoreError(f"{store.name} has several models already")
    _require_alike(stores, ("dataset",))
    models, scale = priced(dict(zip(names, prices, strict=True)))
    questions = _by_question(stores)
    for key, parts in questions.items():
        missing = [stores[k].name for k in range(len(stores)) if k not in parts]
        if missing:
            raise StoreError(f"{missing[0]} has no question {key[:60]!r}, which another store has")
    uneven = _differ_in_intervals(stores)

    def of_model(k: int, branch: Branch) -> Branch:
        own = _with_ends(branch, stores[k]) if uneven else branch
        return replace(own, model=k)

    recordings = [_one(parts, of_model) for parts in questions.values()]
    intervals: dict[str, Any] = {}
    if uneven:
        longest = max(store.pool.interval for store in stores)
        intervals = {"interval_tokens": longest, "billing": "exact"}
    about = {
        **intervals,
        "model": model or "+".join(names), "models": models, "cost_scale": scale,
        "price_unit": price_unit,
    }  # fmt: skip
    return _built(stores, recordings, "joined", about)


def merge(stores: Sequence[Store]) -> Store:
    """Stores of one model and dataset as one: more branches, more questions, or both.

    Branches of a question that several stores have stand one behind the other, in the order of
    the stores; questions in the order in which they first occur.

    Raises:
        StoreError: the stores are of several models or datasets, differ in true answers,
            intervals, billing, parts or equality, or one is given twice.
    """
    if len(stores) < 2:
        raise StoreError(f"{len(stores)} stores; merge two or more")
    if len({store.digest for store in stores}) != len(stores):
        raise StoreError("two stores have the same content: their branches would count twice")
    _require_alike(stores, (
        "model", "dataset", "models", "cost_scale", "price_unit", "interval_tokens", "billing",
    ))  # fmt: skip
    recordings = [_one(parts, lambda _, branch: branch) for parts in _by_question(stores).values()]
    first = stores[0].manifest
    about = {name: getattr(first, name) for name in ("model", "models", "cost_scale", "price_unit")}
    return _built(stores, recordings, "merged", about)


def split(store: Store, share: float, *, seed: int = 0) -> tuple[Store, Store]:
    """Two stores with other questions each, drawn at random.

    Args:
        share: of the questions that the first one gets, rounded.

    Returns:
        `DATASET-a` and `DATASET-b`, questions in the order of the store.

    Raises:
        StoreError: one of them would have no question.
    """
    count = len(store.texts)
    taken = round(share * count)
    if not 0 < taken < count:
        raise StoreError(f"{share:g} of {count} questions: each part needs at least one")
    first = np.zeros(count, bool)
    first[np.random.default_rng(seed).permutation(count)[:taken]] = True
    every, spelled, about = recordings_of(store), spellings_of(store), store.manifest
    parts = []
    for name, chosen in (("a", first), ("b", ~first)):
        at = np.flatnonzero(chosen).tolist()
        told = {n: getattr(about, n) for n in ("model", "models", "cost_scale", "price_unit")}
        part = _built([store], [every[q] for q in at], f"part {name}, seed {seed}", {
            **told, "dataset": f"{about.dataset}-{name}",
        }, regraded=False)  # fmt: skip
        labels = [spelled.classes[q].tolist() for q in at]
        parts.append(
            classified(
                part,
                labels,
                equality=about.equality,
                judge=about.judge,
                unreadable=about.unreadable,
            )
        )
    return parts[0], parts[1]


def grade(store: Store, golds: Mapping[str, str | Sequence[str]]) -> Store:
    """The store with true answers, which were not known or are put right.

    Args:
        golds: what is accepted, by a question's id; by its text in a store without ids. Others do
            no harm.

    Raises:
        StoreError: a question has none.
    """
    every = recordings_of(store)
    missing = [one for one in every if (one.id or one.question) not in golds]
    if missing:
        what = "text" if store.ids is None else "id"
        first = (missing[0].id or missing[0].question)[:60]
        raise StoreError(
            f"{store.name}: no true answer for {counted(len(missing), 'question')} of"
            f" {len(every)}, the first of {what} {first!r}; nothing was changed"
        )
    told = {n: getattr(store.manifest, n) for n in ("model", "models", "cost_scale", "price_unit")}
    graded = [replace(one, gold=golds[one.id or one.question]) for one in every]
    return _built([store], graded, "graded", {**told, "ungraded": False})


def _by_question(stores: Sequence[Store]) -> dict[str, dict[int, Recording]]:
    """By id, or by text where there are no ids: a question as each store by number has it."""
    named = {store.ids is not None for store in stores}
    if len(named) > 1:
        raise StoreError("some of the stores have ids for their questions, others don't")
    found: dict[str, dict[int, Recording]] = {}
    for k, store in enumerate(stores):
        for recording in recordings_of(store):
            parts = found.setdefault(recording.id or recording.question, {})
            parts[k] = recording
            first = next(iter(parts.values()))
            if set(recording.golds) != set(first.golds):
                raise StoreError(
                    f"{store.name}: to {recording.question[:60]!r} {' or '.join(recording.golds)}"
                    f" is right, to another store {' or '.join(first.golds)}"
                )
            for name, own, other in (
                ("weight", recording.weight, first.weight),
                ("groups", dict(recording.groups), dict(first.groups)),
            ):
                if own != other:
                    raise StoreError(
                        f"{store.name}: {name} of {recording.question[:60]!r}: {own}, in another"
                        f" store {other}"
                    )
    return found


def _one(parts: Mapping[int, Recording], told: Callable[[int, Branch], Branch]) -> Recording:
    """One question with the branches of all stores that have it."""
    branches = [told(k, branch) for k, part in parts.items() for branch in part.branches]
    names = dict.fromkeys(name for branch in branches for name in branch.signals)
    if any(branch.signals.keys() != names.keys() for branch in branches):
        raise StoreError(f"stores differ in their signals, {', '.join(names)} among them")
    return replace(next(iter(parts.values())), branches=branches)


def _differ_in_intervals(stores: Sequence[Store]) -> bool:
    """Whether branches of several models can't be cut and billed by one rule."""
    rules = {(s.pool.interval, s.pool.billing, s.pool.ends is None) for s in stores}
    return len(rules) > 1


def _with_ends(branch: Branch, store: Store) -> Branch:
    """A branch of a store with what its intervals hold written down, the rest in the last one."""
    interval, tokens = store.pool.interval, branch.tokens
    ends = branch.ends
    if ends is None:
        depth = branch.intervals(interval, store.pool.billing)
        ends = [min((k + 1) * interval, tokens) for k in range(depth)]
    return replace(branch, ends=[*ends[:-1], tokens])


def _require_alike(stores: Sequence[Store], fields: Sequence[str]) -> None:
    for name in (*fields, "failed_answer", "equality"):
        values = {str(getattr(store.manifest, name)): store.name for store in stores}
        if len(values) > 1:
            told = ", ".join(f"{value} in {store}" for value, store in values.items())
            raise StoreError(f"the stores differ in {name}: {told}")


def _built(
    stores: Sequence[Store],
    recordings: Sequence[Recording],
    how: str,
    about: Mapping[str, Any],
    *,
    regraded: bool = True,
) -> Store:
    """A store of recordings that come from others, which have one equality."""
    first = stores[0].manifest
    families = {store.manifest.family for store in stores}
    sampling: dict[str, Any] = dict(first.sampling)
    if any(store.manifest.sampling != first.sampling for store in stores):
        sampling = {
            f"{store.name} {store.digest[:12]}": store.manifest.sampling for store in stores
        }
    counted = dict.fromkeys(s.manifest.tokens_counted for s in stores if s.manifest.tokens_counted)
    told = {
        "dataset": first.dataset,
        "interval_tokens": first.interval_tokens,
        "billing": first.billing,
        "failed_answer": first.failed_answer,
        "family": families.pop() if len(families) == 1 else "",
        "tokens_counted": "; ".join(counted),
        "sampling": sampling,
        "source": f"{how}: " + ", ".join(f"{store.name} {store.digest[:12]}" for store in stores),
    }
    store = build(recordings, **{**told, **about})
    unreadable = tuple(dict.fromkeys(t for s in stores for t in s.manifest.unreadable))
    if not regraded or (first.equality == "exact" and not unreadable):
        return store
    return regrade(store, equality=cast(Equality, first.equality), unreadable=unreadable)
