"""From recorded answers, as strings, to a store in memory: the only place that gives out codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue, ValidationError

from autotts.answers import FAILED
from autotts.errors import StoreError
from autotts.stores.limits import MOST_CODES, MOST_INTERVALS, MOST_TOKENS, require_shape
from autotts.stores.manifest import Billing, Manifest, PricedModel
from autotts.stores.pool import Pool
from autotts.stores.schema import Store, sealed


@dataclass(frozen=True, slots=True)
class Branch:
    """One sample of a model, as it was recorded.

    probes: the answer read at the end of each interval, at least one; None if there are no probes.
    tokens: its length.
    final: the answer it ended on.
    ends: tokens up to the end of each interval, where they are not all of one size.
    model: the number of the model that made it, where there are several.
    signals: by name, a number at the end of each interval; -inf where it is absent.
    used: by `TOKEN_COLUMNS`, what was spent beside its own tokens.
    """

    probes: Sequence[str] | None
    tokens: int
    final: str
    ends: Sequence[int] | None = None
    model: int = 0
    signals: Mapping[str, Sequence[float] | NDArray[np.float64]] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)

    def intervals(self, interval_tokens: int, billing: Billing) -> int:
        """How many it has; with nothing for each interval, as many as its tokens make.

        Billed exactly, the last interval is what is left over; else that is no interval.
        """
        for counted in (self.probes, self.ends, *self.signals.values()):
            if counted is not None:
                return len(counted)
        whole, rest = divmod(self.tokens, interval_tokens)
        return max(1, whole + (rest > 0 and billing == "exact"))


@dataclass(frozen=True, slots=True)
class Recording:
    """One question with its true answer and its branches.

    gold: the true answer, or several that are accepted, the first of which is shown.
    id: what tells the question from others; of all questions or of none.
    weight: how much it counts; of all questions or of none.
    groups: the group it is in, by the name of the grouping; the same groupings everywhere.
    """

    question: str
    gold: str | Sequence[str]
    branches: Sequence[Branch]
    id: str | None = None
    weight: float | None = None
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def golds(self) -> tuple[str, ...]:
        """The accepted answers, each once."""
        several = (self.gold,) if isinstance(self.gold, str) else tuple(self.gold)
        return tuple(dict.fromkeys(several))


def build(
    recordings: Sequence[Recording],
    *,
    model: str,
    dataset: str,
    interval_tokens: int,
    billing: Billing = "reference",
    failed_answer: str = FAILED,
    models: Sequence[PricedModel] = (),
    cost_scale: int = 0,
    price_unit: str = "",
    family: str = "",
    tokens_counted: str = "",
    ungraded: bool = False,
    sampling: Mapping[str, JsonValue] | None = None,
    source: str = "",
) -> Store:
    """A store in memory, its content digest included.

    Args:
        recordings: one per question.
        models, cost_scale, price_unit, family, tokens_counted, ungraded: as in `Manifest`.
        sampling: how the branches were sampled: temperature, seed and so on.
        source: where they come from, in words that mean the same on every machine.

    Raises:
        StoreError: the recordings don't make a store; names question and branch.
    """
    _require_sound(recordings, models)
    counts = [len(r.branches) for r in recordings]
    total = None if min(counts) == max(counts) else sum(counts)
    try:
        manifest = Manifest(
            model=model,
            dataset=dataset,
            interval_tokens=interval_tokens,
            billing=billing,
            failed_answer=failed_answer,
            questions=len(recordings),
            branches=max(counts),
            branches_in_all=total,
            family=family,
            models=tuple(models),
            cost_scale=cost_scale,
            price_unit=price_unit,
            tokens_counted=tokens_counted,
            ungraded=ungraded,
            sampling=dict(sampling or {}),
            source=source,
            digest="",
        )
    except ValidationError as error:
        raise StoreError(describe(error)) from error
    pool, golds, answers = _pool(recordings, manifest)
    first = recordings[0]
    store = Store(
        None,
        manifest,
        pool,
        gold=np.array([accepted[0] for accepted in golds], np.int32),
        answers=answers,
        texts=tuple(r.question for r in recordings),
        golds=golds if any(len(accepted) > 1 for accepted in golds) else None,
        ids=None if first.id is None else tuple(str(r.id) for r in recordings),
        weights=None if first.weight is None else np.array([r.weight for r in recordings], "f8"),
        groups={name: tuple(r.groups[name] for r in recordings) for name in first.groups},
        used={
            name: _by_branch([[b.used[name] for b in r.branches] for r in recordings])
            for name in first.branches[0].used
        },
    )
    return sealed(store)


def _pool(
    recordings: Sequence[Recording], manifest: Manifest
) -> tuple[Pool, tuple[tuple[int, ...], ...], tuple[tuple[str, ...], ...]]:
    """The pool, and for each question the codes of its accepted answers and all answers by code."""
    interval, billing = manifest.interval_tokens, manifest.billing
    lengths = _by_branch([[b.intervals(interval, billing) for b in r.branches] for r in recordings])
    questions, branches = lengths.shape
    shape, first = (questions, branches, int(lengths.max())), recordings[0].branches[0]
    columns = sum(part is not None for part in (first.probes, first.ends, *first.signals))
    require_shape(*shape, columns)
    probes, finals, golds, answers = _coded(recordings, shape)
    signals = {
        name: _fill(
            np.full(shape, -np.inf, np.float32),
            [[b.signals[name] for b in r.branches] for r in recordings],
        )
        for name in first.signals
    }
    ends = None
    if first.ends is not None:
        found = [[b.ends or () for b in r.branches] for r in recordings]
        ends = _fill(np.zeros(shape, np.int32), found)
    model = None
    if manifest.models:
        model = _by_branch([[b.model for b in r.branches] for r in recordings], -1)
    pool = Pool(
        probes=probes,
        lengths=lengths,
        tokens=_by_branch([[b.tokens for b in r.branches] for r in recordings]),
        finals=finals,
        failed=failed_codes(answers, manifest.failed_answer),
        n_codes=np.array([len(a) for a in answers], np.int32),
        interval=interval,
        billing=billing,
        ends=ends,
        model=model,
        models=manifest.models,
        signals=signals,
    )
    return pool, golds, answers


def _by_branch(values: Sequence[Sequence[int]], absent: int = 0) -> np.ndarray:
    """int32 `[Q, N]` values of branches, `absent` where a question has no more of them."""
    found = np.full((len(values), max(map(len, values))), absent, np.int32)
    for row, there in zip(found, values, strict=True):
        row[: len(there)] = there
    return found


def _fill(
    out: np.ndarray, values: Sequence[Sequence[Sequence[float] | NDArray[np.float64]]]
) -> np.ndarray:
    """Write values of branches by interval into `[Q, N, K]`; what is past a branch's end stays."""
    for rows, branches in zip(out, values, strict=True):
        for row, there in zip(rows, branches, strict=False):
            row[: len(there)] = there
    return out


