"""DeepConf online: warm-up branches set a bar of confidence, and later ones stop below it.

Fu et al. 2025, "Deep Think with Confidence", arXiv 2508.15260, with its constants: 16 branches are
read to their ends; the bar is passed by the lowest group confidence of 90 % of them (DeepConf-high,
at beta 0.5); further branches are given up when an interval falls below it, and reading stops when
the leader has 95 % of the weight. A branch weighs its lowest group confidence. Needs the signal
`confidence`: the mean token confidence of each interval. Beta moves how many pass, and the budget.
"""

import numpy as np


def schedule(beta):
    return {
        "warmup": 16,
        "max_branches": round(24 + 80 * beta),
        "pass_share": round(0.8 + 0.2 * beta, 4),
        "consensus": 0.95,
    }


def lowest(seen):
    return seen.min() if len(seen) > 0 else -np.inf


def solve(env, p):
    most = min(p.max_branches, env.n + env.room)
    env.branch(min(p.warmup, most), probe=False)
    if env.n_finished < env.n:
        env.finish(env.active())
    worth = np.full(most, -np.inf)
    for i in range(env.n):
        worth[i] = lowest(env.signal("confidence", i))
    ranked = np.sort(worth[: env.n])
    bar = ranked[min(env.n - 1, round((1 - p.pass_share) * env.n))]
    while True:
        weights = np.zeros(max(1, env.n_answers))
        for i in env.finish_order:
            if env.answer[i] >= 0 and worth[i] > 0:
                weights[env.answer[i]] += worth[i]
        if env.n >= most or env.room < 1 or weights.max() >= p.consensus * weights.sum() > 0:
            break
        i = env.branch(probe=False)
        worth[i] = lowest(env.signal("confidence", i))
        while not env.finished[i] and worth[i] >= bar:
            env.advance(i, probe=False)
            worth[i] = min(worth[i], env.signal("confidence", i)[-1])
        if not env.finished[i]:
            env.prune(i)
    return int(np.argmax(weights)) if weights.max() > 0 else env.vote()
