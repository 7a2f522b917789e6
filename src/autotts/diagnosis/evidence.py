"""Evidence: what episodes had seen of each answer, checkpoint by checkpoint, as numbers.

A checkpoint is the end of a round, before anything is pruned in it, at which the episode has spent
`GROWTH` times as much as at the checkpoint before; the first is where a branch has finished, the
last where the episode ends. The answers compared there are those that a branch has finished on.

`FEATURES` says what is known of an answer; where stores have signals, two more a signal do, its
mean over a branch and its last value. Each is a number that a program can compute as well from
`env`, which is what makes a fit to them a program (`discovery/explorers/offline`).
"""

import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numba import types
from numba.extending import register_jitable

from autotts import control
from autotts.engine.cache import compile_cached
from autotts.replay.driver import Ran
from autotts.stores import Pool

FEATURES = {
    "votes": "log of the branches that finished on it",
    "running": "log of 1 + the running branches that show it",
    "left": "log of 1 + the branches that showed it and now hold another answer",
    "given_up": "log of 1 + the branches that showed it when they were given up",
    "early": "log of its finishers, each later one of all counting 0.9 of the one before,"
    " less `votes`",
    "short": "how far its finishers are shorter than all finishers, on average, in shares",
    "first": "1 if the branch that finished first did so on it",
    "at_once": "share of its finishers that showed it from the first interval",
    "steady": "share of the intervals of its finishers that showed it",
}
"""What is known of an answer, in the order of the columns of `Evidence.features`."""

SIGNAL = re.compile(r"(mean|last)_([A-Za-z_][A-Za-z0-9_]{0,63})")
"""Names of features that are made of a signal: its mean over a branch, or its last value."""

OF_FINISHERS = ("votes", "early", "short", "first")
"""What is known, with signals, where running branches show nothing; other features are 0 there."""

