"""`autotts discover`, `finalize` and `init`: finding controllers."""

import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from autotts.cli import options
from autotts.cli.runs import Run, rounds_table
from autotts.cli.screen import console, say
from autotts.errors import SpecError
from autotts.text import counted

if TYPE_CHECKING:
    from autotts.discovery.assembly import Discovered
    from autotts.discovery.explorer import Explorer
    from autotts.discovery.run.events import HeldOutResults
    from autotts.discovery.run.settings import RunSettings

STOPPED_EARLY = 3
"""Exit code of a run that its budget stopped; it can be resumed."""

NOTHING_PROPOSED = 4
"""Exit code of a run in which no round brought a proposal."""

_SIGNALS = {"SIGINT": 130, "SIGTERM": 143}
"""Exit codes of a run that was told to end."""

_LIMITS = ("rounds", "evaluations", "model_tokens", "usd", "seconds")
_SETTINGS = (
    "seed", "proposals", "parallel", "selection", "judge", "family_weight", "race", "objective",
    "accept", "driver", "unsafe", "audit", "draws", "failed", "probe_tokens",
)  # fmt: skip
"""Options that a run's settings take by their own names."""

_STARTER = "race-beta"
"""What `init` gives to begin with."""

HeldOut = Annotated[list[Path] | None, typer.Option(help="Stores that only `finalize` opens.")]
From = Annotated[
    list[Path] | None,
    typer.Option(
        "--from",
        help="An earlier run to begin with: its best programs are judged before the first round,"
        " and explorers read its lessons. May be given several times.",
    ),
]
Out = Annotated[Path | None, typer.Option(help="Folder of the new run.")]
Resume = Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")]
Who = Annotated[str, typer.Option(help="Who proposes: offline, chat, agent, files, recorded.")]
Model = Annotated[str, typer.Option(help="Model of chat or agent; short for --option model=NAME.")]
BaseUrl = Annotated[str, typer.Option(help="Server of chat; short for --option base_url=URL.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        help="key=value for the explorer; may be repeated. offline takes draws=N (of each"
        " question, that races it learns from play, 16). A key that"
        " an explorer doesn't have is answered by those it has."
    ),
]
Rounds = Annotated[
    int | None, typer.Option(min=1, help="How many rounds the run has in all; 5 by default.")
]
Proposals = Annotated[int, typer.Option(min=1, help="How many programs are asked for in a round.")]
Parallel = Annotated[
    int,
    typer.Option(
        min=1,
        max=64,
        help="How many rounds are proposed side by side while earlier ones are scored; each knows"
        " what came of the rounds before these.",
    ),
]
Evaluations = Annotated[
    int | None, typer.Option(min=1, help="Stop after so many sweeps and tries of programs.")
]
ModelTokens = Annotated[
    int | None, typer.Option(min=1, help="Stop before model calls take more tokens than this.")
]
Usd = Annotated[
    float | None,
    typer.Option(min=0, help="Stop before model calls cost more US dollars than this."),
]
Seconds = Annotated[
    float | None, typer.Option(min=1, help="Stop after so many seconds of all sessions together.")
]
Selection = Annotated[
    str,
    typer.Option(
        help="What the best is chosen by: area of the frontier, or accuracy, the paper's rule."
    ),
]
Judge = Annotated[
    str,
    typer.Option(
        help="What programs are judged by over families of models: their mean area, the area in"
        " the worst family, or regret: the mean less the most by which a family is behind its best"
        " baseline."
    ),
]
FamilyWeight = Annotated[
    str,
    typer.Option(
        help="What counts once in the mean: stores, or equal for families (the stores of a family"
        " are averaged first)."
    ),
]
Race = Annotated[
    bool,
    typer.Option(
        "--race",
        help="Judge more than three proposals of a round by a race: all of them are played on"
        " growing samples, those that are surely behind are dropped early, and the whole costs at"
        " most three full sweeps.",
    ),
]
Accept = Annotated[
    float,
    typer.Option(
        help="Share of resamples of the questions in which a program must be ahead to be accepted."
    ),
]
NoBeta = Annotated[
    bool,
    typer.Option(
        "--no-beta", help="Ablation: let programs have parameters that beta does not set."
    ),
]
NoTraces = Annotated[
    bool, typer.Option("--no-traces", help="Ablation: show explorers scores only, no diagnosis.")
]
Driver = Annotated[
    str,
    typer.Option(
        help="How proposed programs run: sealed and audited, blind, or in-process with your rights."
    ),
]
Audit = Annotated[
    int, typer.Option(min=0, help="How many episodes of a sweep are replayed blind as a check.")
]
Unsafe = Annotated[
    bool,
    typer.Option(
        "--unsafe-no-sandbox", help="Run proposed programs even where no process can be sealed."
    ),
]
Last = Annotated[
    bool, typer.Option("--finalize", help="At the end, measure the best on the held-out stores.")
]
Estimate = Annotated[bool, typer.Option("--estimate", help="Say what the run may cost, and stop.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, print run.toml, write nothing.")
]
ShowSettings = Annotated[
    bool, typer.Option("--show-settings", help="Print all settings of the run before it begins.")
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        help="Allow without asking what the run's folder asks for: code that runs with your rights,"
        " commands, servers.",
    ),
]


