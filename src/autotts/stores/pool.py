"""The recorded branches that controllers play on, as arrays: no gold answer, no text."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from autotts.errors import StoreError
from autotts.stores.manifest import Billing, PricedModel

MOST_SIGNALS = 16
_BLOCK_CELLS = 1 << 24
"""Values by interval that are looked at together: what is made beside them is of their size."""
_PART_BYTES = 1 << 27
"""Of columns that are read from the disk, what is played before its memory is given up."""
_SIGNAL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class OnDisk(Protocol):
    """Columns that are read from the disk as they are needed."""

    def release(self, first: int, end: int) -> None:
        """Give up the memory that holds questions first to end - 1; they can be read again."""
        ...


@dataclass(frozen=True, slots=True)
class Pool:
    """The branches of Q questions, at most N each, up to K intervals deep.

    Arrays are C-contiguous. Codes are per question. A question with fewer than N branches has
    them in its first rows; in the others every length is 0.

    probes: int32 `[Q, N, K]` answer code at the end of each interval, -1 past a branch's end; None
        where only final answers were recorded.
    lengths: int32 `[Q, N]` intervals of each branch; 0 where there is no branch.
    tokens: int32 `[Q, N]` tokens of each branch, at least 1, 0 for none; billed exactly, they
        reach into the last interval.
    finals: int32 `[Q, N]` code of the final answer, -1 for none.
    failed: int32 `[Q]` code of a failed extraction, -1 where the question has none.
    n_codes: int32 `[Q]` codes in use, gold included: 0..n_codes-1.
    interval: tokens per interval.
    billing: "reference" or "exact".
    ends: int32 `[Q, N, K]` tokens up to the end of each interval, never falling, 0 past a
        branch's end; None where interval k ends at k x `interval`.
    model: int32 `[Q, N]` the number in `models` of the model that made each branch, -1 for none;
        None with one model.
    models: two or more with their prices; empty with one model, whose tokens cost 1 each.
    signals: by name, float32 `[Q, N, K]` at the end of each interval, -inf where absent.
    on_disk: where columns by interval are read from; None if they are in memory.
    shown: codes that branches show are below it; gold's may not be.
    n_branches: int64 `[Q]` branches of each question.
    """

    probes: np.ndarray | None
    lengths: np.ndarray
    tokens: np.ndarray
    finals: np.ndarray
    failed: np.ndarray
    n_codes: np.ndarray
    interval: int
    billing: Billing
    ends: np.ndarray | None = None
    model: np.ndarray | None = None
    models: tuple[PricedModel, ...] = ()
    signals: Mapping[str, np.ndarray] = field(default_factory=dict)
    on_disk: OnDisk | None = None
    shown: int = field(init=False, default=0)
    n_branches: np.ndarray = field(init=False)

    @property
    def depth(self) -> int:
        """Most intervals that arrays by interval have room for, K."""
        return int(self.lengths.max()) if self.probes is None else int(self.probes.shape[2])

    @property
    def parts(self) -> int:
        """How many parts to go through the questions in, so that little of them is in memory."""
        if self.on_disk is None:
            return 1
        columns = [self.probes, self.ends, *self.signals.values()]
        return -(-sum(array.nbytes for array in columns if array is not None) // _PART_BYTES)

    @property
    def exists(self) -> np.ndarray:
        """bool `[Q, N]` whether there is such a branch."""
        return np.asarray(self.lengths > 0)

    @property
    def prices(self) -> np.ndarray:
        """int64 `[M]` cost units of a token of each model."""
        return np.array([model.price for model in self.models] or [1], np.int64)

    def require_probes(self) -> np.ndarray:
        """The probes.

        Raises:
            StoreError: there are none.
        """
        if self.probes is None:
            raise StoreError("recorded without probes: only final answers are known")
        return self.probes

    def inside(self) -> np.ndarray:
        """bool `[Q, N, K]` whether the branch has such an interval."""
        return inside_of(self.lengths, self.depth)

    def __post_init__(self) -> None:
        if self.probes is not None and (self.probes.ndim != 3 or self.probes.size == 0):
            raise StoreError(
                f"probes must be a non-empty [Q, N, K] array, got shape {self.probes.shape}"
            )
        if self.lengths.ndim != 2 or self.lengths.size == 0:
            raise StoreError(
                f"lengths must be a non-empty [Q, N] array, got shape {self.lengths.shape}"
            )
        if self.interval < 1:
            raise StoreError(f"an interval is at least one token, got {self.interval}")
        shape = self.lengths.shape if self.probes is None else self.probes.shape[:2]
        require(self.lengths, "lengths", shape, np.int32)
        # Counted once: every part of a store that is gone through in parts asks for it.
        object.__setattr__(self, "n_branches", np.count_nonzero(self.lengths, axis=1))
        require(self.tokens, "tokens", shape, np.int32)
        require(self.finals, "finals", shape, np.int32)
        require(self.failed, "failed", shape[:1], np.int32)
        require(self.n_codes, "n_codes", shape[:1], np.int32)
        self._require_lengths()
        exists, codes = self.exists, self.n_codes[:, None]
        whole = (self.lengths.astype(np.int64) - 1) * self.interval
        # Billed exactly, the last interval is the rest.
        least = 1 + whole if self.billing == "exact" and self.ends is None else 1
        most = np.where(exists, np.int32(2**31 - 1), np.int32(0))
        require_range(self.tokens, "tokens", np.where(exists, least, 0), most)
        low = np.where(exists, np.int32(0), np.int32(-1))
        require_range(self.finals, "final answer code", low, np.where(exists, codes - 1, low))
        require_range(self.failed, "code of the failed answer", -1, self.n_codes - 1)
        self._require_models()
        columns = self._require_shapes((*shape, self.depth))
        largest = int(self.finals.max())
        for block in self._blocks(max(1, len(columns))):
            largest = max(largest, self._require_block(block))
        object.__setattr__(self, "shown", largest + 1)

    def _require_lengths(self) -> None:
        least = np.zeros(self.lengths.shape, np.int32)
        least[:, 0] = 1
        require_range(self.lengths, "length", least, np.int32(self.depth))
        late = self.exists[:, 1:] & ~self.exists[:, :-1]
        if late.any():
            q, i = (int(at) for at in np.argwhere(late)[0])
            raise StoreError(f"question {q}, branch {i}: length 0, but branch {i + 1} is there")

    def _blocks(self, columns: int) -> Iterator[slice]:
        """Questions, some at a time."""
        count = max(1, _BLOCK_CELLS // (self.lengths.shape[1] * self.depth * columns))
        for first in range(0, len(self.lengths), count):
            yield slice(first, min(first + count, len(self.lengths)))

    def _require_shapes(self, shape: tuple[int, ...]) -> list[np.ndarray]:
        """The columns by interval, which have this shape."""
        if len(self.signals) > MOST_SIGNALS:
            raise StoreError(f"{len(self.signals)} signals; at most {MOST_SIGNALS}")
        for name in self.signals:
            if not _SIGNAL.fullmatch(name):
                raise StoreError(
                    f"signal {name[:80]!r}: a name is letters, digits and underscores, at most 64"
                )
        columns: dict[str, tuple[np.ndarray | None, type]] = {
            "probes": (self.probes, np.int32),
            "ends": (self.ends, np.int32),
        }
        columns |= {f"signal {name}": (array, np.float32) for name, array in self.signals.items()}
        there = {
            name: (array, kind) for name, (array, kind) in columns.items() if array is not None
        }
        for name, (array, kind) in there.items():
            require(array, name, shape, kind)
        return [array for array, _ in there.values()]

    def _require_block(self, block: slice) -> int:
        """Check the columns by interval of some questions; the largest code that probes show."""
        lengths = self.lengths[block]
        inside = inside_of(lengths, self.depth)
        most = -1
        if self.probes is not None:
            most = _require_probes(self.probes[block], inside, self.n_codes[block], block.start)
        if self.ends is not None:
            ends = self.ends[block]
            before = np.zeros_like(ends)
            np.maximum.accumulate(ends[:, :, :-1], axis=2, out=before[:, :, 1:])
            high = np.where(inside, self.tokens[block, :, None], 0)
            low = np.where(inside, before, 0)
            require_range(ends, "tokens at the end", low, high, block.start)
        for name, values in self.signals.items():
            high = np.where(inside, np.float32(np.inf), np.float32(-np.inf))
            require_range(values[block], f"signal {name}", -np.inf, high, block.start)
        if self.on_disk is not None:
            self.on_disk.release(block.start, block.stop)
        return most

    def _require_models(self) -> None:
        if (self.model is None) != (len(self.models) < 2) or len(self.models) == 1:
            raise StoreError(
                f"{len(self.models)} models, and their numbers by branch"
                f" {'missing' if self.model is None else 'given'}: two models or more have them"
            )
        if self.model is not None:
            require(self.model, "model", self.lengths.shape, np.int32)
            low = np.where(self.exists, np.int32(0), np.int32(-1))
            high = np.where(self.exists, np.int32(len(self.models) - 1), np.int32(-1))
            require_range(self.model, "model number", low, high)


def inside_of(lengths: np.ndarray, depth: int) -> np.ndarray:
    """bool `[Q, N, K]` whether branches of int32 lengths `[Q, N]` have each interval."""
    # Of the same kind as the lengths: another one has them converted, which takes twice as long.
    return np.asarray(np.arange(depth, dtype=np.int32) < lengths[:, :, None])


def _require_probes(probes: np.ndarray, inside: np.ndarray, n_codes: np.ndarray, first: int) -> int:
    """Check `[q, N, K]` probes of questions from `first` on; the largest code among them."""
    # The largest array by far: bounds of its own size are laid out to name what is wrong only.
    largest = probes.max(axis=2)
    below = (largest < n_codes[:, None]).all()
    if not (below and probes.min() >= -1 and np.array_equal(probes >= 0, inside)):
        low = np.where(inside, np.int32(0), np.int32(-1))
        high = np.where(inside, n_codes[:, None, None] - 1, low)
        require_range(probes, "probe code", low, high, first)
    return int(largest.max())


def require(array: np.ndarray, name: str, shape: tuple[int, ...], dtype: type) -> None:
    """Refuse an array of another shape or type."""
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        raise StoreError(
            f"{name} must be C-contiguous {dtype.__name__} {list(shape)}, "
            f"got {array.dtype} {list(array.shape)}"
        )


def require_range(
    array: np.ndarray,
    name: str,
    low: np.ndarray | float,
    high: np.ndarray | np.generic | float,
    first: int = 0,
) -> None:
    """Refuse values outside low..high, bounds included; NaN is outside.

    Args:
        first: the question that the first row is of.
    """
    bad = ~((array >= low) & (array <= high))
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        where = ", ".join(
            f"{axis} {i}"
            for axis, i in zip(
                ("question", "branch", "interval"), (at[0] + first, *at[1:]), strict=False
            )
        )
        lowest = np.broadcast_to(low, array.shape)[at]
        highest = np.broadcast_to(high, array.shape)[at]
        raise StoreError(f"{where}: {name} {array[at]} is outside {lowest}..{highest}")
