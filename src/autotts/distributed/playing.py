"""What a machine of the cluster does with a share: plays its cells, in this process or sealed.

Each worker keeps one sandbox, with what it compiled last, for the shares that follow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotts.distributed import cluster
from autotts.distributed.parcels import Share, unpack
from autotts.errors import AutottsError
from autotts.replay.driver import How
from autotts.replay.episodes import Episodes
from autotts.replay.in_process import InProcess
from autotts.replay.task import program_of
from autotts.sandbox.allowance import Allowance
from autotts.sandbox.sandbox import Sandbox

_SANDBOXES: dict[tuple[float, bool], Sandbox] = {}


@dataclass(frozen=True, slots=True)
class CellResult:
    """What came out of a cell; the head has the cell."""

    parameters: Mapping[str, float]
    episodes: Episodes
    how: How


@dataclass(frozen=True, slots=True)
class Returned:
    """What a share came to.

    cells: by cell; None where it failed, by `error`.
    """

    node: str
    cells: Sequence[CellResult] | None
    error: AutottsError | None = None


def play(share: Share) -> Returned:
    """Play the cells of a share. An error of ours is a result: it is the same on every machine."""
    try:
        cells = unpack(share)
        if program_of(cells).trusted:
            ran = InProcess(jobs=1).run(cells, keep_log=share.keep_log)
        else:
            ran = _sandbox(share).run(
                cells, keep_log=share.keep_log, mode="blind" if share.blind else "auto",
                sampled=share.sampled,
            )  # fmt: skip
    except AutottsError as error:
        return Returned(cluster.node(), None, error)
    return Returned(
        cluster.node(), [CellResult(one.parameters, one.episodes, one.how) for one in ran]
    )


def _sandbox(share: Share) -> Sandbox:
    key = share.timeout_seconds, share.unsafe
    if key not in _SANDBOXES:
        while _SANDBOXES:
            _SANDBOXES.popitem()[1].close()
        allowance = Allowance.of_cell(share.timeout_seconds)
        _SANDBOXES[key] = Sandbox(allowance, unsafe=share.unsafe, jobs=1)
    return _SANDBOXES[key]
