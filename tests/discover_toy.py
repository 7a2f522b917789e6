"""A small run: a simulated store, a scripted explorer, and the child process of the crash tests."""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from autotts import programs
from autotts.discovery.explorer import ProgramRules, Proposal, Record, Turn, Usage
from autotts.discovery.loop import Discovery, SessionEnd
from autotts.discovery.run import events
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import ExplorerRef, RunLimits, RunSettings
from autotts.discovery.run.store_refs import references
from autotts.engine import compiled
from autotts.replay.in_process import compile_program
from autotts.simulation import simulate

PROGRAM = '''"""Race of {width}."""


def schedule(beta):
    return {{"width": round(1 + {width} * beta), "first": round(1 + {first} * beta)}}


def solve(env, p):
    env.branch(min(p.width, env.room))
    first = min(p.first, env.n)
    while env.n_finished < first:
        env.advance(env.active())
    return env.vote()
'''


def program(width: int = 12, first: int = 7) -> str:
    return PROGRAM.format(width=width, first=first)


class Scripted:
    """One paid call, one try and one program per round; counts the calls it really sends."""

    name = "scripted"
    deterministic = True
    side_by_side = True

    def __init__(self, sent: Path) -> None:
        self._sent = sent

    def settings(self) -> Record:
        return {}

    def estimate(self, rounds: int, proposals: int) -> Usage:
        return Usage(rounds, 100 * rounds, 10 * rounds, None)

    def propose(self, turn: Turn) -> list[Proposal]:
        def send() -> tuple[Record, Usage]:
            with self._sent.open("a") as file:
                file.write(f"{turn.round}\n")
            return {"width": 10 + turn.round}, Usage(1, 100, 10, 0.25)

        reply = turn.paid({"round": turn.round}, send, at_most=Usage(1, 100, 50, 0.5))
        width = int(str(reply["width"]))
        feedback = turn.try_program(program(width, 5))
        learned = f"a try had area {feedback.area}, {len(turn.history.trials)} trials before"
        return [Proposal(program(width, 7), idea=f"width {width}", learned=learned)]


def store_folder(folder: Path, name: str = "toy", seed: int = 0) -> Path:
    """A small simulated store."""
    return simulate(folder, questions=4, branches=16, seed=seed, like=None, model="m", dataset=name)


def settings(store: Path, held_out: Path | None = None, **changes: Any) -> RunSettings:
    """Settings of a run of a second or two; no rule on reach, for the store is small."""
    return RunSettings(
        **{
            "name": "toy",
            "explorer": ExplorerRef(name="scripted", deterministic=True),
            "stores": references([str(store)]),
            "held_out": references([str(held_out)]) if held_out else (),
            "driver": "in-process",
            "betas": (0.0, 0.5, 1.0),
            "draws": "reference:3",
            "try_draws": "reference:2",
            "baselines": ("asc",),
            "rules": ProgramRules(cheapest=1.0, dearest=0.0, isotonic_slack=1.0, ceiling=16),
            "limits": RunLimits(rounds=2),
            **changes,
        }
    )


def session(folder: Path, explorer: Any, limits: RunLimits | None = None) -> SessionEnd:
    with RunFolder(folder).open() as run:
        return Discovery(run, explorer, lambda text: None, limits).go()


