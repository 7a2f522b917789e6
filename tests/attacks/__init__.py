"""Programs that try to cheat, break out or break things, for the tests of the sandbox.

Each is text, for it never runs in the test's own process. `reach` has functions that try to get
at something outside; `cheats` has programs that try to score better than they are; `harm` has
programs that never end, eat memory or break the protocol.
"""

from textwrap import indent

BREACH = "BREACH"
"""What an attack prints when it got through."""

HONEST = '''
"""The program that attacks pretend to be."""

def schedule(beta):
    return {"width": 4}

def solve(env, p):
    env.branch(p.width)
    while env.n_finished < 2:
        env.advance(env.active())
    return env.vote()
'''


def program(solve: str, schedule: str = '    return {"width": 4}', *, before: str = "") -> str:
    """A program from the bodies of its two functions."""
    functions = f"def schedule(beta):\n{schedule}\n\ndef solve(env, p):\n{_block(solve)}"
    return f'"""Attacks."""\n\n{before}\n{functions}'


def _block(body: str) -> str:
    return indent(body.strip("\n"), "    ") + "\n"


def _call(attack: str) -> str:
    return f'{attack}\ndef _try_it():\n    if attack():\n        print("{BREACH}", flush=True)\n'


def at_import(attack: str) -> str:
    """The honest program, which runs the attack when it is loaded."""
    return f"{_call(attack)}\n_try_it()\n{HONEST}"


def in_schedule(attack: str) -> str:
    """The honest program, which runs the attack when it is asked for its parameters."""
    return _call(attack) + HONEST.replace('    return {"w', '    _try_it()\n    return {"w')


def in_solve(attack: str) -> str:
    """The honest program, which runs the attack in an episode, interpreted."""
    return _call(attack) + HONEST.replace("    env.branch", "    _try_it()\n    env.branch")


def in_decorator(attack: str) -> str:
    """The honest program with a decorator that runs the attack when it is compiled."""
    wrap = "def _wrapped(function):\n    _try_it()\n    return function\n\n@_wrapped\ndef solve"
    return _call(attack) + HONEST.replace("def solve", wrap)


def in_default(attack: str) -> str:
    """The honest program with a default argument that runs the attack."""
    return f"{_call(attack)}\ndef _unused(x=_try_it()):\n    return x\n{HONEST}"


PLACES = {
    "at import": at_import,
    "in schedule": in_schedule,
    "in solve": in_solve,
    "in a decorator": in_decorator,
    "in a default": in_default,
}


def function(body: str) -> str:
    """An attack from its body."""
    return f"def attack():\n{_block(body)}"
