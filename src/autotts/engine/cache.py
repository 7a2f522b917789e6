"""Compiled code on disk, under a digest of everything that went into it.

Numba's own cache looks at one source file: a change of the control space would leave yesterday's
billing in today's run. Here the key covers the program, our sources, Python, Numba, NumPy and the
CPU.
"""

import contextlib
import functools
import hashlib
import itertools
import os
import pickle
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from numba.core import bytecode, caching, compiler
from numba.core.runtime import nrt

from autotts.files import cache_folder, whole
from autotts.text import clean

_SOURCES = ("control/*.py", "engine/*.py", "votes.py", "replay/log.py")
"""Files whose functions are compiled, beside programs: whole folders, so that none is forgotten."""
_DIGEST_BYTES = 32
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = "belongs to another user or can be written by others"

# Numba tells functions of one name apart by their number in the process. Code found on disk brings
# numbers of another process with it, and would be linked to a namesake that has the same one.
bytecode.FunctionIdentity._unique_ids = itertools.count(secrets.randbits(62))


def read_own(folder: Path, name: str) -> bytes | None:
    """A file of a folder that is this user's alone; None if there is none, or it isn't."""
    with _opened(folder) as opened:
        if opened is None:
            return None
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=opened)
        except OSError:
            return None
        with os.fdopen(file, "rb") as content:
            if _belongs_to_others(os.fstat(file)):
                _say(f"{folder / name} {_OTHERS}; delete it")
                return None
            return content.read()


def write_own(folder: Path, name: str, content: bytes) -> None:
    """Write a file to a folder that is this user's alone, made if need be; else say why not."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        with _opened(folder) as opened:
            if opened is not None:
                with whole(folder / name) as file:
                    file.write(content)
    except OSError as error:
        _say(f"{folder}: {error.strerror or error}")


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """The folder's descriptor, if it is this user's and nobody else may write to it."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        _say(f"{folder}: {error.strerror or error}")
        yield None
        return
    try:
        if _belongs_to_others(os.fstat(opened)):
            _say(f"{folder} {_OTHERS}")
            yield None
        else:
            yield opened
    finally:
        os.close(opened)


def _belongs_to_others(status: os.stat_result) -> bool:
    return status.st_uid != os.geteuid() or bool(status.st_mode & _WRITABLE_BY_OTHERS)


@functools.cache
def _say(reason: str) -> None:
    """Say once why compiled code is not kept, and what would help."""
    print(
        "autotts: compiled code is not kept, so every command compiles it again:"
        f" {clean(reason)}.\n"
        "Set AUTOTTS_CACHE to a folder that belongs to you and that nobody else can write to.",
        file=sys.stderr,
    )


def sources_digest() -> str:
    """Digest of the environment's sources, Python, Numba and NumPy: what episodes depend on."""
    digest = hashlib.sha256()
    package = Path(__file__).resolve().parent.parent
    for pattern in _SOURCES:
        for file in sorted(package.glob(pattern)):
            digest.update(file.read_bytes())
    versions = sys.implementation.cache_tag, numba.__version__, np.__version__
    digest.update(repr(versions).encode())
    return digest.hexdigest()


@functools.cache
def environment_digest() -> str:
    """Digest of what `sources_digest` is of, and the CPU."""
    cpu = llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten()
    return hashlib.sha256(f"{sources_digest()} {cpu!r}".encode()).hexdigest()


class DigestCache(caching._Cache):  # type: ignore[misc]
    """One function's compiled form, in one file named by digest.

    The file begins with the sha256 of its rest; one that is damaged is a miss, and written anew.
    The digest proves that a file is whole, not who wrote it. That the folder and the file are this
    user's, and that nobody else may write to them, does: what is loaded is unpickled and run. (A
    secret to sign files with would prove no more, for whoever can write there can read it there.)
    """

    def __init__(self, key: str) -> None:
        digest = hashlib.sha256((environment_digest() + key).encode()).hexdigest()
        self._name = f"{digest}.compiled"

    @property
    def cache_path(self) -> str:
        return str(cache_folder() / self._name)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        content = read_own(cache_folder(), self._name)
        if content is None:
            return None
        digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != digest:
            return None
        symbols, reduced = pickle.loads(payload)
        # Numba would load the whole of its typing and lowering here, which takes longer than
        # most evaluations. Machine code needs the functions that it calls, and nothing else.
        nrt.rtsys.initialize(target_context)
        if not all(map(llvmlite.binding.address_of_symbol, symbols)):
            target_context.refresh()
        return compiler.CompileResult._rebuild(target_context, *reduced)

    def save_overload(self, sig: Any, data: Any) -> None:
        module = data.library._final_module
        symbols = [
            symbol.name
            for symbol in (*module.functions, *module.global_variables)
            if symbol.is_declaration and not symbol.name.startswith("llvm.")
        ]
        payload = caching.dumps((symbols, data._reduce()))
        write_own(cache_folder(), self._name, hashlib.sha256(payload).digest() + payload)

    def enable(self) -> None: ...

    def disable(self) -> None: ...

    def flush(self) -> None: ...


def compile_cached(
    function: Callable[..., Any], signature: Any, *, key: str | None, **options: Any
) -> Any:
    """Compile `function` for one signature, or find it in the cache.

    Args:
        signature: Numba signature, of types that a new process can unpickle.
        key: what identifies the function beside the environment; None compiles afresh.
        options: for `numba.njit`.

    Returns:
        The dispatcher, with that signature compiled.
    """
    dispatcher = numba.njit(**options)(function)
    if key is not None:
        dispatcher._cache = DigestCache(f"{key}|{signature}|{sorted(options.items())}")
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher


def address(dispatcher: Any) -> int:
    """Address of a dispatcher's one compiled signature, in Numba's calling convention."""
    (overload,) = dispatcher.overloads.values()
    return int(overload.library.get_pointer_to_function(overload.fndesc.llvm_func_name))
