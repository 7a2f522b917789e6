"""Whose turn it is: so many requests at once, the others in fair queues, and no more than fit."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Full(Exception):
    """There is no room to wait either; `seconds` is when to try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Turns:
    """At most so many at once; those that wait go on in turn, one of each client.

    running, waiting: how many there are.
    """

    def __init__(self, at_once: int, may_wait: int) -> None:
        self._at_once, self._may_wait = at_once, may_wait
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self.running = 0

    @property
    def waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    def require_room(self) -> None:
        """Raises Full if there is neither a turn nor a place to wait for one."""
        if self.running >= self._at_once and self.waiting >= self._may_wait:
            raise Full(1 + self.waiting // self._at_once)

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it in the block.

        Raises:
            Full: too many wait.
        """
        await self._wait(client)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, client: str) -> None:
        if self.running < self._at_once:
            self.running += 1
            return
        self.require_room()
        mine = asyncio.get_running_loop().create_future()
        self._queues.setdefault(client, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._pass_on()  # it was given the turn just as it left
            else:
                self._leave(client, mine)
            raise

    def _leave(self, client: str, mine: asyncio.Future[None]) -> None:
        queue = self._queues.get(client, deque())
        if mine in queue:
            queue.remove(mine)
        if not queue:
            self._queues.pop(client, None)

    def _pass_on(self) -> None:
        """Give the turn to the next, or take it back."""
        while self._queues:
            client = next(iter(self._queues))
            queue = self._queues.pop(client)
            next_one = queue.popleft()
            if queue:
                self._queues[client] = queue  # behind the other clients
            if not next_one.done():
                next_one.set_result(None)
                return
        self.running -= 1
