"""From recorded answers, as strings, to a store in memory: the only place that gives out codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue, ValidationError

from autotts.answers import FAILED
from autotts.errors import StoreError
from autotts.stores.manifest import Billing, Manifest
from autotts.stores.pool import Pool
from autotts.stores.schema import Store, sealed

MOST_CODES = 2**15 - 1
MOST_TOKENS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Branch:
    """One sample of a model, as it was recorded.

    probes: the answer read at the end of each interval, at least one.
    tokens: its length.
    final: the answer it ended on.
    """

    probes: Sequence[str]
    tokens: int
    final: str


@dataclass(frozen=True, slots=True)
class Recording:
    """One question with its true answer and its branches."""

    question: str
    gold: str
    branches: Sequence[Branch]


def build(
    recordings: Sequence[Recording],
    *,
    model: str,
    dataset: str,
    interval_tokens: int,
    billing: Billing = "reference",
    failed_answer: str = FAILED,
    sampling: Mapping[str, JsonValue] | None = None,
    source: str = "",
) -> Store:
    """A store in memory, its content digest included.

    Args:
        recordings: one per question, all with equally many branches.
        sampling: how the branches were sampled: temperature, seed and so on.
        source: where they come from, in words that mean the same on every machine.

    Raises:
        StoreError: the recordings don't make a store; names question and branch.
    """
    _require_sound(recordings)
    probes, finals, gold, answers = _coded(recordings)
    pool = Pool(
        probes=probes,
        lengths=np.array([[len(b.probes) for b in r.branches] for r in recordings], np.int32),
        tokens=np.array([[b.tokens for b in r.branches] for r in recordings], np.int32),
        finals=finals,
        failed=failed_codes(answers, failed_answer),
        n_codes=np.array([len(a) for a in answers], np.int32),
        interval=interval_tokens,
        billing=billing,
    )
    try:
        manifest = Manifest(
            model=model,
            dataset=dataset,
            interval_tokens=interval_tokens,
            billing=billing,
            failed_answer=failed_answer,
            questions=len(finals),
            branches=finals.shape[1],
            sampling=dict(sampling or {}),
            source=source,
            digest="",
        )
    except ValidationError as error:
        raise StoreError(describe(error)) from error
    texts = tuple(r.question for r in recordings)
    return sealed(Store(None, manifest, pool, gold, answers, texts))


def _coded(
    recordings: Sequence[Recording],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[tuple[str, ...], ...]]:
    """Answers as codes, numbered in each question as they first occur.

    Returns:
        int32 probes `[Q, N, K]`, -1 past a branch's end, finals `[Q, N]` and gold `[Q]`; and each
        question's answers by code.
    """
    questions, branches = len(recordings), len(recordings[0].branches)
    depth = max(len(b.probes) for r in recordings for b in r.branches)
    probes = np.full((questions, branches, depth), -1, np.int32)
    finals = np.empty((questions, branches), np.int32)
    gold = np.empty(questions, np.int32)
    answers: list[tuple[str, ...]] = []
    for q, recording in enumerate(recordings):
        codes: dict[str, int] = {}
        for i, branch in enumerate(recording.branches):
            for k, answer in enumerate(branch.probes):
                probes[q, i, k] = codes.setdefault(answer, len(codes))
            finals[q, i] = codes.setdefault(branch.final, len(codes))
        gold[q] = codes.setdefault(recording.gold, len(codes))
        answers.append(tuple(codes))
    return probes, finals, gold, tuple(answers)


def failed_codes(answers: Sequence[Sequence[str]], failed_answer: str) -> np.ndarray:
    """int32 `[Q]` code of the failed answer in each question, -1 where it never occurs."""
    return np.array([a.index(failed_answer) if failed_answer in a else -1 for a in answers], "i4")


def describe(error: ValidationError) -> str:
    """What pydantic found wrong, in one line."""
    return "; ".join(
        f"{'.'.join(str(part) for part in e['loc'])}: {e['msg'].lower()}" for e in error.errors()
    )


def _require_sound(recordings: Sequence[Recording]) -> None:
    if not recordings:
        raise StoreError("no questions; a store needs at least one")
    branches = len(recordings[0].branches)
    seen: dict[str, int] = {}
    for q, recording in enumerate(recordings):
        first = seen.setdefault(recording.question, q)
        if first != q:
            raise StoreError(f"question {q}: the same text as question {first}")
        if len(recording.branches) != branches or not branches:
            raise StoreError(
                f"question {q}: {len(recording.branches)} branches where question 0 has "
                f"{branches}; every question needs equally many, at least one"
            )
        for i, branch in enumerate(recording.branches):
            _require_sound_branch(branch, f"question {q}, branch {i}")
        strings = {a for b in recording.branches for a in (*b.probes, b.final)} | {recording.gold}
        if len(strings) > MOST_CODES:
            raise StoreError(
                f"question {q}: {len(strings)} different answers; at most {MOST_CODES}"
            )
        _require_text("".join((recording.question, *sorted(strings))), f"question {q}")


def _require_sound_branch(branch: Branch, where: str) -> None:
    if not 1 <= len(branch.probes) <= MOST_CODES:
        raise StoreError(f"{where}: {len(branch.probes)} probes; between 1 and {MOST_CODES}")
    if not 1 <= branch.tokens <= MOST_TOKENS:
        raise StoreError(f"{where}: {branch.tokens} tokens; between 1 and {MOST_TOKENS}")


def _require_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        broken = text[error.start : error.end]
        raise StoreError(f"{where}: {broken!r} is half a character, not text") from error
