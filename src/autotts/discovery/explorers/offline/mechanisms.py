"""Mechanisms that controllers are composed of, and the source files that compositions become.

A composition is a set of mechanisms, each on or off, and for each parameter its values at beta 0,
1/2 and 1. A mechanism that is off is one whose parameters have no effect (`NEUTRAL`), so the
source with every mechanism stands for all of them: it is compiled once, and a search measures any
composition by handing it numbers. What is proposed is the source that has only what is used.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MECHANISMS = ("widen", "lead", "quota", "early", "running", "late", "dissent", "burst", "purse")


BETAS = (0.0, 0.5, 1.0)
"""Where a composition says what its parameters are; in between they move in straight lines."""

Values = tuple[float, float, float]
"""A parameter at `BETAS`: never falling, or never rising."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the schedule.

    mechanism: whose it is; "" if every program has it.
    low, high: where its value at any beta may lie.
    whole: an int; otherwise a float of three digits.
    neutral: the value that has no effect.
    """

    mechanism: str
    low: float
    high: float
    whole: bool
    neutral: float

    def value(self, values: Values, beta: float) -> float:
        """At a beta, as the schedule that `source` writes computes it."""
        between = float(np.interp(beta, BETAS, values))
        return round(between) if self.whole else round(between, 4)


PARAMETERS = {
    "start": Parameter("", 2, 64, True, 2),
    "ceiling": Parameter("widen", 4, 64, True, 64),
    "slots": Parameter("widen", 1, 64, True, 0),
    "widen": Parameter("widen", 1, 8, True, 1),
    "quorum": Parameter("lead", 1, 6, True, 10_000),
    "lead": Parameter("lead", 0.0, 2.5, False, 0.0),
    "first": Parameter("quota", 2, 48, True, 10_000),
    "decay": Parameter("early", 0.75, 1.0, False, 1.0),
    "running": Parameter("running", 0.02, 0.6, False, 0.0),
    "late": Parameter("late", 1.0, 5.0, False, 10_000.0),
    "pace": Parameter("late", 1, 4, True, 1),
    "patience": Parameter("dissent", 2, 48, True, 10_000),
    "keep": Parameter("dissent", 1, 4, True, 1),
    "burst": Parameter("burst", 2, 4, True, 1),
    "purse": Parameter("purse", 60, 4_000, True, 1_000_000),
}

IDEAS = {
    "widen": "open further branches while fewer than `slots` are running, `widen` at a time",
    "lead": "answer when the leader of `quorum` votes or more is ahead by `lead` deviations",
    "quota": "answer when `first` branches have finished",
    "early": "let every later finisher count less than the one before it (`decay`): short is right",
    "running": "let a running branch support its latest answer with weight `running`",
    "late": "give up branches that run `late` times as long as the first `pace` finishers did",
    "dissent": "give up branches that disagree with the leader `patience` times; `keep` some",
    "burst": "read branches that agree with the leader `burst` intervals at a time",
    "purse": "answer when `purse` intervals' worth of tokens are spent, settled or not",
}


@dataclass(frozen=True, slots=True)
class Composition:
    """A controller: which mechanisms it has, and its parameters along beta.

    values: of the parameters in use, at `BETAS`, in the order of `PARAMETERS`.
    """

    used: frozenset[str]
    values: Mapping[str, Values]

    def parameters(self, beta: float) -> dict[str, float]:
        """Of the program with every mechanism, at a beta: neutral where a mechanism is off."""
        return {
            name: p.value(self.values[name], beta) if name in self.values else p.neutral
            for name, p in PARAMETERS.items()
        }

    def without(self, mechanism: str) -> "Composition":
        """The same with one mechanism off."""
        used = self.used - {mechanism}
        return Composition(used, {n: v for n, v in self.values.items() if in_use(n, used)})

    def alone(self, beta: float) -> "Composition":
        """The one setting that it has at a beta, for every beta."""
        there = {name: PARAMETERS[name].value(v, beta) for name, v in self.values.items()}
        return Composition(self.used, {name: (v, v, v) for name, v in there.items()})

    @property
    def stops(self) -> bool:
        """Whether something ends its episodes before every branch has."""
        return bool(self.used & {"lead", "quota", "purse"})


def through(cheap: Composition, middle: Composition, dear: Composition) -> Composition:
    """From one setting at beta 0 through another at beta 1/2 to a third at beta 1.

    A mechanism that not all of them have goes as near to no effect as its range allows. Where the
    middle one would turn back, it is moved to the nearer of the others.
    """
    settings = (cheap, middle, dear)
    used = frozenset().union(*(setting.used for setting in settings))
    values = {}
    for name, p in PARAMETERS.items():
        if in_use(name, used):
            off = clip(name, p.neutral)
            first, half, last = (s.values.get(name, (off, off, off))[0] for s in settings)
            values[name] = one_way(first, half, last)
    return Composition(used, values)


def one_way(first: float, half: float, last: float) -> Values:
    """A parameter's values at `BETAS`, the middle one moved so that they don't turn back."""
    return first, min(max(half, min(first, last)), max(first, last)), last


EVERYTHING = frozenset(MECHANISMS)


def in_use(parameter: str, used: frozenset[str]) -> bool:
    """Whether a parameter belongs to one of the mechanisms in use."""
    mechanism = PARAMETERS[parameter].mechanism
    return not mechanism or mechanism in used


def source(composition: Composition) -> str:
    """The program of a composition: docstring, schedule, solve; only what it uses."""
    used = composition.used
    blocks = [
        _docstring(used),
        "import math\n" if "lead" in used else "",
        "import numpy as np\n",
        _ALONG,
        _schedule(composition),
        _solve(used),
        _weigh(used),
        _GIVE_UP_LATE if "late" in used else "",
        _GIVE_UP_DISSENT if "dissent" in used else "",
    ]
    head = "\n".join(block for block in blocks[:3] if block)
    return "\n\n".join([head, *(block for block in blocks[3:] if block)])


def _docstring(used: frozenset[str]) -> str:
    names = [name for name in MECHANISMS if name in used]
    ideas = "".join(f"- {name}: {IDEAS[name]};\n" for name in names)
    title = f"A race of branches with {', '.join(names)}."
    return f'"""{title}\n\n{ideas[:-2]}.\n\nFound by a search over mechanisms.\n"""\n'


def _schedule(composition: Composition) -> str:
    lines = []
    for name, values in composition.values.items():
        whole = PARAMETERS[name].whole
        if len(set(values)) == 1:
            value = f"{values[0]}"
        else:
            along = f"along(beta, {', '.join(map(str, values))})"
            value = f"round({along})" if whole else f"round({along}, 4)"
        lines.append(f'        "{name}": {value},')
    return "def schedule(beta):\n    return {\n" + "\n".join(lines) + "\n    }\n"


_ALONG = '''\
def along(beta, at_0, at_half, at_1):
    """A parameter at beta, in straight lines through its values at 0, 1/2 and 1."""
    return float(np.interp(beta, (0.0, 0.5, 1.0), (at_0, at_half, at_1)))
'''


_SOLVE = """\
def solve(env, p):
    ceiling = min(p.ceiling, env.room)  #widen
    env.branch(min(p.start, ceiling))  #widen
    env.branch(min(p.start, env.room))  #!widen
    against = np.zeros(ceiling, np.int64)  #widen dissent
    against = np.zeros(env.n, np.int64)  #!widen dissent
    times = np.ones(ceiling, np.int64)  #widen burst
    times = np.ones(env.n, np.int64)  #!widen burst
    leader = -1
    while True:
        weights = weigh(env, p)
        leader = leading(env, weights)
        if env.n_finished >= p.first:  #quota
            break  #quota
        if env.spent >= p.purse * env.interval:  #purse
            break  #purse
        if env.n_finished >= p.quorum and settled(weights, leader, p.lead):  #lead
            break  #lead
        give_up_late(env, p)  #late
        give_up_dissenters(env, p, leader, against)  #dissent
        active = env.active()
        more = min(p.widen, p.slots - len(active), ceiling - env.n)  #widen
        if more > 0:  #widen
            env.branch(more)  #widen
        elif len(active) == 0:  #widen
            break  #widen
        if len(active) == 0:  #!widen
            break  #!widen
        for j in range(len(active)):  #burst
            agrees = leader >= 0 and env.answer[active[j]] == leader  #burst
            times[j] = p.burst if agrees else 1  #burst
        if len(active) > 0:  #widen
            env.advance(active, times[: len(active)])  #widen burst
            env.advance(active)  #widen !burst
        env.advance(active, times[: len(active)])  #!widen burst
        env.advance(active)  #!widen !burst
    return leader if leader >= 0 else env.vote()
