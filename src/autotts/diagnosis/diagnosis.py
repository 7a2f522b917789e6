"""A controller's episodes diagnosed in one call."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from autotts.diagnosis.digest import digest
from autotts.diagnosis.findings import HORIZON, findings_of
from autotts.evaluation import Execution, Experiment, run_cells
from autotts.evaluation.settings import explaining
from autotts.programs import AnyController, as_spec
from autotts.replay.driver import Driver, Ran
from autotts.stores import AnyStores, gather
from autotts.text import counted

BETAS = (0.0, 0.25, 0.5, 0.75, 1.0)
DRAWS = "reference:20"


@dataclass(frozen=True, slots=True, repr=False)
class Diagnosis:
    """What went wrong in a controller's episodes, and what would have happened otherwise.

    findings: a row per episode, see `diagnosis.findings.findings_of`.
    text: the digest of them, in Markdown; answers stand in it as letters.
    ran: the episodes, with their logs.
    """

    findings: pl.DataFrame
    text: str
    ran: list[Ran]

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        right = float(self.findings["correct"].to_numpy().mean())
        episodes = counted(len(self.findings), "episode")
        return (
            f"<Diagnosis of {self.ran[0].spec.text}: {episodes}, {right:.1%} right;"
            " print it to read it>"
        )

    def _repr_markdown_(self) -> str:
        return self.text


@explaining
def diagnose(
    stores: AnyStores,
    controller: AnyController,
    *,
    betas: Sequence[float] | float = BETAS,
    against: AnyController | None = None,
    horizon: int = HORIZON,
    experiment: Experiment | None = None,
    execution: Execution | None = None,
    driver: Driver | None = None,
) -> Diagnosis:
    """Say what went wrong in a controller's episodes, and what would have happened otherwise.

    Args:
        stores: loaded stores, their folders, or patterns such as `"stores/*/aime24"`.
        controller: a SPEC such as `"cmc"`, or the path of a program.
        against: another controller, to say where the two differ.
        horizon: intervals or branches further that an episode is let go on.
        experiment: `reference:20` draws by default.
    """
    loaded, spec = gather(stores), as_spec(controller)
    experiment, execution = experiment or Experiment(DRAWS), execution or Execution()

    def run(which: AnyController) -> list[Ran]:
        return run_cells(
            loaded, as_spec(which), betas, experiment=experiment,
            execution=replace(execution, traces=True), driver=driver,
        )  # fmt: skip

    ran = run(spec)
    found = findings_of(ran, horizon=horizon)
    other = None if against is None else findings_of(run(against), horizon=horizon)
    more = f"autotts diagnose STORE -c {spec.text}"
    return Diagnosis(found, digest(found, ran, parent=other, more=more), ran)
