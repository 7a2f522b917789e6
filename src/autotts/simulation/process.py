"""The generative model of a store: how branches end, how long they are, what they show meanwhile.

A branch ends on an answer drawn for its question, and its length depends on that answer. What it
shows at each interval is a semi-Markov chain with four events. Until its last interval, which shows
the final answer, a branch may *enter* its final answer and *leave* it again. Away from it, it
wanders: it may *stay* with what it shows, go *back* to what it showed before, or else takes
another answer, drawn with the weights that the question has for this depth.

The log odds of an event are a sum of tables, one number for each combination of the features that
a table is keyed by: `EVENTS` lists them. So a few hundred numbers say how branches of a model
behave, and some more for each question make it easy or hard, and its decoys strong or weak.

Answers of a question have codes of their own: 0 the true one, 1 the failed extraction, then named
answers, then, from `A - 1` on, a tail of rare ones that share the last entry of every axis A.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np

GOLD, FAILED = 0, 1
"""Codes of the true answer and of the failed extraction."""

DEPTHS = np.array([1, 2, 3, 5, 8, 12, 18, 28, 40])
"""Intervals at which the depth class changes."""

AGES = np.array([2, 3, 4, 6, 9, 14])
"""Intervals at which the age class of a run of one answer changes."""

LURES = np.array([0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.8])
"""Weights at which the class of how much an answer lures wandering branches changes."""

SIZES = {
    "seen": 2,  # whether the branch has shown its final answer before
    "ends": 3,  # on the true answer, a named one, one of the tail
    "stage": 12,  # tenths of the branch, then its last but two and last but one interval
    "depth": len(DEPTHS) + 1,
    "age": len(AGES) + 1,  # of the run of the answer shown
    "kind": 4,  # of the answer shown: failed, named, of the tail, none yet
    "kind_before": 4,
    "lure": len(LURES) + 1,  # of the answer shown
    "lure_before": len(LURES) + 1,
    "lure_final": len(LURES) + 1,
}
"""Classes of each feature; `question` and `entry` (the answer shown) depend on the store."""

EVENTS = {
    "enter": (
        ("seen", "ends", "stage"),
        ("seen", "kind"),
        ("seen", "age"),
        ("seen", "lure_final"),
        ("depth",),
        ("question", "ends"),
        ("question", "depth"),
    ),
    "leave": (("ends", "stage"), ("age",), ("depth",), ("question", "ends")),
    "stay": (("kind", "age"), ("lure",), ("question", "entry"), ("question", "depth")),
    "back": (("kind", "kind_before"), ("lure_before",), ("question",)),
}
"""The tables whose sum is the log odds of each event."""

Tables = Mapping[str, tuple[np.ndarray, ...]]
Features = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Signal:
    """What branches tell of themselves besides their answers, at the end of each interval.

    It is noise with some memory, to which a branch that ends right adds more and more: nothing at
    its beginning and all at its end.

    auc: how well its last value tells right branches from wrong ones; see `stores.signal_auc`.
    mean, deviation: of the noise.
    memory: correlation of the noise from one interval to the next, in [0, 1).
    """

    auc: float
    mean: float = 0.0
    deviation: float = 1.0
    memory: float = 0.9


@dataclass(frozen=True, slots=True)
class Parameters:
    """All there is to know about a store. Q questions, A answers with entries of their own.

    With M models each question has M rows in all arrays, one for each model, one behind the other:
    where Q stands below, Q x M is meant.

    finals: `[Q, A]` probabilities of the final answer.
    log_length: `[Q, A]` mean log length, in intervals, of the branches that end there.
    spread: `[Q, A]` its standard deviation.
    shape: `[Q, knots]` quantiles of the standardised log length, at equal steps from 0 to 1.
    wander: `[Q, depth, A]` probabilities of the answers that wandering branches take.
    tail_size: `[Q]` rare answers that the tail stands for.
    rest: `[knots]` quantiles of the tokens of a branch past its last interval, or short of it.
    intervals: the most that a branch may have.
    cut_rest: tokens past the last interval of branches that have so many.
    interval_tokens: tokens per interval.
    tables: log odds of each event, as `EVENTS` lists them; None for a store without probes, whose
        `wander` means nothing.
    signals: by name.
    models: their number, M.
    """

    finals: np.ndarray
    log_length: np.ndarray
    spread: np.ndarray
    shape: np.ndarray
    wander: np.ndarray
    tail_size: np.ndarray
    rest: np.ndarray
    intervals: int
    cut_rest: int
    interval_tokens: int
    tables: Tables | None
    signals: Mapping[str, Signal] = field(default_factory=dict)
    models: int = 1

    def of(self, rows: np.ndarray) -> "Parameters":
        """The parameters of a store made of these rows, in this order."""
        own = {
            one.name: getattr(self, one.name)[rows]
            for one in fields(self)
            if one.name in ("finals", "log_length", "spread", "shape", "wander", "tail_size")
        }
        tables = self.tables and {
            event: tuple(
                table[rows] if key[0] == "question" else table
                for key, table in zip(keys, self.tables[event], strict=True)
            )
            for event, keys in EVENTS.items()
        }
        return replace(self, **own, tables=tables)


def log_odds(event: str, tables: Tables, features: Features) -> np.ndarray:
    """The log odds of an event in each row of the features."""
    terms = [
        table[tuple(features[name] for name in key)]
        for key, table in zip(EVENTS[event], tables[event], strict=True)
    ]
    return np.asarray(np.sum(terms, axis=0))


class Walk:
    """Branches side by side, one row each, and what they have shown so far.

    question, finals, lengths: int `[R]` of each branch.
    shown, before: what it shows, and the different answer it showed before that; -1 is none.
    depth: intervals shown so far.
    """

    def __init__(
        self, question: np.ndarray, finals: np.ndarray, lengths: np.ndarray, answers: int
    ) -> None:
        self.question, self.finals, self.lengths = question, finals, lengths
        self.tail = answers - 1
        self.depth = 0
        self.shown = np.full(len(finals), -1)
        self.before = np.full(len(finals), -1)
        self._run = np.zeros(len(finals), np.int64)
        self._seen = np.zeros(len(finals), np.int64)

    def show(self, answers: np.ndarray) -> None:
        """Go on by one interval, at the end of which the branches show these answers."""
        changed = answers != self.shown
        self.before = np.where(changed, self.shown, self.before)
        self._run = np.where(changed, 1, self._run + 1)
        self._seen |= answers == self.finals
        self.shown = answers
        self.depth += 1

    def features(self, wander: np.ndarray) -> Features:
        """Int `[R]` of every feature, for the interval to come.

        Args:
            wander: `[Q, depth, A]` weights of wandering answers.
        """
        depth = np.full(len(self.finals), np.searchsorted(DEPTHS, self.depth, side="right"))
        weights = wander[self.question, depth]
        return {
            "question": self.question,
            "seen": self._seen,
            "ends": np.where(self.finals == GOLD, 0, np.where(self.finals < self.tail, 1, 2)),
            "stage": _stage(self.depth, self.lengths),
            "depth": depth,
            "age": np.searchsorted(AGES, self._run, side="right"),
            "kind": self._kind(self.shown),
            "kind_before": self._kind(self.before),
            "entry": np.minimum(self.shown, self.tail),
            "lure": self._lure(weights, self.shown),
            "lure_before": self._lure(weights, self.before),
            "lure_final": self._lure(weights, self.finals),
        }

    def _kind(self, codes: np.ndarray) -> np.ndarray:
        kind = np.where(codes == FAILED, 0, np.where(codes < self.tail, 1, 2))
        return np.where(codes < 0, 3, kind)

    def _lure(self, weights: np.ndarray, codes: np.ndarray) -> np.ndarray:
        named = (codes >= 0) & (codes < self.tail)
        weight = weights[np.arange(len(codes)), np.where(named, codes, 0)]
        return np.searchsorted(LURES, np.where(named, weight, 0), side="right")


def _stage(depth: int, lengths: np.ndarray) -> np.ndarray:
    """How far the interval `depth` (from 0) is on the way to a branch's end."""
    rest = lengths - 1 - depth
    tenth = np.clip(5 * (2 * depth + 1) // lengths, 0, 9)
    return np.where(rest == 1, 11, np.where(rest == 2, 10, tenth))
