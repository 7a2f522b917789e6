"""What a replay store holds: the manifest, the pool a controller plays on, and the store itself.

A store is a folder for one (model, dataset): `manifest.json`, `questions.parquet` (question, gold,
answers by code) and `branches.parquet` (question, branch, tokens, final, probes). In memory it is
dense integer arrays. Answers are coded per question, in order of first appearance: branch by
branch, probes then final answer; the gold answer comes last when no branch ever gave it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from autotts.answers import FAILED
from autotts.errors import StoreError

SCHEMA_VERSION: Literal[1] = 1
MANIFEST = "manifest.json"
QUESTIONS = "questions.parquet"
BRANCHES = "branches.parquet"

Billing = Literal["reference", "exact"]

StoreKey = tuple[str, str]
"""(model, dataset): how a store is known inside. Text for people and files is `Store.name`."""


class Manifest(BaseModel):
    """The text of `manifest.json`: what was recorded, how, and the digests that seal it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    model: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    interval_tokens: int = Field(gt=0)
    billing: Billing
    failed_answer: str = FAILED
    questions: int = Field(gt=0)
    branches: int = Field(gt=0)
    sampling: dict[str, JsonValue] = {}
    source: str = ""
    files: dict[str, str] = {}
    """sha256 of each file of the folder; empty for a store that is not on disk."""
    digest: str
    """sha256 of the content: of all the above but `files`, and of questions and branches."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The recorded branches of Q questions, N each, up to K intervals deep. No gold, no text.

    Arrays are C-contiguous. Codes are per question.

    probes: int32 `[Q, N, K]` answer code at the end of each interval, -1 past a branch's end.
    lengths: int32 `[Q, N]` intervals of each branch, at least 1.
    tokens: int32 `[Q, N]` tokens of each branch, at least 1; billed exactly, they reach into the
        last interval.
    finals: int32 `[Q, N]` code of the final answer.
    failed: int32 `[Q]` code of a failed extraction, -1 where the question has none.
    n_codes: int32 `[Q]` codes in use, gold included: 0..n_codes-1.
    interval: tokens per interval.
    billing: "reference" or "exact".
    """

    probes: np.ndarray
    lengths: np.ndarray
    tokens: np.ndarray
    finals: np.ndarray
    failed: np.ndarray
    n_codes: np.ndarray
    interval: int
    billing: Billing

    def __post_init__(self) -> None:
        if self.probes.ndim != 3 or self.probes.size == 0:
            raise StoreError(
                f"probes must be a non-empty [Q, N, K] array, got shape {self.probes.shape}"
            )
        questions, branches, depth = self.probes.shape
        _require(self.probes, "probes", (questions, branches, depth), np.int32)
        _require(self.lengths, "lengths", (questions, branches), np.int32)
        _require(self.tokens, "tokens", (questions, branches), np.int32)
        _require(self.finals, "finals", (questions, branches), np.int32)
        _require(self.failed, "failed", (questions,), np.int32)
        _require(self.n_codes, "n_codes", (questions,), np.int32)
        _require_range(self.lengths, "length", 1, np.int32(depth))
        whole = (self.lengths.astype(np.int64) - 1) * self.interval
        least = 1 + whole if self.billing == "exact" else 1  # the last interval is the rest
        _require_range(self.tokens, "tokens", least, np.int32(2**31 - 1))
        codes = self.n_codes[:, None]
        _require_range(self.finals, "final answer code", 0, codes - 1)
        _require_range(self.failed, "code of the failed answer", -1, self.n_codes - 1)
        inside = np.arange(depth) < self.lengths[:, :, None]
        low = np.where(inside, np.int32(0), np.int32(-1))
        _require_range(
            self.probes, "probe code", low, np.where(inside, codes[:, :, None] - 1, np.int32(-1))
        )
        if self.interval < 1:
            raise StoreError(f"an interval is at least one token, got {self.interval}")


def _require(array: np.ndarray, name: str, shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        raise StoreError(
            f"{name} must be C-contiguous {dtype.__name__} {list(shape)}, "
            f"got {array.dtype} {list(array.shape)}"
        )


def _require_range(
    array: np.ndarray, name: str, low: np.ndarray | int, high: np.ndarray | np.integer
) -> None:
    bad = (array < low) | (array > high)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        where = ", ".join(
            f"{axis} {i}" for axis, i in zip(("question", "branch", "interval"), at, strict=False)
        )
        lowest = np.broadcast_to(low, array.shape)[at]
        highest = np.broadcast_to(high, array.shape)[at]
        raise StoreError(f"{where}: {name} {array[at]} is outside {lowest}..{highest}")


@dataclass(frozen=True, slots=True, repr=False)
class Store:
    """The pools of one (model, dataset), with what only the trusted side may hold.

    path: its folder; None for a store that is not on disk.
    gold: int32 `[Q]` code of the true answer.
    answers: per question, the answer strings by code.
    texts: per question, its text.
    """

    path: Path | None
    manifest: Manifest
    pool: Pool
    gold: np.ndarray
    answers: tuple[tuple[str, ...], ...]
    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        questions = len(self.pool.n_codes)
        _require(self.gold, "gold", (questions,), np.int32)
        _require_range(self.gold, "gold code", 0, self.pool.n_codes - 1)
        counts = [len(strings) for strings in self.answers]
        if counts != self.pool.n_codes.tolist() or len(self.texts) != questions:
            raise StoreError(
                f"{len(self.texts)} questions with {sum(counts)} answers for pools of "
                f"{questions} questions with {int(self.pool.n_codes.sum())} codes"
            )
        said = (self.manifest.questions, self.manifest.branches)
        if said != self.pool.finals.shape:
            raise StoreError(
                f"the manifest says {said[0]} x {said[1]} branches, "
                f"there are {questions} x {self.pool.finals.shape[1]}"
            )

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
    def correct(self) -> np.ndarray:
        """bool `[Q, N]` whether the final answer of each branch is the true one."""
        return np.asarray(self.pool.finals == self.gold[:, None])

    def __repr__(self) -> str:
        questions, branches = self.pool.finals.shape
        return (
            f"<Store {self.name}: {questions} questions x {branches} branches, "
            f"{self.correct.mean():.0%} of branches right, intervals of {self.pool.interval} "
            f"tokens, digest {self.digest[:12]}>"
        )

    def questions(self) -> list[str]:
        """The text of each question."""
        return list(self.texts)


def content_digest(
    header: dict[str, JsonValue],
    pool: Pool,
    gold: np.ndarray,
    answers: tuple[tuple[str, ...], ...],
    texts: tuple[str, ...],
) -> str:
    """sha256 of a store's content, the same on every machine: no path, no Parquet bytes.

    Args:
        header: the manifest but `files` and `digest`.
    """
    digest = hashlib.sha256()
    words = [header, texts, gold.tolist(), answers]
    digest.update(json.dumps(words, sort_keys=True, ensure_ascii=True).encode())
    inside = pool.probes >= 0
    # Of the widths that files have, whatever those in memory are.
    columns = (pool.lengths, "<i2"), (pool.tokens, "<i4"), (pool.finals, "<i2")
    for array, dtype in (*columns, (pool.probes[inside], "<i2")):
        digest.update(array.astype(dtype).tobytes())
    return digest.hexdigest()


def header_of(manifest: Manifest) -> dict[str, JsonValue]:
    """What of a manifest its content digest covers."""
    return manifest.model_dump(exclude={"files", "digest"})
