"""The speed of the replay, beside what issue 2 asks for: `make bench`, with nothing else running.

On the recorded data 3,000 episodes of Qwen3-1.7B/aime25; without them, a simulated store of the
same size. What is asserted is that the results are right, never how long they took; a table of
the figures and their targets stands at the end.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from autotts import programs, stores
from autotts.engine import cache, compiled
from autotts.errors import ProgramError
from autotts.evaluation import Experiment
from autotts.evaluation.study.table1 import compare_table1
from autotts.replay import in_process, log
from autotts.simulation import simulate

CONTROLLERS = {
    "cmc:beta=1": 0.10,
    "short-mk:first=16,width=64": 0.06,
    "short-mk": 0.06,
    "asc:max_branches=64,threshold=0.95": 0.02,
    "parallel-probe:width=64,stable=40,patience=7,warmup=15": 0.25,
}
"""Targets in seconds, for 3,000 episodes on one thread."""

# CPU time of this process, which others on the machine lengthen less than the wall clock's.
on_one_thread = pytest.mark.benchmark(timer=time.process_time)

# Not ru_maxrss, which begins with that of the parent.
PEAK = "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) // 1024)"


class Figures:
    """What was measured, by name: value, unit and the most that it should be."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, float, str, float | None]] = []

    def add(self, name: str, value: float, unit: str, most: float | None = None) -> None:
        self.lines.append((name, value, unit, most))

    def seconds(self, name: str, benchmark, most: float | None = None) -> None:
        """The shortest run of a benchmark; nothing when it is not timed."""
        if benchmark.enabled:
            self.add(name, benchmark.stats.stats.min, "s", most)

    def table(self) -> Iterator[str]:
        for name, value, unit, most in self.lines:
            target = "" if most is None else f"<= {most:g}"
            verdict = "" if most is None else "met" if value <= most else "MISSED"
            yield f"{name:68}{value:10.3f} {unit:6}{target:>10}  {verdict}"


@pytest.fixture(scope="module")
def figures(request) -> Iterator[Figures]:
    measured = Figures()
    yield measured
    if measured.lines:
        capture = request.config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print("", *measured.table(), sep="\n")


@pytest.fixture(scope="module")
def folder(request, tmp_path_factory):
    """Stores: the recorded ones, or a simulated one of the size of one of them."""
    out = tmp_path_factory.mktemp("stores")
    try:
        recorded = request.getfixturevalue("recorded")
    except pytest.skip.Exception:
        simulate(out, questions=30, branches=128, model="Qwen3-1.7B", dataset="aime25")
    else:
        stores.import_recordings(recorded / "scout", out)
    return out


@pytest.fixture(scope="module")
def store(folder):
    return stores.load(folder / "Qwen3-1.7B" / "aime25")


@dataclass(frozen=True)
class Replay:
    """A controller over 100 draws of all questions of a store, compiled, in this process."""

    spec: str
    store: stores.Store

    @property
    def program(self):
        return programs.load_trusted(programs.parse(self.spec).source)

    @property
    def values(self):
        asked = programs.parse(self.spec)
        return self.program.parameters(asked.beta, asked.named)

    @property
    def task(self):
        return Experiment("reference:100").task(self.store)

    def arguments(self, task=None):
        """What `run_compiled` is called with; everything that is done once is done here."""
        entry = cache.address(in_process.compile_program(self.program))
        return entry, list(self.values.values()), task or self.task

    def interpreted(self, task):
        return in_process.run_interpreted(self.program.solve, self.values, task)


def assert_right(replay, ran):
    """Every episode answered, and a sample of them does interpreted what it did compiled."""
    assert (ran.column("status") == 0).all()
    task = replay.task
    sample = np.arange(0, len(task.pairs), 499)
    again = replay.interpreted(task.some(task.pairs[sample]))
    assert np.array_equal(again.results, ran.results[sample])


@on_one_thread
@pytest.mark.parametrize("spec", CONTROLLERS)
def test_3_000_episodes_on_one_thread(spec, store, figures, benchmark):
    replay = Replay(spec, store)
    ran = benchmark.pedantic(
        in_process.run_compiled,
        args=replay.arguments(),
        rounds=15 if benchmark.enabled else 1,
        warmup_rounds=1,
    )
    figures.seconds(f"3,000 episodes of {spec}", benchmark, CONTROLLERS[spec])
    assert_right(replay, ran)


@on_one_thread
def test_interpreted_it_takes_longer(store, figures, benchmark):
    """Thirty episodes of CMC in each, to compare."""
    replay = Replay("cmc:beta=1", store)
    task = replay.task.some(replay.task.pairs[::100])
    arguments = replay.arguments(task)
    slow = benchmark.pedantic(replay.interpreted, args=[task], rounds=1)
    if benchmark.enabled:
        fast = min(_seconds(lambda: in_process.run_compiled(*arguments)) for _ in range(20))
        ratio = benchmark.stats.stats.min / fast
        figures.add("interpreted over compiled, CMC at beta 1", ratio, "times")
    assert np.array_equal(slow.results, in_process.run_compiled(*arguments).results)


