"""Samples that are in memory already: a frame of pandas or polars, or a list of dictionaries."""

import json
import math
import os
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
            for row in rows:
                # NaN is where a frame has nothing.
                there = {name: value for name, value in row.items() if not _is_nan(value)}
                file.write(json.dumps(there, default=_plain) + "\n")
        try:
            yield path
        except StoreError as error:
            raise StoreError(str(error).replace(str(path), "table")) from error


def _rows_of(table: Any) -> Sequence[Mapping[str, Any]]:
    rows = table
    if hasattr(table, "to_dicts"):
        rows = table.to_dicts()
    elif hasattr(table, "to_dict"):
        rows = table.to_dict("records")
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
        raise SpecError(
            "recordings are a path, a frame of pandas or polars, or a list of dictionaries; got"
            f" {type(table).__name__}"
        )
    return rows


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _plain(value: Any) -> Any:
    """A value of NumPy or pandas as JSON can say it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return None if type(value).__name__ in ("NAType", "NaTType") else str(value)
