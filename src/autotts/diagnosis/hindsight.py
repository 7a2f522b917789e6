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


# An episode's memory: a record for each branch, one for each answer, and one of counts. As arrays
# by themselves they would be fifteen arguments; as a tuple of arrays, three times as slow.
_SEEN_BRANCH = np.dtype(
    [
        ("state", np.int64),  # `_ACTIVE`, `_FINISHED` or `_PRUNED`
        ("depth", np.int64),  # intervals decoded
        ("row", np.int64),  # where the pool has it
        ("answer", np.int64),  # code that the program read last, -1 for none
        ("streak", np.int64),  # times in a row that it read this one
        ("first", np.int64),  # code of the first answer shown, read or not; -1 for none
        ("last", np.int64),  # and of the latest
        ("weight", np.float64),  # of its vote
        ("ended", np.int64),  # not of this branch: the k-th of those that finished, in that order
        ("voter", np.int64),  # and the k-th of those that vote
    ]
)
_SEEN_ANSWER = np.dtype(
    [
        ("rank", np.int64),  # -1 until it is shown
        ("ranked", np.int64),  # not of this answer: the code of rank k
        ("votes", np.float64),
    ]
)
_COUNTS = np.dtype(
    [
        ("branches", np.int64),
        ("ended", np.int64),
        ("answers", np.int64),
        ("spent", np.int64),  # tokens
        ("changed", np.int64),  # whether the vote may be another since it was last looked at
    ]
)


@register_jitable
def _begin(branches: Any, answers: Any, has: Any, count: Any, order: Any) -> None:
    """Forget the episode before; this one gets its branches in `order`."""
    has[: count.branches, : count.answers] = False
    for i in range(len(branches)):
        b = branches[i]
        b.state, b.depth, b.streak, b.row, b.weight = _ACTIVE, 0, 0, order[i], 1.0
        b.answer = b.first = b.last = -1
    for code in range(len(answers)):
        answers[code].rank = -1
    count.branches = count.ended = count.answers = count.spent = count.changed = 0


@register_jitable
def _elect(branches: Any, answers: Any, who: Any) -> int:
    """The answer of most weight among the branches `who`; among equals, of the earliest of them."""
    for i in who:
        if branches[i].answer >= 0:
            answers[branches[i].answer].votes = 0.0
    for i in who:
        if branches[i].answer >= 0:
            answers[branches[i].answer].votes += branches[i].weight
    best = -1
    for i in who:
        code = branches[i].answer
        if code >= 0 and (best < 0 or answers[code].votes > answers[best].votes + 1e-12):
            best = code
    return int(best)


@register_jitable
def _electorate(branches: Any, count: Any, rule: int) -> Any:
    """The branches that vote, in the order that settles ties."""
    size = 0
    if rule == 0:
        for j in range(count.ended):
            if branches[branches[j].ended].answer >= 0:
                branches[size].voter = branches[j].ended
                size += 1
    if size == 0:
        for i in range(count.branches):
            if branches[i].state != _PRUNED:
                branches[size].voter = i
                size += 1
    return branches[:size].voter


@register_jitable
def _show(b: Any, has: Any, answers: Any, count: Any, code: int) -> None:
    """A branch, `has[r]` of which is whether it showed the answer of rank r, shows an answer."""
    if answers[code].rank < 0:
        answers[code].rank = count.answers
        answers[count.answers].ranked = code
        count.answers += 1
    has[answers[code].rank] = True
    b.last = code
    if b.first < 0:
        b.first = code


@register_jitable
def _count_streak(b: Any, branches: Any, count: Any, right: int, final: int, out: Any) -> None:
    """Count a probe that was read of a branch, the `streak`-th in a row to show its answer."""
    band = 0
    while band + 1 < len(STREAKS) and b.streak >= STREAKS[band + 1]:
        band += 1
    agrees = 0
    for j in range(count.ended):
        if branches[branches[j].ended].answer == b.answer:
            agrees = 1
            break
        agrees = 2
    out[band, agrees, 0] += 1
    out[band, agrees, 1] += b.answer == right
    out[band, agrees, 2] += b.answer == final