"""

_WEIGH = '''\
def weigh(env, p):
    """Votes by answer of those that finished{and_running}."""
    weights = np.zeros(env.n_answers)
    weight = 1.0  #early
    for i in env.finish_order:
        if env.answer[i] >= 0:
            weights[env.answer[i]] += weight  #early
            weights[env.answer[i]] += 1.0  #!early
        weight *= p.decay  #early
    for i in env.active():  #running
        if env.answer[i] >= 0:  #running
            weights[env.answer[i]] += p.running  #running
    return weights


def leading(env, weights):
    """The answer of a finisher with most weight, the first to finish among equals."""
    best = -1
    for i in env.finish_order:
        a = env.answer[i]
        if a >= 0 and (best < 0 or weights[a] > weights[best]):
            best = a
    return best


def settled(weights, leader, deviations):  #lead
    """Whether the leader is ahead of every other answer by more than chance."""  #lead
    if leader < 0:  #lead
        return False  #lead
    second = 0.0  #lead
    for a in range(len(weights)):  #lead
        if a != leader and weights[a] > second:  #lead
            second = weights[a]  #lead
    ahead = weights[leader] - second  #lead
    return ahead > 0 and ahead >= deviations * math.sqrt(weights[leader] + second + 1)  #lead
'''

_GIVE_UP_LATE = '''\
def give_up_late(env, p):
    """Prune branches that run much longer than the first finishers did."""
    if env.n_finished < p.pace:
        return
    depth = 0
    for j in range(p.pace):
        depth += env.depth[env.finish_order[j]]
    for i in env.active():
        if env.depth[i] * p.pace > p.late * depth:
            env.prune(i)
'''

_GIVE_UP_DISSENT = '''\
def give_up_dissenters(env, p, leader, against):
    """Prune branches that have disagreed with the leader for long, the last opened first."""
    active = env.active()
    left = len(active)
    for i in active[::-1]:
        if leader < 0 or env.answer[i] == leader:
            against[i] = 0
            continue
        against[i] += 1
        if against[i] >= p.patience and left > p.keep:
            env.prune(i)
            left -= 1
'''


def _pick(template: str, used: frozenset[str]) -> str:
    """The lines whose marks, mechanisms after `#` or `#!` for "without", all hold."""
    kept = []
    for line in template.splitlines():
        text, mark, words = line.partition("  #")
        marks = re.findall(r"!?\w+", words) if mark else []
        if all((m.lstrip("!") in used) != m.startswith("!") for m in marks):
            kept.append(text)
    return "\n".join(kept).rstrip() + "\n"


def _solve(used: frozenset[str]) -> str:
    return _pick(_SOLVE, used)


def _weigh(used: frozenset[str]) -> str:
    also = ", and a little of those that run" if "running" in used else ""
    return _pick(_WEIGH.replace("{and_running}", also), used)


def clip(name: str, value: float) -> float:
    """A value within a parameter's range, in as many digits as a schedule has."""
    p = PARAMETERS[name]
    value = min(max(value, p.low), p.high)
    return round(value) if p.whole else round(value, 3)


def scale(name: str) -> float:
    """How far a parameter reaches: its range, in logs for ints."""
    p = PARAMETERS[name]
    return math.log(p.high / p.low) if p.whole else p.high - p.low