GROWTH = 1.3
DECAY = 0.9
_EPISODES = 64  # replayed at a time
_MARKS = 40  # checkpoints of an episode at most: GROWTH**40 is 36,000
_EPISODE, _SPENT, _OPENED, _ACTIVE, _FINISHED, _ANSWERS = range(6)
_VOTES, _RUNNING, _LEFT, _GIVEN_UP, _EARLY, _SHORT, _FIRST, _AT_ONCE, _STEADY = range(9)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Checkpoints of episodes, S of them, and the answers compared there, M in all.

    key: `[S]` which question, over all stores: questions of one dataset are the same for all
        models, and are kept together wherever questions are left out or resampled.
    store: `[S]` index of the store.
    episode: `[S]` ascending, over all runs.
    spent: `[S]` tokens.
    opened, active, finished: `[S]` branches.
    starts: `[S + 1]` where the answers of each checkpoint begin; the first to be finished on first.
    names: of the features: `FEATURES`, then those of signals that all stores have.
    features: `[M, len(names)]`.
    right: `[M]` whether the answer is the true one.
    """

    key: np.ndarray
    store: np.ndarray
    episode: np.ndarray
    spent: np.ndarray
    opened: np.ndarray
    active: np.ndarray
    finished: np.ndarray
    starts: np.ndarray
    names: tuple[str, ...]
    features: np.ndarray
    right: np.ndarray

    @property
    def state(self) -> np.ndarray:
        """`[M]` the checkpoint of each answer."""
        return np.repeat(np.arange(len(self.key)), np.diff(self.starts))

    @property
    def contested(self) -> np.ndarray:
        """`[S]` bool: there are several answers, and one of them is the true one."""
        known = np.add.reduceat(self.right, self.starts[:-1]) > 0
        return np.asarray(known & (np.diff(self.starts) > 1))

    def only(self, kept: np.ndarray) -> "Evidence":
        """The same with some of the checkpoints, `[S]` bool."""
        sizes = np.diff(self.starts)
        of_answer = np.repeat(kept, sizes)
        return Evidence(
            self.key[kept], self.store[kept], self.episode[kept], self.spent[kept],
            self.opened[kept], self.active[kept], self.finished[kept],
            np.concatenate([[0], np.cumsum(sizes[kept])]), self.names,
            self.features[of_answer], self.right[of_answer],
        )  # fmt: skip


def meaning(feature: str) -> str:
    """What a feature is, in words."""
    of_signal = SIGNAL.fullmatch(feature)
    if of_signal is None:
        return FEATURES[feature]
    how, signal = of_signal.groups()
    value = f"mean {signal}" if how == "mean" else f"last value of {signal}"
    return f"how far the {value} of its finishers is above that of all finishers"


def evidence(ran: Sequence[Ran]) -> Evidence:
    """What episodes had seen at their checkpoints.

    Args:
        ran: with logs.
    """
    datasets = {one.store.dataset: 0 for one in ran}
    offset = 0
    for dataset in datasets:
        datasets[dataset] = offset
        offset += max(len(one.store.gold) for one in ran if one.store.dataset == dataset)
    stores = list(dict.fromkeys(one.store.key for one in ran))
    signals = sorted(set.intersection(*(set(one.task.pool.signals) for one in ran)))
    told = {one.store.key: _of_signals(one.task.pool, signals) for one in ran}
    parts: list[tuple[np.ndarray, ...]] = []
    episodes = 0
    for one in ran:
        for states, answers in _chunks(one, told[one.store.key]):
            question = one.task.pairs[states[:, _EPISODE], 0]
            gold = one.store.gold[question]
            counts = states[:, _ANSWERS]
            parts.append(
                (
                    datasets[one.store.dataset] + question,
                    np.full(len(states), stores.index(one.store.key)),
                    episodes + states[:, _EPISODE],
                    states[:, _SPENT], states[:, _OPENED], states[:, _ACTIVE],
                    states[:, _FINISHED], counts, answers[:, 1:],
                    answers[:, 0] == np.repeat(gold, counts),
                )
            )  # fmt: skip
        episodes += len(one.task.pairs)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    starts = np.concatenate([[0], np.cumsum(columns[7])])
    key, store, episode, spent, opened, active, finished, _, features, right = columns
    names = (*FEATURES, *(f"{how}_{signal}" for signal in signals for how in ("mean", "last")))
    if any(one.store.pool.probes is None for one in ran):
        features[:, [name in FEATURES and name not in OF_FINISHERS for name in names]] = 0
    return Evidence(
        key, store, episode, spent, opened, active, finished, starts, names, features, right
    )


def _of_signals(pool: Pool, signals: Sequence[str]) -> np.ndarray:
    """`[Q, N, 2 x signals]` mean and last value of each branch's signals, NaN where there is none.

    Intervals without a value don't count.
    """
    told = np.full((*pool.lengths.shape, 2 * len(signals)), np.nan)
    last = np.maximum(pool.lengths - 1, 0)[:, :, None]
    for s, name in enumerate(signals):
        values = pool.signals[name].astype(np.float64)
        there = np.isfinite(values)
        counts = there.sum(axis=2)
        sums = np.where(there, values, 0.0).sum(axis=2)
        np.divide(sums, counts, out=told[:, :, 2 * s], where=counts > 0)
        ends = np.take_along_axis(values, last, axis=2)[:, :, 0]
        told[:, :, 2 * s + 1] = np.where(np.isfinite(ends), ends, np.nan)
    return told


def _by_branch(ran: Ran, told: np.ndarray, first: int, last: int) -> np.ndarray:
    """What `told` has of the branches of some episodes, `[E, W, ...]`, in order of opening."""
    task = ran.task
    questions, draws = task.pairs[first:last].T
    rows = task.orders[questions, draws, : task.ceiling]
    if task.pool.model is not None and told.shape[2]:
        for e in range(last - first):
            models = control.models_opened(ran.log.of(first + e))
            own = task.rows(int(questions[e]), int(draws[e]), models)
            rows[e, : len(own)] = own
    return np.ascontiguousarray(told[questions[:, None], rows])


def _chunks(ran: Ran, told: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of a run's episodes, some at a time: states `[S, 6]`, answers `[M, 1 + features]`."""
    task = ran.task
    found = []
    for first in range(0, len(task.pairs), _EPISODES):
        last = min(first + _EPISODES, len(task.pairs))
        states = np.zeros(((last - first) * _MARKS, 6), np.int64)
        answers = np.zeros((len(states) * 8, 1 + len(FEATURES) + told.shape[2]))
        by_branch = _by_branch(ran, told, first, last)
        sizes = np.array([task.ceiling, task.pool.n_codes.max()], np.int64)
        while True:
            counts = np.zeros(2, np.int64)
            _compiled()(ran.steps(first, last), by_branch, sizes, states, answers, counts)
            if counts[1] <= len(answers):
                break
            answers = np.zeros((int(counts[1]), answers.shape[1]))
        states[:, _EPISODE] += first
        found.append((states[: counts[0]], answers[: counts[1]]))
    return found


