"""The trusted side's hold on sealed workers: start them, speak to them, end them."""

import ast
import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from autotts.errors import ControllerError, ProgramError, SandboxError, TookTooLong
from autotts.files import cache_folder
from autotts.programs import Source
from autotts.sandbox.confine import seal
from autotts.sandbox.confine.tier import Tier, import_path
from autotts.sandbox.wire import channel
from autotts.sandbox.wire.channel import Closed, Flooded, Inbox, Stalled

_START_SECONDS = 120.0
ANSWER_SECONDS = 20.0
"""How long the fork server, or a worker that seals itself, may take to answer."""


class Zygote:
    """A process that forks sealed workers; see `autotts.sandbox.guest.fork_server`.

    It imports for a second before it is ready, which whoever asks it first waits for: see `take`.
    """

    def __init__(self) -> None:
        self._ready = False
        self._workers = 0
        self._cache = str(cache_folder())
        self._control, theirs = socket.socketpair()
        self._told = b""
        self._forking: deque[Worker] = deque()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        environment = {
            "PYTHONPATH": import_path(),
            "PYTHONHASHSEED": "0",
            "AUTOTTS_CACHE": self._cache,
            "LANG": "C.UTF-8",
        }
        for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
            environment[f"{library}_NUM_THREADS"] = "1"
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-s",
                    "-P",
                    "-m",
                    "autotts.sandbox.guest.fork_server",
                    str(theirs.fileno()),
                ],
                pass_fds=[theirs.fileno()],
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                start_new_session=True,
            )

    @classmethod
    def take(cls) -> "Zygote":
        """The one that was left by whoever needed it last, which is warm; else a new one."""
        left = _LEFT.pop(os.getpid(), None)
        if left is not None and left.alive and left._cache == str(cache_folder()):
            return left
        if left is not None:
            left.close()
        return cls()

    def leave(self) -> None:
        """Leave it to whoever takes one next in this process, at most one; or end it.

        It holds nothing of what its workers were given, and is left only when all of them are gone.
        """
        if self._workers or not self.alive or _LEFT.setdefault(os.getpid(), self) is not self:
            self.close()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def fork(
        self,
        limits: seal.Limits,
        *,
        files: Sequence[int] = (),
        shared: Mapping[str, Any] | None = None,
        unsafe: bool = False,
        without: Sequence[str] = (),
    ) -> "Worker":
        """A new worker, which seals itself at once and then waits for a program.

        Args:
            files: descriptors of shared memory, with their layout in `shared`.
            unsafe: whether it may go on where it can't be sealed.
            without: layers to leave out, for tests of the others.
        """
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        request = {
            "do": "fork",
            "limits": asdict(limits),
            "shared": shared,
            "unsafe": unsafe,
            "without": list(without),
        }
        self._workers += 1
        try:
            self._ask(request, [theirs.fileno(), write, *files])
        finally:
            theirs.close()
            os.close(write)
        worker = Worker(self, Inbox(ours, read), unsafe)
        self._forking.append(worker)
        return worker

    def end(self, worker: "Worker") -> int:
        """Kill a worker, whatever it does; its exit code, or minus the signal that killed it."""
        self._ask({"do": "end", "pid": worker.pid})
        status: int = self._answer(ANSWER_SECONDS)["status"]
        self._workers -= 1
        return status

    def drop(self, worker: "Worker") -> None:
        """Kill a worker, and don't wait for its end."""
        self._ask({"do": "drop", "pid": worker.pid})
        self._workers -= 1

    def tell_pids(self) -> None:
        """Let the workers that were forked know their process ids."""
        while self._forking:
            worker = self._forking.popleft()
            worker.born(self._answer(ANSWER_SECONDS)["pid"])

    def _ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        body = json.dumps(request).encode()
        self._wait_until_ready()
        try:
            socket.send_fds(self._control, [channel.LENGTH.pack(len(body))], descriptors)
            self._control.sendall(body)
        except OSError as error:
            raise SandboxError(f"the fork server is gone: {error}") from error

    def _wait_until_ready(self) -> None:
        if self._ready:
            return
        try:
            self._answer(_START_SECONDS)
        except SandboxError:
            self.close()
            raise
        self._ready = True

    def _answer(self, seconds: float) -> dict[str, Any]:
        """The next answer, a line; they come in the order of the requests."""
        while b"\n" not in self._told:
            if not select.select([self._control], [], [], seconds)[0]:
                self._process.kill()
                raise SandboxError(f"the fork server did not answer within {seconds:g} s")
            told = self._control.recv(channel.MAX_TEXT)
            if not told:
                self._process.wait()
                self._said.seek(0)
                said = channel.shown(self._said.read()[-channel.MAX_TEXT :]).strip()
                raise SandboxError(f"the fork server could not start or has ended: {said}")
            self._told += told
        line, _, self._told = self._told.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the zygote; the kernel ends its workers with it."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._said.close()


_LEFT: dict[int, Zygote] = {}
"""What `Zygote.leave` left, by process: one that was forked has no right to its parent's."""


@atexit.register
def _end_left() -> None:
    if left := _LEFT.pop(os.getpid(), None):
        left.close()


