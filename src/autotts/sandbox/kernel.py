"""Functions of this package that are compiled for one signature, and found again on disk."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import types

from autotts.replay.cache import compile_cached

RECEIVED = types.Array(types.int64, 1, "C", readonly=True)
"""int64 words as they came from the other side."""


def kernel(signature: Any) -> Callable[[Callable[..., Any]], Callable[[], Any]]:
    """Make a function one that returns its compiled form, compiled when first asked for.

    The cache's key covers the file that the function stands in, as the driver's covers its own.
    """

    def define(function: Callable[..., Any]) -> Callable[[], Any]:
        @functools.cache
        def compiled() -> Any:
            text = Path(function.__code__.co_filename).read_bytes()
            key = f"{function.__module__}.{function.__name__}|{hashlib.sha256(text).hexdigest()}"
            return compile_cached(function, signature, key=key, error_model="numpy", nogil=True)

        return compiled

    return define
