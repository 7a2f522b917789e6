"""A race whose vote was learned: answers that branches have held and left count for less.

Found by the offline explorer in a loop as of AutoTTS (arXiv 2605.08083) on the four Qwen3 AIME24
stores, seed 2; docs/discoveries/ has the record. The vote is a conditional logit over the answers
that branches have finished on: the log of the votes, less what the branches took back that showed
the answer and now hold another (`left`), and what running branches that show it add (`running`).
The race around it is that of `race-prune`. Beta moves the width alone. Needs probes.
"""

import math

import numpy as np


def schedule(beta):
    return {
        "width": round(3 * 21.3333**beta),
        "margin": 8,
        "votes": 1.5,
        "left": -1.2,
        "running": 0.9,
        "patience": 12.0,
        "keep": 2,
    }


def solve(env, p):
    env.branch(min(p.width, env.room))
    shows = np.full(env.n, -1)  # by branch: the answer that it shows
    shown = np.zeros(0)  # by answer: branches that have shown it
    against = np.zeros(env.n)  # by branch: how long, and how clearly, it has been outvoted
    leader = -1
    while True:
        shown = notice(env, shows, shown)
        score = scores(env, p, shows, shown)
        leader = leading(env, score)
        active = env.active()
        if len(active) == 0:
            break
        if leader >= 0:
            if margin(env.votes, leader) >= p.margin:
                break
            give_up(env, p, active, score, leader, shows, against)
            active = env.active()
        env.advance(active)
    return leader if leader >= 0 else env.vote()


def notice(env, shows, shown):
    """Take in what each branch shows now; gives how many branches have shown each answer."""
    more = np.zeros(env.n_answers)
    more[: len(shown)] = shown
    for i in range(env.n):
        a = env.answer[i]
        if a >= 0 and a != shows[i]:
            shows[i] = a
            past = env.history(i)
            if not np.any(past[:-1] == a):
                more[a] += 1
    return more


def scores(env, p, shows, shown):
    """Log odds of each answer to be the right one, -1e9 where no branch has finished on it."""
    score = np.full(env.n_answers, -1e9)
    holds = np.zeros(env.n_answers)
    running = np.zeros(env.n_answers)
    for i in range(env.n):
        a = shows[i]
        if a >= 0:
            holds[a] += 1
            if not env.finished[i] and not env.pruned[i]:
                running[a] += 1
    for a in range(env.n_answers):
        if env.votes[a] > 0:
            score[a] = (
                p.votes * math.log(env.votes[a])
                + p.left * math.log(1 + shown[a] - holds[a])
                + p.running * math.log(1 + running[a])
            )
    return score


def leading(env, score):
    """The answer with the best score, the one that finished first among equals; -1 without any."""
    best = -1
    for i in env.finish_order:
        a = env.answer[i]
        if a >= 0 and (best < 0 or score[a] > score[best]):
            best = a
    return best


def margin(votes, leader):
    """Votes by which the leader is ahead of the next answer."""
    second = 0
    for a in range(len(votes)):
        if a != leader:
            second = max(second, votes[a])
    return votes[leader] - second


def give_up(env, p, active, score, leader, shows, against):
    """Prune branches that the finished ones have outvoted for long; `keep` of them stay."""
    left = len(active)
    for i in active:
        if env.answer[i] == leader:
            against[i] = 0
        else:
            against[i] += 1
        if against[i] >= p.patience and left > p.keep:
            env.prune(i)
            left -= 1
