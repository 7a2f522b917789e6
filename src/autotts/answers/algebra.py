"""Whether two formulas are the same, by the math-verify library in processes that can be killed.

The library may take any time and memory for some formulas, and guards itself by signals, which
threads and event loops can't have. So a process of ours asks it, and is ended when it is late.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from queue import Empty, LifoQueue, SimpleQueue
from typing import Any

from autotts.answers import verdicts
from autotts.errors import AutottsError

_SECONDS, _START_SECONDS = 3.0, 60.0
_MOST_MEMORY_BYTES = 2**31
_MOST_FORMS = 4_096
_DIGITS = 15
"""To which formulas must agree that can only be compared by their values."""


def has_math_verify() -> bool:
    """Whether the math-verify library is there."""
    return find_spec("math_verify") is not None


def judge() -> str:
    """The library and its version, for a record of what decided."""
    return f"math-verify {version('math-verify')}" if has_math_verify() else ""


def same_formula(a: str, b: str) -> bool:
    """Whether two formulas are the same, either way round; False where that takes too long.

    May be called from any thread; takes a few seconds at most, and some more the first time. What
    came out is kept on disk, by the versions of the libraries; what took too long is not.

    Raises:
        AutottsError: the library is there and can't be used.
    """
    known = verdicts.look_up(a, b)
    if known is None:
        verifier = _VERIFIERS.get()
        try:
            known = verifier.ask(a, b)
        finally:
            _VERIFIERS.put(verifier)
        if known is not None:
            verdicts.keep(a, b, known)
    return bool(known)


class _Verifier:
    """A process that is asked, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._replies: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.current_thread()
        self._owner = 0

    def ask(self, a: str, b: str) -> bool | None:
        """Whether two formulas are the same; None if the process died of them, or was late."""
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
            self.end()
            return None
        return reply == "same\n"

    def _start(self) -> None:
        command = [sys.executable, "-c", "from autotts.answers.algebra import serve; serve()"]
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
        try:
            # It says so when it has imported the library.
            said = replies.get(timeout=_START_SECONDS)
        except Empty:
            said = ""
        if said != "ready\n":
            self.end()
            raise AutottsError(
                f"math-verify is installed and doesn't start; see: {sys.executable} -c"
                ' "import math_verify"'
            )

    def end(self) -> None:
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
            self._reader.join()
            with suppress(OSError):
                if process.stdin is not None:
                    process.stdin.close()


_MOST_PROCESSES = min(4, os.cpu_count() or 1)
_ALL = [_Verifier() for _ in range(_MOST_PROCESSES)]
_VERIFIERS: LifoQueue[_Verifier] = LifoQueue()
"""Who has nothing to do; last in, first out, so that no more are started than are needed."""
for _one in _ALL:
    _VERIFIERS.put(_one)
    atexit.register(_one.end)


def serve() -> None:
    """Answer questions from standard input, a line each: the process that is asked."""
    import logging
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    from math_verify import parse, verify

    logging.disable()
    print("ready", flush=True)

    @lru_cache(maxsize=_MOST_FORMS)
    def form(text: str) -> Any:
        return parse(rf"\boxed{{{text}}}", parsing_timeout=None)

    for line in sys.stdin:
        forms = [form(text) for text in json.loads(line)]
        # The relation of the library is not symmetric, and rounds to 6 digits unless told.
        both = all(
            verify(*pair, float_rounding=_DIGITS, timeout_seconds=None)
            for pair in (forms, forms[::-1])
        )
        print("same" if both else "different", flush=True)
