"""Mutated files of every other kind that is read: each is read, or refused by a named error.

The tests run some tens of each; `python tests/fuzz_files.py WORK 10000 [KIND...]` more.
"""

import contextlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autotts import collect
from autotts.collect.branches import read_collected
from autotts.collect.journal import (
    IntervalLine,
    PlanLine,
    ProbeLine,
    ServerLine,
    pack_ids,
    packed,
)
from autotts.collect.writing import to_store
from autotts.discovery.agents import claims
from autotts.discovery.explorers.completions import read_completion
from autotts.errors import AutottsError
from autotts.inference.server import ids_of
from autotts.inference.speed import VERSION, ServerSpeed, read_speed
from autotts.play.folder import WatchedFolder
from autotts.play.trace_file import head_of, read_trace
from autotts.reports import report_on
from autotts.reports.page import build, to_json
from fuzz_runs import MOST_SECONDS, VALUES, change_bytes, change_lines, replace_some

MOST_WORDS = 2_000
"""Of an error."""

_ITEM = collect.Item("q0", "How many?", "7")
_PLAN = collect.Plan(
    model="m", dataset="d", branches=2, interval=4, max_tokens=8, prompt="{question}",
    questions=collect.digest_of([_ITEM]),
)  # fmt: skip


def _lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def _journal() -> bytes:
    ids = pack_ids(ids_of([1, 2, 3, 4]))
    lines = [
        PlanLine(plan=_PLAN),
        ServerLine(server="http://x", dialect="vllm", model="m", exact=True, tokens=9),
        *(
            line
            for n in range(2)
            for line in (
                IntervalLine(at=(0, n, 0), tokens=4, text="abcd", ids=ids, signals={"entropy": 1}),
                ProbeLine(probed=(0, n, 0), answer="7", tokens=2, prompt_tokens=4),
                IntervalLine(at=(0, n, 1), tokens=4, text=r"\boxed{7}", ids=ids, ended=True),
            )
        ),
    ]
    return b"".join(map(packed, lines))


def _read_journal(path: Path) -> None:
    found = read_collected(path)
    to_store(found, found.plan or _PLAN, [_ITEM], model="m")


_TRACE = _lines(
    {"autotts_trace": 1, "controller": "cmc", "beta": 0.5},
    {"rounds": 1, "steps": [[1, 0, 0, 1, 0, 10], [1, 0, 1, 1, -1, 10]], "answers": ["7"]},
    {"rounds": 2, "steps": [[2, 2, 0, 3, 0, 15], [2, 4, 1, 1, -1, 0]], "answers": []},
    {"end": {"answer": "7", "stop_reason": "answered", "sequential_tokens": 25}},
)


def _read_trace(path: Path) -> None:
    WatchedFolder(path.parent).found()
    with contextlib.suppress(AutottsError):
        head_of(path)
    json.dumps(read_trace(path), allow_nan=False)


_SPEED = {
    "server_model": VERSION,
    **asdict(ServerSpeed((1, 4), (0.1, 0.2), (0.1, 0.1), (0.01, 0.02), (0.3, 0.4), 100)),
}


_ROW = {
    "model": "m", "dataset": "d", "controller": "cmc", "name": "cmc", "beta": 0.5, "accuracy": 60.0,
    "tokens": 1000.0, "sequential_tokens": 100.0, "width": 8.0, "accuracy_low": 50.0,
    "accuracy_high": 70.0, "program_digest": "0" * 64,
    "cost": 3.0, "seconds": 2.0,
}  # fmt: skip
_RESULTS = {
    "results": [_ROW, {**_ROW, "beta": 1.0}, {**_ROW, "dataset": "e"}],
    "made_by": {"stores": [{"model": "m", "dataset": "d", "digest": "0" * 64}]},
}


def _read_results(path: Path) -> None:
    WatchedFolder(path.parent).found()
    report = report_on(path, replay=False)
    build(report)
    to_json(report)


