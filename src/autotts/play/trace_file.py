"""The file of a live episode's trace: a line a piece, read while it grows.

    {"autotts_trace": 1, "controller": "cmc", "beta": 0.5}       first
    {"rounds": 3, ..., "steps": [...], "answers": [...]}         what happened since the line before
    {"end": {...}}                                               last: the account of the episode

`serve --traces` writes such files. One may come from anybody: what is shown of it was checked.
"""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autotts import control
from autotts.errors import SpecError
from autotts.files import open_regular, read_regular
from autotts.untrusted import parse_json

SUFFIX = ".trace.jsonl"
_MOST_BYTES = 1 << 25
_MOST_STEPS = 200_000
_MOST_CELLS = 200_000
_MOST_BRANCHES = 4_096
_HEAD_BYTES = 1 << 12

_Count = Annotated[int, Field(ge=0, lt=2**53)]
_Step = tuple[_Count, int, _Count, _Count, Annotated[int, Field(ge=-1)], _Count]


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class TraceHead(_Line):
    """The first line."""

    autotts_trace: Annotated[int, Field(ge=1, le=1)]
    controller: Annotated[str, Field(max_length=500)]
    beta: Annotated[float, Field(ge=0, le=1)]


class _Piece(_Line):
    steps: list[_Step] = []
    answers: list[str] = []


class _Account(_Line):
    answer: str
    stop_reason: str
    sequential_tokens: _Count


class _End(_Line):
    end: _Account


def head_of(path: Path) -> tuple[TraceHead, bool]:
    """The head of a trace, and whether the episode is over.

    Raises:
        SpecError: it is none.
    """
    try:
        with open_regular(path, most_bytes=_MOST_BYTES) as file:
            first = file.read(_HEAD_BYTES)
            file.seek(max(0, file.seek(0, os.SEEK_END) - _HEAD_BYTES))
            last = file.read(_HEAD_BYTES)
        head = TraceHead.model_validate(parse_json(first.partition(b"\n")[0]))
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} is no trace: {_why(error)}") from error
    return head, b'{"end":' in last.replace(b" ", b"")


def read_trace(path: Path) -> dict[str, Any]:
    """A trace as the page takes it, and whether it is over, as `live`.

    The last line may be half written.

    Raises:
        SpecError: it is none, or says what no episode does.
    """
    try:
        lines = read_regular(path, most_bytes=_MOST_BYTES).split(b"\n")[:-1]
        head = TraceHead.model_validate(parse_json(lines[0] if lines else b""))
        steps: list[_Step] = []
        answers: list[str] = []
        end: _Account | None = None
        for line in lines[1:]:
            said = parse_json(line, most_bytes=_MOST_BYTES)
            if isinstance(said, dict) and "end" in said:
                end = _End.model_validate(said).end
                break
            piece = _Piece.model_validate(said)
            steps += piece.steps
            answers += piece.answers
        _check(steps, len(answers))
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} is no trace: {_why(error)}") from error
    if end is not None and end.answer and end.answer not in answers:
        answers.append(end.answer)
    return {
        "controller": head.controller,
        "beta": head.beta,
        "parameters": {},
        "answers": answers,
        "steps": steps,
        "notes": [],
        "answer": answers.index(end.answer) if end is not None and end.answer else -1,
        "tokens": sum(step[5] for step in steps),
        "sequential_tokens": end.sequential_tokens if end is not None else 0,
        "rounds": max((step[0] for step in steps), default=0),
        "remark": ""
        if end is None or end.stop_reason == "answered"
        else f"ended by: {end.stop_reason}",
        "live": end is None,
    }


def _check(steps: list[_Step], answers: int) -> None:
    """See to it that an episode can have gone so, for the page believes it.

    Raises:
        ValueError: it can't.
    """
    depths: list[int] = []
    before = 0
    if len(steps) > _MOST_STEPS:
        raise ValueError(f"{len(steps):,} steps; {_MOST_STEPS:,} are shown")
    for at, (round_, kind, branch, depth, answer, _) in enumerate(steps):
        if not before <= round_ <= before + 1 or answer >= answers:
            raise ValueError(f"step {at} can't follow on the one before")
        before = round_
        if kind == control.BRANCH and branch == len(depths) < _MOST_BRANCHES and depth == 1:
            depths.append(1)
        elif branch >= len(depths) or not control.BRANCH < kind < control.NOTE:
            raise ValueError(f"step {at} is of a branch that is not open, or of no kind")
        elif (
            not depths[branch]
            <= depth
            <= depths[branch] + (_MOST_CELLS if kind in (control.CONTINUE, control.FINISH) else 0)
        ):
            raise ValueError(f"step {at} has a depth that its branch can't have")
        depths[branch] = depth
    if sum(depths) > _MOST_CELLS:
        raise ValueError(f"{sum(depths):,} intervals; {_MOST_CELLS:,} are shown")


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))[:100]}: {first['msg']}"
    return str(getattr(error, "strerror", None) or error)
