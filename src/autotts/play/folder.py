"""What a folder holds that can be looked at: runs, evaluations, stores, live traces.

The folder may be somebody else's. Links are passed by, plain files of a bounded size are read, and
so many are looked at; nothing is written, and no code is run that a file names.
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from autotts.discovery.run.folder import RunFolder, is_at_work
from autotts.errors import AutottsError
from autotts.play.trace_file import SUFFIX, head_of
from autotts.reports.evaluations import read_results
from autotts.stores import read_manifest
from autotts.text import clean, counted, shorten

_DEEPEST = 8
_MOST_LOOKED_AT = 20_000
_MOST_FOUND = 2_000
_MOST_RESULTS_BYTES = 1 << 24
_MOST_LOG_BYTES = 1 << 26
_LOOK_SECONDS = 2.0
"""That one call looks into things; what is left then is for the next."""
_FRESH_SECONDS = 60.0
_NAME_LENGTH = 200

Kind = Literal["run", "evaluation", "store", "trace"]
_LOG = "events.jsonl"
_NAMED_BY: dict[Kind, str] = {"run": "run.toml", "store": "manifest.json"}
_STORE_FILES = ("manifest.json", "questions.parquet", "branches.parquet")


@dataclass(frozen=True, slots=True)
class FolderItem:
    """One thing in the folder.

    id: what it is called in addresses; says nothing of the path.
    name: its path within the folder, fit to be shown.
    about: what is known of it in a few words. changed: seconds since 1970.
    live: whether somebody is at work on it.
    digests: of the stores that it is, or is about.
    """

    id: str
    kind: Kind
    name: str
    about: str
    changed: float
    live: bool = False
    digests: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass
class WatchedFolder:
    """A folder that is looked through again when it is asked for; what did not change is kept."""

    root: Path
    _known: dict[Path, tuple[object, FolderItem | None]] = field(default_factory=dict)
    _paths: dict[str, Path] = field(default_factory=dict)

    def found(self) -> list[FolderItem]:
        """All that is there now, the newest first.

        Of a folder that takes long a part is only named, and looked into in later calls.
        """
        found = []
        known: dict[Path, tuple[object, FolderItem | None]] = {}
        until = time.monotonic() + _LOOK_SECONDS
        # Of traces, which have their time in their names, the newest: a service writes thousands.
        there = sorted(_candidates(self.root), key=lambda at: at[1].name, reverse=True)
        for kind, path in sorted(there, key=lambda at: at[0] == "trace"):
            version = _version(path, kind)
            before = self._known.get(path, (_NEVER, None))
            if before[0] == version:
                known[path] = before
            elif time.monotonic() < until:
                known[path] = version, self._look(kind, path)
            else:
                known[path] = _NEVER, before[1] or self._named(kind, path)
            if (one := known[path][1]) is not None:
                found.append(one)
                self._paths[one.id] = path
            if len(found) == _MOST_FOUND:
                break
        self._known = known
        return sorted(found, key=lambda one: (not one.live, -one.changed, one.name))

    def path(self, kind: str, id: str) -> Path | None:
        """Where something is that was found, if it is still there and no link; else None."""
        path = self._paths.get(id)
        if path is None or not any(path == p and kind == k for k, p in _at(path)):
            return None
        return path

    def _look(self, kind: Kind, path: Path) -> FolderItem | None:
        """What something is; None if it only looked like it."""
        try:
            about, live, digests = _ABOUT[kind](path)
        except (AutottsError, OSError, ValueError) as error:
            if kind == "evaluation":  # some other JSON
                return None
            about, live, digests = f"can't be read: {error}", False, ()
        return self._item(kind, path, about, live, digests)

    def _named(self, kind: Kind, path: Path) -> FolderItem | None:
        """What something is by its name, where that says so."""
        if kind == "evaluation":
            return None
        return self._item(kind, path, "not looked into yet", False, ())

    def _item(
        self, kind: Kind, path: Path, about: str, live: bool, digests: tuple[str, ...]
    ) -> FolderItem | None:
        name = shorten(
            clean(os.fsencode(path.relative_to(self.root)).decode(errors="replace")), _NAME_LENGTH
        )
        identity = hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()
        try:
            changed = path.stat().st_mtime
        except OSError:
            return None  # it has just gone
        return FolderItem(
            identity, kind, name or ".", shorten(clean(about), 300), changed, live, digests
        )


_NEVER = object()
"""The version of what was not looked into."""

_About = tuple[str, bool, tuple[str, ...]]


def _about_run(path: Path) -> _About:
    run = RunFolder(path)
    if (size := _size(path / _LOG)) > _MOST_LOG_BYTES:
        return f"a log of {size:,} bytes, too much to look through here", run.at_work, ()
    state = run.state
    area = state.best.area if state.best is not None else None
    stores = run.settings.stores
    words = f"{counted(len(state.trials), 'proposal')} over {counted(len(stores), 'store')}"
    best = f", best area {area:.2f}" if area is not None else ""
    return words + best, run.at_work, tuple(ref.digest for ref in stores)


def _about_evaluation(path: Path) -> _About:
    rows, made_by, _ = read_results(path)
    names = list(dict.fromkeys(row["controller"] for row in rows))
    best = max(rows, key=lambda row: row["accuracy"])
    setting = f"{best['controller']} at beta {best['beta']:g}"
    words = f"{', '.join(names[:6])}; best {best['accuracy']:.2f} % by {setting}"
    return words, False, tuple(str(store["digest"]) for store in made_by["stores"])


def _about_store(path: Path) -> _About:
    manifest = read_manifest(path)
    size = f"{counted(manifest.questions, 'question')}, {counted(manifest.branches, 'branch')} each"
    words = f"{manifest.model}/{manifest.dataset}: {size}"
    return words, False, (manifest.digest,)


def _about_trace(path: Path) -> _About:
    head, over = head_of(path)
    going_on = not over and time.time() - path.stat().st_mtime < _FRESH_SECONDS
    return f"{head.controller} at beta {head.beta:g}", going_on, ()


_ABOUT: dict[Kind, Callable[[Path], _About]] = {
    "run": _about_run,
    "evaluation": _about_evaluation,
    "store": _about_store,
    "trace": _about_trace,
}


def _candidates(root: Path) -> Iterator[tuple[Kind, Path]]:
    """What may be something, by its name alone; the insides of runs and stores are passed by."""
    waiting, looked = [(root, 0)], 0
    while waiting:
        folder, depth = waiting.pop()
        whole = list(_at(folder))
        if whole:
            yield from whole
            continue
        try:
            with os.scandir(folder) as entries:
                below = sorted(
                    (e for _, e in zip(range(_MOST_LOOKED_AT), entries, strict=False)),
                    key=lambda e: e.name,
                )
        except OSError:
            continue
        for entry in below:
            looked += 1
            if looked > _MOST_LOOKED_AT:
                return
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth < _DEEPEST:
                    waiting.append((Path(entry.path), depth + 1))
            elif entry.name.endswith((".json", SUFFIX)):
                yield from _at(Path(entry.path))


def _at(path: Path) -> Iterator[tuple[Kind, Path]]:
    """What may be at a path."""
    if path.is_symlink():
        return
    if _plain_file(path):
        if path.name.endswith(SUFFIX):
            yield "trace", path
        elif path.suffix == ".json" and path.stat().st_size <= _MOST_RESULTS_BYTES:
            yield "evaluation", path
    elif _plain_file(path / _NAMED_BY["run"]):
        yield "run", path
    elif all(_plain_file(path / name) for name in _STORE_FILES):
        yield "store", path


def _plain_file(path: Path) -> bool:
    """Whether a plain file is there, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def _version(path: Path, kind: Kind) -> object:
    """Another one when what is there has changed."""
    if kind == "run":
        parts = (path / _NAMED_BY["run"], path / _LOG)
        return is_at_work(path), *(_state(part) for part in parts)
    state = _state(path / _NAMED_BY[kind] if kind in _NAMED_BY else path)
    live = kind == "trace" and state is not None and time.time() - state[0] / 1e9 < _FRESH_SECONDS
    return state, live


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def _size(path: Path) -> int:
    state = _state(path)
    return state[1] if state else 0
