"""How the cost of replay grows, and how much of a cluster works: `make bench`.

Exponents are slopes of log seconds of processor time over log size: 1 where twice the work takes
twice as long. More machines than there are here are simulated: a head that hands over one share of
the work after the other, and workers that take what comes. What is asserted is that results are
right, and what the simulation must give; never how long anything took.
"""

import heapq
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from autotts import programs, stores
from autotts.distributed.on_ray import share_sizes
from autotts.evaluation import Experiment
from autotts.replay.in_process import InProcess
from autotts.replay.task import Cell, cells_of
from autotts.simulation import simulate
from autotts.stores.schema import sealed

SHARE_SECONDS = 0.00115
"""Of the head, to hand a share over and to take its result: 200 empty ones, two cores, Ray 2.60."""
ON_WORKER_SECONDS = 0.0008
"""Of a worker, beside playing: two milliseconds there and back, less the head's part."""


def makespan(parts: int, part_seconds: float, workers: int) -> float:
    """Seconds that a cluster takes, by simulation of the scheduler."""
    free = [0.0] * workers
    ends = 0.0
    for k, size in enumerate(share_sizes(parts, workers), start=1):
        begun = max(heapq.heappop(free), k * SHARE_SECONDS)
        end = begun + ON_WORKER_SECONDS + size * part_seconds
        heapq.heappush(free, end)
        ends = max(ends, end)
    return ends


