"""Best-of-infinity: read branches one by one until the leader is the answer of infinitely many.

Komiyama et al. 2025, "Best-of-infinity", arXiv 2509.21091: the shares of answers have a Dirichlet
posterior, counts + 1 with one more bucket of 0.3 for all answers not seen. Reading stops when the
Bayes factor of "the leader is the mode" reaches a bound; K answers were seen, so it is
K P / (1 - P). Beta moves the bound from 3 to 300, over 30.
"""

import math

import numpy as np

UNSEEN = 0.3
POINTS = 160


def schedule(beta):
    return {"max_branches": 64, "bound": round(10 ** (0.4771 + 2 * beta), 1)}


def below_unseen(x):
    """P(X <= x) of the unseen bucket's gamma variable, by the series for the incomplete gamma."""
    term = math.exp(UNSEEN * math.log(x) - x) / math.gamma(UNSEEN + 1)
    total = term
    n = 1
    while term > 1e-12 * total and n < 1000:
        term *= x / (UNSEEN + n)
        total += term
        n += 1
    return min(total, 1.0)


def tables(most):
    """Density and P(X <= x) of gamma variables at points x = t * t; rows are a = counts + 1.

    Row 0 is of the unseen bucket. The density is times the step, so that its sums are integrals.
    """
    width = (math.sqrt(most + 1) + 4) / POINTS
    density = np.zeros((most + 2, POINTS))
    below = np.zeros((most + 2, POINTS))
    for g in range(POINTS):
        t = (g + 0.5) * width
        x = t * t
        density[1, g] = math.exp(-x)
        below[1, g] = 1 - density[1, g]
        for a in range(2, most + 2):
            density[a, g] = density[a - 1, g] * x / (a - 1)
            below[a, g] = below[a - 1, g] - density[a, g]
        below[0, g] = below_unseen(x)
        density[:, g] *= 2 * t * width
    return density, below


def chance_of_mode(votes, leader, density, below):
    """P that the leader's share is the largest: all other gamma variables are below its own."""
    inside = density[votes[leader] + 1] * below[0]
    for a in range(len(votes)):
        if a != leader:
            inside = inside * below[votes[a] + 1]
    return inside.sum()


def solve(env, p):
    most = min(p.max_branches, env.room)
    density, below = tables(most)
    for _ in range(most):
        branch = env.branch(probe=False)
        if not env.finished[branch]:
            env.finish(branch)
        if env.n_finished < 2 or env.n_answers == 0:
            continue
        chance = chance_of_mode(env.votes, env.vote(), density, below)
        if env.n_answers * chance >= p.bound * (1 - chance):
            break
    return env.vote()
