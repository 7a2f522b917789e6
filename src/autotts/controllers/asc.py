"""Adaptive self-consistency: read branches one by one until the majority is settled.

Aggarwal et al. 2023, arXiv 2305.11860, the Beta criterion at 0.95; at least two branches and
strictly above, as in AutoTTS (arXiv 2605.08083). Beta moves the threshold from 0.75 to 0.99.
"""

from autotts.votes import beta_confidence


def schedule(beta):
    return {"max_branches": 64, "threshold": round(1 - 0.25 * 0.04**beta, 4)}


def solve(env, p):
    for _ in range(min(p.max_branches, env.room)):
        branch = env.branch(probe=False)
        if not env.finished[branch]:
            env.finish(branch)
        if env.n > 1 and beta_confidence(env.votes) > p.threshold:
            break
    return env.vote()
