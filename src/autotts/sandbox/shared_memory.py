"""Memory that a sealed worker shares with the trusted side: the cells' data, and results."""

import fcntl
import hashlib
import mmap
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autotts.errors import SandboxError
from autotts.replay.episodes import pool_columns
from autotts.replay.task import Cell, Task
from autotts.sandbox.allowance import LOG_WORDS
from autotts.sandbox.wire.frames import half_bytes, halves

MAX_CHUNK = 1024
"""Most episodes that a worker runs before it shows what it did."""

_MOST_PARTS = 16
"""Of a store that is read from the disk, what may be copied into memory: 2 GB."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the driver needs for cells.

    names: for each cell those of its pool's columns, by column.
    arrays: by name; what is equal is there once.
    """

    names: list[dict[str, str]]
    arrays: dict[str, np.ndarray]


def lay_out(cells: Sequence[Cell]) -> Layout:
    """Name the arrays of cells by what is in them."""
    arrays: dict[str, np.ndarray] = {}
    # The cells of a sweep share their arrays, so one look at each is enough.
    tasks = [cell.task for cell in cells]
    shared = [(id(task.pool), id(task.orders), task.rules.abstain) for task in tasks]
    named = {
        key: _name_arrays(task, arrays)
        for key, task in dict(zip(shared, tasks, strict=True)).items()
    }
    return Layout([named[key] for key in shared], arrays)


def _name_arrays(task: Task, arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """Names of a task's columns; what is equal is in `arrays` once."""
    if task.pool.on_disk is not None and task.pool.parts > _MOST_PARTS:
        raise SandboxError(
            f"{task.store.name} is read from the disk, and a sealed program needs all of it in"
            " memory: evaluate its shards one by one"
        )
    names = {}
    signals = {f"signal {name}": values for name, values in task.pool.signals.items()}
    for column, array in {**pool_columns(task), **signals}.items():
        content = np.ascontiguousarray(array)
        digest = hashlib.blake2b(content.data, digest_size=12).hexdigest()
        names[column] = f"{column} {content.shape} {digest}"
        arrays.setdefault(names[column], content)
    return names


class Board:
    """Shared memory: the cells' data, which the worker only reads, and places for results."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        """
        Args:
            arrays: the data, by the names that `lay_out` gives it.
        """
        self._names = frozenset(arrays)
        places, offset = {}, 0
        for name, array in arrays.items():
            places[name] = (offset, array.shape, array.dtype.str)
            offset += -(-array.nbytes // 64) * 64
        self.layout = {"data": places, "episodes": MAX_CHUNK, "log_words": LOG_WORDS}
        data = _memory_file(offset)
        for name, array in arrays.items():
            os.pwrite(data, array.tobytes(), places[name][0])
        _no_more(data, writing=False)
        size = 2 * half_bytes(MAX_CHUNK, LOG_WORDS)
        results = _memory_file(size)
        _no_more(results, writing=True)
        self.files = [data, results]
        self._results = mmap.mmap(results, size)
        self.halves = halves(self._results, MAX_CHUNK, LOG_WORDS)

    def has(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether all of these are there."""
        return arrays.keys() <= self._names

    def take(self, half: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Own copies of a chunk's results, log ends and words.

        The worker can still write to where they came from, so nothing is checked there.

        Raises:
            SandboxError: the ends are outside the log.
        """
        place = self.halves[half]
        results, ends = place["results"][:count].copy(), place["ends"][:count].copy()
        used = int(ends[-1])
        if not 0 <= used <= LOG_WORDS:
            raise SandboxError("a worker's log does not add up")
        return results, ends, place["log"][:used].copy()

    def close(self) -> None:
        self.halves.clear()
        self._results.close()
        for file in self.files:
            os.close(file)


def _memory_file(size: int) -> int:
    """A descriptor of memory without a name; a temporary file where the system has no such."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("autotts", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        file, path = tempfile.mkstemp()
        os.unlink(path)
    os.truncate(file, size)
    return file


def _no_more(file: int, *, writing: bool) -> None:
    """Fix the size of a file of memory, and without `writing` its content, for everybody."""
    if hasattr(os, "memfd_create"):
        kinds = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        if not writing:
            kinds |= fcntl.F_SEAL_WRITE
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, kinds)
