"""What would have happened: the compiled walk over the requests of episodes, and past their ends.

The recorded pool knows how every branch goes on. So for an episode that gave a wrong answer one can
let it go on, open further branches, or take its prunings back, and see what the vote becomes.

Three states of `control` (`engine.memory`), used for every episode; the pool is only read.

    log -- ask_again() -->  played     makes a request of the episode again, and writes its steps
                              |   |
         its steps, one by one:   |    control.copy(), at the end of the episode, each time afresh
         _follow()            |   |
                              v   v
                         followed     free     without a budget, and probes cost nothing:
                                               _take_back()  pruned branches read to their ends
                                               _go_on()      active branches, an interval at a time
                                               _open_more()  further branches, each to its end

Decoding, billing and voting are those of `control.actions` everywhere. `followed` is there because
the actions of a batch are done one after the other, and the vote may settle between two of them:
tokens are counted in the order of the trace, round by round, and within a round branch by branch in
the order of the batch, the order in which finished branches get their place in the vote.
"""

import functools
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numba import from_dtype, types
from numba.extending import register_jitable

from autotts import control, votes
from autotts.engine import compiled, jit
from autotts.engine.cache import compile_cached
from autotts.replay.driver import Ran
from autotts.replay.episodes import make_memory, pool_header
from autotts.replay.log import ask_again, lay_in, make_room
from autotts.replay.task import Rules

FINISHED_VOTE, LATEST_VOTE = range(2)
"""How an episode votes: `env.vote()`, or the latest answers of all unpruned branches."""

OUT = np.dtype(
    [
        (name, np.int64)
        for name in (
            "vote", "tokens", "settled_tokens", "tokens_on_pruned", "n_finished", "n_pruned",
            "pruned_right", "unpruned_vote", "unpruned_tokens", "early_intervals",
            "early_intervals_tokens", "early_branches", "early_branches_tokens", "right_votes",
            "answer_votes", "right_opened", "right_shown", "right_unopened", "in_draw",
        )
    ]
)  # fmt: skip
"""What the walk finds out of an episode; see `autotts.diagnosis.findings`."""

_EPISODE, _ROUND, _KIND, _BRANCH, _DEPTH, _CODE, _TOKENS, _ = range(len(control.STEP))
_STEP = len(control.STEP)


class WalkMemory:
    """The memory in which the episodes of `ran` are walked through: keep it while they are.

    arguments: what `walk` and `check` take first: addresses of the states `played` and `followed`
        and of the pool's header, the episodes `[E, 2]`, and `[E]` where each one's log ends.
    free: the state for what is made up.

    Raises:
        SpecError: no log was kept.
    """

    def __init__(self, ran: Ran) -> None:
        task = ran.task
        self._played, ends = lay_in(ran.log, ran.codes, task)
        # A request takes every branch through all its intervals and its end at the most.
        make_room(self._played, task.ceiling * (task.pool.depth + 1))
        without_costs = replace(task, rules=Rules(abstain=task.rules.abstain))
        self._followed, self.free = make_memory(without_costs), make_memory(without_costs)
        self._pool = pool_header(task)
        self.arguments = (
            self._played.address, self._followed.address, self._pool.address,
            np.ascontiguousarray(task.pairs, np.int64), ends,
        )  # fmt: skip


@register_jitable
def _code(s: Any, answer: int) -> int:
    """The pool's code of an answer id, -1 for none."""
    return s.code_of[answer] if answer >= 0 else -1


@register_jitable
def _vote(s: Any, rule: int) -> int:
    return control.vote(s) if rule == FINISHED_VOTE else control.latest_vote(s)


@register_jitable
def _has_vote(s: Any) -> bool:
    """Whether a branch has finished with an answer, so that `env.vote()` looks at those alone."""
    some = False
    for a in range(s.n_answers):
        some = some or s.votes[a] > 0
    return some


@register_jitable
def step_at(s: Any, k: int) -> Any:
    """Step k of those that the last request wrote, `[len(control.STEP)]`."""
    return jit.array_at(s.steps_address + 8 * _STEP * k, 8, _STEP)


