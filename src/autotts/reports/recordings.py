"""What a report says of a store itself: its recordings, whatever controller plays on them."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from autotts.diagnosis import pools
from autotts.reports.model import Chart, PoolFacts
from autotts.stores import Store
from autotts.text import percent

_CEILINGS = {
    "probe": "the earliest right probe",
    "race": "the best width and moment",
    "settled": "a perfect stopping rule",
}
_TRUST = {
    "reliability": "a probe is right",
    "final": "a probe is the branch's final answer",
    "ends_right": "a branch ending here is right",
    "running": "branches that reach it",
}


def facts_of(store: Store) -> PoolFacts:
    """Numbers, ceilings and reliability of a store's recordings; a few seconds."""
    share, exists = store.shares_right, store.pool.exists
    tokens = store.pool.tokens[exists]
    failed = (store.pool.finals == store.pool.failed[:, None])[exists].mean()
    fewest, most = int(store.pool.n_branches.min()), exists.shape[1]
    width = f"{most}" if fewest == most else f"{fewest} to {most}"
    onset = {row["right"]: row for row in pools.onset(store).iter_rows(named=True)}
    numbers = [
        (
            "questions × branches",
            f"{len(share)} × {width}",
        ),
        ("a branch is right", f"{percent(share.mean())} %"),
        ("questions with no right branch", f"{int((share == 0).sum())}"),
        ("questions with right branches only", f"{int((share == 1).sum())}"),
        ("failed extractions", f"{percent(failed)} % of branches"),
        ("tokens of a branch", f"{tokens.mean():,.0f} (median {np.median(tokens):,.0f})"),
    ]
    for kind, name in ((True, "right"), (False, "wrong")):
        if kind in onset:
            settled = f"interval {onset[kind]['onset']:.0f} (median)"
            numbers.append((f"{name} branches settle at", settled))
    numbers += [
        ("tokens per interval", f"{store.pool.interval:,}"),
        ("billing", store.pool.billing),
    ]
    return PoolFacts(store.name, tuple(numbers), _charts(store), _features(store))


def _charts(store: Store) -> tuple[Chart, ...]:
    """Those that the store has points for: a race needs as many branches."""
    ceilings = pools.ceilings(store)
    races = {
        f"of {race} branches": part
        for (race,), part in pools.first_finishers(store)
        .partition_by("race", as_dict=True, maintain_order=True)
        .items()
    }
    charts = (
        Chart(
            "What hindsight could reach",
            "tokens per question",
            "accuracy, %",
            True,
            {words: _points(ceilings, "budget", name) for name, words in _CEILINGS.items()},
        ),
        Chart(
            "The vote of the first to finish",
            "tokens per question",
            "accuracy, %",
            True,
            {name: _points(part, "tokens", "accuracy") for name, part in races.items()},
        ),
        _trust("By depth", "interval", pools.by_depth(store), "depth"),
        _trust(
            "By streak of equal probes", "probes alike so far", pools.by_streak(store), "streak"
        ),
    )
    return tuple(chart for chart in charts if any(chart.series.values()))


def _trust(title: str, x_label: str, frame: pl.DataFrame, at: str) -> Chart:
    named: Mapping[str, str] = {k: words for k, words in _TRUST.items() if k in frame.columns}
    series = {words: _points(frame, at, name) for name, words in named.items()}
    return Chart(title, x_label, "share, %", True, series)


def _points(frame: pl.DataFrame, x: str, share: str) -> tuple[tuple[float, float], ...]:
    rows = frame.select(x, share).drop_nulls().iter_rows()
    return tuple((float(at), round(100 * float(value), 2)) for at, value in rows)


def _features(store: Store) -> tuple[tuple[str, str, str, str], ...]:
    return tuple(
        (row["feature"], row["known"], f"{row['auc']:.2f}", f"{row['low']:.2f} … {row['high']:.2f}")
        for row in pools.branch_features(store).iter_rows(named=True)
    )
