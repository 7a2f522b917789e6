"""`autotts discover`, `finalize`, `runs`, `watch`, `diff`, `init`: finding controllers."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotts.cli import options
from autotts.errors import RunError, SpecError

if TYPE_CHECKING:
    from rich.table import Table

    from autotts.discover.finalize import Final
    from autotts.discover.protocol import Explorer, Record
    from autotts.discover.settings import Limits, RunSettings

STOPPED_EARLY = 3
"""Exit code of a run that its budget stopped; it can be resumed."""

Run = Annotated[Path, typer.Argument(help="A run's folder.")]
Unsafe = Annotated[
    bool,
    typer.Option("--unsafe-no-sandbox", help="Run proposed programs even where nothing is sealed."),
]


def discover(
    stores: Annotated[
        list[Path] | None, typer.Option("--stores", help="Search stores, or folders of them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the new run.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    held_out: Annotated[
        list[Path] | None, typer.Option(help="Stores that only `finalize` opens.")
    ] = None,
    explorer: Annotated[
        str, typer.Option(help="Who proposes: offline, chat, agent, files, recorded.")
    ] = "offline",
    option: Annotated[
        list[str] | None, typer.Option(help="key=value for the explorer; may be repeated.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds; 5 by default.")] = None,
    proposals: Annotated[int, typer.Option(min=1, help="Proposals per round.")] = 1,
    evaluations: Annotated[int | None, typer.Option(min=1, help="Most sweeps and tries.")] = None,
    model_tokens: Annotated[int | None, typer.Option(min=1, help="Most model tokens.")] = None,
    usd: Annotated[float | None, typer.Option(min=0, help="Most US dollars.")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="Most seconds.")] = None,
    selection: Annotated[str, typer.Option(help="area, or accuracy: the paper's rule.")] = "area",
    accept: Annotated[
        float, typer.Option(help="Share of resamples a program must be ahead in to be accepted.")
    ] = 0.8,
    no_beta: Annotated[
        bool, typer.Option("--no-beta", help="Ablation: parameters need not come from beta.")
    ] = False,
    no_traces: Annotated[
        bool, typer.Option("--no-traces", help="Ablation: scores only, no diagnosis.")
    ] = False,
    draws: options.Draws = "reference:100",
    probe_tokens: options.ProbeTokens = 0,
    failed: options.Failed = "vote",
    seed: options.Seed = 0,
    driver: Annotated[
        str, typer.Option(help="sealed (audited), blind, or in-process (trusted programs only).")
    ] = "sealed",
    audit: Annotated[
        int, typer.Option(min=0, help="Episodes of a sweep to run again blind.")
    ] = 600,
    unsafe: Unsafe = False,
    finalize_: Annotated[
        bool, typer.Option("--finalize", help="Then measure the best on the held-out stores.")
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what the run may cost, and stop.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print run.toml, write nothing.")
    ] = False,
) -> None:
    """Search for a controller: propose, replay over the sweep, diagnose, select; round by round."""
    from autotts.discover.folder import RunFolder

    limits = {
        "rounds": rounds,
        "evaluations": evaluations,
        "model_tokens": model_tokens,
        "usd": usd,
        "seconds": seconds,
    }
    given = {name: value for name, value in limits.items() if value is not None}
    if resume is not None:
        if stores or out or held_out or option:
            raise SpecError("--resume takes its stores and explorer from the run; leave them out")
        folder = RunFolder(resume)
        who = folder.settings.explorer
        _go(folder, _explorer(who.name, who.options), given, finalize_)
        return
    if not stores or (out is None and not (estimate or dry_run)):
        raise SpecError("need --stores and --out for a new run, or --resume RUN")
    chosen = {
        "name": out.name if out else "dry-run",
        "seed": seed,
        "proposals": proposals,
        "selection": selection,
        "accept": accept,
        "traces": not no_traces,
        "driver": driver,
        "unsafe": unsafe,
        "audit": audit,
        "draws": draws,
        "failed": failed,
        "probe_tokens": probe_tokens,
        "limits": given,
        "rules": {"one_knob": not no_beta},
    }
    settings, who_proposes = _settings(chosen, explorer, option or [], stores, held_out or [])
    if estimate or dry_run:
        _preview(settings, who_proposes, dry_run)
        return
    assert out is not None
    folder = RunFolder.create(out, settings)
    typer.echo(settings.toml())
    _go(folder, who_proposes, {}, finalize_)


def _explorer(name: str, given: dict[str, str]) -> "Explorer":
    from autotts.discover.explorers import make

    return make(name, given)


def _settings(
    chosen: dict[str, object],
    explorer: str,
    texts: list[str],
    stores: list[Path],
    held_out: list[Path],
) -> "tuple[RunSettings, Explorer]":
    """The settings of a new run, in full, and its explorer."""
    import importlib.metadata
    import platform

    from pydantic import ValidationError

    from autotts import __version__
    from autotts.discover.finalize import references
    from autotts.discover.settings import ExplorerRef, RunSettings

    given = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise SpecError(f"--option {text!r}: need key=value")
        given[key] = value
    search = references([str(path) for path in stores])
    sealed = references([str(path) for path in held_out]) if held_out else ()
    for ref in sealed:
        if any(ref.digest == other.digest for other in search):
            raise SpecError(f"{ref.path} is in the search set and held out; it can't be both")
    who = _explorer(explorer, given)
    try:
        settings = RunSettings.model_validate(
            {
                **chosen,
                "stores": search,
                "held_out": sealed,
                "explorer": ExplorerRef(
                    name=explorer,
                    options=given,
                    settings=who.settings(),
                    deterministic=who.deterministic,
                ),
                "made_by": {
                    "autotts": __version__,
                    "python": platform.python_version(),
                    "numpy": importlib.metadata.version("numpy"),
                    "numba": importlib.metadata.version("numba"),
                },
            }
        )
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(str(part) for part in found["loc"])
        raise SpecError(f"--{where}: {found['msg']}, got {found['input']!r}") from error
    return settings, who


def _preview(settings: "RunSettings", explorer: "Explorer", dry_run: bool) -> None:
    """What a run would be and may cost, with nothing written."""
    from autotts.discover.ledger import priced
    from autotts.discover.loop import open_stores
    from autotts.discover.scoring import Scorer

    if dry_run:
        with Scorer(open_stores(settings.stores), settings) as scorer:
            typer.echo(scorer.check_sandbox(), err=True)
        typer.echo(settings.toml())
    rounds = settings.limits.rounds or 0
    usage = explorer.estimate(rounds, settings.proposals)
    typer.echo(
        f"{rounds} rounds of {settings.proposals}: {usage.calls} model calls,"
        f" {usage.input_tokens:,} + {usage.output_tokens:,} tokens, {priced(usage.usd)}"
    )


def _go(folder: "object", explorer: "Explorer", given: Mapping[str, object], last: bool) -> None:
    """One session of a run, and if asked for its finalization."""
    from rich.console import Console

    from autotts.discover.events import of_kind, seconds_spent
    from autotts.discover.folder import RunFolder
    from autotts.discover.loop import Discovery
    from autotts.discover.rounds import cost_line
    from autotts.discover.settings import Limits

    assert isinstance(folder, RunFolder)
    console = Console(stderr=True, highlight=False)
    say = lambda text: console.print(text, markup=False)  # noqa: E731
    with folder.open() as run:
        limits = _raised(folder.settings.limits, list(of_kind(run.log.events, "resumed")), given)
        session = Discovery(run, explorer, say, limits)
        outcome = session.go()
        Console().print(_rounds_table(run.log.events))
        typer.echo(cost_line(session.usage, seconds_spent(run.log.events)))
        if outcome.stopped:
            typer.echo(f"stopped: {outcome.stopped}", err=True)
            raise typer.Exit(STOPPED_EARLY)
        assert isinstance(limits, Limits)
        if last:
            from autotts.discover.finalize import finalize as measure

            _show_final(folder.path, measure(run, say))


def _raised(own: "Limits", resumed: "list[Record]", given: Mapping[str, object]) -> "Limits":
    """The limits of this session: the run's, as the last session had them, and what is given."""
    from autotts.discover.settings import Limits

    last = Limits.model_validate(resumed[-1]["limits"]) if resumed else own
    return Limits.model_validate({**last.model_dump(), **given})


