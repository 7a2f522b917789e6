"""Trajectories that a server decodes, side by side, interval by interval.

Stop and go: an interval is one request, its probe another one after it, so that a branch that is
pruned, or an episode that has its answer, leaves nothing running. What is cancelled on this side
(a deadline, a client that left) is cancelled on the server too.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from autotts import control
from autotts.inference.server import Context, Sampling, Server, joined
from autotts.live.pool import ActionRequest, GrowingPool

_SEEDS = 1 << 31


@dataclass(frozen=True, slots=True)
class Reading:
    """How the answers of a question are read.

    of: the answer that the text of a branch gives; "" for none.
    suffix: what a branch is made to go on with where it is probed; None for no probes.
    closing: the same for a branch that is still thinking.
    thinks: whether a branch begins with thinking, which `</think>` ends.
    shown: the answer that the text after the suffix gives.
    probe_tokens: most tokens of a probe.
    probe_stop: texts that end a probe.
    """

    of: Callable[[str], str]
    suffix: "Context | None" = None
    closing: "Context | None" = None
    thinks: bool = False
    shown: Callable[[str], str] = str.strip
    probe_tokens: int = 24
    probe_stop: tuple[str, ...] = ()


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


@dataclass(slots=True)
class Trajectory:
    """One branch, as far as it is decoded.

    context: what the model has before it, the prompt first.
    pieces: the text by interval.
    cut: whether it was ended by the length that a branch may have, or that the server has.
    shown: the text of its latest probe, of `shown_tokens`.
    """

    context: Context
    pieces: list[str] = field(default_factory=list)
    tokens: int = 0
    depth: int = 0
    ended: bool = False
    cut: bool = False
    shown: str = ""
    shown_tokens: int = 0

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class ServedTrajectories:
    """`Trajectories` that a server decodes.

    branches: those opened, in order.
    spent: what they cost.
    prompt_tokens: of the prompt, as the server counted when the first branch began; 0 where it
        doesn't say.
    exact: whether tokens are as the server's model has them, and not made of its text.
    """

    def __init__(
        self,
        server: Server,
        prompt: Context,
        pool: GrowingPool,
        reading: Reading,
        *,
        sampling: Sampling,
        seed: int,
    ) -> None:
        """
        Args:
            prompt: what every branch begins with.
            seed: of the first interval of the first branch; each has its own.
        """
        self.branches: list[Trajectory] = []
        self.spent = Spent()
        self.prompt_tokens = 0
        self.exact = server.can.exact
        self._server, self._prompt, self._pool = server, prompt, pool
        self._reading, self._sampling, self._seed = reading, sampling, seed
        self._learning = asyncio.Lock()

    async def cover(self, request: ActionRequest) -> None:
        """See `Trajectories`.

        Raises:
            ServerError: some branch can't be gone on with; the others are stopped.
        """
        if request.kind == control.PRUNE:
            return
        while request.kind == control.BRANCH and len(self.branches) <= request.ids[-1]:
            self.branches.append(Trajectory(self._prompt))
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
        last = branch.depth + times if times else self._pool.intervals
        while branch.depth < last and not branch.ended and left > 0:
            before = branch.tokens
            await self._decode_interval(i, left if kind == control.FINISH else None)
            left -= branch.tokens - before
            if probe and not branch.ended:
                await self._probe(i, branch.depth)

    def _left(self) -> int:
        """Tokens that the budget has left; more than any branch has where there is none."""
        memory = self._pool.memory
        spent, budget = memory["spent"], memory["budget"]
        return budget - spent if budget >= 0 else self._pool.intervals * self._pool.interval

    async def _decode_interval(self, i: int, most: int | None) -> None:
        """Decode the next interval of a branch, or what is left of it.

        Args:
            most: tokens to stop at, for a branch that is only decoded as far as a budget goes.
        """
        branch, interval = self.branches[i], self._pool.interval
        due = interval if most is None else min(interval, most)
        pieces: list[str] = []
        tokens = 0
        while tokens < due and not branch.ended:
            decoded = await self._server.decode(
                branch.context,
                max_tokens=due - tokens,
                sampling=self._sampling,
                seed=self._seed_of(i, branch.depth, len(pieces)),
            )
            if branch.context is self._prompt:
                self.prompt_tokens = decoded.prompt_tokens or self.prompt_tokens
            branch.context = joined(branch.context, decoded.content)
            pieces.append(decoded.text)
            tokens += decoded.tokens
            branch.cut = decoded.cut
            branch.ended = decoded.ended or decoded.cut or not decoded.tokens
            self.spent.decoded += decoded.tokens
            self._count_prompt(decoded.prompt_tokens, decoded.cached_tokens)
        branch.pieces.append("".join(pieces))
        branch.tokens += tokens
        branch.depth += 1
        if not branch.ended and branch.depth == self._pool.intervals:
            branch.ended = branch.cut = True
        if branch.ended:
            answer = self._reading.of(branch.text)
            await self._learn(answer)
            self._pool.end(i, branch.depth, branch.tokens, answer)

    async def _learn(self, answer: str) -> None:
        """See to it that the pool has a code for an answer.

        Whether two formulas are one may take a second to tell, and the event loop has others to
        serve.
        """
        async with self._learning:
            if not self._pool.knows(answer):
                await asyncio.to_thread(self._pool.code, answer)

    async def _probe(self, i: int, depth: int) -> None:
        reading, branch = self._reading, self.branches[i]
        thinking = "</think>" not in branch.text and (reading.thinks or "<think>" in branch.text)
        suffix = reading.closing if thinking else reading.suffix
        if suffix is None:
            return
        shown = await self._server.probe(
            branch.context, suffix, max_tokens=reading.probe_tokens, stop=reading.probe_stop
        )
        branch.shown, branch.shown_tokens = shown.text, shown.tokens
        self.spent.probes += 1
        self.spent.probed += shown.tokens
        self._count_prompt(shown.prompt_tokens, shown.cached_tokens)
        answer = reading.shown(shown.text)
        await self._learn(answer)
        self._pool.show(i, depth, answer)

    def _count_prompt(self, prompt: int | None, cached: int | None) -> None:
        self.spent.prompt += prompt or 0
        self.spent.cached += cached or 0

    def _seed_of(self, i: int, depth: int, piece: int) -> int:
        """Another one for every request, the same for the same request of the same episode."""
        return (self._seed + 1_000_003 * i + 8_191 * depth + piece) % _SEEDS
