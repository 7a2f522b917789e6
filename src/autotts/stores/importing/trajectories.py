"""Trajectories of agents: a line for each rollout, with its steps.

`{"question", "gold", "outcome", "steps": [{"tokens": 120, "probe": "41", "signals": {"tests":
0.5}}, ...]}`, and optionally `id`, `model`, `dataset`, `prompt_tokens`. The outcome is what is
voted on. An interval is a step, with the tokens of that step.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from autotts.answers import FAILED
from autotts.errors import StoreError
from autotts.stores.importing.reading import json_rows
from autotts.stores.importing.rows import Row, shown
from autotts.stores.importing.sample import Sample

KEYS = frozenset(
    ("question", "gold", "outcome", "steps", "id", "model", "dataset", "prompt_tokens")
)

_LARGEST_SIGNAL = 3.4e38


def read(path: Path) -> Iterator[Sample]:
    """The samples of a file."""
    for row in json_rows(path):
        steps = row.rows("steps")
        if not steps:
            row.refuse("steps", "a list with at least one step")
        tokens = [step.count("tokens", least=0) for step in steps]
        for step, count in zip(steps, tokens, strict=True):
            if count is None:
                step.refuse("tokens", "a number of tokens")
        ends = list(accumulate(count or 0 for count in tokens))
        prompt = row.count("prompt_tokens", least=0)
        if "outcome" not in row.values:
            row.refuse("outcome", "the answer that the rollout ended on")
        yield Sample(
            row.where,
            row.text("question"),
            row.golds("gold"),
            id=row.name("id"),
            answer=row.answer("outcome"),
            tokens=ends[-1],
            model=row.name("model"),
            dataset=row.name("dataset"),
            probes=_probes(steps),
            ends=ends,
            signals=_signals(steps),
            used={} if prompt is None else {"prompt_tokens": prompt},
        )


def _probes(steps: Sequence[Row]) -> list[str] | None:
    """What was read at the end of each step: a step without a probe left the answer as it was."""
    if not any("probe" in step.values for step in steps):
        return None
    found, latest = [], FAILED
    for step in steps:
        latest = step.answer("probe") if "probe" in step.values else latest
        found.append(latest)
    return found


def _signals(steps: Sequence[Row]) -> dict[str, list[float]]:
    """The signals by name, -inf at steps that have none of that name."""
    names: dict[str, None] = {}
    for step in steps:
        values: Any = step.get("signals")
        if values is not None and not isinstance(values, dict):
            step.refuse("signals", "an object of numbers by name")
        names |= dict.fromkeys(values or ())
    found = {}
    for name in names:
        given = [(step.get("signals") or {}).get(name) for step in steps]
        for step, value in zip(steps, given, strict=True):
            if value is not None and not _fits(value):
                raise StoreError(
                    f"{step.where}: signal {name} is {shown(value)}, not a number of 32 bits"
                )
        found[name] = [float("-inf") if value is None else float(value) for value in given]
    return found


def _fits(value: Any) -> bool:
    """Whether a value is a number that a signal can be."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= _LARGEST_SIGNAL
