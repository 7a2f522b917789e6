"""Stores around bare pools, for tests of what plays on them: every first answer is the true one."""

import numpy as np

from autotts.programs import Source, Spec
from autotts.replay.task import Task
from autotts.stores import Manifest, Pool, Store


def store_of(pool: Pool, *, dataset: str = "toy", cost_scale: int = 0) -> Store:
    questions, branches = pool.finals.shape
    there = int(pool.n_branches.sum())
    manifest = Manifest(
        model="toy", dataset=dataset, interval_tokens=pool.interval, billing=pool.billing,
        questions=questions, branches=branches, models=pool.models, digest="",
        cost_scale=cost_scale,
        branches_in_all=None if there == pool.finals.size else there,
    )  # fmt: skip
    answers = tuple(tuple(map(str, range(count))) for count in pool.n_codes.tolist())
    texts = tuple(f"Question {q}?" for q in range(questions))
    return Store(None, manifest, pool, np.zeros(questions, np.int32), answers, texts)


def one_draw(store: Store, **rules) -> Task:
    """One episode of each question, with the branches in the order of the store."""
    questions, width = store.pool.finals.shape
    orders = np.tile(np.arange(width, dtype=np.int32), (questions, 1, 1))
    pairs = np.stack([np.arange(questions), np.zeros(questions, np.int64)], axis=1)
    return Task(store, orders, pairs, **rules)


BY_HAND = Spec("by hand", Source("by hand", "hand.py", "", trusted=True), 0.5, {})
"""For episodes of a function that stands in the test."""
