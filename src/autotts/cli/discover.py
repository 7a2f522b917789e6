"""`autotts discover`, `finalize` and `init`: finding controllers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts import __version__
from autotts.cli import options
from autotts.cli.runs import Run, rounds_table
from autotts.cli.screen import console, say
from autotts.errors import SpecError

if TYPE_CHECKING:
    from autotts.discovery.explorer import Explorer
    from autotts.discovery.run.events import HeldOutResults
    from autotts.discovery.run.folder import RunFolder
    from autotts.discovery.run.settings import RunLimits, RunSettings

STOPPED_EARLY = 3
"""Exit code of a run that its budget stopped; it can be resumed."""

_LIMITS = ("rounds", "evaluations", "model_tokens", "usd", "seconds")
_SETTINGS = (
    "seed", "proposals", "selection", "accept", "driver", "unsafe", "audit", "draws", "failed",
    "probe_tokens",
)  # fmt: skip
"""Options that a run's settings take by their own names."""

_STARTER = "race-beta"
"""What `init` gives to begin with."""

Search = Annotated[
    list[Path] | None,
    typer.Option("--stores", help="Search stores, folders of them, or a quoted pattern."),
]
HeldOut = Annotated[list[Path] | None, typer.Option(help="Stores that only `finalize` opens.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the new run.")]
Resume = Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")]
Who = Annotated[str, typer.Option(help="Who proposes: offline, chat, agent, files, recorded.")]
Model = Annotated[str, typer.Option(help="Of chat or agent; short for --option model=NAME.")]
BaseUrl = Annotated[str, typer.Option(help="Server of chat; short for --option base_url=URL.")]
Options = Annotated[
    list[str] | None, typer.Option(help="key=value for the explorer; may be repeated.")
]
Rounds = Annotated[int | None, typer.Option(min=1, help="Rounds; 5 by default.")]
Proposals = Annotated[int, typer.Option(min=1, help="Proposals per round.")]
Evaluations = Annotated[int | None, typer.Option(min=1, help="Most sweeps and tries.")]
ModelTokens = Annotated[int | None, typer.Option(min=1, help="Most model tokens.")]
Usd = Annotated[float | None, typer.Option(min=0, help="Most US dollars.")]
Seconds = Annotated[float | None, typer.Option(min=1, help="Most seconds.")]
Selection = Annotated[str, typer.Option(help="area, or accuracy: the paper's rule.")]
Accept = Annotated[
    float, typer.Option(help="Share of resamples a program must be ahead in to be accepted.")
]
NoBeta = Annotated[
    bool, typer.Option("--no-beta", help="Ablation: parameters need not come from beta.")
]
NoTraces = Annotated[bool, typer.Option("--no-traces", help="Ablation: scores only, no diagnosis.")]
Driver = Annotated[
    str, typer.Option(help="sealed (audited), blind, or in-process (trusted programs only).")
]
Audit = Annotated[int, typer.Option(min=0, help="Episodes of a sweep to run again blind.")]
Unsafe = Annotated[
    bool,
    typer.Option("--unsafe-no-sandbox", help="Run proposed programs even where nothing is sealed."),
]
Last = Annotated[
    bool, typer.Option("--finalize", help="Then measure the best on the held-out stores.")
]
Estimate = Annotated[bool, typer.Option("--estimate", help="Say what the run may cost, and stop.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, print run.toml, write nothing.")
]