def _rounds_table(events: "list[Record]") -> "Table":
    from rich.table import Table

    from autotts.discover.records import best_name, trials_of

    table = Table("round", "area", "at 0.1", "at 0.3", "at 0.6", "state", "idea")
    best = best_name(events)
    records: list[Any] = list(events)
    rows = [
        (str(e["name"]), e["area"], e["fractions"], "baseline", "")
        for e in records
        if e["event"] == "baseline"
    ]
    scored = [e for e in records if e["event"] == "scored"]
    for trial, event in zip(trials_of(events), scored, strict=True):
        state = "accepted" if trial.accepted else ("refused" if trial.errors else "kept")
        state = f"{state}, best" if trial.name == best else state
        words = trial.errors[0] if trial.errors else trial.proposal.idea
        rows.append((trial.name, trial.area, event["fractions"], state, words))
    for name, area, figures, state, words in rows:
        at = [f"{figures[k]:.1f}" if k in figures else "-" for k in ("0.1", "0.3", "0.6")]
        shown = "-" if area is None else f"{area:.2f}"
        table.add_row(name, shown, *at, state, words.split("\n")[0][:60])
    return table


def finalize(run: Run) -> None:
    """Measure a run's best program on its held-out stores: once."""
    from rich.console import Console

    from autotts.discover.finalize import finalize as measure
    from autotts.discover.folder import RunFolder

    folder = RunFolder(run)
    console = Console(stderr=True, highlight=False)
    with folder.open() as opened:
        final = measure(opened, lambda text: console.print(text, markup=False))
    _show_final(run, final)


