"""Scoring: a program's sweep over beta on a set of stores, through whichever driver, cached.

A sweep depends on the program, its settings, the stores' content, the experiment and how it was
run, so it is kept under the digest of all these and never run twice in a run.
"""

import hashlib
import io
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType

import numpy as np

from autotts import programs
from autotts.diagnosis.exploring import explore
from autotts.diagnosis.matters import DRAWS
from autotts.diagnosis.matters_text import Matters
from autotts.discovery.run import kept
from autotts.discovery.run.settings import Forecasting, RunSettings
from autotts.discovery.sweeps import Reference, SampledEpisodes, Sweep
from autotts.errors import SandboxError
from autotts.evaluation import Execution, Experiment, Local
from autotts.evaluation.families import FamilyJudgement, family_of
from autotts.evaluation.objectives import spent
from autotts.evaluation.run import at_betas, opened
from autotts.evaluation.settings import LOCAL
from autotts.programs import Source, Spec
from autotts.replay.driver import Driver, How, Ran
from autotts.replay.episodes import Episodes
from autotts.replay.in_process import InProcess
from autotts.replay.task import Cell, cells_of
from autotts.sandbox.confine.tier import reach
from autotts.sandbox.sandbox import Blind
from autotts.stores import Store
from autotts.version import __version__


