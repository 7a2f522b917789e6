"""The worker's half of the blind driver: many episodes side by side, none of which has data.

Each episode runs `solve` in a greenlet. What needs the pool is asked for: the request goes into
the episode's outgoing words, control to the hub, and when all episodes wait, one frame with
everybody's words to the trusted side. Its reply has what the requests revealed, which is written
to each episode's state. Whatever `env` shows comes from that state; nothing else is here.

`wire.frames` says what a frame holds.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from greenlet import getcurrent, greenlet
from numba import types

from autotts import control
from autotts.engine import compiled, interpreted, jit
from autotts.engine.memory import Memory, address_of
from autotts.programs import Program
from autotts.sandbox.wire.channel import ASK, REPLY, Outbox, words
from autotts.sandbox.wire.frames import (
    BLOCK_HEAD,
    READY_SIZES,
    REPLY_HEAD,
    longest_record,
    outgoing_words,
)
from autotts.sandbox.wire.kernel import RECEIVED, kernel

_READY_SLOTS = 32

_I64 = types.int64
_WORDS = types.int64[::1]


@kernel(_I64(*[_I64] * 9))
def ask(
    header: int, kind: int, at: int, stride: int, k: int, times_at: int, times_stride: int,
    probe: int, model: int,
) -> Any:  # fmt: skip
    """Write a request to the outgoing words, unless its ids break a rule, which is returned."""
    s = jit.state_at(header)
    ids = jit.array_at(at, stride, k)
    if kind == control.BRANCH or kind == control.ANSWER:
        if model < 0 or model >= s.n_models:
            return control.refuse(s, control.NO_SUCH_MODEL, -1, model)
        control.log_word(s, kind, probe != 0, ids[0], model)
        return control.ADMITTED
    # Here, and not by the broker alone: what is asked for must fit the words of a record.
    rule = control.check_ids(s, ids)
    if rule:
        return rule
    if kind == control.CONTINUE:
        times = jit.array_at(times_at, times_stride, k)
        if control.count_intervals(s, ids, times) < 0:
            return s.error
        first = control.log_head(s, kind, probe != 0, k)
        for j in range(k):
            s.log[first + j] = control.pack_times(ids[j], times[j])
    else:
        control.log_ids(s, kind, ids)
    return control.ADMITTED


@kernel(_I64(_WORDS, _WORDS))
def gather(headers: Any, frame: Any) -> int:
    """Move the outgoing words of all slots to a frame; returns its length."""
    at = len(headers)
    for k in range(len(headers)):
        s = jit.state_at(headers[k])
        frame[k] = s.log_at
        for j in range(s.log_at):
            frame[at + j] = s.log[j]
        at += s.log_at
        s.log_at = 0
    return at


@kernel(types.void(_WORDS, _WORDS, RECEIVED, _WORDS))
def absorb(headers: Any, counts: Any, reply: Any, rules: Any) -> None:
    """Write what was revealed to the states of the slots that asked, and rules they broke."""
    at = 0
    for k in range(len(headers)):
        if counts[k] == 0:
            continue
        s = jit.state_at(headers[k])
        rules[k] = reply[at]
        if reply[at]:
            s.error = reply[at]
            s.error_branch = reply[at + 1]
            s.error_value = reply[at + 2]
            at += 3
            continue
        n_before = s.n
        s.n = reply[at + 1]
        n_finished = reply[at + 2]
        s.n_answers = reply[at + 3]
        s.spent = reply[at + 4]
        s.cost = reply[at + 5]
        s.rounds = reply[at + 6]
        s.before = reply[at + 7]
        blocks = reply[at + 8]
        at += REPLY_HEAD
        for _ in range(blocks):
            i, low, high = reply[at], reply[at + 1], reply[at + 2]
            s.depth[i] = high
            s.tokens[i] = reply[at + 3]
            s.answer[i] = reply[at + 4]
            s.model[i] = reply[at + 5]
            if i >= n_before:
                s.left[s.model[i]] -= 1
            at += BLOCK_HEAD
            for d in range(low, high):
                s.history[i * s.intervals + d] = reply[at]
                at += 1
            for k in range(s.n_signals):
                to = s.signals_address + 8 * (k * s.slots + i) * s.intervals
                bits = jit.array_at(to, 8, high)
                for d in range(low, high):
                    bits[d] = reply[at]
                    at += 1
        while s.n_finished < n_finished:
            control.count_finished(s, reply[at])
            at += 1


def warm_up() -> None:
    """Compile, or find, what the zygote's children inherit, and make slots for them."""
    ask(), gather(), absorb()
    _ready.extend(Slot(READY_SIZES) for _ in range(_READY_SLOTS))


class EpisodeRaised(Exception):
    """The program raised in the episode of slot `slot`; the cause is what it raised."""

    def __init__(self, slot: int) -> None:
        super().__init__(slot)
        self.slot = slot


