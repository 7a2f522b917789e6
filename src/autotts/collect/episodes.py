"""Episodes whose branches are journalled: what is collected is what a program asks for.

    program ── request ──> live.ServedTrajectories ── advance, probe ──> JournalledBranch
                                                                         in the journal already?
                                                                         else decoded, then written

So an episode that was interrupted is played again from its beginning: what the journal has costs
nothing, and the program goes on where it was.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from math import ceil

from autotts.answers import FAILED
from autotts.collect.asking import reading_of
from autotts.collect.branches import Begun, Collected, decoding_of
from autotts.collect.journal import (
    AnsweredLine,
    IntervalLine,
    ProbeLine,
    pack_confidences,
    pack_ids,
    unpack_confidences,
)
from autotts.collect.plan import Plan
from autotts.collect.questions import Item
from autotts.collect.units import Place, Unit
from autotts.inference.branch import Decoding, Probed, Probing, ServedBranch
from autotts.inference.server import Context, Decoded, Server
from autotts.inference.signals import confidences_of, remembered
from autotts.live import GrowingPool, Reading, ServedTrajectories, Suspend, play

_LOG_WORDS = 1 << 18

Write = Callable[[IntervalLine | ProbeLine | AnsweredLine], Awaitable[None]]
"""Writes a line down at once; gives what is done when it is on the disk."""


class JournalledBranch(ServedBranch):
    """A branch whose intervals and probes are written down before anything follows.

    What was written before is taken from there, and not asked for again.
    """

    def __init__(
        self, prompt: Context, seeds: tuple[object, ...], place: Place, before: Begun, write: Write
    ) -> None:
        super().__init__(prompt, seeds)
        self._place, self._write = place, write
        self._before: Awaitable[None] | None = None
        self._journalled, self._probes = deque(before.lines), dict(before.probes)

    async def advance(self, server: Server, how: Decoding, intervals: int = 1) -> Decoded:
        """See `ServedBranch`.

        Raises:
            StoreError: the journal can't be written.
        """
        k = self.intervals
        if self._journalled:
            line = self._journalled.popleft()
            decoded = line.decoded()
            self.take(decoded, how)
            self.signals = line.signals
            self.remember(unpack_confidences(line.confidences, line.tokens), how)
            return decoded
        decoded = await super().advance(server, how, intervals)
        await self._keep(
            IntervalLine(
                at=(*self._place, k),
                intervals=self.intervals - k,
                tokens=decoded.tokens,
                text=decoded.text,
                ids=pack_ids(decoded.content),
                ended=self.ended and not self.cut,
                cut=self.cut,
                prompt_tokens=decoded.prompt_tokens,
                cached_tokens=decoded.cached_tokens,
                signals=self.signals,
                confidences=pack_confidences(remembered(confidences_of(decoded.logprobs))),
            )
        )
        return decoded

    async def probe(self, server: Server, how: Probing) -> Probed:
        """As `advance`."""
        k = self.intervals - 1
        if k in self._probes:
            return self._probes[k].probed_then()
        probed = await super().probe(server, how)
        await self._keep(
            ProbeLine(
                probed=(*self._place, k),
                answer=probed.answer,
                tokens=probed.said.tokens,
                prompt_tokens=probed.said.prompt_tokens,
                cached_tokens=probed.said.cached_tokens,
                logprob=probed.logprob,
            )
        )
        return probed

    async def _keep(self, line: IntervalLine | ProbeLine) -> None:
        """Write a line down, one ahead of what is on the disk at most: a disk takes longer to say
        that it has a line than a server for a short interval."""
        if self._before is not None:
            await self._before
        self._before = self._write(line)


class UnitPlayer:
    """Plays units of a plan on one server.

    server: connected.
    """

    def __init__(
        self, plan: Plan, items: Sequence[Item], server: Server, reading: Reading, suspend: Suspend
    ) -> None:
        self.server = server
        self._plan, self._items = plan, items
        self._reading, self._suspend = reading, suspend
        # By chat a branch comes in one piece.
        how = decoding_of(plan)
        self._how = how if server.can.continues else how.whole()

    async def play(self, unit: Unit, prompt: Context, collected: Collected, write: Write) -> None:
        """Play a unit to its answer.

        Args:
            collected: what the journal has.

        Raises:
            ServerError: something that the program asked for can't be had.
            StoreError: the journal can't be written.
            Whatever the program raises.
        """
        plan, how = self._plan, self._how
        pool = GrowingPool(
            branches=unit.branches,
            intervals=ceil(plan.max_tokens / how.interval),
            interval=how.interval,
            failed=FAILED,
            probed=self._reading.probing is not None,
            log_words=_LOG_WORDS,
        )

        def opened(i: int) -> ServedBranch:
            place = unit.question, unit.first + i
            seeds = plan.seed, self._items[unit.question].id, place[1]
            before = collected.begun.get(place, Begun())
            return JournalledBranch(prompt, seeds, place, before, write)

        # A text can't be told apart by tokens.
        ahead = plan.intervals_a_request if self.server.can.exact else 1
        trajectories = ServedTrajectories(
            self.server, opened, pool, self._reading, how, ahead=ahead
        )
        played = await play(self._suspend(pool), pool, trajectories)
        if plan.controller:
            answer = pool.answers[played["code"]] if played["code"] >= 0 else FAILED
            write(AnsweredLine(answered=unit.place, answer=answer, tokens=played["tokens"]))


async def player_on(
    plan: Plan, items: Sequence[Item], server: Server, suspend: Suspend
) -> UnitPlayer:
    """What plays a plan's units on a server."""
    return UnitPlayer(plan, items, server, await reading_of(plan, server), suspend)
