"""Vote margin: read branches until the leader is some votes ahead of the runner-up.

ConSol's sequential probability-ratio test (Lee et al. 2025, arXiv 2503.17587): with its default
constants the test is exactly "stop at a margin of 3". As there, a batch is the fewest branches
that could reach the margin, which changes no decision and shortens the wait. Beta moves the
margin from 1 to 5.
"""

from autotts.votes import margin


def schedule(beta):
    return {"max_branches": 64, "margin": round(1 + 4 * beta)}


def solve(env, p):
    while env.room > 0 and env.n < p.max_branches:
        short = p.margin - margin(env.votes)
        if short <= 0:
            break
        env.branch(min(short, p.max_branches - env.n, env.room), probe=False)
        if env.n_finished < env.n:
            env.finish(env.active())
    return env.vote()
