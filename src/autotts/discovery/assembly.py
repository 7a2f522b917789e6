"""A run in a call each: `discover` begins one, `resume` goes on, `finalize` ends it.

What the command line does, these do; it only reads its options and prints what comes back.
"""

import importlib.metadata
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from autotts import programs
from autotts.discovery import held_out as held_out_stores
from autotts.discovery.earlier_runs import earlier_runs
from autotts.discovery.explorer import Explorer, Trial, Usage
from autotts.discovery.explorers import make
from autotts.discovery.loop import Discovery
from autotts.discovery.run.budget import priced
from autotts.discovery.run.events import HeldOutResults, first_problem
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import ExplorerRef, RunLimits, RunSettings
from autotts.discovery.run.state import RunState
from autotts.discovery.run.store_refs import open_stores, references
from autotts.discovery.run.trust import Demand, demands
from autotts.discovery.side_by_side import require_side_by_side
from autotts.errors import RunError, SpecError
from autotts.evaluation.objectives import require_server
from autotts.evaluation.serving import lacks, require_served
from autotts.evaluation.settings import LOCAL
from autotts.evaluation.winner import Winner
from autotts.text import counted
from autotts.version import __version__

if TYPE_CHECKING:
    import polars as pl

AnyPath = str | Path
_AGENT = "agent"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, repr=False)
class Discovered:
    """What a run has found after a session.

    path: its folder; `state`: everything that its log says.
    stopped: why the session stopped early; "" if all rounds are done.
    """

    path: Path
    state: RunState
    stopped: str

    @property
    def best(self) -> Trial | None:
        """The trial that leads, with its program in `proposal.source`."""
        return self.state.best

    @property
    def winner(self) -> Winner | None:
        """What fresh draws left of the best; None where there was nothing to choose."""
        return self.state.winner

    @property
    def usage(self) -> Usage:
        """What model calls have cost so far."""
        return self.state.usage

    @property
    def why_nothing(self) -> str:
        """Why no round brought a proposal; "" if one did, or none was asked for."""
        return self.state.why_nothing

    def frame(self) -> "pl.DataFrame":
        """One row per baseline and proposal: name, area (percent), accepted, errors, idea."""
        import polars as pl

        rows: list[tuple[str, float | None, bool | None, str, str]] = [
            (name, scored.area, None, "", "") for name, scored in self.state.baselines.items()
        ]
        rows += [
            (f"round {t.name}", t.area, t.accepted, "; ".join(t.errors), t.proposal.idea)
            for t in self.state.trials
        ]
        schema = {"name": str, "area": float, "accepted": bool, "errors": str, "idea": str}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def __repr__(self) -> str:
        state, best = self.state, self.best
        leads = "no best program"
        if best is not None and best.area is not None:
            leads = f"best is round {best.name} with area {best.area:.2f}"
        stopped = f"; stopped: {self.stopped}" if self.stopped else ""
        return (
            f"<{self.path}: {counted(state.rounds, 'round')},"
            f" {counted(len(state.trials), 'program')}, {leads};"
            f" {state.seconds / 60:.1f} minutes, {priced(self.usage.usd)}{stopped}>"
        )

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>{self.frame()._repr_html_()}"


def discover(
    stores: AnyPath | Iterable[AnyPath],
    out: AnyPath,
    *,
    held_out: AnyPath | Iterable[AnyPath] = (),
    earlier: Iterable[AnyPath] = (),
    explorer: str | Explorer = "offline",
    options: Mapping[str, str] | None = None,
    rounds: int | None = 5,
    say: Say = print,
    on: str = LOCAL,
    **settings: Any,
) -> Discovered:
    """Begin a run and go through its rounds, or as far as its budget reaches.

    Args:
        stores: of the search: folders, folders of them, or patterns.
        out: folder of the new run.
        held_out: stores that only `finalize` opens.
        earlier: folders of runs whose best programs are proposed before the first round, and whose
            lessons the explorer is told.
        explorer: who proposes: a name such as "offline" or "chat", or one of your own.
        options: of an explorer by name, text by text.
        rounds: None for as many as the rest of the budget pays for.
        say: is told one line at a time what happens.
        on: where programs are scored: "local", "ray" or "ray://HOST:PORT". No figure depends on it.
        settings: any other of `RunSettings` or `RunLimits`, such as `seed=1` or `usd=5.0`.

    Raises:
        SpecError, StoreError: a setting, an option or a store is wrong; nothing was written.
        RunError: the folder is in use, or can't be written.
        SandboxError: proposed programs can't be sealed here.
    """
    path = Path(out)
    limits = {"rounds": rounds}
    for name in set(RunLimits.model_fields) & settings.keys():
        limits[name] = settings.pop(name)
    made, who = plan(
        stores, held_out=held_out, earlier=earlier, explorer=explorer, options=options,
        name=path.name, limits=limits, **settings,
    )  # fmt: skip
    return begin(path, made, who, say, on)


