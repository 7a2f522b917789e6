"""The jail of a coding agent: it may read the system, write its workspace, and nothing else.

An agent must start programs, so the sandbox of controllers is too tight for it. Landlock (Linux)
leaves it the folders named here; without network, a seccomp filter refuses every socket but those
of the file system; rights, signals to others and looking into other processes go with both.
Sockets of the file system that other services of the same user offer are not closed off.
"""

import ctypes
import errno
import os
import platform
import resource
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autotts.sandbox.confine import seal

_ADD_RULE, _PATH_BENEATH = 445, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL_DEVICE = 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_SOCKET = {"x86_64": 41, "aarch64": 198}
_IO_URING_SETUP = 425
_LARGEST_FILE = 256 * 1024 * 1024

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


def missing(network: bool) -> str | None:
    """Why an agent can't be jailed on this machine; None if it can."""
    if not sys.platform.startswith("linux"):
        return f"Landlock is a part of Linux; this is {sys.platform}"
    if seal.landlock_abi() == 0:
        return "the kernel has no Landlock (Linux 5.13 or newer, not switched off)"
    if not network and seal.supported() is not None:
        return seal.supported()
    return None


def enter(jail: Jail) -> dict[str, str]:
    """Jail this process and all that it will start, for good.

    Raises:
        OSError, ValueError: a layer can't be had; the process must end.
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
    layers["network"] = "open" if jail.network else _refuse_sockets()
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


def _refuse_sockets() -> str:
    """Refuse sockets that reach beyond the file system, also by the way around system calls."""
    _, architecture = seal.MACHINES[platform.machine()]
    refuse = seal.ERRNO | errno.EACCES
    seal.filter_calls(
        b"".join(
            [
                seal.instruction(seal.LOAD, seal.ARCHITECTURE),
                seal.instruction(seal.EQUAL, architecture, 1, 0),
                seal.instruction(seal.RETURN, seal.KILL),
                seal.instruction(seal.LOAD, seal.NUMBER),
                seal.instruction(seal.AT_LEAST, seal.X32_BIT, 0, 1),
                seal.instruction(seal.RETURN, seal.KILL),
                seal.instruction(seal.EQUAL, _IO_URING_SETUP, 0, 1),
                seal.instruction(seal.RETURN, refuse),
                seal.instruction(seal.EQUAL, _SOCKET[platform.machine()], 0, 3),
                seal.instruction(seal.LOAD, seal.ARGUMENTS),
                seal.instruction(seal.EQUAL, socket.AF_UNIX, 1, 0),
                seal.instruction(seal.RETURN, refuse),
                seal.instruction(seal.RETURN, seal.ALLOW),
            ]
        )
    )
    return "closed"
