"""Trajectories that a server decodes, side by side, interval by interval.

Stop and go: an interval is one request, its probe another one after it, so that a branch that is
pruned, or an episode that has its answer, leaves nothing running. What is cancelled on this side
(a deadline, a client that left) is cancelled on the server too.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter

from autotts import control
from autotts.inference.branch import Decoding, Probed, Probing, ServedBranch
from autotts.inference.server import Decoded, Server
from autotts.inference.signals import TOP, signals_of
from autotts.live.pool import ActionRequest, GrowingPool


@dataclass(frozen=True, slots=True)
class Reading:
    """How the answers of a question are read.

    of: the answer that the text of a branch gives; "" for none.
    probing: how a branch is asked for its answer so far; None where it is not.
    closing: the same for a branch that is still thinking.
    shown: the answer that a probe gives; "" for none.
    thinks: whether a branch begins with thinking, which `</think>` ends.
    """

    of: Callable[[str], str]
    probing: Probing | None = None
    closing: Probing | None = None
    shown: Callable[[Probed], str] = attrgetter("answer")
    thinks: bool = False


@dataclass(slots=True)
class Spent:
    """What an episode cost on the server, as the server counted.

    decoded: tokens of branches. probed: tokens that probes brought. probes: how many there were.
    prompt, cached: prompt tokens read, and of these what the server had; 0 where it doesn't say.
    """

    decoded: int = 0
    probed: int = 0
    probes: int = 0
    prompt: int = 0
    cached: int = 0


class ServedTrajectories:
    """`Trajectories` that a server decodes.

    branches: those opened, in order.
    shown: of each branch, what its latest probe said; None before there was one.
    spent: what they cost.
    prompt_tokens: of the prompt, as the server counted when the first branch began; 0 where it
        doesn't say.
    exact: whether tokens are as the server's model has them, and not made of its text.
    """

    def __init__(
        self,
        server: Server,
        opened: Callable[[int], ServedBranch],
        pool: GrowingPool,
        reading: Reading,
        how: Decoding,
    ) -> None:
        """
        Args:
            opened: the branch of a number, as it is before its first interval.
            how: its interval is the pool's, as long as a branch where the server can't go on with
                one.
        """
        self.branches: list[ServedBranch] = []
        self.shown: list[Decoded | None] = []
        self.spent = Spent()
        self.prompt_tokens = 0
        self.exact = server.can.exact
        self._server, self._opened, self._pool = server, opened, pool
        # Signals that the episode reads need log-probabilities, whoever else wants some.
        self._reading, self._how = reading, replace(how, logprobs=TOP) if pool.signals else how
        self._learning = asyncio.Lock()

    async def cover(self, request: ActionRequest) -> None:
        """See `Trajectories`.

        Raises:
            ServerError: some branch can't be gone on with; the others are stopped.
        """
        if request.kind == control.PRUNE:
            return
        while request.kind == control.BRANCH and len(self.branches) <= request.ids[-1]:
            self.branches.append(self._opened(len(self.branches)))
            self.shown.append(None)
        try:
            async with asyncio.TaskGroup() as group:
                for i, times in zip(request.ids.tolist(), request.times.tolist(), strict=True):
                    group.create_task(self._go_on(i, request.kind, times, request.probe))
        except* Exception as errors:
            raise errors.exceptions[0] from None

    async def _go_on(self, i: int, kind: int, times: int, probe: bool) -> None:
        if kind == control.PROBE:
            await self._probe(i, int(self._pool.memory.arrays["depth"][i]))
            return
        branch, left = self.branches[i], self._left()
        last = branch.intervals + times if times else self._pool.intervals
        while branch.intervals < last and not branch.ended and left > 0:
            how = self._how
            if kind == control.FINISH:  # no further than the budget goes
                how = replace(how, interval=min(how.interval, left))
            decoded = await branch.advance(self._server, how)
            left -= decoded.tokens
            self.spent.decoded += decoded.tokens
            self._count_prompt(decoded, first=branch.intervals == 1)
            self._pool.signal(i, branch.intervals, signals_of(decoded.logprobs))
            if branch.ended:
                answer = self._reading.of(branch.text)
                await self._learn(answer)
                self._pool.end(i, branch.intervals, branch.tokens, answer)
            elif probe:
                await self._probe(i, branch.intervals)

    def _left(self) -> int:
        """Tokens that the budget has left; more than any branch has where there is none."""
        memory = self._pool.memory
        spent, budget = memory["spent"], memory["budget"]
        return budget - spent if budget >= 0 else self._how.max_tokens

    async def _probe(self, i: int, depth: int) -> None:
        reading, branch = self._reading, self.branches[i]
        thinking = "</think>" not in branch.text and (reading.thinks or "<think>" in branch.text)
        probing = reading.closing if thinking else reading.probing
        if probing is None:
            return
        probed = await branch.probe(self._server, probing)
        self.shown[i] = said = probed.said
        self.spent.probes += 1
        self.spent.probed += said.tokens
        self._count_prompt(said)
        answer = reading.shown(probed)
        await self._learn(answer)
        self._pool.show(i, depth, answer)

    async def _learn(self, answer: str) -> None:
        """See to it that the pool has a code for an answer.

        Whether two formulas are one may take a second to tell, and the event loop has others to
        serve.
        """
        if self._pool.compares_texts:
            return
        async with self._learning:
            if not self._pool.knows(answer):
                await asyncio.to_thread(self._pool.code, answer)

    def _count_prompt(self, said: Decoded, *, first: bool = False) -> None:
        if first:
            self.prompt_tokens = said.prompt_tokens or self.prompt_tokens
        self.spent.prompt += said.prompt_tokens or 0
        self.spent.cached += said.cached_tokens or 0
