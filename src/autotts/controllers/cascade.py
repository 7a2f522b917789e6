"""Cascade: vote with a few samples of the cheap model; where they settle nothing, ask the next.

The confidence cascade of mixture-of-thought routing (Yue et al. 2023, arXiv 2310.03094), with the
margin rule of ConSol (arXiv 2503.17587) in place of its share of agreeing samples: a model is asked
until the leader is `margin` votes ahead, or `samples` times, and what it said votes with the next
model's answers. The last model may be asked as often as there are branches. Needs a store whose
models are in the order in which they are asked. Beta moves the samples of all but the last model,
and the margin.
"""

from autotts.votes import margin


def schedule(beta):
    return {"samples": round(4 + 12 * beta), "margin": round(2 + 4 * beta)}


def solve(env, p):
    for m in range(env.n_models):
        left = p.samples if m + 1 < env.n_models else env.room_of(m)
        while left > 0 and env.room_of(m) > 0 and margin(env.votes) < p.margin:
            count = min(p.margin - margin(env.votes), left, env.room_of(m))
            env.branch(count, model=m, probe=False)
            left -= count
            rest = env.active()
            if len(rest) > 0:
                env.finish(rest)
        if margin(env.votes) >= p.margin:
            break
    return env.vote()