class BlindEnv(interpreted.Env):
    """The Env table over a state without a pool: what needs one goes through `wait`.

    wait: suspends the episode until its request was answered; returns the rule it broke, or 0.
    """

    def __init__(self, memory: Memory, wait: Callable[[], int]) -> None:
        super().__init__(memory)
        own = dict(self._actions)
        request = ask()
        # Room for the longest record that waits, and the one that it waits for.
        nearly_full = memory["log_size"] - 2 * longest_record(memory["slots"])

        def branch(header: int, k: int, probe: int, model: int) -> int:
            self._ids[0] = k
            rule = request(header, control.BRANCH, self._ids_at, 8, 1, 0, 0, probe, model)
            return rule or wait()

        def advance(
            header: int, at: int, stride: int, k: int, times_at: int, times_stride: int, probe: int
        ) -> int:
            times = times_at, times_stride
            rule = request(header, control.CONTINUE, at, stride, k, *times, probe, 0)
            return rule or wait()

        def finish(header: int, at: int, stride: int, k: int) -> int:
            return request(header, control.FINISH, at, stride, k, 0, 0, 0, 0) or wait()

        def probe(header: int, at: int, stride: int, k: int) -> int:
            return request(header, control.PROBE, at, stride, k, 0, 0, 0, 0) or wait()

        def make_room() -> None:
            if memory["log_at"] > nearly_full:
                wait()

        def prune(header: int, at: int, stride: int, k: int) -> int:
            make_room()
            return own["prune"](header, at, stride, k)

        def note(header: int, name: int, bits: int) -> int:
            make_room()
            return own["note"](header, name, bits)

        self._actions = {
            **own,
            "branch": branch,
            "advance": advance,
            "finish": finish,
            "probe": probe,
            "prune": prune,
            "note": note,
        }


class Slot:
    """Where one episode is played: its state, and its `env`."""

    def __init__(self, sizes: dict[str, Any]) -> None:
        """
        Args:
            sizes: the most `ceiling`, `intervals` and `n_codes` it is for, the `prices`, and
                the names of `signals`.
        """
        self.sizes = sizes
        self.memory = Memory(
            **sizes,
            interval=1,
            billing="reference",
            log_words=outgoing_words(sizes["ceiling"]),
            wide=True,
        )
        # The trusted side speaks of answers by their id in the episode: code and id are one.
        self.memory.arrays["code_of"][:] = np.arange(sizes["n_codes"])
        self.env = BlindEnv(self.memory, partial(getcurrent().switch, None))

    def begin(self, rules: dict[str, int], left: list[int]) -> None:
        """Prepare for the episode with these scalars of the state, and so many branches a model."""
        for name, value in rules.items():
            self.memory[name] = value
        self.memory.arrays["left"][:] = left


_ready: list[Slot] = []
"""Slots made before the fork, for episodes that are not larger; others are made anew."""


def _take_slot(sizes: dict[str, Any]) -> Slot:
    small = all(sizes[name] <= most for name, most in READY_SIZES.items())
    fits = small and sizes["prices"] == [1] and not sizes["signals"]
    return _ready.pop() if fits and _ready else Slot(sizes)


def play(outbox: Outbox, program: Program, asked: list[dict[str, Any]]) -> None:
    """Run one episode in each slot, in lock-step, until all have answered.

    Args:
        asked: for each slot its beta, the parameters named beside it, the sizes and the rules
            of its episode.

    Raises:
        EpisodeRaised: the program raised in one of them.
    """
    slots, running = [], []
    parameters: dict[str, Any] = {}
    for k, episode in enumerate(asked):
        at = json.dumps([episode["beta"], episode["named"]])
        if at not in parameters:
            values = program.parameters(episode["beta"], episode["named"])
            parameters[at] = interpreted.parameters(values)
        slot = _take_slot(episode["sizes"])
        slot.begin(episode["rules"], episode["left"])
        slots.append(slot)
        running.append((k, greenlet(_episode_of(program, parameters[at], slot))))
    headers = np.array([slot.memory.address for slot in slots], np.int64)
    frame = np.zeros(sum(1 + slot.memory["log_size"] for slot in slots), np.int64)
    rules = np.zeros(len(slots), np.int64)
    while running:
        resumed = rules.tolist()
        running = [(k, green) for k, green in running if not _resume(k, green, resumed[k])]
        size = gather()(headers, frame)
        outbox.send(ASK, frame[:size].tobytes())
        counts = frame[: len(slots)].copy()
        kind, payload = outbox.receive()
        if kind != REPLY:
            raise EOFError
        absorb()(headers, counts, words(payload), rules)


def _resume(k: int, episode: Any, rule: int) -> bool:
    """Let an episode go on to its next request; whether that was its last."""
    try:
        return episode.switch(rule) is not None
    except BaseException as error:
        raise EpisodeRaised(k) from error


def _episode_of(program: Program, p: Any, slot: Slot) -> Callable[[int], bool]:
    """The body of a greenlet: one episode; asks for its end as its last request."""

    def run(_: int) -> bool:
        out = np.zeros(len(compiled.RESULTS), np.int64)
        address = slot.memory.address
        interpreted.run_episode(program.solve, p, slot.env, out)
        ask()(address, control.ANSWER, address_of(out[1:]), 8, 1, 0, 0, 0, 0)
        return True

    return run
