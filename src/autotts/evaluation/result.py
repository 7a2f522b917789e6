"""What an evaluation found: episodes, summaries and curves, all from what ran."""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from autotts.errors import StoreError
from autotts.evaluation import statistics
from autotts.evaluation.design import Design, design_of, shared_rows
from autotts.evaluation.frontiers import Curve, curve
from autotts.evaluation.objectives import Objective, forecast_means, mean_of, spent
from autotts.evaluation.settings import Execution, Experiment
from autotts.files import write_text
from autotts.inference.speed import ServerSpeed
from autotts.programs import Source, Spec
from autotts.replay.driver import How, Ran
from autotts.stores import Store, StoreKey
from autotts.text import counted
from autotts.version import __version__

MEANS = ("tokens", "sequential_tokens", "probe_tokens", "width", "rounds", "overrun")
"""Columns of an episode beside its identity and whether it was right."""

WIDTHS = frozenset({"width", "max_branches"})
"""Parameters that are a number of branches to open."""


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What ran, in the order in which it was asked for, and under what.

    In a notebook it shows as the table of its settings, `frame()`.
    """

    ran: list[Ran]
    experiment: Experiment
    execution: Execution
    server: ServerSpeed | None = None

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
            f" {counted(len(self.ran), 'setting')} of {self.experiment.draws}>"
        )
        return f"{head}\n{self.frame()}"

    def _repr_html_(self) -> str:
        return self.frame()._repr_html_()

    @property
    def specs(self) -> dict[tuple[str, float], Spec]:
        """What ran, by SPEC and beta."""
        return {(one.spec.text, one.spec.beta): one.spec for one in self.ran}

    def curves(self, objective: Objective = "tokens") -> dict[str, Curve]:
        """Each controller's sweep over beta, by its SPEC; see `curves_of`."""
        return curves_of(self.ran, objective, self.server)

    def results(self) -> list[dict[str, Any]]:
        """A summary of each cell."""
        return [dict(row) for row in self._results]

    @cached_property
    def _results(self) -> list[dict[str, Any]]:
        # A table, a file and a notebook ask for them each, and intervals take their time.
        return [
            summary(one, np.random.default_rng(self.experiment.seed))
            | forecast_means(one, self.server)
            for one in self.ran
        ]

    def made_by(self) -> dict[str, Any]:
        """What someone needs to make the same results again."""
        stores = {id(one.store): one.store for one in self.ran}.values()
        sources = {one.spec.source.path: one.spec.source for one in self.ran}.values()
        hows = [one.how for one in self.ran]
        made = made_by([*stores], [*sources], hows, self.experiment, self.execution)
        return made if self.server is None else {**made, "server_model": asdict(self.server)}

    def record(self, **more: Any) -> dict[str, Any]:
        """Results, widths that were cut, what made them, and more fields if given, for JSON."""
        cut = [asdict(one) for one in cut_widths(self.ran)]
        return {"results": self.results(), "cut_widths": cut, "made_by": self.made_by(), **more}

    def write_json(self, path: Path, **more: Any) -> None:
        """Write what `record` gives; whole or not at all."""
        write_text(path, json.dumps(self.record(**more), indent=1) + "\n")


@dataclass(frozen=True, slots=True)
class CutWidth:
    """A parameter that asks for more branches than an episode may open.

    asked: the largest value that the parameter took.
    allowed: the most branches that an episode could open, for `--max-branches` or for the store.
    """

    controller: str
    store: str
    parameter: str
    asked: float
    allowed: int
    recorded: int

    @property
    def words(self) -> str:
        """The cut in a sentence that says what holds the program back."""
        why = (
            f"the store has {counted(self.recorded, 'branch')} per question"
            if self.allowed == self.recorded
            else f"--max-branches {self.allowed} holds it back"
        )
        return (
            f"{self.controller} asks for {self.parameter} = {self.asked:g} on {self.store}, and"
            f" episodes opened at most {counted(self.allowed, 'branch')}: {why}"
        )


def cut_widths(ran: Iterable[Ran]) -> list[CutWidth]:
    """Where a controller's width was cut, each controller, store and parameter once.

    Only parameters that are called as the field calls a width are known to be one.
    """
    found: dict[tuple[str, str, str], CutWidth] = {}
    for one in ran:
        for name in WIDTHS & one.parameters.keys():
            asked, allowed = one.parameters[name], one.task.ceiling
            key = one.spec.text, one.store.name, name
            if asked > allowed and (key not in found or asked > found[key].asked):
                found[key] = CutWidth(*key, asked, allowed, one.store.pool.finals.shape[1])
    return list(found.values())


