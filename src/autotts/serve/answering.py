"""One request answered: a live episode over a server's branches, its text and what it cost."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from autotts.answers import FAILED
from autotts.answers.reader import AnswerReader
from autotts.inference.branch import Decoding, Probing, ServedBranch
from autotts.inference.http import AskAgain
from autotts.inference.server import Context, Server
from autotts.inference.signals import NAMES, TOP
from autotts.live import (
    ActionRequest,
    GrowingPool,
    InThisProcess,
    Played,
    Reading,
    ServedTrajectories,
    Spent,
    Suspended,
    Trajectories,
    play,
    recording_of,
    served_under,
)
from autotts.programs import Source
from autotts.programs.needs import needs_of
from autotts.sandbox.live_run import InASealedWorker
from autotts.sandbox.worker import Zygote
from autotts.serve.body import BadRequest
from autotts.serve.choosing import Chosen, parameters_of
from autotts.serve.deployment import Deployment
from autotts.serve.formats import Format, after_thinking
from autotts.serve.tracing import LiveTrace, TraceFile
from autotts.serve.traffic import TrafficJournal
from autotts.serve.wish import Wish, require_an_opening

T = TypeVar("T")

_LOG_WORDS = 1 << 18
_AVOIDED_SECONDS = 30.0
"""How long an upstream that could not be reached is not asked while others can be."""
_LOOK_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class Progress:
    """How an episode stands after a round.

    trace: where it is asked for, what `LiveTrace` has that was not told before.
    """

    rounds: int
    branches: int
    finished: int
    tokens: int
    trace: dict[str, object] | None = None

    def record(self) -> dict[str, object]:
        """For JSON."""
        fields = asdict(self)
        trace = fields.pop("trace") or {}
        return {**fields, **trace}

    @property
    def words(self) -> str:
        return (
            f"round {self.rounds}: {self.finished} of {self.branches} branches finished,"
            f" {self.tokens:,} tokens"
        )


@dataclass(frozen=True, slots=True)
class Account:
    """What an episode was, and what it cost; `usage.autotts` of a reply.

    vote_share: of those who voted, how many voted for the answer.
    cost: in the money of the operator's prices.
    exact: whether tokens are the model's own, and not made of its text.
    """

    controller: str
    beta: float
    answer: str
    stop_reason: str
    branches: int
    finished: int
    pruned: int
    rounds: int
    sequential_tokens: int
    vote_share: float
    cost: float
    exact: bool
    spent: Spent

    def record(self) -> dict[str, object]:
        """For JSON."""
        fields = asdict(self)
        del fields["spent"]
        return {
            **fields,
            "total_tokens": self.spent.decoded + self.spent.probed,
            "probes": self.spent.probes,
            "probe_tokens": self.spent.probed,
            "cached_tokens": self.spent.cached,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The answer to a request.

    text: a branch that ended with it; without one, what shows it best.
    tokens: of the text; prompt_tokens: of the prompt.
    finish_reason: "stop", or "length" for a text that was cut.
    """

    text: str
    tokens: int
    prompt_tokens: int
    finish_reason: str
    account: Account