class Worker:
    """One sealed process, for one program. Use it as a context manager: leaving it ends it."""

    def __init__(self, zygote: Zygote, inbox: Inbox, unsafe: bool) -> None:
        self._zygote = zygote
        self._unsafe = unsafe
        self._pid: int | None = None
        self.inbox = inbox
        self._status: int | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """The process id. A fork takes milliseconds, and only here are they waited for."""
        if self._pid is None:
            self._zygote.tell_pids()
        assert self._pid is not None
        return self._pid

    def born(self, pid: int) -> None:
        self._pid = pid

    def end(self) -> int:
        """Kill the process and keep what it printed; how it ended, see `Zygote.end`."""
        if self._status is None:
            self._status = self._zygote.end(self)
            self._close()
        return self._status

    def drop(self) -> None:
        """Kill the process, of which nothing more is to be known, and don't wait for its end."""
        if self._status is not None:
            return
        self._status = -signal.SIGKILL
        with contextlib.suppress(SandboxError):  # it is gone, and the kernel ended this one too
            self._zygote.drop(self)
        self._close()

    def _close(self) -> None:
        with contextlib.suppress(Flooded):  # what is kept is kept
            self.inbox.drain()
        self.inbox.close()

    def hello(self) -> Tier:
        """What the worker reached, as it says before it is given anything.

        Raises:
            SandboxError: it is not sealed, and must be.
        """
        kind = {channel.HELLO: channel.MAX_HELLO}
        try:
            _, payload = self.inbox.receive(kind, time.monotonic() + ANSWER_SECONDS)
        except (Closed, Stalled) as error:
            raise self.unsealed() from error
        return self.check_hello(payload)

    def unsealed(self) -> SandboxError:
        """The error to raise for a worker that ended, or stalled, before it said hello."""
        return SandboxError(f"a worker could not seal itself (status {self.end()})")

    def check_hello(self, payload: bytes) -> Tier:
        """See `hello`."""
        said = json.loads(payload)
        tier = Tier(said["layers"], tuple(said["breaches"]))
        if not tier.sealed and not self._unsafe:
            raise SandboxError(
                f"this machine can't seal generated code, so it is refused: {tier.explain()}"
            )
        return tier

    @contextlib.contextmanager
    def doing(self, what: str, source: Source, limit: str = "") -> Iterator[None]:
        """In the block, a worker that stalls, ends or floods fails as the program does.

        Args:
            what: it does, in the words of the error.
            limit: what it must keep to in an episode, likewise.

        Raises:
            ControllerError
        """
        try:
            yield
        except (Stalled, Closed, Flooded) as error:
            raise self.failed(error, source, what, limit) from error

    def failed(
        self, error: Exception, source: Source, what: str, limit: str = ""
    ) -> ControllerError:
        """The error to raise for a worker that stalled, ended or flooded while it did `what`."""
        if isinstance(error, Stalled) and limit:
            return TookTooLong(
                f"{source.path}: {what}: the program took too long and was stopped: {limit}"
                f"{_loops(source)}{self.printed()}"
            )
        if isinstance(error, Stalled):
            why = "took too long; it was stopped"
        elif isinstance(error, Flooded):
            why = f"printed more than {channel.MAX_OUTPUT:,} bytes; it was stopped"
        else:
            status = self.end()
            why = _DEATHS.get(status, f"ended its own process (status {status})")
        return ControllerError(f"{source.path}: {what}: the program {why}{self.printed()}")

    def failure(self, source: Source, payload: bytes) -> tuple[int, ProgramError]:
        """What the worker tells of a failure: the slot, -1 for none, and the error.

        Raises:
            SandboxError: it tells nothing.
        """
        if len(payload) < channel.SLOT.size:
            raise SandboxError("a worker says that it failed, and nothing more")
        (slot,) = channel.SLOT.unpack_from(payload)
        text = channel.shown(payload[channel.SLOT.size :])
        text = text if text.startswith(source.path) else f"{source.path}: {text}"
        self.end()
        return slot, ProgramError(text + self.printed())

    def printed(self) -> str:
        """What the program printed, as the end of an error message."""
        return f"\nIt printed:\n{self.inbox.text}" if self.inbox.text else ""


_DEATHS = {
    -signal.SIGSYS: "made a system call that no program needs",
    -signal.SIGXCPU: "used too much processor time",
    -signal.SIGSEGV: "crashed: endless recursion, or memory that is not its own",
    -signal.SIGKILL: "was killed: too much processor time or memory",
}


def _loops(source: Source) -> str:
    """Where a program that does not end may be, as a line of an error."""
    found = [
        node.lineno for node in ast.walk(ast.parse(source.text)) if isinstance(node, ast.While)
    ]
    if not found:
        return ""
    lines = ", ".join(map(str, sorted(found)))
    return (
        f"\n  does a loop never end? {'while' if len(found) == 1 else 'each while'} on line {lines}"
    )


def source_payload(source: Source) -> bytes:
    """A program as a worker is given it."""
    said = {"name": source.name, "path": source.path, "text": source.text}
    return json.dumps(said).encode()


def read_numbers(payload: bytes) -> dict[str, Any]:
    """A dict of a worker's, by plain names; what its values are is for the caller to check.

    Raises:
        SandboxError: it isn't one.
    """
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise SandboxError("a worker sent something that is not JSON") from error
    if not isinstance(said, dict) or not all(name.isidentifier() for name in said):
        raise SandboxError("a worker sent something that is not parameters by name")
    return said
