"""`autotts view FOLDER`: what is answered to its page and to those of its parts."""

import hashlib
import json
import threading
from collections import OrderedDict
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from autotts.errors import AutottsError
from autotts.play.folder import WatchedFolder
from autotts.play.page import build
from autotts.play.recorded import RecordedQuestions
from autotts.play.server import PlayAnswers, as_json
from autotts.play.trace_file import read_trace
from autotts.reports import report_on
from autotts.reports.server import Followed, PageReply
from autotts.stores import load
from autotts.text import clean

_MOST_OPEN = 4
"""Stores and reports that are kept in memory."""


def version_of(path: Path) -> str:
    """Another text whenever a file has changed."""
    try:
        state = path.stat()
    except OSError:
        return "0"
    return f"{state.st_mtime_ns:x}-{state.st_size:x}"


class FolderAnswers:
    """What is answered by path: `/`, `/index.json`, and `/KIND/ID/...` for what was found."""

    def __init__(self, root: Path) -> None:
        self._folder = WatchedFolder(root)
        title = clean(root.resolve().name) or "autotts view"
        self._page = build("folder", title)
        self._trace_page = build("trace", title)
        self._one_at_a_time = threading.Lock()
        self._open: OrderedDict[tuple[str, str], Followed | PlayAnswers] = OrderedDict()

    def answer(self, path: str) -> PageReply:
        """The reply for a path."""
        parts = urlsplit(path).path.split("/", 3)
        if parts == ["", ""]:
            return PageReply(self._page)
        try:
            if parts == ["", "index.json"]:
                return self._index()
            if len(parts) == 4:
                kind, id, rest = parts[1:]
                query = urlsplit(path).query
                return self._within(kind, id, f"/{rest}?{query}" if query else f"/{rest}")
        except AutottsError as error:
            return as_json({"error": clean(str(error))}, HTTPStatus.BAD_REQUEST)
        return PageReply.missing("there is / and /index.json")

    def _index(self) -> PageReply:
        with self._one_at_a_time:
            found = self._folder.found()
        content = json.dumps([one.record() for one in found])
        tag = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
        return PageReply(content, "application/json", tag=f'"{tag}"')

    def _within(self, kind: str, id: str, rest: str) -> PageReply:
        with self._one_at_a_time:
            path = self._folder.path(kind, id)
            if path is None:
                return PageReply.missing(
                    "it is not there any more; the page of the folder has what is"
                )
            if kind == "trace":
                if rest == "/":
                    return PageReply(self._trace_page)
                return (
                    as_json(read_trace(path)) if rest == "/trace.json" else PageReply.missing("no")
                )
            opened = self._opened(kind, id, path)
        return opened.answer(rest)

    def _opened(self, kind: str, id: str, path: Path) -> "Followed | PlayAnswers":
        key = kind, id
        if key not in self._open:
            if kind == "store":
                store = load(path)
                self._open[key] = PlayAnswers(RecordedQuestions([store]), title=store.name)
            else:
                # From its files alone, so that looking costs a run nothing and runs nothing.
                file = path / "events.jsonl" if kind == "run" else path
                self._open[key] = Followed(
                    lambda: report_on(path, replay=False), lambda: version_of(file)
                )
        self._open.move_to_end(key)
        while len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)
        return self._open[key]
