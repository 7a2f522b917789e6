"""DistriVoting: part branches into confident and doubtful ones, and let the confident vote.

arXiv 2603.03872. A mixture of two normal distributions is fitted to the mean confidences of the
branches by expectation maximisation; branches that are likelier of the lower one have no vote.
Needs the signal `confidence`: the mean token confidence of each interval. Beta moves the width.
"""

import math

import numpy as np

ROUNDS = 50


def schedule(beta):
    return {"width": round(4 + 60 * beta)}


def upper(values):
    """Whether each value is likelier of the upper of two normal distributions fitted to them."""
    spread = max(values.std(), 1e-9)
    low, high = values.min(), values.max()
    low_sd = spread / 2
    high_sd = spread / 2
    share = 0.5
    chance = np.full(len(values), 0.5)
    for _ in range(ROUNDS):
        for k in range(len(values)):
            above = min(((values[k] - high) / high_sd) ** 2, 1400.0)
            below = min(((values[k] - low) / low_sd) ** 2, 1400.0)
            a = share / high_sd * math.exp(-0.5 * above)
            b = (1 - share) / low_sd * math.exp(-0.5 * below)
            chance[k] = a / (a + b) if a + b > 0 else 0.5
        mass = chance.sum()
        rest = len(values) - mass
        if mass < 1e-6 or rest < 1e-6:
            break
        share = mass / len(values)
        high = (chance * values).sum() / mass
        low = ((1 - chance) * values).sum() / rest
        high_sd = max(math.sqrt((chance * (values - high) ** 2).sum() / mass), spread / 20)
        low_sd = max(math.sqrt(((1 - chance) * (values - low) ** 2).sum() / rest), spread / 20)
    return chance >= 0.5 if high >= low else chance < 0.5


def solve(env, p):
    env.branch(min(p.width, env.room), probe=False)
    if env.n_finished < env.n:
        env.finish(env.active())
    means = np.full(env.n, -np.inf)
    for i in range(env.n):
        seen = env.signal("confidence", i)
        if env.finished[i] and len(seen) > 0:
            means[i] = seen.mean()
    known = np.flatnonzero(means > -np.inf)
    if len(known) < 2:
        return env.vote()
    kept = upper(means[known])
    votes = np.zeros(max(1, env.n_answers), np.int64)
    for k in range(len(known)):
        a = env.answer[known[k]]
        if kept[k] and a >= 0:
            votes[a] += 1
    return int(np.argmax(votes)) if votes.max() > 0 else env.vote()
