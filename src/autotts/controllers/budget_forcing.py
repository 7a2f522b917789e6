"""Budget forcing: let branches think for so many tokens, then take the answer they have.

The truncating half of s1 (Muennighoff et al. 2025, arXiv 2501.19393); making a branch think on
needs new text. s1 forces one branch; with more the majority of the answers at that depth decides.
Beta doubles the budget five times, from 1,000 tokens to 32,000. Needs probes.
"""

from autotts.votes import mode


def schedule(beta):
    return {"width": 1, "thinking_tokens": round(1_000 * 32**beta)}


def solve(env, p):
    env.branch(min(p.width, env.room), probe=False)
    more = p.thinking_tokens // env.interval - 1
    if more > 0 and env.n_finished < env.n:
        env.advance(env.active(), more, probe=False)
    if env.n_finished < env.n:
        env.probe(env.active())
    return mode(env.answer, ~env.pruned)
