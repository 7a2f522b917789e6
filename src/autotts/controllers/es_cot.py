"""ES-CoT: read one branch until a run of equal answers is much longer than the run before it.

Mao et al. 2025, arXiv 2509.14004. Runs of equal probe answers have lengths r1, r2, ...; a jump is
the difference of two in a row. Stop when the newest jump is at least `min_jump` (10 there) and
larger than the mean of the earlier ones by a one-sided t-test at 5 %, which takes two of them. Beta
moves the jump from 2 to 18. Needs probes.
"""

import math

from autotts.votes import runs

# 95 % points of Student's t for 1, 2, ... 30 degrees of freedom; the last one serves beyond.
T_95 = (
    6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812,
    1.796, 1.782, 1.771, 1.761, 1.753, 1.746, 1.740, 1.734, 1.729, 1.725,
    1.721, 1.717, 1.714, 1.711, 1.708, 1.706, 1.703, 1.701, 1.699, 1.697,
)  # fmt: skip


def schedule(beta):
    return {"min_jump": round(2 + 16 * beta)}


def solve(env, p):
    branch = env.branch()
    while not env.finished[branch] and not jumped(runs(env.history(branch)), p.min_jump):
        env.advance(branch)
    return env.answer[branch]


def jumped(lengths, min_jump):
    """Whether the last of the run `lengths` jumps out of the jumps before it."""
    n = len(lengths) - 2
    if n < 2 or lengths[-1] - lengths[-2] < min_jump:
        return False
    jumps = lengths[1:] - lengths[:-1]
    mean = (lengths[n] - lengths[0]) / n
    squares = 0.0
    for jump in jumps[:n]:
        squares += (jump - mean) ** 2
    error = math.sqrt(squares / (n - 1) / n)
    return jumps[n] - mean > T_95[min(n - 1, 30) - 1] * error
