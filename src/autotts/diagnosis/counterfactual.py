"""What would have happened: the compiled walk over the steps of episodes, and past their ends.

The recorded pool knows how every branch goes on. So for an episode that gave a wrong answer one can
let it go on, open further branches, or take its prunings back, and see what the vote becomes.

Tokens are counted in the order of the trace: round by round, and within a round branch by branch
in the order of the batch, the order in which finished branches get their place in the vote.

    steps [M, 7] of the log, replayed     rows [W, 4] by branch      tally [A + 2, 2] by answer
    (by `control`, through its actions)   state, latest answer,      votes, place of the first;
        |                                 depth, tokens              then (leader, votes cast)
        |  apply_step(), one at a time         ^         ^           and (finished, 0)
        +--------------------------------------+---------+
                                               |
        at the end of the episode: _copy() to `work` and `cast`, from which start, each afresh,
            _take_back()  pruned branches read to their ends
            _go_on()      active branches, an interval at a time
            _open_more()  further branches of the draw, each to its end

`walk` owns rows, tally and their copies, and uses them for every episode; the pool is only read.
Decoding, billing and voting stand here a second time, beside `control.actions`:
`tests/test_diagnose_findings.py` holds both to the same votes and tokens over random stores.
Known to differ: a branch whose `finish` a budget cut short inside an interval goes on from the
interval's start here; and where failed answers abstain, one that was passed without a probe counts
as shown.
"""

import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import types
from numba.extending import register_jitable

from autotts import control, votes
from autotts.engine.cache import compile_cached

FINISHED_VOTE, LATEST_VOTE = range(2)
"""How an episode votes: `env.vote()`, or the latest answers of all unpruned branches."""

OUT = (
    "vote", "tokens", "settled_tokens", "tokens_on_pruned", "n_finished", "n_pruned",
    "pruned_right",
    "unpruned_vote", "unpruned_tokens", "early_intervals", "early_intervals_tokens",
    "early_branches", "early_branches_tokens", "right_votes", "answer_votes", "right_opened",
    "right_shown", "right_unopened", "in_draw",
)  # fmt: skip
"""What the walk finds out of an episode, one int64 each; see `autotts.diagnosis.findings`."""

(
    _VOTE, _TOKENS_SPENT, _SETTLED_TOKENS, _TOKENS_ON_PRUNED, _FINISHED_COUNT, _PRUNED_COUNT,
    _PRUNED_RIGHT, _UNPRUNED_VOTE, _UNPRUNED_TOKENS, _EARLY_INTERVALS, _EARLY_INTERVALS_TOKENS,
    _EARLY_BRANCHES, _EARLY_BRANCHES_TOKENS, _RIGHT_VOTES, _ANSWER_VOTES, _RIGHT_OPENED,
    _RIGHT_SHOWN, _RIGHT_UNOPENED, _IN_DRAW,
) = range(len(OUT))  # fmt: skip

_EPISODE, _ROUND, _KIND, _BRANCH, _DEPTH, _CODE, _TOKENS = range(len(control.STEP))
ACTIVE, FINISHED, PRUNED = range(3)
"""States of a branch."""


@register_jitable
def _latest_leader(rows: Any, n: int, counts: Any) -> int:
    """The most frequent latest answer of unpruned branches, the lowest branch among equals."""
    for i in range(n):
        if rows[i, 1] >= 0:
            counts[rows[i, 1]] = 0
    for i in range(n):
        if rows[i, 0] != PRUNED and rows[i, 1] >= 0:
            counts[rows[i, 1]] += 1
    best = -1
    for i in range(n):
        code = rows[i, 1]
        if rows[i, 0] != PRUNED and code >= 0 and (best < 0 or counts[code] > counts[best]):
            best = code
    return best


