"""Seal the current process, for good: it can compute, and read and write what is already open.

Linux only, with ctypes only, without root. The layers, from the least to the most important:
another user id (when root), resource limits, Landlock (where the kernel has it), and a seccomp
allow-list of system calls. Seccomp is the base: a process without it is not called sealed.
Each layer reports what it came to; `breaches` then tries what must fail.

The order matters: the user id first (limits count per user), `no_new_privs` before Landlock
and seccomp (the kernel asks for it), seccomp last (it forbids the calls that set up the rest).
"""

import ctypes
import errno
import functools
import json
import os
import platform
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the tables below and the kernel's name (AUDIT_ARCH) of each machine."""

ALLOWED = {
    "read": (0, 63), "write": (1, 64), "futex": (202, 98), "clock_gettime": (228, 113),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214),
    "mremap": (25, 216), "madvise": (28, 233), "readv": (19, 65), "writev": (20, 66),
    "lseek": (8, 62), "close": (3, 57), "fstat": (5, 80), "getcwd": (79, 17),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "times": (100, 153), "getrusage": (98, 165),
    "getpid": (39, 172), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "uname": (63, 160), "getcpu": (309, 168),
    "exit": (60, 93), "exit_group": (231, 94), "restart_syscall": (219, 128),
    "set_robust_list": (273, 99), "rseq": (334, 293), "membarrier": (324, 283),
}  # fmt: skip
"""What computing needs, by number on (x86-64, aarch64). No call here names a file, a process or
an address of the network. Not even getrandom: randomness without a seed is an error."""

KILLED = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "execve": (59, 221), "execveat": (322, 281), "bpf": (321, 280),
    "io_uring_setup": (425, 425), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "keyctl": (250, 219),
}  # fmt: skip
"""What no library tries by itself: the process dies of it, for an unmistakable verdict.
Whatever is in neither table fails with EPERM."""

_TGKILL = (234, 131)
"""Allowed to a process for itself: this is how it aborts."""
_SECCOMP = (317, 277)
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_CAPSET = (126, 91)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 4, 38, 47
_CAPABILITY_VERSION_3, _AMBIENT_CLEAR_ALL = 0x20080522, 4
_SET_MODE_FILTER, _FILTER_FLAG_TSYNC = 1, 1

# Instructions of classic BPF: load a word, jump if equal / at least / any bit, return.
LOAD, EQUAL, AT_LEAST, _ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AND = 0x54
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
X32_BIT = 0x40000000
_PROT_EXEC = 4

_REFUSED_BITS = {
    "mmap": (2, _PROT_EXEC, errno.EACCES), "mprotect": (2, _PROT_EXEC, errno.EACCES),
    # The processor clock of another process, by its id, tells what that one does.
    "clock_gettime": (0, 1 << 31, errno.EPERM), "clock_getres": (0, 1 << 31, errno.EPERM),
    "clock_nanosleep": (0, 1 << 31, errno.EPERM),
    "sched_getaffinity": (0, 0xFFFFFFFF, errno.EPERM),
}  # fmt: skip
"""Calls of `ALLOWED` that fail if an argument has one of these bits: (argument, bits, error)."""

_FUTEX_COMMAND = 0x7F
_FUTEX_COMMANDS = (0, 1, 3, 4, 5, 9, 10)
"""Wait, wake and requeue. The others lend their priority to the process that a word names, and so
tell which processes there are."""

_FIRST_UID, _UIDS = 61184, 4096
"""Where worker user ids lie: a range that containers map and systemd uses the same way."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sealed process may use.

    memory_bytes: address space beyond what the process has when it is sealed.
    cpu_seconds: processor time. The trusted side's wall clock is the first net, this the second.
    exec_pages: whether it may make memory executable, as a compiler must.
    """

    memory_bytes: int = 1 << 30
    cpu_seconds: int = 600
    exec_pages: bool = False


def supported() -> str | None:
    """Why this machine can't be sealed at all; None if it may be."""
    if not sys.platform.startswith("linux"):
        return f"seccomp is a part of Linux; this is {sys.platform}"
    if platform.machine() not in MACHINES or struct.calcsize("P") != 8:
        return f"no table of system calls for {platform.machine()}, only for {list(MACHINES)}"
    return None