# Columns of a board, a row for each branch of the episode that is followed.
_DEPTH, _SHOWN, _FIRST_SHOWN, _ENDED_ON, _IS = range(5)
_RUNS, _ENDED, _GAVE_UP = range(3)


@register_jitable
def _follow(step: Any, board: Any, times: Any, order: Any, finished: int) -> int:
    """Take a step `[7]` of an episode; returns the branches that have finished.

    board: `[W, 5]`; `times` `[W, codes]` intervals at which a branch showed an answer; `order`
        `[W]` the branches that finished.
    """
    kind, i, depth, code = step[2], step[3], step[4], step[5]
    if kind == control.PRUNE:
        board[i, _IS] = _GAVE_UP
        return finished
    if kind == control.BRANCH:
        board[i, _SHOWN] = board[i, _FIRST_SHOWN] = board[i, _ENDED_ON] = -1
        board[i, _IS] = _RUNS
    board[i, _DEPTH] = depth
    if code >= 0:
        board[i, _SHOWN] = code
        if kind == control.BRANCH:
            board[i, _FIRST_SHOWN] = code
    if kind == control.FINISH:
        board[i, _IS] = _ENDED
        board[i, _ENDED_ON] = code
        order[finished] = i
        return finished + 1
    if code >= 0:
        times[i, code] += 1
    return finished


@register_jitable
def _know(
    n: int, finished: int, board: Any, times: Any, order: Any, told: Any, rows: Any
) -> None:  # fmt: skip
    """Write each answer's features to `rows` `[codes, 1 + features]`; column 0: its finishers."""
    rows[:, :] = 0.0
    mean = 0.0
    for j in range(finished):
        mean += board[order[j], _DEPTH] / finished
    weight = 1.0
    for j in range(finished):
        i = order[j]
        a = board[i, _ENDED_ON]
        if a >= 0:
            rows[a, 0] += 1
            rows[a, 1 + _EARLY] += weight
            rows[a, 1 + _SHORT] += 1 - board[i, _DEPTH] / mean
            rows[a, 1 + _FIRST] += j == 0
            rows[a, 1 + _AT_ONCE] += board[i, _FIRST_SHOWN] == a
            rows[a, 1 + _STEADY] += times[i, a] / board[i, _DEPTH]
        weight *= DECAY
    for i in range(n):
        a = board[i, _SHOWN]
        if a >= 0:
            rows[a, 1 + _RUNNING] += board[i, _IS] == _RUNS
            rows[a, 1 + _GIVEN_UP] += board[i, _IS] == _GAVE_UP
    for a in range(len(rows)):
        votes = rows[a, 0]
        if votes > 0:
            for i in range(n):
                rows[a, 1 + _LEFT] += times[i, a] > 0 and board[i, _SHOWN] != a
            rows[a, 1 + _VOTES] = log(votes)
            rows[a, 1 + _EARLY] = log(rows[a, 1 + _EARLY]) - log(votes)
            for f in (_RUNNING, _LEFT, _GIVEN_UP):
                rows[a, 1 + f] = log(1 + rows[a, 1 + f])
            for f in (_SHORT, _AT_ONCE, _STEADY):
                rows[a, 1 + f] /= votes
    for f in range(told.shape[1]):
        _tell(finished, board, order, told[:, f], rows[:, 2 + _STEADY + f])


