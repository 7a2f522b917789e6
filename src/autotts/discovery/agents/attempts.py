"""What a jailed agent must not get done, tried by one: `python -I attempts.py ORDERS`.

Only the standard library, and one file: it runs inside the jail, where autotts may not be read.
Prints a JSON list of the attempts that came to something. An attempt counts by its effect: a call
that reports success and changed nothing is none.
"""

import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass

_libc = ctypes.CDLL(None, use_errno=True)
_SET_FLAGS, _GET_FLAGS, _NO_DUMP = 0x40086602, 0x80086601, 0x40
_PTRACE_SEIZE = 0x4206
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x20000
_MOUNT_SETATTR, _READ_ONLY, _WITH_ALL_BELOW = 442, 1, 0x8000


@dataclass(frozen=True, slots=True)
class Outside:
    """What is there to attack.

    closed: a file that it may not open.
    readable: a file that it may read.
    socket: a path where a program listens.
    abstract: the same by a name without a file.
    process: the process that waits for it.
    """

    closed: str
    readable: str
    socket: str
    abstract: str
    process: int


def attempts(there: Outside, *, network: bool) -> dict[str, Callable[[], bool]]:
    """What to try, by what it would be called; each says whether it was done, or raises."""
    own = os.getppid()
    return {
        "read a file outside": lambda: _opens(there.closed, os.O_RDONLY),
        "write a file outside": lambda: _opens(there.readable, os.O_WRONLY),
        "make a file outside": lambda: _opens(there.closed + ".new", os.O_CREAT | os.O_WRONLY),
        "list a folder outside": lambda: bool(os.listdir(os.path.dirname(there.closed))),
        "link to a file outside": lambda: _succeeds(lambda: os.link(there.closed, "linked")),
        "change the mode of a file": lambda: _changes(there, lambda p: os.chmod(p, 0o600)),
        "change the mode of an open file": lambda: _changes_open(there, _fchmod),
        "change the times of a file": lambda: _changes(there, lambda p: os.utime(p, (1, 1))),
        "change the times of an open file": lambda: _changes_open(there, _futime),
        "change the owner of a file": lambda: _changes(there, _chown),
        "change the attributes of a file": lambda: _changes(there, _set_attribute),
        "change the flags of an open file": lambda: _changes_open(there, _set_flags),
        "unlock a read-only mount": lambda: _unlocks(there),
        "set limits of another process": lambda: _any(_limits, there.process, own),
        "change the priority of another process": lambda: _any(_priority, there.process, own),
        "change the cores of another process": lambda: _any(_cores, there.process, own),
        "signal another process": lambda: _succeeds(lambda: os.kill(there.process, 0)),
        "read another process's environment": lambda: _any(_environment, there.process, own),
        "read another process's memory": lambda: _any(_memory, there.process, own),
        "trace another process": lambda: _any(_trace, there.process, own),
        "reach a socket of another program": lambda: _connects(there.socket),
        "reach an abstract socket of another program": lambda: _connects("\0" + there.abstract),
    } | ({} if network else {"make a network socket": _makes_a_socket})


def tried(there: Outside, *, network: bool) -> list[str]:
    """The attempts that came to something."""
    found = []
    for name, attempt in attempts(there, network=network).items():
        try:
            done = attempt()
        except OSError:
            continue
        if done:
            found.append(name)
    return found


def _succeeds(call: Callable[[], object]) -> bool:
    call()
    return True


def _any(call: Callable[[int], object], *processes: int) -> bool:
    """Whether it works on one of the processes."""
    for process in processes:
        try:
            call(process)
        except OSError:
            continue
        return True
    return False


def _checked(value: int) -> None:
    if value < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _opens(path: str, flags: int) -> bool:
    os.close(os.open(path, flags, 0o600))
    return True


def _status(path: str) -> tuple[int, ...]:
    # Any change to what is known about a file changes its ctime.
    status = os.stat(path)
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_ctime_ns


def _changes(there: Outside, change: Callable[[str], object]) -> bool:
    """Whether a change by path comes to something on the closed or the readable file."""
    done = False
    for path in (there.closed, there.readable):
        try:
            before = _status(path)
            change(path)
            done = done or _status(path) != before
        except OSError:
            continue
    return done


def _changes_open(there: Outside, change: Callable[[int], object]) -> bool:
    """Whether a change by descriptor comes to something on the readable file."""
    before = _status(there.readable)
    handle = os.open(there.readable, os.O_RDONLY)
    try:
        change(handle)
    finally:
        os.close(handle)
    return _status(there.readable) != before


def _fchmod(handle: int) -> None:
    os.fchmod(handle, 0o600)


def _futime(handle: int) -> None:
    os.utime(handle, (1, 1))


def _chown(path: str) -> None:
    os.chown(path, os.getuid(), os.getgid())


def _set_attribute(path: str) -> None:
    os.setxattr(path, "user.autotts", b"1")


def _set_flags(handle: int) -> None:
    flags = struct.unpack("l", fcntl.ioctl(handle, _GET_FLAGS, struct.pack("l", 0)))[0]
    fcntl.ioctl(handle, _SET_FLAGS, struct.pack("l", flags ^ _NO_DUMP))


def _unlocks(there: Outside) -> bool:
    """Whether a mount can be made writable again, also as the root of a user namespace."""
    if os.fork() == 0:
        _libc.unshare(_NEW_USER | _NEW_MOUNTS)
        attributes = struct.pack("QQQQ", 0, _READ_ONLY, 0, 0)
        _libc.syscall(_MOUNT_SETATTR, -100, b"/", _WITH_ALL_BELOW, attributes, len(attributes))
        try:
            before = _status(there.readable)
            os.chmod(there.readable, 0o604)
            os._exit(0 if _status(there.readable) != before else 1)
        finally:
            os._exit(1)
    return os.wait()[1] == 0


def _limits(process: int) -> None:
    resource.prlimit(process, resource.RLIMIT_CORE, (0, 0))


def _priority(process: int) -> None:
    lower = min(19, os.getpriority(os.PRIO_PROCESS, process) + 1)
    os.setpriority(os.PRIO_PROCESS, process, lower)


def _cores(process: int) -> None:
    os.sched_setaffinity(process, os.sched_getaffinity(0))


def _environment(process: int) -> None:
    with open(f"/proc/{process}/environ", "rb") as file:
        file.read()


def _memory(process: int) -> None:
    with open(f"/proc/{process}/mem", "rb") as file:
        file.read(0)


def _trace(process: int) -> None:
    _checked(_libc.ptrace(_PTRACE_SEIZE, process, None, None))


def _connects(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
    return True


def _makes_a_socket() -> bool:
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        try:
            socket.socket(family, socket.SOCK_DGRAM).close()
        except OSError:
            continue
        return True
    return False


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    orders = json.loads(sys.argv[1])
    print(json.dumps(tried(Outside(**orders["outside"]), network=orders["network"])))
