"""Pool statistics: what a store's recordings are like, whatever controller plays on them.

Depths are in intervals, tokens as the store bills them when a branch is read whole. A branch is
right if its final answer is an accepted one. Shares are of the branches that there are, whatever
question has them. Frames have one row per setting named in the docstring; what probes alone could
tell is null, or a frame without rows, where the recording has none.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from autotts import answers
from autotts.evaluation import statistics
from autotts.replay.draws import Deal
from autotts.stores import Pool, Store

DRAWS = 50
RACES = (8, 16, 32, 64)
BUDGETS = tuple(1_000 * 2**k for k in range(11))
_STREAKS = (1, 2, 4, 8, 16, 32)
_RESAMPLES = 500
_MOST_OPENED = 64

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def describe(store: Store, *, seed: int = 0) -> dict[str, pl.DataFrame]:
    """All the statistics of a store, by name."""
    return {
        "summary": summary(store),
        "first_finishers": first_finishers(store, seed=seed),
        "by_depth": by_depth(store),
        "by_streak": by_streak(store),
        "features": branch_features(store, seed=seed),
        "onset": onset(store),
        "ceilings": ceilings(store, seed=seed),
    }


def whole_tokens(pool: Pool) -> Ints:
    """`[Q, N]` tokens that reading each branch to its end is charged."""
    tokens = pool.tokens.astype(np.int64)
    if pool.billing == "exact" or pool.ends is not None:
        return tokens
    return np.maximum(tokens, pool.lengths.astype(np.int64) * pool.interval)


def summary(store: Store, *, mathematical: bool = True) -> pl.DataFrame:
    """One row: the store in a few numbers, shares in [0, 1].

    branch_accuracy and branch_accuracy_math: with answers equal as strings, and mathematically,
        which takes seconds and is null where it is not asked for.
    hopeless: questions on which no branch shows the right answer, at any depth or at its end;
        always: that every branch ends right on.
    failed_probes, failed_finals: extractions that failed.
    """
    pool, right, exists = store.pool, store.correct, store.pool.exists
    tokens, failed = whole_tokens(pool)[exists], pool.failed[:, None]
    failed_probes = None
    if pool.probes is not None:
        failed_probes = float((pool.probes == failed[..., None])[pool.inside()].mean())
    return pl.DataFrame(
        {
            "model": [store.model],
            "dataset": [store.dataset],
            "questions": [len(right)],
            "branches": [right.shape[1]],
            "interval_tokens": [pool.interval],
            "tokens_mean": [float(tokens.mean())],
            "tokens_median": [float(np.median(tokens))],
            "branch_accuracy": [float(right[exists].mean())],
            "branch_accuracy_math": [_accuracy_math(store) if mathematical else None],
            "hopeless": [float((~showing(store).any(axis=1)).mean())],
            "always": [float((right | ~exists).all(axis=1).mean())],
            "failed_probes": [failed_probes],
            "failed_finals": [float((pool.finals == failed)[exists].mean())],
        },
        schema_overrides={"branch_accuracy_math": pl.Float64, "failed_probes": pl.Float64},
    )


def showing(store: Store) -> NDArray[np.bool_]:
    """`[Q, N]` whether a branch shows the right answer, at any depth or at its end.

    A question, or a draw of one, of which no branch does is called hopeless.
    """
    probes = store.pool.probes
    if probes is None:
        return store.correct
    return np.asarray(store.accepts(probes).any(axis=2) | store.correct)


def _accuracy_math(store: Store) -> float:
    """Share of branches whose final answer equals an accepted one mathematically."""
    right = 0
    golds = store.golds or tuple((code,) for code in store.gold.tolist())
    for texts, accepted, finals in zip(store.answers, golds, store.pool.finals, strict=True):
        codes, counts = np.unique(finals[finals >= 0], return_counts=True)
        same = [
            any(code == gold or answers.equal(texts[code], texts[gold]) for gold in accepted)
            for code in codes.tolist()
        ]
        right += int(counts[same].sum())
    return right / int(store.pool.n_branches.sum())


def first_finishers(
    store: Store, *, races: Sequence[int] = RACES, n_draws: int = DRAWS, seed: int = 0
) -> pl.DataFrame:
    """The vote of the first k of K branches that run side by side, in the order they finish.

    Returns:
        Columns race (K), first (k), accuracy, tokens (all K branches run until the k-th ends); no
        row where any question has fewer branches than the smallest race.
    """
    rows = []
    everyone = np.arange(len(store.gold))
    order = _orders(store, max(races), n_draws, seed)
    for race in (race for race in races if race <= store.pool.n_branches.min()):
        ends, finals = _race(store, everyone, order[..., :race])
        for first in sorted({1, *(2**k for k in range(1, 7) if 2**k < race), race}):
            voted = vote(finals[..., :first])
            rows.append(
                {
                    "race": race,
                    "first": first,
                    "accuracy": float(store.accepts(voted).mean()),
                    "tokens": float(_race_tokens(ends, first).mean()),
                }
            )
    schema = {"race": pl.Int64, "first": pl.Int64, "accuracy": pl.Float64, "tokens": pl.Float64}
    return pl.DataFrame(rows, schema)


def _orders(store: Store, width: int, n_draws: int, seed: int) -> NDArray[np.int32]:
    """`[Q, D, W]` at most `width` branches in random orders, -1 where there are no more."""
    ceiling = min(width, store.pool.lengths.shape[1])
    return Deal(f"subsets:{n_draws}", ceiling, seed).orders(store.pool.n_branches)


def _race(store: Store, questions: Ints, order: NDArray[np.int32]) -> tuple[Ints, Ints]:
    """Tokens and final answers of branches in the order in which they end.

    Args:
        questions: `[R]` whose they are.
        order: `[R, D, K]` the branches.
    """
    at = questions[:, None, None]
    tokens = whole_tokens(store.pool)[at, order]
    by_end = np.argsort(tokens, axis=-1, kind="stable")
    finals = np.take_along_axis(store.pool.finals[at, order], by_end, axis=-1)
    return np.take_along_axis(tokens, by_end, axis=-1), finals.astype(np.int64)


def _race_tokens(ends: Ints, first: int) -> Ints:
    """Tokens of all branches until the `first`-th one ends: `[..., K]` sorted to `[...]`."""
    spent: Ints = np.minimum(ends, ends[..., first - 1 : first]).sum(axis=-1)
    return spent


def vote(finals: Ints) -> Ints:
    """The most frequent of the codes `[..., k]`, the first among equals: `[...]`."""
    k = finals.shape[-1]
    counts = np.zeros(finals.shape, np.int64)
    for j in range(k):
        counts += finals == finals[..., j : j + 1]
    best = np.argmax(counts, axis=-1)
    won: Ints = np.take_along_axis(finals, best[..., None], axis=-1)[..., 0]
    return won


def prefix_votes(finals: Ints) -> Ints:
    """`[..., k]` the vote of the first 1, 2, ... k of the codes `[..., k]`."""
    counts = np.zeros(finals.shape, np.int16)
    won = np.empty_like(finals)
    for j in range(finals.shape[-1]):
        counts += finals == finals[..., j : j + 1]
        best = np.argmax(counts[..., : j + 1], axis=-1)
        won[..., j] = np.take_along_axis(finals, best[..., None], axis=-1)[..., 0]
    return won


def streaks(pool: Pool) -> NDArray[np.int16]:
    """`[Q, N, K]` how many probes up to this one are equal; 0 past a branch's end."""
    probes = pool.require_probes()
    lengths = np.zeros(probes.shape, np.int16)
    lengths[..., 0] = 1
    for k in range(1, pool.depth):
        same = probes[..., k] == probes[..., k - 1]
        lengths[..., k] = np.where(same, lengths[..., k - 1] + 1, 1)
    return np.where(probes >= 0, lengths, 0).astype(np.int16)


