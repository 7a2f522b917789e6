"""Run a command as an ordinary user: `python tests/as_user.py COMMAND...`, when root.

The sandbox must hold with and without root, for some limits don't bind root. Where the
interpreter or the package lies in a folder that others can't enter, that folder is covered, for
this command only, by an empty one through which the way to them leads (a mount namespace).
The user gets a copy of what the tests have compiled already: it must be the user's own.
"""

import ctypes
import os
import shutil
import sys
import tempfile
from pathlib import Path

_UID = 1001
_NEW_NAMESPACE, _BIND, _RECURSIVE, _PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000


def needed_folders() -> list[Path]:
    """Where the interpreter, its environment and this repository lie."""
    prefixes = (sys.base_prefix, sys.prefix, Path(__file__).parent.parent)
    return [Path(prefix).resolve() for prefix in prefixes]


def closed_ancestor(folder: Path) -> Path | None:
    """The first folder on the way that others may not enter."""
    for ancestor in [*reversed(folder.parents), folder]:
        if not ancestor.stat().st_mode & 0o001:
            return ancestor
    return None


def mount(source: str, target: Path, kind: str | None, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (source.encode(), str(target).encode(), kind.encode() if kind else None, flags)
    if libc.mount(*arguments, b"mode=755" if kind == "tmpfs" else None):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} on {target}: {os.strerror(number)}")


def open_the_way() -> None:
    """Make the needed folders reachable for others."""
    closed = {folder: closed_ancestor(folder) for folder in needed_folders()}
    if not any(closed.values()):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NAMESPACE):
        raise OSError(ctypes.get_errno(), "unshare: no mount namespace of our own")
    mount("none", Path("/"), None, _RECURSIVE | _PRIVATE)
    held = {folder: os.open(folder, os.O_PATH) for folder, wall in closed.items() if wall}
    for wall in {wall for wall in closed.values() if wall}:
        mount("none", wall, "tmpfs", 0)
    for folder, descriptor in held.items():
        folder.mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{descriptor}", folder, None, _BIND)


def give_compiled(cache: Path) -> None:
    """Copy the code that root's tests have compiled to another of pytest's caches.

    They may go on meanwhile: files that are still being written have other names.
    """
    kept = Path("d", "autotts-compiled")
    (cache / kept).mkdir(parents=True)
    for file in (Path(__file__).parent.parent / ".pytest_cache" / kept).glob("*.compiled"):
        shutil.copy(file, cache / kept)


def main(command: list[str]) -> None:
    if os.geteuid() != 0:
        os.execvp(command[0], command)
    open_the_way()
    home = tempfile.mkdtemp(prefix="autotts-user-")
    give_compiled(Path(home) / "pytest")
    for folder, _, files in os.walk(home):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(path, _UID, _UID)
    os.setgroups([])
    os.setresgid(_UID, _UID, _UID)
    os.setresuid(_UID, _UID, _UID)
    environment = {
        "HOME": home,
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": f"{home}/hypothesis",
        "PYTEST_ADDOPTS": f"-o cache_dir={home}/pytest",
    }
    if data := os.environ.get("AUTOTTS_DATA"):
        environment["AUTOTTS_DATA"] = data
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    main(sys.argv[1:])