class Scorer:
    """Scores programs on stores under a run's settings. A context manager."""

    def __init__(
        self,
        stores: Sequence[Store],
        settings: RunSettings,
        cache: Path | None = None,
        *,
        keep: bool = True,
        on: str = LOCAL,
    ) -> None:
        """
        Args:
            cache: folder of sweeps by content; none are found there or kept if not given.
            keep: whether to keep more there.
            on: where sweeps run, but for those that are blind from the start; as in `Execution`.
        """
        self.stores = tuple(stores)
        self._settings = settings
        self._cache = cache
        self._keep = keep
        self._on = on
        self._ending = ExitStack()
        self._local = self._ending.enter_context(Local(Execution(unsafe=settings.unsafe)))
        self._sweeps: Driver = self._local
        blind = Blind(self._local.sandbox)
        self._blind = blind
        # Compiling takes seconds, in which some hundred episodes are run blind.
        self._briefly = _TRUSTED if settings.driver == "in-process" else blind

    def __enter__(self) -> "Scorer":
        if self._on != LOCAL:
            execution = Execution(unsafe=self._settings.unsafe, on=self._on)
            self._sweeps = self._ending.enter_context(opened(None, execution))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.close()
        self._sweeps = self._local

    @property
    def _driver(self) -> Driver:
        """Of what is proposed."""
        trusted = _TRUSTED if self._on == LOCAL else self._sweeps
        drivers = {"sealed": self._sweeps, "blind": self._blind, "in-process": trusted}
        return drivers[self._settings.driver]

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

    def warm_up(self) -> None:
        """Start what seals programs, which gets ready beside whatever is done meanwhile."""
        if self._settings.driver != "in-process":
            self._local.sandbox.warm_up()

    def _specs(self, source: Source, betas: Sequence[float]) -> list[Spec]:
        # Whoever chose to run proposals in this process said that they are trusted.
        source = replace(source, trusted=self._settings.driver == "in-process")
        return [Spec(source.name, source, beta, {}) for beta in betas]

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
        specs = self._specs(source, self._settings.betas)
        return self._on_draws(specs, draws, audit, self._driver, self._settings.driver)

    def sweep_afresh(self, source: Source) -> Sweep:
        """The sweep of a program on draws that had no part in its score, and audited on them.

        Raises:
            ProgramError, ControllerError, SandboxError: as `sweep`.
        """
        settings = self._settings
        specs, experiment = self._specs(source, settings.betas), settings.experiment().fresh()
        return self._cached(specs, experiment, settings.audit, self._driver, settings.driver)

    def _on_draws(
        self,
        specs: Sequence[Spec],
        draws: str | None,
        audit: int,
        driver: Driver,
        driver_name: str,
    ) -> Sweep:
        """A sweep on other draws than the settings', or a part of that on theirs.

        Running what a kept sweep begins with would give the same, and takes seconds to compile.
        """
        whole, experiment = self._settings.experiment(), self._settings.experiment(draws=draws)
        if experiment != whole:
            kept_whole = self._kept(specs, whole, self._settings.audit, driver_name)
            part = kept_whole and self._first_draws(kept_whole, experiment)
            if part is not None:
                return part
        return self._cached(specs, experiment, audit, driver, driver_name)

    def _first_draws(self, whole: Sweep, experiment: Experiment) -> Sweep | None:
        """The part of a sweep that is on these draws; None where they aren't its first."""
        tasks = {store.key: experiment.task(store) for store in self.stores}
        ran, spends = [], []
        for c, one in enumerate(whole.ran):
            task, own = tasks[one.store.key], one.task
            count = task.orders.shape[1]
            picked = np.flatnonzero(own.pairs[:, 1] < count)
            same = np.array_equal(own.orders[:, :count], task.orders)
            if not same or not np.array_equal(own.pairs[picked], task.pairs):
                return None
            episodes = Episodes(one.episodes.results[picked])
            ran.append(replace(one, cell=replace(one.cell, task=task), episodes=episodes))
            if whole.spends is not None:
                spends.append(whole.spends[c][picked])
        return Sweep.of(ran, 0.0, self._settings.objective, spends or None)

    def _kept(
        self, specs: Sequence[Spec], experiment: Experiment, audit: int, driver_name: str
    ) -> Sweep | None:
        """What this user's run has kept of a program at these settings; None if that is nothing."""
        name = self._name(specs, experiment, audit, driver_name)
        content = None if self._cache is None else kept.find(self._cache, name)
        if content is None:
            return None
        return _unpacked(content, cells_of(experiment.tasks(self.stores), specs), self._settings)

    def _cached(
        self,
        specs: Sequence[Spec],
        experiment: Experiment,
        audit: int,
        driver: Driver,
        driver_name: str,
    ) -> Sweep:
        """What a program at these settings comes to: kept before, or run and kept now."""
        found = self._kept(specs, experiment, audit, driver_name)
        if found is not None:
            return found
        settings = self._settings
        cells = cells_of(experiment.tasks(self.stores), specs)
        began = time.monotonic()
        ran, spends = driver.run(cells, audit=audit, keep_log=settings.forecast is not None), None
        if settings.forecast is not None:
            spends = [self._spent(one) for one in ran]
            ran = [replace(one, episodes=Episodes(one.episodes.results)) for one in ran]
        seconds = round(time.monotonic() - began, 3)
        sweep = Sweep.of(ran, seconds, settings.objective, spends)
        if self._cache is not None and self._keep:
            name = self._name(specs, experiment, audit, driver_name)
            kept.keep(self._cache, name, _packed(sweep))
        return sweep

    def _name(
        self, specs: Sequence[Spec], experiment: Experiment, audit: int, driver_name: str
    ) -> str:
        forecast = self._settings.forecast
        return f"{_key(specs, self.stores, experiment, audit, driver_name, forecast)}.sweep"

    def _spent(self, ran: Ran) -> np.ndarray:
        return spent(ran, self._settings.objective, self._settings.server_model)

    def sample(self, source: Source, picks: Sequence[np.ndarray]) -> SampledEpisodes:
        """Some episodes of a program at all betas; nothing is audited, and nothing kept.

        Args:
            picks: per store in the order of the reference's curve, indices below `episodes`.

        Raises:
            ProgramError, ControllerError, SandboxError: as `sweep`.
        """
        experiment = self._settings.experiment()
        tasks = []
        for store, chosen in zip(self._by_key, picks, strict=True):
            whole = experiment.task(store)
            tasks.append(whole.some(whole.pairs[chosen]))
        cells = cells_of(tasks, self._specs(source, self._settings.betas))
        ran = self._driver.run(cells, audit=0, keep_log=self._settings.forecast is not None)
        count = len(tasks)
        return SampledEpisodes(
            tuple(np.stack([one.correct for one in ran[s::count]]) for s in range(count)),
            tuple(np.stack([self._spent(one) for one in ran[s::count]]) for s in range(count)),
        )

    @property
    def episodes(self) -> list[int]:
        """Per store in the order of the reference's curve, those of a sweep at one beta."""
        experiment = self._settings.experiment()
        return [len(experiment.task(store).pairs) for store in self._by_key]

    @property
    def _by_key(self) -> list[Store]:
        return sorted(self.stores, key=lambda store: store.key)

    def smoke(self, source: Source) -> tuple[dict[str, float], ...]:
        """Run one episode at every beta, blind; returns the parameters by beta.

        Raises:
            ProgramError, ControllerError, SandboxError: as `sweep`.
        """
        experiment = self._settings.experiment(draws="reference:1")
        task = experiment.task(self.stores[0], np.zeros((1, 2), np.int64))
        ran = self._briefly.run(cells_of([task], self._specs(source, self._settings.betas)))
        return tuple(dict(one.parameters) for one in ran)

    def diagnosed(self, source: Source, betas: Sequence[float], draws: str) -> list[Ran]:
        """A few episodes with their logs, to be diagnosed: of a program that was scored before.

        Raises:
            ProgramError, ControllerError, SandboxError: as `sweep`.
        """
        tasks = self._settings.experiment(draws=draws).tasks(self.stores)
        return self._briefly.run(cells_of(tasks, self._specs(source, betas)), keep_log=True)

    def diagnosed_baseline(self, name: str, betas: Sequence[float], draws: str) -> list[Ran]:
        """A few episodes of a baseline with their logs, run where its trust allows."""
        spec = programs.parse(name)
        tasks = self._settings.experiment(draws=draws).tasks(self.stores)
        return self._local.run(cells_of(tasks, at_betas(spec, betas)), keep_log=True)

    def explore(self) -> Matters:
        """What matters on the search stores."""
        experiment = self._settings.experiment(draws=f"subsets:{DRAWS}")
        return explore(experiment.tasks(self.stores), seed=self._settings.seed)

    def reference(self) -> Reference:
        """SC@64 on these stores."""
        sweep = self.baseline("sc", betas=(1.0,))
        whole = sweep.by_tokens.dearest_tokens()
        settings = self._settings
        regret = settings.judge == "regret"
        judgement = FamilyJudgement(
            {store.key: family_of(store) for store in self.stores},
            settings.judge,
            settings.family_weight,
            tuple(self.baseline(name).curve for name in settings.baselines) if regret else (),
        )
        return Reference(sweep.curve, settings.objective, whole, judgement)

    def baseline(
        self, name: str, betas: Sequence[float] | None = None, *, draws: str | None = None
    ) -> Sweep:
        """The sweep of a controller by its SPEC, run where its trust allows.

        betas, draws: in place of the settings'.
        """
        spec = programs.parse(name)
        specs = [spec.at(beta) for beta in (self._settings.betas if betas is None else betas)]
        return self._on_draws(specs, draws, self._settings.audit, self._sweeps, "by trust")