@register_jitable
def _follow(t: Any, step: Any, read: bool) -> bool:
    """Do a step to the state `t`; whether its vote may have changed by it.

    read: whether the answer was looked at. If it was, one that abstains hides the one before.
    """
    kind, i = step[_KIND], step[_BRANCH]
    t.n = max(t.n, i + 1)
    t.depth[i] = step[_DEPTH]
    control.charge(t, i, step[_TOKENS])
    if kind == control.PRUNE:
        t.pruned[i] = True
        return True
    before = t.answer[i]
    if kind == control.FINISH:
        t.answer[i] = control.reveal(t, step[_CODE])
        control.count_finished(t, i)
        return True
    if read:
        t.answer[i] = control.reveal(t, step[_CODE])
    return bool(t.answer[i] != before)


@register_jitable
def reads(kind: int, flag: bool) -> bool:
    """Whether a request reveals the answers of the branches it does not end."""
    return flag or kind == control.PROBE


@register_jitable
def _go_on(s: Any, rule: int, horizon: int, right: int, ids: Any, ones: Any, before: Any) -> Any:
    """Continue all active branches by up to `horizon` intervals: (intervals, tokens) or (0, 0).

    Args:
        right: code of the right answer.
        ids, before: `[W]` to write to.
        ones: `[W]` ones.
    """
    spent = s.spent
    for k in range(1, horizon + 1):
        m = control.active(s, ids)
        if m == 0:
            break
        n_finished = s.n_finished
        for j in range(m):
            before[j] = s.answer[ids[j]]
        control.advance(s, ids[:m], ones[:m], True)
        changed = s.n_finished > n_finished
        for j in range(m):
            changed = changed or s.answer[ids[j]] != before[j]
        # The vote may be right already where another answer was given: that is no gain.
        if changed and _code(s, _vote(s, rule)) == right:
            return k, s.spent - spent
    return 0, 0


@register_jitable
def _open_more(s: Any, rule: int, horizon: int, right: int, ids: Any, times: Any) -> Any:
    """Read up to `horizon` further branches of the draw to their ends: (branches, tokens).

    (0, 0) if that does not make the vote right. They are read interval by interval, which
    `reference` billing charges a little more for than `finish`.
    """
    spent = s.spent
    for k in range(1, min(horizon, s.ceiling - s.n) + 1):
        control.branch(s, 1, False, control.next_model(s))
        ids[0] = s.n - 1
        if not s.finished[s.n - 1]:
            times[0] = s.intervals + 1
            control.advance(s, ids[:1], times[:1], False)
        if _code(s, _vote(s, rule)) == right:
            return k, s.spent - spent
    return 0, 0


@register_jitable
def _take_back(s: Any, ids: Any) -> int:
    """Read every pruned branch to its end, after those that ended; returns the tokens it takes."""
    spent = s.spent
    m = 0
    for i in range(s.n):
        if s.pruned[i]:
            s.pruned[i] = False
            s.seen[i] = 0
            ids[m] = i
            m += 1
    if m:
        control.finish(s, ids[:m])
    return int(s.spent - spent)


@register_jitable
def _play(
    s: Any, t: Any, at: int, end: int, answer: int, right: int, rule: int, shown: Any,
    at_settling: Any, out: Any,
) -> None:  # fmt: skip
    """Play an episode, whose log has the words `at` to `end`: vote, tokens, and when it settled.

    Settled is after the tokens after which the vote was `answer` and stayed it; all of them if it
    was not at the end.

    Args:
        shown: `[W]` set where a branch showed the right answer.
        at_settling: `[W]` set to each branch's tokens at that point.
    """
    vote = -1
    holds = cast = False
    while at >= 0 and at < end:
        s.steps_at = 0
        at, kind, flag = ask_again(s, at, end)
        read = reads(kind, flag)
        for k in range(s.steps_at):
            step = step_at(s, k)
            if step[_KIND] == control.NOTE:
                continue
            if step[_CODE] == right:
                shown[step[_BRANCH]] = True
            changed = _follow(t, step, read)
            ends = step[_KIND] == control.FINISH
            # Once a finished branch has voted, `env.vote()` looks at nothing else.
            if changed and (ends or not cast):
                vote = _code(t, _vote(t, rule))
                cast = rule == FINISHED_VOTE and (cast or (ends and _has_vote(t)))
            if vote != answer or answer < 0:
                holds = False
            elif not holds:
                holds = True
                out.settled_tokens = t.spent
                for i in range(len(at_settling)):
                    at_settling[i] = t.tokens[i]
    if not holds:
        out.settled_tokens = t.spent
        for i in range(len(at_settling)):
            at_settling[i] = t.tokens[i]
    out.vote, out.tokens = vote, t.spent