def seal(limits: Limits, without: frozenset[str] = frozenset()) -> dict[str, str]:
    """Give up everything but computing; returns what each layer came to.

    A layer that holds says "on..."; one that doesn't says "off: " and why. The caller decides.

    Args:
        without: layers to leave out, for tests of the others.
    """
    layers: dict[str, Callable[[], str]] = {
        "uid": _drop_uid,
        "limits": lambda: _set_limits(limits),
    }
    if supported() is None:
        layers |= {
            "no_new_privs": no_new_privs,
            "landlock": landlock,
            "seccomp": lambda: _seccomp(limits.exec_pages),
        }
    done = {}
    for name, layer in layers.items():
        if name in without:
            done[name] = "off: left out"
            continue
        try:
            done[name] = layer()
        except (OSError, ValueError) as error:
            done[name] = f"off: {error}"
    if (reason := supported()) is not None:
        done["seccomp"] = f"off: {reason}"
    return done


def breaches() -> list[str]:
    """What a sealed process could do and must not; empty if the seal holds."""
    attempts: dict[str, Callable[[], object]] = {
        "open a file": lambda: os.open("/", os.O_RDONLY),
        "make a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "signal another process": lambda: os.kill(os.getppid(), 0),
        "fork": _fork,
    }
    done = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        done.append(name)
    return done


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def build_filter(exec_pages: bool) -> bytes:
    """The seccomp program: allow what is in `ALLOWED`, kill on `KILLED`, refuse the rest."""
    column, _ = MACHINES[platform.machine()]
    own = [
        instruction(EQUAL, _TGKILL[column], 0, 3),
        instruction(LOAD, ARGUMENTS),
        instruction(EQUAL, os.getpid(), 0, 1),
        instruction(RETURN, ALLOW),
        instruction(RETURN, ERRNO | errno.EPERM),
    ]
    return fixed_filter(exec_pages) + b"".join(own)


@functools.cache
def fixed_filter(exec_pages: bool) -> bytes:
    """What begins the filter of every process, and can be built before there is one."""
    column, architecture = MACHINES[platform.machine()]
    code = [
        instruction(LOAD, ARCHITECTURE),
        instruction(EQUAL, architecture, 1, 0),
        instruction(RETURN, KILL),
        instruction(LOAD, NUMBER),
        instruction(AT_LEAST, X32_BIT, 0, 1),
        instruction(RETURN, KILL),
    ]
    for name, numbers in ALLOWED.items():
        number = numbers[column]
        argument, bits, refusal = _REFUSED_BITS.get(name, (0, 0, 0))
        if name == "futex":
            code += _futex(number)
        elif bits and not (exec_pages and bits == _PROT_EXEC):
            code += [
                instruction(EQUAL, number, 0, 4),
                instruction(LOAD, ARGUMENTS + 8 * argument),
                instruction(_ANY_BIT, bits, 0, 1),
                instruction(RETURN, ERRNO | refusal),
                instruction(RETURN, ALLOW),
            ]
        else:
            code += [instruction(EQUAL, number, 0, 1), instruction(RETURN, ALLOW)]
    for numbers in KILLED.values():
        code += [instruction(EQUAL, numbers[column], 0, 1), instruction(RETURN, KILL)]
    return b"".join(code)


def _futex(number: int) -> list[bytes]:
    """Allow the commands of `_FUTEX_COMMANDS`, whatever flags they have."""
    count = len(_FUTEX_COMMANDS)
    return [
        instruction(EQUAL, number, 0, count + 4),
        instruction(LOAD, ARGUMENTS + 8),
        instruction(_AND, _FUTEX_COMMAND),
        *(instruction(EQUAL, one, count - k) for k, one in enumerate(_FUTEX_COMMANDS)),
        instruction(RETURN, ERRNO | errno.EPERM),
        instruction(RETURN, ALLOW),
    ]


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def load_libc() -> ctypes.CDLL:
    """The C library; a process that will be sealed must have called this before."""
    global _libc
    if _libc is None:
        _libc = ctypes.CDLL(None, use_errno=True)
        _libc.syscall.restype = ctypes.c_long
    return _libc


