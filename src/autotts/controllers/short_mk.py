"""short-m@k: run `width` branches side by side, answer when the first few have finished.

Hassid et al. 2025, arXiv 2505.17813, where m is 1 or 3 and k up to 9; m = 1 is First Finish
Search (Agarwal et al. 2025, arXiv 2505.18149). Ties go to the answer that finished first, the
shorter branch. Beta widens from the paper's sizes to the 64 branches of self-consistency.
"""


def schedule(beta):
    return {"width": round(4 + 60 * beta), "first": round(1 + 8 * beta)}


def solve(env, p):
    env.branch(min(p.width, env.room), probe=False)
    first = min(p.first, env.n)
    while env.n_finished < first:
        env.advance(env.active(), probe=False)
    return env.vote()
