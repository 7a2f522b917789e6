"""What runs in a sealed worker: it is given a program, loads it, and plays episodes with it.

Nothing here is trusted once the program has been loaded. The worker holds the probes of the
stores in use when it plays compiled, and nothing at all when it plays blind.
"""

import io
import json
import mmap
import sys
import traceback
from typing import Any

import numba.core.boxing  # noqa: F401  Numba imports it for `print`, and who is sealed can't
import numpy as np
from numba.core.errors import NumbaError

from autotts.engine import compiled
from autotts.engine.cache import address
from autotts.engine.memory import Memory
from autotts.engine.pool import PoolHeader
from autotts.errors import AutottsError
from autotts.programs import Program, Source, load
from autotts.sandbox.guest import blind
from autotts.sandbox.wire.channel import (
    CELL,
    COMPILE,
    COMPILED,
    DONE,
    FAILED,
    LOADED,
    MAX_TEXT,
    PARAMETERS,
    RUN,
    SLOT,
    SLOTS,
    SOURCE,
    Outbox,
    words,
)  # fmt: skip
from autotts.sandbox.wire.frames import halves

_WARM_UP = """
from autotts.votes import beta_confidence

def schedule(beta):
    return {"width": round(1 + beta), "level": 0.5 * beta}

def solve(env, p):
    env.branch(p.width)
    if beta_confidence(env.votes) > p.level:
        env.note("level", p.level)
    return env.vote()
"""


def warm_up() -> None:
    """Load, before anything is sealed, all that a program's worker will need.

    That means the driver, found in the cache, and one program compiled: the compiler sets itself
    up, and imports the last of its parts, when it is first used.
    """
    blind.warm_up()
    compiled.actions(False), compiled.actions(True)
    compiled.run()
    compiled.begin()
    compiled.end()
    program = load(Source("warm-up", "<warm-up>", _WARM_UP, trusted=True))
    compiled.compile_program(program.solve, program.kinds, key=None, boundscheck=True)


class Shared:
    """Memory shared with the trusted side: read-only data, and where results go.

    data: the arrays that the trusted side laid out, by name.
    halves: where a chunk's results, log ends and log words go, twice.
    """

    def __init__(self, files: list[int], layout: dict[str, Any]) -> None:
        """
        Args:
            files: descriptors of the data and of the results, to be closed by the caller.
            layout: for each array its place in the data; and how large the results are.
        """
        data_file, results_file = files
        data = mmap.mmap(data_file, 0, access=mmap.ACCESS_READ)
        results = mmap.mmap(results_file, 0)
        self.data = {
            name: np.ndarray(shape, dtype, data, offset)
            for name, (offset, shape, dtype) in layout["data"].items()
        }
        self.halves = halves(results, layout["episodes"], layout["log_words"])


class _Compiled:
    """The compiled driver over the shared memory, one cell of a sweep at a time."""

    def __init__(self, program: Program, shared: Shared) -> None:
        self._shared = shared
        code = compiled.compile_program(program.solve, program.kinds, key=None, boundscheck=True)
        self._code = code
        self._entry = address(code)
        self._memory: Memory | None = None
        self._pool: PoolHeader | None = None

    def begin_cell(self, cell: dict[str, Any], values: dict[str, float]) -> None:
        self._memory = Memory(**cell["memory"])
        self._memory.set_parameters(list(values.values()))
        columns = {column: self._shared.data[name] for column, name in cell["arrays"].items()}
        names = cell["memory"]["signals"]
        signals = {name: columns.pop(f"signal {name}") for name in names}
        self._pool = PoolHeader(signals, **columns)

    def run(self, half: int, pairs: np.ndarray) -> int:
        """Run episodes `[n, 2]`; returns how many fitted the log."""
        assert self._memory is not None
        assert self._pool is not None
        place = self._shared.halves[half]
        memory = self._memory
        memory.point("log", place["log"])
        memory["log_size"] = len(place["log"])
        memory["log_at"] = memory["log_full"] = 0
        done: int = compiled.run()(
            self._entry, memory.address, self._pool.address, pairs, 0, place["ends"],
            place["results"],
        )  # fmt: skip
        return done


def serve(outbox: Outbox, shared: Shared | None) -> None:
    """Load the program that comes, and do with it what is asked, until the channel closes."""
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
    sys.stderr = sys.stdout
    kind, payload = outbox.receive()
    if kind != SOURCE:
        return
    path = ""
    try:
        source = Source(**json.loads(payload), trusted=False)
        path = source.path
        program = load(source, whole_numbers=shared is None)
        kinds = {name: kind.__name__ for name, kind in program.kinds.items()}
        outbox.send(LOADED, json.dumps(kinds).encode())
        _serve_program(outbox, program, shared)
    except EOFError:
        raise
    except blind.EpisodeRaised as error:
        _send_failed(outbox, error.slot, error.__cause__ or error, path)
    except BaseException as error:  # whatever a program raises is told, and ends the worker
        _send_failed(outbox, -1, error, path)


def _send_failed(outbox: Outbox, slot: int, error: BaseException, path: str) -> None:
    text = describe(error, path).encode(errors="replace")[:MAX_TEXT]
    outbox.send(FAILED, SLOT.pack(slot) + text)


def _serve_program(outbox: Outbox, program: Program, shared: Shared | None) -> None:
    driver: _Compiled | None = None
    while True:
        kind, payload = outbox.receive()
        if kind == COMPILE and shared is not None:
            driver = _Compiled(program, shared)
            outbox.send(COMPILED, b"")
        elif kind == CELL:
            cell = json.loads(payload)
            values = program.parameters(cell["beta"], cell["named"])
            if driver is not None:
                driver.begin_cell(cell, values)
            outbox.send(PARAMETERS, json.dumps(values).encode())
        elif kind == RUN and driver is not None:
            half, *_ = order = words(payload)
            done = driver.run(int(half), order[1:].reshape(-1, 2).copy())
            outbox.send(DONE, np.int64(done).tobytes())
        elif kind == SLOTS:
            blind.play(outbox, program, json.loads(payload))
        else:
            raise EOFError


def describe(error: BaseException, path: str) -> str:
    """An error as its author can use it: line, kind and message, and the program's own lines."""
    if isinstance(error, NumbaError):
        return str(error)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    told_by_us = isinstance(error, AutottsError)
    message = str(error) if told_by_us else "".join(traceback.format_exception_only(error)).strip()
    if not frames:
        return message
    lines = [f"{path}:{frames[-1].lineno}: {message}"]
    lines += [f"  line {f.lineno}, in {f.name}: {f.line}" for f in frames]
    return "\n".join(lines)
