"""The layout of the released recordings.

`MODEL/DATASET.json` is a list of `{question, gold_answer, probe_freq, final_answers_trace,
each_branch: [[probe answers], branch_tokens, final answer]}`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autotts.errors import StoreError
from autotts.stores.importing.reading import read_json
from autotts.stores.importing.rows import Row, is_whole, rows_of, shown
from autotts.stores.importing.sample import Sample
from autotts.stores.limits import MOST_TOKENS

_KEYS = ("question", "gold_answer", "probe_freq", "final_answers_trace", "each_branch")


def read(path: Path) -> Iterator[Sample]:
    """The samples of a file."""
    released = read_json(path)
    if not isinstance(released, list) or not released:
        raise StoreError(f"a list of questions was expected, not {shown(released)}")
    for row in rows_of(released, lambda q: f"question {q}"):
        yield from _samples(row)


def _samples(row: Row) -> Iterator[Sample]:
    missing = [key for key in _KEYS if key not in row.values]
    if missing:
        raise StoreError(f"{row.where}: no {' and no '.join(missing)}")
    branches, finals = row.get("each_branch"), row.get("final_answers_trace")
    for key, value in (("each_branch", branches), ("final_answers_trace", finals)):
        if not isinstance(value, list):
            row.refuse(key, "a list")
    if len(branches) != len(finals):
        raise StoreError(
            f"{row.where}: {len(branches)} branches in each_branch, {len(finals)} in"
            " final_answers_trace"
        )
    question, golds = row.text("question"), row.golds("gold_answer")
    interval = row.get("probe_freq")
    if not is_whole(interval) or not 1 <= interval <= MOST_TOKENS:
        row.refuse("probe_freq", "a positive integer below 2^31")
    for i, (branch, said) in enumerate(zip(branches, finals, strict=True)):
        where = f"{row.where}, branch {i}"
        probes, tokens, final = _parts(branch, where)
        if final != said:
            raise StoreError(
                f"{where}: it ends on {shown(final)}, final_answers_trace says {shown(said)}"
            )
        yield Sample(
            where,
            question,
            golds,
            entry=row.where,
            interval=interval,
            answer=final,
            tokens=tokens,
            probes=probes,
        )


def _parts(branch: Any, where: str) -> tuple[list[str], int, str]:
    """Probes, tokens and final answer."""
    if not isinstance(branch, list) or len(branch) != 3:
        raise StoreError(
            f"{where}: [probe answers, tokens, final answer] wanted, not {shown(branch)}"
        )
    probes, tokens, final = branch
    if not isinstance(probes, list) or not probes:
        raise StoreError(f"{where}: a list of probe answers was expected, not {shown(probes)}")
    for answer in (*probes, final):
        if not isinstance(answer, str):
            raise StoreError(f"{where}: answer {shown(answer)} is not a string")
    if not is_whole(tokens) or tokens < 1:
        raise StoreError(f"{where}: tokens are {shown(tokens)}, not a positive integer")
    return probes, tokens, final
