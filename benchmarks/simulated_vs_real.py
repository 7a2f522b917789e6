"""Are simulated stores like the real ones? Prints both, side by side.

For each recorded AIME24 store, some stores are simulated from parameters fitted to it.

1. Figures: lengths, branch accuracies, what probes show by depth, and whether short branches are
   right. The spread of a real figure is its 95 % bootstrap interval over questions: with other
   questions of the kind it might as well have been anywhere in there.
2. Pairs: every two controllers at equal tokens. Where the real difference is beyond chance (paired
   bootstrap over questions, 95 %), it is counted how often simulated stores give it the same sign.

    python benchmarks/simulated_vs_real.py ../shared/data/scout

With `--typical FILE` it writes the shared tables of the typical model instead
(src/autotts/stores/typical.json), the mean of the fits. AIME25 is held out and never read.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from autotts import programs
from autotts.evaluation import Execution, Experiment, evaluate
from autotts.evaluation.compare import compare
from autotts.evaluation.frontiers import BUDGET_FRACTIONS, Curve, accuracy_at_fractions
from autotts.simulation.fitting import fit
from autotts.simulation.process import EVENTS, Parameters
from autotts.simulation.sampling import sample
from autotts.stores import Store, build, import_recordings, load

BETAS = [round(0.1 * i, 1) for i in range(11)]
REFERENCE = "sc"
RESAMPLES = 2_000
LEVEL = 0.95
KEPT = 0.9  # share of the simulated stores that must agree

Ratio = tuple[np.ndarray, np.ndarray]
"""A figure as two sums over questions, `[Q]` each: it is the one divided by the other."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of MODEL/aime24.json")
    parser.add_argument("--stores", type=int, default=20, help="simulated for each real one")
    parser.add_argument("--draws", type=int, default=50, help="of each simulated store")
    parser.add_argument("--models", nargs="*", help="all by default")
    parser.add_argument("--figures-only", action="store_true", help="leave the pairs out")
    parser.add_argument("--typical", type=Path, metavar="FILE", help="write the typical tables")
    options = parser.parse_args()
    real = [
        store
        for store in recorded(options.data)
        if store.model in (options.models or [store.model])
    ]
    fitted = [fit(store) for store in real]
    if options.typical:
        options.typical.write_text(json.dumps(typical_tables(fitted)) + "\n")
        return
    inside, kept = [], []
    for store, parameters in zip(real, fitted, strict=True):
        simulated = [simulated_like(store, parameters, seed) for seed in range(options.stores)]
        print(f"\n{store.name}, {options.stores} simulated stores\n")
        inside += print_figures(store, simulated)
        if not options.figures_only:
            kept += print_pairs(store, simulated, options.draws)
    print(f"\nFigures in the real spread: {summary(inside)}")
    if kept:
        print(f"Differences with the real sign: {summary(kept)}")


def summary(shares: Sequence[float]) -> str:
    enough = sum(share >= KEPT for share in shares)
    return (
        f"in {np.mean(shares):.1%} of simulated stores on average; "
        f"in at least {KEPT:.0%} of them for {enough} of {len(shares)}"
    )


