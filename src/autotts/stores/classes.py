"""Which answers are one answer: a store's votes in classes, and back to the strings recorded."""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace

import numpy as np

from autotts.errors import StoreError
from autotts.stores.recordings import failed_codes
from autotts.stores.schema import Spellings, Store, by_class, sealed


def spellings_of(store: Store) -> Spellings:
    """The answers as they were recorded; where each string is an answer of its own, as they are."""
    if store.spellings is not None:
        return store.spellings
    golds = store.golds or tuple((code,) for code in store.gold.tolist())
    own = tuple(np.arange(len(strings), dtype=np.int32) for strings in store.answers)
    return Spellings(store.answers, store.pool.probes, store.pool.finals, golds, own)


def classified(
    store: Store,
    labels: Sequence[Sequence[Hashable]],
    *,
    equality: str = "exact",
    judge: str = "",
    unreadable: Collection[str] = (),
) -> Store:
    """The store with other classes: votes, true answers and digest follow, whatever it had before.

    Args:
        labels: per question, one for each string of `spellings_of(store)`; strings with the same
            label are one answer.
        equality, judge: what the labels come from, for the manifest.
        unreadable: strings that are one failed answer, whatever their labels.

    Raises:
        StoreError: the labels are not one for each string.
    """
    spelled = spellings_of(store)
    failed = {store.manifest.failed_answer, *unreadable}
    classes, answers = [], []
    for q, (strings, given) in enumerate(zip(spelled.answers, labels, strict=True)):
        if len(given) != len(strings):
            raise StoreError(f"question {q}: {len(given)} labels for {len(strings)} answers")
        known: dict[tuple[bool, Hashable], int] = {}
        found = [
            known.setdefault((text in failed, None if text in failed else label), len(known))
            for text, label in zip(strings, given, strict=True)
        ]
        classes.append(np.array(found, np.int32))
        shown = {k: strings[found.index(k)] for k in known.values()}
        shown |= {found[code]: strings[code] for code in reversed(spelled.golds[q])}
        if (True, None) in known:
            shown[known[True, None]] = store.manifest.failed_answer
        answers.append(tuple(shown[k] for k in range(len(known))))
    return _with_classes(
        store,
        replace(spelled, classes=tuple(classes)),
        tuple(answers),
        {"equality": equality, "judge": judge, "unreadable": tuple(unreadable)},
    )


def _with_classes(
    store: Store,
    spelled: Spellings,
    answers: tuple[tuple[str, ...], ...],
    told: dict[str, object],
) -> Store:
    golds = tuple(
        tuple(dict.fromkeys(int(classes[code]) for code in codes))
        for classes, codes in zip(spelled.classes, spelled.golds, strict=True)
    )
    probes = None if spelled.probes is None else by_class(spelled.probes, spelled.classes)
    pool = replace(
        store.pool,
        probes=probes,
        finals=by_class(spelled.finals, spelled.classes),
        failed=failed_codes(answers, store.manifest.failed_answer),
        n_codes=np.array([len(known) for known in answers], np.int32),
    )
    return sealed(
        replace(
            store,
            path=None,
            manifest=store.manifest.model_copy(update=told),
            pool=pool,
            gold=np.array([codes[0] for codes in golds], np.int32),
            answers=answers,
            golds=golds if any(len(codes) > 1 for codes in golds) else None,
            spellings=None if answers == spelled.answers else spelled,
        )
    )
