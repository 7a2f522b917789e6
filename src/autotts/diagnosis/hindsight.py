"""Hindsight: a compiled walk over the requests of episodes: what branches held, and votes became.

What a branch showed is what the store has for each interval that was decoded, whether the program
read it or not. Failed extractions show nothing. Answers are ranked, from 0, in the order in which
an episode showed them. `diagnosis.lessons` makes tables of it.

Each request is made again on a state of `control` (`replay.log.ask_again`), which writes its steps.
They are walked through one by one: branches of a batch show their answers one after the other.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import types
from numba.extending import register_jitable

from autotts import control
from autotts.diagnosis.counterfactual import WALK_TYPES, WalkMemory, reads, step_at
from autotts.diagnosis.findings import VOTE_RULES
from autotts.engine import compiled, jit
from autotts.engine.cache import compile_cached
from autotts.replay.driver import Ran
from autotts.replay.log import ask_again

FIRST = (1, 3, 5, 9, 17)
WEIGHTS = ("count", *(f"first {k} finished" for k in FIRST), "1/length", "kept", "first halved")
"""Ways to weigh the votes of an episode's branches; see `lessons.revotes`."""

RANKS = 4
HELD = ("held", "kept", "left_for_right", "left_for_wrong")
STREAKS = (1, 2, 4, 8, 16, 32)
"""First streak of each band."""
AGREEMENT = ("none finished", "agrees", "disagrees")
SEEN = ("probes", "right", "final")

_EPISODE, _ROUND, _KIND, _BRANCH, _DEPTH, _CODE, _TOKENS, _ = range(len(control.STEP))
_ACTIVE, _FINISHED, _PRUNED = range(3)
_LENGTH, _KEPT, _HALVED = range(1 + len(FIRST), len(WEIGHTS))


@dataclass(frozen=True, slots=True, eq=False)
class Hindsight:
    """What a cell's episodes look like afterwards.

    votes: `[E, len(WEIGHTS)]` the answer's code under each weight, -1 for none.
    stops: `[E]` tokens at the end of the first round after which the vote is right; -1 if never.
    held: `[RANKS, 2, len(HELD)]` branches by rank of the answer (the last is of all further ones)
        and whether it is wrong or right; a branch counts for each answer that it showed.
    streaks: `[len(STREAKS), len(AGREEMENT), len(SEEN)]` probes that the program read, by how
        many in a row were equal and whether a branch had finished on that answer by then.
    """

    ran: Ran
    votes: np.ndarray
    stops: np.ndarray
    held: np.ndarray
    streaks: np.ndarray


def look_back(ran: Ran, *, vote_rule: str = "finished") -> Hindsight:
    """Walk over the episodes of a cell.

    Args:
        ran: with its log.
        vote_rule: how the episodes vote, as `findings.findings_of` says.

    Raises:
        SpecError: no log was kept.
    """
    task = ran.task
    pool, pairs = task.pool, task.pairs
    settings = np.array([VOTE_RULES.index(vote_rule), pool.n_codes.max()], np.int64)
    votes = np.full((len(pairs), len(WEIGHTS)), -1, np.int64)
    stops = np.full(len(pairs), -1, np.int64)
    held = np.zeros((RANKS, 2, len(HELD)), np.int64)
    streaks = np.zeros((len(STREAKS), len(AGREEMENT), len(SEEN)), np.int64)
    walk = WalkMemory(ran)
    _compiled()(
        *walk.arguments, ran.store.gold.astype(np.int64), pool.failed.astype(np.int64),
        task.orders, pool.require_probes(), pool.finals, settings, votes, stops, held, streaks,
    )  # fmt: skip
    return Hindsight(ran, votes, stops, held, streaks)


@register_jitable
def _elect(who: Any, m: int, answer: Any, weight: Any, sums: Any) -> int:
    """The answer of most weight among branches `who[:m]`; among equals, of the earliest of them."""
    for j in range(m):
        if answer[who[j]] >= 0:
            sums[answer[who[j]]] = 0.0
    for j in range(m):
        if answer[who[j]] >= 0:
            sums[answer[who[j]]] += weight[who[j]]
    best = -1
    for j in range(m):
        code = answer[who[j]]
        if code >= 0 and (best < 0 or sums[code] > sums[best] + 1e-12):
            best = code
    return int(best)


