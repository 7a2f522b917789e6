"""A replay store: the pools of one dataset, with what only the trusted side may hold.

A store is a folder: `manifest.json`, `questions.parquet` and `branches.parquet`, described in
`docs/store.md`. In memory it is dense integer arrays. Answers are coded per question, in order of
first appearance: branch by branch, probes then final answer; accepted answers come last when no
branch ever gave them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from autotts.errors import StoreError
from autotts.stores.manifest import Manifest, header_of
from autotts.stores.pool import Pool, require, require_range
from autotts.text import counted

StoreKey = tuple[str, str]
"""(model, dataset): how a store is known inside. Text for people and files is `Store.name`."""

TOKEN_COLUMNS = ("prompt_tokens", "cached_tokens", "probe_tokens")
"""Tokens that were really spent beside those of a branch: of its prompt, how many of these were
read from a cache, and of all its probes."""


@dataclass(frozen=True, slots=True)
class Spellings:
    """Answers as they were recorded, where several strings are one answer.

    Codes here are of strings, those of the `Pool` of classes of them. Regrading starts from here.

    answers: per question, the strings by their codes.
    probes: int32 `[Q, N, K]` as in `Pool`, or None.
    finals: int32 `[Q, N]` as in `Pool`.
    golds: per question, the codes of the accepted strings.
    classes: per question, int32 the class of each string.
    """

    answers: tuple[tuple[str, ...], ...]
    probes: np.ndarray | None
    finals: np.ndarray
    golds: tuple[tuple[int, ...], ...]
    classes: tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Store:
    """The pools of one (model, dataset), with what only the trusted side may hold.

    path: its folder; None for a store that is not on disk.
    gold: int32 `[Q]` code of the true answer.
    answers: per question, the answer strings by code; of a class of strings, one of them.
    texts: per question, its text.
    golds: per question, the codes of all accepted answers, `gold` first; None where that is all.
    ids: per question, a name that tells it from the others; None where texts do.
    weights: float64 `[Q]` how much a question counts; None where all count the same.
    groups: by name, per question, the group it is in: its topic, its source.
    used: by `TOKEN_COLUMNS`, int32 `[Q, N]` tokens, 0 where there is no branch.
    spellings: the answers as strings, where several of them are one answer.
    """

    path: Path | None
    manifest: Manifest
    pool: Pool
    gold: np.ndarray
    answers: tuple[tuple[str, ...], ...]
    texts: tuple[str, ...]
    golds: tuple[tuple[int, ...], ...] | None = None
    ids: tuple[str, ...] | None = None
    weights: np.ndarray | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    used: Mapping[str, np.ndarray] = field(default_factory=dict)
    spellings: Spellings | None = None

    def __post_init__(self) -> None:
        questions = len(self.pool.n_codes)
        require(self.gold, "gold", (questions,), np.int32)
        require_range(self.gold, "gold code", 0, self.pool.n_codes - 1)
        counts = [len(strings) for strings in self.answers]
        if counts != self.pool.n_codes.tolist() or len(self.texts) != questions:
            raise StoreError(
                f"{len(self.texts)} questions with {sum(counts)} answers for pools of "
                f"{questions} questions with {int(self.pool.n_codes.sum())} codes"
            )
        self._require_manifest()
        self._require_by_question()
        for name, values in self.used.items():
            if name not in TOKEN_COLUMNS:
                raise StoreError(f"{name}: tokens are of {', '.join(TOKEN_COLUMNS)}")
            require(values, name, self.pool.lengths.shape, np.int32)
            most = np.where(self.pool.exists, np.int32(2**31 - 1), np.int32(0))
            require_range(values, name, 0, most)
        if self.spellings is not None:
            _require_classes(self.spellings, self)

    def _require_manifest(self) -> None:
        said, shape = self.manifest, self.pool.lengths.shape
        if (said.questions, said.branches) != shape:
            raise StoreError(
                f"the manifest says {said.questions} x {said.branches} branches, "
                f"there are {shape[0]} x {shape[1]}"
            )
        there = int(self.pool.n_branches.sum())
        if (said.branches_in_all or shape[0] * shape[1]) != there:
            raise StoreError(
                f"the manifest says {said.branches_in_all or 'all'} branches, there are {there} of"
                f" {shape[0]} x {shape[1]}"
            )
        if said.models != self.pool.models:
            raise StoreError("the manifest and the pool have other models")

    def _require_by_question(self) -> None:
        questions = len(self.texts)
        for q, codes in enumerate(self.golds or ()):
            least, most = min(codes, default=-1), max(codes, default=-1)
            if least < 0 or most >= self.pool.n_codes[q] or codes[0] != self.gold[q]:
                raise StoreError(
                    f"question {q}: accepted codes {codes[:8]}; they are below"
                    f" {self.pool.n_codes[q]}, and the first is {self.gold[q]}"
                )
        per_question = {"golds": self.golds, "ids": self.ids, **self.groups}
        for name, values in per_question.items():
            if values is not None and len(values) != questions:
                raise StoreError(f"{name}: {len(values)} values for {questions} questions")
        if self.ids is not None and len(set(self.ids)) != questions:
            raise StoreError("two questions have the same id")
        if self.weights is not None:
            require(self.weights, "weights", (questions,), np.float64)
            require_range(self.weights, "weight", 0.0, np.finfo(np.float64).max)
            with np.errstate(over="ignore"):
                total = self.weights.sum()
            if not 0 < total < np.inf:
                raise StoreError(
                    "no question has a weight above 0" if total == 0 else
                    "the weights of all questions together are more than can be counted"
                )  # fmt: skip

    @property
    def model(self) -> str:
        return self.manifest.model

    @property
    def dataset(self) -> str:
        return self.manifest.dataset

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def key(self) -> StoreKey:
        return self.model, self.dataset

    @property
    def name(self) -> str:
        """`model/dataset`, as tables and errors call it."""
        return "/".join(self.key)

    @property
    def graded(self) -> bool:
        """Whether true answers are known."""
        return not self.manifest.ungraded

    @property
    def correct(self) -> np.ndarray:
        """bool `[Q, N]` whether the final answer of each branch is right; False for no branch."""
        return self.accepts(self.pool.finals)

    @property
    def shares_right(self) -> np.ndarray:
        """float64 `[Q]` the share of each question's branches that are right."""
        return np.asarray(self.correct.sum(axis=1) / self.pool.n_branches)

    def accepts(self, codes: np.ndarray, questions: np.ndarray | None = None) -> np.ndarray:
        """Whether answers are right.

        Args:
            codes: `[R, ...]` answer codes, -1 for no answer.
            questions: `[R]` the question of each row; row r is of question r by default.

        Returns:
            bool `[R, ...]`.

        Raises:
            StoreError: the store's true answers are not known.
        """
        if not self.graded:
            raise StoreError(
                f"{self.name} has no true answers yet: `autotts data gold` adds them, and until"
                " then `trace` and `drift` are what can be done with it"
            )
        rows = np.arange(len(self.gold)) if questions is None else questions
        wide = (len(rows),) + (1,) * (codes.ndim - 1)
        right = np.asarray(codes == self.gold[rows].reshape(wide))
        if self.golds is not None:
            # A question and a code as one number.
            accepted = [(q << 32) + c for q, golds in enumerate(self.golds) for c in golds[1:]]
            right |= np.isin((rows.reshape(wide).astype(np.int64) << 32) + codes, accepted)
        return right

    def __repr__(self) -> str:
        questions, branches = self.pool.lengths.shape
        right = "true answers unknown"
        if self.graded:
            right = f"{self.correct.sum() / self.pool.n_branches.sum():.0%} of branches right"
        return (
            f"<Store {self.name}: {counted(questions, 'question')} x"
            f" {counted(branches, 'branch')}, "
            f"{right}, intervals of {self.pool.interval} "
            f"tokens, digest {self.digest[:12]}>"
        )

    def cost_of(self, units: float) -> float:
        """Cost units as a price times tokens, in what prices are given in."""
        return float(units / 10**self.manifest.cost_scale)

    def questions(self) -> list[str]:
        """The text of each question."""
        return list(self.texts)