def plan(
    stores: AnyPath | Iterable[AnyPath],
    *,
    held_out: AnyPath | Iterable[AnyPath] = (),
    earlier: Iterable[AnyPath] = (),
    explorer: str | Explorer = "offline",
    options: Mapping[str, str] | None = None,
    **settings: Any,
) -> tuple[RunSettings, Explorer]:
    """The settings of a run that could begin, in full, and its explorer; see `discover`.

    Of the usual baselines it has those that its stores can serve. The rule on the cheapest setting
    is for 64 branches: of narrow stores it asks for as many branches, so for a larger share.
    """
    search, sealed = references(stores), references(held_out) if held_out else ()
    for ref in sealed:
        if any(ref.digest == other.digest for other in search):
            raise SpecError(f"{ref.path} is in the search set and held out; it can't be both")
    told = dict(options or {})
    who = make(explorer, told) if isinstance(explorer, str) else explorer
    chosen = ExplorerRef(
        name=explorer if isinstance(explorer, str) else who.name,
        options=told,
        settings=who.settings(),
        deterministic=who.deterministic,
    )
    before = earlier_runs(map(Path, earlier), sealed)
    fields = {
        **settings, "stores": search, "held_out": sealed, "earlier": before, "explorer": chosen,
    }  # fmt: skip
    try:
        made = RunSettings.model_validate({**fields, "made_by": _made_by()})
    except ValidationError as error:
        raise SpecError(first_problem(error)) from error
    require_side_by_side(who, made.parallel)
    loaded = open_stores(search)
    specs = {name: programs.parse(name) for name in made.baselines}
    if "baselines" in settings:
        require_served(loaded, list(specs.values()))
    served = [name for name, spec in specs.items() if not any(lacks(s, spec) for s in loaded)]
    rules = made.rules
    given = settings.get("rules", {})
    if isinstance(given, Mapping) and "cheapest" not in given:
        width = min(rules.ceiling, *(int(store.pool.n_branches.min()) for store in loaded))
        rules = replace(rules, cheapest=min(1.0, rules.cheapest * rules.ceiling / width))
    made = made.model_copy(update={"baselines": tuple(served), "rules": rules})
    _check_judgement(made)
    require_server(made.objective, made.server_model)
    return made, who


def _check_judgement(settings: RunSettings) -> None:
    """Refuse a judgement that would say nothing.

    Raises:
        SpecError: it makes a figure of areas where none is chosen by, or regret has no rivals.
    """
    by_stores = settings.judge == "mean" and settings.family_weight == "stores"
    if settings.selection == "accuracy" and not by_stores:
        raise SpecError(
            "--selection accuracy is the paper's rule and knows no families: leave out --judge and"
            " --family-weight, or choose by area"
        )
    if settings.race and not (by_stores and settings.selection == "area"):
        raise SpecError(
            "--race compares mean areas of stores: leave out --race, or --selection, --judge and"
            " --family-weight"
        )
    if settings.judge == "regret" and not settings.baselines:
        raise SpecError("--judge regret needs a baseline to be behind, and the run has none")