@register_jitable
def _electorate(
    rule: int, n: int, state: Any, answer: Any, ended: Any, n_ended: int, who: Any
) -> int:
    """Who votes, in the order that settles ties, into `who`; how many they are."""
    m = 0
    if rule == 0:
        for j in range(n_ended):
            if answer[ended[j]] >= 0:
                who[m] = ended[j]
                m += 1
    if m == 0:
        for i in range(n):
            if state[i] != _PRUNED:
                who[m] = i
                m += 1
    return m


@register_jitable
def _show(
    i: int, code: int, last: Any, first: Any, has: Any, rank: Any, ranked: Any, n: int
) -> int:
    """Branch i shows an answer; how many answers the episode has shown, of n before."""
    if rank[code] < 0:
        rank[code] = n
        ranked[n] = code
        n += 1
    has[i, rank[code]] = True
    last[i] = code
    if first[i] < 0:
        first[i] = code
    return n


@register_jitable
def _count_streak(
    streak: int, code: int, right: int, final: int, answer: Any, ended: Any, n_ended: int, out: Any
) -> None:
    """Count a probe that is the `streak`-th in a row to show `code`."""
    band = 0
    while band + 1 < len(STREAKS) and streak >= STREAKS[band + 1]:
        band += 1
    agrees = 0
    for j in range(n_ended):
        if answer[ended[j]] == code:
            agrees = 1
            break
        agrees = 2
    out[band, agrees, 0] += 1
    out[band, agrees, 1] += code == right
    out[band, agrees, 2] += code == final


@register_jitable
def _count_held(
    n: int, n_ranked: int, right: int, last: Any, has: Any, ranked: Any, held: Any
) -> None:
    for i in range(n):
        for r in range(n_ranked):
            if has[i, r]:
                row = held[min(r, RANKS - 1), int(ranked[r] == right)]
                row[0] += 1
                row[1] += last[i] == ranked[r]
                row[2] += last[i] != ranked[r] and last[i] == right
                row[3] += last[i] != ranked[r] and last[i] != right


@register_jitable
def _vote_again(
    who: Any, m: int, answer: Any, depth: Any, first: Any, order: Any, probes: Any, unread: int,
    ended: Any, n_ended: int, weight: Any, sums: Any, out: Any,
) -> None:  # fmt: skip
    """The votes of one episode under all `WEIGHTS`."""
    weight[:] = 1.0
    out[0] = _elect(who, m, answer, weight, sums)
    for k in range(len(FIRST)):
        some = min(FIRST[k], n_ended)
        out[1 + k] = _elect(ended, some, answer, weight, sums) if some else out[0]
    for j in range(m):
        weight[who[j]] = 1.0 / max(depth[who[j]], 1)
    out[_LENGTH] = _elect(who, m, answer, weight, sums)
    for j in range(m):
        i = who[j]
        shown = same = 0
        for d in range(depth[i]):
            code = probes[order[i], d]
            shown += code >= 0 and code != unread
            same += code >= 0 and code != unread and code == answer[i]
        weight[i] = same / shown if shown else 1.0
    out[_KEPT] = _elect(who, m, answer, weight, sums)
    for j in range(m):
        weight[who[j]] = 0.5 if first[who[j]] == answer[who[j]] else 1.0
    out[_HALVED] = _elect(who, m, answer, weight, sums)


