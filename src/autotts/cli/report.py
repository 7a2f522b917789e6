"""`autotts report`, `view`, `plot` and `compare`: results that a person can look at."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from autotts.cli import options
from autotts.cli.screen import console, say
from autotts.errors import SpecError

if TYPE_CHECKING:
    from autotts.reports.model import OnPart, Report

Target = Annotated[
    Path, typer.Argument(help="A run's folder, or a file of `autotts evaluate --json`.")
]
Stores = Annotated[
    list[Path] | None,
    typer.Option("--stores", help="For a results file: its stores, to add questions and episodes."),
]
Replay = Annotated[
    bool, typer.Option(help="For a run: replay some episodes, or show its log alone.")
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        help="Allow a results file to name code that runs with your rights: reference:PATH"
        " and modules by import path.",
    ),
]


def report(
    target: Target,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    stores: Stores = None,
    replay: Replay = True,
    yes: Yes = False,
) -> None:
    """Write a report: one HTML file that opens anywhere, without a network."""
    from autotts.files import write_text
    from autotts.reports.page import build

    options.check_file("--out", out)
    with options.parts() as on_part:
        made = load(target, stores, replay=replay, trust=yes, on_part=on_part)
        on_part("writing the page")
        page = build(made)
    write_text(out, page)
    say(f"wrote {out}, {len(page.encode()) / 1e6:.1f} MB")


def view(
    target: Target,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    stores: Stores = None,
    yes: Yes = False,
) -> None:
    """Serve a report to this machine's browser, following a run that goes on."""
    from autotts.reports.model import unheard
    from autotts.reports.server import Followed, Server

    followed = target / "events.jsonl" if target.is_dir() else target

    def version() -> str:
        if not followed.exists():
            return "0"
        state = followed.stat()
        return f"{state.st_mtime_ns:x}-{state.st_size:x}"

    # What is live is read from the log alone, so that looking costs the run nothing.
    source = Followed(
        lambda: load(target, stores, replay=False, trust=yes, on_part=unheard), version
    )
    source.current()
    with Server(source, port=port) as server:
        say(f"{server.url}   (Ctrl-C ends it)")
        server.serve_forever()


def plot(
    target: Target,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("figures"),
    stores: Stores = None,
    replay: Replay = True,
    store: Annotated[
        str | None, typer.Option(help="MODEL/DATASET of the curves; their mean by default.")
    ] = None,
    formats: Annotated[str, typer.Option(help="Any of png,svg,pdf.")] = "png,svg,pdf",
    theme: Annotated[
        Literal["light", "dark"], typer.Option(help="For paper or for a dark slide.")
    ] = "light",
    yes: Yes = False,
) -> None:
    """Write figures for a paper: curves, latency, trajectory, questions, waste, an episode."""
    from autotts.reports.plots import draw_all

    options.check_folder("--out", out)
    with options.parts() as on_part:
        drawn = load(target, stores, replay=replay, trust=yes, on_part=on_part)
        known = list(dict.fromkeys(line.store for line in drawn.lines))
        if store is not None and store not in known:
            raise SpecError(f"--store {store}: there are {', '.join(known)}")
        written = draw_all(
            drawn, out, store=store, formats=formats.split(","), theme=theme, on_part=on_part
        )
    for path in written:
        say(f"wrote {path}")


def compare(
    a: Annotated[str, typer.Argument(help="SPEC of one controller.")],
    b: Annotated[str, typer.Argument(help="SPEC of the other.")],
    stores: options.StoresOption,
    beta: Annotated[
        str, typer.Option(help="Betas to sweep.")
    ] = "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1",
    draws: options.Draws = "reference:100",
    failed: options.Failed = "vote",
    seed: options.Seed = 0,
    jobs: options.Jobs = None,
) -> None:
    """Compare two controllers at equal tokens and at equal accuracy, question by question."""
    import numpy as np

    from autotts.evaluation import Execution, Experiment, Local
    from autotts.evaluation import compare as comparisons
    from autotts.evaluation import evaluate as run
    from autotts.evaluation.winner import winner_of
    from autotts.reports.tables import acceptance_line, comparison_table, saving_table

    if a == b:
        raise SpecError(f"{a} against itself: name two controllers")
    reference = "sc:beta=1"
    loaded, specs = options.load_stores(stores), list(dict.fromkeys([a, b, reference]))
    experiment, execution = Experiment(draws, failed=failed, seed=seed), Execution(jobs)
    with Local(execution) as driver:
        evaluation = run(
            loaded, specs, betas=options.parse_betas(beta), experiment=experiment,
            execution=execution, driver=driver,
        )  # fmt: skip
        best = winner_of(evaluation, by="area", among=[a, b], reference=reference, driver=driver)
    found = evaluation.curves()
    pair, base = (found[a], found[b]), found[reference]
    at_tokens = comparisons.compare(*pair, reference=base, rng=np.random.default_rng(seed))
    at_accuracy = comparisons.compare_tokens(*pair, reference=base, rng=np.random.default_rng(seed))
    whole = comparisons.clears_noise(*pair, reference=base, rng=np.random.default_rng(seed))
    screen = console()
    screen.print(comparison_table(at_tokens, a=a, b=b, reference="SC@64"))
    screen.print()
    screen.print(saving_table(at_accuracy, a=a, b=b))
    screen.print()
    screen.print(acceptance_line(whole))
    options.print_audits(evaluation.ran)
    if best is not None:
        screen.print(best.words)


def load(
    target: Path,
    stores: list[Path] | None,
    *,
    replay: bool,
    trust: bool,
    on_part: "OnPart",
) -> "Report":
    """The report of a run's folder or of a results file.

    Args:
        trust: whether a results file may name code that runs in this process.

    Raises:
        AutottsError: it is neither, or the stores don't belong to it.
    """
    if not target.exists():
        raise SpecError(
            f"{target}: no such file or folder; name a run, or a file of `autotts evaluate --json`"
        )
    if target.is_dir():
        if stores:
            raise SpecError("--stores: a run knows its stores; leave the option out")
        from autotts.reports.runs import from_run

        return from_run(target, replay=replay, on_part=on_part)
    from autotts.reports import evaluations

    if not stores:
        return evaluations.from_results(target)
    again = evaluations.evaluate_again(
        target, options.load_stores(stores), trust=trust, on_part=on_part
    )
    return evaluations.from_evaluation(again, title=target.stem, on_part=on_part)
