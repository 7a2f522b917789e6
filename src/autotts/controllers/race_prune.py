"""Race with pruning: run branches side by side, give up those that the finished ones outvote.

CMC (AutoTTS, arXiv 2605.08083) without its moving averages, bursts and widening, of which its
ablation found nothing left: only finished branches vote, and a running branch that disagrees with
their leader for `patience` rounds in a row is pruned, but for the last two. Margin and patience
were chosen on AIME24; beta moves the width alone. Needs probes.
"""

import numpy as np

from autotts.votes import dissent, margin, outliers


def schedule(beta):
    return {"width": round(4 + 60 * beta), "margin": 8, "patience": 12}


def solve(env, p):
    env.branch(min(p.width, env.room))
    active = env.active()
    disagree = np.zeros(env.n, np.int64)
    while len(active) > 0 and margin(env.votes) < p.margin:
        env.advance(active)
        active = env.active()
        if env.n_finished > 0:
            dissent(disagree, active, env.answer, env.vote())
            lone = outliers(active, disagree, p.patience, keep=2)
            if len(lone) > 0:
                env.prune(lone)
                active = env.active()
    return env.vote()