_TRUSTED = InProcess()


def _key(
    specs: Sequence[Spec],
    stores: Sequence[Store],
    experiment: Experiment,
    audit: int,
    driver: str,
    forecast: Forecasting | None,
) -> str:
    """Digest of all that a sweep depends on."""
    words = {
        "program": specs[0].source.digest,
        "settings": [[spec.beta, spec.named, spec.entry] for spec in specs],
        "stores": [store.digest for store in stores],
        "experiment": experiment.key(),
        "driver": driver,
        "audit": audit,
        "version": __version__,
        **({} if forecast is None else {"forecast": [forecast[0], asdict(forecast[1])]}),
    }
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def _packed(sweep: Sweep) -> bytes:
    """A sweep as it is kept."""
    header = {
        "parameters": [dict(one.parameters) for one in sweep.ran],
        "how": sweep.how.record(),
        "seconds": sweep.notes["seconds"],
    }
    arrays = {f"results_{c}": one.episodes.results for c, one in enumerate(sweep.ran)}
    arrays |= {f"spends_{c}": spends for c, spends in enumerate(sweep.spends or ())}
    arrays["header"] = np.array(json.dumps(header))
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def _unpacked(content: bytes, cells: Sequence[Cell], settings: RunSettings) -> Sweep:
    """A sweep over cells, from how it was kept."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        header = json.loads(str(arrays["header"]))
        how = How.of(header["how"])
        ran = [
            Ran(cell, header["parameters"][c], Episodes(arrays[f"results_{c}"]), how)
            for c, cell in enumerate(cells)
        ]
        spends = None
        if "spends_0" in arrays:
            spends = [arrays[f"spends_{c}"] for c in range(len(cells))]
    return Sweep.of(ran, header["seconds"], settings.objective, spends)