_RESUMED = {
    "resume", *_LIMITS, "explorer", "model", "base_url", "option", "driver", "unsafe", "finalize_",
    "yes", "on",
}  # fmt: skip
"""Options that mean something beside `--resume`."""


def discover(
    context: typer.Context,
    stores: options.SomeStores = None,
    stores_option: options.StoresOption = None,
    out: Out = None,
    resume: Resume = None,
    held_out: HeldOut = None,
    from_: From = None,
    explorer: Who = "offline",
    model: Model = "",
    base_url: BaseUrl = "",
    option: Options = None,
    rounds: Rounds = None,
    proposals: Proposals = 1,
    parallel: Parallel = 1,
    evaluations: Evaluations = None,
    model_tokens: ModelTokens = None,
    usd: Usd = None,
    seconds: Seconds = None,
    selection: Selection = "area",
    judge: Judge = "mean",
    family_weight: FamilyWeight = "stores",
    race: Race = False,
    objective: options.AnyObjective = "tokens",
    server_model: options.ServerModel = None,
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
    show_settings: ShowSettings = False,
    on: options.On = "local",
    yes: Yes = False,
) -> None:
    """Search for a controller: propose, replay over the sweep, diagnose, select; round by round."""
    given = locals()
    if resume is not None:
        _check_resumed(context)
    elif out is not None:
        _check_out(out)
    search = [*(stores or ()), *(stores_option or ())]
    limits = {name: given[name] for name in _LIMITS if given[name] is not None}
    told = _explorer_options(option or [], model=model, base_url=base_url)
    if resume is not None:
        named = {("driver", driver), ("unsafe", "yes" if unsafe else ""), ("explorer", explorer)}
        named |= {(f"option {key}", value) for key, value in told.items()}
        _ask(resume, "resume", named, yes)
        _resume(resume, limits, finalize_, on)
        return
    if not search or (out is None and not (estimate or dry_run)):
        raise SpecError(
            "a new run needs STORES and --out FOLDER; an old one goes on with --resume RUN"
        )
    from autotts.discovery.assembly import plan

    settings, who = plan(
        search,
        held_out=held_out or (),
        earlier=from_ or (),
        explorer=explorer,
        options=told,
        name=out.name if out else "dry-run",
        traces=not no_traces,
        limits=limits,
        rules={"one_knob": not no_beta},
        server_model=options.read_server(server_model),
        **{name: given[name] for name in _SETTINGS},
    )
    if out is None or estimate or dry_run:
        _preview(settings, who, dry_run)
        return
    if show_settings:
        say(settings.toml())
    begin(out, settings, who, finalize_, on)


def _check_out(out: Path) -> None:
    """See to it that a run can begin there, before anything is read for it."""
    from autotts.discovery.run.folder import RunFolder

    options.check_folder("--out", out)
    RunFolder.check_new(out)


def _check_resumed(context: typer.Context) -> None:
    """Refuse what a run that is resumed has settled, rather than ignore it."""
    settled = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name not in _RESUMED and source and source.name == "COMMANDLINE":
            option = parameter.param_type_name == "option"
            settled.append(parameter.opts[0] if option else "STORES")
    if settled:
        raise SpecError(
            "--resume reads stores and settings from the run, so it can't take"
            f" {', '.join(settled)}; limits such as --rounds can change, anything else takes a"
            " new run"
        )


