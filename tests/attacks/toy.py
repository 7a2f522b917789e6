"""A toy store, and one warm fork server for all tests of a process."""

import atexit
import functools
from dataclasses import replace
from typing import Any

import numpy as np

from autotts.programs import Source, Spec
from autotts.replay.draws import Deal
from autotts.replay.task import Cell, Rules, Task, all_pairs
from autotts.sandbox.allowance import Allowance
from autotts.sandbox.blind_run import BlindRun, run_blind
from autotts.sandbox.compiled_run import CompiledRun, Talk
from autotts.sandbox.confine import seal
from autotts.sandbox.sandbox import Sandbox
from autotts.sandbox.shared_memory import Board, lay_out
from autotts.sandbox.worker import Zygote
from autotts.stores import Pool
from bare_pools import store_of

CEILING = 16
PATIENT = Allowance()
HASTE = Allowance(program_seconds=3.0, cell_seconds=20.0, episode_seconds=1.5)
"""An allowance for programs that never end: tests wait for it to run out."""
TO_COMPILE = Allowance(program_seconds=15.0, cell_seconds=20.0, episode_seconds=2.0)
"""The same, where something is compiled first."""


def make_pool(
    seed: int = 0, *, questions: int = 6, branches: int = 24, depth: int = 7, codes: int = 5,
    billing: str = "reference", interval: int = 100,
) -> Pool:  # fmt: skip
    """Random branches: answers that settle on the branch's last one."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, depth + 1, (questions, branches)).astype(np.int32)
    finals = rng.integers(0, codes, (questions, branches)).astype(np.int32)
    guesses = rng.integers(0, codes, (questions, branches, depth)).astype(np.int32)
    settled = rng.random(guesses.shape) < np.arange(depth) / depth
    probes = np.where(settled, finals[:, :, None], guesses)
    probes = np.where(np.arange(depth) < lengths[:, :, None], probes, -1).astype(np.int32)
    rest = rng.integers(1, interval + 1, lengths.shape)
    last = lengths - (billing == "exact")
    return Pool(
        probes=np.ascontiguousarray(probes),
        lengths=lengths,
        tokens=(last * interval + rest).astype(np.int32),
        finals=finals,
        failed=np.full(questions, codes - 1, np.int32),
        n_codes=np.full(questions, codes, np.int32),
        interval=interval,
        billing=billing,  # type: ignore[arg-type]
    )


def make_cell(
    pool: Pool | None = None, *, n_draws: int = 5, beta: float = 0.5, seed: int = 0,
    rules: Rules | None = None, ceiling: int = CEILING, **named: float,
) -> Cell:  # fmt: skip
    """All episodes of some draws, for a program that is named later: see `played`."""
    pool = make_pool(seed) if pool is None else pool
    questions, branches = pool.finals.shape
    orders = Deal(f"subsets:{n_draws}", ceiling, seed).orders(np.full(questions, branches))
    task = Task(store_of(pool), orders, all_pairs(orders), rules or Rules())
    return Cell(task, Spec("nobody's", program(""), beta, named))


def played(source: Source, *cells: Cell) -> list[Cell]:
    """The cells of a program."""
    return [
        replace(cell, spec=replace(cell.spec, text=source.path, source=source)) for cell in cells
    ]


def program(text: str, name: str = "mine.py") -> Source:
    return Source(name.removesuffix(".py"), name, text, trusted=False)


@functools.cache
def _shared() -> Sandbox:
    box = Sandbox()
    atexit.register(box.close)
    atexit.register(lambda: _latest.forget_code())  # before the fork server ends
    return box


def zygote() -> Zygote:
    """The fork server of this test process, for all its tests; a new one if that has ended."""
    return _shared().zygote


_latest = Sandbox()


def sandbox(**how: Any) -> Sandbox:
    """A sandbox over the shared fork server; don't close it. The one before forgets its code."""
    global _latest
    _latest.forget_code()
    _latest = Sandbox(**how)
    _latest._zygote = zygote()
    return _latest


def compiled(source: Source, cell: Cell, allowance: Allowance = PATIENT, **how: Any) -> CompiledRun:
    """Run compiled and sealed, without the source check."""
    keep = [np.ones(len(cell.task.pairs), np.bool_)]
    return sandbox(allowance=allowance, **how).run_compiled(played(source, cell), keep)


def load_beside_data(source: Source, cell: Cell) -> str:
    """Load a program where compiled ones run, with the data, and compile nothing.

    Returns:
        What it printed.
    """
    board = Board(lay_out([cell]).arrays)
    limits = seal.Limits(memory_bytes=2 << 30, exec_pages=True)
    try:
        with zygote().fork(limits, files=board.files, shared=board.layout) as worker:
            Talk(worker, source, PATIENT).load(source)
            worker.end()
            return worker.inbox.text
    finally:
        board.close()


def blind(source: Source, cell: Cell, allowance: Allowance = PATIENT, **how: Any) -> BlindRun:
    """Run blind and sealed, without the source check."""
    places = [(0, e) for e in range(len(cell.task.pairs))]
    return run_blind(zygote(), source, played(source, cell), places, allowance, **how)
