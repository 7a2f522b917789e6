"""One session of collecting: the units that are left, shared out among servers, journalled."""

import asyncio
import time
from collections import deque
from collections.abc import Container, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from autotts.collect.asking import prompt_of
from autotts.collect.branches import Begun, Collected, read_collected
from autotts.collect.episodes import UnitPlayer, player_on
from autotts.collect.journal import (
    AnsweredLine,
    FailedLine,
    IntervalLine,
    Journal,
    PlanLine,
    ProbeLine,
    ServerLine,
)
from autotts.collect.plan import Plan
from autotts.collect.questions import Item
from autotts.collect.units import Unit, branches_of_a_unit, units
from autotts.errors import ServerError, SpecError, StoreError
from autotts.inference.server import Context, Server
from autotts.inference.signals import TOP
from autotts.live import Suspend

MOST_FAILURES = 16
"""Units that fail one after the other until a collection gives up."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some questions of a collection, with what another journal has of them.

    lines: each branch's intervals in their order; none that the collection's journal has is
        written again.
    """

    questions: frozenset[int]
    lines: Iterable[IntervalLine]


@dataclass(slots=True)
class Watched:
    """How far a collection is, for whoever watches.

    branches, units: in all.
    before: tokens of branches and probes that an earlier session decoded.
    """

    collected: Collected
    servers: Sequence[Server]
    branches: int
    units: int
    before: int
    began: float = field(default_factory=time.monotonic)

    @property
    def tokens_per_second(self) -> float:
        """Of this session, probes included."""
        return (self.collected.recorded - self.before) / max(1e-9, time.monotonic() - self.began)

    @property
    def retried(self) -> int:
        return sum(sum(server.tally.retried.values()) for server in self.servers)

    @property
    def seconds_left(self) -> float | None:
        """By what the units cost that are done; None before any is."""
        ended = self.collected.units_done
        if not ended or not self.tokens_per_second:
            return None
        begun = sum(branch.tokens for branch in self.collected.begun.values())
        each = (self.collected.recorded - begun) / ended
        left = max(0.0, each * (self.units - ended) - begun)
        return left / self.tokens_per_second


