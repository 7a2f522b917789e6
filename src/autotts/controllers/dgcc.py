"""DGCC, dual gate with lazy completion: branches that repeat themselves are read now and then.

Discovered by AutoTTS in its fourth round (arXiv 2605.08083): as IBC, but a branch whose probes have
long been the same sleeps for most steps, a less sure vote suffices when the branches still running
agree with it, and a divided vote widens faster. Needs probes.
"""

import math

import numpy as np

from autotts.votes import beta_confidence, dissent, outliers, share, streak

MAX_STEPS = 600


def schedule(beta):
    return {
        "warm_up": round(3 + 7 * beta),
        "min_finished": max(2, round(2 + 4 * beta)),
        "threshold": round(0.85 + 0.10 * beta, 4),
        "soft_threshold": round(0.60 + 0.15 * beta, 4),
        "min_agreement": round(0.70 + 0.10 * beta, 4),
        "n_init": max(2, round(2 + 6 * beta)),
        "max_branches": min(64, round(4 + 60 * beta)),
        "patience": max(4, round(4 + 8 * beta)),
        "sleep": max(2, round(3 + 3 * beta)),
        "lock": max(3, round(4 + 2 * beta)),
        "gap_factor": round(1 + 2 * beta),
    }


def solve(env, p):
    ceiling = min(p.max_branches, env.room)
    disagree = np.zeros(ceiling, np.int64)
    asleep = np.zeros(ceiling, np.int64)
    env.branch(min(p.n_init, ceiling))
    for step in range(MAX_STEPS):
        warm = step >= p.warm_up
        ids = env.active()
        if warm:
            ids = awake(env, ids, asleep, p)
        if len(ids) > 0:
            env.advance(ids)
        winner = env.vote() if env.n_finished > 0 else -1
        if warm and winner >= 0:
            active = env.active()
            dissent(disagree, active, env.answer, winner)
            abandoned = outliers(active, disagree, p.patience, keep=2)
            if len(abandoned) > 0:
                env.prune(abandoned)
        active = env.active()
        confidence = beta_confidence(env.votes)
        if warm and env.n_finished >= p.min_finished:
            agreeing = (env.answer[active] == winner).sum()
            if confidence >= p.threshold or (
                confidence >= p.soft_threshold and agreeing >= p.min_agreement * len(active) > 0
            ):
                break
        if len(active) == 0:
            break
        if env.n < ceiling and step >= max(1, p.warm_up // 2) and confidence < p.threshold:
            gap = math.ceil(p.gap_factor * (1 - share(env.votes)))
            env.branch(min(max(1, gap), ceiling - env.n))
    return env.vote()


def awake(env, ids, asleep, p):
    """Those of `ids` to read on: not repeating themselves, or due after `sleep` steps."""
    n = 0
    for i in ids:
        if streak(env.history(i)[-p.lock - 1 :]) > p.lock:
            asleep[i] += 1
            if asleep[i] % p.sleep != 0:
                continue
        ids[n] = i
        n += 1
    return ids[:n]