@register_jitable
def _cast(tally: Any, code: int) -> None:
    """A branch ends on `code`: tally `[A + 2, 2]` has votes and place of the first, by code.

    Its last two rows are (leader, votes cast so far) and (finished, 0). Among equals the code
    that a branch finished on first leads, as in `env.vote()`.
    """
    book = len(tally) - 2
    tally[book + 1, 0] += 1
    if code < 0:
        return
    if tally[code, 0] == 0:
        tally[code, 1] = tally[book, 1]
    tally[book, 1] += 1
    tally[code, 0] += 1
    leader = tally[book, 0]
    ahead = tally[code, 0] - (tally[leader, 0] if leader >= 0 else 0)
    if ahead > 0 or (ahead == 0 and tally[code, 1] < tally[leader, 1]):
        tally[book, 0] = code


@register_jitable
def vote_of(rows: Any, n: int, tally: Any, rule: int, counts: Any) -> int:
    leader = tally[len(tally) - 2, 0]
    if rule == FINISHED_VOTE and leader >= 0:
        return int(leader)
    return int(_latest_leader(rows, n, counts))


@register_jitable
def _shown(code: int, failed: int) -> int:
    return -1 if code == failed else code


@register_jitable
def _rest(total: int, decoded: int) -> int:
    return total - decoded if total > decoded else 0


@register_jitable
def forget(rows: Any, tally: Any, n_codes: int) -> None:
    for i in range(len(rows)):
        rows[i, 0] = rows[i, 2] = rows[i, 3] = 0
        rows[i, 1] = -1
    for code in range(n_codes):
        tally[code, 0] = 0
    book = len(tally) - 2
    tally[book, 0] = -1
    tally[book, 1] = tally[book + 1, 0] = 0


@register_jitable
def _copy(rows: Any, tally: Any, n_codes: int, into: Any, cast: Any) -> None:
    for i in range(len(rows)):
        for k in range(3):
            into[i, k] = rows[i, k]
    for code in range(n_codes):
        cast[code, 0] = tally[code, 0]
        cast[code, 1] = tally[code, 1]
    for book in range(len(tally) - 2, len(tally)):
        cast[book, 0] = tally[book, 0]
        cast[book, 1] = tally[book, 1]


@register_jitable
def apply_step(step: Any, rows: Any, tally: Any, failed: int, hidden: int) -> bool:
    """Do a step to the state; whether the vote may have changed by it.

    rows: `[W, 4]` by branch: state, latest answer, depth, tokens.
    hidden: the pool's answer at the step's depth: a failed one that abstains is shown as none.
    """
    i, kind, code = step[_BRANCH], step[_KIND], step[_CODE]
    before = rows[i, 1]
    rows[i, 3] += step[_TOKENS]
    rows[i, 2] = step[_DEPTH]
    if kind == control.PRUNE:
        rows[i, 0] = PRUNED
        return True
    if kind == control.FINISH:
        rows[i, 0] = FINISHED
        rows[i, 1] = code
        _cast(tally, code)
        return True
    if code >= 0 or (failed >= 0 and hidden == failed):
        rows[i, 1] = code
    return bool(rows[i, 1] != before)


@register_jitable
def _go_on(
    rows: Any, n: int, tally: Any, rule: int, counts: Any, horizon: int, right: int, failed: int,
    order: Any, probes: Any, lengths: Any, totals: Any, finals: Any, interval: int, exact: int,
) -> Any:  # fmt: skip
    """Continue all active branches by up to `horizon` intervals: (intervals, tokens) or (0, 0).

    Changes the state.
    """
    tokens = 0
    for k in range(1, horizon + 1):
        going = False
        changed = False
        for i in range(n):
            if rows[i, 0] != ACTIVE:
                continue
            going = True
            before = rows[i, 1]
            b, depth = order[i], rows[i, 2]
            if depth + exact < lengths[b]:
                rows[i, 1] = _shown(probes[b, depth], failed)
                rows[i, 2] = depth + 1
                tokens += interval
            else:
                rows[i, 0] = FINISHED
                rows[i, 1] = _shown(finals[b], failed)
                tokens += _rest(totals[b], depth * interval)
                _cast(tally, rows[i, 1])
                changed = True
            changed = changed or rows[i, 1] != before
        if not going:
            break
        if changed and vote_of(rows, n, tally, rule, counts) == right:
            return k, tokens
    return 0, 0