_libc: ctypes.CDLL | None = None


def checked(value: int, call: str) -> int:
    if value < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return value


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends (Linux)."""
    if sys.platform.startswith("linux"):
        load_libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _drop_uid() -> str:
    """Root becomes a user of its own, without groups; others stay who they are."""
    if os.geteuid() != 0:
        return "on: not root"
    if not hasattr(os, "setresuid"):
        raise ValueError(f"{sys.platform} can't change the user id for good")
    uid = _FIRST_UID + os.getpid() % _UIDS
    parent = os.getppid()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    die_with_parent()  # which a change of user id cancels
    if os.getppid() != parent:
        raise ValueError("the parent has ended")
    return "on: a user of its own"


def _set_limits(limits: Limits) -> str:
    """Each limit by itself: some containers refuse some of them."""
    address_space = limits.memory_bytes + _address_space()
    wanted = {
        "CORE": (0, 0),
        "FSIZE": (0, 0),
        "NOFILE": (8, 8),
        "NPROC": (0, 0),
        "MEMLOCK": (0, 0),
        "MSGQUEUE": (0, 0),
        "CPU": (limits.cpu_seconds, limits.cpu_seconds + 1),
        "AS": (address_space, address_space),
    }
    refused = []
    for name, (soft, hard) in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is None:
            continue
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        try:
            resource.setrlimit(kind, (soft, hard))
        except (OSError, ValueError):
            refused.append(name)
    return "on" if not refused else f"on, but for {', '.join(refused)}"


def _address_space() -> int:
    """Bytes of address space that this process has."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def no_new_privs() -> str:
    """Nothing this process executes may gain rights; what rights it has, it drops."""
    libc = load_libc()
    checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    column, _ = MACHINES[platform.machine()]
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), 8)
    no_capability = ctypes.create_string_buffer(24)
    checked(libc.syscall(_CAPSET[column], header, no_capability), "capset")
    # Another process of the same user may not read this one's memory either.
    checked(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "PR_SET_DUMPABLE")
    return "on"


def landlock_abi() -> int:
    """Version of Landlock that the kernel offers, 0 if none."""
    return max(0, int(load_libc().syscall(_LANDLOCK_CREATE, None, 0, 1)))


def landlock(
    open_paths: Callable[[int, int], object] | None = None, *, network: bool = False
) -> str:
    """Deny every file; TCP from version 4 on; signals and abstract sockets from 6 on.

    Args:
        open_paths: called with the ruleset and the rights it denies, to except some paths.
        network: leave TCP open.
    """
    abi = landlock_abi()
    if abi == 0:
        raise OSError(errno.ENOSYS, "the kernel has no Landlock")
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    tcp = 0b11 if abi >= 4 and not network else 0
    scopes = 0b11 if abi >= 6 else 0
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    attributes = ctypes.create_string_buffer(struct.pack("QQQ", files, tcp, scopes), 24)
    libc = load_libc()
    ruleset = checked(libc.syscall(_LANDLOCK_CREATE, attributes, size, 0), "landlock_create")
    try:
        if open_paths is not None:
            open_paths(ruleset, files)
        checked(libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)
    return f"on: version {abi}"


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def filter_calls(code: bytes) -> None:
    """Let the kernel run a filter of classic BPF before every system call, for good."""
    column, _ = MACHINES[platform.machine()]
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    call = load_libc().syscall(
        _SECCOMP[column], _SET_MODE_FILTER, _FILTER_FLAG_TSYNC, ctypes.byref(program)
    )
    checked(call, "seccomp")


def _seccomp(exec_pages: bool) -> str:
    filter_calls(build_filter(exec_pages))
    return f"on: {len(ALLOWED) + 1} calls allowed"


if __name__ == "__main__":
    # What this machine reaches, for `autotts doctor`: seal this very process and try it.
    load_libc()
    reached = seal(Limits())
    print(json.dumps({"layers": reached, "breaches": breaches()}))
