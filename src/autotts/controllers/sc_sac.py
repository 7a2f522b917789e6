"""Self-consistency over branches that are each cut once their own probes agree for a while.

SC@64+SAC in Parallel-Probe (arXiv 2602.03845): 64 branches, each read until 14 equal probes in a
row (Liu & Wang 2025, arXiv 2506.02536), then the majority. Beta moves the 14 from 2 to 26. Needs
probes.
"""

from autotts.votes import mode, streak


def schedule(beta):
    return {"width": 64, "streak": round(2 + 24 * beta)}


def solve(env, p):
    env.branch(min(p.width, env.room))
    open_minded = unsettled(env, p.streak)
    while len(open_minded) > 0:
        env.advance(open_minded)
        open_minded = unsettled(env, p.streak)
    return mode(env.answer, ~env.pruned)


def unsettled(env, length):
    """Branches that still run and whose last `length` answers are not all the same."""
    ids = env.active()
    n = 0
    for i in ids:
        if streak(env.history(i)) < length:
            ids[n] = i
            n += 1
    return ids[:n]