@register_jitable
def _count(
    s: Any, rule: int, right: int, answer: int, touched: Any, shown: Any, at_settling: Any, out: Any
) -> None:
    """Fill in what is known at the end of an episode without going on.

    touched: `[N]` 1 where a branch shows the right answer at any depth, or ends on it.
    """
    out.n_finished = s.n_finished
    by_finished = rule == FINISHED_VOTE and _has_vote(s)
    if by_finished:
        for a in range(s.n_answers):
            if s.code_of[a] == right:
                out.right_votes = s.votes[a]
            if s.code_of[a] == answer:
                out.answer_votes = s.votes[a]
    for j in range(control.n_drawn(s)):
        branch = control.drawn(s, j)
        out.in_draw += touched[branch]
        out.right_unopened += s.finals[branch] == right
    for i in range(s.n):
        ends_right = s.finals[s.order[i]] == right
        out.right_unopened -= ends_right
        out.right_opened += ends_right
        out.right_shown += shown[i]
        if s.pruned[i]:
            out.tokens_on_pruned += at_settling[i]
            out.n_pruned += 1
            out.pruned_right += ends_right
        elif not by_finished and s.answer[i] >= 0:
            code = s.code_of[s.answer[i]]
            out.right_votes += code == right
            out.answer_votes += code == answer


def _walk(
    played: int, followed: int, pool_header: int, pairs: Any, ends: Any, free: int, codes: Any,
    gold: Any, touched: Any, rule: int, horizon: int, out: Any,
) -> None:  # fmt: skip
    """Diagnose the episodes `pairs` `[E, 2]`, whose logs end at `ends` `[E]`.

    Args:
        played, followed, free: addresses of states.
        codes: `[E]` the answers given.
        gold: `[Q]` the true ones.
        touched: `[Q, N]` 1 where a branch shows the right answer at any depth, or ends on it.
        out: `[E]` zero records of `OUT`.
    """
    s, t, u = jit.state_at(played), jit.state_at(followed), jit.state_at(free)
    pool = jit.pool_at(pool_header)
    width = s.slots
    ids, before = np.zeros(width, np.int64), np.zeros(width, np.int64)
    ones, at_settling = np.ones(width, np.int64), np.zeros(width, np.int64)
    shown = np.zeros(width, np.bool_)
    at = 0
    for e in range(len(pairs)):
        q, d = pairs[e]
        right, answer, o = gold[q], codes[e], out[e]
        compiled.aim(s, pool, q, d)
        compiled.aim(u, pool, q, d)
        shown[:] = False
        _play(s, t, at, ends[e], answer, right, rule, shown, at_settling, o)
        _count(s, rule, right, answer, touched[q], shown, at_settling, o)
        o.unpruned_vote = o.vote
        if o.n_pruned:
            control.copy(s, u)
            o.unpruned_tokens = _take_back(u, ids)
            o.unpruned_vote = _code(u, _vote(u, rule))
        if answer != right:
            control.copy(s, u)
            o.early_intervals, o.early_intervals_tokens = _go_on(
                u, rule, horizon, right, ids, ones, before
            )
            control.copy(s, u)
            o.early_branches, o.early_branches_tokens = _open_more(
                u, rule, horizon, right, ids, before
            )
        control.reset(s)
        control.reset(t)
        at = ends[e]


STATE_FEATURES = (
    "opened", "active", "finished", "pruned", "distinct", "leader_votes", "margin", "share",
    "entropy", "confidence", "agreement", "streak", "depth", "stable_tokens", "rounds",
)  # fmt: skip
"""What a controller knows at a checkpoint, see `autotts.diagnosis.marginal`."""


