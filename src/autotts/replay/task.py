"""What is played: a task, the rules it is played under, and a cell, a program's turn at it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autotts.programs import Source, Spec
from autotts.replay.draws import Deal
from autotts.stores import Pool, Store


def limit(budget: int | None) -> int:
    """A budget as compiled code takes it, which has no None: -1 for none."""
    return -1 if budget is None else budget


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds in every episode of a task.

    budget: tokens; None for no limit.
    cost_budget: cost units, tokens times the prices of their models; None for no limit.
    probe_tokens: tokens of a probe.
    abstain: whether a failed extraction is no answer, instead of an answer that votes.
    max_branches: most branches an episode may open; None for as many as its order has.
    """

    budget: int | None = None
    cost_budget: int | None = None
    probe_tokens: int = 0
    abstain: bool = False
    max_branches: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Episodes over a store, whatever program plays them.

    orders: `[Q, D, W]` int32: branches in the order an episode gets them, those of each model in
        this order. Of a question that has fewer the order goes on with -1.
    pairs: `[E, 2]` int64: (question, draw) of each episode.
    deal: how the orders were dealt; None where nobody can deal them again.
    cluster: the grouping of the store whose questions are resampled together; no episode knows it.
    """

    store: Store
    orders: np.ndarray
    pairs: np.ndarray
    rules: Rules = Rules()
    deal: Deal | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        questions = len(self.store.gold)
        if self.orders.ndim != 3 or len(self.orders) != questions:
            raise ValueError(
                f"{self.store.name} has {questions} questions; orders must be"
                f" [{questions}, D, W], got {list(self.orders.shape)}"
            )
        inside = (self.pairs >= 0) & (self.pairs < self.orders.shape[:2])
        if self.pairs.ndim != 2 or not inside.all():
            raise ValueError(
                f"episodes are (question, draw) below {self.orders.shape[:2]}, got"
                f" {self.pairs[~inside.all(axis=-1)][:1].tolist() or self.pairs.shape}"
            )

    @property
    def pool(self) -> Pool:
        return self.store.pool

    @property
    def ceiling(self) -> int:
        """Most branches that an episode of any question may open."""
        width = int(self.orders.shape[2])
        most = self.rules.max_branches
        return width if most is None else min(width, most)

    @property
    def ceilings(self) -> np.ndarray:
        """`[Q]` int64: most branches an episode of each question may open."""
        return np.minimum(self.pool.n_branches, self.ceiling)

    def left(self, question: int, draw: int) -> np.ndarray:
        """`[M]` how many branches of each model a draw has; none is counted with one model."""
        if self.pool.model is None:
            return np.zeros(1, np.int64)
        rows = self.orders[question, draw]
        models = self.pool.model[question, rows[rows >= 0]]
        return np.bincount(models, minlength=len(self.pool.models))

    def rows(self, question: int, draw: int, models: np.ndarray) -> np.ndarray:
        """`[n]` where the pool has the branches of an episode, by the model of each, `[n]`."""
        order = self.orders[question, draw]
        if self.pool.model is None:
            return order[: len(models)]
        made_by = np.where(order < 0, -1, self.pool.model[question, order])
        rows = np.empty(len(models), order.dtype)
        for model in np.unique(models):
            own = models == model
            rows[own] = order[made_by == model][: np.count_nonzero(own)]
        return rows

    def some(self, pairs: np.ndarray) -> "Task":
        """The same with these episodes only, `[E, 2]` int64."""
        return replace(self, pairs=pairs)

    def first(self, draws: int) -> "Task":
        """Every episode of the first so many draws."""
        orders = np.ascontiguousarray(self.orders[:, :draws])
        deal = self.deal and replace(self.deal, kept=orders.shape[1])
        return replace(self, orders=orders, pairs=all_pairs(orders), deal=deal)

    def by_question(self, values: np.ndarray) -> np.ndarray:
        """One value per episode `[E]` as `[Q, D]`.

        Raises:
            ValueError: the task has not every draw of every question, in order.
        """
        shape = self.orders.shape[:2]
        if not np.array_equal(self.pairs, all_pairs(self.orders)):
            raise ValueError(f"{len(self.pairs)} episodes are not all {shape[0]} x {shape[1]}")
        return values.reshape(shape)


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A program at one setting, a beta and named parameters, on a task."""

    task: Task
    spec: Spec


def all_pairs(orders: np.ndarray) -> np.ndarray:
    """`[Q * D, 2]` every (question, draw) of the orders `[Q, D, W]`, question by question."""
    questions, draws, _ = orders.shape
    return np.stack(np.divmod(np.arange(questions * draws), draws), axis=1)


def cells_of(tasks: Sequence[Task], specs: Iterable[Spec]) -> list[Cell]:
    """Each setting on each task: by setting, then by task."""
    return [Cell(task, spec) for spec in specs for task in tasks]


def program_of(cells: Sequence[Cell]) -> Source:
    """The one program that cells are of.

    Raises:
        ValueError: there are no cells, or they are of several programs.
    """
    sources = {cell.spec.source for cell in cells}
    if len(sources) != 1:
        names = ", ".join(sorted(source.name for source in sources)) or "none"
        raise ValueError(f"cells that run together are of one program, got {names}")
    return sources.pop()
