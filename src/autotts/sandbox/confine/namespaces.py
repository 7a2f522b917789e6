"""A file system, processes and a network of a process's own: namespaces of Linux, where allowed.

`find` tries in a process of its own what this machine allows; `separate` is for the process that
will start the first one inside; `new_root` is for that first one, before it starts anything else.
The new root is an empty folder in memory that holds the paths named and nothing besides: read-only,
so that not even the owner of a file can change its mode or times, and without the sockets, pipes
and devices that other programs offer elsewhere.

    caller    separate()    user, processes, IPC, network: for what it starts from now on
      first     new_root()  mounts
        agent   jail.enter()
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from autotts.sandbox.confine import seal

_MOUNTS, _IPC, _USER = 0x00020000, 0x08000000, 0x10000000
_PROCESSES, _NETWORK = 0x20000000, 0x40000000
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXEC = 1, 2, 4, 8
_RECURSIVELY, _PRIVATE = 0x4000, 0x40000
_DETACH = 2
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_PIVOT_ROOT = (155, 41)
_CLONE_TREE, _TREE_AND_BELOW, _OF_DESCRIPTOR = 1, 0x8000, 0x1000
_FROM_DESCRIPTOR = 4
_HERE = -100
_MOST_LINKS = 40
_DONE = "done"
_LINKS = {
    "/dev/ptmx": "pts/ptmx",
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}


@dataclass(frozen=True, slots=True)
class Namespaces:
    """What is to be had beside a file system of its own.

    user: by a user namespace, as who is not allowed to mount must.
    processes: it sees its own only.
    network: it has none; False leaves it the machine's.
    """

    user: bool
    processes: bool
    network: bool


def find(
    read: Sequence[str], write: Sequence[str], *, closed: bool
) -> tuple[Namespaces | None, str]:
    """The most that this machine allows, tried in a process of its own.

    Args:
        read, write: as in `new_root`.
        closed: without network.

    Returns:
        what is to be had, None for nothing, and why not more, "" for everything.
    """
    reason = ""
    for processes in (True, False):
        for user in (False, True) if os.geteuid() == 0 else (True,):
            wanted = Namespaces(user, processes, closed)
            failure = _attempt(wanted, read, write)
            if not failure:
                return wanted, reason
            reason = reason or failure
    return None, reason


def separate(wanted: Namespaces) -> None:
    """Give what this process starts namespaces of its own; the first it starts must not end early.

    Raises:
        OSError: not allowed.
    """
    user, group = os.geteuid(), os.getegid()
    flags = _IPC
    flags |= _USER if wanted.user else 0
    flags |= _PROCESSES if wanted.processes else 0
    flags |= _NETWORK if wanted.network else 0
    seal.checked(seal.load_libc().unshare(flags), "unshare")
    if wanted.user:
        for name, text in (
            ("setgroups", "deny"),
            ("gid_map", f"{group} {group} 1"),
            ("uid_map", f"{user} {user} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def new_root(read: Sequence[str], write: Sequence[str], *, processes: bool) -> None:
    """Leave this process a file system of these paths alone; its work folder is its root then.

    Args:
        read: folders and files to read and run; `/dev/null` and the like too. What is not there is
            passed over.
        write: folders that can be written as before; one must be there.
        processes: whether this is the first process of a namespace, which `/proc` should show.

    Raises:
        OSError: not allowed.
    """
    libc = seal.load_libc()
    seal.checked(libc.unshare(_MOUNTS), "unshare")
    _mount("none", "/", None, _RECURSIVELY | _PRIVATE)
    links: dict[str, str] = {}
    kept = _opened(read, write, links)
    # The folder it is put together on is hidden by it, and was opened before.
    base = next(os.path.realpath(path) for path in write if os.path.isdir(path))
    _mount("autotts", base, "tmpfs", _NO_SUID | _NO_DEVICES, "mode=755")
    for path, tree in kept:
        if path == "/proc" and processes:
            _make_place(base + path, folder=True)
            _mount("proc", base + path, "proc", _NO_SUID | _NO_DEVICES | _NO_EXEC)
            _make_read_only(_HERE, os.fsencode(base + path), 0)
        else:
            _make_place(base + path, folder=os.path.isdir(f"/proc/self/fd/{tree}"))
            _move(tree, base + path)
        os.close(tree)
    _make_place(f"{base}/dev/pts", folder=True)
    _mount("devpts", f"{base}/dev/pts", "devpts", _NO_SUID | _NO_EXEC, "newinstance,ptmxmode=0666")
    for path, target in (links | _LINKS).items():
        if not os.path.lexists(base + path):
            _make_place(os.path.dirname(base + path), folder=True)
            os.symlink(target, base + path)
    _make_read_only(_HERE, os.fsencode(base), 0)
    os.chdir(base)
    column, _ = seal.MACHINES[platform.machine()]
    seal.checked(libc.syscall(_PIVOT_ROOT[column], b".", b"."), "pivot_root")
    seal.checked(libc.umount2(b".", _DETACH), "umount")
    os.chdir("/")


def _opened(
    read: Sequence[str], write: Sequence[str], links: dict[str, str]
) -> list[tuple[str, int]]:
    """Copies of the mounts that hold these paths, in order, none within an equal one.

    Args:
        links: gets the symbolic links on the way to them.
    """
    wanted = dict.fromkeys(_real_paths(read, links), False)
    wanted |= dict.fromkeys(_real_paths(write, links), True)
    kept: list[tuple[str, int]] = []
    held: dict[str, bool] = {}
    for path in sorted(wanted):
        above = [held[folder] for folder in _ancestors(path) if folder in held]
        if above and (True in above or not wanted[path]):
            continue
        flags = _CLONE_TREE | _TREE_AND_BELOW | os.O_CLOEXEC
        call = seal.load_libc().syscall(_OPEN_TREE, _HERE, os.fsencode(path), flags)
        tree = seal.checked(call, f"open_tree {path}")
        if not wanted[path]:
            _make_read_only(tree, b"", _TREE_AND_BELOW)
        held[path] = wanted[path]
        kept.append((path, tree))
    return kept


def _real_paths(paths: Sequence[str], links: dict[str, str]) -> Iterator[str]:
    """The paths that are there, without links, which are noted: by them programs find the way."""
    for path in paths:
        done, todo, found = "/", os.path.abspath(path).split("/"), 0
        while todo and found <= _MOST_LINKS:
            part = todo.pop(0)
            here = os.path.normpath(os.path.join(done, part))
            if part not in ("", ".", "..") and os.path.islink(here):
                found += 1
                links[here] = target = os.readlink(here)
                todo = target.split("/") + todo
                done = "/" if target.startswith("/") else done
            else:
                done = here
        # The root itself would hide what it is to hold; pseudo-terminals are made anew.
        if os.path.exists(done) and done not in ("/", "/dev/pts", "/dev/ptmx"):
            yield done


def _ancestors(path: str) -> Iterator[str]:
    while path != "/":
        path = os.path.dirname(path)
        yield path


def _make_place(path: str, *, folder: bool) -> None:
    """Make a folder or an empty file to mount on, unless something is there."""
    if os.path.exists(path):
        return
    if folder:
        os.makedirs(path)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    call = seal.load_libc().mount(
        source.encode(),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    seal.checked(call, f"mount {kind or ''} {target}")


def _move(tree: int, target: str) -> None:
    call = seal.load_libc().syscall(
        _MOVE_MOUNT, tree, b"", _HERE, os.fsencode(target), _FROM_DESCRIPTOR
    )
    seal.checked(call, f"move_mount {target}")


def _make_read_only(folder: int, path: bytes, below: int) -> None:
    attributes = ctypes.create_string_buffer(struct.pack("QQQQ", _READ_ONLY, 0, 0, 0), 32)
    flags = below | (0 if path else _OF_DESCRIPTOR)
    call = seal.load_libc().syscall(_MOUNT_SETATTR, folder, path, flags, attributes, 32)
    seal.checked(call, "mount_setattr")


def _attempt(wanted: Namespaces, read: Sequence[str], write: Sequence[str]) -> str:
    """Why a process can't have these namespaces; "" if it can."""

    def first() -> None:
        new_root(read, write, processes=wanted.processes)

    def caller() -> None:
        separate(wanted)
        if failure := _in_a_child(first):
            raise OSError(failure)

    return _in_a_child(caller)


def _in_a_child(call: Callable[[], None]) -> str:
    """Why a call fails in a process of its own; "" if it doesn't."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        told = "it ended early"
        try:
            call()
            told = _DONE
        except OSError as error:
            told = _words(error)
        finally:
            os.write(writer, told.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        told = stream.read().decode()
    os.waitpid(child, 0)
    # Killed, as some containers do with calls that they don't allow, it says nothing.
    return "" if told == _DONE else told or "not allowed here"


def _words(error: OSError) -> str:
    """An error as a reason; what containers and some distributions forbid says so."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return f"{error.strerror} (this container or system forbids it)"
    return error.strerror or str(error)
