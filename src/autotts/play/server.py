"""`autotts play`: the page and what it asks for, to this machine alone."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from autotts.errors import AutottsError, SpecError
from autotts.play.page import build
from autotts.play.recorded import RecordedQuestions
from autotts.programs import parse_beta
from autotts.reports.page import plain
from autotts.reports.server import PageReply
from autotts.text import clean

_LONGEST_PATH = 2_000


class PlayAnswers:
    """What is answered to the page of recorded questions, by path."""

    def __init__(self, recorded: RecordedQuestions, *, title: str = "autotts play") -> None:
        self._page = build("recorded", title)
        self._recorded = recorded
        self._routes: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "/catalogue.json": lambda asked: recorded.catalogue(),
            "/question.json": lambda asked: recorded.question(*_ints(asked, "store", "question")),
            "/gold.json": lambda asked: recorded.gold(*_ints(asked, "store", "question")),
            "/sweep.json": lambda asked: recorded.sweep(
                *_ints(asked, "store", "question", "draw"), asked.get("controller", "")
            ),
            "/episode.json": lambda asked: recorded.episode(
                *_ints(asked, "store", "question", "draw"),
                asked.get("controller", ""),
                _beta(asked),
            ),
        }

    def answer(self, path: str) -> PageReply:
        """The page at `/`, and the JSON that it asks for."""
        if len(path) > _LONGEST_PATH:
            return PageReply.missing("no such path")
        parts = urlsplit(path)
        if parts.path == "/":
            return PageReply(self._page)
        if parts.path not in self._routes:
            return PageReply.missing(f"there is / and {', '.join(self._routes)}")
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            return as_json(self._routes[parts.path](asked))
        except AutottsError as error:
            return as_json({"error": clean(str(error))}, HTTPStatus.BAD_REQUEST)


def as_json(content: Any, status: HTTPStatus = HTTPStatus.OK) -> PageReply:
    """A reply with a value as JSON."""
    text = json.dumps(plain(content), separators=(",", ":"), allow_nan=False)
    return PageReply(text, "application/json", status)


def _ints(asked: Mapping[str, str], *names: str) -> list[int]:
    for name in names:
        value = asked.get(name, "")
        if not (value.isascii() and value.isdigit() and len(value) <= 9):
            raise SpecError(f"{name}: need a whole number, got {value[:40]!r}")
    return [int(asked[name]) for name in names]


def _beta(asked: Mapping[str, str]) -> float:
    return parse_beta(asked.get("beta", ""))