def discover(
    stores: Search = None,
    out: Out = None,
    resume: Resume = None,
    held_out: HeldOut = None,
    explorer: Who = "offline",
    model: Model = "",
    base_url: BaseUrl = "",
    option: Options = None,
    rounds: Rounds = None,
    proposals: Proposals = 1,
    evaluations: Evaluations = None,
    model_tokens: ModelTokens = None,
    usd: Usd = None,
    seconds: Seconds = None,
    selection: Selection = "area",
    accept: Accept = 0.8,
    no_beta: NoBeta = False,
    no_traces: NoTraces = False,
    draws: options.Draws = "reference:100",
    probe_tokens: options.ProbeTokens = 0,
    failed: options.Failed = "vote",
    seed: options.Seed = 0,
    driver: Driver = "sealed",
    audit: Audit = 600,
    unsafe: Unsafe = False,
    finalize_: Last = False,
    estimate: Estimate = False,
    dry_run: DryRun = False,
) -> None:
    """Search for a controller: propose, replay over the sweep, diagnose, select; round by round."""
    given = locals()
    limits = {name: given[name] for name in _LIMITS if given[name] is not None}
    told = _explorer_options(option or [], model=model, base_url=base_url)
    if resume is not None:
        if stores or out or held_out or told:
            raise SpecError("--resume takes its stores and explorer from the run; leave them out")
        _resume(resume, limits, finalize_)
        return
    if not stores or (out is None and not (estimate or dry_run)):
        raise SpecError("need --stores and --out for a new run, or --resume RUN")
    chosen = {
        **{name: given[name] for name in _SETTINGS},
        "name": out.name if out else "dry-run",
        "traces": not no_traces,
        "limits": limits,
        "rules": {"one_knob": not no_beta},
    }
    settings, who = _settings(chosen, explorer, told, stores, held_out or [])
    if out is None or estimate or dry_run:
        _preview(settings, who, dry_run)
    else:
        _begin(out, settings, who, finalize_)


def _explorer_options(texts: Sequence[str], **short: str) -> dict[str, str]:
    """Options for the explorer, from key=value and from those that have a name of their own."""
    told = {key: value for key, value in short.items() if value}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise SpecError(f"--option {text!r}: need key=value")
        told[key] = value
    return told


def _begin(out: Path, settings: "RunSettings", explorer: "Explorer", last: bool) -> None:
    from autotts.discovery.run.folder import RunFolder

    folder = RunFolder.create(out, settings)
    say(settings.toml())
    _go(folder, explorer, {}, last)


def _resume(path: Path, limits: Mapping[str, object], last: bool) -> None:
    from autotts.discovery.explorers import make
    from autotts.discovery.run.folder import RunFolder

    folder = RunFolder(path)
    who = folder.settings.explorer
    _go(folder, make(who.name, who.options), limits, last)


def _settings(
    chosen: dict[str, object],
    explorer: str,
    told: dict[str, str],
    stores: list[Path],
    held_out: list[Path],
) -> "tuple[RunSettings, Explorer]":
    """The settings of a new run, in full, and its explorer."""
    from pydantic import ValidationError

    from autotts.discovery.explorers import make
    from autotts.discovery.finalize import references
    from autotts.discovery.run.settings import ExplorerRef, RunSettings

    search = references([str(path) for path in stores])
    sealed = references([str(path) for path in held_out]) if held_out else ()
    for ref in sealed:
        if any(ref.digest == other.digest for other in search):
            raise SpecError(f"{ref.path} is in the search set and held out; it can't be both")
    who = make(explorer, told)
    try:
        settings = RunSettings.model_validate(
            {
                **chosen,
                "stores": search,
                "held_out": sealed,
                "explorer": ExplorerRef(
                    name=explorer,
                    options=told,
                    settings=who.settings(),
                    deterministic=who.deterministic,
                ),
                "made_by": _made_by(),
            }
        )
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(str(part) for part in found["loc"])
        raise SpecError(f"--{where}: {found['msg']}, got {found['input']!r}") from error
    return settings, who


def _made_by() -> dict[str, str]:
    """Versions of what results depend on."""
    import importlib.metadata
    import platform

    packages = {name: importlib.metadata.version(name) for name in ("numpy", "numba")}
    return {"autotts": __version__, "python": platform.python_version(), **packages}


