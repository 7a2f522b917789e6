"""The report as one HTML file: no framework, no network, nothing from data ever read as markup.

`assembled` and what it takes make other pages as well: the playground's, the folder's.
"""

import base64
import hashlib
import html
import json
import math
from dataclasses import fields, is_dataclass, replace
from importlib import resources
from string import Template
from typing import Any

from autotts.reports.model import ALPHABET, HELD_OUT, MEAN, Report
from autotts.reports.palette import DARK, LIGHT

SCRIPTS = (
    "util",
    "theme",
    "tex",
    "chart",
    "overview",
    "curves",
    "code",
    "rounds",
    "questions",
    "waste",
    "matters",
    "main",
)
MAX_BYTES = 4_500_000
"""Of the data in a page, which then fits in a mail."""


def build(report: Report, *, live: bool = False) -> str:
    """The page.

    Args:
        live: whether the page may ask its own server for news; a file may not ask anybody.
    """
    report = fit(report)
    return assembled(
        asset("page.html"),
        style=coloured(asset("style.css")),
        script="".join(asset(f"{name}.js") for name in SCRIPTS),
        title=report.title,
        data=to_json(report),
        live=live,
    )


def assembled(
    body: str, *, style: str, script: str, title: str, data: str, live: bool = False
) -> str:
    """A page of its parts, under a policy that lets only this style and this script do anything.

    Args:
        body: HTML of what stands on it, as the script expects it.
        script: runs in a function of its own, strictly.
        data: JSON, as `for_page` writes it.
        live: whether the page may ask its own server.
    """
    script = f'"use strict";(() => {{\n{script}}})();'
    return Template(asset("frame.html")).substitute(
        policy=html.escape(content_policy(style, script, live=live), quote=True),
        title=html.escape(title),
        style=style,
        script=script,
        data=data,
        body=body,
    )


def fit(report: Report, limit: int = MAX_BYTES) -> Report:
    """The report with as many of its episodes as its data may have bytes: those named first."""
    while report.episodes and len(to_json(report).encode()) > limit:
        last = (report.episodes[-1].controller, report.episodes[-1].beta)
        kept = (e for e in report.episodes if (e.controller, e.beta) != last)
        report = replace(report, episodes=tuple(kept))
    return report


def content_policy(style: str, script: str, *, live: bool) -> str:
    """A Content-Security-Policy under which only this style and this script do anything."""
    parts = {
        "default-src": "'none'",
        "style-src": _digest(style),
        "script-src": _digest(script),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    if live:
        parts["connect-src"] = "'self'"
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def to_json(report: Report) -> str:
    """The data of a report's page."""
    content = {**_fields(report), "alphabet": ALPHABET, "mean": MEAN, "held_out": HELD_OUT}
    return for_page(content)


def for_page(content: Any) -> str:
    """A value as JSON that is safe inside a script element: `<`, `>` and `&` are escaped."""
    text = json.dumps(
        content, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_fields
    )
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _fields(part: Any) -> Any:
    """A part of the report by field. Parts within it are met again by the encoder."""
    if not is_dataclass(part):
        return plain(str(part))
    return {field.name: plain(getattr(part, field.name)) for field in fields(part)}


def plain(value: Any) -> Any:
    """JSON without what it can't say (infinity, surrogates), and with no digit nobody reads."""
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {plain(str(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        # Most of a page is whole numbers, in rows by the thousand.
        whole = all(type(inner) is int for inner in value)
        return value if whole else [plain(inner) for inner in value]
    return value


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def coloured(style: str) -> str:
    """A style sheet with the palettes in place of `$light` and `$dark`."""
    return Template(style).substitute(light=LIGHT.variables(), dark=DARK.variables())


def asset(name: str, package: str = "autotts.reports") -> str:
    """The text of a file of a package's `assets`."""
    return resources.files(package).joinpath("assets", name).read_text(encoding="utf-8")
