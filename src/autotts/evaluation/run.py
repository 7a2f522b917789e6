"""Running controllers over stores: each program by the driver that its trust allows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from autotts import programs
from autotts.errors import SpecError
from autotts.evaluation.result import Evaluation
from autotts.evaluation.serving import require_served
from autotts.evaluation.settings import LOCAL, Execution, Experiment, explaining
from autotts.inference.speed import ServerSpeed
from autotts.programs import AnyController, Spec
from autotts.replay.driver import Driver, OnRan, Ran
from autotts.replay.in_process import InProcess
from autotts.replay.released import Released
from autotts.replay.task import Cell, cells_of, program_of
from autotts.sandbox.allowance import naming_the_limit
from autotts.stores import AnyStores, gather

if TYPE_CHECKING:
    from autotts.distributed.on_ray import OnRay
    from autotts.sandbox.sandbox import Sandbox


class Local:
    """The driver of this machine: ours run in this process, others' in the sandbox.

    A context manager: its end is the end of the sandbox's workers.
    """

    def __init__(self, execution: Execution | None = None) -> None:
        self._execution = execution or Execution()

    def __enter__(self) -> "Local":
        return self

    def __exit__(self, *_: object) -> None:
        if "sandbox" in self.__dict__:
            self.sandbox.close()

    @cached_property
    def sandbox(self) -> "Sandbox":
        """Where others' programs run; there, and imported, from the first of them on."""
        from autotts.sandbox.allowance import Allowance
        from autotts.sandbox.sandbox import Sandbox

        execution = self._execution
        allowance = Allowance.of_cell(execution.timeout_seconds)
        return Sandbox(allowance, unsafe=execution.unsafe, jobs=execution.jobs)

    def choose(self, spec: Spec) -> Driver:
        """The driver for a SPEC: a path is somebody else's program and runs sealed."""
        if spec.entry:
            return Released()
        return InProcess(self._execution.jobs) if spec.source.trusted else self.sandbox

    def run(
        self,
        cells: Sequence[Cell],
        *,
        audit: int = 0,
        keep_log: bool = False,
        on_ran: OnRan | None = None,
    ) -> list[Ran]:
        """Run a program over cells; see `Driver.run`."""
        program_of(cells)
        driver = self.choose(cells[0].spec)
        with naming_the_limit(self._execution.timeout_seconds):
            return driver.run(cells, audit=audit, keep_log=keep_log, on_ran=on_ran)


@contextmanager
def opened(driver: Driver | None, execution: Execution) -> Iterator[Driver]:
    """The driver if there is one, else the one that is asked for, which ends with the block.

    Raises:
        SpecError: there is no such place, or Ray is not installed.
    """
    if driver is not None:
        yield driver
        return
    with Local(execution) if execution.on == LOCAL else _on_ray(execution) as own:
        yield own


def _on_ray(execution: Execution) -> "OnRay":
    from autotts.distributed.on_ray import OnRay

    return OnRay(
        execution.on,
        jobs=execution.jobs,
        timeout_seconds=execution.timeout_seconds,
        unsafe=execution.unsafe,
        stores_at=execution.stores_at,
    )


def at_betas(spec: Spec, betas: Sequence[float] | float | None) -> list[Spec]:
    """A SPEC at each beta; one that names a beta of its own stays at it.

    Raises:
        SpecError: a beta is no number from 0 to 1, or is named twice; or there is none.
    """
    if betas is None or spec.fixed:
        return [spec]
    several = [betas] if isinstance(betas, int | float) else list(betas)
    found = [programs.parse_beta(str(beta)) for beta in several]
    if not found:
        raise SpecError("no beta was named: give numbers from 0 to 1")
    if len(set(found)) != len(found):
        raise SpecError(f"betas {several}: one is named twice")
    return [spec.at(beta) for beta in found]


@explaining
def evaluate(
    stores: AnyStores,
    controllers: AnyController | Sequence[AnyController],
    *,
    betas: Sequence[float] | float | None = None,
    experiment: Experiment | None = None,
    execution: Execution | None = None,
    driver: Driver | None = None,
    pairs: np.ndarray | None = None,
    server: ServerSpeed | None = None,
    on_ran: OnRan | None = None,
) -> Evaluation:
    """Evaluate controllers on stores: every question in every draw, by table look-up.

    Args:
        stores: loaded stores, their folders, or patterns such as `"stores/*/aime24"`.
        controllers: SPECs such as `"cmc"` or `"asc:threshold=0.9"`, or paths of programs.
        betas: sweep over these, for SPECs that name none; 0.5 if not given.
        experiment: draws, budget and whatever else results depend on.
        execution: jobs, time-outs, audit.
        driver: runs the programs; this machine if not given.
        pairs: `[E, 2]` int64 (question, draw) of the episodes; all by default.
        server: a server that was measured, for which results say seconds and dollars.
        on_ran: called with what came out of each cell, for progress.

    Returns:
        What ran: by SPEC, then by beta, then by store.

    Raises:
        AutottsError: a store, a SPEC, a program or an episode fails; the message says which.
    """
    experiment, execution = experiment or Experiment(), execution or Execution()
    loaded, specs = gather(stores), programs.as_specs(controllers)
    require_served(loaded, specs)
    tasks = [experiment.task(store, pairs) for store in loaded]
    ran: list[Ran] = []
    with opened(driver, execution) as chosen:
        for spec in specs:
            ran += chosen.run(
                cells_of(tasks, at_betas(spec, betas)),
                audit=execution.audit, keep_log=execution.traces or server is not None,
                on_ran=on_ran,
            )  # fmt: skip
    return Evaluation(ran, experiment, execution, server)


def run_cells(
    stores: AnyStores, spec: Spec, betas: Sequence[float] | float | None = None, **how: Any
) -> list[Ran]:
    """One controller at several betas on several stores; `how` is as in `evaluate`."""
    return evaluate(stores, [spec], betas=betas, **how).ran
