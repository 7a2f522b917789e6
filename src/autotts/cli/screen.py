"""Where commands print: what others wrote is cleaned here, so that it can't drive the terminal."""

import io
import sys
from typing import TYPE_CHECKING

import typer

from autotts.text import clean

if TYPE_CHECKING:
    from rich.console import Console


def accept_any_text() -> None:
    """Let standard output and error replace what their encoding lacks.

    A locale that is not UTF-8 has no beta and no ellipsis, and work that is done must be shown.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def say(text: object = "", *, err: bool = False) -> None:
    """Print a line."""
    typer.echo(clean(str(text)), err=err)


def console(*, err: bool = False) -> "Console":
    """Where tables and progress are printed, on standard output or standard error."""
    from autotts.reports.console import CleanConsole

    return CleanConsole(stderr=err, markup=False, highlight=False, emoji=False)