_QUESTIONS = _lines(
    *({"id": f"q{k}", "question": f"How many {k}?", "answer": str(k)} for k in range(3))
)
_COMPLETION = json.dumps(
    {
        "id": "x", "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": "```python\nx = 1\n```"}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                  "prompt_tokens_details": {"cached_tokens": 2}},
    }
).encode()  # fmt: skip
_STREAM = b"".join(
    b"data: " + json.dumps(event).encode() + b"\n\n"
    for event in (
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]},
        {"choices": [{"index": 0, "delta": {"content": [{"type": "text", "text": "b"}]}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}},
    )
)
_TRANSCRIPT = _lines(
    {"type": "system", "session_id": "x"},
    {"type": "assistant", "message": {"usage": {"input_tokens": 5, "output_tokens": 7}}},
    {"type": "turn.completed", "usage": {"input_tokens": 9, "output_tokens": 2}},
    {"type": "result", "total_cost_usd": 0.3, "num_turns": 2,
     "usage": {"input_tokens": 50, "output_tokens": 70, "cache_read_input_tokens": 3}},
)  # fmt: skip


def _read_completion(path: Path) -> None:
    read_completion(path.read_bytes()).text.encode(errors="replace")


def _read_transcript(path: Path) -> None:
    text = path.read_text(errors="replace")
    for claim in (claims.no_claim, claims.claude_claim, claims.codex_claim):
        claim(text)


KINDS: dict[str, tuple[str, Callable[[], bytes], Callable[[Path], object]]] = {
    "journal": ("journal.jsonl", _journal, _read_journal),
    "trace": ("x.trace.jsonl", lambda: _TRACE, _read_trace),
    "server model": ("server.json", lambda: json.dumps(_SPEED).encode(), read_speed),
    "results": ("results.json", lambda: json.dumps(_RESULTS).encode(), _read_results),
    "questions": ("questions.jsonl", lambda: _QUESTIONS, lambda p: collect.read_questions(str(p))),
    "reply": ("reply.json", lambda: _COMPLETION, _read_completion),
    "stream": ("reply.txt", lambda: _STREAM, _read_completion),
    "transcript": ("transcript.jsonl", lambda: _TRANSCRIPT, _read_transcript),
}
"""By name: the file, what a sound one has, and what reads it."""


def mutate(path: Path, rng: random.Random) -> None:
    """Change one to three things in a file."""
    for _ in range(rng.randint(1, 3)):
        rng.choice([change_bytes, change_lines, _values, _values, _values])(path, rng)


def _values(path: Path, rng: random.Random) -> None:
    """Another value somewhere in the JSON of a line, whatever stands before it."""
    lines = path.read_bytes().split(b"\n")
    k = rng.randrange(len(lines))
    before, bracket, rest = lines[k].partition(b"{")
    with contextlib.suppress(ValueError, RecursionError):
        record = json.loads(bracket + rest)
        replace_some(record, rng.choice(VALUES), rng)
        lines[k] = before + json.dumps(record).encode()
    path.write_bytes(b"\n".join(lines))


def fuzz(work: Path, kind: str, count: int, seed: int = 0) -> dict[str, int]:
    """Read so many mutated files; returns what ended in anything but an answer, and how often."""
    name, sound, read = KINDS[kind]
    folder = work / kind.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(sound())
    read(path)  # a sound one is read
    wrong: Counter[str] = Counter()
    for number in range(count):
        path.write_bytes(sound())
        mutate(path, random.Random(f"{seed} {kind} {number}"))
        began = time.monotonic()
        try:
            read(path)
        except AutottsError as error:
            if len(str(error)) > MOST_WORDS:
                wrong[f"{kind} {number}: an error of {len(str(error)):,} characters"] += 1
        except Exception as error:
            wrong[f"{kind} {number}: {type(error).__name__}: {error}"[:300]] += 1
        if time.monotonic() - began > MOST_SECONDS:
            wrong[f"{kind} {number}: took {time.monotonic() - began:.1f} s"] += 1
    return dict(wrong)


if __name__ == "__main__":
    place, times = Path(sys.argv[1]), int(sys.argv[2])
    for one in sys.argv[3:] or KINDS:
        began = time.monotonic()
        found = fuzz(place, one, times)
        print(f"{one}: {times:,} in {time.monotonic() - began:.0f} s, {len(found)} wrong")
        for text in list(found)[:20]:
            print(f"  {text}")
        sys.stdout.flush()
