"""Answer consistency: read one branch until its probes have given one answer for a while.

Liu & Wang 2025, arXiv 2506.02536, with the 14 equal probes of 500 tokens that Parallel-Probe (arXiv
2602.03845) uses. Beta moves that from 2 to 26. Needs probes.
"""

from autotts.votes import streak


def schedule(beta):
    return {"streak": round(2 + 24 * beta)}


def solve(env, p):
    branch = env.branch()
    while not env.finished[branch] and streak(env.history(branch)) < p.streak:
        env.advance(branch)
    return env.answer[branch]
