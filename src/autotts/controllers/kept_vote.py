"""Kept vote: finished branches vote, and an answer that branches leave counts less.

Found by an independent explorer in a loop as of AutoTTS (arXiv 2605.08083) on the four Qwen3 AIME24
stores; docs/discoveries/ has the record. Wrong answers are passed through, right ones are kept: an
answer's votes are multiplied by a power of the share, among the branches that ever showed it, that
holds it now. The race ends when this vote leads by a margin, or by more than the branches still
dissenting could change; long dissenters are given up. Beta moves the width alone. Where probes are
missing nobody is seen to leave, and votes are plain.
"""

import numpy as np


def schedule(beta):
    return {
        "width": round(3 + 61 * beta),
        "margin": 6.0,  # lead, in kept votes, that ends the race
        "power": 2.0,  # how much leaving counts
        "patience": 12,  # intervals of dissent, after the first finish, until a branch is given up
        "doubt": 0.7,  # what a branch that still dissents could take from the lead
    }


def solve(env, p):
    env.branch(min(p.width, env.room))
    seen = np.zeros((env.n, env.most_answers), np.bool_)
    ever = np.zeros(env.most_answers)  # by answer: branches that have shown it
    held = np.full(env.n, -1, np.int64)  # by branch: what it showed last
    dissent = np.zeros(env.n, np.int64)
    while True:
        answer = env.answer
        holders = np.zeros(env.most_answers)
        for i in range(env.n):
            a = answer[i]
            if a >= 0:
                holders[a] += 1
                if not seen[i, a]:
                    seen[i, a] = True
                    ever[a] += 1
        leader, lead = ahead(env, p, holders, ever)
        active = env.active()
        if len(active) == 0:
            break
        if leader >= 0:
            support = 0
            for i in active:
                if answer[i] != leader:
                    dissent[i] += 1
                else:
                    dissent[i] = 0
                    if held[i] == leader:
                        support += 1
            against = len(active) - support
            if lead >= p.margin or lead + 0.5 * support >= p.doubt * against:
                break
            for i in active:
                if dissent[i] >= p.patience:
                    env.prune(i)
            active = env.active()
            if len(active) == 0:
                break
        for i in range(env.n):
            held[i] = answer[i]
        env.advance(active)
    return leader if leader >= 0 else env.vote()


def ahead(env, p, holders, ever):
    """The leader of the kept vote, the first to finish among equals, and by how much it leads."""
    leader = -1
    first = 0.0
    second = 0.0
    for i in env.finish_order:
        a = env.answer[i]
        if a < 0 or a == leader:
            continue
        score = env.votes[a] * ((holders[a] + 1) / (ever[a] + 1)) ** p.power
        if leader < 0 or score > first:
            second = first
            leader = a
            first = score
        else:
            second = max(second, score)
    return leader, first - second
