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
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from numba.core import bytecode, caching, compiler

from autotts.files import whole

_SOURCES = (
    "control/actions.py", "control/requests.py", "control/state.py", "votes.py",
    "engine/jit.py", "engine/compiled.py", "replay/log.py",
)  # fmt: skip
"""Files whose functions are compiled, beside programs."""
_DIGEST_BYTES = 32

# Numba tells functions of one name apart by their number in the process. Code found on disk brings
# numbers of another process with it, and would be linked to a namesake that has the same one.
bytecode.FunctionIdentity._unique_ids = itertools.count(secrets.randbits(62))


def cache_folder() -> Path:
    """Where compiled code is kept: `$AUTOTTS_CACHE`, else the user's cache folder."""
    named = os.environ.get("AUTOTTS_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "autotts"


@functools.cache
def environment_digest() -> str:
    """Digest of the environment's sources, Python, Numba, NumPy and the CPU."""
    digest = hashlib.sha256()
    package = Path(__file__).resolve().parent.parent
    for name in _SOURCES:
        digest.update((package / name).read_bytes())
    cpu = llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten()
    versions = sys.implementation.cache_tag, numba.__version__, np.__version__
    digest.update(repr((versions, cpu)).encode())
    return digest.hexdigest()


class DigestCache(caching._Cache):  # type: ignore[misc]
    """One function's compiled form, in one file named by digest.

    The file begins with the sha256 of its rest; one that is damaged is a miss, and written anew.
    """

    def __init__(self, key: str) -> None:
        digest = hashlib.sha256((environment_digest() + key).encode()).hexdigest()
        self._path = cache_folder() / digest[:2] / f"{digest}.compiled"

    @property
    def cache_path(self) -> str:
        return str(self._path)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            content = self._path.read_bytes()
        except OSError:
            return None
        digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != digest:
            return None
        target_context.refresh()
        return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))

    def save_overload(self, sig: Any, data: Any) -> None:
        # A read-only or full disk costs a compilation next time, not this run.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            payload = caching.dumps(data._reduce())
            with whole(self._path) as file:
                file.write(hashlib.sha256(payload).digest() + payload)

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