def _require_classes(spellings: Spellings, store: Store) -> None:
    """The pool is what the classes make of the recorded strings."""
    pool = store.pool
    for q, (strings, classes) in enumerate(zip(spellings.answers, spellings.classes, strict=True)):
        require(classes, f"question {q}: classes", (len(strings),), np.int32)
        if len(strings) == 0 or not np.array_equal(np.unique(classes), range(pool.n_codes[q])):
            raise StoreError(
                f"question {q}: its strings are not in all of {pool.n_codes[q]} classes"
            )
    pairs = [(spellings.finals, pool.finals), (spellings.probes, pool.probes)]
    for strings_of, classes_of in pairs:
        if (strings_of is None) != (classes_of is None):
            raise StoreError("the answers as recorded and the pool differ in whether they probe")
        if strings_of is None or classes_of is None:
            continue
        if not np.array_equal(by_class(strings_of, spellings.classes), classes_of):
            raise StoreError("the pool's answers are not the classes of those recorded")


def by_class(codes: np.ndarray, classes: tuple[np.ndarray, ...]) -> np.ndarray:
    """int32 `[Q, ...]` string codes as classes, -1 where they are -1.

    Args:
        classes: per question, the class of each string.
    """
    # The last entry stands for code -1.
    tables = [np.append(known, np.int32(-1)) for known in classes]
    return np.stack([table[rows] for table, rows in zip(tables, codes, strict=True)])