def _preview(settings: "RunSettings", explorer: "Explorer", dry_run: bool) -> None:
    """What a run would be and may cost, with nothing written."""
    from autotts.discovery.loop import open_stores
    from autotts.discovery.run.budget import priced
    from autotts.discovery.scoring import Scorer

    if dry_run:
        with Scorer(open_stores(settings.stores), settings) as scorer:
            say(scorer.check_sandbox(), err=True)
        say(settings.toml())
    rounds = settings.limits.rounds or 0
    usage = explorer.estimate(rounds, settings.proposals)
    say(
        f"{rounds} rounds of {settings.proposals}: {usage.calls} model calls,"
        f" {usage.input_tokens:,} + {usage.output_tokens:,} tokens, {priced(usage.usd)}"
    )


def _go(folder: "RunFolder", explorer: "Explorer", given: Mapping[str, object], last: bool) -> None:
    """One session of a run, and if asked for its finalization."""

    from autotts.discovery.finalize import finalize as measure
    from autotts.discovery.loop import Discovery
    from autotts.discovery.run.round_files import cost_line

    with folder.open() as run:
        limits = _raised(run.state.limits or folder.settings.limits, given)
        session = Discovery(run, explorer, _say, limits)
        outcome = session.go()
        console().print(rounds_table(run.state))
        if (best := run.state.winner) is not None:
            say(best.words)
        say(cost_line(session.usage, run.state.seconds))
        if outcome.stopped:
            say(f"stopped: {outcome.stopped}", err=True)
            raise typer.Exit(STOPPED_EARLY)
        if last:
            _show_final(folder.path, measure(run, _say))


def _say(text: str) -> None:
    console(err=True).print(text)


def _raised(last: "RunLimits", given: Mapping[str, object]) -> "RunLimits":
    """The limits of this session: those of the last one, and what is given."""
    from autotts.discovery.run.settings import RunLimits

    return RunLimits.model_validate({**last.model_dump(), **given})


def finalize(run: Run) -> None:
    """Measure a run's best program on its held-out stores: once."""
    from autotts.discovery.finalize import finalize as measure
    from autotts.discovery.run.folder import RunFolder

    with RunFolder(run).open() as opened:
        final = measure(opened, _say)
    _show_final(run, final)


def _show_final(run: Path, final: "HeldOutResults") -> None:
    """Print the held-out results and draw the frontier."""

    from autotts.discovery.finalize import curves
    from autotts.reports import figures
    from autotts.reports.tables import plain_table, span

    shares = list(next(iter(final.controllers.values())).fractions)
    table = plain_table("held out", "area", "95 %", *(f"{float(share):.0%}" for share in shares))
    for name, found in final.controllers.items():
        at = [f"{found.fractions[s]:.1f}" if s in found.fractions else "-" for s in shares]
        interval = span(found.area_low, found.area_high)
        table.add_row(name, f"{found.area:.2f}", interval, *at)
    console().print(table)
    say("area of the frontier, and its accuracy in % at shares of SC@64's tokens")
    if final.on_search:
        say(f"on the search set: {final.on_search}")
    for lead in final.against.values():
        say(lead.words)
    figure = figures.curves(curves(final), title="Held out")
    for path in figures.save(figure, run / "finalize" / "frontier", ("png",)):
        say(f"wrote {path}")


def init(folder: Annotated[Path, typer.Argument(help="A new folder.")]) -> None:
    """Begin: a folder with a first controller and simulated stores to try it on."""
    from autotts.discovery.run.folder import write_new
    from autotts.programs import find

    program = folder / "controller.py"
    write_new(program, find(_STARTER).text)
    say(f"wrote {program}\nnext:")
    say(f"  autotts data simulate --out {folder}/stores")
    say(f"  autotts evaluate {folder}/stores -c {program} -c asc -c cmc --beta 0,0.5,1")
    say(f"  autotts discover --stores {folder}/stores --out {folder}/runs/first")
