"""The zygote, or fork server: a warm process that forks sealed workers, started by exec with
nothing in it.

It never held a store, a key or an environment variable of the user's. It imports the compiler
and the driver once; a worker inherits both by fork and seals itself before it is given the
program. Requests are served in order. "fork" and "end" are answered, a line each, and the trusted
side need not wait for that before it asks again; "drop" is not. The zygote does not reap a
worker before it is told to, so that no process id is used twice while anybody may signal it.
"""

import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import socket
import sys
import warnings
from typing import Any, NoReturn

from autotts.sandbox.confine import seal
from autotts.sandbox.guest import main as worker_main
from autotts.sandbox.wire.channel import HELLO, LENGTH, Outbox

_MAX_FILES = 64
_HUGE = 1 << 21
_MADV_COLLAPSE = 25


def main(control: socket.socket) -> None:
    """Serve requests until the trusted side is gone, which closes its end of the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_FILES, _MAX_FILES))
    seal.load_libc()
    if seal.supported() is None:
        seal.fixed_filter(False), seal.fixed_filter(True)
    worker_main.warm_up()
    gc.collect()
    gc.freeze()
    _use_huge_pages()
    _answer(control, {"ready": True})
    dropped: set[int] = set()
    while True:
        length, descriptors, _, _ = socket.recv_fds(control, LENGTH.size, 4)
        if not length:
            return
        (size,) = LENGTH.unpack(length)
        asked = json.loads(control.recv(size, socket.MSG_WAITALL))
        if asked["do"] == "fork":
            pid = os.fork()
            if pid == 0:
                control.close()
                _become_worker(asked, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            _answer(control, {"pid": pid})
        elif asked["do"] == "drop":
            _kill(asked["pid"])
            dropped.add(asked["pid"])
        else:
            _answer(control, _end(asked["pid"]))
        dropped -= {pid for pid in dropped if os.waitpid(pid, os.WNOHANG)[0]}


def _use_huge_pages() -> None:
    """Move the heap to huge pages where the kernel can: a fork, and its end, take half as long.

    Forking copies an entry for each of some 20,000 small pages, and a worker lives for
    milliseconds. A huge page that a worker writes to is split, and copied in small pages.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = seal.load_libc()
    with open("/proc/self/maps") as maps:
        for span, rights, *rest in (line.split() for line in maps):
            if rights == "rw-p" and (len(rest) < 4 or rest[-1] == "[heap]"):
                low, high = (int(word, 16) for word in span.split("-"))
                low = -(-low // _HUGE) * _HUGE
                size = high // _HUGE * _HUGE - low
                if size > 0:
                    libc.madvise(ctypes.c_void_p(low), ctypes.c_size_t(size), _MADV_COLLAPSE)


def _answer(control: socket.socket, answer: dict[str, Any]) -> None:
    control.sendall(json.dumps(answer).encode() + b"\n")


def _kill(pid: int) -> None:
    """Kill a worker with all of its process group."""
    for kill in (os.killpg, os.kill):
        # It may have ended by itself, or not have made its group yet.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _end(pid: int) -> dict[str, Any]:
    """Kill a worker and say how it ended."""
    _kill(pid)
    _, status = os.waitpid(pid, 0)
    return {"status": os.waitstatus_to_exitcode(status)}


def _become_worker(asked: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Close everything, seal, say hello, run the program; never return."""
    status = 1
    try:
        os.setsid()
        os.chdir("/")
        os.umask(0o077)
        channel, memory = _keep(descriptors)
        seal.die_with_parent()
        shared = worker_main.Shared(memory, asked["shared"]) if memory else None
        os.closerange(4, _MAX_FILES)
        layers = seal.seal(seal.Limits(**asked["limits"]), frozenset(asked["without"]))
        hello = {"layers": layers, "breaches": seal.breaches()}
        outbox = Outbox(channel)
        outbox.send(HELLO, json.dumps(hello).encode())
        if not hello["breaches"] or asked["unsafe"]:
            worker_main.serve(outbox, shared)
            status = 0
    except EOFError:
        status = 0
    finally:
        os._exit(status)


def _keep(descriptors: list[int]) -> tuple[socket.socket, list[int]]:
    """Keep the channel, the pipe for output and the shared memory; close all other files."""
    high = [os.dup2(d, _MAX_FILES // 2 + i) for i, d in enumerate(descriptors)]
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in enumerate([nothing, high[1], high[1], high[0], *high[2:]]):
        os.dup2(source, target)
    first = 4 + len(high[2:])
    os.closerange(first, _MAX_FILES)
    return socket.socket(fileno=3), list(range(4, first))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(socket.socket(fileno=int(sys.argv[1])))
