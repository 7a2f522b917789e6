"""Collect: all branches to their ends, probed at every interval, recorded as they go."""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from autotts.collect.branches import (
    Begun,
    Collected,
    Place,
    decoding_of,
    places,
    read_collected,
)
from autotts.collect.journal import (
    FailedLine,
    IntervalLine,
    Journal,
    PlanLine,
    ProbeLine,
    ServerLine,
    pack_ids,
)
from autotts.collect.plan import Plan
from autotts.collect.questions import Item
from autotts.errors import ServerError, SpecError
from autotts.inference.branch import Probing, seed_of
from autotts.inference.server import Context, Server
from autotts.inference.signals import TOP, signals_of

MOST_FAILURES = 16
"""Branches that fail one after the other until a collection gives up."""


@dataclass(slots=True)
class Watched:
    """How far a collection is, for whoever watches.

    branches: in all.
    before: tokens that an earlier session decoded.
    """

    collected: Collected
    servers: Sequence[Server]
    branches: int
    before: int
    began: float = field(default_factory=time.monotonic)

    @property
    def tokens_per_second(self) -> float:
        """Of this session, probes included."""
        return (self.collected.decoded - self.before) / max(1e-9, time.monotonic() - self.began)

    @property
    def retried(self) -> int:
        return sum(sum(server.tally.retried.values()) for server in self.servers)

    @property
    def seconds_left(self) -> float | None:
        """By the lengths of the branches that ended; None before any did."""
        ended = len(self.collected.finished)
        if not ended or not self.tokens_per_second:
            return None
        spent = self.collected.interval_tokens + self.collected.probe_tokens
        begun = sum(branch.tokens for branch in self.collected.begun.values())
        each = (spent - begun) / ended
        left = max(0.0, each * (self.branches - ended) - begun)
        return left / self.tokens_per_second


class Collection:
    """One session of collecting: what its journal has is not asked for again."""

    def __init__(
        self, plan: Plan, items: Sequence[Item], journal: Journal, collected: Collected
    ) -> None:
        self.plan = plan
        self.items = items
        self.collected = collected
        self._journal = journal
        self._how = decoding_of(plan)
        self._waiting = deque(
            place for place in places(plan, len(items)) if place not in collected.finished
        )
        self._prompts: dict[int, Context] = {}
        self._in_a_row = 0

    @property
    def left(self) -> int:
        return len(self._waiting)

    def watched(self, servers: Sequence[Server]) -> Watched:
        branches = len(self.items) * self.plan.branches
        return Watched(self.collected, servers, branches, self.collected.decoded)

    async def run(self, servers: Sequence[Server], at_once: int) -> None:
        """Collect all that is left.

        Args:
            servers: connected; each goes on with `at_once` branches side by side.

        Raises:
            ServerError: too many branches failed one after the other.
            SpecError: a server can't hold so long a branch.
            StoreError: the journal can't be written.
        """
        for server in servers:
            await self._write(
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
        probings = [await self._probing(server) for server in servers]
        count = min(at_once, self.left)
        await _all(
            [
                self._work(server, probing)
                for server, probing in zip(servers, probings, strict=True)
                for _ in range(count)
            ]
        )

    async def _render(self, server: Server) -> None:
        """The prompts of all questions that are not done, as the model reads them."""
        open_ = sorted({q for q, _ in self._waiting})

        async def render(q: int) -> None:
            text = self.items[q].prompt(self.plan.prompt)
            if self.plan.chat:
                prompt = await server.render([("user", text)], self.plan.template)
            else:
                prompt = await server.encode(text, special=True)
            self._prompts[q] = prompt

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

    async def _probing(self, server: Server) -> Probing | None:
        plan = self.plan
        if not plan.probe:
            return None
        suffix = await server.encode(plan.probe)
        return Probing(suffix, plan.probe, plan.probe_tokens, plan.probe_stop)

    async def _work(self, server: Server, probing: Probing | None) -> None:
        """Take one branch after the other to its end."""
        while self._waiting:
            place = self._waiting.popleft()
            try:
                await self._branch(server, probing, place)
            except ServerError as error:
                await self._fail(place, error)

    async def _branch(self, server: Server, probing: Probing | None, place: Place) -> None:
        q, n = place
        # By chat a branch comes in one piece.
        how = self._how if server.can.continues else self._how.whole()
        begun = self.collected.begun.get(place, Begun())
        branch = begun.served(self._prompts[q], how)
        while not branch.ended:
            k = branch.intervals
            if probing and k > len(begun.probes):
                probed = await branch.probe(server, probing)
                await self._write(
                    ProbeLine(
                        probed=(q, n, k - 1),
                        answer=probed.answer,
                        tokens=probed.said.tokens,
                        prompt_tokens=probed.said.prompt_tokens,
                        cached_tokens=probed.said.cached_tokens,
                    )
                )
            seed = seed_of(self.plan.seed, self.items[q].id, n, k)
            decoded = await branch.advance(server, how, seed)
            await self._write(
                IntervalLine(
                    at=(q, n, k),
                    tokens=decoded.tokens,
                    text=decoded.text,
                    ids=pack_ids(decoded.content),
                    ended=branch.ended and not branch.cut,
                    cut=branch.cut,
                    prompt_tokens=decoded.prompt_tokens,
                    cached_tokens=decoded.cached_tokens,
                    signals=signals_of(decoded.logprobs),
                )
            )
            begun = self.collected.begun.get(place, begun)
            self._in_a_row = 0

    async def _write(self, line: IntervalLine | ProbeLine | FailedLine | ServerLine) -> None:
        await self._journal.append(line)
        self.collected.take(line)

    async def _fail(self, place: Place, error: ServerError) -> None:
        begun = self.collected.begun.get(place, Begun())
        at = (*place, len(begun.intervals))
        await self._write(FailedLine(failed=at, why=str(error)))
        self._in_a_row += 1
        if self._in_a_row >= MOST_FAILURES:
            raise ServerError(
                f"{self._in_a_row} branches failed one after the other; the last: {error}"
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

    Raises:
        SpecError: there is something and it is not to be resumed, or it is of another plan.
        StoreError: the journal is damaged.
    """
    collected = read_collected(journal.path)
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
    journal.cut(collected.size)
    if collected.plan != plan:
        journal.append_now(PlanLine(plan=plan))
        collected.plan = plan
    return Collection(plan, items, journal, collected)
