"""Tuning: searching over the constants of a program's schedule, compiled once.

A setting is one value for each parameter, free of beta. The search keeps the frontier of accuracy
against tokens found so far; half of its settings are drawn anew from the ranges, half change a few
parameters of a setting on that frontier. What it ends with says which values pay at which cost,
and is the material for a new schedule. A setting chosen as the best of hundreds owes part of its
accuracy to luck: the frontier is measured again on draws that had no part in the choice.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from autotts.errors import ControllerError, ProgramError, SpecError
from autotts.evaluation.frontiers import Points, accuracy_at, frontier
from autotts.evaluation.objectives import mean_of
from autotts.evaluation.run import opened
from autotts.evaluation.serving import require_served
from autotts.evaluation.settings import Execution, Experiment, explaining
from autotts.evaluation.winner import Winner
from autotts.programs import AnyController, Spec, as_spec
from autotts.replay.driver import UNAUDITED, Driver, How, Ran
from autotts.replay.task import Task, cells_of
from autotts.stores import AnyStores, Store, gather
from autotts.text import counted

BETAS = tuple(k / 10 for k in range(11))
DRAWS = "subsets:20"
PREFIX = "p."
"""Of the columns that hold parameters."""
_BATCH = 64
_STEP = 0.15  # of a range, by which a changed parameter moves
_STRETCH = 1.5  # how much further than the schedule a range goes

Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Range:
    """Where the values of a parameter are sought, bounds included; `whole` for an int.

    Positive ranges that span a factor of 4 or more are searched in even factors.
    """

    low: float
    high: float
    whole: bool

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise SpecError(f"a range needs low <= high, got {self.low} to {self.high}")

    @property
    def _log(self) -> bool:
        return self.low > 0 and self.high >= 4 * self.low

    def at(self, share: float) -> float:
        """The value at a share in [0, 1] of the range."""
        if self._log:
            value = float(np.exp((1 - share) * np.log(self.low) + share * np.log(self.high)))
        else:
            value = self.low + share * (self.high - self.low)
        value = min(max(value, self.low), self.high)
        return int(min(max(round(value), self.low), self.high)) if self.whole else float(value)

    def share(self, value: float) -> float:
        """The share of the range at which a value lies."""
        if self.low == self.high:
            return 0.0
        value = min(max(value, self.low), self.high)
        if self._log:
            # Not the log of a quotient: a range may begin so near 0 that it overflows.
            low, at, high = np.log([self.low, value, self.high])
            return float((at - low) / (high - low))
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True, repr=False)
class Tuning:
    """What a search found.

    trials: one row per setting: trial, beta (of the schedule's own settings, null for others),
        accuracy in [0, 1] and tokens per question (means of the stores), residual (accuracy less
        what the frontier of all trials gives for as many tokens), on_frontier, and a column
        `p.NAME` for each parameter.
    confirmed: the trials on the frontier, the cheapest first, with fresh_accuracy and fresh_tokens
        on other draws.
    how: how those on the frontier were run. Somebody else's program is run at them once more on
        the draws of the search too, and audited on both; the other trials are not audited.
    per_minute: settings tried a minute, fresh draws included, compilation apart.
    """

    spec: Spec
    ranges: dict[str, Range]
    trials: pl.DataFrame
    confirmed: pl.DataFrame
    how: How
    per_minute: float

    def __repr__(self) -> str:
        settings = counted(len(self.trials), "setting")
        return f"<Tuning of {self.spec.text}: {settings}. {self.winner.words}>"

    def _repr_html_(self) -> str:
        return self.confirmed._repr_html_()

    @property
    def winner(self) -> Winner:
        """The most accurate setting, and what fresh draws leave of it."""
        best = self.confirmed.row(-1, named=True)
        return Winner(
            f"trial {best['trial']}",
            candidates=counted(len(self.trials), "setting"),
            by="accuracy",
            found=100 * best["accuracy"],
            fresh=100 * best["fresh_accuracy"],
            audit=self.how.words,
        )

    @property
    def table(self) -> pl.DataFrame:
        """Every trial, with fresh figures of the frontier, and what audits say of each.

        Returns:
            The columns of `trials`, fresh_accuracy, fresh_tokens and audit, empty for ours.
        """
        unaudited = "" if self.spec.source.trusted else UNAUDITED
        fresh = self.confirmed.select(
            "trial", "accuracy", "tokens", "fresh_accuracy", "fresh_tokens",
            pl.lit(self.how.words).alias("audit"),
        )  # fmt: skip
        audited = self.trials.join(fresh, on="trial", how="left", suffix="_audited")
        return audited.with_columns(
            pl.coalesce("accuracy_audited", "accuracy").alias("accuracy"),
            pl.coalesce("tokens_audited", "tokens").alias("tokens"),
            pl.col("audit").fill_null(unaudited),
        ).drop("accuracy_audited", "tokens_audited")

    def residuals(self, *, cost_bins: int = 4, levels: int = 4) -> pl.DataFrame:
        """Which values of each parameter lie near the frontier, at which cost.

        Args:
            cost_bins: bins of tokens, equally many trials in each.
            levels: bins of a parameter's values, likewise.

        Returns:
            Columns parameter, low, high (values in the level), tokens_low, tokens_high (of the cost
            bin), trials, residual (mean), best (the largest). Parameters whose residual varies most
            between levels come first.
        """
        binned = self.trials.drop_nulls("residual").with_columns(
            _bins(pl.col("tokens"), cost_bins).alias("cost")
        )
        parts = [
            binned.with_columns(_bins(pl.col(PREFIX + name), levels).alias("level"))
            .with_columns(
                pl.col(PREFIX + name).min().over("level").cast(pl.Float64).alias("low"),
                pl.col(PREFIX + name).max().over("level").cast(pl.Float64).alias("high"),
            )
            .group_by("cost", "low", "high")
            .agg(
                pl.len().alias("trials"),
                pl.col("residual").mean(),
                pl.col("residual").max().alias("best"),
            )
            .select(pl.lit(name).alias("parameter"), pl.all())
            for name in self.ranges
        ]
        costs = binned.group_by("cost").agg(
            pl.col("tokens").min().alias("tokens_low"), pl.col("tokens").max().alias("tokens_high")
        )
        return (
            pl.concat(parts)
            .join(costs, on="cost")
            .with_columns(pl.col("residual").std().over("parameter", "cost").alias("spread"))
            .with_columns(pl.col("spread").mean().over("parameter"))
            .sort(["spread", "parameter", "low", "cost"], descending=[True, False, False, False])
            .select(
                "parameter",
                "low",
                "high",
                "tokens_low",
                "tokens_high",
                "trials",
                "residual",
                "best",
            )
        )


@explaining
def tune(
    stores: AnyStores,
    controller: AnyController,
    *,
    trials: int = 500,
    experiment: Experiment | None = None,
    execution: Execution | None = None,
    driver: Driver | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    seed: int = 0,
    on_batch: Callable[[int], None] | None = None,
) -> Tuning:
    """Search over the constants of a program's schedule.

    Args:
        stores: loaded stores, their folders, or patterns such as `"stores/*/aime24"`.
        controller: a SPEC or the path of a program; parameters that it names stay as they are.
        trials: settings to try beside the schedule's own at 11 betas.
        experiment: `subsets:20` draws by default.
        driver: runs the program; this machine if not given.
        ranges: (low, high) for parameters; the others get what the schedule spans and half as much
            again.
        on_batch: called with the number of settings measured so far, for progress.

    Raises:
        SpecError: a range is for no parameter of the program, or nothing is left to tune.
        ProgramError: the program is ours and doesn't compile; too slow to tune.
    """
    experiment, execution = experiment or Experiment(draws=DRAWS), execution or Execution()
    with opened(driver, execution) as chosen:
        loaded, spec = gather(stores), as_spec(controller)
        require_served(loaded, [spec])
        tuner = _Tuner(spec, experiment, loaded, chosen, execution.audit)
        return tuner.tune(trials, ranges or {}, np.random.default_rng(seed), on_batch)


class _Tuner:
    """One search."""

    def __init__(
        self,
        spec: Spec,
        experiment: Experiment,
        stores: Sequence[Store],
        driver: Driver,
        audit: int,
    ) -> None:
        self._spec = spec
        self._tasks = experiment.tasks(stores)
        self._fresh = experiment.fresh().tasks(stores)
        self._driver = driver
        self._audit = audit

    def tune(
        self,
        trials: int,
        ranges: Mapping[str, tuple[float, float]],
        rng: np.random.Generator,
        on_batch: Callable[[int], None] | None,
    ) -> Tuning:
        specs = [self._spec.at(beta) for beta in BETAS]
        own = self._driver.run(cells_of(self._tasks, specs), audit=self._audit)
        if own[0].how.driver == "interpreted":
            raise ProgramError(f"too slow to tune: {own[0].how.reason}")
        schedule = [dict(ran.parameters) for ran in own[:: len(self._tasks)]]
        space = _space(self._spec, schedule, ranges)
        rows, scores = list(schedule), _means(own, len(self._tasks)).mean(axis=1)
        began = time.perf_counter()
        while len(rows) < len(schedule) + trials:
            count = min(_BATCH, len(schedule) + trials - len(rows))
            batch = [_next(rows, scores, space, rng) for _ in range(count)]
            measured, _ = self._measure(batch, self._tasks)
            scores = np.concatenate([scores, measured.mean(axis=1)])
            rows += batch
            if on_batch:
                on_batch(len(rows) - len(schedule))
        frame = _frame(rows, scores, space)
        chosen = frame.filter("on_frontier").sort("tokens")
        confirmed, hows = self._confirm(chosen, [rows[t] for t in chosen["trial"]])
        # What ran blind did so because an audit found something, so that counts for all.
        how = max(hows, key=lambda how: how.driver == "blind", default=own[0].how)
        seconds = time.perf_counter() - began
        return Tuning(self._spec, space, frame, confirmed, how, 60 * trials / max(seconds, 1e-9))

    def _measure(
        self, settings: Sequence[Values], tasks: Sequence[Task], audit: int = 0
    ) -> tuple[NDArray[np.float64], list[How]]:
        """`[n, T, 2]`: accuracy in [0, 1] and tokens on each task, nan where one fails; and how."""
        specs = [replace(self._spec, named=values) for values in settings]
        try:
            ran = self._driver.run(cells_of(tasks, specs), audit=audit)
        except ControllerError:
            if len(settings) == 1:
                return np.full((1, len(tasks), 2), np.nan), []
            half = len(settings) // 2
            parts = [self._measure(s, tasks, audit) for s in (settings[:half], settings[half:])]
            return np.concatenate([p[0] for p in parts]), [how for p in parts for how in p[1]]
        return _means(ran, len(tasks)), [ran[0].how]

    def _confirm(
        self, chosen: pl.DataFrame, settings: Sequence[Values]
    ) -> tuple[pl.DataFrame, list[How]]:
        """The frontier with its figures on fresh draws, and how they were got.

        What looks ahead may do so at some constants or draws alone, so somebody else's program is
        audited at those that are told, and what counts is what the audit lets stand.
        """
        again = [] if self._spec.source.trusted else self._tasks
        scores, hows = self._measure(settings, [*again, *self._fresh], self._audit)
        columns = _columns(scores[:, len(again) :].mean(axis=1), "fresh_")
        if again:
            columns += _columns(scores[:, : len(again)].mean(axis=1), "")
        return chosen.with_columns(columns), hows


def _columns(scores: NDArray[np.float64], prefix: str) -> list[pl.Series]:
    return [
        pl.Series(f"{prefix}{name}", scores[:, k]) for k, name in enumerate(("accuracy", "tokens"))
    ]


def _bins(column: pl.Expr, count: int) -> pl.Expr:
    """Which of `count` bins with equally many rows; equal values share the lowest."""
    return ((column.rank("min") - 1) * count // pl.len()).cast(pl.Int64)


def _space(
    spec: Spec, schedule: Sequence[Values], given: Mapping[str, tuple[float, float]]
) -> dict[str, Range]:
    names = [name for name in schedule[0] if name not in spec.named]
    unknown = sorted(set(given) - set(names))
    if unknown or not names:
        raise SpecError(
            f"{spec.text!r}: {', '.join(unknown) or 'nothing'} to tune; "
            f"the parameters it leaves open are {', '.join(names) or 'none'}"
        )
    space = {}
    for name in names:
        whole = isinstance(schedule[0][name], int)
        values = [values[name] for values in schedule]
        low, high = given.get(name) or _stretched(min(values), max(values), whole)
        space[name] = Range(low, high, whole)
    return space


def _stretched(low: float, high: float, whole: bool) -> tuple[float, float]:
    """What a schedule spans, and half as much again; a share stays one, a count stays above 0."""
    if whole:
        least = min(low, 1)
        return max(least, int(low / _STRETCH)), int(np.ceil(high * _STRETCH))
    margin = (_STRETCH - 1) * ((high - low) or abs(low) or 1.0)
    wide = low - margin, high + margin
    return (max(wide[0], 0.0), min(wide[1], 1.0)) if low >= 0 and high <= 1 else wide


def _next(
    rows: Sequence[Values], scores: NDArray[np.float64], space: dict[str, Range],
    rng: np.random.Generator,
) -> Values:  # fmt: skip
    """A setting to try: from anywhere, or near one on the frontier."""
    if rng.random() < 0.5:
        return {**rows[0], **{name: r.at(rng.random()) for name, r in space.items()}}
    parents = np.flatnonzero(_on_frontier(scores))
    child = dict(rows[rng.choice(parents)])
    count = min(len(space), int(rng.integers(1, 4)))
    for name in rng.choice(list(space), size=count, replace=False).tolist():
        where = space[name].share(child[name]) + _STEP * rng.normal()
        child[name] = space[name].at(float(np.clip(where, 0, 1)))
    return child


def _on_frontier(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    known = ~np.isnan(scores[:, 0])
    best = np.zeros(len(scores), bool)
    best[known] = frontier(Points(scores[known, 1], scores[known, 0]))
    return best


def _means(ran: Sequence[Ran], tasks: int) -> NDArray[np.float64]:
    """`[n, T, 2]` accuracy and tokens of settings on each of their tasks."""
    scores = [(mean_of(one, one.correct), mean_of(one, one.tokens)) for one in ran]
    return np.array(scores, np.float64).reshape(-1, tasks, 2)


def _frame(
    rows: Sequence[Values], scores: NDArray[np.float64], space: dict[str, Range]
) -> pl.DataFrame:
    known = ~np.isnan(scores[:, 0])
    points = Points(scores[known, 1], scores[known, 0])
    residual = np.full(len(rows), np.nan)
    residual[known] = scores[known, 0] - accuracy_at(points, scores[known, 1])
    columns: dict[str, Any] = {
        "trial": np.arange(len(rows)),
        "beta": [*BETAS, *[None] * (len(rows) - len(BETAS))],
        "accuracy": scores[:, 0],
        "tokens": scores[:, 1],
        "residual": residual,
        "on_frontier": _on_frontier(scores),
        **{PREFIX + name: [row[name] for row in rows] for name in space},
    }
    return pl.DataFrame(columns).with_columns(
        pl.col("accuracy", "tokens", "residual").fill_nan(None)
    )