def by_depth(store: Store) -> pl.DataFrame:
    """Probes and endings by depth, in bands that double.

    Returns:
        Columns depth (first of the band), running (share of branches that reach it), reliability
        (a probe there is right), final (a probe there is the branch's final answer), hazard (a
        branch running there ends at it, per interval), ends_right (of those that end in the band).
    """
    pool = store.pool
    lengths, deepest, inside = pool.lengths, pool.depth, pool.inside()
    right = final = None
    if pool.probes is not None:
        right, final = store.accepts(pool.probes), pool.probes == pool.finals[..., None]
    starts = [1, *(2**k + 1 for k in range(deepest.bit_length()) if 2**k + 1 <= deepest)]
    rows = []
    for first, last in zip(starts, [*(start - 1 for start in starts[1:]), deepest], strict=True):
        here = np.s_[..., first - 1 : last]
        at_risk = inside[here]
        ending = (lengths >= first) & (lengths <= last)
        rows.append(
            {
                "depth": first,
                "running": float((lengths >= first)[pool.exists].mean()),
                "reliability": None if right is None else _share(right[here][at_risk]),
                "final": None if final is None else _share(final[here][at_risk]),
                "hazard": float(ending.sum() / max(at_risk.sum(), 1)),
                "ends_right": _share(store.correct[ending]),
            }
        )
    shares = ("running", "reliability", "final", "hazard", "ends_right")
    return pl.DataFrame(rows, {"depth": pl.Int64} | dict.fromkeys(shares, pl.Float64))


