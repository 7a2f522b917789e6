"""SDGV, speculative depth-gated voting: branches whose probes repeat lock, and locked ones vote.

Discovered by AutoTTS in its first round (arXiv 2605.08083). A locked branch is read no further and
its vote weighs more; locked branches that keep disagreeing are dropped. It locks on shallow
answers, which is why it fails. Needs probes.
"""

import numpy as np

from autotts.votes import beta_tail, streak

MAX_STEPS = 200


def schedule(beta):
    return {
        "warm_up": round(2 + 6 * beta),
        "lock_streak": max(1, round(2 + 2 * beta)),
        "patience": max(2, round(3 + 5 * beta)),
        "threshold": round(0.85 + 0.13 * beta, 4),
        "max_cohort": round(4 + 28 * beta),
        "locked_weight": round(1 + 3 * beta, 4),
        "min_locked_share": round(0.4 + 0.3 * beta, 4),
    }


def solve(env, p):
    ceiling = min(p.max_cohort, env.room)
    env.branch(min(max(2, p.max_cohort // 4), ceiling))
    locked = np.zeros(ceiling, np.bool_)
    dropped = np.zeros(ceiling, np.bool_)
    off = np.zeros(ceiling, np.int64)
    winner = -1
    for step in range(MAX_STEPS):
        warm = step >= p.warm_up
        read_on(env, locked, p.lock_streak)
        winner, confidence = weighted_vote(env, locked, dropped, p.locked_weight)
        if warm and drop(env, winner, locked, dropped, off, p.patience):
            winner, confidence = weighted_vote(env, locked, dropped, p.locked_weight)
        kept = 0
        kept_locked = 0
        for i in range(env.n):
            if not dropped[i]:
                kept += 1
                kept_locked += locked[i]
        enough = kept_locked >= 2 and kept_locked / kept >= p.min_locked_share
        if warm and enough and confidence >= p.threshold:
            break
        if kept_locked == kept:
            break
        if env.n < ceiling and step >= max(1, p.warm_up // 2) and confidence < p.threshold:
            env.branch()
    return winner


def read_on(env, locked, lock_streak):
    """One more interval for every branch that is not locked; lock those that repeat themselves."""
    ids = env.active()
    n = 0
    for i in ids:
        if not locked[i]:
            ids[n] = i
            n += 1
    if n > 0:
        env.advance(ids[:n])
    for i in range(env.n):
        if env.finished[i] or streak(env.history(i)) >= lock_streak:
            locked[i] = True


def weighted_vote(env, locked, dropped, locked_weight):
    """The leading answer, and its BetaConf with the weights scaled to one vote a branch."""
    weights = np.zeros(env.n_answers)
    voters = 0
    for i in range(env.n):
        if not dropped[i] and env.answer[i] >= 0:
            weights[env.answer[i]] += locked_weight if locked[i] else 1.0
            voters += 1
    winner = -1
    whole = 0.0
    for i in range(env.n):
        a = env.answer[i]
        if not dropped[i] and a >= 0 and (winner < 0 or weights[a] > weights[winner]):
            winner = a
    second = 0.0
    for a in range(env.n_answers):
        whole += weights[a]
        if a != winner:
            second = max(second, weights[a])
    if winner < 0:
        return winner, 0.0
    first = round(weights[winner] * voters / whole)
    return winner, beta_tail(max(1, first), round(second * voters / whole))


def drop(env, winner, locked, dropped, off, patience):
    """Drop locked branches that disagreed for `patience` steps in a row; whether any was."""
    any_dropped = False
    for i in range(env.n):
        if dropped[i] or not locked[i]:
            continue
        off[i] = off[i] + 1 if env.answer[i] != winner else 0
        if off[i] >= patience:
            dropped[i] = True
            any_dropped = True
            if not env.finished[i]:
                env.prune(i)
    return any_dropped
