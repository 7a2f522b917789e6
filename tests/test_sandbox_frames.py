"""The broker and what a worker may send it: whatever comes, nothing breaks and nothing is free."""

import os
import socket
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks import toy
from autotts import control
from autotts.engine import compiled
from autotts.engine.memory import Memory
from autotts.errors import AutottsError, ControllerError, SandboxError
from autotts.replay.episodes import aim, make_memory
from autotts.sandbox.broker import Broker
from autotts.sandbox.compiled_run import checked_parameters
from autotts.sandbox.wire import channel
from autotts.sandbox.wire.channel import HEADER, Closed, Flooded, Inbox, Stalled

SLOTS = 4
FRAMES = 20_000
POOL = toy.make_pool(3)
CELL = toy.make_cell(POOL)


def broker() -> tuple[Broker, list[Memory]]:
    memories = []
    for k in range(SLOTS):
        memory = make_memory(CELL.task, 4096)
        aim(memory, CELL.task, k, 0)
        memories.append(memory)
    return Broker(memories), memories


def record(kind: int, *words: int, flag: int = 0) -> list[int]:
    """Of a CONTINUE the words are the ids, then the times."""
    if kind == control.CONTINUE:
        half = len(words) // 2
        words = tuple(map(control.pack_times, words[:half], words[half:]))
    return [control.pack_head(kind, flag, len(words)), *words]


def frame(*slots: list[int]) -> np.ndarray:
    slots = (*slots, *([[]] * (SLOTS - len(slots))))
    return np.array([*(len(s) for s in slots), *(w for s in slots for w in s)], np.int64)


OPEN = record(control.BRANCH, 2, flag=1)


def fair_words(memory: Any, rng: np.random.Generator) -> list[int]:
    """What an honest worker could ask for in this state."""
    n, arrays = memory["n"], memory.arrays
    active = np.flatnonzero(~(arrays["finished"][:n] | arrays["pruned"][:n])).tolist()
    words = record(control.NOTE, 7, 7) if rng.random() < 0.2 else []
    kind = int(rng.choice(list(PLAY), p=list(PLAY.values())))
    if not active or (kind == control.BRANCH and n < CELL.task.ceiling):
        return words + record(control.BRANCH, 1, flag=int(rng.random() < 0.5))
    if len(active) > 1 and rng.random() < 0.2:
        words += record(control.PRUNE, active.pop())
    if kind == control.CONTINUE:
        times = rng.integers(1, 4, len(active)).tolist()
        return words + record(kind, *active, *times, flag=int(rng.random() < 0.7))
    return words + record(kind, *([-1] if kind == control.ANSWER else active[:2]))


PLAY = {control.BRANCH: 0.3, control.CONTINUE: 0.4, control.FINISH: 0.25, control.ANSWER: 0.05}


def any_words(rng: np.random.Generator) -> list[int]:
    """Words that look like records, mostly."""
    words: list[int] = []
    for _ in range(rng.integers(0, 3)):
        kind = int(rng.integers(0, 8))
        count = int(rng.choice([0, 1, 1, 1, 2, 3, 20]))
        low, high = [(0, 3), (-2, 20), (-(2**62), 2**62)][rng.integers(0, 3)]
        words += [control.pack_head(kind, rng.random() < 0.3, count)]
        words += rng.integers(low, high, count).tolist()
    return words


def random_frame(current: Broker, memories: list[Memory], rng: np.random.Generator) -> np.ndarray:
    """Noise, frames of records, and fair frames of which a part is spoilt."""
    if rng.random() < 0.1:
        return rng.integers(-(2**63), 2**63 - 1, rng.integers(0, 40), dtype=np.int64)
    slots = [
        fair_words(memory, rng) if goes_on else []
        for memory, goes_on in zip(memories, current._playing.tolist(), strict=True)
    ]
    if rng.random() < 0.3:
        slots[rng.integers(0, SLOTS)] = any_words(rng)
    built = frame(*slots)
    if rng.random() < 0.3:
        low, high = [(-3, 20), (-(2**40), 2**40), (-(2**63), 2**63 - 1)][rng.integers(0, 3)]
        built[rng.integers(0, len(built))] = rng.integers(low, high, dtype=np.int64)
    if rng.random() < 0.05:
        built = built[: rng.integers(0, len(built) + 1)]
    return built


