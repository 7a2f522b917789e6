"""A live episode of a program that somebody else wrote: a sealed worker, one slot, no data.

The worker is that of the blind driver, and so are its frames and the broker; between a frame and
its reply, whoever plays the episode sees to it that the pool has what the frame will read.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from autotts import control
from autotts.engine import compiled
from autotts.errors import ControllerError, SandboxError
from autotts.live import ActionRequest, GrowingPool, InThisProcess, Suspend
from autotts.programs import Source, Spec
from autotts.programs.loading import load_trusted
from autotts.sandbox.allowance import Allowance
from autotts.sandbox.broker import Broker
from autotts.sandbox.confine import seal
from autotts.sandbox.confine.tier import Tier
from autotts.sandbox.wire import channel
from autotts.sandbox.worker import Worker, Zygote, source_payload


@contextmanager
def suspending(spec: Spec, *, unsafe: bool = False) -> Iterator[Suspend]:
    """How a controller is suspended on pools: one of ours in this process, another's sealed.

    Args:
        unsafe: run even where no process can be sealed.

    Raises:
        ProgramError: it does not load.
    """
    if spec.source.trusted:
        program = load_trusted(spec.source)
        parameters = program.parameters(spec.beta, spec.named)
        yield lambda pool: InThisProcess(program, parameters, pool)
        return
    zygote = Zygote.take()
    try:
        yield lambda pool: InASealedWorker(
            zygote, spec.source, pool, beta=spec.beta, named=spec.named, unsafe=unsafe
        )
    finally:
        zygote.leave()


class InASealedWorker:
    """`live.Suspended` for code of others.

    tier: what the worker reached, once it has started.
    """

    def __init__(
        self,
        zygote: Zygote,
        source: Source,
        pool: GrowingPool,
        *,
        beta: float,
        named: Mapping[str, float] | None = None,
        allowance: Allowance | None = None,
        unsafe: bool = False,
    ) -> None:
        """
        Args:
            unsafe: run even where no process can be sealed.
        """
        self.tier: Tier | None = None
        self._allowance = allowance or Allowance()
        self._source = source
        self._pool = pool
        self._asked = {"beta": beta, "named": dict(named or {}), **_sizes_and_rules(pool)}
        self._zygote, self._unsafe = zygote, unsafe
        self._broker = Broker([pool.memory])
        self._worker: Worker | None = None
        self._frame: np.ndarray | None = None

    async def proceed(self) -> ActionRequest | np.ndarray:
        """See `live.Suspended`.

        Raises:
            ProgramError: it does not load.
            ControllerError: it raised, took too long, or answered what was never revealed.
            SandboxError: a worker can't be sealed, or broke its protocol.
        """
        # A worker may think for seconds, and the event loop has others to serve.
        return await asyncio.to_thread(self._proceed)

    def _proceed(self) -> ActionRequest | np.ndarray:
        worker = self._worker or self._start()
        doing = "loading the program" if self._frame is None else "an episode"
        with worker.doing(doing, self._source):
            if self._frame is None:
                self._receive(worker, {channel.LOADED: channel.MAX_NAMED})
            else:
                reply = self._broker.answer(self._frame)
                if not self._broker.playing:
                    return self._results()
                worker.inbox.send(channel.REPLY, reply.tobytes(), self._soon())
        with worker.doing("an episode", self._source):
            payload = self._receive(worker, {channel.ASK: self._broker.max_bytes})
        self._frame, asked = self._take(channel.words(payload))
        return asked if asked is not None else self._proceed()

    def _start(self) -> Worker:
        limits = seal.Limits(
            memory_bytes=self._allowance.memory_bytes,
            cpu_seconds=int(self._allowance.cell_seconds) + 1,
        )
        self._worker = worker = self._zygote.fork(limits, unsafe=self._unsafe)
        self.tier = worker.hello()
        with worker.doing("loading the program", self._source):
            worker.inbox.send(channel.SOURCE, source_payload(self._source), self._soon())
            worker.inbox.send(channel.SLOTS, json.dumps([self._asked]).encode(), self._soon())
        return worker

    def _receive(self, worker: Worker, accept: dict[int, int]) -> bytes:
        kinds = {**accept, channel.FAILED: channel.MAX_FAILED}
        kind, payload = worker.inbox.receive(kinds, self._soon())
        if kind == channel.FAILED:
            slot, error = worker.failure(self._source, payload)
            raise error if slot < 0 else ControllerError(str(error))
        return payload

    def _soon(self) -> float:
        seconds = self._allowance.episode_seconds if self._frame is not None else 0.0
        return time.monotonic() + max(seconds, self._allowance.program_seconds)

    def _take(self, frame: np.ndarray) -> tuple[np.ndarray, ActionRequest | None]:
        """A frame without what need not wait, and what it waits for; None for an answer.

        PRUNE and NOTE reveal nothing, and come before what is asked for: they are performed
        here, so that what is asked for is checked on the state that it will find.
        """
        if not len(frame) or frame[0] != len(frame) - 1:
            raise SandboxError("a worker sent a frame that can't be read")
        try:
            *before, last = list(control.records(frame[1:]))
        except ValueError as error:
            raise SandboxError("a worker sent a frame that can't be read") from error
        for record in before:
            if record.kind == control.NOTE:
                self._pool.note(record)
            elif record.kind != control.PRUNE or self._pool.perform(self._pool.request(record)):
                raise SandboxError("a worker sent a frame that can't be read")
        frame = np.concatenate([[len(last.words)], last.words])
        frame.flags.writeable = False
        asks = last.kind not in (control.NOTE, control.ANSWER)
        return frame, self._pool.request(last) if asks else None

    def _results(self) -> np.ndarray:
        results: np.ndarray = self._broker.results[0]
        if results[compiled.RESULTS.index("status")] != compiled.ANSWERED:
            raise ControllerError(f"{self._source.path}: answered what was never revealed")
        return results

    def close(self) -> None:
        if self._worker is not None:
            self._worker.drop()

    @property
    def printed(self) -> str:
        """What the program printed, capped."""
        return self._worker.inbox.text if self._worker else ""


def _sizes_and_rules(pool: GrowingPool) -> dict[str, Any]:
    """What a worker has to know of an episode: no question, no data."""
    memory = pool.memory
    sizes = {
        "ceiling": memory["ceiling"],
        "intervals": memory["intervals"],
        "n_codes": len(memory.arrays["code_of"]),
        "prices": memory.arrays["price"].tolist(),
        "signals": list(pool.signals),
    }
    own = ("ceiling", "interval", "budget", "probe_tokens", "most_answers")
    rules = {name: memory[name] for name in own}
    return {"sizes": sizes, "rules": rules, "left": memory.arrays["left"].tolist()}
