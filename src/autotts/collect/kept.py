"""What branches said, beside their store: text or token ids of every interval, for whoever asks.

```text
OUT/MODEL/DATASET.kept/part-00000.parquet     question, branch, interval, tokens, text, ids
```

A row is an interval; questions and branches have the numbers that they have in the store. Journals
are read line by line, and a part has so many tokens at most, so memory stays small.
"""

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotts.collect.branches import Collected, Finished
from autotts.collect.journal import IntervalLine, journals_beside, read_journal, unpack_ids
from autotts.collect.units import Place
from autotts.errors import SpecError
from autotts.stores.writing import telling_of

if TYPE_CHECKING:
    import polars as pl

_COLUMNS = ("text", "ids")
_TOKENS_A_PART = 1 << 20


def kept_columns(text: str) -> tuple[str, ...]:
    """The columns that a text names, separated by commas; none of "".

    Raises:
        SpecError: there is no such column.
    """
    named = tuple(filter(None, text.split(",")))
    if unknown := [name for name in named if name not in _COLUMNS]:
        raise SpecError(f"--keep {text}: {unknown[0]!r} can't be kept; need text, ids or text,ids")
    return named


def kept_path(folder: Path) -> Path:
    """Where what is kept of a store's branches lies: beside the store."""
    return folder.with_name(f"{folder.name}.kept")


def write_kept(journal: Path, collected: Collected, folder: Path, keep: Collection[str]) -> Path:
    """Write what the branches of a store said, in place of what was kept before.

    Args:
        journal: of the collection; those of a fleet's workers lie beside it.
        collected: what the journal holds.
        folder: of the store.
        keep: which columns besides those that number the rows.

    Raises:
        StoreError: it can't be written.
    """
    place = kept_path(folder)
    new = place.with_name(f".{place.name}.new")
    lines = chain.from_iterable(map(read_journal, [journal, *journals_beside(journal)]))
    numbers = _numbers(collected.finished)
    with telling_of(place):
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        intervals = (line for line, _ in lines if isinstance(line, IntervalLine))
        for number, rows in enumerate(_parts(intervals, numbers, keep)):
            _frame(rows, keep).write_parquet(new / f"part-{number:05}.parquet")
        shutil.rmtree(place, ignore_errors=True)
        new.replace(place)
    return place


def _numbers(finished: Mapping[Place, Finished]) -> dict[Place, Place]:
    """The numbers in the store of what was collected, where some of it is not."""
    questions = {q: k for k, q in enumerate(sorted({q for q, _ in finished}))}
    branches: dict[int, int] = {}
    numbers = {}
    for q, n in sorted(finished):
        numbers[q, n] = questions[q], branches.get(q, 0)
        branches[q] = branches.get(q, 0) + 1
    return numbers


def _parts(
    lines: Iterator[IntervalLine], numbers: Mapping[Place, Place], keep: Collection[str]
) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    tokens = 0
    for line in lines:
        q, n, k = line.at
        if (q, n) not in numbers:
            continue
        question, branch = numbers[q, n]
        row: dict[str, Any] = {
            "question": question,
            "branch": branch,
            "interval": k,
            "tokens": line.tokens,
        }
        if "text" in keep:
            row["text"] = line.text
        if "ids" in keep:
            row["ids"] = None if line.ids is None else unpack_ids(line.ids, line.tokens).tolist()
        rows.append(row)
        tokens += line.tokens
        if tokens >= _TOKENS_A_PART:
            yield rows
            rows, tokens = [], 0
    yield rows


def _frame(rows: Sequence[Mapping[str, Any]], keep: Collection[str]) -> "pl.DataFrame":
    import polars as pl

    schema: dict[str, Any] = dict.fromkeys(("question", "branch", "interval", "tokens"), pl.Int32)
    if "text" in keep:
        schema["text"] = pl.String
    if "ids" in keep:
        schema["ids"] = pl.List(pl.Int32)
    return pl.DataFrame(rows, schema=schema).sort("question", "branch", "interval")
