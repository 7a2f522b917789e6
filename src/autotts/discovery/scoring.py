"""Scoring: a program's sweep over beta on a set of stores, through whichever driver, cached.

A sweep is a function of the program's text, the stores' content and the settings, so it is kept
under the digest of these and never run twice in a run.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from types import TracebackType

import numpy as np

from autotts import __version__, diagnosis, programs
from autotts.discovery.explorer import Record, SweepPoint
from autotts.discovery.run.settings import RunSettings
from autotts.errors import RunError, SandboxError
from autotts.evaluation import Settings
from autotts.evaluation.compare import AREA_RANGE
from autotts.evaluation.evaluation import run_cells
from autotts.evaluation.frontiers import (
    BUDGET_FRACTIONS,
    Curve,
    StoreKey,
    accuracy_at_fractions,
    frontier_area,
)
from autotts.files import whole
from autotts.programs import Source, Spec
from autotts.replay.episodes import Episodes, all_pairs
from autotts.sandbox.cells import Cell
from autotts.sandbox.confine.tier import reach
from autotts.sandbox.sandbox import Mode, Sandbox
from autotts.stores import Store


@dataclass(frozen=True, slots=True)
class Ran:
    """What a driver gives back: of each cell, its episodes and parameters.

    notes: how they were run, for the record.
    """

    episodes: Sequence[Episodes]
    parameters: Sequence[Mapping[str, float]]
    notes: Record = field(default_factory=dict)


Driver = Callable[[Source, Sequence[Cell], int, bool], Ran]
"""Runs a program over cells, audits so many of the episodes, and keeps their logs if asked."""


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Every episode of a program over all betas.

    sequential: per store, `[B]` mean sequential tokens.
    parameters: what the schedule gave, by beta.
    """

    curve: Curve
    sequential: Mapping[StoreKey, np.ndarray]
    parameters: tuple[dict[str, float], ...]
    notes: Record


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """SC@64 on the stores: what budgets are shares of.

    curve: of one beta, 1.
    """

    curve: Curve

    @property
    def tokens(self) -> np.ndarray:
        """`[S]` tokens per question."""
        return self.curve.dearest_tokens()

    def area(self, curve: Curve) -> float:
        """Mean accuracy in percent of a curve's frontier over the budgets that count."""
        low, high = (share * self.tokens for share in AREA_RANGE)
        return float(100 * frontier_area(curve.points(), low, high).mean())

    def at_fractions(self, curve: Curve) -> dict[str, float]:
        """Accuracy in percent at each of `BUDGET_FRACTIONS`."""
        accuracy = 100 * accuracy_at_fractions(curve.points(), self.tokens)
        return {f"{share:g}": float(a) for share, a in zip(BUDGET_FRACTIONS, accuracy, strict=True)}

    def points(self, sweep: Sweep) -> tuple[SweepPoint, ...]:
        """The means of a sweep, by beta."""
        curve = sweep.curve
        means = curve.points()
        accuracy = 100 * means.accuracy
        sequential = np.mean([sweep.sequential[key] for key in curve.stores], axis=0)
        shares = means.tokens / self.tokens[:, None]
        return tuple(
            SweepPoint(
                beta=float(beta),
                accuracy=float(accuracy[:, b].mean()),
                tokens=float(means.tokens[:, b].mean()),
                sequential_tokens=float(sequential[b]),
                fraction=float(shares[:, b].mean()),
                stores={
                    f"{model}/{dataset}": (float(accuracy[s, b]), float(means.tokens[s, b]))
                    for s, (model, dataset) in enumerate(curve.stores)
                },
            )
            for b, beta in enumerate(curve.betas)
        )


