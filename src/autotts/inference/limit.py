"""How many requests a server is sent at once: fewer when it says that it is busy."""

import asyncio
from collections import deque


class Limit:
    """Lets so many in at once; halves when the server is busy, and grows again by one a round.

    Whoever waits is let in in the order of coming.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = float(most)
        self.inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._round = 0

    async def __aenter__(self) -> int:
        """Gives the number of this round, for `busy`."""
        if self.inside >= int(self.now) or self._waiting:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave()  # it had been let in already
                else:
                    self._waiting.remove(turn)
                raise
        else:
            self.inside += 1
        return self._round

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def busy(self, round_: int) -> None:
        """The server refused a request. Those sent before the last cut say nothing new."""
        if round_ == self._round:
            self.now = max(1.0, self.now / 2)
            self._round += 1

    def well(self) -> None:
        """The server answered a request."""
        self.now = min(float(self.most), self.now + 1 / self.now)
        self._admit()

    def _leave(self) -> None:
        self.inside -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.inside < int(self.now):
            turn = self._waiting.popleft()
            if not turn.done():
                self.inside += 1
                turn.set_result(None)