def sealed(store: Store) -> Store:
    """The store with the digest of its content in its manifest."""
    digest = content_digest(store)
    return replace(store, manifest=store.manifest.model_copy(update={"digest": digest}))


def content_digest(store: Store) -> str:
    """sha256 of a store's content, the same on every machine: no path, no Parquet bytes.

    What schema version 1 could hold is digested as it was then; what came later enters where it
    is there.
    """
    pool, spellings = store.pool, store.spellings
    extra: dict[str, Any] = {
        "golds": store.golds,
        "ids": store.ids,
        "weights": None if store.weights is None else store.weights.tolist(),
        "groups": dict(store.groups),
        "spellings": spellings
        and [spellings.answers, spellings.golds, [c.tolist() for c in spellings.classes]],
        "without probes": pool.probes is None,
    }
    inside = pool.inside()
    arrays: dict[str, np.ndarray | None] = {
        "ends": None if pool.ends is None else pool.ends[inside],
        "model": pool.model,
        **{f"signal {name}": pool.signals[name][inside] for name in sorted(pool.signals)},
        **{name: store.used[name] for name in sorted(store.used)},
        "spellings finals": None if spellings is None else spellings.finals,
        "spellings probes": (
            None if spellings is None or spellings.probes is None else spellings.probes[inside]
        ),
    }
    added = [(name, array) for name, array in arrays.items() if array is not None]
    there = {name: value for name, value in extra.items() if value}
    if added:
        there["arrays"] = [name for name, _ in added]
    words = [header_of(store.manifest), store.texts, store.gold.tolist(), store.answers]
    digest = hashlib.sha256()
    digest.update(
        json.dumps([*words, there] if there else words, sort_keys=True, ensure_ascii=True).encode()
    )
    # Of the widths that files had in version 1; what is too large for them wasn't there.
    probes = [] if pool.probes is None else [_narrow(pool.probes[inside])]
    first = [_narrow(pool.lengths), pool.tokens, _narrow(pool.finals), *probes]
    for array in (*first, *(array for _, array in added)):
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _narrow(codes: np.ndarray) -> np.ndarray:
    return codes.astype(np.int16) if codes.size and codes.max() < 2**15 else codes