def _explorer_options(texts: Sequence[str], **short: str) -> dict[str, str]:
    """Options for the explorer, from key=value and from those that have a name of their own."""
    told = {key: value for key, value in short.items() if value}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise SpecError(f"--option {text!r}: need key=value")
        told[key] = value
    return told


def begin(
    out: Path, settings: "RunSettings", explorer: "Explorer", last: bool, on: str = "local"
) -> None:
    """Go through the rounds of a new run, and show what it found."""
    from autotts.discovery import assembly

    rounds = "rounds until the budget ends"
    if settings.limits.rounds is not None:
        rounds = counted(settings.limits.rounds, "round")
    _progress(
        f"{settings.explorer.name} on {counted(len(settings.stores), 'store')}, {rounds}; all"
        f" settings are in {out / 'run.toml'}"
    )
    with _interruptible(out):
        found = assembly.begin(out, settings, explorer, _progress, on)
        _show_session(found)
    _end(found, last)


def _resume(path: Path, limits: Mapping[str, float], last: bool, on: str) -> None:
    from autotts.discovery.assembly import resume

    with _interruptible(path):
        found = resume(path, trust=True, say=_progress, limits=limits, on=on)
        _show_session(found)
    _end(found, last)


def _show_session(found: "Discovered") -> None:
    from autotts.discovery.run.round_files import cost_line

    console().print(rounds_table(found.state))
    _say_what_areas_are(found.path)
    if found.winner is not None:
        say(found.winner.words)
    say(cost_line(found.usage, found.state.seconds))


def _end(found: "Discovered", last: bool) -> None:
    """Say how a session ended, by an exit code too; finalize if asked to."""
    if found.stopped:
        say(f"stopped: {found.stopped}", err=True)
        raise typer.Exit(STOPPED_EARLY)
    if found.why_nothing:
        rounds = found.state.rounds
        say(
            f"nothing was proposed in {counted(rounds, 'round')}: {found.why_nothing}\n"
            f"mend that, and go on with: {_resume_command(found.path)} --rounds {2 * rounds}",
            err=True,
        )
        raise typer.Exit(NOTHING_PROPOSED)
    if last:
        _finalize(found.path)


def _ask(
    run: Path, to: Literal["resume", "finalize"], named: Collection[tuple[str, str]], yes: bool
) -> None:
    """Ask whether a run's folder may have what it asks for and this command line does not name.

    Raises:
        SpecError: it may not, or there is nobody to ask.
    """
    from autotts.discovery.assembly import demanded

    demands = demanded(run, to)
    unnamed = [d for d in demands if (d.name, d.value) not in named]
    if not unnamed or yes:
        return
    _progress(f"{run} asks for what a folder can't have by itself:")
    for demand in unnamed:
        _progress(f"  {demand}")
    if not sys.stdin.isatty():
        raise SpecError(
            f"{run} was not gone on with; if you made this run, or trust who did, give --yes, or"
            " name each setting again as an option"
        )
    if not typer.confirm("allow all of it?", err=True):
        raise SpecError(f"{run} was not gone on with")


def _say_what_areas_are(run: Path) -> None:
    """Say what was made of the areas by store, where it is not their mean."""
    from autotts.discovery.run.folder import RunFolder
    from autotts.evaluation.families import area_note

    settings = RunFolder(run).settings
    if note := area_note(settings.judge, settings.family_weight):
        say(note)


def _resume_command(path: Path) -> str:
    return f"autotts discover --resume {shlex.quote(str(path))}"