def by_streak(store: Store) -> pl.DataFrame:
    """How far a probe can be trusted when the last few agree, in bands that double.

    Returns:
        Columns streak (first of the band), probes (share of all), reliability (the probe is right),
        final (it is the branch's final answer).
    """
    shares = dict.fromkeys(("probes", "reliability", "final"), pl.Float64)
    schema = {"streak": pl.Int64} | shares
    probes = store.pool.probes
    if probes is None:
        return pl.DataFrame([], schema)
    length, right = streaks(store.pool), store.accepts(probes)
    final = probes == store.pool.finals[..., None]
    rows = []
    for first, after in zip(_STREAKS, [*_STREAKS[1:], np.iinfo(np.int16).max], strict=True):
        band = (length >= first) & (length < after)
        rows.append(
            {
                "streak": first,
                "probes": float(band.sum() / (length > 0).sum()),
                "reliability": _share(right[band]),
                "final": _share(final[band]),
            }
        )
    return pl.DataFrame(rows, schema)


def _share(hits: NDArray[np.bool_]) -> float | None:
    return float(hits.mean()) if hits.size else None


def branch_features(store: Store, *, depth: int = 8, seed: int = 0) -> pl.DataFrame:
    """Which feature of a branch tells, among those of one question, the right ones.

    The area under the ROC curve within each question that has right and wrong branches, and its
    mean over questions with an interval that resamples them: 0.5 says nothing, above it larger
    values speak for a right branch, below it smaller ones.

    Args:
        depth: features are computed from the first so many intervals, and from whole branches.

    Returns:
        Columns feature, known ("whole" or "depth 8"), auc, low, high, questions.
    """
    rng = np.random.default_rng(seed)
    running = store.pool.lengths > depth
    rows = []
    for known, upto, mask in (
        ("whole", store.pool.depth, store.pool.exists),
        (f"depth {depth}", depth, running),
    ):
        values = _features(store.pool, upto)
        if known == "whole":
            values["tokens"] = store.pool.tokens
        for name, feature in values.items():
            areas = _question_areas(feature, store.correct, mask)
            if len(areas) > 1:
                interval = statistics.mean_interval(areas[:, None], rng=rng, resamples=_RESAMPLES)
                rows.append(
                    {
                        "feature": name,
                        "known": known,
                        "auc": interval.estimate,
                        "low": interval.low,
                        "high": interval.high,
                        "questions": len(areas),
                    }
                )
    schema = {
        "feature": pl.String, "known": pl.String, "auc": pl.Float64, "low": pl.Float64,
        "high": pl.Float64, "questions": pl.Int64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema).sort((pl.col("auc") - 0.5).abs(), descending=True)