class _Watched:
    """Trajectories that tell how an episode stands, after each round."""

    def __init__(
        self,
        inner: Trajectories,
        branches: Sequence[ServedBranch],
        pool: GrowingPool,
        on_progress: Callable[[Progress], None],
        *,
        on_trace: Sequence[Callable[[Progress], None]] = (),
    ) -> None:
        """
        Args:
            branches: those being decoded, in order.
            on_progress: told after each round. on_trace: told what happened, and more often.
        """
        self._inner, self._pool, self._on_progress = inner, pool, on_progress
        self._told = 0
        self._on_trace = on_trace
        self._trace = LiveTrace(pool, branches) if on_trace else None

    async def cover(self, request: ActionRequest) -> None:
        if self._trace is not None:
            self._trace.read()
        if self._pool.memory["rounds"] > self._told:
            self.tell()
        if self._trace is None:
            await self._inner.cover(request)
            return
        telling = asyncio.create_task(self._tell_often())
        try:
            await self._inner.cover(request)
        finally:
            telling.cancel()

    async def _tell_often(self) -> None:
        """Tell what is being decoded, for those who look on: a round may take minutes."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.tell()

    def tell(self) -> None:
        """Tell how the episode stands."""
        memory = self._pool.memory
        rounds = memory["rounds"]
        progress = Progress(rounds, memory["n"], memory["n_finished"], memory["spent"])
        if rounds > self._told:
            self._told = rounds
            self._on_progress(progress)
        if self._trace is not None:
            traced = replace(progress, trace=self._trace.take())
            for hear in self._on_trace:
                hear(traced)


class Answering:
    """Answers requests by a deployment.

    zygote: forks the sealed workers of programs that are not ours.
    """

    def __init__(
        self,
        deployment: Deployment,
        *,
        unsafe: bool = False,
        traces: Path | None = None,
        traffic: TrafficJournal | None = None,
    ) -> None:
        """
        Args:
            unsafe: run programs of others even where no process can be sealed.
            traces: the folder that traces of episodes are kept in; None keeps none.
            traffic: where what branches answered is kept; closed with this. None keeps nothing.
        """
        self._traces, self._traffic = traces, traffic
        self.deployment = deployment
        self._unsafe = unsafe
        self._zygote: Zygote | None = None
        self._busy = dict.fromkeys(range(len(deployment.upstreams)), 0)
        self._avoided_until = dict.fromkeys(self._busy, 0.0)

    def close(self) -> None:
        if self._traffic is not None:
            self._traffic.close()
            self._traffic = None
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None

    def least_busy(self, but: Collection[int] = ()) -> int:
        """The number of the upstream that answers the fewest requests.

        One that could not be reached is left alone for a while, as long as there are others.
        """
        now = time.monotonic()
        able = self._busy.keys() - but
        return min(able, key=lambda k: (self._avoided_until[k] > now, self._busy[k], k))

    async def by_some_upstream(self, ask: Callable[[int], Awaitable[T]]) -> T:
        """What an upstream gives; another one is asked where one can't be reached, or breaks.

        Raises:
            ServerError: none gives it.
        """
        failed: set[int] = set()
        while True:
            upstream = self.least_busy(failed)
            self._busy[upstream] += 1
            try:
                return await ask(upstream)
            except AskAgain:
                failed.add(upstream)
                self._avoided_until[upstream] = time.monotonic() + _AVOIDED_SECONDS
                if len(failed) == len(self._busy):
                    raise
            finally:
                self._busy[upstream] -= 1

    async def answer(
        self,
        upstream: int,
        prompt: Context,
        wish: Wish,
        on_progress: Callable[[Progress], None],
    ) -> Answer:
        """Play the episode of a request.

        A prompt's branches stay with one upstream, which has computed their beginnings.

        Raises:
            BadRequest: the budget doesn't pay for one interval.
            ServerError: the upstream can't go on.
            ControllerError: the program failed.
        """
        server = self.deployment.upstreams[upstream]
        reading = await self._reading(server, wish.answers, prompt)
        pool = self._pool(wish, server, reading)
        how = Decoding(pool.interval, pool.interval * pool.intervals, wish.sampling)
        cost = wish.cost_limit(self.deployment.prices)
        trajectories = ServedTrajectories(
            server, lambda i: ServedBranch(prompt, (wish.seed, i)), pool, reading, how,
            cost=cost,
        )  # fmt: skip
        if cost is not None:
            require_an_opening(trajectories, cost, prompt)
        program = self._program(wish.choice, pool)
        deadline = None
        if wish.seconds is not None:
            deadline = asyncio.get_running_loop().time() + wish.seconds
        with self._kept(wish) as file:
            hearers = [on_progress] if wish.traced else []
            if file is not None:
                hearers.append(lambda progress: file.add(progress.record()))
            watched = _Watched(
                self._seen(trajectories),
                trajectories.branches,
                pool,
                _unheard if wish.traced else on_progress,
                on_trace=hearers,
            )
            try:
                played = await play(program, pool, watched, deadline=deadline)
            except BaseException as error:
                if file is not None:
                    file.add({"end": _ended_early(pool, error)})
                raise
            if hearers:
                watched.tell()
            answer = _answer_of(played, pool, trajectories, reading, self.deployment, wish)
            if file is not None:
                file.add({"end": answer.account.record()})
        if self._traffic is not None:
            under = served_under(wish.choice.spec.text, wish.choice.beta, played.stop)
            await self._traffic.add(
                recording_of(pool, wish.question, FAILED, name=wish.id, groups=under), prompt,
                model=self.deployment.name, interval=pool.interval,
                max_branches=self.deployment.limits.branches,
            )  # fmt: skip
        return answer

    @contextlib.contextmanager
    def _kept(self, wish: Wish) -> Iterator[TraceFile | None]:
        """The file that an episode's trace is kept in; None where none is kept."""
        if self._traces is None:
            yield None
            return
        file = TraceFile(self._traces, controller=wish.choice.controller, beta=wish.choice.beta)
        with contextlib.closing(file):
            yield file

    def _seen(self, trajectories: Trajectories) -> Trajectories:
        """Trajectories for whoever wants to see what is asked of them."""
        return trajectories

    async def _reading(
        self, server: Server, answers: Format | AnswerReader, prompt: Context
    ) -> Reading:
        opening = answers.opening if self.deployment.probes and server.can.continues else ""
        if not opening:
            return Reading(of=answers.read)

        async def probing(text: str) -> Probing:
            return Probing(await server.encode(text), text)

        return Reading(
            of=answers.read,
            probing=await probing(opening),
            closing=await probing("\n</think>" + opening),
            shown=lambda probed: answers.shown(probed.said.text),
            thinks=isinstance(prompt, str) and prompt.rstrip().endswith("<think>"),
        )

    def _pool(self, wish: Wish, server: Server, reading: Reading) -> GrowingPool:
        interval = min(self.deployment.interval, wish.branch_tokens)
        if not server.can.continues:
            interval = wish.branch_tokens  # a branch comes in one piece
        probe_tokens = reading.probing.max_tokens if reading.probing else 0
        budget = wish.total_tokens
        if budget is not None and budget < interval + probe_tokens:
            raise BadRequest(
                f"a budget of {budget} tokens doesn't pay for one interval of {interval} with its"
                f" probe of {probe_tokens}", "max_total_tokens",
            )  # fmt: skip
        return GrowingPool(
            branches=self.deployment.limits.branches,
            # Whole ones: a branch has at most as many tokens as the request allows.
            intervals=max(1, wish.branch_tokens // interval),
            interval=interval,
            budget=budget,
            # A budget must hold whatever a probe brings; without one, tokens are as replay counts.
            probe_tokens=0 if budget is None else probe_tokens,
            probed=reading.probing is not None,
            signals=signals_read(wish.choice.spec.source, server),
            log_words=_LOG_WORDS,
            same=wish.answers.same,
        )

    def _program(self, choice: Chosen, pool: GrowingPool) -> Suspended:
        source = choice.spec.source
        if source.trusted:
            from autotts.programs.loading import load_trusted

            return InThisProcess(load_trusted(source), parameters_of(choice), pool)
        if self._zygote is None or not self._zygote.alive:
            self._zygote = Zygote()
        return InASealedWorker(
            self._zygote, source, pool, beta=choice.beta, named=choice.spec.named,
            unsafe=self._unsafe,
        )  # fmt: skip


def signals_read(source: Source, server: Server) -> list[str]:
    """The signals that a program reads, as far as a server gives what they are made of."""
    read = needs_of(source).signals
    return [name for name in NAMES if name in read and server.can.logprobs >= TOP]


def _unheard(progress: Progress) -> None:
    """Where nobody listens."""


def _ended_early(pool: GrowingPool, error: BaseException) -> dict[str, object]:
    """The end of a trace that no answer ends, as `Account.record` would have it."""
    left = isinstance(error, asyncio.CancelledError)
    return {
        "answer": "",
        "stop_reason": "its client left" if left else "it failed",
        "sequential_tokens": pool.memory["sequential"],
    }


def _answer_of(
    played: Played,
    pool: GrowingPool,
    trajectories: ServedTrajectories,
    reading: Reading,
    deployment: Deployment,
    wish: Wish,
) -> Answer:
    code = played["code"]
    answer = pool.answers[code] if code > 0 else ""
    index, shows = _branch_that_shows(pool, trajectories, answer)
    stop = str(played.stop) if answer else f"{played.stop}, and no branch gave an answer"
    if index is None:
        raise wish.without_a_branch()
    branch, text, tokens = trajectories.branches[index], trajectories.branches[index].text, 0
    said = trajectories.shown[index]
    if shows and said is not None:
        text, tokens = text + wish.answers.opening + said.text, said.tokens
    spent = trajectories.spent
    memory = pool.memory
    state = memory.arrays
    n = memory["n"]
    account = Account(
        controller=wish.choice.controller,
        beta=wish.choice.beta,
        answer=answer,
        stop_reason=stop,
        branches=n,
        finished=memory["n_finished"],
        pruned=int(state["pruned"][:n].sum()),
        rounds=memory["rounds"],
        sequential_tokens=memory["sequential"],
        vote_share=_share(pool, answer),
        cost=deployment.prices.of(spent.prompt, spent.cached, spent.decoded + spent.probed),
        exact=trajectories.exact,
        spent=spent,
    )
    return Answer(
        text=text,
        tokens=branch.tokens + tokens,
        prompt_tokens=trajectories.prompt_tokens,
        finish_reason="stop" if branch.ended and not branch.cut else "length",
        account=account,
    )


def _branch_that_shows(
    pool: GrowingPool, trajectories: ServedTrajectories, answer: str
) -> tuple[int | None, bool]:
    """The branch whose text is returned, and whether only its latest probe has the answer.

    One that ended with the answer, the first that did; else one that shows it; else the longest
    that finished; else the longest.
    """
    state, n = pool.memory.arrays, min(pool.memory["n"], len(trajectories.branches))
    finished = state["finish_order"][: pool.memory["n_finished"]].tolist()
    voted = [pool.answers[code] for code in state["code_of"][: pool.memory["n_answers"]].tolist()]
    shown = [voted[a] if a >= 0 else "" for a in state["answer"][:n].tolist()]
    for i in finished:
        if answer and shown[i] == answer:
            return i, False
    for i in range(n):
        if answer and shown[i] == answer:
            return i, True
    by_length = sorted(
        range(len(trajectories.branches)), key=lambda i: -trajectories.branches[i].tokens
    )
    for i in by_length:
        if i in finished:
            return i, False
    return (by_length[0], False) if by_length else (None, False)


def _share(pool: GrowingPool, answer: str) -> float:
    """Of the branches that vote, finished ones or else all, how many vote for the answer."""
    memory, state = pool.memory, pool.memory.arrays
    n = memory["n_finished"]
    voters = state["finish_order"][:n] if n else np.arange(memory["n"])
    votes = [a for a in state["answer"][voters].tolist() if a >= 0]
    codes = [int(state["code_of"][a]) for a in votes]
    return sum(pool.answers[code] == answer for code in codes) / len(codes) if codes else 0.0


def apart(whole: str) -> tuple[str, str]:
    """What a model thought, and what it said then."""
    text = after_thinking(whole)
    thinking = whole[: len(whole) - len(text)]
    return thinking.removesuffix("</think>").removeprefix("<think>").strip("\n"), text.lstrip("\n")
