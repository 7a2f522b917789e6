"""What does a race of candidates cost, and whom does it keep? Small variants of one controller.

    python benchmarks/race_of_candidates.py STORE... [--draws reference:100] [--races 5]

Sixteen variants of `race-prune` (margin, patience) are raced as `discover --race` does it, several
times with other samples. All are then swept whole, which a run never does, to know the truth: the
area of what the race left, its place among the sixteen, and what the race cost in full sweeps.
"""

import argparse
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autotts import programs, stores
from autotts.discovery.explorer import ProgramRules
from autotts.discovery.race import race
from autotts.discovery.run.settings import ExplorerRef, RunSettings
from autotts.discovery.run.store_refs import references
from autotts.discovery.scoring import Scorer
from autotts.discovery.sweeps import SampledEpisodes
from autotts.programs import Source

VARIANTS = tuple(itertools.product((5, 6, 8, 10), (8, 10, 12, 16)))
_MARGIN, _PATIENCE = '"margin": 8', '"patience": 12'


def variants() -> list[Source]:
    """Programs that differ in two constants."""
    text = programs.parse("race-prune").source.text
    assert _MARGIN in text
    assert _PATIENCE in text
    return [
        Source(
            f"{margin}-{patience}", "variant.py",
            text.replace(_MARGIN, f'"margin": {margin}').replace(
                _PATIENCE, f'"patience": {patience}'
            ),
            trusted=True,
        )
        for margin, patience in VARIANTS
    ]  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("stores", type=Path, nargs="+")
    asked.add_argument("--draws", default="reference:100")
    asked.add_argument("--races", type=int, default=5)
    given = asked.parse_args()
    settings = RunSettings(
        name="race", explorer=ExplorerRef(name="none"), stores=references(given.stores),
        driver="in-process", draws=given.draws, rules=ProgramRules(), baselines=(),
    )  # fmt: skip
    found = [stores.load(path) for path in given.stores]
    sources = variants()
    with Scorer(found, settings) as scorer:
        reference = scorer.reference()
        areas = np.array([reference.area(scorer.sweep(source).curve) for source in sources])
        spread = f"{areas.min():.2f} to {areas.max():.2f}"
        print(f"{len(sources)} variants swept whole: areas {spread}")
        print("race  sweeps in all  swept whole  surely behind  best kept: area, place, lost")
        for seed in range(given.races):
            played = [0]

            def play(
                c: int, picks: Sequence[np.ndarray], played: list[int] = played
            ) -> SampledEpisodes:
                played[0] += sum(map(len, picks)) * len(settings.betas)
                return scorer.sample(sources[c], picks)

            result = race(len(sources), play, scorer.episodes, reference, seed=seed)
            whole = [c for c, one in enumerate(result.standings) if not one.dropped]
            sure = sum("surely" in one.dropped for one in result.standings)
            best = max(whole, key=lambda c: areas[c])
            counted = played[0] / (sum(scorer.episodes) * len(settings.betas))
            assert math.isclose(counted, result.sweeps)
            print(
                f"{seed:4}  {counted + len(whole):13.2f}  {len(whole):11}  {sure:13}"
                f"  {areas[best]:.2f}, {1 + int((areas > areas[best]).sum())},"
                f" {areas.max() - areas[best]:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
