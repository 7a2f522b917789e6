"""Rows of files that others wrote, of bounded size: JSON, lines of JSON, CSV, Parquet, zip.

Whatever is wrong with a file is a `StoreError` that says where in it; who calls names the file.
"""

import csv
import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

from autotts.errors import StoreError
from autotts.files import open_regular
from autotts.stores import parquet
from autotts.stores.importing.rows import Row, row_of, rows_of
from autotts.text import clean
from autotts.untrusted import parse_json

MOST_JSON_BYTES = 1 << 28
"""Bytes of a JSON text that is read in one piece: a file, a member of an archive."""
_MOST_LINE_BYTES = 1 << 26
_MOST_BYTES = 1 << 33
_MOST_PARQUET_BYTES = 1 << 29
_MOST_UNPACKED_BYTES = 1 << 31
_MOST_MEMBERS = 1 << 18
_UNPACK = "unpack it, or pack it by gzip and let its name end in .gz"
_OTHERS = {
    b"\x1f\x8b": "packed by gzip; let its name end in .gz",
    b"\x28\xb5\x2f\xfd": f"packed by Zstandard; {_UNPACK}",
    b"BZh": f"packed by bzip2; {_UNPACK}",
    b"\xfd7zXZ": f"packed by xz; {_UNPACK}",
    b"PK\x03\x04": f"a zip archive; {_UNPACK}",
    b"\xff\xfe": "text in UTF-16; write it in UTF-8",
    b"\xfe\xff": "text in UTF-16; write it in UTF-8",
}
"""What files begin with that are no text in UTF-8, and what to do with them."""
_ZSTANDARD = 93
"""The number of Zstandard among the ways in which zip packs its members."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked if it is packed by gzip.

    Raises:
        StoreError: it can't be unpacked, or is larger than is read.
        OSError: it can't be read.
    """
    with open_regular(path, most_bytes=_MOST_BYTES, follow=True) as file:
        if path.suffix != ".gz":
            begins = file.read(8)
            for sign, told in _OTHERS.items():
                if begins.startswith(sign):
                    raise StoreError(told)
            file.seek(0)
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast(BinaryIO, unpacked)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise StoreError(f"can't be unpacked: {error}") from error


def read_json(path: Path) -> Any:
    """The value in a file of JSON."""
    with opened(path) as file:
        content = file.read(MOST_JSON_BYTES + 1)
    return parsed(content, "", MOST_JSON_BYTES)


def parsed(content: bytes, where: str, most_bytes: int) -> Any:
    """The value of some JSON of a file, `where` naming its place there."""
    place = f"{where}: " if where else ""
    try:
        return parse_json(content, most_bytes=most_bytes)
    except json.JSONDecodeError as error:
        raise StoreError(f"{place}not JSON, perhaps cut short ({error})") from error
    except ValueError as error:
        raise StoreError(f"{place}can't be read as JSON: {error}") from error


def json_lines(path: Path) -> Iterator[Row]:
    """The objects of a file that has one on each line."""
    with opened(path) as file:
        total = 0
        for number, line in enumerate(iter(lambda: file.readline(_MOST_LINE_BYTES + 1), b""), 1):
            total += len(line)
            if total > _MOST_BYTES:
                raise StoreError(f"line {number}: more than {_MOST_BYTES:,} bytes in all")
            if line.strip():
                value = parsed(line, f"line {number}", _MOST_LINE_BYTES)
                yield row_of(value, f"line {number}")


def json_rows(path: Path) -> Iterator[Row]:
    """The objects of a file: one on each line, or those of a list."""
    if ".json" in path.suffixes:
        with opened(path) as file:
            begins = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if begins == b"[":
            yield from rows_of(read_json(path), lambda k: f"entry {k}")
            return
    yield from json_lines(path)