def _features(pool: Pool, depth: int) -> dict[str, NDArray[np.generic]]:
    """`[Q, N]` of each feature of the first `depth` probes of every branch; none without probes."""
    if pool.probes is None:
        return {}
    probes = pool.probes[..., :depth]
    inside = probes >= 0
    last = np.maximum(inside.sum(axis=2), 1) - 1
    latest = np.take_along_axis(probes, last[..., None], axis=2)
    streak = np.take_along_axis(streaks(pool)[..., :depth], last[..., None], axis=2)[..., 0]
    changes = ((probes[..., 1:] != probes[..., :-1]) & inside[..., 1:]).sum(axis=2)
    ordered = np.sort(probes, axis=2)
    distinct = ((ordered[..., 1:] != ordered[..., :-1]) & (ordered[..., 1:] >= 0)).sum(axis=2)
    distinct += ordered[..., 0] >= 0
    agreeing = _agreement(latest[..., 0])
    return {
        "streak": streak,
        "changes": changes,
        "distinct probes": distinct,
        "share of latest": ((probes == latest) & inside).sum(axis=2) / (last + 1),
        "failed probes": ((probes == pool.failed[:, None, None]) & inside).sum(axis=2),
        "agreeing branches": agreeing,
    }


def _agreement(latest: NDArray[np.int32]) -> Ints:
    """`[Q, N]` how many branches of the question have the same latest answer, 0 for no branch."""
    counts = [np.append(np.bincount(codes[codes >= 0]), 0)[codes] for codes in latest]
    return np.stack(counts).astype(np.int64)


def _question_areas(
    feature: NDArray[np.generic], right: NDArray[np.bool_], mask: NDArray[np.bool_]
) -> Floats:
    """AUC of each question that has both kinds of branch, at most `[Q]`."""
    areas = []
    for values, hits, known in zip(feature, right, mask, strict=True):
        positive, negative = values[known & hits], values[known & ~hits]
        if len(positive) and len(negative):
            below = np.searchsorted(np.sort(negative), positive, "left").mean()
            upto = np.searchsorted(np.sort(negative), positive, "right").mean()
            areas.append((below + upto) / 2 / len(negative))
    return np.array(areas)


def onset(store: Store) -> pl.DataFrame:
    """Convergence: the first depth from which a branch's probes all are its final answer.

    A branch whose last probe is not its final answer converges past its last interval.

    Returns:
        A row for right and one for wrong branches: right, branches, onset (median depth), of_length
        (median share of the branch's length), wasted (share of all tokens past the onset).
    """
    pool, probes = store.pool, store.pool.probes
    schema: dict[str, type[pl.DataType]] = {"right": pl.Boolean, "branches": pl.Int64}
    schema |= dict.fromkeys(("onset", "of_length", "wasted"), pl.Float64)
    if probes is None:
        return pl.DataFrame([], schema)
    same = (probes == pool.finals[..., None]) | (probes < 0)
    stays = np.logical_and.accumulate(same[..., ::-1], axis=2)[..., ::-1]
    first = np.where(stays.any(axis=2), stays.argmax(axis=2), pool.depth) + 1
    first = np.minimum(first, pool.lengths + 1)
    rows = []
    for right in (True, False):
        here = (store.correct == right) & pool.exists
        if here.any():
            depth, length = first[here], pool.lengths[here]
            rows.append(
                {
                    "right": right,
                    "branches": int(here.sum()),
                    "onset": float(np.median(depth)),
                    "of_length": float(np.median(np.minimum(depth, length) / length)),
                    "wasted": float(np.maximum(length - depth, 0).sum() / length.sum()),
                }
            )
    return pl.DataFrame(rows, schema)


