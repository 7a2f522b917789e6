"""What an evaluation found: episodes, summaries and curves, all from what ran."""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from autotts.evaluation import statistics
from autotts.evaluation.frontiers import Curve, curve
from autotts.evaluation.settings import Execution, Experiment
from autotts.files import write_text
from autotts.replay.driver import Ran
from autotts.stores import StoreKey
from autotts.version import __version__

MEANS = ("tokens", "sequential_tokens", "probe_tokens", "width", "rounds", "overrun")
"""Columns of an episode beside its identity and whether it was right."""


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """What ran, in the order in which it was asked for, and under what.

    In a notebook it shows as the table of its settings, `frame()`.
    """

    ran: list[Ran]
    experiment: Experiment
    execution: Execution

    @property
    def episodes(self) -> pl.DataFrame:
        """One row per episode: model, dataset, controller, beta, question, draw, correct, ..."""
        return pl.concat([episode_frame(one) for one in self.ran])

    def frame(self) -> pl.DataFrame:
        """One row per store, controller and beta.

        Columns store, controller, beta, accuracy with accuracy_low and accuracy_high (percent),
        and per question: tokens, sequential_tokens, width.
        """
        shown = (
            "accuracy",
            "accuracy_low",
            "accuracy_high",
            "tokens",
            "sequential_tokens",
            "width",
        )
        return pl.DataFrame(
            [
                {
                    "store": f"{row['model']}/{row['dataset']}",
                    "controller": row["controller"],
                    "beta": row["beta"],
                    **{name: round(row[name], 2) for name in shown},
                }
                for row in self.results()
            ]
        )

    def __repr__(self) -> str:
        controllers = {one.spec.text for one in self.ran}
        stores = {one.store.name for one in self.ran}
        head = (
            f"<Evaluation of {', '.join(sorted(controllers))} on {', '.join(sorted(stores))}:"
            f" {len(self.ran)} settings of {self.experiment.draws}>"
        )
        return f"{head}\n{self.frame()}"

    def _repr_html_(self) -> str:
        return self.frame()._repr_html_()

    def curves(self) -> dict[str, Curve]:
        """Each controller's sweep over beta, by its SPEC; see `curves_of`."""
        return curves_of(self.ran)

    def results(self) -> list[dict[str, Any]]:
        """A summary of each cell."""
        return [summary(one, np.random.default_rng(self.experiment.seed)) for one in self.ran]

    def made_by(self) -> dict[str, Any]:
        """What someone needs to make the same results again."""
        stores = {id(one.store): one.store for one in self.ran}.values()
        sources = {one.spec.source.path: one.spec.source for one in self.ran}.values()
        digests = "".join(sorted(source.digest for source in sources))
        return {
            "version": __version__,
            "numpy": np.__version__,
            "numba": importlib.metadata.version("numba"),
            "stores": [
                {
                    "model": store.model,
                    "dataset": store.dataset,
                    "digest": store.digest,
                    "billing": store.pool.billing,
                    "interval_tokens": store.pool.interval,
                }
                for store in stores
            ],
            **self.experiment.record(),
            "audit": self.execution.audit,
            "billing": sorted({store.pool.billing for store in stores}),
            "programs": {source.name: source.digest for source in sources},
            "program_digest": hashlib.sha256(digests.encode()).hexdigest(),
            "drivers": sorted({one.how.driver for one in self.ran}),
            "tiers": sorted({one.how.tier for one in self.ran if one.how.tier}),
        }

    def write_json(self, path: Path, **more: Any) -> None:
        """Write results, what made them, and more fields if given; whole or not at all."""
        content = {"results": self.results(), "made_by": self.made_by(), **more}
        write_text(path, json.dumps(content, indent=1) + "\n")


def episode_frame(ran: Ran) -> pl.DataFrame:
    """One row per episode."""
    return pl.DataFrame(
        {
            "question": ran.task.pairs[:, 0],
            "draw": ran.task.pairs[:, 1],
            "correct": ran.correct,
            **{name: ran.episodes.column(name) for name in MEANS},
        }
    ).select(
        pl.lit(ran.store.model).alias("model"),
        pl.lit(ran.store.dataset).alias("dataset"),
        pl.lit(ran.spec.text).alias("controller"),
        pl.lit(ran.spec.beta).alias("beta"),
        pl.all(),
    )


def summary(ran: Ran, rng: np.random.Generator) -> dict[str, Any]:
    """Means per question, accuracy in percent with its interval."""
    correct = ran.task.by_question(ran.correct)
    accuracy = statistics.accuracy_interval(correct, rng=rng)
    return {
        "model": ran.store.model,
        "dataset": ran.store.dataset,
        "controller": ran.spec.text,
        "name": ran.spec.name,
        "params": dict(ran.parameters),
        "beta": ran.spec.beta,
        "episodes": len(ran.task.pairs),
        "accuracy": 100 * float(correct.mean()),
        "accuracy_low": 100 * accuracy.low,
        "accuracy_high": 100 * accuracy.high,
        **{name: float(ran.episodes.column(name).mean()) for name in MEANS},
        "program_digest": ran.spec.source.digest,
        **ran.how.record(),
    }


def curves_of(ran: Iterable[Ran]) -> dict[str, Curve]:
    """The sweep over beta of each controller, by its SPEC, in order of first appearance.

    Args:
        ran: at every beta on every store, with all questions and draws.

    Raises:
        StoreError: models of one dataset have other questions.
    """
    found: dict[str, dict[tuple[StoreKey, float], tuple[np.ndarray, np.ndarray]]] = {}
    for one in ran:
        place = one.store.key, one.spec.beta
        values = one.task.by_question(one.correct), one.task.by_question(one.tokens)
        found.setdefault(one.spec.text, {})[place] = values
    return {name: curve(name, points) for name, points in found.items()}
