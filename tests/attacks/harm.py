"""Programs that never end, eat everything, or speak another language than the protocol."""

ENDLESS = {
    "loop": """
def solve(env, p):
    n = 0
    while True:
        n += 1
    return n
""",
    "loop and ignore every signal": """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
def solve(env, p):
    while True:
        pass
""",
    "sleep": """
import time
def solve(env, p):
    time.sleep(1000)
    return 0
""",
    "loop when it is loaded": """
while True:
    pass
""",
    "loop in schedule": """
def schedule(beta):
    while True:
        pass
""",
    "print for ever": """
def solve(env, p):
    while True:
        print("x" * 1000)
""",
    "write to stderr for ever": """
import os
def solve(env, p):
    while True:
        os.write(2, b"x" * 1000)
""",
    "ask and never read": """
import os
from autotts.sandbox.wire.channel import ASK, HEADER
def solve(env, p):
    while True:
        os.write(3, HEADER.pack(ASK, 8) + bytes(8))
""",
    "note for ever": """
def solve(env, p):
    while True:
        env.note("x", 1.0)
""",
    "leave at once": """
import os
os._exit(0)
""",
    "leave in an episode": """
import os
def solve(env, p):
    os._exit(0)
""",
    "close the channel": """
import os
def solve(env, p):
    os.close(3)
    while True:
        pass
""",
    "recurse for ever": """
def solve(env, p):
    return solve(env, p)
""",
    "overflow the stack": """
import ctypes, sys
sys.setrecursionlimit(10 ** 9)
class Deep:
    def __repr__(self): return repr(self)
def solve(env, p):
    return repr(Deep())
""",
    "crash": """
import ctypes
def solve(env, p):
    return ctypes.string_at(0)
""",
    "abort": """
import os
def solve(env, p):
    os.abort()
""",
    "eat memory": """
def solve(env, p):
    kept = []
    while True:
        kept.append(bytearray(1 << 24))
""",
    "eat memory when it is loaded": """
KEPT = [bytearray(1 << 24) for _ in range(1 << 12)]
""",
    "raise with an endless message": """
def solve(env, p):
    raise ValueError("x" * (1 << 24))
""",
    "raise what can't be shown": """
class Evil(Exception):
    def __str__(self): raise SystemExit(0)
def solve(env, p):
    raise Evil
""",
    "end the interpreter": """
def solve(env, p):
    raise SystemExit(0)
""",
    "interrupt": """
def solve(env, p):
    raise KeyboardInterrupt
""",
}

SCHEDULES = {
    "no dict": "return 3",
    "no numbers": "return {'width': 'x'}",
    "not finite": "return {'width': float('nan')}",
    "huge": "return {'width': 10 ** 5000}",
    "odd names": "return {'__class__': 1}",
    "very many": "return {f'p{i}': i for i in range(5_000)}",
    "another kind": "return {'width': 2 if beta == 0.5 else 2.5}",
    "other names": "return {'width' if beta == 0.5 else 'depth': 2}",
}

# Programs that speak for the driver: `send(kind, payload)` writes any frame, as the driver would.
SPEAK = """
import os, struct
from autotts import control
from autotts.sandbox.wire import channel
def send(kind, payload):
    os.write(3, struct.pack("<iI", kind, len(payload)) + payload)
def words(*values):
    return struct.pack(f"<{len(values)}q", *values)
def ask(kind, *body):
    record = control.pack_head(kind, False, len(body)), *body
    send(channel.ASK, words(len(record), *record))
"""

FRAMES = {
    "no header": "os.write(3, b'xyz'); os._exit(0)",
    "a kind of its own": "send(99, b'')",
    "a hello of its own": "send(channel.HELLO, b'{}')",
    "a load of its own": "send(channel.LOADED, b'{}')",
    "a huge frame": "os.write(3, struct.pack('<iI', channel.ASK, 2 ** 32 - 1))",
    "no words": "send(channel.ASK, b'xyz')",
    "too few counts": "send(channel.ASK, words())",
    "a negative count": "send(channel.ASK, words(-1, *[0] * 63))",
    "a count beyond the frame": "send(channel.ASK, words(1 << 60, *[0] * 63))",
    "a record beyond the frame": "send(channel.ASK, words(1, 2 ** 62))",
    "a branch of nothing": "ask(control.BRANCH, 0)",
    "very many branches": "ask(control.BRANCH, 2 ** 62)",
    "a branch that is not open": "ask(control.CONTINUE, control.pack_times(5, 1))",
    "a negative branch": "ask(control.CONTINUE, control.pack_times(-5, 1))",
    "negative times": "ask(control.CONTINUE, control.pack_times(0, -5))",
    "an answer that was never revealed": "ask(control.ANSWER, 7)",
    "an answer out of this world": "ask(control.ANSWER, 2 ** 62)",
    "an unknown request": "ask(7, 0)",
    "a model that no store has": (
        "send(channel.ASK, words(2, control.pack_head(control.BRANCH, False, 1) | 1 << 16, 1))"
    ),
    "two requests at once": "send(channel.ASK, words(4, *[2 ** 32, 1] * 2))",
    "garbage": "os.write(3, bytes(range(256)) * 64)",
    "a failure without text": "send(channel.FAILED, b'')",
    "a failure of another episode": "send(channel.FAILED, struct.pack('<i', 99) + b'x')",
    "a failure with control characters": (
        "send(channel.FAILED, struct.pack('<i', -1) + b'\\x1b[2J\\x00\\xff')"
    ),
    "pickled code": ("import pickle; send(channel.ASK, pickle.dumps(ValueError('x')))"),
}
"""Statements, after `SPEAK`, in the place of an episode."""

FORGE = """
from autotts.sandbox.guest import main as guest
def forged(self, half, pairs):
    place = self._shared.halves[half]
    {body}
guest._Compiled.run = forged
def ready(self, program, shared):
    self._shared = shared
guest._Compiled.__init__ = ready
"""

FORGED_CHUNKS = {
    "more than was asked for": "return 10 ** 6",
    "less than nothing": "return -5",
    "ends beyond the log": "place['ends'][:] = 10 ** 12; return len(pairs)",
    "ends that go down": "place['ends'][:] = 7; place['ends'][1] = 3; return len(pairs)",
    "negative ends": "place['ends'][:] = -7; return len(pairs)",
    "ends whose differences overflow": (
        "place['results'][:] = 0; place['ends'][:4] = [2**62, -2**63 + 2**50, -1, 4]; return 4"
    ),
    "an answer without a request": (
        "place['ends'][:] = 0; place['results'][:] = 0; return len(pairs)"
    ),
    "a code that is none": (
        "place['ends'][:] = 0; place['results'][:] = 0; place['results'][:, 1] = 10 ** 9; "
        "return len(pairs)"
    ),
    "requests that are none": (
        "place['log'][:] = -1; place['ends'][:] = range(3, 3 + len(place['ends']));"
        "place['results'][:] = 0; return len(pairs)"
    ),
}
"""Bodies that take the place of the compiled driver's `run(self, half, pairs)` in the worker."""

CLAIM = """
from autotts.sandbox.guest import main as guest
honest = guest._Compiled.run
def forged(self, half, pairs):
    done = honest(self, half, pairs)
    self._shared.halves[half]["results"][:, 2:] = 1
    return done
guest._Compiled.run = forged
"""
"""Runs the program, and says that it cost next to nothing."""