def made_by(
    stores: Sequence[Store],
    sources: Sequence[Source],
    hows: Sequence[How],
    experiment: Experiment,
    execution: Execution,
) -> dict[str, Any]:
    """What someone needs to make the same results again."""
    digests = "".join(sorted(source.digest for source in sources))
    return {
        "version": __version__,
        "numpy": np.__version__,
        "numba": importlib.metadata.version("numba"),
        "stores": [store_record(store) for store in stores],
        **experiment.record(),
        "audit": execution.audit,
        "billing": sorted({store.pool.billing for store in stores}),
        "programs": {source.name: source.digest for source in sources},
        "program_digest": hashlib.sha256(digests.encode()).hexdigest(),
        "drivers": sorted({how.driver for how in hows}),
        "tiers": sorted({how.tier for how in hows if how.tier}),
    }


def store_record(store: Store) -> dict[str, Any]:
    """What a store is known by in results."""
    return {
        "model": store.model,
        "dataset": store.dataset,
        "digest": store.digest,
        "billing": store.pool.billing,
        "interval_tokens": store.pool.interval,
    }


def episode_frame(ran: Ran) -> pl.DataFrame:
    """One row per episode."""
    return pl.DataFrame(
        {
            "question": ran.task.pairs[:, 0],
            "draw": ran.task.pairs[:, 1],
            "correct": ran.correct,
            **{name: ran.episodes.column(name) for name in MEANS},
            "cost": ran.cost,
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
    correct, design = ran.task.by_question(ran.correct), design_of(ran.store, ran.task.cluster)
    accuracy = statistics.in_percent(statistics.accuracy_interval(correct, rng=rng, design=design))
    return {
        "model": ran.store.model,
        "dataset": ran.store.dataset,
        "controller": ran.spec.text,
        "name": ran.spec.name,
        "params": dict(ran.parameters),
        "beta": ran.spec.beta,
        "episodes": len(ran.task.pairs),
        "accuracy": 100 * design.mean(correct),
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        **{name: mean_of(ran, ran.episodes.column(name)) for name in MEANS},
        "cost": mean_of(ran, ran.cost),
        "program_digest": ran.spec.source.digest,
        **ran.how.record(),
    }


def _amount(ran: Ran, objective: Objective, server: ServerSpeed | None) -> np.ndarray:
    # Whole numbers, where that is all there is: they add up exactly.
    return ran.tokens if objective == "tokens" else spent(ran, objective, server)


def curves_of(
    ran: Iterable[Ran],
    objective: Objective = "tokens",
    server: ServerSpeed | None = None,
    *,
    spends: Sequence[np.ndarray] | None = None,
) -> dict[str, Curve]:
    """The sweep over beta of each controller, by its SPEC, in order of first appearance.

    Args:
        ran: at every beta on every store, with all questions and draws.
        objective: what the tokens of the curves count.
        server: as in `spent`.
        spends: `[E]` of each, what the tokens of the curves are, where that is known already.

    Raises:
        SpecError: as `spent`.
        StoreError: models of one dataset have other questions.
    """
    found: dict[str, dict[tuple[StoreKey, float], tuple[np.ndarray, np.ndarray]]] = {}
    designs: dict[str, Design] = {}
    ran = list(ran)
    rows = shared_rows({one.store.key: one.store for one in ran}.values())
    for k, one in enumerate(ran):
        order = rows[one.store.key]
        own = design_of(one.store, one.task.cluster).only(order)
        if not designs.setdefault(one.store.dataset, own).agrees(own):
            raise StoreError(
                f"{one.store.name}: its questions have other weights or groups than those of"
                f" another model's {one.store.dataset}; models of one dataset must share theirs"
            )
        amount = _amount(one, objective, server) if spends is None else spends[k]
        correct, tokens = (one.task.by_question(value)[order] for value in (one.correct, amount))
        found.setdefault(one.spec.text, {})[one.store.key, one.spec.beta] = correct, tokens
    return {name: curve(name, points, rows=rows, designs=designs) for name, points in found.items()}
