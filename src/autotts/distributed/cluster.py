"""A Ray cluster: work units on its machines, run again where a machine is lost.

    head                              a machine of the cluster
    +-----------------+  a unit       +------------------------------+
    | Cluster.results |-------------->| worker: function(unit)       |
    |   in order      |<--------------|                              |
    +-----------------+  its result   +------------------------------+

A unit whose machine, or whose result, is lost is run again, however often. One that ends its worker
is run again once; what ends two workers has a fault of its own. Ray itself repeats nothing here,
for it doesn't tell one from the other.
"""

import os
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from autotts.errors import ClusterError, SpecError

U = TypeVar("U")
R = TypeVar("R")

_MOST_KILLS = 2
_AHEAD = 2
"""Units a core that are handed over before they can run, so that no core waits for the head."""
_LOOK_SECONDS = 1.0
_PREFIX = "ray://"


class UnitKills(ClusterError):
    """A work unit that ended its worker twice: no machine was lost, so the fault is its own."""


class Cluster:
    """A connection to Ray. A context manager: its end is the end of what it started."""

    def __init__(self, on: str, jobs: int | None = None) -> None:
        """
        Args:
            on: "ray" for the cluster of this machine (`RAY_ADDRESS`, or one that runs here), and if
                there is none one is started, with all its cores; "ray://HOST:PORT" for another.
            jobs: most units that run at a time; by default as many as there are cores.

        Raises:
            SpecError: `on` is neither, or Ray is not installed.
            ClusterError: there is no cluster at that address.
        """
        if on != "ray" and not (on.startswith(_PREFIX) and on != _PREFIX):
            raise SpecError(f"on {on!r}: need local, ray or ray://HOST:PORT")
        self.on = on
        self._ray = _import()
        self._jobs = jobs
        self._ours = not self._ray.is_initialized()
        if self._ours:
            _connect(self._ray, None if on == "ray" else on)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._ours and self._ray.is_initialized():
            self._ray.shutdown()

    @property
    def cores(self) -> int:
        """Units that can run at a time now, at least 1: a cluster may grow when there is work."""
        cores = max(1, int(self._ray.cluster_resources().get("CPU", 0)))
        return min(cores, self._jobs or cores)

    def put(self, value: object) -> Any:
        """A reference to a value, which each machine fetches once and its workers share."""
        return self._ray.put(value)

    def results(self, function: Callable[[U], R], units: Sequence[U]) -> Generator[R]:
        """What a function makes of each unit, in their order.

        Units that still run when the iterator is closed, by an error or by Ctrl-C, are stopped with
        their workers.

        Raises:
            UnitKills: a unit ended its worker twice.
        """
        errors = self._ray.exceptions
        lost = (errors.NodeDiedError, errors.ObjectLostError, errors.LocalRayletDiedError)
        killed = (errors.WorkerCrashedError, errors.OutOfMemoryError)
        remote = self._ray.remote(max_retries=0, num_cpus=1)(function)
        kills = [0] * len(units)
        waiting = list(range(len(units) - 1, -1, -1))
        running: dict[Any, int] = {}
        there: dict[int, R] = {}
        following = 0
        try:
            while following < len(units):
                room = self._most_running() - len(running)
                for _ in range(min(room, len(waiting))):
                    u = waiting.pop()
                    running[remote.remote(units[u])] = u
                done, _ = self._ray.wait(list(running), timeout=_LOOK_SECONDS)
                for reference in done:
                    u = running.pop(reference)
                    try:
                        there[u] = self._ray.get(reference)
                    except lost:
                        waiting.append(u)
                    except killed as error:
                        kills[u] += 1
                        if kills[u] == _MOST_KILLS:
                            raise UnitKills(f"it ended {_MOST_KILLS} workers: {error}") from error
                        waiting.append(u)
                while following in there:
                    yield there.pop(following)
                    following += 1
        finally:
            for reference in running:
                self._ray.cancel(reference, force=True)

    def _most_running(self) -> int:
        return self._jobs or _AHEAD * self.cores


def get(reference: Any) -> Any:
    """The value of a reference, on a machine of the cluster."""
    return _import().get(reference)


def node() -> str:
    """The name of this machine of the cluster."""
    ray = _import()
    return f"{ray.util.get_node_ip_address()} ({ray.get_runtime_context().get_node_id()[:8]})"


def _import() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise SpecError('Ray is not installed here: pip install "autotts[distributed]"') from error
    return ray


def _connect(ray: Any, address: str | None) -> None:
    try:
        ray.init(
            address=address, logging_level="error", log_to_driver=False, configure_logging=True
        )
    except (ConnectionError, RuntimeError, ValueError, ImportError) as error:
        where = address or "this machine's cluster"
        raise ClusterError(f"{where}: no Ray cluster can be reached: {error}") from error