@register_jitable
def _open_more(
    rows: Any, n: int, tally: Any, rule: int, counts: Any, horizon: int, right: int, failed: int,
    order: Any, lengths: Any, totals: Any, finals: Any, interval: int, exact: int,
) -> Any:  # fmt: skip
    """Read up to `horizon` further branches of the draw to their ends: (branches, tokens).

    (0, 0) if that does not make the vote right. Changes the state.
    """
    tokens = 0
    for k in range(1, horizon + 1):
        i = n + k - 1
        if i >= len(order):
            break
        b = order[i]
        whole = 0 if exact else lengths[b] * interval
        tokens += whole + _rest(totals[b], whole)
        rows[i, 0] = FINISHED
        rows[i, 1] = _shown(finals[b], failed)
        _cast(tally, rows[i, 1])
        if vote_of(rows, i + 1, tally, rule, counts) == right:
            return k, tokens
    return 0, 0


@register_jitable
def _take_back(
    rows: Any, n: int, tally: Any, failed: int, order: Any, totals: Any, finals: Any,
    interval: int,
) -> int:  # fmt: skip
    """Read every pruned branch to its end, after those that ended; returns the tokens it takes."""
    tokens = 0
    for i in range(n):
        if rows[i, 0] == PRUNED:
            b = order[i]
            tokens += _rest(totals[b], rows[i, 2] * interval)
            rows[i, 0] = FINISHED
            rows[i, 1] = _shown(finals[b], failed)
            _cast(tally, rows[i, 1])
    return tokens


@register_jitable
def _play(
    steps: Any, m: int, e: int, answer: int, right: int, failed: int, rule: int, order: Any,
    probes: Any, rows: Any, tally: Any, counts: Any, shown: Any, at_settling: Any,
) -> Any:  # fmt: skip
    """Play the steps of episode e, from step m on: (next m, branches, tokens, vote, settled).

    settled: tokens after which the vote was `answer` and stayed it; all if it was not at the end.
    shown: `[W]` set where a branch showed the right answer.
    at_settling: `[W]` set to each branch's tokens at that point.
    """
    n = spent = settled = 0
    vote = -1
    holds = False
    while m < len(steps) and steps[m, _EPISODE] == e:
        step = steps[m]
        m += 1
        if step[_KIND] == control.NOTE:
            continue
        i, depth = step[_BRANCH], step[_DEPTH]
        if i >= n:
            n = i + 1
        spent += step[_TOKENS]
        if step[_CODE] == right:
            shown[i] = True
        hidden = probes[order[i], depth - 1] if failed >= 0 and depth > 0 else -1
        if apply_step(step, rows, tally, failed, hidden):
            vote = vote_of(rows, n, tally, rule, counts)
        if vote != answer or answer < 0:
            holds = False
        elif not holds:
            holds = True
            settled = spent
            for j in range(len(rows)):
                at_settling[j] = rows[j, 3]
    if not holds:
        settled = spent
        for j in range(len(rows)):
            at_settling[j] = rows[j, 3]
    return m, n, spent, vote, settled


@register_jitable
def _count(
    out: Any, n: int, rows: Any, tally: Any, rule: int, right: int, answer: int, order: Any,
    finals: Any, touched: Any, shown: Any, at_settling: Any,
) -> None:  # fmt: skip
    """Fill in what is known at the end of an episode without going on."""
    out[_FINISHED_COUNT] = tally[len(tally) - 1, 0]
    by_finished = rule == FINISHED_VOTE and tally[len(tally) - 2, 0] >= 0
    if by_finished:
        out[_RIGHT_VOTES] = tally[right, 0]
        out[_ANSWER_VOTES] = tally[answer, 0] if answer >= 0 else 0
    for i in range(len(order)):
        ends_right = finals[order[i]] == right
        out[_IN_DRAW] += touched[order[i]]
        if i >= n:
            out[_RIGHT_UNOPENED] += ends_right
            continue
        out[_RIGHT_OPENED] += ends_right
        out[_RIGHT_SHOWN] += shown[i]
        if rows[i, 0] == PRUNED:
            out[_TOKENS_ON_PRUNED] += at_settling[i]
            out[_PRUNED_COUNT] += 1
            out[_PRUNED_RIGHT] += ends_right
        elif not by_finished and rows[i, 1] >= 0:
            out[_RIGHT_VOTES] += rows[i, 1] == right
            out[_ANSWER_VOTES] += rows[i, 1] == answer