def _coded(
    recordings: Sequence[Recording], shape: tuple[int, int, int]
) -> tuple[np.ndarray | None, np.ndarray, tuple[tuple[int, ...], ...], tuple[tuple[str, ...], ...]]:
    """Answers as codes, numbered in each question as they first occur.

    Returns:
        int32 probes `[Q, N, K]`, -1 past a branch's end, and finals `[Q, N]`, -1 where there is no
        branch; and each question's accepted codes and its answers by code.
    """
    probes = None
    if recordings[0].branches[0].probes is not None:
        probes = np.full(shape, -1, np.int32)
    finals = np.full(shape[:2], -1, np.int32)
    golds: list[tuple[int, ...]] = []
    answers: list[tuple[str, ...]] = []
    for q, recording in enumerate(recordings):
        said = ([*(b.probes or ()), b.final] for b in recording.branches)
        known = tuple(dict.fromkeys(chain(*said, recording.golds)))
        codes = {answer: code for code, answer in enumerate(known)}
        for i, branch in enumerate(recording.branches):
            if probes is not None and branch.probes is not None:
                probes[q, i, : len(branch.probes)] = [*map(codes.__getitem__, branch.probes)]
            finals[q, i] = codes[branch.final]
        golds.append(tuple(codes[gold] for gold in recording.golds))
        answers.append(known)
    return probes, finals, tuple(golds), tuple(answers)


def failed_codes(answers: Sequence[Sequence[str]], failed_answer: str) -> np.ndarray:
    """int32 `[Q]` code of the failed answer in each question, -1 where it never occurs."""
    return np.array([a.index(failed_answer) if failed_answer in a else -1 for a in answers], "i4")