@register_jitable
def _count_held(branches: Any, answers: Any, has: Any, count: Any, right: int, held: Any) -> None:
    for i in range(count.branches):
        last = branches[i].last
        for r in range(count.answers):
            if has[i, r]:
                code = answers[r].ranked
                row = held[min(r, RANKS - 1), int(code == right)]
                row[0] += 1
                row[1] += last == code
                row[2] += last != code and last == right
                row[3] += last != code and last != right


@register_jitable
def _vote_again(
    branches: Any, answers: Any, count: Any, who: Any, probes: Any, unread: int, out: Any
) -> None:
    """The votes of one episode under all `WEIGHTS`."""
    out[0] = _elect(branches, answers, who)
    for k in range(len(FIRST)):
        some = branches[: min(FIRST[k], count.ended)].ended
        out[1 + k] = _elect(branches, answers, some) if len(some) else out[0]
    for i in who:
        branches[i].weight = 1.0 / max(branches[i].depth, 1)
    out[_LENGTH] = _elect(branches, answers, who)
    for i in who:
        b = branches[i]
        shown = same = 0
        for d in range(b.depth):
            code = probes[b.row, d]
            shown += code >= 0 and code != unread
            same += code >= 0 and code != unread and code == b.answer
        b.weight = same / shown if shown else 1.0
    out[_KEPT] = _elect(branches, answers, who)
    for i in who:
        branches[i].weight = 0.5 if branches[i].first == branches[i].answer else 1.0
    out[_HALVED] = _elect(branches, answers, who)


@register_jitable
def _take(
    step: Any, read: bool, branches: Any, answers: Any, has: Any, count: Any, probes: Any,
    unread: int, right: int, final: int, streaks: Any,
) -> None:  # fmt: skip
    """Take a step of a branch; `probes` and `final` are what the pool has of it.

    read: whether the program looked at its answer.
    """
    kind, i, code = step[_KIND], step[_BRANCH], step[_CODE]
    b = branches[i]
    count.branches = max(count.branches, i + 1)
    count.spent += step[_TOKENS]
    for d in range(b.depth, step[_DEPTH]):
        if probes[d] >= 0 and probes[d] != unread:
            _show(b, has[i], answers, count, probes[d])
    b.depth = step[_DEPTH]
    before = b.answer
    if kind == control.PRUNE:
        b.state = _PRUNED
        count.changed = 1
    elif kind == control.FINISH:
        b.state, b.answer = _FINISHED, code
        branches[count.ended].ended = i
        count.ended += 1
        count.changed = 1
        if code >= 0 and code != unread:
            _show(b, has[i], answers, count, code)
    elif read:
        b.answer = code
        if code >= 0:
            b.streak = b.streak + 1 if code == before else 1
            _count_streak(b, branches, count, right, final, streaks)
    if b.answer != before:
        count.changed = 1


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
    branches, answers = np.zeros(width, _SEEN_BRANCH), np.zeros(most, _SEEN_ANSWER)
    has, count = np.zeros((width, most), np.bool_), np.zeros(1, _COUNTS)[0]
    at = 0
    for e in range(len(pairs)):
        q, draw = pairs[e]
        right, unread = gold[q], unreadable[q]
        compiled.aim(s, pool, q, draw)
        _begin(branches, answers, has, count, orders[q, draw])
        while at >= 0 and at < ends[e]:
            s.steps_at = 0
            rounds = s.rounds
            at, kind, flag = ask_again(s, at, ends[e])
            # What is pruned after a round belongs to it, so a round is over when another begins.
            if count.changed and stops[e] < 0 and s.rounds > rounds:
                if _elect(branches, answers, _electorate(branches, count, rule)) == right:
                    stops[e] = count.spent
                count.changed = 0
            for k in range(s.steps_at):
                step = step_at(s, k)
                if step[_KIND] == control.NOTE:
                    continue
                b = branches[step[_BRANCH]]
                if s.n_models > 1:
                    b.row = s.rows[step[_BRANCH]]
                _take(
                    step, reads(kind, flag), branches, answers, has, count, probes[q, b.row],
                    unread, right, finals[q, b.row], streaks,
                )  # fmt: skip
        who = _electorate(branches, count, rule)
        if count.changed and stops[e] < 0 and _elect(branches, answers, who) == right:
            stops[e] = count.spent
        _count_held(branches, answers, has, count, right, held)
        _vote_again(branches, answers, count, who, probes[q], unread, votes[e])
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
