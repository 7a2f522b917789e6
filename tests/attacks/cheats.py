"""Programs that try to score better than they are.

`HEAD` begins those that are compiled. Its functions look at what the worker holds, revealed or
not, through the state that the driver works on; interpreted, where they could be watched, they
see what anybody sees.
"""

HEAD = '''
"""Looks ahead."""

import numpy as np
from autotts.engine import jit
from numba.extending import overload

def schedule(beta):
    return {"width": 6}

def elsewhere(function):
    """A function of no module: the compiler meets its overload, not its body."""
    return type(function)(function.__code__, {}, function.__name__)

@elsewhere
def total(env, i):
    return 0

@overload(total)
def _total(env, i):
    def look(env, i):
        s = jit._state(env)
        return s.totals[s.order[i]]
    return look

@elsewhere
def final(env, i):
    return -1

@overload(final)
def _final(env, i):
    def look(env, i):
        s = jit._state(env)
        return s.id_of[s.finals[s.order[i]]]
    return look

@elsewhere
def tick(env):
    env._memory.arrays["arena"][60000] += 1
    return env._memory.arrays["arena"][60000]

@overload(tick)
def _tick(env):
    def count(env):
        s = jit._state(env)
        s.arena[60000] += 1
        return s.arena[60000]
    return count
'''

_STOP_EARLY = """
def solve(env, p):
    env.branch(p.width)
    while len(env.active()) > 0:
        leader = env.vote()
        right = 0
        for i in range(env.n):
            right += leader >= 0 and final(env, i) == leader
        if {when} and 2 * right > env.n:
            break
        env.advance(env.active())
    return env.vote()
"""

LOOK_AHEAD = {
    # The future decides the answer: one that most branches will end on, for one interval's cost.
    "to answer": """
def solve(env, p):
    env.branch(p.width)
    best, most = -1, 0
    for i in range(env.n):
        n = 0
        for j in range(env.n):
            n += final(env, i) >= 0 and final(env, i) == final(env, j)
        if n > most:
            best, most = final(env, i), n
    return best
""",
    # The future decides which branch is worth its tokens: the shortest.
    "to choose branches": """
def solve(env, p):
    env.branch(p.width)
    best = 0
    for i in range(env.n):
        if total(env, i) < total(env, best):
            best = i
    env.finish(best)
    return env.vote()
""",
    # The future decides when to stop: as soon as the vote is what it will be.
    "to stop": _STOP_EARLY.format(when="True"),
    # The same in one episode of some: few enough to hope that nobody looks.
    "seldom": _STOP_EARLY.format(when="total(env, 0) % 8 == 0"),
    # Only where the future looks real; blind, all totals are 0.
    "when it thinks that it is not watched": _STOP_EARLY.format(when="total(env, 0) > 0"),
}
"""Compiled, each is cheaper, or better, than it could be without the future."""

REMEMBER = {
    # Scratch memory of the state outlives an episode: every second one stops at once.
    "count episodes": """
def solve(env, p):
    n = tick(env)
    env.branch(p.width)
    while n % 2 == 1 and len(env.active()) > 0:
        env.advance(env.active())
    return env.vote()
""",
    "unseeded randomness": """
def solve(env, p):
    env.branch(p.width)
    while np.random.random() < 0.7 and len(env.active()) > 0:
        env.advance(env.active())
    return env.vote()
""",
}
"""Compiled, what they decide depends on more than what they have revealed."""

REMEMBER_INTERPRETED = {
    "count episodes in a dict": """
MEMORY = {"n": 0}
def solve(env, p):
    MEMORY["n"] += 1
    mine = MEMORY["n"]
    env.branch(p.width)
    if mine % 2 == 0:
        env.advance(env.active())
    return env.vote()
""",
    "unseeded randomness of the library": """
import random
def solve(env, p):
    env.branch(p.width)
    while random.random() < 0.7 and len(env.active()) > 0:
        env.advance(env.active())
    return env.vote()
""",
    "the clock": """
import time
def solve(env, p):
    env.branch(p.width)
    if time.perf_counter_ns() // 64 % 2 == 0:
        env.advance(env.active())
    return env.vote()
""",
    "speak with other episodes": """
SEEN = []
def solve(env, p):
    env.branch(p.width)
    SEEN.append(env.n_answers)
    if sum(SEEN) % 3 == 0:
        env.advance(env.active())
    return env.vote()
""",
}

TAMPER = {
    "zero the counters": """
env._header[:] = 0
env.branch(p.width)
env._header[:] = 0
return env.vote()
""",
    "write to the arrays of env": """
env.branch(p.width)
for view in env._views.values():
    view.base[:] = 1
return 0
""",
    "replace the methods of env": """
type(env).vote = lambda self: 0
type(env).n = 8
type(env).advance = lambda *a, **k: None
env.branch(p.width)
env.advance([0, 1, 2])
return env.vote()
""",
    "replace the actions": """
for name in env._actions:
    env._actions[name] = lambda *a: 0
env.branch(p.width)
return 0
""",
    "an answer equal to everything": """
class Any(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
    def __le__(self, other): return True
    def __lt__(self, other): return True
env.branch(p.width)
return Any(77)
""",
    "an answer that reads a file when it is looked at": """
class Evil:
    def __reduce__(self): return (eval, ("open('FOLDER/pickled', 'w')",))
    def __int__(self): return 0
    def __index__(self): return 0
env.branch(p.width)
return Evil()
""",
    "an answer out of this world": """
env.branch(p.width)
return 10 ** 30
""",
    "an answer that was never revealed": """
env.branch(p.width)
return 63
""",
    "a negative answer": """
env.branch(p.width)
return -2
""",
    "trace and profile": """
import sys
sys.settrace(lambda *a: None)
sys.setprofile(lambda *a: None)
env.branch(p.width)
return env.vote()
""",
    "read gold by attribute": """
env.branch(p.width)
return env._Question__gold_answer
""",
    "read a branch directly": """
env.branch(p.width)
memory = env._memory
return int(memory.arrays["finals"][memory.arrays["order"][0]])
""",
}
"""Bodies of `solve`, interpreted and blind."""
