"""What the sandbox costs: starting a worker, compiled and blind against in-process, the audit.

On a simulated store of 30 questions and 128 branches. Each limit is the one that was promised;
they are held only when timed (`make bench`), with nothing else running.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from autotts import programs, stores
from autotts.engine.cache import address
from autotts.evaluation import Experiment
from autotts.replay import in_process
from autotts.replay.task import Cell, cells_of
from autotts.sandbox import audit
from autotts.sandbox.allowance import SAMPLE, Allowance
from autotts.sandbox.blind_run import run_blind
from autotts.sandbox.confine import seal
from autotts.sandbox.sandbox import Sandbox
from autotts.sandbox.wire import channel
from autotts.sandbox.worker import source_payload
from autotts.simulation import simulate

pytestmark = pytest.mark.skipif(seal.supported() is not None, reason=str(seal.supported()))

MOST_START_SECONDS = 0.010
MOST_COMPILED_RATIO = 2.5
MOST_BLIND_RATIO = 1.6
MOST_AUDIT_SECONDS = 2.0
DRAWS = 100
CONTROLLERS = ["cmc", "parallel-probe", "asc"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as box:
        yield box


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    """3,000 episodes at beta 1."""
    store = stores.load(simulate(tmp_path_factory.mktemp("stores"), seed=5))
    return Cell(Experiment(f"reference:{DRAWS}").task(store), programs.parse("sc:beta=1"))


def of(cell: Cell, name: str) -> Cell:
    """The cell of another controller."""
    return replace(cell, spec=programs.parse(f"{name}:beta=1"))


def seconds_of(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def fastest(run: Callable[[], object], times: int = 3) -> float:
    """Seconds of the fastest of some runs: the others met somebody on the machine."""
    return min(seconds_of(run) for _ in range(times))


def ratio(cost: Callable[[], float], against: Callable[[], object], times: int = 7) -> float:
    """Median of seconds over seconds, taken in turns: a slow minute of the machine slows both."""
    return float(np.median([cost() / seconds_of(against) for _ in range(times)]))


def held(benchmark, what: float, most: float | None) -> None:
    benchmark.extra_info |= {"measured": round(what, 4), "promised": most}
    if benchmark.enabled and most is not None:
        assert what <= most


def test_a_worker_is_sealed_and_loaded(sandbox, benchmark):
    """From the request to the program loaded, with a warm zygote."""
    payload = source_payload(programs.find("short-mk"))
    accept = {channel.LOADED: channel.MAX_NAMED}
    seconds = []

    def start() -> None:
        began = time.perf_counter()
        with sandbox.zygote.fork(seal.Limits()) as worker:
            worker.hello()
            worker.inbox.send(channel.SOURCE, payload, time.monotonic() + 10)
            worker.inbox.receive(accept, time.monotonic() + 10)
            seconds.append(time.perf_counter() - began)

    benchmark.pedantic(start, rounds=30 if benchmark.enabled else 1)
    held(benchmark, float(np.median(seconds)), MOST_START_SECONDS)


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_compiled_sweep(sandbox, cell, benchmark, name):
    """Sealed, bounds-checked, logged and accounted for, against in-process without; by cell.

    A worker is started and the program compiled before the clock runs: cells follow each other.
    """
    program = programs.load_trusted(programs.find(name))
    entry = address(in_process.compile_program(program))
    values = list(program.parameters(1.0).values())
    cell = of(cell, name)

    def plain() -> None:
        in_process.run_compiled(entry, values, cell.task)

    def sealed(cells: int) -> Callable[[], object]:
        nothing = [np.zeros(len(cell.task.pairs), np.bool_)] * cells
        return lambda: sandbox.run_compiled([cell] * cells, nothing)

    if not benchmark.enabled:
        benchmark(sealed(1))
        return
    many = 10

    def a_cell() -> float:
        return (seconds_of(sealed(1 + many)) - seconds_of(sealed(1))) / many

    benchmark.pedantic(sealed(1), rounds=1)
    held(benchmark, ratio(a_cell, plain), MOST_COMPILED_RATIO)


@pytest.mark.parametrize(
    ("name", "most"),
    [("cmc", MOST_BLIND_RATIO), ("parallel-probe", MOST_BLIND_RATIO), ("asc", None)],
)
def test_blind_lock_step(sandbox, cell, benchmark, name, most):
    """600 episodes in fresh workers of 30, against the same interpreted in this process.

    The promise is for programs with a millisecond of their own to an episode. A worker and its
    frames cost about as much for 30 episodes whatever these do, so that ASC, which takes a third
    of a millisecond, is measured and nothing is promised.
    """
    source = programs.find(name)
    program = programs.load_trusted(source)
    values = program.parameters(1.0)
    cell = of(cell, name)
    tasks = audit.draw_sample([cell], 600 if benchmark.enabled else 30, np.random.default_rng(0))
    sampled = cell.task.some(cell.task.pairs[[e for _, e in tasks]])

    def blind() -> None:
        run_blind(sandbox.zygote, source, [cell], tasks, Allowance())

    def plain() -> None:
        in_process.run_interpreted(program.solve, values, sampled)

    benchmark.pedantic(blind, rounds=1)
    if benchmark.enabled:
        held(benchmark, ratio(lambda: seconds_of(blind), plain), most)


def test_an_audit(sandbox, cell, benchmark):
    """600 episodes of a sweep of CMC over beta, run again blind and compared."""
    source = programs.find("cmc")
    pairs = cell.task.pairs[cell.task.pairs[:, 1] < 10]
    specs = [programs.parse("cmc").at(beta / 10) for beta in range(11)]
    cells = cells_of([cell.task.some(pairs)], specs)
    size = SAMPLE if benchmark.enabled else 30
    tasks = audit.draw_sample(cells, size, np.random.default_rng(0))
    keep = [np.zeros(len(pairs), np.bool_) for _ in cells]
    for c, e in tasks:
        keep[c][e] = True
    run = sandbox.run_compiled(cells, keep)
    results = np.stack([run.episodes[c].results[e] for c, e in tasks])
    logs = [run.logs[task] for task in tasks]

    def judge() -> None:
        blind = run_blind(sandbox.zygote, source, cells, tasks, Allowance())
        assert audit.differing(results, logs, blind) == []

    benchmark.pedantic(judge, rounds=3 if benchmark.enabled else 1)
    if benchmark.enabled:
        held(benchmark, fastest(judge), MOST_AUDIT_SECONDS)
