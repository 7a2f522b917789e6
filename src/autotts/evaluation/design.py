"""How questions stand for what they are a sample of: how much each counts, and which go together.

Recordings are mixtures. A question may count for more or less than another (a dataset that was
thinned, topics to be balanced), and questions of one group (of a passage, of a competition, one
asked twice in other words) share their difficulty, so that ten of them are less than ten. Means
are weighted by the store's weights; where a grouping is named its groups are resampled whole, as
in any cluster bootstrap.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotts.errors import SpecError, StoreError
from autotts.stores import Store, StoreKey

Values = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The questions of a mean and of its interval.

    questions: Q.
    weights: float64 `[Q]` how much each counts, 0 or more; None where all count the same.
    clusters: int64 `[Q]` the number of the group that each is resampled with; None where each is
        resampled by itself.
    """

    questions: int
    weights: NDArray[np.float64] | None = None
    clusters: NDArray[np.int64] | None = None

    @property
    def even(self) -> bool:
        """Whether all questions count the same, each by itself."""
        return self.weights is None and self.clusters is None

    @property
    def shares(self) -> NDArray[np.float64]:
        """`[Q]` what each question counts in a mean; they add up to 1."""
        if self.weights is None:
            return np.full(self.questions, 1 / self.questions)
        return np.asarray(self.weights / self.weights.sum())

    @property
    def units(self) -> int:
        """How many questions of equal weight, drawn one by one, would tell as much, rounded down.

        Those of a group are one; of unequal weights fewer are worth as much (Kish 1965).
        """
        if self.even:
            return self.questions
        return int(worth(self.by_unit(np.ones(self.questions))) + 1e-9)

    def by_unit(self, values: Values) -> NDArray[np.float64]:
        """What each question, or each group, adds to the mean of values `[Q]`."""
        clusters = np.arange(self.questions) if self.clusters is None else self.clusters
        return np.asarray(np.bincount(clusters, self.shares * values), np.float64)

    def mean(self, values: Values) -> float:
        """The mean of values `[Q, D]` of questions and draws."""
        if self.weights is None:
            return float(values.mean())
        return float(self.shares @ values.mean(axis=1))

    @property
    def drawn_units(self) -> int:
        """How many there are to draw from: questions, or groups that count."""
        return self.questions if self.even else len(self._groups()[0])

    def drawn(self, resamples: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
        """`[resamples, U]` how often each resample has each question, or each group that counts.

        Args:
            rng: consumed.
        """
        units = self.drawn_units
        return rng.multinomial(units, np.full(units, 1 / units), size=resamples)

    def weights_of(self, drawn: Values) -> NDArray[np.float64]:
        """`[resamples, Q]` what each question counts in each resample; a row adds up to 1.

        Args:
            drawn: `[resamples, U]` whole numbers as `drawn` gives them.
        """
        if self.even:
            return np.asarray(drawn / self.questions)
        _, at = self._groups()
        counts = np.zeros((len(drawn), self.questions))
        counts[:, self.shares > 0] = drawn[:, at] * self.shares[self.shares > 0]
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def _groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The groups that count, and which of them each question that counts belongs to.

        A group of no weight says nothing, and a resample of such groups alone would be none.
        """
        clusters = np.arange(self.questions) if self.clusters is None else self.clusters
        known, at = np.unique(clusters[self.shares > 0], return_inverse=True)
        return known, at

    def agrees(self, other: "Design") -> bool:
        """Whether two designs of as many questions count them alike; true of other numbers."""
        if self.questions != other.questions:
            return True
        if self.clusters is None or other.clusters is None:
            together = self.clusters is other.clusters
        else:
            together = np.array_equal(self.clusters, other.clusters)
        return together and np.array_equal(self.shares, other.shares)

    def only(self, chosen: Values) -> "Design":
        """The design of some of the questions.

        Args:
            chosen: bool `[Q]`, or the numbers of the questions in the order they shall have.
        """
        weights = None if self.weights is None else self.weights[chosen]
        clusters = None if self.clusters is None else self.clusters[chosen]
        return Design(len(np.arange(self.questions)[chosen]), weights, clusters)


def worth(amounts: Values) -> float:
    """How many equal amounts would be spread as these are, which are 0 or more (Kish 1965)."""
    return float(amounts.sum() ** 2 / (amounts**2).sum()) if amounts.any() else 0.0


def joined(designs: Sequence[Design]) -> Design:
    """The questions of several datasets, one after the other; datasets count by their questions."""
    weights = clusters = None
    if any(one.weights is not None for one in designs):
        weights = np.concatenate([one.shares * one.questions for one in designs])
    if any(one.clusters is not None for one in designs):
        parts, first = [], 0
        for one in designs:
            own = np.arange(one.questions) if one.clusters is None else one.clusters
            parts.append(own + first)
            first += int(own.max()) + 1
        clusters = np.concatenate(parts)
    return Design(sum(one.questions for one in designs), weights, clusters)


def design_of(store: Store, cluster: str | None = None) -> Design:
    """How the questions of a store count.

    Args:
        cluster: the grouping whose groups are resampled whole; each question by itself without.

    Raises:
        SpecError: the store has no such grouping.
    """
    clusters = None
    if cluster is not None:
        if cluster not in store.groups:
            known = ", ".join(sorted(store.groups)) or "none"
            raise SpecError(
                f"cluster {cluster}: {store.name} has no grouping of that name; its groupings:"
                f" {known}"
            )
        _, clusters = np.unique(np.array(store.groups[cluster]), return_inverse=True)
    return Design(len(store.texts), store.weights, clusters)


def shared_rows(stores: Iterable[Store]) -> dict[StoreKey, NDArray[np.int64]]:
    """By store, `[Q]` its questions in the order in which a dataset's first model has them.

    They are told by their ids where both stores have some, and else by their texts.

    Raises:
        StoreError: models of one dataset have other questions.
    """
    rows: dict[StoreKey, NDArray[np.int64]] = {}
    firsts: dict[str, Store] = {}
    for store in sorted(stores, key=lambda one: one.key):
        rows[store.key] = _rows_as(firsts.setdefault(store.dataset, store), store)
    return rows


def _rows_as(first: Store, store: Store) -> NDArray[np.int64]:
    names, own = first.texts, store.texts
    if first.ids is not None and store.ids is not None:
        names, own = first.ids, store.ids
    if names == own:
        return np.arange(len(own))
    # Of questions that are called the same the first is the first.
    at, found = (np.array(sorted(range(len(one)), key=one.__getitem__)) for one in (names, own))
    if sorted(names) != sorted(own):
        alone = min({*names} ^ {*own}, default="")
        raise StoreError(
            f"{store.name} has {len(own)} questions and {first.name} {len(names)}, and they are"
            f" not the same ones ({alone[:80]!r} is in one alone); models of one dataset must"
            " share theirs: name one of the datasets otherwise"
        )
    rows = np.empty(len(own), np.int64)
    rows[at] = found
    return rows
