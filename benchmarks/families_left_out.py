"""Does what is discovered hold on a family of models that had no part in it?

    python benchmarks/families_left_out.py STORE... --out FOLDER [--families NAME...] [--rounds 1]

For each family the offline explorer searches the stores of all others, judged by regret (the mean
area of families less the most by which a family is behind its best baseline). `finalize` then
opens the stores of the family that was left out. The regret there is what its best baseline is
ahead by; figures of all families together are means over families. Run folders are kept, and what
is there already is not done again.
"""

import argparse
from pathlib import Path

import numpy as np

from autotts import stores
from autotts.discovery.assembly import discover, finalize, resume
from autotts.discovery.explorer import ProgramRules
from autotts.evaluation.families import family_of

BASELINES = ("asc", "esc", "margin", "short-mk", "race-beta", "sc")
"""Those that serve recordings of final answers alone."""


def left_out(
    family: str, paths: dict[Path, str], out: Path, rounds: int, draws: str, seed: int
) -> dict[str, float]:
    """Areas by controller on one family's stores, "discovered" among them."""
    run = out / family
    if not (run / "run.toml").exists():
        discover(
            [path for path, of in paths.items() if of != family], run,
            held_out=[path for path, of in paths.items() if of == family],
            rounds=rounds, seed=seed, judge="regret", family_weight="equal",
            traces=rounds > 1,  # the first round chooses the pace, from scores alone
            draws=draws, baselines=BASELINES, audit=60,
            rules=ProgramRules(ceiling=min(64, *(_branches(path) for path in paths))),
        )  # fmt: skip
    elif not (run / "best.py").exists():
        resume(run, trust=True)
    found = finalize(run, trust=True).controllers
    return {
        ("discovered" if name.startswith("round ") else name): one.families[family]
        for name, one in found.items()
    }


def _branches(path: Path) -> int:
    return int(stores.load(path).pool.n_branches.min())


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("stores", type=Path, nargs="+")
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--families", nargs="+")
    asked.add_argument("--rounds", type=int, default=1)
    asked.add_argument("--draws", default="subsets:24")
    asked.add_argument("--seed", type=int, default=1)
    given = asked.parse_args()
    paths = {path: family_of(stores.load(path)) for path in given.stores}
    families = given.families or sorted(set(paths.values()))
    rows = []
    for family in families:
        row = left_out(family, paths, given.out, given.rounds, given.draws, given.seed)
        rows.append(row)
        best = max(BASELINES, key=row.__getitem__)
        print(
            f"{family:12} discovered {row['discovered']:.2f}  regret"
            f" {row[best] - row['discovered']:+.2f} against {best} {row[best]:.2f}",
            flush=True,
        )
    print(f"\nmeans over {len(rows)} families")
    for name in ("discovered", *BASELINES):
        areas = np.array([row[name] for row in rows])
        regrets = np.array([max(row[other] for other in BASELINES) for row in rows]) - areas
        print(f"{name:12} area {areas.mean():.2f}  worst regret {regrets.max():+.2f}")


if __name__ == "__main__":
    main()