@on_one_thread
def test_recording_traces(store, figures, benchmark):
    """What `--traces` adds to a run: the log of all requests, kept in memory."""
    replay = Replay("cmc:beta=1", store)
    arguments = replay.arguments()

    def without():
        return in_process.run_compiled(*arguments)

    def recording():
        return in_process.run_compiled(*arguments, keep_log=True)

    traced = benchmark.pedantic(recording, rounds=15 if benchmark.enabled else 1, warmup_rounds=1)
    if benchmark.enabled:
        # In turns, so that what else the machine does meets both.
        turns = [(_seconds(without), _seconds(recording)) for _ in range(15)]
        plain, kept = np.min(turns, axis=0)
        figures.add("recording traces in memory, share of time", kept / plain - 1, "", 0.30)
    assert np.array_equal(traced.results, without().results)
    again, steps = log.replay(traced.log, traced.column("code"), replay.task, trace=True)
    assert np.array_equal(again.results, traced.results)
    assert len(steps) > traced.column("rounds").sum()


@on_one_thread
@pytest.mark.parametrize(("name", "most"), [("asc", 2.0), ("short-mk", 2.0), ("cmc", 5.0)])
def test_the_first_compilation(name, most, figures, benchmark):
    """Afresh, past the cache; the driver is there."""
    program = programs.load(programs.find(name))
    in_process.compile_program(program)

    def compile_afresh():
        try:
            return compiled.compile_program(program.solve, program.kinds, key=None)
        except ProgramError as error:
            pytest.fail(str(error))

    code = benchmark.pedantic(compile_afresh, rounds=3 if benchmark.enabled else 1)
    figures.seconds(f"first compilation of {name}", benchmark, most)
    assert cache.address(code) != 0


@on_one_thread
def test_loading_a_store(folder, store, figures, benchmark):
    loaded = benchmark(stores.load, folder / "Qwen3-1.7B" / "aime25")
    figures.seconds("loading a store of 30 x 128 branches", benchmark, 0.2)
    assert loaded.digest == store.digest


def test_all_of_table_1(folder, figures, benchmark):
    """Six controllers on every store that is there, in this process."""
    loaded = [stores.load(path) for path in stores.find(folder)]
    cells = benchmark.pedantic(compare_table1, args=[loaded], rounds=3, warmup_rounds=1)
    figures.seconds(f"all of Table 1 on {len(loaded)} stores", benchmark, 5.0)
    assert sum(cell.replayed is not None for cell in cells) == 6 * len(loaded)


def test_all_of_table_1_as_one_command(folder, figures, benchmark):
    """A new process, its cache of compiled code warm."""
    command = ("reproduce", "table1", "--stores", str(folder))
    printed, peak = benchmark.pedantic(run_command, args=command, rounds=2, warmup_rounds=1)
    figures.seconds("all of Table 1 as one command", benchmark, 5.0)
    figures.add("peak memory of all of Table 1", peak, "MB")
    assert "AutoTTS (β=1.0)" in printed


def test_peak_memory_of_a_row_of_table_1(folder, figures, benchmark):
    command = ("evaluate", str(folder), "-c", "cmc:beta=1")
    printed, peak = benchmark.pedantic(run_command, args=command, rounds=1)
    figures.add("peak memory of a row of Table 1 (CMC at beta 1)", peak, "MB", 450)
    assert "Qwen3-1.7B/aime25" in printed


def test_help(figures, benchmark):
    printed, _ = benchmark.pedantic(
        run_command, args=["--help"], rounds=5 if benchmark.enabled else 1
    )
    figures.seconds("autotts --help", benchmark, 0.5)
    assert "Usage:" in printed


def test_evaluating_one_store_as_one_command(folder, figures, benchmark):
    """A new process, its cache of compiled code warm: nearly all of it is imports."""
    command = ("evaluate", str(stores.find(folder)[0]), "-c", "cmc")
    printed, _ = benchmark.pedantic(run_command, args=command, rounds=5, warmup_rounds=1)
    figures.seconds("autotts evaluate STORE -c cmc", benchmark, 1.2)
    assert "cmc" in printed


def run_command(*arguments: str) -> tuple[str, int]:
    """A command of autotts in a process of its own: what it prints, and its peak memory in MB."""
    code = (
        f"import atexit, sys; sys.argv = ['autotts', *{list(arguments)!r}]\n"
        f"def peak(): {PEAK}\n"
        "atexit.register(peak)\n"
        "from autotts.cli import main; main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *printed, peak = ran.stdout.splitlines()
    return "\n".join(printed), int(peak)


def _seconds(call) -> float:
    """CPU time of a call in this process."""
    began = time.process_time()
    call()
    return time.process_time() - began