def begin(
    path: Path, settings: RunSettings, explorer: Explorer, say: Say = print, on: str = LOCAL
) -> Discovered:
    """Make the folder of a run that was planned, and go through its rounds; see `discover`."""
    _check_cluster(on, settings.explorer.name)
    return _session(RunFolder.create(path, settings), explorer, say, {}, on)


def resume(
    run: AnyPath,
    *,
    explorer: Explorer | None = None,
    trust: bool = False,
    say: Say = print,
    limits: Mapping[str, float | None] | None = None,
    on: str = LOCAL,
) -> Discovered:
    """Go on with a run, after a crash, a Ctrl-C or a spent budget.

    Args:
        explorer: in place of the one that the run names.
        trust: whether the folder may have what it asks for beside that: code in this process,
            programs unsealed, commands, servers; see `demanded`.
        limits: fields of `RunLimits`, such as `{"rounds": 10}`, in place of the run's; in all, not
            on top.
        on: as in `discover`; it may be another place than before.

    Raises:
        RunError: there is no run, somebody works on it, it was finalized, its stores are others,
            or it asks for what wants `trust`.
    """
    folder = RunFolder(Path(run))
    _check_trust(folder, demands(folder.settings, explorer=explorer is None), trust)
    ref = folder.settings.explorer
    _check_cluster(on, ref.name)
    who = explorer or make(ref.name, ref.options)
    require_side_by_side(who, folder.settings.parallel)
    return _session(folder, who, say, limits or {}, on)


def finalize(run: AnyPath, *, trust: bool = False, say: Say = print) -> HeldOutResults:
    """Measure a run's best program on its held-out stores: once; again, it says what it said.

    Args:
        trust: as in `resume`.

    Raises:
        RunError: there is nothing to measure, no held-out store, another program was measured, or
            the run asks for what wants `trust`.
    """
    folder = RunFolder(Path(run))
    with folder.open() as opened:
        _check_trust(folder, _demanded_to_finalize(folder, opened.state), trust)
        return held_out_stores.finalize(opened, say)


def demanded(run: AnyPath, to: Literal["resume", "finalize"]) -> list[Demand]:
    """What a run's folder asks for that it may have only with `trust`."""
    folder = RunFolder(Path(run))
    if to == "finalize":
        return _demanded_to_finalize(folder, folder.state)
    return demands(folder.settings, explorer=True)


def _demanded_to_finalize(folder: RunFolder, state: RunState) -> list[Demand]:
    # Nothing is run where there is no program, or where it was done before.
    if state.best is None or state.finalized is not None:
        return []
    return demands(folder.settings, explorer=False)


def _check_trust(folder: RunFolder, found: list[Demand], trust: bool) -> None:
    if found and not trust:
        raise RunError(
            f"{folder.path}: its run.toml asks for what a folder can't have by itself:\n"
            + "".join(f"  {demand}\n" for demand in found)
            + "If you made this run, or trust who did, allow it: --yes, or trust=True in Python"
        )


def _check_cluster(on: str, explorer: str) -> None:
    """Refuse an agent beside a cluster that takes work from anyone who reaches it.

    Raises:
        SpecError: an agent has the network, and Ray's ports don't ask who is there.
    """
    if on != LOCAL and explorer == _AGENT and os.environ.get("RAY_AUTH_MODE") != "token":
        raise SpecError(
            "an agent that reaches a Ray cluster could run anything on it, and read gold answers:"
            " switch on its authentication (RAY_AUTH_MODE=token), or leave --on out"
        )


def _session(
    folder: RunFolder, explorer: Explorer, say: Say, given: Mapping[str, Any], on: str
) -> Discovered:
    with folder.open() as run:
        last = run.state.limits or folder.settings.limits
        try:
            limits = RunLimits.model_validate({**last.model_dump(), **given})
        except ValidationError as error:
            raise SpecError(first_problem(error)) from error
        end = Discovery(run, explorer, say, limits, on).go()
        return Discovered(folder.path, run.state, end.stopped)


def _made_by() -> dict[str, str]:
    """Versions of what results depend on."""
    packages = {name: importlib.metadata.version(name) for name in ("numpy", "numba")}
    return {"autotts": __version__, "python": platform.python_version(), **packages}
