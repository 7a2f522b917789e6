"""How the cost of replay grows, and how much of a cluster works: `make bench`.

Exponents are slopes of log seconds of processor time over log size: 1 where twice the work takes
twice as long. The size of episodes of more intervals is what they are foretold to take: so much an
episode, an interval decoded and a round, as in all but the longest ones. A program that does
anything again for each interval takes more. More machines than there are here are simulated: a head
that hands over one share of the work after the other, and workers that take what comes. What is
asserted is that results are right, and what the simulation must give; never how long anything took.
"""

import heapq
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import nnls

from autotts import programs, stores
from autotts.distributed.on_ray import share_sizes
from autotts.evaluation import Experiment
from autotts.replay.driver import Ran
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


def longer(store: stores.Store, times: int) -> stores.Store:
    """The same branches, so many times as long: what an interval had, so many of them have."""
    pool = store.pool

    def each(column: np.ndarray) -> np.ndarray:
        return np.repeat(column, times, axis=2)

    stretched = replace(
        pool,
        probes=each(pool.require_probes()),
        signals={name: each(column) for name, column in pool.signals.items()},
        lengths=pool.lengths * np.int32(times),
        tokens=pool.tokens * np.int32(times),
    )
    return sealed(replace(store, pool=stretched, spellings=None))


def foretold(parts: Sequence[Sequence[float]], seconds: Sequence[float]) -> np.ndarray:
    """`[S]` seconds if each unit of each part costs the same, by all sizes but the last.

    Args:
        parts: `[S, P]` how much of each part a size has.
        seconds: `[S]` what it took.
    """
    known, taken = np.array(parts, np.float64), np.array(seconds)
    costs, _ = nnls((known / taken[:, None])[:-1], np.ones(len(taken) - 1))
    return np.asarray(known @ costs)


def test_what_grows_with_the_square_is_seen():
    sizes = np.array([1.0, 2, 4, 8, 16])
    parts = [[30, n, 2 * n + 5] for n in sizes]
    assert exponent(foretold(parts, 7 + 3 * sizes), 7 + 3 * sizes) == pytest.approx(1)
    assert exponent(foretold(parts, 7 + sizes**2), 7 + sizes**2) > 1.1


def each(sizes: Sequence[float], seconds: Sequence[float]) -> str:
    return "ns each " + ", ".join(
        f"{1e9 * s / n:,.1f}" for n, s in zip(sizes, seconds, strict=True)
    )


def test_cost_grows_with_the_work(benchmark, tmp_path, capsys):
    """Episodes, intervals and stores: each twice as many takes twice as long."""
    driver, times = InProcess(jobs=1), 5 if benchmark.enabled else 1
    doubled = (1, 2, 4, 8, 16) if benchmark.enabled else (1, 2)
    names = programs.built_in() if benchmark.enabled else ["cmc:beta=1", "short-mk"]
    signals = {"confidence": 0.8}
    made = [
        stores.load(simulate(tmp_path / str(k), questions=30, branches=64, seed=k, signals=signals))
        for k in range(max(doubled))
    ]
    lines = []

    def run(cells: Sequence[Cell]) -> list[Ran]:
        return [driver.run([cell])[0] for cell in cells]

    def timed(cells: Sequence[Cell]) -> tuple[list[Ran], float]:
        return run(cells), seconds_of(lambda: run(cells), times)

    def growth_by_episodes(name: str) -> None:
        parts, seconds = [], []
        for n in doubled:
            (ran,), taken = timed(cells_on(made[0], 10 * n, name))
            parts.append([1, len(ran.task.pairs)])
            seconds.append(taken)
        slope = exponent(foretold(parts, seconds), seconds)
        lines.append(f"episodes of {name}: exponent {slope:.3f}")

    def growth_by_intervals(name: str) -> None:
        parts, seconds = [], []
        for n in doubled:
            (ran,), taken = timed(cells_on(longer(made[0], n), 4, name))
            intervals = int(ran.tokens.sum()) // ran.store.pool.interval
            rounds = int(ran.episodes.column("rounds").sum())
            parts.append([len(ran.task.pairs), intervals, rounds])
            seconds.append(taken)
        _, intervals, rounds = np.transpose(parts)
        line = f"intervals of {name}: {each(intervals, seconds)}; "
        if intervals[-1] < max(doubled) / 2 * intervals[0]:
            line += "it stops before"
        elif rounds[-1] < 2 * rounds[0]:
            line += "it reads branches to their ends at once"
        else:
            line += f"exponent {exponent(foretold(parts, seconds), seconds):.3f}"
        lines.append(line)

    for name in names:
        growth_by_episodes(name)
        growth_by_intervals(name)
    assert len(lines) == 2 * len(names)
    several = [
        [cell for one in made[:n] for cell in cells_on(one, 25, "cmc:beta=1")] for n in doubled
    ]
    seconds = [timed(cells)[1] for cells in several]
    lines.append(f"stores: exponent {exponent(doubled, seconds):.3f}; {each(doubled, seconds)}")
    benchmark.pedantic(lambda: None)
    if benchmark.enabled:
        with capsys.disabled():
            print("", *lines, sep="\n")


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