def efficiency(parts: int, part_seconds: float, workers: int) -> float:
    """Share of the workers' time in which they play.

    >>> round(efficiency(1000, 0.1, 1), 2)
    1.0
    """
    return parts * part_seconds / (workers * makespan(parts, part_seconds, workers))


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of log seconds over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def seconds_of(work: Callable[[], object], times: int) -> float:
    """Processor time of the shortest run."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def cells_on(store: stores.Store, draws: int, *names: str) -> list[Cell]:
    task = Experiment(f"reference:{draws}").task(store)
    return [cell for name in names for cell in cells_of([task], [programs.parse(name)])]


def deeper(store: stores.Store, times: int) -> stores.Store:
    """The same branches, each interval cut into so many that show its answer."""
    pool = store.pool
    finer = replace(
        pool,
        probes=np.repeat(pool.require_probes(), times, axis=2),
        lengths=pool.lengths * times,
        interval=pool.interval // times,
    )
    return sealed(replace(store, pool=finer, spellings=None))


class Growth:
    """Sizes of some work and the processor time that each took; the shortest of several runs."""

    def __init__(self, times: int) -> None:
        self._times = times
        self.sizes: list[float] = []
        self.seconds: list[float] = []

    def add(self, size: float, work: Callable[[], object]) -> None:
        self.sizes.append(size)
        self.seconds.append(seconds_of(work, self._times))

    @property
    def words(self) -> str:
        """The exponent of what each step adds, whatever is fixed, and that of it all."""
        added = exponent(np.diff(self.sizes), np.diff(self.seconds))
        each = [1e9 * s / n for s, n in zip(self.seconds, self.sizes, strict=True)]
        shown = ", ".join(f"{one:,.1f}" for one in each)
        whole = exponent(self.sizes, self.seconds)
        return f"exponent {added:.3f}, with what is fixed {whole:.3f}; ns each {shown}"


def test_cost_grows_with_the_work(benchmark, tmp_path, capsys):
    """Episodes, intervals and stores: each twice as many takes twice as long."""
    driver, times = InProcess(jobs=1), 7 if benchmark.enabled else 1
    doubled = (1, 2, 4, 8) if benchmark.enabled else (1, 2)
    store = stores.load(simulate(tmp_path, questions=30, branches=64, seed=1))
    found = {}

    def run(cells: Sequence[Cell]) -> int:
        """Replays each cell; the intervals that were decoded, as they are charged."""
        ran = [driver.run([cell])[0] for cell in cells]
        return sum(int(one.tokens.sum()) // one.store.pool.interval for one in ran)

    for name in ("cmc:beta=1", "short-mk:first=64,width=64"):
        episodes = found[f"episodes of {name}"] = Growth(times)
        intervals = found[f"intervals of {name}"] = Growth(times)
        for n in doubled:
            cells = cells_on(store, 25 * n, name)
            run(cells)
            episodes.add(30 * 25 * n, lambda cells=cells: run(cells))
            cells = cells_on(deeper(store, n), 25, name)
            intervals.add(run(cells), lambda cells=cells: run(cells))
        assert intervals.sizes == sorted(intervals.sizes)
        assert intervals.sizes[1] > 1.5 * intervals.sizes[0]
    many = [
        stores.load(simulate(tmp_path / str(k), questions=30, branches=64, seed=k))
        for k in range(max(doubled))
    ]
    of_stores = found["stores"] = Growth(times)
    for n in doubled:
        cells = [cell for one in many[:n] for cell in cells_on(one, 25, "cmc:beta=1")]
        run(cells)
        of_stores.add(n, lambda cells=cells: run(cells))
    benchmark.pedantic(lambda: None)
    if benchmark.enabled:
        with capsys.disabled():
            print(*(f"\n{name:40} {growth.words}" for name, growth in found.items()), sep="")


def test_workers_of_a_cluster_work(benchmark, tmp_path, capsys):
    """Cells that keep a core busy, on one core of this process and on a Ray cluster of all."""
    if not benchmark.enabled:
        pytest.skip("tests/test_ray.py has a cluster run cells; here it is timed")
    pytest.importorskip("ray")
    from autotts.distributed.on_ray import OnRay

    store = stores.load(simulate(tmp_path, questions=30, branches=64, seed=1))
    cores = os.cpu_count() or 1
    betas = [k / 40 for k in range(41)]
    task = Experiment("reference:1000").task(store)
    cells = cells_of([task], [programs.parse("cmc").at(0.5 + beta / 2) for beta in betas])
    small = cells_of([task.first(1)], [programs.parse("sc").at(k / 1000) for k in range(1000)])
    here, all_here = InProcess(jobs=1), InProcess()

    def seconds(driver, cells: Sequence[Cell]) -> float:
        began = time.perf_counter()
        ran = driver.run(cells)
        taken = time.perf_counter() - began
        expected = here.run(cells[::20])
        for one, other in zip(ran[::20], expected, strict=True):
            assert np.array_equal(one.episodes.results, other.episodes.results)
        return taken

    with OnRay("ray") as there:
        for few in (cells[:cores], small[:cores]):  # compiled, or loaded, by every worker
            there.run([*few, *few])
        one, all_, ray = (seconds(driver, cells) for driver in (here, all_here, there))
        alone, sent = seconds(here, small), seconds(there, small)
        shares = [seconds(there, small[k : k + 1]) for k in range(20)]
    benchmark.pedantic(lambda: None)
    with capsys.disabled():
        print(
            f"\n{len(cells)} cells of {one / len(cells):.3f} s, {cores} workers:"
            f" {one:.2f} s on one core, {all_:.2f} s on all, {ray:.2f} s on Ray"
            f"\nefficiency per worker {one / cores / ray:.3f}; of threads {one / cores / all_:.3f}"
            f"\noverhead a cell {1e3 * (ray - one / cores) / len(cells):.1f} ms of long ones,"
            f" {1e3 * (sent - alone / cores) / len(small):.2f} ms of {len(small)} short ones,"
            f" {1e3 * min(shares):.1f} to {1e3 * max(shares):.1f} ms of one alone"
        )


@pytest.mark.parametrize(("cell_seconds", "workers"), [(0.1, 10), (0.1, 100), (1.0, 1000)])
def test_a_cluster_works_most_of_the_time(cell_seconds, workers):
    """With enough cells for all; what one head can hand over is the limit, and is seen."""
    assert efficiency(100 * workers, cell_seconds, workers) > 0.85
    assert efficiency(100 * workers, 1e-5, workers) < 0.5
