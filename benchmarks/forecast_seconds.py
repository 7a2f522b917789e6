"""Do forecast seconds agree with measured ones? On the genuine server of `make live`.

    python benchmarks/forecast_seconds.py [--cycles 3] [--model smol]

The server is measured before and after every three episodes, so that whatever else the machine does
hits both. Each episode is recorded, replayed, and forecast from the mean of
the two; the ratio of all forecast to all measured seconds should be 0.8 to 1.2 for each controller
and number of branches.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
SUFFIX, PROBE_TOKENS = "\n\n**Final Answer**\n\\boxed{", 10
BRANCHES = (1, 4, 16)
CONTROLLERS = ("sc:width={n}", "short-mk:width={n},first={half}", "parallel-probe:width={n}")
LISTS = ("reading_seconds", "waiting_seconds", "asking_seconds", "token_seconds")


@dataclass(frozen=True)
class Timed:
    """An episode: how long it took, what was decoded, and tokens of its prompt and of a probe."""

    seconds: float
    recording: Recording
    prompt_tokens: int
    probe_tokens: float


async def episode(server: Server, spec: Spec, n: int, seed: int) -> Timed:
    text = f"Question {seed}: Tell a long story about the number {100 + seed} and its friends.\n"
    prompt = await server.encode(text, special=True)
    probing = Probing(await server.encode(SUFFIX), SUFFIX, PROBE_TOKENS)
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
    seconds, spent = time.monotonic() - began, trajectories.spent
    recording = recording_of(pool, f"question {seed}", FAILED, name=str(seed))
    return Timed(seconds, recording, len(prompt), spent.probed / max(1, spent.probes))


def forecast(one: Timed, spec: Spec, n: int, speed: ServerSpeed) -> float:
    store = build(
        [one.recording], model="m", dataset="live", billing="exact", interval_tokens=INTERVAL,
        failed_answer=FAILED,
    )  # fmt: skip
    task = Experiment(draws="recorded", max_branches=n, failed="abstain").task(store)
    with Local() as driver:
        (ran,) = driver.run([Cell(task, spec)], keep_log=True)
    sizes = {"prompt_tokens": one.prompt_tokens, "probe_tokens": one.probe_tokens}
    return float(seconds_of(ran, speed, **sizes).sum())


def mean_of(speeds: Sequence[ServerSpeed]) -> ServerSpeed:
    lists = {
        name: tuple(np.mean([getattr(one, name) for one in speeds], axis=0).tolist())
        for name in LISTS
    }
    return replace(speeds[0], **lists)


async def run(address: str, cycles: int) -> None:
    server = await connect(address)
    print(f"{'controller':34}{'branches':>9}{'measured':>10}{'forecast':>10}{'ratio':>7}")
    ratios, speed = [], None
    for n in BRANCHES:
        among = [b for b in BRANCHES if b <= n]
        measured: dict[str, list[tuple[Timed, ServerSpeed]]] = {}
        after = await measure_speed(server, at_once=among, repeats=1)
        for cycle in range(cycles):
            before, played = after, {}
            for k, text in enumerate(CONTROLLERS):
                spec = programs.parse(text.format(n=n, half=max(1, n // 2)))
                played[spec.text] = await episode(server, spec, n, 1000 * cycle + 10 * n + k)
            after = await measure_speed(server, at_once=among, repeats=1)
            speed = mean_of([before, after])
            for text, one in played.items():
                measured.setdefault(text, []).append((one, speed))
        for text, episodes in measured.items():
            seconds = sum(one.seconds for one, _ in episodes)
            told = sum(forecast(one, programs.parse(text), n, speed) for one, speed in episodes)
            ratios.append(told / seconds)
            print(f"{text:34}{n:9}{seconds:10.2f}{told:10.2f}{ratios[-1]:7.2f}", flush=True)
    await server.aclose()
    held = sum(0.8 <= ratio <= 1.2 for ratio in ratios)
    print(f"{held} of {len(ratios)} within 20 %; the server as it was measured last:")
    for name in LISTS:
        print(f"{name:16}", *(f"{1e3 * value:9.2f} ms" for value in getattr(speed, name)))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--cycles", type=int, default=3)
    asked.add_argument("--model", choices=("smol", "tiny"), default="smol")
    given = asked.parse_args()
    model = genuine.TINY if given.model == "tiny" else genuine.SMOL
    with genuine.serving(model, slots=16) as address:
        asyncio.run(run(address, given.cycles))


if __name__ == "__main__":
    main()
