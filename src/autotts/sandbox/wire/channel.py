"""Frames between the trusted side and a sealed worker: a kind, a length, that many bytes.

Both ends are sockets. The trusted end never blocks on the other one, takes only the kinds that
it expects at that moment, each up to its size, and never unpickles: payloads are int64 words,
numbers by name in JSON, which are checked, or text that is only shown.
"""

import os
import select
import socket
import struct
import time
from collections.abc import Mapping

import numpy as np

from autotts.errors import SandboxError
from autotts.text import clean

# From the worker. HELLO comes before the program's source was sent, so it can be trusted.
HELLO, LOADED, COMPILED, PARAMETERS, FAILED, ASK, DONE = range(1, 8)
# To the worker.
SOURCE, COMPILE, CELL, RUN, SLOTS, REPLY = range(32, 38)

HEADER = struct.Struct("<iI")
LENGTH = struct.Struct("<I")
"""What a request to the zygote begins with."""
SLOT = struct.Struct("<i")
"""What FAILED begins with: the slot of the episode that failed, or -1; then text."""
MAX_TEXT = 8192
"""Bytes of text that is kept of what a program says."""
MAX_FAILED = SLOT.size + MAX_TEXT
MAX_HELLO = 4096
MAX_NAMED = 1 << 14
"""Bytes of what LOADED and PARAMETERS say of a program's parameters, by name."""
MAX_OUTPUT = 1 << 20
"""Bytes that a program may print before it is ended."""
_CHUNK = 1 << 16


class Stalled(Exception):
    """Nothing came, or could be sent, in time."""


class Closed(Exception):
    """The worker is gone."""


class Flooded(Exception):
    """The program printed more than `MAX_OUTPUT`."""


def words(payload: bytes) -> np.ndarray:
    """The int64 words of a payload."""
    if len(payload) % 8:
        raise SandboxError(f"a worker sent {len(payload)} bytes where words of 8 were due")
    return np.frombuffer(payload, "<i8")


def shown(text: bytes) -> str:
    """Text of a worker as it may be shown: capped, printable."""
    return clean(text[:MAX_TEXT].decode("utf-8", errors="replace"))


class Inbox:
    """The trusted end of a channel, and of the pipe of what the program prints."""

    def __init__(self, channel: socket.socket, printed: int) -> None:
        channel.setblocking(False)
        os.set_blocking(printed, False)
        self.channel = channel
        self._printed = printed
        self._buffer = bytearray()
        self._text = bytearray()
        self._n_printed = 0
        self._has_printed = False
        self._poll = Poll()
        self._poll.add(self)

    @property
    def text(self) -> str:
        """What the program printed, capped."""
        return shown(bytes(self._text))

    def send(self, kind: int, payload: bytes, deadline: float) -> None:
        """Send a frame; the worker may refuse to read.

        Raises:
            Stalled, Closed
        """
        rest = memoryview(HEADER.pack(kind, len(payload)) + payload)
        while rest:
            try:
                rest = rest[self.channel.send(rest) :]
            except BlockingIOError:
                if not select.select([], [self.channel], [], _left(deadline))[1]:
                    raise Stalled from None
            except OSError:
                raise Closed from None

    def receive(self, accept: Mapping[int, int], deadline: float) -> tuple[int, bytes]:
        """The next frame, which must be of a kind in `accept` and no larger than it says.

        Raises:
            Stalled, Closed, Flooded
            SandboxError: the worker sent something else.
        """
        while True:
            frame = self.take(accept)
            if frame is not None:
                return frame
            if not self._poll.wait(deadline):
                raise Stalled
            self.fill()

    def take(self, accept: Mapping[int, int]) -> tuple[int, bytes] | None:
        """The next frame if it is all there; see `receive`."""
        if len(self._buffer) < HEADER.size:
            return None
        kind, size = HEADER.unpack_from(self._buffer)
        if kind not in accept or size > accept[kind]:
            raise SandboxError(
                f"a worker sent frame {kind} of {size} bytes; allowed are {dict(accept)}"
            )
        end = HEADER.size + size
        if len(self._buffer) < end:
            return None
        payload = bytes(memoryview(self._buffer)[HEADER.size : end])
        del self._buffer[:end]
        return kind, payload

    def fill(self) -> None:
        """Read what has come, without waiting. Raises Closed, Flooded."""
        if self._has_printed:
            self.drain()
        try:
            received = self.channel.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            raise Closed from None
        if not received:
            raise Closed
        self._buffer += received

    def drain(self) -> None:
        """Take what the program has printed, so that it can go on printing. Raises Flooded."""
        self._has_printed = False
        while True:
            try:
                printed = os.read(self._printed, _CHUNK)
            except BlockingIOError:
                return
            if not printed:
                return
            self._n_printed += len(printed)
            self._text += printed[: MAX_TEXT - len(self._text)]
            if self._n_printed > MAX_OUTPUT:
                raise Flooded

    @property
    def descriptors(self) -> tuple[int, int]:
        """What to wait for."""
        return self.channel.fileno(), self._printed

    def notice(self, descriptor: int) -> bool:
        """Be told that a descriptor has something to read; whether it is what was printed."""
        is_printed = descriptor == self._printed
        self._has_printed |= is_printed
        return is_printed

    def close(self) -> None:
        self.channel.close()
        os.close(self._printed)


class Poll:
    """Waits for several inboxes at once."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._owner: dict[int, Inbox] = {}

    def add(self, inbox: Inbox) -> None:
        for descriptor in inbox.descriptors:
            self._poll.register(descriptor, select.POLLIN)
            self._owner[descriptor] = inbox

    def remove(self, inbox: Inbox) -> None:
        for descriptor in [d for d, owner in self._owner.items() if owner is inbox]:
            self._drop(descriptor)

    def wait(self, deadline: float) -> list[Inbox]:
        """The inboxes for which `fill` has something to do; none if nothing came in time."""
        ready = {}
        for descriptor, events in self._poll.poll(1000 * _left(deadline)):
            inbox = self._owner[descriptor]
            ready[id(inbox)] = inbox
            if inbox.notice(descriptor) and not events & select.POLLIN:
                self._drop(descriptor)  # nobody can print any more
        return list(ready.values())

    def _drop(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._owner[descriptor]


class Outbox:
    """The worker's end of a channel: plain, blocking."""

    def __init__(self, channel: socket.socket) -> None:
        self._fd = channel.detach()
        self._received = b""

    def send(self, kind: int, payload: bytes) -> None:
        rest = memoryview(HEADER.pack(kind, len(payload)) + payload)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def receive(self) -> tuple[int, bytes]:
        self._read_until(HEADER.size)
        kind, size = HEADER.unpack_from(self._received)
        end = HEADER.size + size
        self._read_until(end)
        payload, self._received = self._received[HEADER.size : end], self._received[end:]
        return kind, payload

    def _read_until(self, size: int) -> None:
        while len(self._received) < size:
            more = os.read(self._fd, _CHUNK)
            if not more:
                raise EOFError
            self._received += more


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
