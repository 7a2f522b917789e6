"""Self-consistency: read `width` branches to their end and take the majority.

Wang et al. 2022, arXiv 2203.11171. The widths are those of the discovered controllers, 4 to 64.
"""


def schedule(beta):
    return {"width": round(4 + 60 * beta)}


def solve(env, p):
    env.branch(min(p.width, env.room), probe=False)
    if env.n_finished < env.n:
        env.finish(env.active())
    return env.vote()
