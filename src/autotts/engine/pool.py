"""A pool as compiled code finds it: a header with the addresses and strides of its columns.

    header, one int64 a word (`jit.POOL_FIELDS`)
    +---------------------------------------------+
    | draw_stride   bytes from one draw to the next |
    | orders_address   orders_stride  ------------+---> int32 [Q, D, W]
    | probes_address   probes_stride  ------------+---> int32 [Q, N, K]
    | ...              bytes from one question on   |
    +---------------------------------------------+

`compiled.aim` points a state at one question and draw by it. A column that a store has not
(`jit.OPTIONAL`) has address 0. Each process makes its own header, over
arrays that it holds itself: an address means nothing elsewhere, and none is taken from a worker.
"""

from collections.abc import Mapping

import numpy as np

from autotts.engine import jit
from autotts.engine.memory import address_of


class PoolHeader:
    """The columns of a pool, dealt in some orders, as one value.

    address: of the header; it and the columns live as long as this object does.
    """

    def __init__(
        self, signals: Mapping[str, np.ndarray] | None = None, **columns: np.ndarray
    ) -> None:
        """
        Args:
            signals: float32 `[Q, N, K]` by name.
            columns: by the names of `jit.COLUMNS`, a question a row:
                orders `[Q, D, W]` int32, probes `[Q, N, K]` int32, lengths `[Q, N]` int32,
                totals `[Q, N]` int32, finals `[Q, N]` int32, failed `[Q]` int64, -1 for none;
                ceilings `[Q]` int64, how many branches of an order may be opened; where there
                are such, ends `[Q, N, K]` int32 and makers `[Q, N]` int32, the model of each.
                Probes may be missing as well.

        Raises:
            TypeError: a column is missing, of another type, or not contiguous.
        """
        if not jit.COLUMNS.keys() - jit.OPTIONAL <= columns.keys() <= jit.COLUMNS.keys():
            raise TypeError(f"a pool has {list(jit.COLUMNS)}, got {list(columns)}")
        self._columns = columns  # an address keeps nothing alive
        self._words = np.zeros(len(jit.POOL_FIELDS), np.int64)
        for name, array in columns.items():
            if array.dtype != jit.COLUMNS[name] or not array.flags.c_contiguous:
                raise TypeError(f"{name} must be contiguous {jit.COLUMNS[name]}, got {array.dtype}")
            self._words[jit.POOL_FIELDS[f"{name}_address"]] = address_of(array)
            self._words[jit.POOL_FIELDS[f"{name}_stride"]] = array.strides[0]
        self._signals = list((signals or {}).values())
        for array in self._signals:
            if array.dtype != np.float32 or not array.flags.c_contiguous:
                raise TypeError(f"a signal must be contiguous float32, got {array.dtype}")
        self._starts = np.array([address_of(array) for array in self._signals], np.int64)
        if self._signals:
            self._words[jit.POOL_FIELDS["signals_address"]] = address_of(self._starts)
            self._words[jit.POOL_FIELDS["signals_stride"]] = self._signals[0].strides[0]
        self._words[jit.POOL_FIELDS["draw_stride"]] = columns["orders"].strides[1]
        self.address = address_of(self._words)
