"""Mutated recordings of every format: an import ends in sound stores or in a named error.

The tests run a hundred of each; `python tests/fuzz_imports.py WORK 10000 [NAME...]` more. An import
that fails leaves nothing behind; one that ends well leaves stores that can be checked.
"""

import contextlib
import json
import random
import shutil
import sys
import time
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import recordings
from autotts.errors import SpecError, StoreError
from autotts.stores import check, import_recordings
from autotts.text import clean

MOST_SECONDS = 5.0

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 10**6, 2**31, 2**63, 10**40, -0.5, 1.5, 1e308, "", "x", "ERR",
    "None", "\x1b[2J", "\ud800", "../../etc/passwd", "a/b", "nan", "9" * 5_000, r"\boxed{7}", [],
    {}, [[]], {"": {}}, ["x"] * 50, [1, 2], [["2", 5]], {"text": "2"}, "a" * 10_000,
)  # fmt: skip
_TOKENS = (
    b"\n", b"\x00", b"\xff", b'"', b"{", b"[" * 300, b"1e999", b"NaN", b"null", b"\xef\xbb\xbf",
    b",", b"9" * 5_000, b"]", b"}", b"-", b"1e5", b'""', b"\r",
)  # fmt: skip


def mutate(path: Path, rng: random.Random) -> None:
    """Change one to three things in a file."""
    for _ in range(rng.randint(1, 3)):
        structured = [_values, _values, _values, _lines] if _is_text(path) else [_members, _bytes]
        rng.choice([_bytes, *structured])(path, rng)


def _is_text(path: Path) -> bool:
    return path.suffix in (".json", ".jsonl")


def _bytes(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    at, size = rng.randrange(len(content) + 1), rng.choice([0, 1, 1, 1, 10, 1000])
    content[at : at + size] = rng.choice([*_TOKENS, rng.randbytes(size)])
    path.write_bytes(content)


def _lines(path: Path, rng: random.Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    if lines:
        k, other = rng.randrange(len(lines)), rng.choice(lines)
        lines[k : k + 1] = rng.choice([[], [lines[k]] * 2, [other, lines[k]], [other]])
    path.write_bytes(b"".join(lines))


def _values(path: Path, rng: random.Random) -> None:
    """Another value, or none, somewhere in an entry."""
    lines = path.read_bytes().splitlines() if path.suffix == ".jsonl" else [path.read_bytes()]
    if not lines:
        return
    k = rng.randrange(len(lines))
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(lines[k])
        _replace(value, rng)
        lines[k] = json.dumps(value).encode()
    path.write_bytes(b"\n".join(lines))


def _replace(value: Any, rng: random.Random) -> None:
    """Walk down at random, and change what is there."""
    while isinstance(value, dict | list) and value:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        inner = value[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            value = inner
        elif rng.random() < 0.2:
            del value[key]
            return
        else:
            value[key] = rng.choice(_VALUES)
            return


def _members(path: Path, rng: random.Random) -> None:
    """Another value in a member of an archive, which is sound as an archive."""
    damaged = (zipfile.BadZipFile, ValueError, EOFError, RuntimeError, zlib.error, OSError)
    with contextlib.suppress(*damaged):
        with zipfile.ZipFile(path) as archive:
            members = {name: json.loads(archive.read(name)) for name in archive.namelist()}
        _replace(members[rng.choice(list(members))], rng)
        path.write_bytes(recordings.as_zip(members))


def fuzz(work: Path, name: str, count: int, seed: int = 0) -> dict[str, int]:
    """Import mutated recordings.

    Returns:
        What went wrong, each with how often; empty if nothing did.
    """
    original = recordings.write(name, work / "original")
    wrong: Counter[str] = Counter()
    # Formulas have tests of their own, and other processes take their time.
    with mock.patch("autotts.answers.equality.has_math_verify", return_value=False):
        for k in range(count):
            rng = random.Random(f"{seed} {name} {k}")
            folder, out = work / "in", work / "out"
            shutil.copytree(original, folder)
            mutate(rng.choice(sorted(p for p in folder.rglob("*") if p.is_file())), rng)
            if problem := _problem(folder, out):
                wrong[f"{name} {k}: {problem}"] += 1
            shutil.rmtree(folder)
            shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(original)
    return dict(wrong)


def _problem(folder: Path, out: Path) -> str:
    began = time.monotonic()
    try:
        for path in import_recordings(folder, out, chars_per_token=4):
            check(path)
    except (StoreError, SpecError) as error:
        if out.exists():
            return f"left something behind: {error}"
        if clean(str(error)) != str(error):
            return f"an error that drives a terminal: {error!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if time.monotonic() - began > MOST_SECONDS:
        return "took long"
    return ""


if __name__ == "__main__":
    place, times = Path(sys.argv[1]), int(sys.argv[2])
    for one in sys.argv[3:] or recordings.FILES:
        began = time.monotonic()
        found = fuzz(place / one.replace(" ", "-"), one, times)
        print(f"{one}: {times:,} in {time.monotonic() - began:.0f} s, {len(found)} wrong")
        for text in list(found)[:20]:
            print(f"  {text}")
        sys.stdout.flush()
