"""ES-CoT: read one branch until a run of equal answers is much longer than the run before it.

Mao et al. 2025, arXiv 2509.14004. Runs of equal probe answers have lengths r1, r2, ...; a jump is
the difference of two in a row. Stop when the newest jump is at least `min_jump` (10 there) and
larger than the mean of the earlier ones by a one-sided t-test at 5 %, which takes two of them. Beta
moves the jump from 2 to 18. Needs probes.
"""

import math

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
    shown = -1
    runs, first, before, last = 0, 0, 0, 0  # how many; lengths of the first, last but one and last
    squares = 0  # sum of the squared jumps before the newest
    while not env.finished[branch]:
        previous, shown = shown, env.history(branch)[-1]
        if shown >= 0 and shown == previous:
            last += 1
        elif shown >= 0:
            if runs == 1:
                first = last
            elif runs > 1:
                squares += (last - before) ** 2
            runs, before, last = runs + 1, last, 1
        if last - before >= p.min_jump and jumped(runs - 2, before - first, squares, last - before):
            break
        env.advance(branch)
    return env.answer[branch]


def jumped(n, total, squares, jump):
    """Whether a jump is out of the `n` before it, of which sum and sum of squares are given."""
    if n < 2:
        return False
    # Whole numbers up to here: jumps that are all the same have no variance at all.
    error = math.sqrt((n * squares - total * total) / (n - 1)) / n
    return jump - total / n > T_95[min(n - 1, 30) - 1] * error