class Scorer:
    """Scores programs on stores under a run's settings. A context manager."""

    def __init__(
        self, stores: Sequence[Store], settings: RunSettings, cache: Path | None = None
    ) -> None:
        """
        Args:
            cache: folder for sweeps by content; none are kept if not given.
        """
        self.stores = tuple(stores)
        self._settings = settings
        self._cache = cache
        self._sandbox = Sandbox(unsafe=settings.unsafe)
        self._driver: Driver = {
            "sealed": self._run_sealed,
            "blind": self._run_blind,
            "in-process": run_in_process,
        }[settings.driver]
        # Compiling takes seconds, in which some hundred episodes are run blind.
        self._briefly = run_in_process if settings.driver == "in-process" else self._run_blind

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sandbox.close()

    def check_sandbox(self) -> str:
        """How proposed programs will be run, in words; seals a process and tries it.

        Raises:
            SandboxError: none can be sealed here, and the settings don't say to go on.
        """
        if self._settings.driver == "in-process":
            return "proposed programs run in this process, with its rights"
        tier = reach()
        if not tier.sealed and not self._settings.unsafe:
            raise SandboxError(f"proposed programs can't be run sealed here: {tier.explain()}")
        return f"proposed programs run {tier}"

    def _key(self, source: Source, evaluation: Settings) -> str:
        """Digest of all that a sweep depends on."""
        words = [
            source.digest,
            [store.digest for store in self.stores],
            list(self._settings.betas),
            [evaluation.draws, evaluation.failed, evaluation.probe_tokens, evaluation.seed],
            evaluation.max_branches,
            self._settings.driver,
            __version__,
        ]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()

    def sweep(self, source: Source, *, draws: str | None = None, audit: int | None = None) -> Sweep:
        """A program over all betas and stores.

        Args:
            draws: in place of the settings'.
            audit: episodes to run again blind; as many as the settings say by default.

        Raises:
            ProgramError: it does not load or compile.
            ControllerError: it failed in an episode, took too long or was rejected by the audit.
            SandboxError: its worker broke its protocol.
        """
        audit = self._settings.audit if audit is None else audit
        return self._sweep(source, self._settings.evaluation(draws=draws), audit)

    def sweep_afresh(self, source: Source) -> Sweep:
        """The sweep of a program that was scored before, on draws that had no part in its score.

        Raises:
            ProgramError, ControllerError, SandboxError: as `sweep`.
        """
        return self._sweep(source, self._settings.evaluation().fresh(), 0)

    def _sweep(self, source: Source, evaluation: Settings, audit: int) -> Sweep:
        key = self._key(source, evaluation)
        found = _read(self._cache, key)
        if found is not None:
            return found
        began = time.monotonic()
        cells = _cells(self.stores, self._settings.betas, evaluation)
        ran = self._driver(source, cells, audit, False)
        sweep = self._assemble(source.name, ran)
        sweep.notes["seconds"] = round(time.monotonic() - began, 3)
        _write(self._cache, key, sweep)
        return sweep

    def smoke(self, source: Source) -> tuple[dict[str, float], ...]:
        """Run one episode at every beta, blind; returns the parameters by beta.

        Raises:
            ProgramError, ControllerError, SandboxError: as `sweep`.
        """
        evaluation = self._settings.evaluation(draws="reference:1")
        pairs = np.zeros((1, 2), np.int64)
        cells = _cells(self.stores[:1], self._settings.betas, evaluation, pairs)
        return tuple(dict(found) for found in self._briefly(source, cells, 0, False).parameters)

    def diagnosed(self, source: Source, betas: Sequence[float], draws: str) -> list[diagnosis.Ran]:
        """A few episodes with their logs, to be diagnosed: of a program that was scored before.

        Raises:
            ProgramError, ControllerError, SandboxError: as `sweep`.
        """
        evaluation = self._settings.evaluation(draws=draws)
        cells = _cells(self.stores, betas, evaluation)
        ran = self._briefly(source, cells, 0, True)
        return [
            diagnosis.Ran(store, source.name, cell.beta, episodes, cell.orders, cell.rules)
            for store, cell, episodes in zip(cycle(self.stores), cells, ran.episodes)
        ]

    def reference(self) -> Reference:
        """SC@64 on these stores."""
        return Reference(self.baseline("sc", betas=(1.0,)).curve)

    def baseline(self, name: str, betas: Sequence[float] | None = None) -> Sweep:
        """The sweep of a controller of ours, in this process."""
        betas = self._settings.betas if betas is None else betas
        spec = programs.parse(name)
        evaluation = self._settings.evaluation()
        content = f"{self._key(spec.source, evaluation)}{list(betas)}"
        key = hashlib.sha256(content.encode()).hexdigest()
        found = _read(self._cache, key)
        if found is None:
            ran = self._run_trusted(spec, betas)
            found = self._assemble(name, ran, betas)
            _write(self._cache, key, found)
        return found

    def _run_trusted(self, spec: Spec, betas: Sequence[float]) -> Ran:
        evaluation = self._settings.evaluation()
        cells = run_cells(self.stores, [spec.at(beta) for beta in betas], evaluation)
        return Ran([c.episodes for c in cells], [c.params for c in cells], {"driver": "in-process"})

    def _run_sealed(self, source: Source, cells: Sequence[Cell], audit: int, keep_log: bool) -> Ran:
        return self._run_in_sandbox(source, cells, audit, keep_log, "auto")

    def _run_blind(self, source: Source, cells: Sequence[Cell], audit: int, keep_log: bool) -> Ran:
        return self._run_in_sandbox(source, cells, audit, keep_log, "blind")

    def _run_in_sandbox(
        self, source: Source, cells: Sequence[Cell], audit: int, keep_log: bool, mode: Mode
    ) -> Ran:
        outcome = self._sandbox.run(source, cells, mode=mode, sample=audit, keep_log=keep_log)
        verdict = outcome.verdict
        notes: Record = {
            "driver": outcome.mode,
            "tier": outcome.tier.name,
            "reason": outcome.reason,
            "audit": verdict.status,
            "audited": verdict.sample,
            "differing": verdict.differing,
            "may_differ": round(verdict.bound, 5),
            "printed": outcome.text,
        }
        return Ran(outcome.episodes, outcome.parameters, notes)

    def _assemble(self, name: str, ran: Ran, betas: Sequence[float] | None = None) -> Sweep:
        """A sweep from cells in order of beta, then store."""
        betas = self._settings.betas if betas is None else betas
        correct: dict[StoreKey, np.ndarray] = {}
        tokens: dict[StoreKey, np.ndarray] = {}
        sequential: dict[StoreKey, np.ndarray] = {}
        count = len(self.stores)
        for s, store in enumerate(self.stores):
            key = (store.model, store.dataset)
            episodes = ran.episodes[s::count]
            shape = (len(store.gold), -1)
            codes = [e.column("code").reshape(shape) for e in episodes]
            correct[key] = np.stack([(c >= 0) & (c == store.gold[:, None]) for c in codes])
            tokens[key] = np.stack([e.column("tokens").reshape(shape) for e in episodes])
            sequential[key] = np.array([e.column("sequential_tokens").mean() for e in episodes])
        questions = {store.dataset: np.arange(len(store.gold)) for store in self.stores}
        curve = Curve(name, np.array(betas, np.float64), questions, correct, tokens)
        parameters = tuple(dict(p) for p in ran.parameters[::count])
        return Sweep(curve, sequential, parameters, dict(ran.notes))


