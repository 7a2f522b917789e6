"""Parallel-Probe: vote on every branch's answer so far, drop deviants, stop when the vote stands.

Zheng et al. 2026, arXiv 2602.03845, as its code does it: finished branches keep voting and are
never pruned, and the stop does not wait for the warm-up. Width 64, 40 steps of a standing vote,
patience 7 and warm-up 15 are its main table's; beta moves how long the vote must stand. Needs
probes.
"""

import numpy as np

from autotts.votes import dissent, mode, outliers

MAX_STEPS = 100


def schedule(beta):
    return {"width": 64, "stable": round(16 + 48 * beta), "patience": 7, "warmup": 15}


def solve(env, p):
    env.branch(min(p.width, env.room))
    off = np.zeros(env.n, np.int64)
    stable = 0
    previous = -1
    active = env.active()
    for step in range(MAX_STEPS):
        if len(active) > 0:
            env.advance(active)
            active = env.active()
        winner = mode(env.answer, ~env.pruned)
        if step >= p.warmup:
            dissent(off, active, env.answer, winner)
            deviants = outliers(active, off, p.patience, keep=0)
            if len(deviants) > 0:
                # They voted for something else, so the winner stays the winner without them.
                env.prune(deviants)
                active = env.active()
        stable = stable + 1 if winner == previous and winner >= 0 else 0
        previous = winner
        if stable >= p.stable or len(active) == 0:
            break
    return previous