def ceilings(
    store: Store, *, budgets: Sequence[int] = BUDGETS, n_draws: int = DRAWS, seed: int = 0
) -> pl.DataFrame:
    """The best accuracy that hindsight could reach with so many tokens per question on average.

    The cheapest way to each right answer is looked up, and the cheapest ones are bought until the
    budget is spent: no controller can be better.

    - `probe`: open only the branch, and read it only to the depth, that shows the right answer
      first. Nothing on this pool is above it.
    - `race`: run up to 64 branches side by side and stop at the best moment of the best width; what
      choosing width and stopping time by the answers could bring to votes of finished branches.
    - `settled`: open branches one by one, and stop when the vote is what it will be after all of
      them; what a perfect stopping rule, without choosing answers, could save.

    Returns:
        Columns budget (tokens per question), probe, race, settled.
    """
    order = _orders(store, _MOST_OPENED, n_draws, seed)
    costs = {
        "probe": _probe_costs(store),
        "race": np.full(order.shape[:2], np.inf),
        "settled": np.full(order.shape[:2], np.inf),
    }
    widths = (order[:, 0] >= 0).sum(axis=1)
    for width in np.unique(widths).tolist():
        questions = np.flatnonzero(widths == width)
        opened = order[questions, :, :width]
        costs["race"][questions] = _race_costs(store, questions, opened)
        costs["settled"][questions] = _settled_costs(store, questions, opened)
    columns = {name: [_bought(cost, budget) for budget in budgets] for name, cost in costs.items()}
    return pl.DataFrame({"budget": list(budgets), **columns})


def _bought(costs: Floats, budget: float) -> float:
    """Share of `costs`, one per episode, that a mean budget buys, the cheapest first."""
    spent = np.cumsum(np.sort(costs, axis=None))
    return float((spent <= budget * costs.size).sum() / costs.size)


def _probe_costs(store: Store) -> Floats:
    """`[Q]` tokens to the earliest depth at which any branch shows an accepted answer."""
    pool = store.pool
    costs: Floats = np.where(store.correct, whole_tokens(pool), np.inf).min(axis=1)
    if pool.probes is None:
        return costs
    shows = store.accepts(pool.probes)
    first = shows.argmax(axis=2)
    ends = (first + 1.0) * pool.interval
    if pool.ends is not None:
        ends = np.take_along_axis(pool.ends, first[..., None], axis=2)[..., 0].astype(np.float64)
    cheapest: Floats = np.minimum(np.where(shows.any(axis=2), ends, np.inf).min(axis=1), costs)
    return cheapest


def _race_costs(store: Store, questions: Ints, order: NDArray[np.int32]) -> Floats:
    """`[R, D]` tokens of the cheapest race and stopping time at which the vote is right."""
    width = order.shape[2]
    best = np.full(order.shape[:2], np.inf)
    for race in sorted({1, *(2**k for k in range(1, 7) if 2**k <= width), width}):
        ends, finals = _race(store, questions, order[..., :race])
        right = store.accepts(prefix_votes(finals), questions)
        for first in range(1, race + 1):
            cost = np.minimum(best, _race_tokens(ends, first))
            best = np.where(right[..., first - 1], cost, best)
    return best


def _settled_costs(store: Store, questions: Ints, order: NDArray[np.int32]) -> Floats:
    """`[R, D]` tokens after which the vote, branch by branch, stays what it is after all."""
    at = questions[:, None, None]
    finals = store.pool.finals[at, order].astype(np.int64)
    spent = np.cumsum(whole_tokens(store.pool)[at, order], axis=-1)
    votes = prefix_votes(finals)
    last = votes[..., -1]
    settled = spent[..., -1].astype(np.float64)
    holds = np.ones(last.shape, bool)
    for k in range(order.shape[2] - 1, 0, -1):
        holds &= votes[..., k - 1] == last
        settled = np.where(holds, spent[..., k - 1], settled)
    return np.where(store.accepts(last, questions), settled, np.inf)
