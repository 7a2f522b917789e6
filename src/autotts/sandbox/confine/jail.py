"""The jail of a coding agent: it may read the system, write its workspace, and nothing else.

An agent must start programs, so the sandbox of controllers is too tight for it. The layers:

- Landlock (Linux, required) leaves it the folders named here, and its own processes to signal (from
  version 6 on) and to look into.
- Namespaces, where allowed, leave it a file system of these folders alone, read-only but for its
  own: no mode, owner, time or attribute of a file outside can be changed and no socket of others be
  reached. They leave it its own processes, IPC and, without network, no interface.
- A filter of system calls (required) refuses what reaches other processes by their number, mounts,
  keys and tracing; without network, every socket but those of the file system. Where there are no
  namespaces nothing changes modes, owners, times and attributes, of its own files neither: which
  file is meant, a filter can't see.

What does not hold on a machine, `enter` says layer by layer, and `autotts doctor` tries.
"""

import ctypes
import errno
import os
import platform
import resource
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autotts.sandbox.confine import seal
from autotts.sandbox.confine.namespaces import Namespaces

_ADD_RULE, _PATH_BENEATH = 445, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL_DEVICE = 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_LARGEST_FILE = 256 * 1024 * 1024

REFUSED = {
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "io_uring_setup": (425, 425), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218),
}  # fmt: skip
"""What no agent needs, by number on (x86-64, aarch64): other ways to the same ends, and keys."""

OF_ITSELF = {
    "prlimit64": ((302, 261), {0: 0}), "sched_setaffinity": ((203, 122), {0: 0}),
    "sched_setscheduler": ((144, 119), {0: 0}), "sched_setparam": ((142, 118), {0: 0}),
    "sched_setattr": ((314, 274), {0: 0}), "migrate_pages": ((256, 238), {0: 0}),
    "move_pages": ((279, 239), {0: 0}), "setpriority": ((141, 140), {0: 0, 1: 0}),
    "ioprio_set": ((251, 30), {0: 1, 1: 0}),
}  # fmt: skip
"""What acts on any process of the same user, and the arguments by which it acts on the caller."""

PRETENDED = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
}  # fmt: skip
"""Modes, times and owners: without namespaces these do nothing and report success. Programs that
unpack or copy call them on files of their own and give up where they fail."""

ATTRIBUTES = {
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469),
}  # fmt: skip
"""Attributes: without namespaces these fail as on a file system that has none."""

_SOCKET = (41, 198)
_IOCTL, _SET_FLAGS = (16, 29), (0x40086602, 0x40046602, 0x401C5820)

SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/proc",
    "/sys/devices/system/cpu", "/sys/fs/cgroup", "/etc/alternatives", "/etc/bash.bashrc",
    "/etc/ca-certificates", "/etc/gai.conf", "/etc/gitconfig", "/etc/group", "/etc/host.conf",
    "/etc/hosts", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
    "/etc/mime.types", "/etc/nsswitch.conf", "/etc/os-release", "/etc/passwd", "/etc/pki",
    "/etc/profile", "/etc/protocols", "/etc/resolv.conf", "/etc/services", "/etc/ssl",
    "/dev/random", "/dev/urandom", "/dev/zero", "/dev/full",
)  # fmt: skip
"""What any program may need of the system, and no secrets: not /etc/shadow, no home, no data."""

DEVICES = ("/dev/null", "/dev/tty", "/dev/ptmx", "/dev/pts")


@dataclass(frozen=True, slots=True)
class Jail:
    """What stays open.

    read, write: folders and files; what is not there is passed over.
    network: whether it may speak to the network.
    """

    read: Sequence[str]
    write: Sequence[str]
    network: bool

    def holds(self, path: Path) -> str | None:
        """The open folder that a path lies in, or that lies in it; None if it stays closed."""
        real = path.resolve()
        for opened in (*self.read, *self.write):
            other = Path(opened).resolve()
            if real.is_relative_to(other) or other.is_relative_to(real):
                return opened
        return None


def missing() -> str | None:
    """Why an agent can't be jailed on this machine; None if it can."""
    if not sys.platform.startswith("linux"):
        return f"Landlock is a part of Linux; this is {sys.platform}"
    if seal.landlock_abi() == 0:
        return "the kernel has no Landlock (Linux 5.13 or newer, not switched off)"
    return seal.supported()