def assert_sound(memory: Memory) -> None:
    """What holds of a state, whatever led to it."""
    n = memory["n"]
    arrays = memory.arrays
    assert 0 <= n <= CELL.task.ceiling
    assert 0 <= memory["n_finished"] <= n
    assert 0 <= memory["n_answers"] <= int(POOL.n_codes.max())
    assert memory["spent"] == arrays["tokens"][:n].sum()
    assert memory["spent"] >= n * POOL.interval - n
    assert (arrays["tokens"][n:] == 0).all()
    assert (arrays["depth"] <= POOL.probes.shape[2]).all()
    assert arrays["finished"].sum() == memory["n_finished"]
    assert arrays["votes"].sum() == memory["n_finished"]


def test_random_frames_break_nothing():
    """Each is answered or refused, and the states keep their promises."""
    rng = np.random.default_rng(20_260_522)
    accepted = refused = 0
    current, memories = broker()
    for _ in range(FRAMES):
        try:
            reply = current.answer(random_frame(current, memories, rng))
        except (SandboxError, ControllerError):
            refused += 1
        else:
            accepted += 1
            assert len(reply) <= len(current._reply)
        if not current.playing or rng.random() < 0.1:
            for memory in memories:
                assert_sound(memory)
            current, memories = broker_again(memories)
    assert accepted > FRAMES // 4
    assert refused > FRAMES // 4


def broker_again(memories: list[Memory]) -> tuple[Broker, list[Memory]]:
    """A new broker over the same states, begun anew, with a branch or two."""
    for k, memory in enumerate(memories):
        aim(memory, CELL.task, k, 0)
    fresh = Broker(memories)
    fresh.answer(frame(*[OPEN] * SLOTS))
    return fresh, memories


@pytest.mark.parametrize(
    ("slot", "message"),
    [
        ([], "out of turn"),
        (record(7, 0), "can't be read"),
        (record(255, 0), "can't be read"),
        (record(control.BRANCH), "can't be read"),
        (record(control.BRANCH, 1, 1), "can't be read"),
        ([control.pack_head(control.BRANCH, False, 1)], "can't be read"),
        ([control.pack_head(control.BRANCH, False, 2**30), 1], "can't be read"),
        ([control.pack_head(control.FINISH, False, 1) | 1 << 16, 1], "can't be read"),
        (record(control.BRANCH, 1, flag=2), "can't be read"),
        (record(control.FINISH, 0, flag=1), "can't be read"),
        (record(control.FINISH, *range(CELL.task.ceiling + 1)), "can't be read"),
        (record(control.NOTE, 0), "can't be read"),
        ([*record(control.ANSWER, -1), *record(control.ANSWER, -1)], "can't be read"),
        ([*OPEN, *OPEN], "can't be read"),
        ([*record(control.PRUNE, 5), *OPEN], "can't be read"),
        ([-1, -1], "can't be read"),
        (record(control.NOTE, 0, 0) * 600, "out of turn"),
    ],
)
def test_what_is_not_a_record_is_refused(slot, message):
    current, _ = broker()
    with pytest.raises(SandboxError, match=message):
        current.answer(frame(slot, OPEN, OPEN, OPEN))


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (record(control.BRANCH, 0), control.NOT_POSITIVE),
        (record(control.BRANCH, -(2**62)), control.NOT_POSITIVE),
        (record(control.BRANCH, 2**62), control.TOO_MANY),
        ([control.pack_head(control.BRANCH, False, 1, model=1), 1], control.NO_SUCH_MODEL),
        (record(control.CONTINUE, 2, 1), control.NO_SUCH_BRANCH),
        (record(control.CONTINUE, -1, 1), control.NO_SUCH_BRANCH),
        (record(control.CONTINUE, 0, 0, 1, 1), control.REPEATED),
        (record(control.CONTINUE, 0, -5), control.NOT_POSITIVE),
        (record(control.CONTINUE, 0, -(2**31)), control.NOT_POSITIVE),
        (record(control.FINISH, 2**61), control.NO_SUCH_BRANCH),
        (record(control.PROBE, 0), control.PROBED_ALREADY),
    ],
)
def test_what_is_not_admitted_is_told_to_the_program(words, rule):
    """It costs nothing and changes nothing."""
    current, memories = broker()
    current.answer(frame(*[OPEN] * SLOTS))
    spent = memories[0]["spent"]
    reply = current.answer(frame(words, OPEN, OPEN, OPEN))
    assert reply[0] == rule
    assert memories[0]["spent"] == spent


