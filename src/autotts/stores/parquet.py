"""What a Parquet file unpacks to, read from its headers before anything is unpacked.

A few bytes of Parquet can stand for gigabytes: pages are compressed, and a run of equal values is a
count and one value. Every page says in its header how many values and how many bytes it unpacks to,
and a reader allocates by that. So the headers are read first, all of them, and added up.

The format: data pages, one behind the other, each after its header; then the footer, which says
where the pages of each column begin and end; its length in 4 bytes; and `PAR1`. Headers and footer
are structs in Thrift's compact protocol, read here into `{field number: value}`.
"""

import struct
from dataclasses import dataclass
from typing import Any

_MAGIC = b"PAR1"
_MOST_FOOTER_BYTES = 1 << 20
_MOST_PAGES = 1 << 14
_DEEPEST = 16

_TRUE, _FALSE, _I8, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)

# Field numbers of parquet.thrift.
_ROWS, _ROW_GROUPS, _COLUMNS, _META_DATA = 3, 4, 1, 3
_PATH, _COMPRESSED, _DATA_AT, _DICTIONARY_AT = 3, 7, 9, 11
_UNPACKED_SIZE, _PACKED_SIZE = 2, 3
_DATA_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2, _VALUES = 5, 7, 8, 1


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a file says it unpacks to.

    rows: of the table.
    values: of each column, by its name; of a list, those of all rows.
    size: bytes of all pages.
    """

    rows: int
    values: dict[str, int]
    size: int


def unreadable() -> tuple[type[BaseException], ...]:
    """What reading a file that anybody may have written can raise, here and in polars."""
    import polars as pl

    told = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
    return (ValueError, OSError, OverflowError, *told)


def unpacked(content: bytes) -> Unpacked:
    """Add up the headers of a Parquet file.

    Raises:
        ValueError: it is no Parquet, or its headers contradict each other.
    """
    try:
        return _add_up(content)
    except (IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ValueError("not Parquet: its headers can't be read") from error


def _add_up(content: bytes) -> Unpacked:
    if len(content) < 12 or content[:4] != _MAGIC or content[-4:] != _MAGIC:
        raise ValueError("not Parquet: it doesn't begin and end with PAR1")
    (length,) = struct.unpack("<I", content[-8:-4])
    if length > min(len(content) - 12, _MOST_FOOTER_BYTES):
        raise ValueError(f"not Parquet: a footer of {length:,} bytes")
    footer = _Reader(content, len(content) - 8 - length).read(_STRUCT)
    values: dict[str, int] = {}
    size = pages = 0
    for group in footer[_ROW_GROUPS]:
        for column in group[_COLUMNS]:
            meta = column[_META_DATA]
            name = meta[_PATH][0].decode()
            at = meta[_DATA_AT]
            if 0 < meta.get(_DICTIONARY_AT, 0) < at:
                at = meta[_DICTIONARY_AT]
            end = at + meta[_COMPRESSED]
            if not 4 <= at <= end <= len(content):
                raise ValueError(f"not Parquet: column {name} lies outside the file")
            while at < end:
                pages += 1
                if pages > _MOST_PAGES:
                    raise ValueError(f"more than {_MOST_PAGES:,} pages")
                reader = _Reader(content, at)
                page = reader.read(_STRUCT)
                if min(page[_UNPACKED_SIZE], page[_PACKED_SIZE]) < 0:
                    raise ValueError("not Parquet: a page of negative size")
                size += page[_UNPACKED_SIZE]
                known = [k for k in (_DATA_PAGE, _DATA_PAGE_V2, _DICTIONARY_PAGE) if k in page]
                if len(known) != 1:
                    raise ValueError("not Parquet: a page of no known kind")
                kind = known[0]
                if page[kind][_VALUES] < 0:
                    raise ValueError("not Parquet: a page of negatively many values")
                if kind != _DICTIONARY_PAGE:
                    values[name] = values.get(name, 0) + page[kind][_VALUES]
                at = reader.at + page[_PACKED_SIZE]
    return Unpacked(footer[_ROWS], values, size)


class _Reader:
    """Values in Thrift's compact protocol, from `at` on."""

    def __init__(self, content: bytes, at: int) -> None:
        self.content = content
        self.at = at

    def read(self, kind: int, depth: int = 0) -> Any:
        if depth > _DEEPEST:
            raise ValueError(f"not Parquet: headers nested more than {_DEEPEST} deep")
        if kind in (_TRUE, _FALSE):
            return self._byte() == _TRUE
        if kind == _I8:
            return self._byte()
        if kind in (_I16, _I32, _I64):
            number = self._varint()
            return (number >> 1) ^ -(number & 1)
        if kind == _DOUBLE:
            return self._take(8)
        if kind == _BINARY:
            return self._take(self._varint())
        if kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return [self.read(head & 15, depth + 1) for _ in range(self._possible(count))]
        if kind == _MAP:
            count = self._possible(self._varint())
            kinds = self._byte() if count else 0
            return [
                (self.read(kinds >> 4, depth + 1), self.read(kinds & 15, depth + 1))
                for _ in range(count)
            ]
        if kind == _STRUCT:
            return self._struct(depth)
        raise ValueError(f"not Parquet: a header has a value of kind {kind}")

    def _struct(self, depth: int) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self.read(_I16)
            # A truth is in the field's kind; in lists it has a byte.
            fields[number] = (
                kind == _TRUE if kind in (_TRUE, _FALSE) else self.read(kind, depth + 1)
            )
        return fields

    def _varint(self) -> int:
        byte = self._byte()
        number, shift = byte & 0x7F, 7
        while byte >= 0x80:
            if shift > 63:
                raise ValueError("not Parquet: a header has a number beyond 64 bits")
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            shift += 7
        return number

    def _possible(self, count: int) -> int:
        """A count of values, each of which takes a byte at least."""
        if count > len(self.content) - self.at:
            raise ValueError(f"not Parquet: {count:,} values in a header")
        return count

    def _byte(self) -> int:
        if self.at >= len(self.content):
            raise ValueError("not Parquet: a header is cut short")
        self.at += 1
        return self.content[self.at - 1]

    def _take(self, count: int) -> bytes:
        taken = self.content[self.at : self.at + count]
        if len(taken) != count:
            raise ValueError("not Parquet: a header is cut short")
        self.at += count
        return taken
