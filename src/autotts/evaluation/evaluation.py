"""Evaluation: controllers over stores and draws, one row per episode."""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from autotts import __version__, programs
from autotts.engine.cache import address
from autotts.errors import ProgramError, SpecError
from autotts.evaluation import statistics
from autotts.evaluation.frontiers import Curve, StoreKey, curve
from autotts.files import write_text
from autotts.programs import Spec
from autotts.replay import draws as draw_specs
from autotts.replay import episodes as in_process
from autotts.replay import log
from autotts.replay.episodes import Episodes, Rules
from autotts.replay.released import run_released
from autotts.replay.traces import trace_frame
from autotts.sandbox.audit import SAMPLE
from autotts.sandbox.sandbox import Allowance, Sandbox, Verdict
from autotts.sandbox.sandbox import Cell as BoxedCell
from autotts.stores import Store

MEANS = ("tokens", "sequential_tokens", "probe_tokens", "width", "rounds", "overrun")
"""Columns of an episode beside its identity and whether it was right."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all controllers of an evaluation.

    draws: `reference:N` or `subsets:N`.
    budget: tokens an episode may spend, -1 for none.
    probe_tokens: tokens that a probe costs.
    max_branches: most branches an episode may open.
    failed: "vote" or "abstain": what a failed extraction does.
    seed: of `subsets` draws and of the bootstrap.
    jobs: threads; all cores by default.
    timeout_seconds: wall clock that a program given by path may take for one store and beta.
    traces: whether to keep what every episode asked for; see `Cell.trace`.
    audit: episodes of a program given by path that are replayed blind; 0 for none.
    unsafe: run such a program even where no process can be sealed.
    """

    draws: str = "reference:100"
    budget: int = -1
    probe_tokens: int = 0
    max_branches: int = 64
    failed: str = "vote"
    seed: int = 0
    jobs: int | None = None
    timeout_seconds: float = 600.0
    traces: bool = False
    audit: int = SAMPLE
    unsafe: bool = False

    def __post_init__(self) -> None:
        if self.failed not in ("vote", "abstain"):
            raise SpecError(f"failed {self.failed!r}: need vote or abstain")
        if self.max_branches < 1:
            raise SpecError(f"max branches {self.max_branches}: need at least 1")
        if self.probe_tokens < 0:
            raise SpecError(f"probe tokens {self.probe_tokens}: need 0 or more")
        if self.budget != -1 and self.budget < 1:
            raise SpecError(f"budget {self.budget}: need at least 1 token")
        if self.jobs is not None and self.jobs < 1:
            raise SpecError(f"jobs {self.jobs}: need at least 1")
        if not self.timeout_seconds > 0:
            raise SpecError(f"timeout {self.timeout_seconds}: need more than 0 seconds")

    def fresh(self) -> "Settings":
        """The same on as many other draws, of programs that were audited before."""
        count = self.draws.partition(":")[2]
        return replace(self, draws=f"subsets:{count}", seed=self.seed + 1, traces=False, audit=0)

    def rules(self, store: Store) -> Rules:
        """The rules of an episode on a store.

        Raises:
            SpecError: the budget does not pay for one interval.
        """
        unit = store.pool.interval + self.probe_tokens
        if 0 <= self.budget < unit:
            raise SpecError(
                f"budget {self.budget}: an interval of {store.model}/{store.dataset} and its probe"
                f" take {unit} tokens"
            )
        return Rules(
            budget=self.budget,
            probe_cost=self.probe_tokens,
            abstain=self.failed == "abstain",
        )

    def orders(self, store: Store) -> np.ndarray:
        """`[Q, D, ceiling]` the draws on a store."""
        questions, branches, _ = store.pool.probes.shape
        return draw_specs.orders(
            self.draws,
            questions=questions,
            branches=branches,
            ceiling=min(self.max_branches, branches),
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """One controller at one beta on one store.

    driver: how it ran: "compiled", "interpreted", "sealed", "blind" or "released".
    correct: `[E]` bool, as the episodes lie.
    notes: of programs by path, `tier` and `audit`; where one didn't run compiled, `reason`.
    """

    store: Store
    spec: Spec
    params: dict[str, float]
    driver: str
    correct: np.ndarray
    episodes: Episodes
    notes: dict[str, Any] = field(default_factory=dict)

    def trace(self, settings: Settings) -> pl.DataFrame:
        """Every step of every episode, a row each; see `replay.traces.trace_frame`.

        Raises:
            SpecError: the evaluation kept no traces.
        """
        if self.episodes.log is None:
            raise SpecError(f"{self.spec.text} was evaluated without traces")
        replayed, steps = log.replay(
            self.episodes.log,
            self.episodes.column("code"),
            self.store.pool,
            settings.orders(self.store),
            self.episodes.pairs,
            settings.rules(self.store),
            trace=True,
        )
        return trace_frame(self.store, replayed, steps, self.spec.source.text)

    def frame(self) -> pl.DataFrame:
        """One row per episode."""
        pairs = self.episodes.pairs
        return pl.DataFrame(
            {
                "question": pairs[:, 0],
                "draw": pairs[:, 1],
                "correct": self.correct,
                **{name: self.episodes.column(name) for name in MEANS},
            }
        ).select(
            pl.lit(self.store.model).alias("model"),
            pl.lit(self.store.dataset).alias("dataset"),
            pl.lit(self.spec.text).alias("controller"),
            pl.lit(self.spec.beta).alias("beta"),
            pl.all(),
        )

    def summary(self, rng: np.random.Generator) -> dict[str, Any]:
        """Means per question, accuracy in percent with its interval."""
        questions = self.episodes.pairs[-1, 0] + 1
        accuracy = statistics.accuracy_interval(self.correct.reshape(questions, -1), rng=rng)
        return {
            "model": self.store.model,
            "dataset": self.store.dataset,
            "controller": self.spec.text,
            "name": self.spec.name,
            "params": self.params,
            "beta": self.spec.beta,
            "episodes": len(self.episodes.pairs),
            "accuracy": 100 * float(self.correct.mean()),
            "accuracy_low": 100 * accuracy.low,
            "accuracy_high": 100 * accuracy.high,
            **{name: float(self.episodes.column(name).mean()) for name in MEANS},
            "program_digest": self.spec.source.digest,
            "driver": self.driver,
            **self.notes,
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Cells in the order in which they were asked for, and what made them."""

    cells: list[Cell]
    settings: Settings

    @property
    def episodes(self) -> pl.DataFrame:
        """One row per episode: model, dataset, controller, beta, question, draw, correct, ..."""
        return pl.concat([cell.frame() for cell in self.cells])

    def curves(self) -> dict[str, Curve]:
        """Each controller's sweep over beta, by its SPEC; see `curves_of`."""
        return curves_of(self.cells)

    def results(self) -> list[dict[str, Any]]:
        """A summary of each cell."""
        return [cell.summary(np.random.default_rng(self.settings.seed)) for cell in self.cells]

    def made_by(self) -> dict[str, Any]:
        """What someone needs to make the same results again."""
        stores = {id(cell.store): cell.store for cell in self.cells}.values()
        sources = {cell.spec.source.path: cell.spec.source for cell in self.cells}.values()
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
            "draws": self.settings.draws,
            "seed": self.settings.seed,
            "budget": None if self.settings.budget < 0 else self.settings.budget,
            "probe_tokens": self.settings.probe_tokens,
            "max_branches": self.settings.max_branches,
            "billing": sorted({store.pool.billing for store in stores}),
            "failed": self.settings.failed,
            "programs": {source.name: source.digest for source in sources},
            "program_digest": hashlib.sha256(
                "".join(sorted(source.digest for source in sources)).encode()
            ).hexdigest(),
            "drivers": sorted({cell.driver for cell in self.cells}),
            "tiers": sorted({cell.notes["tier"] for cell in self.cells if "tier" in cell.notes}),
        }

    def write_json(self, path: Path, **more: Any) -> None:
        """Write results, what made them, and more fields if given; whole or not at all."""
        content = {"results": self.results(), "made_by": self.made_by(), **more}
        write_text(path, json.dumps(content, indent=1) + "\n")


def curves_of(cells: Iterable[Cell]) -> dict[str, Curve]:
    """The sweep over beta of each controller, by its SPEC, in order of first appearance.

    Args:
        cells: of every store and beta, with all questions and draws.

    Raises:
        StoreError: models of one dataset have other questions.
    """
    found: dict[str, dict[tuple[StoreKey, float], tuple[np.ndarray, np.ndarray]]] = {}
    for cell in cells:
        place = (cell.store.model, cell.store.dataset), cell.spec.beta
        shape = (len(cell.store.gold), -1)
        tokens = cell.episodes.column("tokens").reshape(shape)
        found.setdefault(cell.spec.text, {})[place] = (cell.correct.reshape(shape), tokens)
    return {name: curve(name, points) for name, points in found.items()}


def sweep(specs: Iterable[Spec], betas: Sequence[float] | None) -> list[Spec]:
    """Each SPEC at each beta; one that names a beta of its own stays at it."""
    swept: list[Spec] = []
    for spec in specs:
        own = betas is None or spec.fixed
        swept += [spec] if own else [spec.at(float(beta)) for beta in betas or ()]
    return swept


def evaluate(
    stores: Sequence[Store],
    specs: Sequence[Spec | str],
    *,
    betas: Sequence[float] | None = None,
    settings: Settings | None = None,
    on_cell: Callable[[Cell], None] | None = None,
) -> Evaluation:
    """Evaluate controllers on stores.

    Args:
        specs: SPECs, as text or parsed.
        betas: sweep over these, for SPECs that name none.
        on_cell: called after each cell, for progress.

    Raises:
        AutottsError: a store, a SPEC, a program or an episode fails; the message says which.
    """
    settings = settings or Settings()
    parsed = [programs.parse(spec) if isinstance(spec, str) else spec for spec in specs]
    cells: list[Cell] = []
    for spec in parsed:
        cells += run_cells(stores, sweep([spec], betas), settings, on_cell=on_cell)
    return Evaluation(cells, settings)


def run_cells(
    stores: Sequence[Store],
    sweep: Sequence[Spec],
    settings: Settings,
    *,
    pairs: np.ndarray | None = None,
    on_cell: Callable[[Cell], None] | None = None,
) -> list[Cell]:
    """One controller at several betas on several stores.

    Ours and installed ones run in this process. What is given by path runs sealed and audited.

    Args:
        sweep: the same SPEC at each beta.
        pairs: `[E, 2]` int64 (question, draw) of the episodes; all by default.
    """
    if not sweep[0].source.trusted and not sweep[0].entry:
        return _run_sealed(stores, sweep, settings, pairs, on_cell)
    cells = []
    for spec in sweep:
        for store in stores:
            run = _run_released if spec.entry else _run_in_process
            orders = settings.orders(store)
            chosen = in_process.all_pairs(orders) if pairs is None else pairs
            cells.append(run(store, spec, settings, orders, chosen))
            if on_cell:
                on_cell(cells[-1])
    return cells


def _run_released(
    store: Store, spec: Spec, settings: Settings, orders: np.ndarray, pairs: np.ndarray
) -> Cell:
    if settings.budget >= 0 or settings.probe_tokens or settings.traces:
        raise SpecError(
            f"{spec.text}: a program of the released code can be given no budget and no cost of"
            " probes, and leaves no trace"
        )
    params = {**spec.named, "beta": spec.beta}
    ran = run_released(
        Path(spec.source.path), spec.entry, params, store.pool, store.answers, orders, pairs,
        settings.rules(store),
    )  # fmt: skip
    return _cell(store, spec, params, "released", ran)


def _run_in_process(
    store: Store, spec: Spec, settings: Settings, orders: np.ndarray, pairs: np.ndarray
) -> Cell:
    program = programs.load_trusted(spec.source)
    programs.check_named(spec, program.kinds)
    params = program.parameters(spec.beta, spec.named)
    rules = settings.rules(store)
    try:
        code = in_process.compile_program(program)
    except ProgramError as error:
        ran = in_process.run_interpreted(
            program.solve, params, store.pool, orders, pairs, rules, keep_log=settings.traces
        )
        return _cell(store, spec, params, "interpreted", ran, {"reason": str(error)})
    ran = in_process.run_compiled(
        address(code), list(params.values()), store.pool, orders, pairs, rules,
        jobs=settings.jobs, keep_log=settings.traces,
    )  # fmt: skip
    in_process.raise_failed(program, params, store.pool, orders, ran, rules)
    return _cell(store, spec, params, "compiled", ran)


def _run_sealed(
    stores: Sequence[Store],
    sweep: Sequence[Spec],
    settings: Settings,
    pairs: np.ndarray | None,
    on_cell: Callable[[Cell], None] | None,
) -> list[Cell]:
    asked = [(store, spec) for spec in sweep for store in stores]
    boxed = [_boxed(store, spec, settings, pairs) for store, spec in asked]
    with _sandbox(settings) as sandbox:
        outcome = sandbox.run(
            sweep[0].source, boxed, sample=settings.audit, keep_log=settings.traces
        )
    notes: dict[str, Any] = {"tier": outcome.tier.name, "audit": asdict(outcome.verdict)}
    if outcome.reason:
        notes["reason"] = outcome.reason
    cells = []
    for (store, spec), ran, params in zip(asked, outcome.episodes, outcome.parameters, strict=True):
        programs.check_named(spec, {name: type(value) for name, value in params.items()})
        driver = "sealed" if outcome.mode == "compiled" else "blind"
        cells.append(_cell(store, spec, dict(params), driver, ran, notes))
        if on_cell:
            on_cell(cells[-1])
    return cells


def audit_program(stores: Sequence[Store], sweep: Sequence[Spec], settings: Settings) -> Verdict:
    """What an audit finds in a program given by path, run at these betas on these stores."""
    boxed = [_boxed(store, spec, settings, None) for spec in sweep for store in stores]
    with _sandbox(settings) as sandbox:
        return sandbox.audit(sweep[0].source, boxed, sample=settings.audit)


def _sandbox(settings: Settings) -> Sandbox:
    allowance = Allowance(cell_seconds=settings.timeout_seconds)
    return Sandbox(allowance, unsafe=settings.unsafe, jobs=settings.jobs)


def _boxed(store: Store, spec: Spec, settings: Settings, pairs: np.ndarray | None) -> BoxedCell:
    orders = settings.orders(store)
    return BoxedCell(
        store.dataset,
        store.pool,
        orders,
        in_process.all_pairs(orders) if pairs is None else pairs,
        spec.beta,
        spec.named,
        settings.rules(store),
    )


def _cell(
    store: Store,
    spec: Spec,
    params: dict[str, float],
    driver: str,
    ran: Episodes,
    notes: dict[str, Any] | None = None,
) -> Cell:
    codes = ran.column("code")
    correct = (codes >= 0) & (codes == store.gold[ran.pairs[:, 0]])
    return Cell(store, spec, params, driver, correct, ran, notes or {})
