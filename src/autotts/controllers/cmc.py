"""CMC, the confidence momentum controller: the one that AutoTTS published.

Discovered by AutoTTS in its fifth round (arXiv 2605.08083, appendix D). Only finished branches
vote. Branches that keep disagreeing with them are abandoned, those that agree are read in bursts;
new ones are opened while a moving average of the vote's confidence is low and not rising. Needs
probes.
"""

import numpy as np

from autotts.votes import beta_confidence, deepest_first, dissent, outliers

MAX_ROUNDS = 500


def schedule(beta):
    return {
        "n_init": max(2, round(2 + 6 * beta)),
        "max_branches": min(64, round(4 + 60 * beta)),
        "warm_up": max(2, round(2 + 8 * beta)),
        "patience": max(3, round(3 + 9 * beta)),
        "window": max(2, round(2 + 6 * beta)),
        "alpha": round(0.70 - 0.40 * beta, 4),
        "threshold": round(0.85 + 0.12 * beta, 4),
        "slack": round(0.04 - 0.03 * beta, 4),
        "burst": max(1, round(1 + 2 * beta)),
        "widen": max(1, round(1 + 3 * beta)),
        "trend": round(0.04 - 0.03 * beta, 4),
        "min_finished": max(2, round(2 + 3 * beta)),
    }


def solve(env, p):
    ceiling = min(p.max_branches, env.room)
    disagree = np.zeros(ceiling, np.int64)
    times = np.ones(ceiling, np.int64)
    averages = np.zeros(p.window)  # of the last rounds, round r at r % window
    average = 0.0
    env.branch(min(p.n_init, ceiling))
    confidence = beta_confidence(env.votes)
    active = env.active()
    for r in range(MAX_ROUNDS):
        warm = r >= p.warm_up
        average += p.alpha * (confidence - average)
        winner = -1
        if warm and env.n_finished > 0:
            winner = env.vote()
            dissent(disagree, active, env.answer, winner)
            abandoned = outliers(active, disagree, p.patience, keep=2)
            if len(abandoned) > 0:
                env.prune(abandoned)
                active = env.active()
        active = deepest_first(active, env.depth)
        answer = env.answer
        for j in range(len(active)):
            times[j] = p.burst if winner >= 0 and answer[active[j]] == winner else 1
        if len(active) > 0:
            env.advance(active, times[: len(active)])
        # The released code averages twice a round and keeps the second value.
        confidence = beta_confidence(env.votes)
        average += p.alpha * (confidence - average)
        averages[r % p.window] = average
        env.note("average", average)
        momentum = average - averages[max(0, r + 1 - p.window) % p.window]
        if (
            warm
            and env.n_finished >= p.min_finished
            and average >= p.threshold
            and momentum >= -p.slack
        ):
            break
        active = env.active()
        if len(active) == 0:
            break
        if (
            env.n < ceiling
            and r >= max(1, p.warm_up // 2)
            and average < p.threshold
            and momentum <= p.trend
        ):
            env.branch(min(p.widen, ceiling - env.n))
            confidence = beta_confidence(env.votes)
            active = env.active()
    return env.vote()
