"""Trajectories that a server decodes, side by side, interval by interval.

Stop and go: an interval is one request, its probe another one after it, so that a branch that is
pruned, or an episode that has its answer, leaves nothing running. What is cancelled on this side
(a deadline, a client that left) is cancelled on the server too.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from autotts import control
from autotts.inference.branch import Decoding, Probed, Probing, ServedBranch
from autotts.inference.server import END_OF_THINKING, Decoded, Server
from autotts.inference.signals import ANSWER_LOGPROB, TOP
from autotts.live.budget import CostLimit, InOrder, most_tokens
from autotts.live.pool import MOST_TOKENS, ActionRequest, GrowingPool


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
    opening_cost: where cost is limited, most that a branch costs up to its first probe.
    """

    def __init__(
        self,
        server: Server,
        opened: Callable[[int], ServedBranch],
        pool: GrowingPool,
        reading: Reading,
        how: Decoding,
        *,
        cost: CostLimit | None = None,
        ahead: int = 1,
    ) -> None:
        """
        Args:
            opened: the branch of a number, as it is before its first interval.
            how: its interval is the pool's, as long as a branch where the server can't go on with
                one.
            cost: what the episode may cost, reading included.
            ahead: intervals that an advance decodes in one request. More than one goes further
                than the program asks, so it is for programs that go on to the end, without probes,
                signals and budgets.
        """
        self.branches: list[ServedBranch] = []
        self.shown: list[Decoded | None] = []
        self.spent = Spent()
        self.prompt_tokens = 0
        self.exact = server.can.exact
        self._server, self._opened, self._pool = server, opened, pool
        # Signals that the episode reads need log-probabilities, whoever else wants some.
        self._reading, self._how = reading, replace(how, logprobs=TOP) if pool.signals else how
        self._ahead = ahead
        self._learning = asyncio.Lock()
        self._probed = reading.closing or reading.probing  # the longer one
        self._cost, self._paid = cost, 0.0
        self.opening_cost = 0.0
        if cost is not None:
            self.opening_cost = cost.going_on(opened(0), how, how.interval, self._probed)
            pool.limit(self._openings())

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
        if not self._pays_for(request):
            del self.branches[self._pool.memory["n"] :], self.shown[self._pool.memory["n"] :]
            self._pool.limit(0)  # control refuses it now
            return
        before = self.spent.decoded
        try:
            async with asyncio.TaskGroup() as group:
                if request.kind == control.FINISH:
                    self._finish(request.ids.tolist(), group)
                else:
                    self._go_on(request, group)
        except* Exception as errors:
            raise errors.exceptions[0] from None
        if self._cost is not None:
            self._tell_control(request, self.spent.decoded - before)

    def _go_on(self, request: ActionRequest, group: asyncio.TaskGroup) -> None:
        for i, times in zip(request.ids.tolist(), request.times.tolist(), strict=True):
            if request.kind == control.PROBE:
                depth = int(self._pool.memory.arrays["depth"][i])
                group.create_task(self._probe(i, depth))
            else:
                group.create_task(self._advance(i, times, probe=request.probe))

    async def _advance(self, i: int, times: int, *, probe: bool) -> None:
        branch = self.branches[i]
        last = branch.intervals + times
        while branch.intervals < last and not branch.ended:
            await self._decode(i, self._how, self._ahead)
            if probe and not branch.ended:
                await self._probe(i, branch.intervals)

    async def _decode(self, i: int, how: Decoding, intervals: int = 1) -> Decoded:
        """One more interval of a branch, or several, and its answer if it ended."""
        branch = self.branches[i]
        begins = branch.intervals == 0
        decoded = await branch.advance(self._server, how, intervals)
        self.spent.decoded += decoded.tokens
        self._count(decoded, first=begins)
        self._pool.signal(i, branch.intervals, branch.signals)
        if branch.ended:
            answer = self._reading.of(branch.text)
            await self._learn(answer)
            self._pool.end(i, branch.intervals, branch.tokens, answer)
        return decoded

    def _finish(self, ids: Sequence[int], group: asyncio.TaskGroup) -> None:
        """Decode branches to their ends, and no further than control charges for."""
        pool, how, cost = self._pool, self._how, self._cost
        branches = [self.branches[i] for i in ids]
        tokens = money = None
        if pool.budget is not None:
            rest = [how.max_tokens - branch.tokens for branch in branches]
            tokens = InOrder(pool.budget - pool.memory["spent"], rest)
        if cost is not None:
            rests = [cost.going_on(branch, how, how.max_tokens) for branch in branches]
            money = InOrder(cost.most - self._paid, rests)
        for k, i in enumerate(ids):
            group.create_task(self._finish_one(i, k, tokens, money))

    async def _finish_one(
        self, i: int, k: int, tokens: InOrder | None, money: InOrder | None
    ) -> None:
        branch, cost = self.branches[i], self._cost
        while branch.intervals < self._pool.intervals and not branch.ended:
            most = min(self._how.interval, self._how.max_tokens - branch.tokens)
            if tokens is not None:
                most = int(await tokens.room(k, most))
            if money is not None and cost is not None:
                reading = cost.reading(most_tokens(branch.context))
                room = await money.room(k, reading + cost.prices.of(0, 0, most))
                most = cost.most_decoded(room - reading, most)
            if most < 1:
                break
            decoded = await self._decode(i, replace(self._how, interval=most))
            if tokens is not None:
                tokens.take(k, decoded.tokens)
            if money is not None and cost is not None:
                money.take(k, cost.of(decoded))
        for budget in (tokens, money):
            if budget is not None:
                budget.settle(k)

    def _pays_for(self, request: ActionRequest) -> bool:
        """Whether the money that is left pays for a request, whatever comes of it."""
        cost, worst = self._cost, 0.0
        if cost is None or request.kind == control.FINISH:
            return True  # what is finished is settled branch by branch
        for i, times in zip(request.ids.tolist(), request.times.tolist(), strict=True):
            branch = self.branches[i]
            if request.kind != control.PROBE:
                probed = self._probed if request.probe else None
                worst += cost.going_on(branch, self._how, times * self._how.interval, probed)
            elif self._probed is not None:
                worst += cost.probe(branch, self._probed)
        return self._paid + worst <= cost.most

    def _tell_control(self, request: ActionRequest, decoded: int) -> None:
        """Let control admit what it will charge for a request, and what money then pays for."""
        memory = self._pool.memory
        if request.kind == control.FINISH:
            cut = not all(self.branches[i].ended for i in request.ids)
            self._pool.limit(decoded if cut else decoded + self._openings())
            return
        probes = len(request.ids) if request.kind == control.PROBE else 0
        intervals = int(request.times.sum())
        probes += intervals * request.probe
        charged = intervals * self._pool.interval + probes * memory["probe_tokens"]
        self._pool.limit(charged + self._openings())

    def _openings(self) -> int:
        """Tokens of the branches that the money which is left would open; programs plan by it."""
        assert self._cost is not None
        unit = self._pool.interval + self._pool.memory["probe_tokens"]
        if not self.opening_cost:  # an empty prompt, where only reading has a price
            return MOST_TOKENS
        left = self._cost.most - self._paid
        return int(min(left / self.opening_cost, MOST_TOKENS)) * unit

    async def _probe(self, i: int, depth: int) -> None:
        reading, branch = self._reading, self.branches[i]
        closed = END_OF_THINKING in branch.text
        thinking = not closed and (reading.thinks or "<think>" in branch.text)
        probing = reading.closing if thinking else reading.probing
        if probing is None:
            return
        if ANSWER_LOGPROB in self._pool.signals:
            probing = replace(probing, logprobs=max(1, probing.logprobs))
        probed = await branch.probe(self._server, probing)
        self.shown[i] = said = probed.said
        self.spent.probes += 1
        self.spent.probed += said.tokens
        self._count(said)
        answer = reading.shown(probed)
        await self._learn(answer)
        self._pool.show(i, depth, answer)
        self._pool.signal(i, depth, probed.signals)

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

    def _count(self, said: Decoded, *, first: bool = False) -> None:
        if first:
            self.prompt_tokens = said.prompt_tokens or self.prompt_tokens
        if self._cost is not None:
            self._paid += self._cost.of(said)
        self.spent.prompt += said.prompt_tokens or 0
        self.spent.cached += said.cached_tokens or 0