def describe(error: ValidationError) -> str:
    """What pydantic found wrong, in one line."""
    found = []
    for one in error.errors():
        where = ".".join(map(str, one["loc"]))
        words = one["msg"].lower().removeprefix("value error, ")
        found.append(f"{where}: {words}" if where else words)
    return "; ".join(found)


def _require_sound(recordings: Sequence[Recording], models: Sequence[PricedModel]) -> None:
    if not recordings:
        raise StoreError("no questions; a store needs at least one")
    require_shape(len(recordings), max(len(r.branches) for r in recordings))
    _require_told_apart(recordings)
    first = recordings[0]
    if not first.branches:
        raise StoreError("question 0: no branches; every question needs at least one")
    parts = _parts(first.branches[0])
    for q, recording in enumerate(recordings):
        if not recording.branches:
            raise StoreError(f"question {q}: no branches; every question needs at least one")
        if (recording.weight is None) != (first.weight is None):
            raise StoreError(f"question {q}: weights are given for all questions or for none")
        if recording.groups.keys() != first.groups.keys():
            raise StoreError(
                f"question {q}: groups {sorted(recording.groups)}, question 0 has"
                f" {sorted(first.groups)}"
            )
        if not recording.golds:
            raise StoreError(f"question {q}: no accepted answer")
        for i, branch in enumerate(recording.branches):
            where = f"question {q}, branch {i}"
            if _parts(branch) != parts:
                raise StoreError(
                    f"{where}: it has {' and '.join(_parts(branch)) or 'nothing'} beside its final"
                    f" answer, the first branch has {' and '.join(parts) or 'nothing'}"
                )
            _require_sound_branch(branch, len(models), where)
        strings = {b.final for b in recording.branches}.union(
            recording.golds, *(b.probes or () for b in recording.branches)
        )
        if len(strings) > MOST_CODES:
            raise StoreError(
                f"question {q}: {len(strings)} different answers; at most {MOST_CODES}"
            )
        words = (recording.question, recording.id or "", *sorted(strings))
        _require_text("".join((*words, *recording.groups.values())), f"question {q}")


def _require_told_apart(recordings: Sequence[Recording]) -> None:
    """Questions have ids, each another, or differ in their texts."""
    named = recordings[0].id is not None
    seen: dict[str, int] = {}
    for q, recording in enumerate(recordings):
        if (recording.id is not None) != named:
            raise StoreError(f"question {q}: ids are given for all questions or for none")
        first = seen.setdefault(recording.question if recording.id is None else recording.id, q)
        if first != q and named:
            raise StoreError(f"question {q}: the same id as question {first}")
        if first != q:
            raise StoreError(
                f"question {q}: the same text as question {first}; ids would tell them apart"
            )


def _parts(branch: Branch) -> list[str]:
    """What it has that not every recording has."""
    several = {"probes": branch.probes, "ends": branch.ends}
    found = [name for name, values in several.items() if values is not None]
    return [*found, *(f"signal {name}" for name in sorted(branch.signals)), *sorted(branch.used)]


def _require_sound_branch(branch: Branch, models: int, where: str) -> None:
    if branch.probes is not None and not 1 <= len(branch.probes) <= MOST_INTERVALS:
        raise StoreError(f"{where}: {len(branch.probes)} probes; between 1 and {MOST_INTERVALS}")
    if not 1 <= branch.tokens <= MOST_TOKENS:
        raise StoreError(f"{where}: {branch.tokens} tokens; between 1 and {MOST_TOKENS}")
    lengths = {f"signal {name}": len(values) for name, values in branch.signals.items()}
    lengths |= {
        name: len(values)
        for name, values in (("probes", branch.probes), ("ends", branch.ends))
        if values is not None
    }
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{count} of {name}" for name, count in sorted(lengths.items()))
        raise StoreError(f"{where}: a value for each interval is needed, got {told}")
    for name, values in {"ends": branch.ends or (), "used": branch.used.values()}.items():
        if any(not 0 <= value <= MOST_TOKENS for value in values):
            raise StoreError(f"{where}: {name}: tokens are from 0 to {MOST_TOKENS}")
    if not 0 <= branch.model < max(1, models):
        raise StoreError(f"{where}: model {branch.model}; there are {max(1, models)} from 0 on")


def _require_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        broken = text[error.start : error.end]
        raise StoreError(f"{where}: {broken!r} is half a character, not text") from error