def _walk(
    steps: Any, pairs: Any, codes: Any, gold: Any, failed: Any, orders: Any, probes: Any,
    lengths: Any, totals: Any, finals: Any, touched: Any, n_codes: Any, settings: Any, out: Any,
) -> None:  # fmt: skip
    """Diagnose the episodes `pairs` `[E, 2]` that answered `codes` `[E]` from their `steps`.

    Args:
        touched: `[Q, N]` 1 where a branch shows the right answer at any depth, or ends on it.
        settings: `[5]` tokens per interval, exact billing or not, vote rule, horizon, and the
            largest of `n_codes`.
        out: `[E, len(OUT)]`, zero.
    """
    interval, exact, rule, horizon = settings[0], settings[1], settings[2], settings[3]
    width, most = orders.shape[2], settings[4]
    rows, work = np.zeros((width, 4), np.int64), np.zeros((width, 4), np.int64)
    tally, cast = np.zeros((most + 2, 2), np.int64), np.zeros((most + 2, 2), np.int64)
    counts, at_settling = np.zeros(most, np.int64), np.zeros(width, np.int64)
    shown = np.zeros(width, np.bool_)
    m = 0
    for e in range(len(pairs)):
        q, d = pairs[e]
        order, right, answer, fail, o = orders[q, d], gold[q], codes[e], failed[q], out[e]
        forget(rows, tally, n_codes[q])
        for i in range(width):
            shown[i] = False
        m, n, spent, vote, settled = _play(
            steps, m, e, answer, right, fail, rule, order, probes[q], rows, tally, counts, shown,
            at_settling,
        )  # fmt: skip
        o[_VOTE], o[_TOKENS_SPENT], o[_SETTLED_TOKENS] = vote, spent, settled
        _count(
            o, n, rows, tally, rule, right, answer, order, finals[q], touched[q], shown,
            at_settling,
        )  # fmt: skip
        _copy(rows, tally, n_codes[q], work, cast)
        o[_UNPRUNED_TOKENS] = _take_back(work, n, cast, fail, order, totals[q], finals[q], interval)
        o[_UNPRUNED_VOTE] = vote_of(work, n, cast, rule, counts) if o[_PRUNED_COUNT] else vote
        if answer == right:
            continue
        _copy(rows, tally, n_codes[q], work, cast)
        o[_EARLY_INTERVALS], o[_EARLY_INTERVALS_TOKENS] = _go_on(
            work, n, cast, rule, counts, horizon, right, fail, order, probes[q], lengths[q],
            totals[q], finals[q], interval, exact,
        )  # fmt: skip
        _copy(rows, tally, n_codes[q], work, cast)
        o[_EARLY_BRANCHES], o[_EARLY_BRANCHES_TOKENS] = _open_more(
            work, n, cast, rule, counts, horizon, right, fail, order, lengths[q], totals[q],
            finals[q], interval, exact,
        )  # fmt: skip


STATE_FEATURES = (
    "opened", "active", "finished", "pruned", "distinct", "leader_votes", "margin", "share",
    "entropy", "confidence", "agreement", "streak", "depth", "stable_tokens", "rounds",
)  # fmt: skip
"""What a controller knows at a checkpoint, see `autotts.diagnosis.marginal`."""


@register_jitable
def _look(
    out: Any, n: int, rows: Any, tally: Any, n_codes: int, streaks: Any, vote: int, spent: int,
    since: int, rounds: int, ballots: Any,
) -> None:  # fmt: skip
    """Write `STATE_FEATURES`, tokens and vote `[F + 2]` of a state."""
    active = pruned = agreeing = streak = depth = 0
    for i in range(n):
        if rows[i, 0] == ACTIVE:
            active += 1
            agreeing += rows[i, 1] == vote
            streak += streaks[i]
            depth += rows[i, 2]
        pruned += rows[i, 0] == PRUNED
    for code in range(n_codes):
        ballots[code] = tally[code, 0]
    cast = ballots[:n_codes]
    some = active if active > 0 else 1
    out[0], out[1], out[2], out[3] = n, active, tally[len(tally) - 1, 0], pruned
    out[4], out[5], out[6] = votes.distinct(cast), votes.top_two(cast)[0], votes.margin(cast)
    out[7], out[8], out[9] = votes.share(cast), votes.entropy(cast), votes.beta_confidence(cast)
    out[10], out[11], out[12] = agreeing / some, streak / some, depth / some
    out[13], out[14], out[15], out[16] = spent - since, rounds, spent, vote