def enter(jail: Jail, namespaces: Namespaces | None, why_not: str) -> dict[str, str]:
    """Jail this process and all that it will start, for good.

    Args:
        namespaces: those that this process is in, with a root of its own; None for none.
        why_not: why it is not in more.

    Returns:
        what each layer came to: "on..." or "off: " and why; of the network "open" or "closed".

    Raises:
        OSError, ValueError: a layer that is required can't be had; the process must end.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def open_paths(ruleset: int, rights: int) -> None:
        _open(ruleset, jail.read, _READ & rights)
        _open(ruleset, DEVICES, (_READ | _WRITE_FILE | _IOCTL_DEVICE) & rights)
        _open(ruleset, jail.write, rights)

    layers = {
        "no_new_privs": seal.no_new_privs(),
        "landlock": seal.landlock(open_paths, network=jail.network),
    }
    seal.filter_calls(build_filter(network=jail.network, metadata=namespaces is not None))
    layers["calls"] = "on" if namespaces else "on: modes and times of no file can be changed"
    layers["files"] = (
        "on: a root of its own"
        if namespaces
        else f"off: sockets of other programs can be reached: {why_not}"
    )
    scoped = seal.landlock_abi() >= 6
    if namespaces is not None and namespaces.processes:
        layers["processes"] = "on: it sees its own"
    elif scoped:
        layers["processes"] = f"on: others can be seen, not signalled: {why_not}"
    else:
        layers["processes"] = f"off: others of your user can be signalled: {why_not}"
    layers["network"] = "open" if jail.network else "closed"
    if jail.network and not scoped:
        layers["network"] = "open, abstract sockets of this machine too"
    return layers


def _open(ruleset: int, paths: Sequence[str], rights: int) -> None:
    libc = seal.load_libc()
    for path in paths:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            of_path = rights if os.path.isdir(path) else rights & _OF_FILES
            rule = ctypes.create_string_buffer(struct.pack("=Qi", of_path, handle), 12)
            seal.checked(
                libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), f"landlock: {path}"
            )
        finally:
            os.close(handle)


def build_filter(*, network: bool, metadata: bool) -> bytes:
    """The filter of system calls, by number and arguments; what it does not name is allowed.

    Args:
        network: allow every socket.
        metadata: allow to change modes, owners, times and attributes.
    """
    column, architecture = seal.MACHINES[platform.machine()]
    code = [
        seal.instruction(seal.LOAD, seal.ARCHITECTURE),
        seal.instruction(seal.EQUAL, architecture, 1, 0),
        seal.instruction(seal.RETURN, seal.KILL),
        seal.instruction(seal.LOAD, seal.NUMBER),
        seal.instruction(seal.AT_LEAST, seal.X32_BIT, 0, 1),
        seal.instruction(seal.RETURN, seal.KILL),
    ]
    for numbers in REFUSED.values():
        code += _answer(numbers[column], errno.EPERM)
    for numbers, arguments in OF_ITSELF.values():
        code += _unless(numbers[column], arguments, errno.EPERM)
    if not network:
        code += _unless(_SOCKET[column], {0: socket.AF_UNIX}, errno.EACCES)
    if not metadata:
        for known in PRETENDED.values():
            code += _answer(known[column], 0)
        for known in ATTRIBUTES.values():
            code += _answer(known[column], errno.EOPNOTSUPP)
        for command in _SET_FLAGS:
            code += _if(_IOCTL[column], 1, command, errno.EOPNOTSUPP)
    code.append(seal.instruction(seal.RETURN, seal.ALLOW))
    return b"".join(code)


def _answer(number: int | None, error: int) -> list[bytes]:
    """Answer a call with an error, 0 for success, and don't do it; None is no call here."""
    if number is None:
        return []
    return [
        seal.instruction(seal.EQUAL, number, 0, 1),
        seal.instruction(seal.RETURN, seal.ERRNO | error),
    ]


def _unless(number: int, arguments: Mapping[int, int], error: int) -> list[bytes]:
    """Answer a call with an error unless these of its arguments, of 32 bits, have these values."""
    checks = []
    for index, (argument, value) in enumerate(arguments.items()):
        to_error = 2 * (len(arguments) - index) - 1
        checks += [
            seal.instruction(seal.LOAD, seal.ARGUMENTS + 8 * argument),
            seal.instruction(seal.EQUAL, value, 0, to_error),
        ]
    return [
        seal.instruction(seal.EQUAL, number, 0, len(checks) + 2),
        *checks,
        seal.instruction(seal.RETURN, seal.ALLOW),
        seal.instruction(seal.RETURN, seal.ERRNO | error),
    ]


def _if(number: int, argument: int, value: int, error: int) -> list[bytes]:
    """Answer a call with an error if an argument, of 32 bits, has this value."""
    return [
        seal.instruction(seal.EQUAL, number, 0, 4),
        seal.instruction(seal.LOAD, seal.ARGUMENTS + 8 * argument),
        seal.instruction(seal.EQUAL, value, 0, 1),
        seal.instruction(seal.RETURN, seal.ERRNO | error),
        # The number must be in the register again for what follows.
        seal.instruction(seal.LOAD, seal.NUMBER),
    ]
