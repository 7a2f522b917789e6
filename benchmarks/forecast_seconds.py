"""Do forecast seconds agree with measured ones? On the genuine server of `make live`.

    python benchmarks/forecast_seconds.py [--cycles 2] [--model smol]

Measuring the server and playing episodes take turns, so that whatever else the machine does hits
both. Each episode is recorded, replayed, and forecast from the mean of the measurements; the ratio
of all forecast to all measured seconds should be 0.8 to 1.2 for each controller and number of
branches.
"""

import argparse
import asyncio
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import genuine
from autotts import programs
from autotts.answers import FAILED, extract
from autotts.evaluation import Experiment, Local
from autotts.evaluation.forecasting import seconds_of
from autotts.inference import Sampling, Server, connect
from autotts.inference.branch import Decoding, Probing, ServedBranch
from autotts.inference.speed import ServerSpeed, measure_speed
from autotts.live import (
    GrowingPool,
    InThisProcess,
    Reading,
    ServedTrajectories,
    play,
    recording_of,
)
from autotts.programs import Spec
from autotts.programs.loading import load_trusted
from autotts.replay.task import Cell
from autotts.stores import Recording, build

INTERVAL, INTERVALS = 12, 3
SUFFIX = "\n\n**Final Answer**\n\\boxed{"
BRANCHES = (1, 4, 16)
CONTROLLERS = ("sc:width={n}", "short-mk:width={n},first={half}", "parallel-probe:width={n}")
_LISTS = ("opening_seconds", "waiting_seconds", "token_seconds", "probing_seconds")


async def episode(server: Server, spec: Spec, n: int, seed: int) -> tuple[float, Recording]:
    """Seconds of an episode, and what was decoded."""
    text = f"Question {seed}: Tell a long story about the number {100 + seed} and its friends.\n"
    prompt = await server.encode(text, special=True)
    probing = Probing(await server.encode(SUFFIX), SUFFIX)
    pool = GrowingPool(branches=n, intervals=INTERVALS, interval=INTERVAL, failed=FAILED)
    reading = Reading(of=extract, probing=probing, closing=probing)
    how = Decoding(INTERVAL, INTERVAL * INTERVALS, Sampling(temperature=0.6, top_p=0.9))
    trajectories = ServedTrajectories(
        server, lambda i: ServedBranch(prompt, (seed, i)), pool, reading, how
    )
    program = load_trusted(spec.source)
    values = program.parameters(spec.beta, dict(spec.named))
    began = time.monotonic()
    await play(InThisProcess(program, values, pool), pool, trajectories)
    return time.monotonic() - began, recording_of(pool, f"question {seed}", FAILED, name=str(seed))


def forecast(recordings: list[Recording], spec: Spec, n: int, speed: ServerSpeed) -> float:
    store = build(
        recordings, model="m", dataset="live", billing="exact", interval_tokens=INTERVAL,
        failed_answer=FAILED,
    )  # fmt: skip
    task = Experiment(draws="recorded", max_branches=n, failed="abstain").task(store)
    with Local() as driver:
        (ran,) = driver.run([Cell(task, spec)], keep_log=True)
    return float(seconds_of(ran, speed).sum())


def mean_of(speeds: list[ServerSpeed]) -> ServerSpeed:
    lists = {
        name: tuple(np.mean([getattr(one, name) for one in speeds], axis=0).tolist())
        for name in _LISTS
    }
    assert set(lists) <= {one.name for one in fields(ServerSpeed)}
    return replace(speeds[0], **lists)


async def run(address: str, cycles: int) -> None:
    server = await connect(address)
    speeds = [await measure_speed(server, at_once=BRANCHES, repeats=1)]
    played: dict[tuple[str, int], list[tuple[float, Recording]]] = {}
    for cycle in range(cycles):
        for n in BRANCHES:
            for k, text in enumerate(CONTROLLERS):
                spec = programs.parse(text.format(n=n, half=max(1, n // 2)))
                seed = 1000 * cycle + 10 * n + k
                played.setdefault((spec.text, n), []).append(await episode(server, spec, n, seed))
        speeds.append(await measure_speed(server, at_once=BRANCHES, repeats=1))
    await server.aclose()
    speed = mean_of(speeds)
    for name in _LISTS:
        print(f"{name:16}", *(f"{1e3 * value:9.1f} ms" for value in getattr(speed, name)))
        spread = np.array([getattr(one, name) for one in speeds])
        print(f"{'':16}", *(f"{1e3 * value:9.1f} sd" for value in spread.std(axis=0)))
    print(f"{'controller':34}{'branches':>9}{'measured':>10}{'forecast':>10}{'ratio':>7}")
    for (text, n), episodes in played.items():
        measured = sum(seconds for seconds, _ in episodes)
        told = forecast([one for _, one in episodes], programs.parse(text), n, speed)
        print(f"{text:34}{n:9}{measured:10.2f}{told:10.2f}{told / measured:7.2f}", flush=True)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--cycles", type=int, default=2)
    asked.add_argument("--model", choices=("smol", "tiny"), default="smol")
    given = asked.parse_args()
    model = genuine.TINY if given.model == "tiny" else genuine.SMOL
    with genuine.serving(model, slots=16) as address:
        asyncio.run(run(address, given.cycles))


if __name__ == "__main__":
    main()