def _walk(
    played: int, followed: int, pool_header: int, pairs: Any, ends: Any, gold: Any,
    unreadable: Any, orders: Any, probes: Any, finals: Any, settings: Any, votes: Any, stops: Any,
    held: Any, streaks: Any,
) -> None:  # fmt: skip
    """Look back on the episodes `pairs` `[E, 2]`, whose logs end at `ends` `[E]`.

    Args:
        played, pool_header: addresses, see `counterfactual.WalkMemory`; `followed` is not used.
        unreadable: `[Q]` the code of failed extractions.
        settings: vote rule, and the most codes of a question.
        votes, stops, held, streaks: as in `Hindsight`; written, or added to.
    """
    s, pool = jit.state_at(played), jit.pool_at(pool_header)
    width, rule, most = orders.shape[2], settings[0], settings[1]
    state, answer = np.zeros(width, np.int64), np.zeros(width, np.int64)
    depth, streak = np.zeros(width, np.int64), np.zeros(width, np.int64)
    first, last = np.zeros(width, np.int64), np.zeros(width, np.int64)
    ended, who = np.zeros(width, np.int64), np.zeros(width, np.int64)
    order = np.zeros(width, np.int64)
    weight, sums = np.ones(width, np.float64), np.zeros(most, np.float64)
    rank, ranked = np.zeros(most, np.int64), np.zeros(most, np.int64)
    has = np.zeros((width, most), np.bool_)
    at = 0
    for e in range(len(pairs)):
        q, draw = pairs[e]
        order[:] = orders[q, draw]
        right, unread = gold[q], unreadable[q]
        compiled.aim(s, pool, q, draw)
        state[:] = _ACTIVE
        depth[:] = 0
        streak[:] = 0
        answer[:] = -1
        first[:] = -1
        last[:] = -1
        rank[:] = -1
        weight[:] = 1.0
        n = n_ended = n_ranked = spent = 0
        changed = False
        while at >= 0 and at < ends[e]:
            s.steps_at = 0
            rounds = s.rounds
            at, kind, flag = ask_again(s, at, ends[e])
            # What is pruned after a round belongs to it, so a round is over when another begins.
            if changed and stops[e] < 0 and s.rounds > rounds:
                size = _electorate(rule, n, state, answer, ended, n_ended, who)
                if _elect(who, size, answer, weight, sums) == right:
                    stops[e] = spent
                changed = False
            for k in range(s.steps_at):
                step = step_at(s, k)
                if step[_KIND] == control.NOTE:
                    continue
                i, code = step[_BRANCH], step[_CODE]
                if s.n_models > 1:
                    order[i] = s.rows[i]
                b = order[i]
                n = max(n, i + 1)
                spent += step[_TOKENS]
                for d in range(depth[i], step[_DEPTH]):
                    shown = probes[q, b, d]
                    if shown >= 0 and shown != unread:
                        n_ranked = _show(i, shown, last, first, has, rank, ranked, n_ranked)
                depth[i] = step[_DEPTH]
                before = answer[i]
                if step[_KIND] == control.PRUNE:
                    state[i] = _PRUNED
                    changed = True
                elif step[_KIND] == control.FINISH:
                    state[i], answer[i] = _FINISHED, code
                    ended[n_ended] = i
                    n_ended += 1
                    changed = True
                    if code >= 0 and code != unread:
                        n_ranked = _show(i, code, last, first, has, rank, ranked, n_ranked)
                elif reads(kind, flag):
                    answer[i] = code
                    if code >= 0:
                        streak[i] = streak[i] + 1 if code == before else 1
                        _count_streak(
                            streak[i], code, right, finals[q, b], answer, ended, n_ended, streaks
                        )
                changed = changed or answer[i] != before
        size = _electorate(rule, n, state, answer, ended, n_ended, who)
        if changed and stops[e] < 0 and _elect(who, size, answer, weight, sums) == right:
            stops[e] = spent
        _count_held(n, n_ranked, right, last, has, ranked, held)
        _vote_again(
            who, size, answer, depth, first, order, probes[q], unread, ended, n_ended, weight,
            sums, votes[e],
        )  # fmt: skip
        has[:n, :n_ranked] = False
        control.reset(s)
        at = ends[e]


@functools.cache
def _compiled() -> Any:
    """`_walk`, compiled."""
    ints = types.Array(types.int64, 1, "C", readonly=True)
    pool = [types.Array(types.int32, dimensions, "C", readonly=True) for dimensions in (3, 3, 2)]
    signature = types.void(
        *WALK_TYPES, ints, ints, *pool, ints, types.int64[:, ::1], types.int64[::1],
        types.int64[:, :, ::1], types.int64[:, :, ::1],
    )  # fmt: skip
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return compile_cached(
        _walk, signature, key=f"hindsight {digest}", error_model="numpy", nogil=True
    )