@register_jitable
def _tell(finished: int, board: Any, order: Any, values: Any, column: Any) -> None:
    """Write to `column` `[codes]` how far an answer's finishers are above all in `values` `[W]`."""
    counts = np.zeros(len(column), np.int64)
    total, known = 0.0, 0
    for j in range(finished):
        i = order[j]
        if np.isnan(values[i]):
            continue
        total += values[i]
        known += 1
        a = board[i, _ENDED_ON]
        if a >= 0:
            column[a] += values[i]
            counts[a] += 1
    for a in range(len(column)):
        if counts[a] > 0:
            column[a] = column[a] / counts[a] - total / known


@register_jitable
def _write(finished: int, board: Any, order: Any, rows: Any, answers: Any, count: int) -> int:
    """Write the answers behind the first `count`, as they were first finished on.

    Returns how many there are then; what finds no room is counted only.
    """
    for j in range(finished):
        a = board[order[j], _ENDED_ON]
        if a >= 0 and rows[a, 0] > 0:
            if count < len(answers):
                answers[count, 0] = a
                answers[count, 1:] = rows[a, 1:]
            rows[a, 0] = 0.0
            count += 1
    return count


def _look(
    steps: Any, told: Any, sizes: Any, states: Any, answers: Any, counts: Any
) -> None:  # fmt: skip
    """Follow the steps `[M, 7]` of episodes, and write what is known at checkpoints.

    told: `[E, W, ...]` what signals tell of each branch, NaN for nothing.
    sizes: branches that an episode may open, and codes of answers.
    counts: `[2]` out: states and answers; of answers that find no room only the count is kept.
    """
    width, codes = sizes
    board = np.zeros((width, 5), np.int64)
    times = np.zeros((width, codes), np.int64)
    order = np.zeros(width, np.int64)
    rows = np.zeros((codes, answers.shape[1]))
    at = 0
    while at < len(steps):
        first, n, finished, spent, marks, mark = at, 0, 0, 0, 0, 0.0
        times[:, :] = 0
        pruning = False
        while True:
            ends = at == len(steps) or steps[at, 0] != steps[first, 0]
            prunes = not ends and steps[at, 2] == control.PRUNE
            due = ends or prunes or (at > first and steps[at, 1] != steps[at - 1, 1])
            if due and not pruning and finished > 0 and marks < _MARKS and (ends or spent >= mark):
                marks += 1
                mark = GROWTH * spent
                _know(n, finished, board, times, order, told[steps[first, 0]], rows)
                before = counts[1]
                counts[1] = _write(finished, board, order, rows, answers, before)
                if counts[1] > before:
                    active = 0
                    for i in range(n):
                        active += board[i, _IS] == _RUNS
                    s = counts[0]
                    states[s, 0], states[s, 1], states[s, 2] = steps[first, 0], spent, n
                    states[s, 3], states[s, 4], states[s, 5] = active, finished, counts[1] - before
                    counts[0] += 1
            if ends:
                break
            pruning = prunes
            if steps[at, 2] != control.NOTE:
                finished = _follow(steps[at], board, times, order, finished)
                n = max(n, steps[at, 3] + 1)
                spent += 0 if prunes else steps[at, 6]
            at += 1


def _own_digest() -> str:
    """The cache knows the code of what this module calls, not this module."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


@functools.cache
def _compiled() -> Any:
    table, words = types.int64[:, ::1], types.int64[::1]
    numbers = types.float64[:, ::1]
    signature = types.void(table, types.float64[:, :, ::1], words, table, numbers, words)
    return compile_cached(
        _look, signature, key=f"evidence {_own_digest()}", error_model="numpy", nogil=True
    )
