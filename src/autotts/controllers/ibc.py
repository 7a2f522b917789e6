"""IBC, interleaved branch completion: read all branches on, vote among those that finished.

Discovered by AutoTTS in its second round (arXiv 2605.08083). Only finished branches vote; those
that keep disagreeing with them are abandoned; one branch is added a step until the vote is sure.
Needs probes.
"""

import numpy as np

from autotts.votes import beta_confidence, dissent, outliers

MAX_STEPS = 500


def schedule(beta):
    return {
        "warm_up": round(2 + 8 * beta),
        "min_finished": max(2, round(2 + 4 * beta)),
        "threshold": round(0.85 + 0.12 * beta, 4),
        "n_init": max(2, round(2 + 6 * beta)),
        "max_branches": min(64, round(4 + 60 * beta)),
        "patience": max(4, round(5 + 7 * beta)),
    }


def solve(env, p):
    ceiling = min(p.max_branches, env.room)
    disagree = np.zeros(ceiling, np.int64)
    env.branch(min(p.n_init, ceiling))
    for step in range(MAX_STEPS):
        warm = step >= p.warm_up
        active = env.active()
        if len(active) > 0:
            env.advance(active)
        if warm and env.n_finished > 0:
            active = env.active()
            dissent(disagree, active, env.answer, env.vote())
            abandoned = outliers(active, disagree, p.patience, keep=2)
            if len(abandoned) > 0:
                env.prune(abandoned)
        confidence = beta_confidence(env.votes)
        if warm and env.n_finished >= p.min_finished and confidence >= p.threshold:
            break
        # Widens also when every branch has ended; the later controllers do not.
        if env.n < ceiling and step >= max(1, p.warm_up // 2) and confidence < p.threshold:
            env.branch()
        elif len(env.active()) == 0:
            break
    return env.vote()
