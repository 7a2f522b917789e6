"""Evidence: what episodes had seen of each answer, checkpoint by checkpoint, as numbers.

A checkpoint is the end of a round, before anything is pruned in it, at which the episode has spent
`GROWTH` times as much as at the checkpoint before; the first is where a branch has finished, the
last where the episode ends. The answers compared there are those that a branch has finished on.

`FEATURES` says what is known of an answer. Each is a number that a program can compute as well
from `env`, which is what makes a fit to them a program (`discovery/explorers/offline`).
"""

import functools
import hashlib
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

OF_FINISHERS = ("votes", "early", "short", "first")
"""What is known where running branches show nothing; the other features are 0 there."""

GROWTH = 1.3
DECAY = 0.9
_EPISODES = 64  # replayed at a time
_MARKS = 40  # checkpoints of an episode at most: GROWTH**40 is 36,000
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
    features: `[M, len(FEATURES)]`.
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
            np.concatenate([[0], np.cumsum(sizes[kept])]),
            self.features[of_answer], self.right[of_answer],
        )  # fmt: skip


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
    parts: list[tuple[np.ndarray, ...]] = []
    episodes = 0
    for one in ran:
        for states, answers in _chunks(one):
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
    if any(one.store.pool.probes is None for one in ran):
        features[:, [name not in OF_FINISHERS for name in FEATURES]] = 0
    return Evidence(key, store, episode, spent, opened, active, finished, starts, features, right)


_EPISODE, _SPENT, _OPENED, _ACTIVE, _FINISHED, _ANSWERS = range(6)


def _chunks(ran: Ran) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of a run's episodes, some at a time: states `[S, 6]`, answers `[M, 1 + features]`."""
    task = ran.task
    found = []
    for first in range(0, len(task.pairs), _EPISODES):
        last = min(first + _EPISODES, len(task.pairs))
        states = np.zeros(((last - first) * _MARKS, 6), np.int64)
        answers = np.zeros((len(states) * 8, 1 + len(FEATURES)))
        sizes = np.array([task.ceiling, task.pool.n_codes.max()], np.int64)
        while True:
            counts = np.zeros(2, np.int64)
            _compiled()(ran.steps(first, last), sizes, states, answers, counts)
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
def _know(n: int, finished: int, board: Any, times: Any, order: Any, rows: Any) -> None:
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


def _look(steps: Any, sizes: Any, states: Any, answers: Any, counts: Any) -> None:
    """Follow the steps `[M, 7]` of episodes, and write what is known at checkpoints.

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
                _know(n, finished, board, times, order, rows)
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
    signature = types.void(table, words, table, types.float64[:, ::1], words)
    return compile_cached(
        _look, signature, key=f"evidence {_own_digest()}", error_model="numpy", nogil=True
    )
