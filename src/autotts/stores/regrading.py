"""Votes and true answers of a store by another equality, without sampling again."""

import os
from collections.abc import Callable, Collection, Hashable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import numpy as np

from autotts.answers import UNREADABLE, Equality, classify, judged_by, letter, normalise
from autotts.stores.classes import classified, spellings_of
from autotts.stores.schema import Spellings, Store
from autotts.text import counted, percent

_CHOICES = "ABCDEFGHIJ"
_SHARE_OF_CHOICES = 0.9

OnGraded = Callable[[str, int, int], None]
"""Told as a store is graded: its name, and how many questions are done of how many."""


def regrade(
    store: Store,
    *,
    equality: Equality,
    unreadable: Collection[str] | None = None,
    on_graded: OnGraded = lambda name, done, of: None,
) -> Store:
    """The store with answers that are equal as one vote; what was recorded is kept with it.

    The true answers take no part in what is one vote.

    Args:
        unreadable: answers that stand for none, in upper or lower case; those of the store
            without. One that is a true answer stands for itself.
        on_graded: for progress. What it raises, or Ctrl-C, ends the work after the comparisons
            that are under way; verdicts are kept, so the next time begins with them.
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
    found = _labels(spelled, equality, lambda done, of: on_graded(store.name, done, of))
    return classified(
        store, found, equality=equality, judge=judged_by(equality), unreadable=sorted(lost)
    )


def _labels(
    spelled: Spellings, equality: Equality, on_question: Callable[[int, int], None]
) -> Sequence[Sequence[Hashable]]:
    """Per question, the class of each string."""
    ended = Event()

    def go_on() -> None:
        if ended.is_set():
            raise CancelledError

    def labels(q: int) -> list[int]:
        counts = _counts(spelled, q)
        return classify(spelled.answers[q], counts, equality=equality, before_each=go_on)

    questions = len(spelled.answers)
    found: list[list[int]] = []
    # Formulas are compared by other processes, which threads wait for.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:
        try:
            for one in threads.map(labels, range(questions)):
                found.append(one)
                on_question(len(found), questions)
        finally:
            ended.set()
    return found


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


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What another equality would change; shares are in [0, 1].

    questions: those in which branches end on other votes.
    right: the share of branches that are right, before and after.
    majority: the share of questions that the vote of all branches gets right, before and after.
    """

    before: str
    after: str
    questions: tuple[int, ...]
    right: tuple[float, float]
    majority: tuple[float, float]

    def __str__(self) -> str:
        changed = counted(len(self.questions), "question")
        right, majority = (
            " instead of ".join(f"{percent(share)} %" for share in reversed(pair))
            for pair in (self.right, self.majority)
        )
        return (
            f"{self.after} instead of {self.before}: other votes in {changed}; branches right"
            f" {right}, votes of all branches right {majority}"
        )


def disagreement(
    store: Store, equality: Equality, on_graded: OnGraded = lambda name, done, of: None
) -> Disagreement:
    """What a store's votes and true answers would be by another equality."""
    other = regrade(store, equality=equality, on_graded=on_graded)
    changed = [
        q
        for q, (a, b) in enumerate(zip(store.pool.finals, other.pool.finals, strict=True))
        if len({*zip(a.tolist(), b.tolist(), strict=True)}) != len({*a.tolist()})
        or len({*a.tolist()}) != len({*b.tolist()})
    ]
    there = store.pool.exists
    return Disagreement(
        store.manifest.equality,
        equality,
        tuple(changed),
        (float(store.correct[there].mean()), float(other.correct[there].mean())),
        (_majority(store), _majority(other)),
    )


def _majority(store: Store) -> float:
    """Share of questions whose most frequent final answer, the first of equals, is right."""
    votes = np.array([np.bincount(row[row >= 0]).argmax() for row in store.pool.finals])
    return float(store.accepts(votes).mean())


def spelled_differently(store: Store) -> tuple[int, float]:
    """Questions with answers that are one but for their spelling, and the share right without it.

    A quick look, by the normal forms of answers alone.
    """
    questions = 0
    right = np.zeros(store.pool.finals.shape, bool)
    choices = equality_for(store, UNREADABLE) == "choice"
    for q, strings in enumerate(store.answers):
        forms = [(letter(text) if choices else "") or normalise(text) for text in strings]
        questions += len(set(forms)) < len(forms)
        golds = {forms[code] for code in (store.golds[q] if store.golds else (store.gold[q],))}
        accepted = np.array([form in golds for form in forms])
        finals = store.pool.finals[q]
        right[q] = accepted[finals] & (finals >= 0)
    return questions, float(right[store.pool.exists].mean())


def _counts(spelled: Spellings, q: int) -> list[int]:
    """How often each string of a question was read, in probes and at the end."""
    shown = [spelled.finals[q].ravel()]
    if spelled.probes is not None:
        shown.append(spelled.probes[q].ravel())
    codes = np.concatenate(shown)
    counts: list[int] = np.bincount(codes[codes >= 0], minlength=len(spelled.answers[q])).tolist()
    return counts
