"""Makes what docs/discoveries/ shows: the record of a run, and the table beside other controllers.

    python benchmarks/discoveries.py record RUN docs/discoveries/NAME.json
    python benchmarks/discoveries.py table DISCOVERY... --stores STORE... [--rivals NAME...]
        [--draws subsets:40]

`record` writes what a run did: its settings, every proposal with its score or why it was refused,
what it cost, and what `finalize` found; programs and figures, no data. `table` prints, in Markdown,
by how much each discovery is ahead of each rival in frontier area, by family of models, with 95 %
intervals over questions; where a family's stores lack what a program reads it says so. What each
part of a discovery is worth `autotts ablate` says.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from autotts import programs, stores
from autotts.discovery.explorer import Trial
from autotts.discovery.run.folder import RunFolder
from autotts.evaluation import Experiment
from autotts.evaluation.compare import area, clears_noise
from autotts.evaluation.families import family_of
from autotts.evaluation.run import evaluate
from autotts.evaluation.serving import lacks
from autotts.evaluation.statistics import Difference, Interval
from autotts.evaluation.study.comparison import BETAS, REFERENCE
from autotts.stores import Store

RIVALS = ("cmc", "short-mk", "race-prune", "margin")


def record(run: Path) -> dict[str, Any]:
    """What a run did, for JSON."""
    folder = RunFolder(run)
    settings, state = folder.settings, folder.state
    explorer = settings.explorer
    found: dict[str, Any] = {
        "run": settings.name,
        "explorer": {"name": explorer.name, **explorer.settings},
        "stores": {f"{ref.model}/{ref.dataset}": ref.digest for ref in settings.stores},
        "rules": {
            "draws": settings.draws, "seed": settings.seed, "judge": settings.judge,
            "family_weight": settings.family_weight, "selection": settings.selection,
        },
        "made_by": settings.made_by,
        "cost": {
            "usd": state.usage.usd, "tokens": state.usage.tokens, "calls": state.usage.calls,
            "minutes": round(state.seconds / 60, 1), "evaluations": state.evaluations,
        },
        "baselines": {name: one.area for name, one in state.baselines.items()},
        "proposals": [_trial(trial, state.words(trial)) for trial in state.trials],
        "tried": [
            {"round": one.round, "area": one.feedback.area, "errors": list(one.feedback.errors)}
            for one in state.tries
        ],
        "best": None if state.best is None else state.best.name,
        "program": None if state.best is None else state.best.proposal.source,
    }  # fmt: skip
    if state.finalized is not None:
        results = state.finalized.results
        found["held_out"] = {
            "opened": state.finalized.at,
            "stores": {f"{ref.model}/{ref.dataset}": ref.digest for ref in results.stores},
            "controllers": {
                name: {
                    "area": one.area, "low": one.area_low, "high": one.area_high,
                    "by_share_of_sc64": one.fractions, "families": one.families,
                }
                for name, one in results.controllers.items()
            },
            "against": {name: asdict(one) for name, one in results.against.items()},
        }  # fmt: skip
    return found


def _trial(trial: Trial, words: Sequence[str]) -> dict[str, Any]:
    return {
        "round": trial.name, "idea": trial.proposal.idea, "learned": trial.proposal.learned,
        "expected": trial.proposal.expected_effect, "area": trial.area,
        "accepted": trial.accepted, "refused": list(trial.errors), "compared": list(words),
        "curve": [[point.beta, point.accuracy, point.tokens] for point in trial.points],
    }  # fmt: skip


def table(
    discoveries: Sequence[str], rivals: Sequence[str], found: Sequence[Store], draws: str
) -> list[str]:
    """Rows in Markdown, a discovery and a family each."""
    families: dict[str, list[Store]] = {}
    for store in found:
        families.setdefault(family_of(store), []).append(store)
    rows = [
        f"| discovery | family | stores | area | {' | '.join(f'over `{r}`' for r in rivals)} |",
        "|---" * (4 + len(rivals)) + "|",
    ]
    for family, own in families.items():
        served = [
            name
            for name in (*discoveries, *rivals)
            if not any(lacks(store, programs.parse(name)) for store in own)
        ]
        evaluation = evaluate(
            own, [*served, REFERENCE], betas=BETAS, experiment=Experiment(draws=draws)
        )
        curves = evaluation.curves()
        for name in discoveries:
            cells = [f"`{name}`", family, str(len(own))]
            if name not in served:
                cells += ["needs probes", *([""] * len(rivals))]
            else:
                mine, base = curves[name], curves[REFERENCE]
                whole = area(mine, rng=np.random.default_rng(0), reference=base)
                cells.append(_cell(whole, ""))
                for rival in rivals:
                    if rival not in served:
                        cells.append("needs probes")
                        continue
                    rng = np.random.default_rng(0)
                    gap = clears_noise(mine, curves[rival], rng=rng, reference=base).difference
                    cells.append(_cell(gap, "+"))
            rows.append(f"| {' | '.join(cells)} |")
    return rows


def _cell(found: Interval | Difference, sign: str) -> str:
    estimate, low, high = (f"{100 * x:{sign}.2f}" for x in (found.estimate, found.low, found.high))
    return f"{estimate} [{low}, {high}]"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    of = asked.add_subparsers(dest="what", required=True)
    recorded = of.add_parser("record")
    recorded.add_argument("run", type=Path)
    recorded.add_argument("file", type=Path)
    shown = of.add_parser("table")
    shown.add_argument("discoveries", nargs="+")
    shown.add_argument("--stores", nargs="+", type=Path, required=True)
    shown.add_argument("--rivals", nargs="+", default=list(RIVALS))
    shown.add_argument("--draws", default="subsets:40")
    given = asked.parse_args()
    if given.what == "record":
        given.file.write_text(json.dumps(record(given.run), indent=1) + "\n")
        return
    loaded = [stores.load(path) for path in given.stores]
    print("\n".join(table(given.discoveries, given.rivals, loaded, given.draws)))


if __name__ == "__main__":
    main()
