"""What episodes would take on a server that was measured: seconds, and money.

A round's branches are decoded side by side, each a row of requests (an interval, a probe, the next
interval), and the round ends with the last of them. As branches end, those that go on get faster:

    branch 1  ====|            1st stretch: 3 at a time
    branch 2  =======|         2nd: 2 at a time, each as fast as the server is with 2
    branch 3  ==========|      3rd: alone

What a program computes between rounds takes no time here.
All probes are taken to be equally long: where some say much more than others, rounds take longer.
"""

from dataclasses import replace

import numpy as np

from autotts import control
from autotts.evaluation.statistics import FloatArray
from autotts.inference.prices import TokenPrices
from autotts.inference.speed import ServerSpeed
from autotts.replay.driver import Ran
from autotts.replay.log import replay

_DECODES = (control.BRANCH, control.CONTINUE, control.FINISH)


class _Work:
    """What branches do in each round, a row for each branch and round.

    episode, round, branch: `[R]` who and when, in order.
    tokens, requests, probes: `[R]` decoded tokens, the requests that they took, probes.
    before: `[R]` tokens of the branch before the round.
    """

    def __init__(self, ran: Ran) -> None:
        # An answer that can't be read took its probe too: as one that votes it is seen.
        counted = replace(ran.task, rules=replace(ran.task.rules, abstain=False))
        steps = replay(ran.log, ran.codes, counted, trace=True)[1]
        steps = steps[(steps[:, 2] != control.NOTE) & (steps[:, 2] != control.PRUNE)]
        episode, round_, kind, branch, _, code, tokens, _ = steps.T
        order = np.lexsort((round_, branch, episode))
        episode, round_, kind, branch, code, tokens = (
            values[order] for values in (episode, round_, kind, branch, code, tokens)
        )
        decodes = np.isin(kind, _DECODES)
        # The answer at the end of a branch is read in its text; others are asked for.
        asked = (kind == control.PROBE) | (decodes & (kind != control.FINISH) & (code >= 0))
        own = np.where(decodes, tokens - asked * ran.task.rules.probe_tokens, 0)
        keys = np.stack([episode, branch, round_])
        starts = np.ones(len(episode), bool)
        starts[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
        row = np.cumsum(starts) - 1
        self.episode, self.branch, self.round = (one[starts] for one in keys)
        count, interval = len(self.episode), ran.store.pool.interval
        self.tokens = np.bincount(row, own, count)
        self.requests = np.bincount(row, np.ceil(own / interval), count)
        self.probes = np.bincount(row, asked, count)
        opens = np.ones(count, bool)
        opens[1:] = (self.episode[1:] != self.episode[:-1]) | (self.branch[1:] != self.branch[:-1])
        self.opens = opens
        total = np.cumsum(self.tokens) - self.tokens
        self.before = total - np.maximum.accumulate(np.where(opens, total, 0.0))
        self.interval = interval


def seconds_of(
    ran: Ran, speed: ServerSpeed, *, prompt_tokens: float, probe_tokens: float
) -> FloatArray:
    """`[E]` seconds that each episode would take, alone on the server.

    Args:
        prompt_tokens: of a question's prompt.
        probe_tokens: that a probe decodes.

    Raises:
        SpecError: it was run without traces.
    """
    work = _Work(ran)
    where = np.stack([work.episode, work.round])
    _, at, width = np.unique(where, axis=1, return_inverse=True, return_counts=True)
    at = at.reshape(-1)
    side = width[at]  # branches of the row's round
    seconds = (
        work.requests * speed.at("waiting_seconds", side)
        + work.opens * prompt_tokens * speed.at("reading_seconds", side)
        + (work.tokens + work.probes * probe_tokens) * speed.at("token_seconds", side)
        + work.probes * speed.at("asking_seconds", side)
    )
    order = np.lexsort((seconds, at))
    seconds, at, side = seconds[order], at[order], side[order]
    first = np.ones(len(at), bool)
    first[1:] = at[1:] != at[:-1]
    begins = np.maximum.accumulate(np.where(first, np.arange(len(at)), 0))
    going = side - (np.arange(len(at)) - begins)
    stretch = np.diff(seconds, prepend=0.0)
    stretch[first] = seconds[first]
    token = speed.at("token_seconds", side)
    faster = np.divide(
        speed.at("token_seconds", going), token, out=np.ones(len(token)), where=token > 0
    )
    spent = np.bincount(work.episode[order], stretch * np.minimum(faster, 1.0), len(ran.task.pairs))
    return np.asarray(spent)


def dollars_of(
    ran: Ran, prices: TokenPrices, *, prompt_tokens: float, probe_tokens: float
) -> FloatArray:
    """`[E]` what each episode would cost.

    Each request sends the whole branch again; all of it but its last token is taken to be in the
    server's cache, and of a branch's first request nothing.

    Args:
        prompt_tokens: of a question's prompt.
        probe_tokens: that a probe decodes.

    Raises:
        SpecError: it was run without traces.
    """
    work = _Work(ran)
    sent = prompt_tokens + work.before
    asks = work.requests + work.probes
    read = asks * sent + work.interval * work.requests * (work.requests - 1) / 2
    read += work.probes * work.tokens
    fresh = np.where(work.opens, prompt_tokens - 1, 0) + asks
    tokens = work.tokens + work.probes * probe_tokens
    paid = fresh * prices.prompt + (read - fresh) * prices.cached + tokens * prices.decoded
    return np.asarray(np.bincount(work.episode, paid / 1e6, len(ran.task.pairs)))
