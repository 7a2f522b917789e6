"""Whether two formulas are the same, by the math-verify library in a process that can be killed.

The library may take any time and memory for some formulas, and guards itself by signals, which
threads and event loops can't have. So one process of ours asks it, and is ended when it is late.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from queue import Empty, SimpleQueue

_SECONDS, _START_SECONDS = 3.0, 60.0
_MOST_MEMORY_BYTES = 2**31
_DIGITS = 15
"""To which formulas must agree that can only be compared by their values."""


def has_math_verify() -> bool:
    """Whether the math-verify library is there."""
    return find_spec("math_verify") is not None


def same_formula(a: str, b: str) -> bool:
    """Whether two formulas are the same, either way round; False where that takes too long.

    May be called from any thread; takes a few seconds at most, and some more the first time.
    """
    return _VERIFIER.ask(a, b)


class _Verifier:
    """The process that is asked, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._replies: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.current_thread()
        self._owner = 0

    def ask(self, a: str, b: str) -> bool:
        with self._lock:
            # A process that was forked off must not share the pipes of its parent.
            if self._process is None or self._owner != os.getpid():
                self._start()
            assert self._process is not None
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(json.dumps([a, b]) + "\n")
                self._process.stdin.flush()
                reply = self._replies.get(timeout=_SECONDS)
            except (Empty, OSError):
                reply = ""
            if not reply:
                self._end()
            return reply == "same\n"

    def _start(self) -> None:
        command = [sys.executable, "-c", "from autotts.algebra import serve; serve()"]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        replies: SimpleQueue[str] = SimpleQueue()

        def read() -> None:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    replies.put(line)
            replies.put("")

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        self._process, self._replies, self._owner = process, replies, os.getpid()
        with suppress(Empty):
            # It says so when it has imported the library.
            replies.get(timeout=_START_SECONDS)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
            self._reader.join()
            with suppress(OSError):
                if process.stdin is not None:
                    process.stdin.close()

    def close(self) -> None:
        with self._lock:
            self._end()


_VERIFIER = _Verifier()
atexit.register(_VERIFIER.close)


def serve() -> None:
    """Answer questions from standard input, a line each: the process that is asked."""
    import logging
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    from math_verify import parse, verify

    logging.disable()
    print("ready", flush=True)
    for line in sys.stdin:
        forms = [parse(rf"\boxed{{{text}}}", parsing_timeout=None) for text in json.loads(line)]
        # The relation of the library is not symmetric, and rounds to 6 digits unless told.
        both = all(
            verify(*pair, float_rounding=_DIGITS, timeout_seconds=None)
            for pair in (forms, forms[::-1])
        )
        print("same" if both else "different", flush=True)
