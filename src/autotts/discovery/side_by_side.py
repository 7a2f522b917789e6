"""Rounds that are proposed side by side, a thread each, while others are scored."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from autotts.discovery.explorer import Explorer
from autotts.errors import SpecError

_MOST = 64

P = ParamSpec("P")
R = TypeVar("R")


class SideBySide:
    """Work on rounds. A context manager: its end is the end of all of it.

    A call that was sent when the end came is waited for, so that its reply is recorded.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_MOST)
        self._begun: dict[int, Future[None]] = {}
        self._ended = threading.Event()

    def __enter__(self) -> "SideBySide":
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._threads.shutdown(cancel_futures=True)

    def __contains__(self, number: int) -> bool:
        return number in self._begun

    def begin(self, number: int, work: Callable[[], None]) -> None:
        """Do the work of a round in a thread of its own."""
        self._begun[number] = self._threads.submit(work)

    def finish(self, number: int) -> bool:
        """Wait for the work of a round, and raise what it raised; False if it was not begun."""
        if number not in self._begun:
            return False
        self._begun[number].result()
        return True

    def ended(self) -> bool:
        """Whether whoever is still at work should end."""
        return self._ended.is_set()

    def unless_ended(self, call: Callable[P, R]) -> Callable[P, R]:
        """A call that raises KeyboardInterrupt from the end on."""

        def called(*arguments: P.args, **named: P.kwargs) -> R:
            if self._ended.is_set():
                raise KeyboardInterrupt
            return call(*arguments, **named)

        return called


def require_side_by_side(explorer: Explorer, parallel: int) -> None:
    """
    Raises:
        SpecError: several rounds are asked for at once, and this explorer takes one at a time.
    """
    if parallel > 1 and not getattr(explorer, "side_by_side", False):
        raise SpecError(
            f"parallel {parallel}: explorer {explorer.name} builds each round on the one before;"
            " chat, agent and recorded can work on several at once"
        )