def table_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a table: JSON, lines of JSON, CSV or Parquet.

    Args:
        columns: those that are wanted of a Parquet file, as far as they are there.
    """
    if ".parquet" in path.suffixes:
        return parquet_rows(path, columns)
    return csv_rows(path) if ".csv" in path.suffixes else json_rows(path)


def csv_rows(path: Path) -> Iterator[Row]:
    """The rows of a table with commas, its first line naming the columns.

    Semicolons or tabs do where that line has no comma, as where commas are decimal points.
    """
    with opened(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        lines, count = _bounded(text), 0
        try:
            names = next(lines, "")
            delimiter = next((sign for sign in ",;\t" if sign in names), ",")
            table = csv.DictReader(chain([names], lines), delimiter=delimiter, strict=True)
            for values in table:
                count = table.line_num
                where = f"line {count}"
                if None in values or None in values.values():
                    raise StoreError(
                        f"{where}: its fields are not as many as the {len(table.fieldnames or ())}"
                        " columns of the first line"
                    )
                yield Row(where, {k: (v if v != "" else None) for k, v in values.items()})
        except (csv.Error, UnicodeDecodeError) as error:
            raise StoreError(f"line {count + 1}: no CSV in UTF-8 ({error})") from error


def _bounded(text: Iterable[str]) -> Iterator[str]:
    total = 0
    for line in text:
        total += len(line)
        if len(line) > _MOST_LINE_BYTES or total > _MOST_BYTES:
            raise StoreError(f"more than {_MOST_BYTES:,} bytes, or a line of {len(line):,}")
        yield line


def parquet_rows(
    path: Path, columns: Sequence[str] | None = None, *, most: int | None = None
) -> Iterator[Row]:
    """The rows of a Parquet file, of the given columns as far as they are there.

    What it would unpack to is read from its headers before it is. Columns of structures are named
    by what is before the first dot.
    """
    import polars as pl

    with open_regular(path, most_bytes=_MOST_PARQUET_BYTES, follow=True) as file:
        content = file.read()
    try:
        said = parquet.unpacked(content)
        if said.size > _MOST_UNPACKED_BYTES:
            raise StoreError(
                f"{said.size:,} bytes unpacked; at most {_MOST_UNPACKED_BYTES:,} are read"
            )
        names = pl.read_parquet_schema(io.BytesIO(content))
        wanted = [
            name for name in names if columns is None or name in {c.split(".")[0] for c in columns}
        ]
        table = pl.read_parquet(io.BytesIO(content), columns=wanted, n_rows=most)
    except parquet.unreadable() as error:
        raise StoreError(f"no Parquet that can be read: {error}") from error
    for number, values in enumerate(table.iter_rows(named=True)):
        yield Row(f"row {number}", values)


@contextmanager
def archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip archive of bounded size.

    Raises:
        StoreError: it is none, or what it unpacks to is too much.
    """
    try:
        with (
            open_regular(path, most_bytes=_MOST_BYTES, follow=True) as file,
            zipfile.ZipFile(file) as found,
        ):
            members = found.infolist()
            size = sum(member.file_size for member in members)
            if len(members) > _MOST_MEMBERS or size > _MOST_BYTES:
                raise StoreError(
                    f"{len(members):,} members of {size:,} bytes; at most {_MOST_MEMBERS:,} of "
                    f"{_MOST_BYTES:,} are read"
                )
            yield found
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        EOFError,
        zlib.error,
    ) as error:
        raise StoreError(f"no zip archive that can be read: {clean(str(error))}") from error


def member_json(found: zipfile.ZipFile, name: str) -> Any:
    """The JSON value in a member of an archive."""
    member, shown = found.getinfo(name), clean(name)
    try:
        if member.compress_type == _ZSTANDARD:
            content = _unpack_zstandard(found, member)
        else:
            with found.open(member) as file:
                content = file.read(MOST_JSON_BYTES + 1)
    except (RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise StoreError(f"{shown}: can't be unpacked: {clean(str(error))}") from error
    return parsed(content, shown, MOST_JSON_BYTES)


def _unpack_zstandard(found: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member that Python's own zip reader (before 3.14) can't unpack."""
    try:
        import zstandard
    except ImportError as error:
        raise StoreError(
            f'{clean(member.filename)} is packed by Zstandard; pip install "autotts[import]"'
        ) from error
    assert found.fp is not None
    found.fp.seek(member.header_offset)
    header = found.fp.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise StoreError(
            f"{clean(member.filename)}: no member of a zip archive lies where it should"
        )
    skipped = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    found.fp.seek(skipped, io.SEEK_CUR)
    packed = found.fp.read(min(member.compress_size, MOST_JSON_BYTES))
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)) as reader:
            content = bytes(reader.read(MOST_JSON_BYTES + 1))
    except (zstandard.ZstdError, MemoryError) as error:
        raise StoreError(f"{clean(member.filename)}: can't be unpacked: {error}") from error
    if zlib.crc32(content) != member.CRC:
        raise StoreError(f"{clean(member.filename)}: damaged; its checksum is another")
    return content
