"""Folds: what is learned is judged on questions, and on families of models, that it did not see."""

from dataclasses import dataclass

import numpy as np

from autotts.diagnosis.evidence import Evidence

_GROUPS = 3


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPart:
    """What is learned from: these questions, `[K]` bool, of these stores, `[S]` bool."""

    stores: np.ndarray
    questions: np.ndarray

    def of(self, evidence: Evidence) -> Evidence:
        """Its checkpoints."""
        return evidence.only(self.stores[evidence.store] & self.questions[evidence.key])


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """A way to leave each question of each store out once.

    of: `[S, K]` the fold that a question of a store is left out in.
    taught: for each fold what is learned from in it, which has no question that is left out in it
        and, where there are several families, no store of a family that is.
    """

    of: np.ndarray
    taught: tuple[TrainingPart, ...]


def split(family: np.ndarray, questions: int, folds: int, rng: np.random.Generator) -> Folds:
    """Folds of questions alone where all stores are of one family.

    With several, the families are put into at most three groups, and a fold leaves out one group
    and a share of the questions: six folds are three groups by two halves of the questions.

    Args:
        family: `[S]` a number by store, from 0.
        questions: K.
        folds: how many, at least.
        rng: consumed.
    """
    families = int(family.max()) + 1
    groups = min(families, _GROUPS)
    parts = -(-folds // groups)
    part = rng.permutation(np.arange(questions) % parts)
    group = np.zeros(families, np.int64)
    if groups > 1:
        group = rng.permutation(np.arange(families) % groups)
    by_store = group[family]
    taught = tuple(
        TrainingPart((by_store != g) | (groups == 1), part != k)
        for g in range(groups)
        for k in range(parts)
    )
    return Folds(by_store[:, None] * parts + part, taught)
