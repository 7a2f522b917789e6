"""Samples that are in memory already: a frame of pandas or polars, or a list of dictionaries."""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from autotts.errors import SpecError, StoreError


class _PandasFrame(Protocol):
    def to_dict(self, orient: Any) -> Any: ...


class _PolarsFrame(Protocol):
    def to_dicts(self) -> list[dict[str, Any]]: ...


Table: TypeAlias = _PandasFrame | _PolarsFrame | Sequence[Mapping[str, Any]]
"""Samples of one's own, a row each."""

_LONG = 19
"""Digits that an integer of 64 bits may not hold."""
_NO_JSON = re.compile(rf"NaN|Infinity|[0-9]{{{_LONG}}}")


@contextmanager
def as_path(
    recordings: str | os.PathLike[str] | Table, options: Mapping[str, Any]
) -> Iterator[str | os.PathLike[str]]:
    """The path of recordings; of a table that of a file with its rows, which the block's end takes.

    Args:
        options: how they will be read.

    Raises:
        SpecError: it is neither, or a table that nothing names a model and a dataset for.
    """
    if isinstance(recordings, str | os.PathLike):
        yield recordings
        return
    rows = _rows_of(recordings)
    for part in ("model", "dataset"):
        columns = options.get("columns") or {}
        if not (options.get(part) or part in columns or all(part in row for row in rows)):
            raise SpecError(f"nothing names the {part} of a table; give {part}=")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for number, row in enumerate(rows, 1):
                try:
                    file.write(_written(row) + "\n")
                except (TypeError, ValueError, RecursionError) as error:
                    raise StoreError(f"table: line {number}: can't be read: {error}") from error
        try:
            yield path
        except StoreError as error:
            raise StoreError(str(error).replace(str(path), "table")) from error


def _rows_of(table: Any) -> Sequence[Mapping[str, Any]]:
    rows = table
    if hasattr(table, "to_dicts"):
        rows = table.to_dicts()
    elif hasattr(table, "to_dict") and hasattr(table, "columns"):
        names = list(table.columns)
        if twice := [name for name in names if names.count(name) > 1]:
            raise SpecError(f"two columns of the table are called {twice[0]!r}; rename one")
        rows = table.to_dict("records")
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
        raise SpecError(
            "recordings are a path, a frame of pandas or polars, or a list of dictionaries; got"
            f" {type(table).__name__}"
        )
    if not rows:
        raise SpecError("the table has no rows")
    return rows


def _written(row: Mapping[str, Any]) -> str:
    """A row as JSON: null for NaN, which is where a frame has nothing; text for what is too large.

    Raises:
        TypeError, ValueError, RecursionError: it can't be JSON.
    """
    text = json.dumps(row, default=_plain)
    if not _NO_JSON.search(text):
        return text
    value = json.loads(
        text,
        parse_constant=lambda name: None if name == "NaN" else name,
        parse_int=lambda digits: int(digits) if len(digits) < _LONG else digits,
    )
    return json.dumps(value)


def _plain(value: Any) -> Any:
    """A value of NumPy, pandas or Python as JSON can say it; refused later where it must be text.

    A set has no order, and bytes have no letters: neither is an answer.
    """
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, bytes | bytearray | memoryview | set | frozenset | complex):
        return {type(value).__name__: repr(value)}
    return None if type(value).__name__ in ("NAType", "NaTType") else str(value)
