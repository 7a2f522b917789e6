"""Votes and true answers of a store by another equality, without sampling again."""

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from autotts.answers import UNREADABLE, Equality, classify, judged_by, letter
from autotts.stores.classes import classified, spellings_of
from autotts.stores.schema import Spellings, Store

_CHOICES = "ABCDEFGHIJ"
_SHARE_OF_CHOICES = 0.9


def regrade(
    store: Store, *, equality: Equality, unreadable: Collection[str] | None = None
) -> Store:
    """The store with answers that are equal as one vote; what was recorded is kept with it.

    The true answers take no part in what is one vote.

    Args:
        unreadable: answers that stand for none, in upper or lower case; those of the store
            without. One that is a true answer stands for itself.
    """
    if unreadable is None:
        unreadable = store.manifest.unreadable or UNREADABLE
    spelled = spellings_of(store)
    golds = {
        spelled.answers[q][code].strip().casefold()
        for q, codes in enumerate(spelled.golds)
        for code in codes
    }
    marks = {mark.strip().casefold() for mark in unreadable} - golds
    lost = {t for strings in spelled.answers for t in strings if t.strip().casefold() in marks}

    def labels(q: int) -> list[int]:
        counts = _counts(spelled, q)
        return classify(spelled.answers[q], counts, equality=equality)

    # Formulas are compared by other processes, which threads wait for.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:
        found = list(threads.map(labels, range(len(spelled.answers))))
    return classified(
        store, found, equality=equality, judge=judged_by(equality), unreadable=sorted(lost)
    )


def equality_for(store: Store, unreadable: Collection[str]) -> Equality:
    """What a look at answers says that they are: choices, or else mathematics."""
    marks = {mark.strip().casefold() for mark in unreadable}
    golds = [store.answers[q][code] for q, code in enumerate(store.gold)]
    if any(letter(gold) not in _CHOICES or not letter(gold) for gold in golds):
        return "math"
    chosen = read = 0
    for strings, finals in zip(store.answers, store.pool.finals, strict=True):
        codes, counts = np.unique(finals[finals >= 0], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            if strings[code].strip().casefold() not in marks:
                read += count
                chosen += count if letter(strings[code]) else 0
    return "choice" if chosen >= _SHARE_OF_CHOICES * read else "math"


def _counts(spelled: Spellings, q: int) -> list[int]:
    """How often each string of a question was read, in probes and at the end."""
    shown = [spelled.finals[q].ravel()]
    if spelled.probes is not None:
        shown.append(spelled.probes[q].ravel())
    codes = np.concatenate(shown)
    counts: list[int] = np.bincount(codes[codes >= 0], minlength=len(spelled.answers[q])).tolist()
    return counts
