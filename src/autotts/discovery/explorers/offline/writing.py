"""What was learned, as a plain program: small functions, rounded numbers, and what they rest on.

Every program is a race: branches run side by side, and only those that have finished vote. What is
learned takes the place of a plain rule, one part at a time: the vote, the stop, who is given up.
"""

import math
import re
import textwrap
from dataclasses import dataclass, field

from autotts.diagnosis.evidence import OF_FINISHERS, SIGNAL

Weights = dict[str, float]


@dataclass(frozen=True, slots=True)
class Learned:
    """All that a program is written from.

    vote: weights by feature of `diagnosis.evidence`, rounded; `votes` alone is a plain vote.
    stop: base and slope of the value of going on; None stops at `margin` votes.
    margin: votes that the leader must be ahead by, where there is no value to stop by.
    last_margin: the same at beta 1; 0: as at beta 0. If there is one, the first half of beta widens
        the race, and the second raises the margin.
    patience: how much a running branch may disagree before it is given up.
    evidence: by how much a round of disagreement counts more, for each unit of log odds by which
        the leader is ahead of the branch's own answer; 0 counts rounds.
    keep: branches that go on whatever they show.
    cohort: branches that run side by side, others being opened as these end; 0 for all at once.
    width, price: at beta 0 and 1, even factors in between. Prices are in right answers for a
        million tokens.
    probes: whether running branches show answers. Where they don't, a program asks for none, and
        a branch disagrees from the time that another has finished.
    lessons: what was learned, in sentences for the docstring.
    """

    vote: Weights = field(default_factory=lambda: {"votes": 1.0})
    stop: tuple[float, float] | None = None
    margin: int = 8
    last_margin: int = 0
    patience: float = 12.0
    evidence: float = 0.0
    keep: int = 2
    cohort: int = 0
    width: tuple[int, int] = (3, 64)
    price: tuple[float, float] = (0.0, 0.0)
    probes: bool = True
    lessons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # All of it may come from a file, and becomes a program that is ours.
        known = {"votes", *_OF_ANSWERS} if self.probes else set(OF_FINISHERS)
        unknown = {name for name in self.vote.keys() - known if not SIGNAL.fullmatch(name)}
        numbers = (*self.vote.values(), *(self.stop or ()), *self.price, self.patience)
        if unknown or "votes" not in self.vote:
            raise ValueError(f"a vote needs votes and features that are known, got {self.vote}")
        if not all(map(math.isfinite, (*numbers, self.evidence))):
            raise ValueError(f"all numbers must be finite, got {numbers}")
        if any(set(lesson) & set('"\\\0') for lesson in self.lessons):
            raise ValueError("a lesson that stands in a docstring has no quotes or backslashes")


def source(learned: Learned) -> str:
    """The program: docstring, schedule, solve and its helpers; only what it uses."""
    blocks = [
        _IMPORTS,
        _schedule(learned),
        _solve(learned),
        _NOTICE if learned.probes else "",
        _score(learned),
        *_signals(learned),
        _LEADING,
        _AHEAD if learned.stop else _MARGIN,
        _WORTH if learned.stop else "",
        _give_up(learned),
    ]
    code = "\n\n".join(block.strip("\n") + "\n" for block in blocks if block)
    return f"{_docstring(learned)}\n\n{code if learned.probes else _without_probes(code)}"


def _without_probes(text: str) -> str:
    """The same code, asking for no probes and keeping nothing of what branches show."""
    text = re.sub(r"^ +(shows|shown|own) = .*\n", "", text, flags=re.MULTILINE)
    text = text.replace(", shows, shown", "").replace(", shows", "").replace(" - max(own, 0.0)", "")
    return re.sub(
        r"(env\.(?:branch|advance)\(.*)\)$", r"\1, probe=False)", text, flags=re.MULTILINE
    )


def _docstring(learned: Learned) -> str:
    lines = [
        "A race that was learned from traces: who votes for what, when to stop, whom to give up."
    ]
    for lesson in learned.lessons:
        lines += ["", *textwrap.wrap(f"- {lesson}", 96, subsequent_indent="  ")]
    return '"""' + "\n".join(lines) + '\n"""\n'


_IMPORTS = """\
import math

import numpy as np
"""


def _along(low: float, high: float, *, whole: bool, beta: str = "beta") -> str:
    """An expression in beta, in even factors from `low` to `high`."""
    if low == high:
        return f"{low}"
    rounded = f"{low} * {high / low:.6g} ** {beta}"
    return f"round({rounded})" if whole else f"round({rounded}, 4)"