def test_an_answer_that_was_never_revealed_is_none():
    current, _ = broker()
    current.answer(frame(*[OPEN] * SLOTS))
    current.answer(frame(*(record(control.ANSWER, a) for a in (-1, 0, 99, -(2**62)))))
    status, codes = current.results[:, 0], current.results[:, 1]
    assert not current.playing
    assert status.tolist() == [
        compiled.ANSWERED, compiled.ANSWERED, compiled.NO_SUCH_ANSWER, compiled.NO_SUCH_ANSWER,
    ]  # fmt: skip
    assert codes[0] == -1
    assert codes[1] == POOL.probes[1, CELL.task.orders[1, 0, 0], 0]
    assert codes[2] == codes[3] == -1


def test_who_was_refused_may_only_answer():
    """An honest program has raised by then; without this, refusals could go on for ever."""
    current, _ = broker()
    current.answer(frame(*[OPEN] * SLOTS))
    current.answer(frame(record(control.BRANCH, 99), OPEN, OPEN, OPEN))
    with pytest.raises(SandboxError, match="out of turn"):
        current.answer(frame(OPEN, OPEN, OPEN, OPEN))
    current, _ = broker()
    current.answer(frame(record(control.BRANCH, 99), OPEN, OPEN, OPEN))
    current.answer(frame(record(control.ANSWER, -1), OPEN, OPEN, OPEN))
    assert current.results[0, 0] == compiled.ANSWERED


def test_an_episode_that_has_ended_asks_no_more():
    current, _ = broker()
    current.answer(frame(record(control.ANSWER, -1), OPEN, OPEN, OPEN))
    with pytest.raises(SandboxError, match="out of turn"):
        current.answer(frame(OPEN, OPEN, OPEN, OPEN))


def test_notes_without_end_are_an_error():
    current, _ = broker()
    notes = record(control.NOTE, 1, 1) * 300
    four = frame(notes, notes, notes, notes)
    for _ in range(4):
        current.answer(four)
    with pytest.raises(ControllerError, match="more than 4,096 words"):
        current.answer(four)


@pytest.fixture
def inbox():
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    made = Inbox(ours, read)
    yield made, theirs, write
    theirs.close()
    made.close()


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_frame_or_an_error(data):
    """Never an overlong read, never another kind than was expected."""
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    made = Inbox(ours, read)
    try:
        theirs.sendall(data)
        theirs.close()
        kind, payload = made.receive({channel.ASK: 16}, time.monotonic() + 1)
    except (AutottsError, Closed, Stalled):
        return
    finally:
        made.close()
        os.close(write)
    assert kind == channel.ASK
    assert len(payload) <= 16
    assert data.startswith(HEADER.pack(kind, len(payload)) + payload)


def test_a_frame_may_come_byte_by_byte(inbox):
    made, theirs, _ = inbox
    sent = HEADER.pack(channel.ASK, 8) + bytes(8)
    for k in range(len(sent)):
        theirs.sendall(sent[k : k + 1])
        made.fill()
        frame = made.take({channel.ASK: 8})
        assert (frame is None) == (k < len(sent) - 1)
    assert frame == (channel.ASK, bytes(8))


def test_who_does_not_read_is_not_waited_for(inbox):
    made, _, _ = inbox
    with pytest.raises(Stalled):
        made.send(channel.REPLY, bytes(1 << 22), time.monotonic() + 0.2)


def test_who_says_nothing_is_not_waited_for(inbox):
    made, _, _ = inbox
    began = time.monotonic()
    with pytest.raises(Stalled):
        made.receive({channel.ASK: 8}, began + 0.2)
    assert time.monotonic() - began < 2


def test_what_is_printed_is_capped(inbox):
    made, _, write = inbox
    os.set_blocking(write, False)
    line = b"\x1b[31m" + b"x" * 10_000
    for _ in range(channel.MAX_OUTPUT // len(line)):
        os.write(write, line)
        made.drain()
    os.write(write, line)
    with pytest.raises(Flooded):
        made.drain()
    assert len(made.text) <= channel.MAX_TEXT
    assert "\x1b" not in made.text


@pytest.mark.parametrize(
    "said",
    [
        b'{"width": 1' + b"0" * 400 + b"}",
        b'{"width": 9223372036854775808}',
        b'{"width": NaN}',
        b'{"width": true}',
        b'{"width": "4"}',
        b'{"width": [4]}',
        b'{"__class__()": 4}',
        b"[4]",
        b"{",
    ],
)
def test_parameters_that_are_no_numbers_are_refused(said):
    with pytest.raises(SandboxError, match="a worker s"):
        checked_parameters(said)


def test_parameters_are_numbers_by_name():
    assert checked_parameters(b'{"width": -4, "level": 0.5}') == {"width": -4, "level": 0.5}