def run_in_process(source: Source, cells: Sequence[Cell], audit: int, keep_log: bool) -> Ran:
    """The driver for programs that are trusted: compiled in this process, not audited."""
    from autotts.engine.cache import address
    from autotts.programs.language import check_source
    from autotts.replay import episodes as in_process

    check_source(source.text, source.path)
    program = programs.load(source)
    code = in_process.compile_program(program)
    found, parameters = [], []
    for cell in cells:
        values = program.parameters(cell.beta)
        ran = in_process.run_compiled(
            address(code),
            list(values.values()),
            cell.pool,
            cell.orders,
            cell.pairs,
            cell.rules,
            keep_log=keep_log,
        )
        in_process.raise_failed(program, values, cell.pool, cell.orders, ran, cell.rules)
        found.append(ran)
        parameters.append(values)
    return Ran(found, parameters, {"driver": "in-process", "audit": "none"})


def _cells(
    stores: Sequence[Store],
    betas: Sequence[float],
    evaluation: Settings,
    pairs: np.ndarray | None = None,
) -> list[Cell]:
    """What a sandbox is asked to run, by beta, then store."""
    drawn = [(store, evaluation.orders(store), evaluation.rules(store)) for store in stores]
    return [
        Cell(
            dataset=store.dataset,
            pool=store.pool,
            orders=orders,
            pairs=all_pairs(orders) if pairs is None else pairs,
            beta=beta,
            rules=rules,
        )
        for beta in betas
        for store, orders, rules in drawn
    ]


def _write(cache: Path | None, key: str, sweep: Sweep) -> None:
    """Keep a sweep, whole or not at all."""
    if cache is None:
        return
    curve = sweep.curve
    header = {
        "controller": curve.controller,
        "stores": curve.stores,
        "parameters": sweep.parameters,
        "notes": sweep.notes,
    }
    arrays: dict[str, np.ndarray] = {"betas": curve.betas, "header": np.array(json.dumps(header))}
    for s, store in enumerate(curve.stores):
        arrays[f"correct_{s}"] = np.asarray(curve.correct[store], bool)
        arrays[f"tokens_{s}"] = np.asarray(curve.tokens[store]).astype(np.int32)
        arrays[f"sequential_{s}"] = sweep.sequential[store]
    try:
        cache.mkdir(exist_ok=True)
        with whole(cache / f"{key}.npz") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise RunError(
            f"{cache}: {error.strerror}; the run stops here and can be resumed"
        ) from error


def _read(cache: Path | None, key: str) -> Sweep | None:
    """A sweep that was kept; None if there is none."""
    if cache is None or not (cache / f"{key}.npz").is_file():
        return None
    with np.load(cache / f"{key}.npz", allow_pickle=False) as arrays:
        header = json.loads(str(arrays["header"]))
        stores: list[StoreKey] = [(model, dataset) for model, dataset in header["stores"]]
        correct = {store: arrays[f"correct_{s}"] for s, store in enumerate(stores)}
        tokens = {store: arrays[f"tokens_{s}"] for s, store in enumerate(stores)}
        sequential = {store: arrays[f"sequential_{s}"] for s, store in enumerate(stores)}
        betas = arrays["betas"]
    questions = {store[1]: np.arange(correct[store].shape[1]) for store in stores}
    curve = Curve(header["controller"], betas, questions, correct, tokens)
    return Sweep(curve, sequential, tuple(header["parameters"]), header["notes"])
