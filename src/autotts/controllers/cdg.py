"""CDG: prefer answers whose branches are confident, and grow more so towards their ends.

Confidence-dynamics guidance, arXiv 2605.25244. A branch scores its mean confidence plus 10 times
the rise from its first to its last tenth; an answer with n branches scores n ** 0.5 times the mean
of theirs. Needs the signal `confidence`: the mean token confidence of each interval, in which
tenths are rounded to whole intervals. Beta moves the width.
"""

import numpy as np


def schedule(beta):
    return {"width": round(4 + 60 * beta), "rise": 10.0}


def solve(env, p):
    env.branch(min(p.width, env.room), probe=False)
    if env.n_finished < env.n:
        env.finish(env.active())
    sums = np.zeros(max(1, env.n_answers))
    counts = np.zeros(max(1, env.n_answers))
    for i in env.finish_order:
        seen = env.signal("confidence", i)
        if env.answer[i] < 0 or len(seen) == 0 or seen.min() == -np.inf:
            continue
        tenth = max(1, round(len(seen) / 10))
        rise = seen[len(seen) - tenth :].mean() - seen[:tenth].mean()
        sums[env.answer[i]] += seen.mean() + p.rise * rise
        counts[env.answer[i]] += 1
    if counts.sum() == 0:
        return env.vote()
    scores = np.where(counts > 0, sums / np.sqrt(np.maximum(counts, 1)), -np.inf)
    return int(np.argmax(scores))