def _schedule(learned: Learned) -> str:
    # All numbers that were fitted stand here, so that others need no compiler, here and in `tune`.
    halves = ("min(1, 2 * beta)", "max(0, 2 * beta - 1)") if learned.last_margin else ("beta", "")
    lines = [f'"width": {_along(*learned.width, whole=True, beta=halves[0])},']
    if learned.stop:
        base, slope = learned.stop
        price = _along(*learned.price, whole=False)
        lines.append(f'"price": {price},  # right answers for a million tokens')
        lines += [f'"base": {float(base)},', f'"slope": {float(slope)},']
    else:
        last = learned.last_margin or learned.margin
        lines.append(f'"margin": {_along(learned.margin, last, whole=True, beta=halves[1])},')
    lines += [f'"{name}": {float(weight)},' for name, weight in learned.vote.items()]
    lines += [f'"patience": {float(learned.patience)},', f'"keep": {learned.keep},']
    if learned.cohort:
        lines.append(f'"cohort": {learned.cohort},')
    if learned.evidence:
        lines.append(f'"clearness": {float(learned.evidence)},')
    body = "".join(f"        {line}\n" for line in lines)
    return f"def schedule(beta):\n    return {{\n{body}    }}\n"


def _solve(learned: Learned) -> str:
    if learned.stop:
        stops = "worth(p, ahead(score, leader)) * 1e6 < p.price * env.spent"
    else:
        stops = "margin(env.votes, leader) >= p.margin"
    if learned.cohort:
        return _IN_COHORTS.replace("STOPS", stops)
    return f"""\
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
            if {stops}:
                break
            give_up(env, p, active, score, leader, shows, against)
            active = env.active()
        env.advance(active)
    return leader if leader >= 0 else env.vote()
"""


_IN_COHORTS = """\
def solve(env, p):
    env.branch(min(p.width, p.cohort, env.room))
    most = min(p.width, env.n + env.room)
    shows = np.full(most, -1)  # by branch: the answer that it shows
    shown = np.zeros(0)  # by answer: branches that have shown it
    against = np.zeros(most)  # by branch: how long, and how clearly, it has been outvoted
    leader = -1
    while True:
        shown = notice(env, shows, shown)
        score = scores(env, p, shows, shown)
        leader = leading(env, score)
        if leader >= 0:
            if STOPS:
                break
            give_up(env, p, env.active(), score, leader, shows, against)
        running = env.active()
        more = min(p.cohort - len(running), most - env.n)
        if len(running) == 0 and more <= 0:
            break
        if more > 0:
            env.branch(more)
        if len(running) > 0:
            env.advance(running)
    return leader if leader >= 0 else env.vote()
"""

_NOTICE = '''\
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
'''

_OF_ANSWERS = {
    "running": ("running = np.zeros(env.n_answers)", "math.log(1 + running[a])"),
    "left": ("holds = np.zeros(env.n_answers)", "math.log(1 + shown[a] - holds[a])"),
    "given_up": ("given_up = np.zeros(env.n_answers)", "math.log(1 + given_up[a])"),
    "early": ("early = np.zeros(env.n_answers)", "math.log(early[a] / env.votes[a])"),
    "short": ("shorter = np.zeros(env.n_answers)", "shorter[a] / env.votes[a]"),
    "first": ("", "(1.0 if a == first else 0.0)"),
    "at_once": ("at_once = np.zeros(env.n_answers)", "at_once[a] / env.votes[a]"),
    "steady": ("steady = np.zeros(env.n_answers)", "steady[a] / env.votes[a]"),
}
"""For each feature of an answer: what counts it, and its value."""

_OF_BRANCHES = {
    "left": "holds[a] += 1",
    "running": "if not env.finished[i] and not env.pruned[i]:\n                running[a] += 1",
    "given_up": "if env.pruned[i]:\n                given_up[a] += 1",
}
_OF_FINISHERS = {
    "early": "early[a] += weight",
    "short": "shorter[a] += 1 - env.depth[i] / mean",
    "at_once": "if env.history(i)[0] == a:\n                at_once[a] += 1",
    "steady": "steady[a] += np.sum(env.history(i) == a) / env.depth[i]",
}


