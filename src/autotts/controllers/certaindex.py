"""Dynasor: read one branch until the last few probes agree.

Fu et al. 2024, arXiv 2412.20993: 8 equal probes (mild), 5, 3 or 2 (high). It is answer consistency
at Dynasor's settings; its filter on hesitant words needs the text of the probes. It probes every 64
tokens, so that the same number is stricter on stores with longer intervals. Needs probes.
"""

from autotts.votes import streak


def schedule(beta):
    return {"streak": round(2 + 6 * beta)}


def solve(env, p):
    branch = env.branch()
    while not env.finished[branch] and streak(env.history(branch)) < p.streak:
        env.advance(branch)
    return env.answer[branch]
