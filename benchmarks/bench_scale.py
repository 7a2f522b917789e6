"""How the cost of replay grows, and how much of a cluster works: `make bench`.

Exponents are slopes of log seconds of processor time over log size: 1 where twice the work takes
twice as long. More machines than there are here are simulated: a head that hands over one share of
the work after the other, and workers that take what comes. What is asserted is that results are
right, and what the simulation must give; never how long anything took.
"""

import heapq
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from autotts import programs, stores
from autotts.evaluation import Experiment
from autotts.replay.in_process import InProcess
from autotts.replay.task import Cell, cells_of
from autotts.simulation import simulate

SHARE_SECONDS = 0.00115
"""Of the head, to hand a share over and to take its result: 200 empty ones, two cores, Ray 2.60."""
ON_WORKER_SECONDS = 0.0008
"""Of a worker, beside playing: two milliseconds there and back, less the head's part."""
_SHARES_A_WORKER = 4


def efficiency(cells: int, cell_seconds: float, workers: int) -> float:
    """Share of the workers' time in which they play, by simulation of the scheduler.

    >>> round(efficiency(1000, 0.1, 1), 2)
    1.0
    """
    shares = [
        len(part) for part in np.array_split(range(cells), min(cells, _SHARES_A_WORKER * workers))
    ]
    free = [0.0] * min(workers, len(shares))
    ends = 0.0
    for k, size in enumerate(shares, start=1):
        begun = max(heapq.heappop(free), k * SHARE_SECONDS)
        end = begun + ON_WORKER_SECONDS + size * cell_seconds
        heapq.heappush(free, end)
        ends = max(ends, end)
    return cells * cell_seconds / (workers * ends)


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


def cells_on(folder, draws: int, name: str) -> list[Cell]:
    task = Experiment(f"reference:{draws}").task(stores.load(folder))
    return cells_of([task], [programs.parse(name)])


def test_cost_grows_with_the_work(benchmark, tmp_path, capsys):
    """Episodes, intervals and stores: each twice as many takes twice as long."""
    driver, times = InProcess(jobs=1), 5 if benchmark.enabled else 1
    sizes = (25, 50, 100, 200) if benchmark.enabled else (2, 4)
    folder = simulate(tmp_path, questions=30, branches=64, seed=1)
    by_episodes, tokens = [], []
    for draws in sizes:
        cells = cells_on(folder, draws, "cmc:beta=1")
        driver.run(cells)
        by_episodes.append(seconds_of(lambda cells=cells: driver.run(cells), times))
    by_intervals = []
    for width in (8, 16, 32, 64):
        cells = cells_on(folder, sizes[-1], f"parallel-probe:width={width},stable=99,patience=99")
        (ran,) = driver.run(cells)
        tokens.append(float(ran.tokens.sum()))
        by_intervals.append(seconds_of(lambda cells=cells: driver.run(cells), times))
    assert sorted(tokens) == tokens
    many = [simulate(tmp_path / str(k), questions=30, branches=64, seed=k) for k in range(4)]
    by_stores = [
        seconds_of(lambda n=n: [driver.run(cells_on(one, 50, "cmc")) for one in many[:n]], times)
        for n in (1, 2, 4)
    ]
    benchmark.pedantic(lambda: None)
    if benchmark.enabled:
        with capsys.disabled():
            print(f"\nexponent in episodes   {exponent(sizes, by_episodes):6.3f}")
            print(f"exponent in intervals  {exponent(tokens, by_intervals):6.3f}")
            print(f"exponent in stores     {exponent((1, 2, 4), by_stores):6.3f}")


@pytest.mark.parametrize(("cell_seconds", "workers"), [(0.1, 10), (0.1, 100), (1.0, 1000)])
def test_a_cluster_works_most_of_the_time(cell_seconds, workers):
    """With enough cells for all; what one head can hand over is the limit, and is seen."""
    assert efficiency(100 * workers, cell_seconds, workers) > 0.85
    assert efficiency(100 * workers, 1e-5, workers) < 0.5