def _score(learned: Learned) -> str:
    used = [name for name in learned.vote if name in _OF_ANSWERS]
    signals = [name for name in learned.vote if SIGNAL.fullmatch(name)]
    lines = [f"    {_OF_ANSWERS[name][0]}" for name in used if _OF_ANSWERS[name][0]]
    branches = [_OF_BRANCHES[name] for name in _OF_BRANCHES if name in used]
    if branches:
        lines += ["    for i in range(env.n):", "        a = shows[i]", "        if a >= 0:"]
        lines += [f"            {line}" for line in branches]
    finishers = [_OF_FINISHERS[name] for name in _OF_FINISHERS if name in used]
    if "short" in used:
        lines += ["    mean = 0.0", "    for i in env.finish_order:"]
        lines += ["        mean += env.depth[i] / env.n_finished"]
    if "early" in used:
        lines.append("    weight = 1.0")
    if finishers:
        lines += [
            "    for i in env.finish_order:",
            "        a = env.answer[i]",
            "        if a >= 0:",
        ]
        lines += [f"            {line}" for line in finishers]
        if "early" in used:
            lines.append("        weight *= 0.9")
    if "first" in used:
        lines.append("    first = env.answer[env.finish_order[0]] if env.n_finished > 0 else -1")
    terms = ["p.votes * math.log(env.votes[a])"]
    terms += [f"+ p.{name} * {_OF_ANSWERS[name][1]}" for name in used]
    terms += [f"+ p.{name} * told_{name}[a]" for name in signals]
    for name in signals:
        lines += [
            "    of_branch = np.full(env.n, np.nan)",
            "    for i in env.finish_order:",
            f"        of_branch[i] = {name}(env, i)",
            f"    told_{name} = above(env, of_branch)",
        ]
    body = "\n".join(lines)
    total = "\n                ".join(terms)
    return f'''\
def scores(env, p, shows, shown):
    """Log odds of each answer to be the right one, -1e9 where no branch has finished on it."""
    score = np.full(env.n_answers, -1e9)
{body}
    for a in range(env.n_answers):
        if env.votes[a] > 0:
            score[a] = (
                {total}
            )
    return score
'''


def _signals(learned: Learned) -> list[str]:
    """What reads the signals that the vote counts."""
    read = [
        _OF_SIGNAL[how].format(name=found[0], signal=signal)
        for found in map(SIGNAL.fullmatch, learned.vote)
        if found
        for how, signal in [found.groups()]
    ]
    return [_ABOVE, *read] if read else []


_OF_SIGNAL = {
    "mean": '''\
def {name}(env, i):
    """The mean of a branch's `{signal}`, NaN where it has none."""
    seen = env.signal("{signal}", i)
    total = 0.0
    known = 0
    for value in seen:
        if np.isfinite(value):
            total += value
            known += 1
    return total / known if known > 0 else np.nan
''',
    "last": '''\
def {name}(env, i):
    """The last value of a branch's `{signal}`, NaN where it has none."""
    seen = env.signal("{signal}", i)
    return seen[-1] if len(seen) > 0 and np.isfinite(seen[-1]) else np.nan
''',
}

_ABOVE = '''\
def above(env, values):
    """By answer, how far the mean of its finishers is above that of all; NaN is left out."""
    sums = np.zeros(env.n_answers)
    counts = np.zeros(env.n_answers)
    total = 0.0
    known = 0
    for i in env.finish_order:
        if not np.isnan(values[i]):
            total += values[i]
            known += 1
            if env.answer[i] >= 0:
                sums[env.answer[i]] += values[i]
                counts[env.answer[i]] += 1
    for a in range(env.n_answers):
        if counts[a] > 0:
            sums[a] = sums[a] / counts[a] - total / known
    return sums
'''

_LEADING = '''\
def leading(env, score):
    """The answer with the best score, the one that finished first among equals; -1 without any."""
    best = -1
    for i in env.finish_order:
        a = env.answer[i]
        if a >= 0 and (best < 0 or score[a] > score[best]):
            best = a
    return best
'''

_AHEAD = '''\
def ahead(score, leader):
    """Log odds of the leader to the next answer, or to one that a single branch would bring."""
    second = 0.0
    for a in range(len(score)):
        if a != leader:
            second = max(second, score[a])
    return score[leader] - second
'''

_MARGIN = '''\
def margin(votes, leader):
    """Votes by which the leader is ahead of the next answer."""
    second = 0
    for a in range(len(votes)):
        if a != leader:
            second = max(second, votes[a])
    return votes[leader] - second
'''


_WORTH = '''\
def worth(p, lead):
    """Right answers won by going on for e times the tokens, as fitted; over the tokens: a token."""
    return math.exp(p.base - p.slope * lead)
'''


def _give_up(learned: Learned) -> str:
    counts = "against[i] += 1"
    if learned.evidence:
        counts = _CLEARLY
    # Who was opened later is not outvoted before it is as deep as the first that has finished.
    later = " or env.depth[i] < env.depth[env.finish_order[0]]" if learned.cohort else ""
    return f'''\
def give_up(env, p, active, score, leader, shows, against):
    """Prune branches that the finished ones have outvoted for long; `keep` of them stay."""
    left = len(active)
    for i in active:
        if env.answer[i] == leader{later}:
            against[i] = 0
        else:
            {counts}
        if against[i] >= p.patience and left > p.keep:
            env.prune(i)
            left -= 1
'''


_CLEARLY = """\
own = score[shows[i]] if shows[i] >= 0 else 0.0
            lead = score[leader] - max(own, 0.0)
            against[i] += 1 + p.clearness * min(max(lead, 0.0), 3.0)"""