def _check(
    steps: Any, pairs: Any, failed: Any, orders: Any, probes: Any, n_codes: Any, settings: Any,
    checkpoints: Any, out: Any,
) -> None:  # fmt: skip
    """Write the state of each episode after the round in which it reaches each checkpoint.

    Args:
        settings: `[2]` vote rule, the largest of `n_codes`.
        checkpoints: `[C]` tokens, ascending.
        out: `[E, C, F + 2]`; rows of checkpoints that an episode does not reach are left alone.
    """
    rule, most, width = settings[0], settings[1], orders.shape[2]
    rows = np.zeros((width, 4), np.int64)
    tally = np.zeros((most + 2, 2), np.int64)
    counts, ballots = np.zeros(most, np.int64), np.zeros(most, np.int64)
    streaks = np.zeros(width, np.int64)
    m = 0
    for e in range(len(pairs)):
        q, d = pairs[e]
        order, fail = orders[q, d], failed[q]
        forget(rows, tally, n_codes[q])
        for i in range(width):
            streaks[i] = 0
        n = spent = since = at = 0
        vote = -1
        while m < len(steps) and steps[m, _EPISODE] == e:
            step = steps[m]
            m += 1
            if step[_KIND] != control.NOTE:
                i, depth = step[_BRANCH], step[_DEPTH]
                if i >= n:
                    n = i + 1
                spent += step[_TOKENS]
                before = rows[i, 1]
                hidden = probes[q, order[i], depth - 1] if fail >= 0 and depth > 0 else -1
                changed = apply_step(step, rows, tally, fail, hidden)
                if step[_KIND] != control.PRUNE:
                    streaks[i] = streaks[i] + 1 if rows[i, 1] == before else 1
                if changed:
                    now = vote_of(rows, n, tally, rule, counts)
                    if now != vote:
                        vote, since = now, spent
            last = m == len(steps) or steps[m, _EPISODE] != e
            if last or steps[m, _ROUND] != step[_ROUND]:
                while at < len(checkpoints) and spent >= checkpoints[at]:
                    _look(
                        out[e, at], n, rows, tally, n_codes[q], streaks, vote, spent, since,
                        step[_ROUND], ballots,
                    )  # fmt: skip
                    at += 1


@functools.cache
def own_digest() -> str:
    """Digest of this file, for the keys of what is compiled from it."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


POOL = tuple(
    types.Array(getattr(types, dtype), dimensions, "C", readonly=True)
    for dtype, dimensions in (
        ("int32", 3), ("int32", 3), ("int32", 2), ("int32", 2), ("int32", 2),
    )
)  # fmt: skip
"""Types of orders, probes, lengths, totals and finals."""
INTS = types.Array(types.int64, 1, "C", readonly=True)
PAIRS = types.Array(types.int64, 2, "C", readonly=True)
BYTES = types.Array(types.int8, 2, "C", readonly=True)


@functools.cache
def walk() -> Any:
    """`_walk`, compiled."""
    signature = types.void(
        PAIRS, PAIRS, INTS, INTS, INTS, *POOL, BYTES, INTS, INTS,
        types.int64[:, ::1],
    )  # fmt: skip
    return compile_cached(
        _walk, signature, key=f"diagnose {own_digest()}", error_model="numpy", nogil=True
    )


@functools.cache
def check() -> Any:
    """`_check`, compiled."""
    orders, probes = POOL[:2]
    signature = types.void(
        PAIRS, PAIRS, INTS, orders, probes, INTS, INTS, INTS, types.float64[:, :, ::1]
    )
    return compile_cached(
        _check, signature, key=f"checkpoints {own_digest()}", error_model="numpy", nogil=True
    )
