"""`OnRay`: the driver that runs programs on the machines of a Ray cluster.

Episodes depend on their store, order and program alone, so which machine plays which of them
changes no figure. The audit's sample is drawn here, over all cells, and each machine replays its
share; if one finds a difference, all cells run blind, as on one machine.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import groupby, pairwise

import numpy as np

from autotts.control import Log
from autotts.distributed.cluster import Cluster, UnitKills
from autotts.distributed.parcels import Share, pack, this_code, whereabouts
from autotts.distributed.playing import CellResult, Returned, play
from autotts.errors import ControllerError
from autotts.programs.checker import check_source
from autotts.replay.driver import How, OnRan, Ran, Verdict
from autotts.replay.episodes import Episodes
from autotts.replay.released import Released
from autotts.replay.task import Cell, program_of
from autotts.sandbox import audit as audits
from autotts.sandbox.allowance import naming_the_limit
from autotts.sandbox.blind_run import Place
from autotts.stores import Store

_PARTS_A_CORE = 8
_LEAST_EPISODES = 200
"""Of a share that is a part of a cell: fewer take less time than sending them."""

_Part = tuple[int, slice]
"""Some episodes of a cell: its index, and which."""


class OnRay:
    """Runs programs on a Ray cluster: trusted ones in its workers, others sealed there.

    A context manager. `released` programs need files of this machine and run here.

    >>> with OnRay("ray") as driver:                                  # doctest: +SKIP
    ...     evaluate(stores, ["cmc"], driver=driver)
    """

    def __init__(
        self,
        on: str = "ray",
        *,
        jobs: int | None = None,
        timeout_seconds: float = 600.0,
        unsafe: bool = False,
        stores_at: str = "",
    ) -> None:
        """
        Args:
            on: "ray" or "ray://HOST:PORT", see `Cluster`.
            jobs: most cores to use; all by default.
            timeout_seconds, unsafe: as in `Execution`.
            stores_at: "" to send each store to each machine once; "paths" if the machines have
                the same folders; else a URL with folders MODEL/DATASET that they read themselves.

        Raises:
            SpecError, ClusterError: as `Cluster`.
        """
        self._timeout_seconds = timeout_seconds
        self._unsafe = unsafe
        self._stores_at = stores_at
        self._sent: dict[str, object] = {}
        self.tiers: dict[str, str] = {}
        self._cluster = Cluster(on, jobs)

    def __enter__(self) -> "OnRay":
        return self

    def __exit__(self, *_: object) -> None:
        self._sent.clear()
        self._cluster.close()

    def run(
        self,
        cells: Sequence[Cell],
        *,
        audit: int = 0,
        keep_log: bool = False,
        on_ran: OnRan | None = None,
    ) -> list[Ran]:
        """Run a program over cells; see `Driver.run`.

        How well each machine seals is in `tiers` afterwards, by its name; what one of them does
        not seal makes the tier of all.

        Raises:
            SpecError: the orders of a task are dealt by no draw SPEC.
            ControllerError: or the program ended two workers.
            ClusterError: a machine has another version of autotts.
        """
        source = program_of(cells)
        if cells[0].spec.entry:
            return Released().run(cells, audit=audit, keep_log=keep_log, on_ran=on_ran)
        with naming_the_limit(self._timeout_seconds):
            if source.trusted:
                parts = _parts(cells, _PARTS_A_CORE * self._cluster.cores)
                return self._run_trusted(cells, parts, keep_log, on_ran)
            check_source(source.text, source.path)
            ran = self._run_sealed(cells, audit, keep_log)
            if on_ran:
                for one in ran:
                    on_ran(one)
            return ran

    def _run_trusted(
        self, cells: Sequence[Cell], parts: Sequence[_Part], keep_log: bool, on_ran: OnRan | None
    ) -> list[Ran]:
        groups = _of_sizes(parts, share_sizes(len(parts), self._cluster.cores))
        ran = []
        with closing(self._played(cells, groups, (), keep_log)) as played:
            for c, own in groupby(zip(parts, played, strict=True), key=lambda each: each[0][0]):
                pieces = [piece for _, piece in own]
                first = pieces[0]
                ran.append(Ran(cells[c], first.parameters, _joined(pieces), first.how))
                if on_ran:
                    on_ran(ran[-1])
        return ran

    def _run_sealed(self, cells: Sequence[Cell], audit: int, keep_log: bool) -> list[Ran]:
        rng = np.random.default_rng()
        sampled = audits.draw_sample(cells, audit, rng) if audit else []
        # Each worker compiles for itself, so a share has as many cells as there can be.
        groups = _grouped([(c, slice(None)) for c in range(len(cells))], self._cluster.cores)
        played = list(self._played(cells, groups, sampled, keep_log))
        differing = sum(group[0].how.audit.differing for group in _by_group(played, groups))
        if any(one.how.driver == "blind" for one in played):
            # One worker has found that what counts is blind: then it is for all.
            reason = next(one.how.reason for one in played if one.how.driver == "blind")
            sealed = [
                group
                for group, own in zip(groups, _by_group(played, groups), strict=True)
                if own[0].how.driver != "blind"
            ]
            again = iter(list(self._played(cells, sealed, sampled, keep_log, blind=True)))
            played = [one if one.how.driver == "blind" else next(again) for one in played]
            played = [replace(one, how=replace(one.how, reason=reason)) for one in played]
        how = _together([own[0].how for own in _by_group(played, groups)], differing)
        return [
            Ran(cell, one.parameters, one.episodes, how)
            for cell, one in zip(cells, played, strict=True)
        ]

    def _played(
        self,
        cells: Sequence[Cell],
        groups: Sequence[Sequence[_Part]],
        sampled: Sequence[Place],
        keep_log: bool,
        *,
        blind: bool = False,
    ) -> Generator[CellResult]:
        """What came out of each part, in order."""
        stores = self._whereabouts([cell.task.store for cell in cells])
        shares = []
        for group in groups:
            own = {c: k for k, (c, _) in enumerate(group)}
            shares.append(
                Share(
                    cells=tuple((pack(cells[c].task, part), cells[c].spec) for c, part in group),
                    sampled=tuple((own[c], e) for c, e in sampled if c in own),
                    blind=blind,
                    keep_log=keep_log,
                    stores={
                        digest: stores[digest]
                        for digest in {cells[c].task.store.digest for c, _ in group}
                    },
                    timeout_seconds=self._timeout_seconds,
                    unsafe=self._unsafe,
                    code=this_code(),
                )
            )
        with closing(self._cluster.results(play, shares)) as replies:
            try:
                for reply in replies:
                    yield from self._accepted(reply)
            except UnitKills as error:
                raise ControllerError(f"{program_of(cells).path}: {error}") from error

    def _accepted(self, reply: Returned) -> Sequence[CellResult]:
        if reply.error is not None:
            raise reply.error
        assert reply.cells is not None
        for one in reply.cells:
            if one.how.tier:
                self.tiers[reply.node] = one.how.tier
        return reply.cells

    def _whereabouts(self, stores: Sequence[Store]) -> dict[str, object]:
        """Where the machines get these stores; what was sent for others is given up."""
        distinct = {store.digest: store for store in stores}
        self._sent = {digest: at for digest, at in self._sent.items() if digest in distinct}
        missing = [store for digest, store in distinct.items() if digest not in self._sent]
        self._sent |= whereabouts(missing, self._stores_at, self._cluster.put)
        return self._sent


def _parts(cells: Sequence[Cell], count: int) -> list[_Part]:
    """Each cell whole, or of fewer cells parts, about so many in all."""
    parts: list[_Part] = []
    for c, cell in enumerate(cells):
        episodes = len(cell.task.pairs)
        pieces = min(-(-count // len(cells)), -(-episodes // _LEAST_EPISODES))
        ends = np.linspace(0, episodes, max(pieces, 1) + 1).astype(int).tolist()
        parts += [(c, slice(a, b)) for a, b in pairwise(ends)]
    return parts


def share_sizes(parts: int, cores: int) -> list[int]:
    """How many parts each share has: a half of what is left for each core, down to one.

    Some parts take longer than others. The large shares cost little to send, and the small ones
    at the end keep all cores busy until there is nothing left.

    >>> share_sizes(20, 2)
    [5, 4, 3, 2, 2, 1, 1, 1, 1]
    """
    sizes = []
    while parts:
        sizes.append(-(-parts // (2 * cores)))
        parts -= sizes[-1]
    return sizes


def _of_sizes(parts: Sequence[_Part], sizes: Sequence[int]) -> list[Sequence[_Part]]:
    """In groups of neighbours."""
    ends = np.cumsum([0, *sizes]).tolist()
    return [parts[a:b] for a, b in pairwise(ends)]


def _grouped(parts: Sequence[_Part], count: int) -> list[Sequence[_Part]]:
    """In at most so many groups of neighbours, as equal as can be."""
    ends = np.linspace(0, len(parts), min(count, len(parts)) + 1).astype(int).tolist()
    return [parts[a:b] for a, b in pairwise(ends)]


def _by_group(
    played: Sequence[CellResult], groups: Sequence[Sequence[_Part]]
) -> Iterator[Sequence[CellResult]]:
    begin = 0
    for group in groups:
        yield played[begin : begin + len(group)]
        begin += len(group)


def _joined(pieces: Sequence[CellResult]) -> Episodes:
    if len(pieces) == 1:
        return pieces[0].episodes
    logs = [piece.episodes.log for piece in pieces]
    kept = [log for log in logs if log is not None]
    results = np.concatenate([piece.episodes.results for piece in pieces])
    return Episodes(results, Log.join(kept) if kept else None)


def _together(hows: Sequence[How], differing: int) -> How:
    """How cells were run that several workers ran: their audits are one."""
    verdicts = [how.audit for how in hows]
    sample = sum(verdict.sample for verdict in verdicts)
    blind = hows[0].driver == "blind"
    tier = next((how.tier for how in hows if how.tier != "sealed"), "sealed")
    printed = "".join(dict.fromkeys(how.printed for how in hows))
    verdict = Verdict("none", reason=hows[0].reason)
    if sample:
        bound = 0.0 if blind else audits.bound(sample)
        verdict = Verdict("blind" if blind else "clean", sample, differing, bound, hows[0].reason)
    return How(hows[0].driver, tier, verdict, hows[0].reason, printed)
