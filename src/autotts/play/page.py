"""The page: one HTML file with its own style and script, which asks nobody but its own server."""

from typing import Any, Literal

from autotts.reports.page import assembled, asset, coloured, for_page, plain
from autotts.version import __version__

SCRIPTS = ("episode", "branches", "votes", "lane", "transport", "recorded", "served", "play")
"""Of this package; those that reports have too come before."""

_SHARED = ("util", "theme", "tex")
_PACKAGE = "autotts.play"

Mode = Literal["recorded", "served"]


def build(mode: Mode, title: str, **config: Any) -> str:
    """The page.

    Args:
        mode: where episodes come from: recorded questions, or the service that sent the page.
        config: what else the script has to know, as JSON.
    """
    shared = [asset(f"{name}.js") for name in _SHARED]
    own = [asset(f"{name}.js", _PACKAGE) for name in SCRIPTS]
    return assembled(
        asset("play.html", _PACKAGE),
        style=coloured(asset("play.css", _PACKAGE)),
        script="".join([*shared, *own]),
        title=title,
        data=for_page(plain({"mode": mode, "title": title, "version": __version__, **config})),
        live=True,
    )