class Collection:
    """One session of collecting: what its journal has is not asked for again."""

    def __init__(
        self,
        plan: Plan,
        items: Sequence[Item],
        journal: Journal,
        collected: Collected,
        only: Container[int] | None = None,
    ) -> None:
        """
        Args:
            only: questions to collect; all if None.
        """
        self.plan = plan
        self.items = items
        self.collected = collected
        self._journal = journal
        self._only = range(len(items)) if only is None else only
        self._waiting: deque[Unit] = deque()
        self._connected: list[Server] = []
        self.ask_again()
        self._prompts: dict[int, Context] = {}

    @property
    def left(self) -> int:
        return len(self._waiting)

    @property
    def questions_left(self) -> set[int]:
        return {unit.question for unit in self._waiting}

    def ask_again(self) -> int:
        """Let all that is not done be asked for, failed units too; how many units that is."""
        every = units(self.plan, len(self.items))
        mine = (unit for unit in every if unit.question in self._only)
        self._waiting = deque(unit for unit in mine if not self.collected.done(unit))
        self._in_a_row = 0
        return self.left

    def go_on_with(self, batch: Batch) -> None:
        """Let what some questions lack be asked for, and of other questions nothing."""
        for line in batch.lines:
            q, n, k = line.at
            there = self.collected.begun.get((q, n), Begun())
            if (q, n) not in self.collected.finished and k >= there.intervals:
                self._write(line)
        self._only = batch.questions
        self.ask_again()

    def watched(self, servers: Sequence[Server]) -> Watched:
        branches = len(self.items) * self.plan.branches
        count = branches // branches_of_a_unit(self.plan)
        return Watched(self.collected, servers, branches, count, self.collected.recorded)

    async def run(self, servers: Sequence[Server], at_once: int, suspend: Suspend) -> None:
        """Collect all that is left.

        Args:
            servers: connected; each goes on with `at_once` branches side by side, or one unit.
            suspend: the program that asks for what is collected.

        Raises:
            ServerError: too many units failed one after the other.
            SpecError: a server can't hold so long a branch.
            ControllerError: the program failed.
            StoreError: the journal can't be written.
        """
        for server in servers:
            if server in self._connected:
                continue
            self._connected.append(server)
            self._write(
                ServerLine(
                    server=server.address,
                    dialect=server.dialect,
                    model=server.model,
                    exact=server.can.exact,
                    tokens=server.tally.tokens,
                )
            )
        await self._render(servers[0])
        for server in servers:
            self._require_room(server)
            if self.plan.signals and server.can.logprobs < TOP:
                raise SpecError(
                    f"{server.address} gives {server.can.logprobs} log-probabilities a token, and"
                    f" signals are made of {TOP}; leave --signals out"
                )
            if self.plan.probe and not server.can.continues:
                raise SpecError(
                    f"{server.address} speaks chat alone, where no branch can be probed; give"
                    " --no-probes for final answers alone, or a server with /v1/completions"
                )
        players = [await player_on(self.plan, self.items, one, suspend) for one in servers]
        count = min(max(1, at_once // branches_of_a_unit(self.plan)), self.left)
        await _all([self._work(player) for player in players for _ in range(count)])
        await self._journal.sync()

    async def _render(self, server: Server) -> None:
        """The prompts of all questions that are not done, as the model reads them."""
        open_ = sorted({unit.question for unit in self._waiting})

        async def render(q: int) -> None:
            self._prompts[q] = await prompt_of(self.plan, self.items[q], server)

        await _all([render(q) for q in open_])

    def _require_room(self, server: Server) -> None:
        most = server.can.context_tokens
        if most is None or not server.can.exact or not self._prompts:
            return
        q = max(self._prompts, key=lambda q: len(self._prompts[q]))
        prompt = len(self._prompts[q])
        probe = self.plan.probe_tokens + len(self.plan.probe) if self.plan.probe else 0
        if prompt + self.plan.max_tokens + probe > most:
            raise SpecError(
                f"{server.address} holds {most:,} tokens of a branch; the prompt of question {q}"
                f" has {prompt:,}, a probe takes up to {probe:,}, and --max-tokens is"
                f" {self.plan.max_tokens:,}: {max(1, most - prompt - probe):,} would do"
            )

    async def _work(self, player: UnitPlayer) -> None:
        """Play one unit after the other."""
        while self._waiting:
            unit = self._waiting.popleft()
            prompt = self._prompts[unit.question]
            try:
                await player.play(unit, prompt, self.collected, self._write)
            except ServerError as error:
                self._fail(unit, error)

    def _write(
        self, line: IntervalLine | ProbeLine | FailedLine | ServerLine | AnsweredLine
    ) -> "asyncio.Future[None]":
        """Write a line down at once; gives what is done when it is on the disk."""
        synced = self._journal.append(line)
        self.collected.take(line)
        if isinstance(line, IntervalLine):
            self._in_a_row = 0
        return synced

    def _fail(self, unit: Unit, error: ServerError) -> None:
        begun = self.collected.begun.get(unit.place, Begun())
        at = (*unit.place, begun.intervals)
        self._write(FailedLine(failed=at, why=str(error)))
        self._in_a_row += 1
        if self._in_a_row >= MOST_FAILURES:
            raise ServerError(
                f"{self._in_a_row} {'questions' if self.plan.controller else 'branches'} failed one"
                f" after the other; the last: {error}"
            ) from error


async def _all(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do all of it at once; the first error ends the rest."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        if tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def open_collection(
    plan: Plan, items: Sequence[Item], journal: Journal, *, resume: bool
) -> "Collection":
    """Begin a collection, or go on with what its journal has.

    A journal without any branch is begun anew, for it may be of a plan that no server had room for.

    Raises:
        SpecError: there is something and it is not to be resumed, or it is of another plan.
        StoreError: the journal is damaged.
    """
    collected = read_collected(journal.path)
    nothing = not collected.recorded and not collected.answered
    if nothing and not (resume and collected.plan == plan):
        collected = Collected()
    if collected.plan is not None:
        if not resume:
            raise SpecError(
                f"{journal.path} has {len(collected.finished)} branches already: go on with"
                " --resume, or give another --out or --dataset"
            )
        if other := collected.plan.differing(plan):
            raise SpecError(
                f"{journal.path} was begun with another {' and '.join(other)}; give the same to"
                " --resume, or another --out or --dataset"
            )
        if plan.branches < collected.plan.branches:
            raise SpecError(
                f"{journal.path} is of {collected.plan.branches} branches a question; --branches"
                f" {plan.branches} would leave some out"
            )
    for q, branch in chain(collected.begun, collected.finished, collected.answered):
        if q >= len(items) or branch >= plan.branches:
            raise StoreError(
                f"{journal.path} has branch {branch} of question {q}, and there are {plan.branches}"
                f" branches of {len(items)} questions"
            )
    journal.cut(collected.size)
    if collected.plan != plan:
        journal.append_now(PlanLine(plan=plan))
        collected.plan = plan
    return Collection(plan, items, journal, collected)