def lines(folder: Path) -> list[Any]:
    """The lines of a run's log, as they stand there."""
    return [json.loads(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]


def result(folder: Path) -> list[Any]:
    """What a run found: its events, less times and sessions."""
    found = []
    for event in lines(folder):
        if event["event"] in ("resumed", "call"):
            continue
        record: Any = {k: v for k, v in event.items() if k not in ("at", "clock", "seconds", "id")}
        record.get("notes", {}).pop("seconds", None)
        found.append(record)
    return found


def crash_at(number: int, torn: bool) -> None:
    """Let this process be killed at the n-th event it writes: in the middle, or right after."""
    append, written = events.EventLog.append, [0]

    def dying(log: events.EventLog, event: events.Event) -> events.Event:
        written[0] += 1
        if written[0] < number:
            return append(log, event)
        if torn:
            os.write(log._file, b'{"event": "torn", "at"')
        else:
            append(log, event)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    events.EventLog.append = dying  # type: ignore[method-assign]


def in_child(work: Any, seconds: float | None = None) -> int:
    """Run in a fork; killed after some seconds if given. Returns its wait status."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def warm_up() -> None:
    """Load what every child needs, once."""
    import scipy.special  # noqa: F401

    compiled.action_addresses(False)
    compiled.begin()
    compiled.end()
    compiled.run()
    for source in (programs.find("sc"), programs.Source("toy", "toy.py", program(), True)):
        compile_program(programs.load(source))


def crash_matrix(work: Path) -> dict[str, Any]:
    """Kill a run at every event boundary and at random instants, resume it, and compare.

    A process of its own calls this: it forks, and must have no threads. The runs that die at an
    event make no diagnosis, which writes no event and takes most of a run's time; those that die at
    random instants do, and may die in it. Rounds side by side are killed at every third event.
    """
    # Polars has threads, which a fork does not survive, so the store is written in a child too.
    in_child(lambda: store_folder(work / "stores"))
    warm_up()
    rng = random.Random(0)
    wrong, count = [], 0
    for kind in KINDS:
        made, whole = _toy(work, kind), work / f"whole-{kind}"
        RunFolder.create(whole, made)
        if in_child(lambda whole=whole: session(whole, Scripted(work / "whole.sent"))) != 0:
            return {"points": 0, "wrong": [f"the whole run failed: {kind}"]}
        events_ = range(1, len(lines(whole)) + 1)
        points: dict[str, list[Any]] = {
            "plain": [(n, torn) for n in events_ for torn in (True, False)],
            "traced": [rng.uniform(0, RunFolder(whole).state.seconds) for _ in range(6)],
            "parallel": [(n, n % 2 == 1) for n in events_[::3]],
        }
        for point in points[kind]:
            count += 1
            if problem := _crash(work, made, point, _found(whole, made)):
                wrong.append(f"{kind} {point}: {problem}")
    return {"points": count, "wrong": wrong}


KINDS = ("plain", "traced", "parallel")


def _toy(work: Path, kind: str) -> RunSettings:
    more: dict[str, Any] = {}
    if kind == "parallel":
        more = {"parallel": 3, "limits": RunLimits(rounds=4)}
    return settings(work / "stores", baselines=(), traces=kind == "traced", **more)


def _found(folder: Path, made: RunSettings) -> list[Any]:
    """What a run found; where rounds are proposed side by side, in the order of rounds."""
    found = result(folder)
    if made.parallel > 1:
        found = [event for event in found if "round" in event]
        found.sort(key=lambda event: (event["round"], event["event"]))
    return found


def _crash(work: Path, made: RunSettings, point: Any, wanted: list[Any]) -> str:
    """Kill a run, resume it, and say what is wrong with it.

    Args:
        point: seconds, or the number of an event and whether it is torn.
    """
    folder, sent = work / "crashed", work / "crashed.sent"
    shutil.rmtree(folder, ignore_errors=True)
    sent.write_text("")
    RunFolder.create(folder, made)

    def first() -> None:
        if isinstance(point, tuple):
            crash_at(*point)
        session(folder, Scripted(sent))

    in_child(first, None if isinstance(point, tuple) else point)
    before = sent.read_text().split()
    replied = _replied(folder)
    if in_child(lambda: session(folder, Scripted(sent))) != 0:
        return "could not be resumed"
    if _found(folder, made) != wanted:
        return "another result"
    if set(sent.read_text().split()[len(before) :]) & replied:
        return "paid twice"
    return ""


def _replied(folder: Path) -> set[str]:
    """Rounds whose call has its reply in the log."""
    calls = RunFolder(folder).state.calls.values()
    return {str(c.reserved.round) for c in calls if isinstance(c.outcome, events.CallReplied)}


if __name__ == "__main__":
    print(json.dumps(crash_matrix(Path(sys.argv[1]))))
