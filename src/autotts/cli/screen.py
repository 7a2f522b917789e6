"""Where commands print: what others wrote is cleaned here, so that it can't drive the terminal."""

import codecs
import contextlib
import io
import sys
from typing import TYPE_CHECKING

import typer

from autotts.text import clean

if TYPE_CHECKING:
    from rich.console import Console

    from autotts.reports.server import LoopbackServer


INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""


def accept_any_text() -> None:
    """Let standard output and error replace what their encoding lacks.

    A locale that is not UTF-8 has no beta and no ellipsis, and work that is done must be shown.
    Tables keep their columns: a sign takes the place of a sign.
    """
    codecs.register_error(_NEAREST, _nearest)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors=_NEAREST)


_NEAREST = "autotts-nearest"
_SIGNS = {
    "\u03b2": "b", "\u2026": "~", "\u2212": "-", "\u2013": "-", "\u2014": "-", "\u00d7": "x",
    "\u00b7": "-", "\u0394": "D", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"',
}  # fmt: skip


def _nearest(error: UnicodeError) -> tuple[str | bytes, int]:
    """What stands for characters that an encoding lacks: the sign of ASCII that is most like it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(
        _SIGNS.get(c, "-" if "\u2500" <= c <= "\u257f" else "?") for c in missing
    ), error.end


def say(text: object = "", *, err: bool = False) -> None:
    """Print a line."""
    typer.echo(clean(str(text)), err=err)


def answer_until_interrupted(server: "LoopbackServer") -> None:
    """Say where a page is, and answer whoever looks at it until Ctrl-C."""
    say(f"{server.url}   (Ctrl-C ends it)")
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


def console(*, err: bool = False) -> "Console":
    """Where tables and progress are printed, on standard output or standard error."""
    from autotts.reports.console import CleanConsole

    return CleanConsole(stderr=err, markup=False, highlight=False, emoji=False)
