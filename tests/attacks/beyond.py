"""Programs that pass the source check and index beyond what they were given.

Where what they call does not check, they read what they have not revealed, or write to the state
that says what they may read. Each is a body of `solve`.
"""

HEAD = '''"""Indexes beyond its arrays."""

import numpy as np

from autotts.votes import beta_tail, deepest_first, dissent, mode, outliers, tally


def schedule(beta):
    return {"far": 40_000, "wraps": 3689348814741910324}  # 5 * wraps = 2**64 + 4


def solve(env, p):
    env.branch(4)
    own = np.zeros(4, np.int64)
    ids = np.arange(4)
    ids[0] = p.far
'''

READ = {
    "outliers": "return int(outliers(ids, own, -(2**62), keep=0)[0]) % 2",
    "deepest_first": "return int(deepest_first(ids, own)[0]) % 2",
    "a short mask": "return mode(env.answer, np.ones(1, np.bool_))",
    "beta_tail": "return int(beta_tail(-p.far, 3) > 0.5)",
    "take": "return int(np.take(own, ids)[0]) % 2",
    "an array of indices": "return int(own[ids][0]) % 2",
    "an index that wraps": "k = 2**62 + p.far\nreturn int(own[k + k]) % 2 if k > 0 else 0",
    "the history of no branch": "return int(env.history(p.far)[0])",
    "the history, negative": "return int(env.history(-p.far)[0])",
}

WRITE = {
    "dissent": "dissent(own, ids, env.answer, -5)",
    "dissent by another's length": "dissent(own[:2], np.arange(4), env.answer, -5)",
    "tally": "tally(np.array([2**63 - 1, 3]), np.ones(2, np.bool_))",
    "delete": "np.delete(own, ids)",
    "an array of indices": "own[ids] = 7",
    "a dict of arrays": "d = {0: own}\nd[0] = env.depth\nd[0][1] = p.far\nenv.history(1)",
    "a dict of tuples": "d = {0: (own, 1)}\nd[0] = (env.depth, 1)\nd[0][0][1] = p.far",
    "a list repeated past 64 bits": "x = [7] * (5 * (p.wraps // p.wraps)) * p.wraps",
    "a list repeated from the left": "x = p.wraps * ([7] * 5)",
    "a list repeated in place": "x = [7] * 5\nx *= p.wraps",
    "a text repeated past 64 bits": "x = len('abcde' * p.wraps)",
    "items repeated past 64 bits": "x = np.repeat(np.arange(5), p.wraps)",
    "a shape past 64 bits": "x = own.reshape(p.wraps, 5)\nx[p.far, 0] = 7",
    "a shape past 64 bits, as a tuple": "x = np.reshape(own, (p.wraps, 5))\nx[p.far, 0] = 7",
    "a default of a dict": "d = {0: own}\nd.setdefault(1, env.depth)[1] = p.far",
}


def reading(name: str) -> str:
    return HEAD + "".join(f"    {line}\n" for line in READ[name].split("\n"))


def writing(name: str) -> str:
    lines = [*WRITE[name].split("\n"), "return env.vote()"]
    return HEAD + "".join(f"    {line}\n" for line in lines)


PROGRAMS = {f"read: {name}": reading(name) for name in READ} | {
    f"write: {name}": writing(name) for name in WRITE
}
