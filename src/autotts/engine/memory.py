"""The memory of one running episode: a header, and the arrays that it points to.

    owner           arrays                                    point()ed again
    Memory          by branch, by answer, history, arena      never: views on them are handed out
    Memory          log, steps, ints, floats                  for more room, or other parameters
    `PoolHeader`    order, probes, ends, lengths, ...         for every episode (`compiled.aim`)
    the process     actions                                   never

The header holds bare addresses, which keep nothing alive; `arrays` holds the arrays for that. What
an episode leaves behind is not cleared but forgotten: `control.reset` puts back what it used of
the arrays, and `history` past a branch's depth, the arena and the log are written before they
are read.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autotts import control
from autotts.engine import compiled, jit

_ARENA_WORDS = 1 << 16
_BRANCH_ARRAYS = 3
"""How many words a branch the arena must have: the broker lays ids, times and depths there."""
_WRITTEN_FIRST = ("arena", "log")
"""Large, and never read before they are written, so there is nothing to clear."""
_POOL = ("order", "draw", "makers", "probes", "ends", "lengths", "totals", "finals", "recorded")


class Memory:
    """Holds one episode at a time; a thread or a slot of the broker owns one.

    header: `[len(jit.FIELDS)]` int64, by name through `memory["spent"]`.
    arrays: the arrays of `control.ARRAYS` that belong to the episode, by name.
    pool: the `PoolHeader` whose columns the episode reads, which holds them.
    wide: which of the compiled actions are for it; see `compiled.actions`.
    """

    def __init__(
        self,
        *,
        ceiling: int,
        intervals: int,
        n_codes: int,
        interval: int,
        billing: str,
        budget: int = -1,
        cost_budget: int = -1,
        probe_tokens: int = 0,
        prices: Sequence[int] = (1,),
        signals: Sequence[str] = (),
        most_answers: int | None = None,
        log_words: int = 0,
        wide: bool = False,
    ) -> None:
        """
        Args:
            ceiling: most branches that any episode may open; how many one may, `aim` says.
            intervals: most intervals any branch has.
            n_codes: most answer codes any question has.
            interval: tokens of an interval.
            billing: "reference" or "exact".
            budget: tokens, -1 for none.
            cost_budget: cost units, -1 for none.
            probe_tokens: tokens of a probe.
            prices: cost units of a token of each model.
            signals: the names of the pool's signals.
            most_answers: most answer codes that branches of any question show; `n_codes` if None.
            log_words: room for the request log in int64 words; 0 logs nothing.
            wide: whether there is a cost budget, or anything that not every recording has.
        """
        arena = max(_ARENA_WORDS, _BRANCH_ARRAYS * ceiling)
        sizes = {
            "history": ceiling * intervals,
            "votes": n_codes,
            "code_of": n_codes,
            "id_of": n_codes,
            "counts": n_codes,
            "signal_names": len(signals),
            "signal_offsets": len(signals),
            "signals": (len(signals) * ceiling + 1) * intervals,
            "price": len(prices),
            "left": len(prices),
            "cursor": len(prices),
            "ints": 0,
            "floats": 0,
            "log": log_words,
            "arena": arena,
            "steps": 0,
        }
        self.header = np.zeros(len(jit.FIELDS), np.int64)
        self.address = address_of(self.header)
        self.arrays: dict[str, np.ndarray] = {}
        self.pool: object = None
        for name, dtype in control.ARRAYS.items():
            if name not in _POOL:
                make = np.empty if name in _WRITTEN_FIRST else np.zeros
                self.point(name, make(sizes.get(name, ceiling), dtype))
        self.arrays["answer"][:] = -1
        self.arrays["id_of"][:] = -1
        self.arrays["price"][:] = prices
        self.arrays["signal_names"][:] = [control.note_digest(name) for name in signals]
        self.arrays["signals"][-intervals:] = -np.inf
        self.wide = wide
        self.point("actions", compiled.action_addresses(wide))
        self["interval"] = interval
        self["probe_tokens"] = probe_tokens
        self["budget"] = budget
        self["cost_budget"] = cost_budget
        self["n_models"] = len(prices)
        self["n_signals"] = len(signals)
        self["most_answers"] = n_codes if most_answers is None else most_answers
        self["exact"] = billing == "exact"
        self["ceiling"] = self["slots"] = ceiling
        self["intervals"] = intervals
        self["failed"] = -1
        self["log_size"] = log_words
        self["arena_size"] = arena

    def __getitem__(self, name: str) -> int:
        return int(self.header[jit.FIELDS[name]])

    def __setitem__(self, name: str, value: int) -> None:
        self.header[jit.FIELDS[name]] = value

    def point(self, name: str, array: np.ndarray) -> None:
        """Let the state's array `name` be this one, which must stay contiguous and in place."""
        if array.dtype != control.ARRAYS[name] or not array.flags.c_contiguous:
            raise TypeError(f"{name} must be contiguous {control.ARRAYS[name]}, got {array.dtype}")
        self.arrays[name] = array
        self[f"{name}_address"] = address_of(array)

    def set_parameters(self, values: Sequence[float]) -> None:
        """Hand over a program's parameters, in the order of its schedule."""
        ints = [value for value in values if isinstance(value, int)]
        floats = [value for value in values if not isinstance(value, int)]
        self.point("ints", np.array(ints, np.int64))
        self.point("floats", np.array(floats, np.float64))


def address_of(array: np.ndarray) -> int:
    interface: dict[str, Any] = array.__array_interface__
    return int(interface["data"][0])
