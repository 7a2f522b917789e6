"""Race: run branches side by side until the majority of those that finished is settled.

short-m@k (arXiv 2505.17813) with the stopping rule of adaptive self-consistency (arXiv
2305.11860) in place of a fixed m. Widths and thresholds are those of the controllers that AutoTTS
discovered (arXiv 2605.08083); at least three must have finished.
"""

from autotts.votes import beta_confidence


def schedule(beta):
    return {
        "width": round(4 + 60 * beta),
        "threshold": round(0.85 + 0.12 * beta, 4),
        "min_finished": 3,
    }


def solve(env, p):
    env.branch(min(p.width, env.room), probe=False)
    while env.n_finished < env.n:
        if env.n_finished >= p.min_finished and beta_confidence(env.votes) >= p.threshold:
            break
        env.advance(env.active(), probe=False)
    return env.vote()