@register_jitable
def _look(
    t: Any, n_codes: int, streaks: Any, vote: int, since: int, rounds: int, ballots: Any, out: Any
) -> None:
    """Write `STATE_FEATURES`, tokens and vote `[F + 2]` of a state."""
    active = pruned = agreeing = streak = depth = 0
    for i in range(t.n):
        if not t.finished[i] and not t.pruned[i]:
            active += 1
            agreeing += _code(t, t.answer[i]) == vote
            streak += streaks[i]
            depth += t.depth[i]
        pruned += t.pruned[i]
    # By code, not by id: the order in which the entropy is summed makes its last bit.
    cast = ballots[:n_codes]
    cast[:] = 0
    for a in range(t.n_answers):
        cast[t.code_of[a]] = t.votes[a]
    some = active if active > 0 else 1
    out[0], out[1], out[2], out[3] = t.n, active, t.n_finished, pruned
    out[4], out[5], out[6] = votes.distinct(cast), votes.top_two(cast)[0], votes.margin(cast)
    out[7], out[8], out[9] = votes.share(cast), votes.entropy(cast), votes.beta_confidence(cast)
    out[10], out[11], out[12] = agreeing / some, streak / some, depth / some
    out[13], out[14], out[15], out[16] = t.spent - since, rounds, t.spent, vote


def _check(
    played: int, followed: int, pool_header: int, pairs: Any, ends: Any, n_codes: Any, rule: int,
    checkpoints: Any, out: Any,
) -> None:  # fmt: skip
    """Write the state of each episode after the round in which it reaches each checkpoint.

    Args:
        n_codes: `[Q]` answers of each question.
        checkpoints: `[C]` tokens, ascending.
        out: `[E, C, F + 2]`; rows of checkpoints that an episode does not reach are left alone.
    """
    s, t, pool = jit.state_at(played), jit.state_at(followed), jit.pool_at(pool_header)
    ballots, streaks = np.zeros(n_codes.max(), np.int64), np.zeros(s.slots, np.int64)
    at = 0
    for e in range(len(pairs)):
        q, d = pairs[e]
        compiled.aim(s, pool, q, d)
        streaks[:] = 0
        since = mark = 0
        vote = -1
        while at >= 0 and at < ends[e]:
            s.steps_at = 0
            rounds = s.rounds
            at, kind, flag = ask_again(s, at, ends[e])
            if s.rounds > rounds:
                while mark < len(checkpoints) and t.spent >= checkpoints[mark]:
                    _look(t, n_codes[q], streaks, vote, since, rounds, ballots, out[e, mark])
                    mark += 1
            read = reads(kind, flag)
            for k in range(s.steps_at):
                step = step_at(s, k)
                if step[_KIND] == control.NOTE:
                    continue
                i = step[_BRANCH]
                before = t.answer[i]
                if _follow(t, step, read):
                    now = _code(t, _vote(t, rule))
                    if now != vote:
                        vote, since = now, t.spent
                if step[_KIND] != control.PRUNE:
                    streaks[i] = streaks[i] + 1 if t.answer[i] == before else 1
        while mark < len(checkpoints) and t.spent >= checkpoints[mark]:
            _look(t, n_codes[q], streaks, vote, since, s.rounds, ballots, out[e, mark])
            mark += 1
        control.reset(s)
        control.reset(t)
        at = ends[e]


@functools.cache
def own_digest() -> str:
    """Digest of this file, for the keys of what is compiled from it."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


_I64 = types.int64
_WORDS = types.int64[::1]
WALK_TYPES = (_I64, _I64, _I64, types.int64[:, ::1], _WORDS)
"""Types of `WalkMemory.arguments`."""


@functools.cache
def walk() -> Any:
    """`_walk`, compiled."""
    signature = types.void(
        *WALK_TYPES, _I64, _WORDS, _WORDS, types.int8[:, ::1], _I64, _I64, from_dtype(OUT)[::1]
    )
    return compile_cached(
        _walk, signature, key=f"diagnose {own_digest()}", error_model="numpy", nogil=True
    )


@functools.cache
def check() -> Any:
    """`_check`, compiled."""
    signature = types.void(*WALK_TYPES, _WORDS, _I64, _WORDS, types.float64[:, :, ::1])
    return compile_cached(
        _check, signature, key=f"checkpoints {own_digest()}", error_model="numpy", nogil=True
    )
