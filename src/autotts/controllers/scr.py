"""SCR: interleaved completion with bursts, for branches that agree and for stalls.

Discovered by AutoTTS in its third round (arXiv 2605.08083): as IBC, but branches that agree with
the finished ones are read several intervals a step, and when the vote gains no confidence for a
while several branches are opened at once. Needs probes.
"""

import numpy as np

from autotts.votes import beta_confidence, dissent, outliers

MAX_STEPS = 600


def schedule(beta):
    return {
        "warm_up": round(2 + 8 * beta),
        "min_finished": max(2, round(2 + 4 * beta)),
        "threshold": round(0.85 + 0.12 * beta, 4),
        "n_init": max(2, round(2 + 6 * beta)),
        "max_branches": min(64, round(4 + 60 * beta)),
        "patience": max(4, round(4 + 8 * beta)),
        "burst": max(1, round(1 + 3 * beta)),
        "stall": max(2, round(2 + 6 * beta)),
        "widen": max(1, round(1 + 3 * beta)),
    }


def solve(env, p):
    ceiling = min(p.max_branches, env.room)
    disagree = np.zeros(ceiling, np.int64)
    times = np.ones(ceiling, np.int64)
    flat = 0
    confidence = 0.0
    env.branch(min(p.n_init, ceiling))
    active = env.active()
    for step in range(MAX_STEPS):
        warm = step >= p.warm_up
        if warm and env.n_finished > 0:
            winner = env.vote()
            for j in range(len(active)):
                times[j] = p.burst if env.answer[active[j]] == winner else 1
        if len(active) > 0:
            env.advance(active, times[: len(active)])
        if warm and env.n_finished > 0:
            active = env.active()
            dissent(disagree, active, env.answer, env.vote())
            abandoned = outliers(active, disagree, p.patience, keep=2)
            if len(abandoned) > 0:
                env.prune(abandoned)
        before = confidence
        confidence = beta_confidence(env.votes)
        flat = 0 if confidence > before + 1e-6 else flat + 1
        if warm and env.n_finished >= p.min_finished and confidence >= p.threshold:
            break
        active = env.active()
        if len(active) == 0:
            break
        if env.n < ceiling:
            if flat >= p.stall and warm:
                env.branch(min(p.widen, ceiling - env.n))
                flat = 0
            elif confidence < p.threshold and step >= max(1, p.warm_up // 2):
                env.branch()
            active = env.active()
    return env.vote()