@contextlib.contextmanager
def _interruptible(path: Path) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a session with a word on what is kept, and how to go on."""

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        name = str(interrupt) or "SIGINT"
        say(f"stopped by {name}: {_kept(path)}", err=True)
        raise typer.Exit(_SIGNALS[name]) from None


def _kept(path: Path) -> str:
    """What a run has that was told to end."""
    from autotts.discovery.run.folder import RunFolder

    if not (path / "run.toml").is_file():
        return "nothing was written"
    state = RunFolder(path).state
    done = state.rounds
    begun = "" if state.proposals.keys() <= state.selections.keys() else ", and what was proposed"
    verb = "is" if done == 1 and not begun else "are"
    return (
        f"{counted(done, 'round')}{begun} {verb} kept in {path}\n"
        f"go on with: {_resume_command(path)}"
    )


def _preview(settings: "RunSettings", explorer: "Explorer", dry_run: bool) -> None:
    """What a run would be and may cost, with nothing written."""
    from autotts.discovery.run.budget import priced
    from autotts.discovery.run.store_refs import open_stores
    from autotts.discovery.scoring import Scorer

    if dry_run:
        with Scorer(open_stores(settings.stores), settings) as scorer:
            say(scorer.check_sandbox(), err=True)
        say(settings.toml())
    rounds = settings.limits.rounds or 0
    usage = explorer.estimate(rounds, settings.proposals)
    say(
        f"{counted(rounds, 'round')} of {counted(settings.proposals, 'proposal')}:"
        f" {counted(usage.calls, 'model call')},"
        f" {usage.input_tokens:,} + {usage.output_tokens:,} tokens, {priced(usage.usd)}"
    )


def _progress(text: str) -> None:
    """Show a line of what goes on."""
    console(err=True).print(text)


def finalize(run: Run, yes: Yes = False) -> None:
    """Measure a run's best program on its held-out stores: once; again, read what it said."""
    _ask(run, "finalize", (), yes)
    _finalize(run)


def _finalize(run: Path) -> None:
    from autotts.discovery.assembly import finalize as measure

    _show_final(run, measure(run, trust=True, say=_progress))


def _show_final(run: Path, final: "HeldOutResults") -> None:
    """Print the held-out results and draw the frontier."""
    from autotts.discovery.held_out import curves
    from autotts.reports import figures
    from autotts.reports.tables import plain_table, span

    shares = list(next(iter(final.controllers.values())).fractions)
    table = plain_table("held out", "area", "95 %", *(f"{float(share):.0%}" for share in shares))
    for name, found in final.controllers.items():
        at = [f"{found.fractions[s]:.1f}" if s in found.fractions else "-" for s in shares]
        interval = span(found.area_low, found.area_high)
        table.add_row(name, f"{found.area:.2f}", interval, *at)
    console().print(table)
    _show_families(final)
    _say_what_areas_are(run)
    from autotts.discovery.run.folder import RunFolder
    from autotts.evaluation.objectives import UNITS

    unit = UNITS[RunFolder(run).settings.objective]
    say(f"area of the frontier, and its accuracy in % at shares of SC@64's {unit}")
    if final.on_search:
        say(f"on the search set: {final.on_search}")
    for lead in final.against.values():
        say(lead.words)
    figure = figures.curves(curves(final), title="Held out")
    for path in figures.save(figure, run / "finalize" / "frontier", ("png",)):
        say(f"wrote {path}")


def _show_families(final: "HeldOutResults") -> None:
    """Print the areas by family of models, where there are several."""
    from autotts.reports.tables import plain_table

    families = list(next(iter(final.controllers.values())).families)
    if len(families) < 2:
        return
    table = plain_table("area by family", *families)
    for name, found in final.controllers.items():
        table.add_row(name, *(f"{found.families[family]:.2f}" for family in families))
    console().print(table)


def init(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    plugin: Annotated[
        bool,
        typer.Option(
            "--plugin", help="Begin a package of plug-ins instead; FOLDER is called as it will be."
        ),
    ] = False,
) -> None:
    """Begin: a folder with a first controller and simulated stores to try it on."""
    if plugin:
        _init_plugin(folder)
        return
    from autotts.discovery.run.folder import write_new
    from autotts.programs import find
    from autotts.simulation import simulate

    program = folder / "controller.py"
    write_new(program, find(_STARTER).text)
    say(f"wrote {program}")
    for name, seed in (("search", 0), ("held-out", 1)):
        store = simulate(folder / "stores" / name, seed=seed, dataset=name)
        say(f"wrote {store}")
    at = shlex.quote(str(folder))
    say("next:")
    say(f"  autotts evaluate {at}/stores/search -c {at}/controller.py -c cmc --beta 0,0.5,1")
    say(
        f"  autotts discover {at}/stores/search --held-out {at}/stores/held-out"
        f" --out {at}/runs/first"
    )
    say(f"  autotts finalize {at}/runs/first")


def _init_plugin(folder: Path) -> None:
    from autotts.scaffold import write_package

    for path in write_package(folder):
        say(f"wrote {path}")
    at = shlex.quote(str(folder))
    say("next:")
    say(f"  python -m pip install -e '{at}[dev]'")
    say("  autotts plugins")
    say(f"  python -m pytest {at}")