def _show_final(run: Path, final: "Final") -> None:
    """Print the held-out results and draw the frontier."""
    from rich.console import Console
    from rich.table import Table

    from autotts.report import figures

    shares = list(next(iter(final.results["controllers"].values()))["fractions"])
    table = Table("held out", "area", "95 %", *(f"at {share}" for share in shares))
    for name, found in final.results["controllers"].items():
        interval = f"{found['area_low']:.1f} to {found['area_high']:.1f}"
        at = [f"{found['fractions'][share]:.1f}" for share in shares]
        table.add_row(name, f"{found['area']:.2f}", interval, *at)
    Console().print(table)
    for verdict in final.results["against"].values():
        typer.echo(verdict["words"])
    figure = figures.curves(final.curves, title="Held out")
    for path in figures.save(figure, run / "finalize" / "frontier", ("png",)):
        typer.echo(f"wrote {path}")


def runs(folder: Annotated[Path, typer.Argument(help="Folder of runs.")] = Path("runs")) -> None:
    """List the runs in a folder: explorer, rounds, best, state, cost."""
    from rich.console import Console
    from rich.table import Table

    from autotts.discover.events import seconds_spent
    from autotts.discover.folder import RunFolder
    from autotts.discover.ledger import Ledger, priced
    from autotts.discover.records import history_of

    found = sorted(path.parent for path in folder.glob("*/run.toml"))
    if not found:
        raise RunError(f"{folder}: no runs here")
    table = Table("run", "explorer", "rounds", "best", "area", "state", "tokens", "cost", "minutes")
    for path in found:
        run = RunFolder(path)
        events = run.events
        ledger = Ledger(run.settings.limits, lambda: 0.0)
        ledger.replay(events)
        best = history_of(events).best
        table.add_row(
            path.name,
            run.settings.explorer.name,
            f"{ledger.rounds}/{run.settings.limits.rounds}",
            best.name if best else "-",
            f"{best.area:.2f}" if best and best.area is not None else "-",
            str(events[-1]["event"]) if events else "empty",
            f"{ledger.usage.tokens:,}",
            priced(ledger.usage.usd),
            f"{seconds_spent(events) / 60:.1f}",
        )
    Console().print(table)


def watch(
    run: Run,
    once: Annotated[bool, typer.Option("--once", help="Print it once and leave.")] = False,
) -> None:
    """Follow a run in the terminal, while another process works on it."""
    import time

    from rich.console import Console, Group
    from rich.live import Live

    from autotts.discover.folder import RunFolder

    folder = RunFolder(run)

    def view() -> "tuple[Group, bool]":
        events = folder.events
        last = f"{events[-1]['at']} {events[-1]['event']}" if events else "nothing yet"
        over = bool(events) and events[-1]["event"] in ("ended", "stopped", "finalized")
        return Group(_rounds_table(events), last), over

    if once:
        Console().print(view()[0])
        return
    with Live(view()[0], refresh_per_second=2) as live:
        over = False
        while not over:
            time.sleep(0.5)
            shown, over = view()
            live.update(shown)


def diff(
    run: Run,
    a: Annotated[str, typer.Argument(help="A trial, such as 3 or 3.2.")],
    b: Annotated[str, typer.Argument(help="Another.")],
) -> None:
    """Show how two programs of a run differ: in code and in figures."""
    import difflib

    from autotts.discover.folder import RunFolder
    from autotts.discover.records import trials_of

    trials = {trial.name: trial for trial in trials_of(RunFolder(run).events)}
    for name in (a, b):
        if name not in trials:
            raise RunError(f"{run}: no trial {name}; there are {', '.join(trials) or 'none'}")
    old, new = trials[a], trials[b]
    lines = difflib.unified_diff(
        old.proposal.source.splitlines(),
        new.proposal.source.splitlines(),
        f"round {a}",
        f"round {b}",
        lineterm="",
    )
    typer.echo("\n".join(lines))
    typer.echo(f"\n{'beta':>5} {'accuracy':>9} {'':>7} {'tokens':>11} {'':>7}")
    for x, y in zip(old.points, new.points, strict=False):
        change = y.tokens / x.tokens - 1
        typer.echo(
            f"{x.beta:5.2g} {y.accuracy:9.2f} {y.accuracy - x.accuracy:+7.2f}"
            f" {y.tokens:11,.0f} {change:+7.1%}"
        )


STARTER = '''\
"""Race: run branches side by side, answer when enough of those that finished agree."""

from autotts.votes import margin


def schedule(beta):
    return {"width": round(4 + 60 * beta), "ahead": round(1 + 5 * beta)}


def solve(env, p):
    env.branch(min(p.width, env.room))
    while env.n_finished < env.n and margin(env.votes) < p.ahead:
        env.advance(env.active(), probe=False)
    return env.vote()
'''


def init(folder: Annotated[Path, typer.Argument(help="A new folder.")]) -> None:
    """Begin: a folder with a first controller and simulated stores to try it on."""
    from autotts.discover.folder import write_new

    program = folder / "controller.py"
    write_new(program, STARTER)
    typer.echo(f"wrote {program}\nnext:")
    typer.echo(f"  autotts data simulate --out {folder}/stores")
    typer.echo(f"  autotts evaluate {folder}/stores -c {program} -c asc -c cmc --beta 0,0.5,1")
    typer.echo(f"  autotts discover --stores {folder}/stores --out {folder}/runs/first")
