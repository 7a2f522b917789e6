"""The page: one HTML file with its own style and script, which asks nobody but its own server."""

from typing import Any, Literal

from autotts.reports.page import assembled, asset, coloured, for_page, plain
from autotts.version import __version__

SCRIPTS = (
    "episode",
    "branches",
    "votes",
    "lane",
    "transport",
    "recorded",
    "served",
    "followed",
    "play",
)
"""Of this package; those that reports have too come before."""

_SHARED = ("util", "theme", "tex")
_PACKAGE = "autotts.play"

Mode = Literal["recorded", "served", "trace", "folder"]


def build(mode: Mode, title: str, **config: Any) -> str:
    """The page.

    Args:
        mode: where episodes come from: recorded questions, the service that sent the page, or the
            file of a trace; or a folder in place of them.
        config: what else the script has to know, as JSON.
    """
    shared = [asset(f"{name}.js") for name in _SHARED]
    names = ("folder",) if mode == "folder" else SCRIPTS
    own = [asset(f"{name}.js", _PACKAGE) for name in names]
    return assembled(
        asset("play.html", _PACKAGE),
        style=coloured(asset("play.css", _PACKAGE)),
        script="".join([*shared, *own]),
        title=title,
        data=for_page(plain({"mode": mode, "title": title, "version": __version__, **config})),
        live=True,
    )
