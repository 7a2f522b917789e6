"""Exploring stores before a search: what matters there, as a run records it and shows it."""

from collections.abc import Callable, Sequence

import numpy as np

from autotts import programs
from autotts.diagnosis.evidence import meaning
from autotts.diagnosis.matters import DRAWS, WIDTHS, WhatMatters, what_matters
from autotts.diagnosis.matters_text import GoingOn, Matters, QuestionFamily, Telling
from autotts.replay.driver import Ran
from autotts.replay.in_process import InProcess
from autotts.replay.task import Task, cells_of
from autotts.stores import Store
from autotts.text import counted, head

_CLOSE = 0.2
_MOST_GROUPS = 12
_SMALLEST_GROUP = 2
_NAME_BYTES = 48

HOPELESS, OUTNUMBERED, CLOSE, CLEAR = (
    "no recorded branch ends right",
    "a wrong answer is more frequent than the right one",
    "the right answer is ahead by less than a fifth of the branches",
    "the right answer is ahead by more",
)


def explore(tasks: Sequence[Task], *, seed: int) -> Matters:
    """What matters on some stores.

    Args:
        tasks, seed: as in `matters.what_matters`.
    """
    found = what_matters(tasks, seed=seed)
    vote, stop = found.vote, found.stop
    widest = programs.parse(f"sc:width={max(WIDTHS)}")
    played = [task.first(min(DRAWS, task.orders.shape[1])) for task in tasks]
    ran = InProcess().run(cells_of(played, [widest]))
    kinds = _families(ran, kinds_of)
    return Matters(
        features=tuple(
            Telling(
                gain.feature, meaning(gain.feature), gain.gain, gain.low, gain.high, gain.points,
                gain.kept,
            )
            for gain in (vote.gains if vote else ())
        ),
        plain=100 * vote.plain if vote else 0.0,
        fitted=100 * vote.right if vote else 0.0,
        contested=vote.questions if vote else 0,
        states=tuple(
            GoingOn(
                float(row.low) if np.isfinite(row.low) else None,
                float(row.high) if np.isfinite(row.high) else None,
                row.count, 100 * row.right, row.gain, row.gain_low, row.gain_high,
            )
            for row in (stop.states if stop else ())
        ),
        families=(*kinds, *_groups(ran)),
        hypotheses=_hypotheses(found, kinds),
    )  # fmt: skip


def kinds_of(store: Store) -> list[str]:
    """Of each question, what kind it is by what its recorded branches end on."""
    kinds = []
    for gold, finals in zip(store.gold.tolist(), store.pool.finals, strict=True):
        known = finals[finals >= 0]
        counts = np.bincount(known, minlength=gold + 1)
        right = int(counts[gold])
        wrong = int(np.delete(counts, gold).max(initial=0))
        if right == 0:
            kinds.append(HOPELESS)
        elif right < wrong:
            kinds.append(OUTNUMBERED)
        else:
            near = right - wrong < _CLOSE * len(known)
            kinds.append(CLOSE if near else CLEAR)
    return kinds


def _families(
    ran: Sequence[Ran], names_of: Callable[[Store], Sequence[str]]
) -> list[QuestionFamily]:
    """Questions by name, that which loses most first."""
    stores = {one.store.key: names_of(one.store) for one in ran}
    names = np.concatenate([stores[one.store.key] for one in ran])
    right, tokens = (
        np.concatenate([one.task.by_question(values).mean(axis=1) for one, values in pairs])
        for pairs in (
            [(one, one.correct.astype(np.float64)) for one in ran],
            [(one, one.tokens.astype(np.float64)) for one in ran],
        )
    )
    found = [
        QuestionFamily(
            str(name),
            int(here.sum()),
            float(100 * right[here].mean()),
            float(100 * (1 - right[here]).sum() / len(right)),
            float(100 * tokens[here].sum() / tokens.sum()),
        )
        for name in dict.fromkeys(names.tolist())
        for here in [names == name]
    ]
    return sorted(found, key=lambda family: -family.lost)


def _groups(ran: Sequence[Ran]) -> list[QuestionFamily]:
    """Groups that all stores name; a group of one question would tell of that question."""
    names = set.intersection(*(set(one.store.groups) for one in ran))
    found = []
    for grouping in sorted(names):

        def of(store: Store, grouping: str = grouping) -> list[str]:
            return [f"{grouping}: {head(value, _NAME_BYTES)}" for value in store.groups[grouping]]

        found += [family for family in _families(ran, of) if family.questions >= _SMALLEST_GROUP]
    return found[:_MOST_GROUPS]


def _hypotheses(found: WhatMatters, kinds: Sequence[QuestionFamily]) -> tuple[str, ...]:
    """Three: two that the fits found, if they did, and one of the questions that lose most."""
    fitted = [f"{one.idea} {one.because}" for one in found.hypotheses[:2]]
    unfitted = (
        "Count votes: no other feature was found to tell the right answer, so a cleverer vote is"
        " not where accuracy is to be had here.",
        "Stop by a plain margin of votes: no lead was found from which going on gains, nor one"
        " from which it doesn't.",
    )
    return (*fitted, *unfitted[len(fitted) :], _of_questions(kinds))


def _of_questions(kinds: Sequence[QuestionFamily]) -> str:
    worst = kinds[0]
    what = (
        f"{worst.lost:.1f} points are lost on {counted(worst.questions, 'question')} where"
        f" {worst.name}, with {worst.tokens:.0f} % of the tokens"
    )
    advice = {
        HOPELESS: "Give up sooner: {}. No rule wins them; find what tells them apart early"
        " (scattered answers, branches that never finish) and spend nothing more on them.",
        OUTNUMBERED: "Don't let the crowd decide: {}. Counting can't win them; only what tells a"
        " right branch from a wrong one can: when it finished, and what it left on its way.",
        CLOSE: "Widen where it is close: {}. More branches settle them; open more while the lead"
        " is small, and take the tokens from questions that are clear.",
        CLEAR: "Read further: {}. The branches hold the right answer; the races stop, or prune,"
        " before they show it.",
    }
    return advice[worst.name].format(what)
