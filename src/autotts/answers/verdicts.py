"""What was decided on two formulas, kept on disk: asking again takes some hundredths of a second.

A file of the cache folder for each set of library versions, with a line for each pair of formulas:
`["x+1", "1+x", true]`.
"""

import hashlib
import json
import os
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from autotts.files import cache_folder, read_regular

_LIBRARIES = ("math-verify", "latex2sympy2-extended", "sympy")
_MOST_BYTES = 1 << 26


def look_up(a: str, b: str) -> bool | None:
    """Whether two formulas are the same; None if that was never decided."""
    return _known(_file()).get((a, b))


def keep(a: str, b: str, same: bool) -> None:
    """Keep a verdict, for other processes too where the cache folder can be written."""
    path = _file()
    _known(path)[a, b] = same
    line = (json.dumps([a, b, same]) + "\n").encode()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, flags, 0o600)
        try:
            if os.fstat(file).st_size + len(line) < _MOST_BYTES:
                os.write(file, line)
        finally:
            os.close(file)
    except OSError:
        # Without the file the same is asked again, and comes out the same.
        return


def _file() -> Path:
    return cache_folder() / f"formulas-{_versions()}.jsonl"


@lru_cache(maxsize=1)
def _versions() -> str:
    told = " ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


@lru_cache(maxsize=4)
def _known(path: Path) -> dict[tuple[str, str], bool]:
    """What the file says; a line that was cut short or is something else is passed over."""
    known: dict[tuple[str, str], bool] = {}
    try:
        lines = read_regular(path, most_bytes=_MOST_BYTES).splitlines()
    except OSError:
        return known
    for line in lines:
        try:
            a, b, same = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            continue
        if isinstance(a, str) and isinstance(b, str) and isinstance(same, bool):
            known[a, b] = same
    return known
