"""Functions of this package that are compiled for one signature, and found again on disk."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import types

from autotts.engine.cache import compile_cached

RECEIVED = types.Array(types.int64, 1, "C", readonly=True)
"""int64 words as they came from the other side."""


@functools.cache
def sources_digest() -> str:
    """Digest of all files of the sandbox, some of whose functions become kernels."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def kernel(signature: Any) -> Callable[[Callable[..., Any]], Callable[[], Any]]:
    """Make a function one that returns its compiled form, compiled when first asked for.

    The cache's key covers the files of both halves, for each compiles the other's constants in.
    """

    def define(function: Callable[..., Any]) -> Callable[[], Any]:
        @functools.cache
        def compiled() -> Any:
            key = f"{function.__module__}.{function.__name__}|{sources_digest()}"
            return compile_cached(function, signature, key=key, error_model="numpy", nogil=True)

        return compiled

    return define
