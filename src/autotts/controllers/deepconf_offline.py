"""DeepConf offline: read branches to their ends, keep the confident ones, and weigh their votes.

Fu et al. 2025, "Deep Think with Confidence", arXiv 2508.15260. A branch is worth its lowest group
confidence, the least of its signal over all intervals; those in the upper 90 % (the paper's
DeepConf-high) vote with that weight. Needs the signal `confidence`: the mean token confidence of
each interval, which is minus the mean log-probability of the k likeliest tokens. Where a branch
shows none it has no vote. Beta moves the width.
"""

import numpy as np


def schedule(beta):
    return {"width": round(4 + 60 * beta), "keep": 0.9}


def solve(env, p):
    width = min(p.width, env.room)
    env.branch(width, probe=False)
    if env.n_finished < env.n:
        env.finish(env.active())
    worth = np.full(env.n, -np.inf)
    for i in range(env.n):
        seen = env.signal("confidence", i)
        if env.finished[i] and len(seen) > 0:
            worth[i] = seen.min()
    ranked = np.sort(worth)
    least = ranked[len(ranked) - max(1, round(p.keep * len(ranked)))]
    weights = np.zeros(env.n_answers)
    for i in env.finish_order:
        if env.answer[i] >= 0 and worth[i] >= least and worth[i] > 0:
            weights[env.answer[i]] += worth[i]
    if len(weights) == 0 or weights.max() <= 0:
        return env.vote()
    return int(np.argmax(weights))
