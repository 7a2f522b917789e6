"""The application: its commands, and how an error leaves it."""

import gc
import os
import sys
from typing import Annotated

import typer

from autotts.cli import (
    calibrate,
    choose,
    collect,
    data,
    demo,
    diagnose,
    discover,
    drift,
    evaluate,
    explore,
    leaderboard,
    play,
    plugins,
    recorded,
    report,
    reproduce,
    runs,
    sandbox,
    serve,
    trace,
    upkeep,
)
from autotts.cli.helping import group
from autotts.cli.screen import accept_any_text, say
from autotts.errors import AutottsError
from autotts.version import __version__

_OBJECTS_BETWEEN_COLLECTIONS = 100_000

app = group(
    "Find, replay and judge controllers for test-time scaling.",
    name="autotts",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data.app.command("list")(recorded.list_)
data.app.command("info")(recorded.info)
data.app.command("stats")(recorded.stats)
data.app.command("top-up")(upkeep.top_up)
data.app.command("refresh")(upkeep.refresh)
data.app.command("push")(upkeep.push)
data.app.command("pull")(upkeep.pull)
app.add_typer(data.app, name="data")
app.add_typer(reproduce.app, name="reproduce")
app.command("collect")(collect.collect)
app.command("evaluate")(evaluate.evaluate)
app.command("controllers")(evaluate.controllers)
app.command("trace")(trace.trace)
app.command("compare")(report.compare)
app.command("choose")(choose.choose)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("diagnose")(diagnose.diagnose)
app.command("pool")(diagnose.pool)
app.command("tune")(diagnose.tune)
app.command("ablate")(diagnose.ablate)
app.command("report")(report.report)
app.command("view")(report.view)
app.command("play")(play.play)
app.command("plot")(report.plot)
app.command("discover")(discover.discover)
app.command("finalize")(discover.finalize)
app.command("runs")(runs.runs)
app.command("watch")(runs.watch)
app.command("diff")(runs.diff)
app.command("lessons")(runs.lessons)
app.command("init")(discover.init)
app.command("submit")(explore.submit)
app.command("try")(explore.try_)
app.command("mcp")(explore.mcp)
app.command("export-task")(explore.export_task)
app.command("demo")(demo.demo)
app.command("audit")(sandbox.audit)
app.command("doctor")(sandbox.doctor)
app.command("plugins")(plugins.plugins)
app.command("serve")(serve.serve)
app.command("drift")(drift.drift)
app.command("calibrate")(calibrate.calibrate)


def _print_version(asked: bool) -> None:
    if asked:
        say(f"autotts {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Find, replay and judge controllers for test-time scaling."""


def main() -> None:
    """Run a command; an error of ours is one message and exit code 1."""
    # What a command imports lives as long as it does. By default Python would look through all of
    # it for garbage again and again meanwhile.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    # Our products of matrices are small and our parallelism is of processes: on a busy machine the
    # threads of BLAS would wait for each other, a hundred times as long as the product takes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    accept_any_text()
    try:
        app()
    except AutottsError as error:
        say(f"error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader, such as `head`, has what it wanted.
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"error: {where}{error.strerror or error}", err=True)
        sys.exit(1)
    except SystemExit as leaving:
        if _by_interrupt(leaving):
            say("interrupted", err=True)
        raise


def _by_interrupt(leaving: SystemExit) -> bool:
    """Whether Ctrl-C ended a command that said nothing of it: Typer makes of that an exit."""
    made = leaving.__context__
    return made is not None and isinstance(made.__cause__, KeyboardInterrupt)