def recorded(data: Path) -> list[Store]:
    """The recorded AIME24 stores."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            load(path)
            for file in sorted(data.glob("*/aime24.json"))
            for path in import_recordings(file, folder)
        ]


def simulated_like(store: Store, parameters: Parameters, seed: int) -> Store:
    questions, branches = store.pool.finals.shape
    recordings = sample(
        parameters,
        questions=questions,
        branches=branches,
        billing=store.pool.billing,
        rng=np.random.default_rng(seed),
    )
    return build(
        recordings,
        model=store.model,
        dataset=store.dataset,
        interval_tokens=store.pool.interval,
        billing=store.pool.billing,
    )


def typical_tables(fitted: Sequence[Parameters]) -> dict[str, object]:
    """What all questions share, the mean of several models."""
    return {
        "shape": np.mean([p.shape.mean(axis=0) for p in fitted], axis=0).round(3).tolist(),
        "rest": np.mean([p.rest for p in fitted], axis=0).round().tolist(),
        "tables": {
            event: [
                np.mean([p.tables[event][i] for p in fitted], axis=0).round(2).tolist()
                for i, key in enumerate(keys)
                if key[0] != "question"
            ]
            for event, keys in EVENTS.items()
        },
    }


# Figures.


def figures(store: Store) -> dict[str, Ratio]:
    return {
        **length_figures(store),
        **accuracy_figures(store),
        **probe_figures(store),
        **agreement_figures(store),
    }


def length_figures(store: Store) -> dict[str, Ratio]:
    lengths = store.pool.lengths
    longer = {f"longer than {k} intervals": mean(lengths > k) for k in (5, 10, 20, 30, 40, 60)}
    deviation = np.log(lengths).std(axis=1)
    return {
        "tokens of a branch": mean(store.pool.tokens),
        "intervals of a branch": mean(lengths),
        **longer,
        "deviation of log length in a question": (deviation, np.ones(len(deviation))),
        "short is right: AUC": short_is_right(store),
    }


def short_is_right(store: Store) -> Ratio:
    """How often a right branch is shorter than a wrong one of its question, ties half."""
    areas = np.zeros(len(store.gold))
    counted = np.zeros(len(store.gold))
    for q, correct in enumerate(store.correct):
        right, wrong = store.pool.tokens[q][correct], store.pool.tokens[q][~correct]
        if min(len(right), len(wrong)) >= 3:
            shorter = np.sign(wrong - right[:, None].astype(np.int64))
            areas[q], counted[q] = (1 + shorter.mean()) / 2, 1
    return areas, counted


def accuracy_figures(store: Store) -> dict[str, Ratio]:
    share = store.correct.mean(axis=1)
    ones = np.ones(len(share))
    return {
        "branch accuracy": (share, ones),
        "questions with under 10 % right": (share < 0.1, ones),
        "questions with over 90 % right": (share > 0.9, ones),
        "two branches agree on a wrong answer": (wrong_agreement(store), ones),
        "final answers failed": mean(store.pool.finals == store.pool.failed[:, None]),
    }


def wrong_agreement(store: Store) -> np.ndarray:
    """`[Q]` the chance that two branches are wrong in the same way."""
    shares = []
    for finals, gold in zip(store.pool.finals, store.gold, strict=True):
        counts = np.bincount(finals)
        counts[gold : gold + 1] = 0
        shares.append((counts * (counts - 1)).sum() / (len(finals) * (len(finals) - 1)))
    return np.array(shares)


def probe_figures(store: Store) -> dict[str, Ratio]:
    probes, lengths = store.pool.probes, store.pool.lengths
    depth = np.arange(probes.shape[2])
    inside = probes >= 0
    tenth = np.where(inside, 10 * depth // lengths[:, :, None], -1)
    final = inside & (probes == store.pool.finals[:, :, None])
    gold = inside & (probes == store.gold[:, None, None])
    failed = inside & (probes == store.pool.failed[:, None, None])
    same = inside.copy()
    same[:, :, 1:] &= probes[:, :, 1:] == probes[:, :, :-1]
    same[:, :, 0] = False
    right = store.correct[:, :, None]
    found = {}
    for k in range(10):
        here = tenth == k
        found[f"right branch shows its answer, tenth {k + 1}"] = share(final, here & right)
        found[f"wrong branch shows its answer, tenth {k + 1}"] = share(final, here & ~right)
        found[f"probe is right, tenth {k + 1}"] = share(gold, here)
    for k in (0, 4, 9, 19, 29, 49):
        found[f"probe is right, interval {k + 1}"] = share(gold, inside & (depth == k))
    found["probes failed"] = share(failed, inside)
    found["probe repeats the one before"] = share(same, inside & (depth > 0))
    return found


def agreement_figures(store: Store) -> dict[str, Ratio]:
    """Of all branches at one interval, those that ended before with their final answer."""
    ones = np.ones(len(store.gold))
    found = {}
    for k in (0, 4, 9, 19, 29, 49):
        last = np.minimum(k, store.pool.lengths - 1)[:, :, None].astype(np.int64)
        shown = np.take_along_axis(store.pool.probes, last, axis=2)[:, :, 0]
        counts = [np.bincount(row) for row in shown]
        most = np.array([c.max() for c in counts]) / shown.shape[1]
        leads = np.array([c.argmax() for c in counts]) == store.gold
        found[f"share of the leader, interval {k + 1}"] = (most, ones)
        found[f"leader is right, interval {k + 1}"] = (leads, ones)
    return found


def mean(values: np.ndarray) -> Ratio:
    return values.sum(axis=1), np.full(len(values), values.shape[1])


def share(of: np.ndarray, among: np.ndarray) -> Ratio:
    return (of & among).sum(axis=(1, 2)), among.sum(axis=(1, 2))


def print_figures(real: Store, simulated: Sequence[Store]) -> list[float]:
    """Print every figure; gives the share of simulated stores in the real spread, by figure."""
    questions = len(real.gold)
    weights = np.random.default_rng(0).multinomial(
        questions, np.full(questions, 1 / questions), size=RESAMPLES
    )
    others = [figures(store) for store in simulated]
    print(f"{'':46}{'real':>9} {'its spread':>19}{'simulated':>11} {'from .. to':>19}  inside")
    inside = []
    for name, (above, below) in figures(real).items():
        with np.errstate(invalid="ignore"):
            resampled = (weights @ above) / (weights @ below)
        low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        values = np.array([a.sum() / b.sum() for a, b in (other[name] for other in others)])
        inside.append(float(((values >= low) & (values <= high)).mean()))
        show = number(above.sum() / below.sum())
        print(
            f"{name:46}{show(above.sum() / below.sum()):>9} "
            f"{show(low):>8} .. {show(high):>7}{show(values.mean()):>11} "
            f"{show(values.min()):>8} .. {show(values.max()):>7}  {inside[-1]:6.0%}"
        )
    return inside


def number(like: float) -> Callable[[float], str]:
    digits = 0 if like > 1000 else 1 if like > 2 else 3
    return lambda value: f"{value:.{digits}f}"


# Pairs.


def print_pairs(real: Store, simulated: Sequence[Store], draws: int) -> list[float]:
    """Print the pairs; gives the share of simulated stores with the real sign, by comparison."""
    recorded = sweeps(real, 100)
    beyond = [
        (a, b, g, row["difference"])
        for a, b in combinations(recorded, 2)
        for g, row in enumerate(compared(recorded, a, b))
        if row["low"] > 0 or row["high"] < 0
    ]
    at_equal_tokens = [accuracies(sweeps(store, draws)) for store in simulated]
    kept = []
    for a, b, g, difference in beyond:
        gaps = np.array([found[a][g] - found[b][g] for found in at_equal_tokens])
        kept.append(float((np.sign(gaps) == np.sign(difference)).mean()))
    pairs = {(a, b) for a, b, _, _ in beyond}
    print(f"\n{len(beyond)} differences beyond chance, of {len(pairs)} pairs: {summary(kept)}")
    for (a, b, g, difference), kept_sign in zip(beyond, kept, strict=True):
        if kept_sign < KEPT:
            gap = np.mean([found[a][g] - found[b][g] for found in at_equal_tokens])
            print(
                f"  {kept_sign:4.0%}  {a} against {b} at {BUDGET_FRACTIONS[g]:.0%} of the tokens: "
                f"{100 * difference:+.2f} points, simulated {100 * gap:+.2f}"
            )
    print(f"\naccuracy at {', '.join(f'{f:.0%}' for f in BUDGET_FRACTIONS)} of SC@64's tokens")
    for name, found in accuracies(recorded).items():
        mean_found = np.mean([other[name] for other in at_equal_tokens], axis=0)
        print(f"  {name:16}real      {percent(found)}\n  {'':16}simulated {percent(mean_found)}")
    return kept


def sweeps(store: Store, draws: int) -> dict[str, Curve]:
    """The curve of every controller that comes with the package."""
    evaluation = evaluate(
        [store], programs.built_in(), betas=BETAS,
        experiment=Experiment(f"reference:{draws}"), execution=Execution(jobs=1),
    )  # fmt: skip
    return evaluation.curves()


def compared(found: dict[str, Curve], a: str, b: str) -> list[dict[str, float]]:
    rng = np.random.default_rng(0)
    return compare(found[a], found[b], rng=rng, reference=found[REFERENCE]).to_dicts()


def accuracies(found: dict[str, Curve]) -> dict[str, np.ndarray]:
    """Per controller, its accuracy at each share of the reference's tokens."""
    budget = found[REFERENCE].dearest_tokens()
    return {
        name: np.ravel(accuracy_at_fractions(curve.points(), budget, BUDGET_FRACTIONS))
        for name, curve in found.items()
    }


def percent(shares: np.ndarray) -> str:
    return " ".join(f"{100 * share:6.2f}" for share in shares)


if __name__ == "__main__":
    main()
