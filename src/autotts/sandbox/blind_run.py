"""The trusted side of the blind driver: groups of episodes, each in a fresh worker.

A question occurs at most once in a group, so that a program which remembers can learn nothing
about the question it is asked. Groups are drawn anew, in secret, for every run.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotts.engine import compiled
from autotts.engine.memory import Memory
from autotts.errors import ControllerError, ProgramError
from autotts.programs import Source
from autotts.replay.episodes import aim, make_memory, memory_rules
from autotts.replay.task import Cell, Rules
from autotts.sandbox.allowance import LOG_WORDS, Allowance, sizes
from autotts.sandbox.broker import Broker, answer_frame
from autotts.sandbox.confine import seal
from autotts.sandbox.confine.tier import Tier
from autotts.sandbox.wire import channel
from autotts.sandbox.wire.channel import Closed, Flooded, Poll, Stalled
from autotts.sandbox.worker import ANSWER_SECONDS, Worker, Zygote, source_payload

MAX_GROUP = 120
"""Most episodes side by side; more are slower, for their stacks leave the cache."""
_NOT_KEPT = np.zeros(0, np.int64)
_PLAYING = "an episode"

_Size = tuple[int, Rules, int]
"""What memories of one kind have in common: the pool (by id), the rules and the ceiling."""

Place = tuple[int, int]
"""Where an episode stands: (cell, index in the cell)."""


@dataclass(slots=True)
class BlindRun:
    """What a blind run gave, task by task.

    results: `[T, len(compiled.RESULTS)]` int64.
    logs: for each task its log's words, where they were kept.
    """

    results: np.ndarray
    logs: list[np.ndarray]
    tier: Tier
    text: str


@dataclass(slots=True)
class _Group:
    """A group while it runs.

    borrowed: the memory of each episode, and where it goes when the group is over.
    doing: what the program does, in the words of an error; empty before the worker has sealed
        itself and was given it.
    """

    worker: Worker
    tasks: list[int]
    broker: Broker
    borrowed: list[tuple[_Size, Memory]]
    accept: dict[int, int]
    deadline: float
    doing: str = ""


def group_tasks(
    cells: Sequence[Cell], tasks: Sequence[Place], rng: np.random.Generator
) -> list[list[int]]:
    """Tasks, by index, in groups where each question of a dataset occurs at most once.

    >>> from types import SimpleNamespace as Fake
    >>> pairs = np.array([[0, 0], [0, 1], [1, 0]])
    >>> cell = Fake(task=Fake(store=Fake(dataset="toy"), pairs=pairs))
    >>> sizes = [len(g) for g in group_tasks([cell], [(0, 0), (0, 1), (0, 2)],
    ...                                      np.random.default_rng(0))]
    >>> sorted(sizes)
    [1, 2]
    """
    order = rng.permutation(len(tasks))
    seen: dict[tuple[str, int], int] = {}
    ranked: list[list[int]] = []
    for t in order.tolist():
        c, e = tasks[t]
        task = cells[c].task
        question = (task.store.dataset, int(task.pairs[e, 0]))
        rank = seen.get(question, 0)
        seen[question] = rank + 1
        if rank == len(ranked):
            ranked.append([])
        ranked[rank].append(t)
    return [
        group[first : first + MAX_GROUP]
        for group in ranked
        for first in range(0, len(group), MAX_GROUP)
    ]


def run_blind(
    zygote: Zygote,
    source: Source,
    cells: Sequence[Cell],
    tasks: Sequence[Place],
    allowance: Allowance,
    *,
    keep: np.ndarray | None = None,
    jobs: int | None = None,
    **how: Any,
) -> BlindRun:
    """Run episodes of a program blind, interpreted, in sealed workers.

    Args:
        tasks: which episodes, at least one.
        keep: `[T]` bool, of which tasks to keep the log; of all by default.
        jobs: groups at a time; by default one more than cores, for while one speaks with this
            side another can think.
        how: `unsafe` and `without`, for `Zygote.fork`.

    Raises:
        ProgramError: it does not load.
        ControllerError: an episode failed, with question, draw, line and message.
        SandboxError: a worker can't be sealed, or broke its protocol.
    """
    answer_frame()  # compiled before any clock runs
    kept = np.ones(len(tasks), np.bool_) if keep is None else keep
    run = _Blind(zygote, source, cells, tasks, allowance, kept, how)
    return run.all(jobs or (os.cpu_count() or 1) + 1)


def _describe(cell: Cell) -> dict[str, Any]:
    """What a worker is told of an episode of a cell."""
    task, spec = cell.task, cell.spec
    # Billing is the trusted side's; prices are among the sizes.
    own = ("interval", "budget", "cost_budget", "probe_tokens", "most_answers")
    rules = {name: value for name, value in memory_rules(task).items() if name in own}
    return {"beta": spec.beta, "named": dict(spec.named), "sizes": sizes(task), "rules": rules}


class _Blind:
    """A blind run, while its workers live."""

    def __init__(
        self,
        zygote: Zygote,
        source: Source,
        cells: Sequence[Cell],
        tasks: Sequence[Place],
        allowance: Allowance,
        keep: np.ndarray,
        how: dict[str, Any],
    ) -> None:
        self._zygote = zygote
        self._source = source
        self._cells = cells
        self._tasks = tasks
        self._allowance = allowance
        self._keep = keep
        self._how = how
        self._tier: Tier | None = None
        self._text = ""
        self._memories: dict[_Size, list[Memory]] = {}
        self._groups: list[_Group] = []
        self._poll = Poll()
        self._results = np.zeros((len(tasks), len(compiled.RESULTS)), np.int64)
        self._logs = [_NOT_KEPT] * len(tasks)
        self._asked = {c: _describe(cells[c]) for c in {c for c, _ in tasks}}
        self._ceilings = {c: cells[c].task.ceilings for c in self._asked}
        self._deadline = time.monotonic() + allowance.cell_seconds * len(self._asked)

    def all(self, jobs: int) -> BlindRun:
        waiting = group_tasks(self._cells, self._tasks, np.random.default_rng())
        waiting.reverse()
        try:
            while waiting or self._groups:
                while waiting and len(self._groups) < jobs:
                    self._groups.append(self._begin(waiting.pop()))
                self._serve()
        finally:
            for group in self._groups:  # of a program that failed: nothing of it may be left
                group.worker.end()
        assert self._tier is not None  # every group says hello before it ends
        return BlindRun(self._results, self._logs, self._tier, self._text)

    def _begin(self, tasks: list[int]) -> _Group:
        """Fork a worker for a group; it seals itself while others play."""
        limits = seal.Limits(
            memory_bytes=self._allowance.memory_bytes,
            cpu_seconds=int(self._allowance.cell_seconds) + 1,
        )
        worker = self._zygote.fork(limits, **self._how)
        self._poll.add(worker.inbox)
        borrowed = []
        for t in tasks:
            c, e = self._tasks[t]
            task = self._cells[c].task
            key = (id(task.pool), task.rules, task.ceiling)
            free = self._memories.setdefault(key, [])
            memory = free.pop() if free else make_memory(task, LOG_WORDS)
            question, draw = task.pairs[e].tolist()
            aim(memory, task, question, draw)
            borrowed.append((key, memory))
        broker = Broker([memory for _, memory in borrowed])
        accept = {channel.HELLO: channel.MAX_HELLO}
        return _Group(worker, tasks, broker, borrowed, accept, time.monotonic() + ANSWER_SECONDS)

    def _serve(self) -> None:
        """Wait for some group, and answer those that have something."""
        soonest = min(self._deadline, *(g.deadline for g in self._groups))
        ready = self._poll.wait(soonest)
        now = time.monotonic()
        for group in list(self._groups):
            inbox = group.worker.inbox
            try:
                if inbox in ready:
                    inbox.fill()
                    while (frame := inbox.take(group.accept)) is not None:
                        self._answer(group, *frame)
                        if group not in self._groups:
                            break
                elif now >= min(group.deadline, self._deadline):
                    raise Stalled
            except (Stalled, Closed, Flooded) as error:
                if not group.doing:
                    raise group.worker.unsealed() from error
                raise group.worker.failed(
                    error, self._source, group.doing, self._limit(group)
                ) from error

    def _answer(self, group: _Group, kind: int, payload: bytes) -> None:
        """Take a group one step on."""
        if kind == channel.HELLO:
            self._tier = group.worker.check_hello(payload)
            group.doing = "loading the program"
            group.deadline = time.monotonic() + self._allowance.program_seconds
            group.accept = {channel.LOADED: channel.MAX_NAMED, channel.FAILED: channel.MAX_FAILED}
            self._send(group, channel.SOURCE, source_payload(self._source))
            self._send(group, channel.SLOTS, self._slots(group))
        elif kind == channel.LOADED:
            group.doing = _PLAYING
            group.accept = {
                channel.ASK: group.broker.max_bytes,
                channel.FAILED: channel.MAX_FAILED,
            }
            group.deadline = self._soon()
        elif kind == channel.FAILED:
            raise self._failed(group, payload)
        else:
            reply = group.broker.answer(channel.words(payload))
            if group.broker.playing:
                self._send(group, channel.REPLY, reply.tobytes())
                group.deadline = self._soon()
            else:
                self._finish(group)

    def _limit(self, group: _Group) -> str:
        """What a group that plays must keep to, in the words of an error."""
        if group.doing != _PLAYING:
            return ""
        if self._deadline < group.deadline:
            return self._allowance.cell_limit
        return f"no episode asked for anything within {self._allowance.episode_seconds:g} s"

    def _soon(self) -> float:
        return time.monotonic() + self._allowance.episode_seconds

    def _send(self, group: _Group, kind: int, payload: bytes) -> None:
        group.worker.inbox.send(kind, payload, self._soon())

    def _slots(self, group: _Group) -> bytes:
        """What a worker has to know about its episodes: no question, no draw, no data."""
        asked = []
        for t in group.tasks:
            told = self._asked[self._tasks[t][0]]
            question, draw = self._pair(t)
            ceiling = int(self._ceilings[self._tasks[t][0]][question])
            task = self._cells[self._tasks[t][0]].task
            left = task.left(question, draw).tolist()
            asked.append({**told, "rules": {**told["rules"], "ceiling": ceiling}, "left": left})
        return json.dumps(asked).encode()

    def _finish(self, group: _Group) -> None:
        self._groups.remove(group)
        self._poll.remove(group.worker.inbox)
        group.worker.drop()
        self._text = self._text or group.worker.inbox.text
        for k, t in enumerate(group.tasks):
            result = group.broker.results[k]
            if result[0] != compiled.ANSWERED:
                question, draw = self._pair(t)
                raise ControllerError(
                    f"{self._source.path}: question {question}, draw {draw}: answered what was "
                    "never revealed"
                )
            self._results[t] = result
            if self._keep[t]:
                self._logs[t] = group.broker.log(k)
        for key, memory in group.borrowed:
            self._memories[key].append(memory)

    def _pair(self, task: int) -> tuple[int, int]:
        c, e = self._tasks[task]
        question, draw = self._cells[c].task.pairs[e].tolist()
        return question, draw

    def _failed(self, group: _Group, payload: bytes) -> ProgramError | ControllerError:
        """The error of a program that raised, in loading or in an episode."""
        slot, error = group.worker.failure(self._source, payload)
        if slot not in range(len(group.tasks)):
            return error
        question, draw = self._pair(group.tasks[slot])
        return ControllerError(f"{error}\n  in question {question}, draw {draw}")
