"""Fit the generative model to a store.

Every estimate of a question is drawn towards that of its class, or of all questions, by a few
pseudo-observations, so that what was seen twice in 128 branches weighs little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autotts.simulation.process import (
    EVENTS,
    FAILED,
    GOLD,
    SIZES,
    Features,
    Parameters,
    Signal,
    Walk,
)
from autotts.stores.measures import signal_auc
from autotts.stores.schema import Store

_KNOTS = 33
_ROUNDS = 25  # of Newton steps; by then no table changes by as much as 0.01
_SHARED_PRECISION, _OWN_PRECISION = 0.3, 1.0  # of log odds around 0: shared tables, a question's
_NAMED_SHARE = 0.004  # of a question's probes, from which on an answer has an entry of its own
_PSEUDO_BRANCHES = 3.0  # with which a class's mean and weights count in an answer's


@dataclass(frozen=True, slots=True)
class _Coded:
    """A store in the codes of the model, its branches one behind the other.

    With M models, a question is M rows; see `Parameters`.

    probes: `[R, K]`, -1 past the end; None where there are none.
    finals, lengths, question: `[R]`.
    tail_size: `[Q]`.
    answers: A.
    """

    probes: np.ndarray | None
    finals: np.ndarray
    lengths: np.ndarray
    question: np.ndarray
    tail_size: np.ndarray
    answers: int

    @property
    def entry(self) -> np.ndarray:
        """`[R]` the final answer, or the one entry of the tail."""
        return np.asarray(np.minimum(self.finals, self.answers - 1))

    @property
    def ends(self) -> np.ndarray:
        """`[R]` the class of the final answer."""
        return np.asarray(_ends(self.answers)[self.entry])


def fit(store: Store) -> Parameters:
    """The parameters under which stores look like this one."""
    pool, there = store.pool, store.pool.exists
    coded = _code(store)
    log_length, spread, shape = _fit_lengths(coded)
    intervals = pool.depth
    rest = (pool.tokens - pool.lengths.astype(np.int64) * pool.interval)[there]
    cut = pool.lengths[there] == intervals
    wander = np.zeros((len(coded.tail_size), SIZES["depth"], coded.answers))
    tables = None
    if coded.probes is not None:
        wander = _fit_wander(coded, coded.probes)
        tables = _fit_tables(coded, coded.probes, wander)
    return Parameters(
        finals=_fit_finals(coded, float(store.correct[there].mean())),
        log_length=log_length,
        spread=spread,
        shape=shape,
        wander=wander,
        tail_size=coded.tail_size,
        rest=_quantiles(rest if cut.all() else rest[~cut]),
        intervals=intervals,
        cut_rest=int(rest[cut].mean()),
        interval_tokens=pool.interval,
        tables=tables,
        signals={name: _fit_signal(store, name) for name in pool.signals},
        models=max(1, len(pool.models)),
    )


def _code(store: Store) -> _Coded:
    pool, there = store.pool, store.pool.exists
    questions, models = len(pool.n_codes), max(1, len(pool.models))
    frequent = [_frequent(store, q) for q in range(questions)]
    answers = 3 + max(len(codes) for codes in frequent)
    probes = None if pool.probes is None else np.full(pool.probes.shape, -1)
    finals = np.empty(pool.finals.shape, np.int64)
    tail_size = np.empty(questions, np.int64)
    for q, codes in enumerate(frequent):
        table = np.full(pool.n_codes[q], -1)
        table[codes] = 2 + np.arange(len(codes))
        if pool.failed[q] >= 0:
            table[pool.failed[q]] = FAILED
        table[_golds(store, q)] = GOLD
        rare = np.flatnonzero(table < 0)
        table[rare] = answers - 1 + np.arange(len(rare))
        if probes is not None and pool.probes is not None:
            probes[q] = np.where(pool.probes[q] >= 0, table[pool.probes[q]], -1)
        finals[q] = table[pool.finals[q]]
        tail_size[q] = max(1, len(rare))
    row = np.repeat(models * np.arange(questions), there.shape[1]).reshape(there.shape)
    if pool.model is not None:
        row = row + pool.model
    return _Coded(
        None if probes is None else probes[there],
        finals[there],
        pool.lengths.astype(np.int64)[there],
        row[there],
        np.repeat(tail_size, models),
        answers,
    )


def _golds(store: Store, q: int) -> list[int]:
    return [int(store.gold[q])] if store.golds is None else list(store.golds[q])


def _frequent(store: Store, q: int) -> np.ndarray:
    """Codes of the answers with entries of their own, most shown first, gold and failed apart."""
    pool = store.pool
    finals = pool.finals[q][pool.exists[q]]
    probes = finals if pool.probes is None else pool.probes[q]
    shown = np.bincount(probes[probes >= 0], minlength=pool.n_codes[q])
    ended = np.bincount(finals, minlength=pool.n_codes[q])
    frequent = (ended >= 2) | (shown >= _NAMED_SHARE * shown.sum())
    ranked = np.argsort(-shown, kind="stable")
    apart = (*_golds(store, q), int(pool.failed[q]))
    return np.array([c for c in ranked if frequent[c] and c not in apart], np.int64)


def _fit_signal(store: Store, name: str) -> Signal:
    """A signal that tells as much, with noise like that of the branches that end wrong."""
    values = store.pool.signals[name].astype(np.float64)
    wrong = np.isfinite(values) & ~store.correct[:, :, None]
    noise = values[wrong] if wrong.any() else values[np.isfinite(values)]
    found = signal_auc(store, name)
    if not len(noise):  # absent everywhere
        return Signal(0.5)
    mean, deviation = float(noise.mean()), float(noise.std()) or 1.0
    both = wrong[:, :, 1:] & wrong[:, :, :-1]
    moved = (values[:, :, 1:][both] - mean) * (values[:, :, :-1][both] - mean)
    memory = float(np.clip(moved.mean() / deviation**2, 0, 0.99)) if both.any() else 0.0
    return Signal(0.5 if np.isnan(found) else found, mean, deviation, memory)


def _fit_finals(coded: _Coded, accuracy: float) -> np.ndarray:
    """`[Q, A]` shares of the final answers, with one more branch of average accuracy."""
    counts = np.zeros((len(coded.tail_size), coded.answers))
    np.add.at(counts, (coded.question, coded.entry), 1)
    others = counts[:, 1:].sum(axis=1, keepdims=True)
    wrong = np.where(others > 0, counts[:, 1:] / np.maximum(others, 1), 0)
    wrong[:, -1] += others[:, 0] == 0
    counts[:, 1:] += (1 - accuracy) * wrong
    counts[:, GOLD] += accuracy
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _fit_lengths(coded: _Coded) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean `[Q, A]` and deviation `[Q, A]` of log lengths by answer, and their shape `[Q, knots]`.

    An answer's mean is drawn towards that of its class (true, named, tail) in the question, and
    that towards the question's, moved by how much longer the class is elsewhere. The shape is half
    the question's own and half that of the third of the questions that are as long: short
    questions have long tails, long ones are cut.
    """
    questions, answers = len(coded.tail_size), coded.answers
    x = np.log(coded.lengths - 0.5)
    q, ends, entry = coded.question, coded.ends, coded.entry
    own = _shrunk_means(x, (q,), (questions,), np.float64(x.mean()))
    longer = _shrunk_means(x - own[q], (ends,), (3,), np.float64(0))
    of_class = _shrunk_means(x, (q, ends), (questions, 3), own[:, None] + longer)
    means = _shrunk_means(x, (q, entry), (questions, answers), of_class[:, _ends(answers)])
    squares = (x - of_class[q, ends]) ** 2
    own = _shrunk_means(squares, (q,), (questions,), np.float64(squares.mean()))
    of_class = _shrunk_means(squares, (q, ends), (questions, 3), own[:, None])
    squares = (x - means[q, entry]) ** 2
    spread = np.sqrt(
        _shrunk_means(squares, (q, entry), (questions, answers), of_class[:, _ends(answers)])
    )
    scores = (x - means[q, entry]) / np.maximum(spread[q, entry], 1e-6)
    shape = np.empty((questions, _KNOTS))
    # A model may have no branch of a question: its row is as the others that are as long.
    lengths = [x[q == row].mean() if (q == row).any() else x.mean() for row in range(questions)]
    for alike in np.array_split(np.argsort(lengths), 3):
        ours = scores[np.isin(q, alike)]
        for row in alike:
            own = scores[q == row]
            ours, own = (some if len(some) else scores for some in (ours, own))
            shape[row] = (_quantiles(ours) + _quantiles(own)) / 2
    return means, spread, shape


def _shrunk_means(
    values: np.ndarray,
    cells: tuple[np.ndarray, ...],
    shape: tuple[int, ...],
    towards: np.ndarray | np.float64,
) -> np.ndarray:
    """Mean of the values in each cell, with some pseudo-branches at `towards`."""
    total, number = np.zeros(shape), np.zeros(shape)
    np.add.at(total, cells, values)
    np.add.at(number, cells, 1)
    return np.asarray((total + _PSEUDO_BRANCHES * towards) / (number + _PSEUDO_BRANCHES))


def _ends(answers: int) -> np.ndarray:
    """`[A]` the class of each answer's entry: true, named, tail."""
    ends = np.ones(answers, np.int64)
    ends[GOLD], ends[-1] = 0, 2
    return ends


def _quantiles(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.quantile(values, np.linspace(0, 1, _KNOTS)))


def _record(coded: _Coded, probes: np.ndarray, wander: np.ndarray) -> Features:
    """Every interval of every branch, one row each: its features, and what was, is and will be.

    Adds to the features the codes `was`, `before` and `final`, the code `now` that the interval
    shows, and whether it is the `last`.
    """
    walk = Walk(coded.question, coded.finals, coded.lengths, coded.answers)
    parts = []
    for now in probes.T:
        columns = walk.features(wander) | {
            "was": walk.shown,
            "before": walk.before,
            "final": coded.finals,
            "now": now,
            "last": coded.lengths - 1 == walk.depth,
        }
        parts.append({name: column[now >= 0] for name, column in columns.items()})
        walk.show(now)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _fit_wander(coded: _Coded, probes: np.ndarray) -> np.ndarray:
    """`[Q, depth, A]` weights of the answers that wandering branches take, by depth.

    Each depth is drawn towards the whole question, and that towards the tail.
    """
    questions, answers = len(coded.tail_size), coded.answers
    nothing = np.zeros((questions, SIZES["depth"], answers))
    steps = _record(coded, probes, nothing)
    taken = (steps["now"] != steps["final"]) & (steps["now"] != steps["was"])
    taken &= steps["now"] != steps["before"]
    steps = {name: column[taken] for name, column in steps.items()}
    tail = np.zeros((questions, 1, answers))
    tail[:, :, -1] = 1
    any_depth = np.zeros_like(steps["depth"])
    overall = _fit_weights(steps, any_depth, tail)
    return _fit_weights(steps, steps["depth"], np.repeat(overall, SIZES["depth"], axis=1))


def _fit_weights(steps: Features, depth: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """`[Q, D, A]` weights of answers where each step takes one that is open to it.

    An answer is taken in proportion to its weight among those open: not what the branch shows,
    nor what it showed before, nor its final answer. The likelihood of such weights has no maximum
    in closed form; the ascent is that for Bradley-Terry models (Hunter 2004, MM algorithms).

    Args:
        prior: `[Q, D, A]` weights that count as a few steps.
    """
    tail = prior.shape[2] - 1
    question, now = steps["question"], np.minimum(steps["now"], tail)
    barred = _barred(steps, tail)
    got = _PSEUDO_BRANCHES * prior
    np.add.at(got, (question, depth, now), 1)
    weights = prior
    for _ in range(_ROUNDS):
        shut = sum(np.where(codes >= 0, weights[question, depth, codes], 0) for codes in barred)
        share = 1 / np.maximum(1 - np.asarray(shut), 0.01)
        chances = np.full(prior.shape[:2], _PSEUDO_BRANCHES)
        np.add.at(chances, (question, depth), share)
        open_to = np.repeat(chances[:, :, None], tail + 1, axis=2)
        for codes in barred:
            rows = codes >= 0
            np.subtract.at(open_to, (question[rows], depth[rows], codes[rows]), share[rows])
        weights = got / np.maximum(open_to, _PSEUDO_BRANCHES)
        weights /= weights.sum(axis=2, keepdims=True)
    return weights


def _barred(steps: Features, tail: int) -> list[np.ndarray]:
    """The named answers not open to a step, each once; -1 for none. The tail is always open."""
    barred: list[np.ndarray] = []
    for name in ("final", "was", "before"):
        codes = steps[name]
        known = [codes == earlier for earlier in barred]
        barred.append(np.where(np.any([codes >= tail, *known], axis=0), -1, codes))
    return barred


def _fit_tables(
    coded: _Coded, probes: np.ndarray, wander: np.ndarray
) -> dict[str, tuple[np.ndarray, ...]]:
    """Log odds of each event, from the intervals at which it could happen."""
    steps = _record(coded, probes, wander)
    was, before, now, final = (steps[name] for name in ("was", "before", "now", "final"))
    away = ~steps["last"] & (was != final)
    wanders = away & (now != final) & (was >= 0)
    trials = {
        "enter": (away, now == final),
        "leave": (~steps["last"] & (was == final), now != final),
        "stay": (wanders, now == was),
        "back": (wanders & (now != was) & (before >= 0) & (before != final), now == before),
    }
    sizes = SIZES | {"question": len(coded.tail_size), "entry": coded.answers}
    tables = {}
    for event, (rows, happened) in trials.items():
        features = {name: column[rows] for name, column in steps.items()}
        tables[event] = _fit_event(EVENTS[event], features, happened[rows], sizes)
    return tables


def _fit_event(
    keys: Sequence[tuple[str, ...]],
    features: Features,
    happened: np.ndarray,
    sizes: Mapping[str, int],
) -> tuple[np.ndarray, ...]:
    """Additive tables of log odds: Newton steps, one table at a time, with a normal prior."""
    base = np.log((happened.sum() + 1) / ((~happened).sum() + 1))
    log_odds = np.full(len(happened), base)
    shapes = [tuple(sizes[name] for name in key) for key in keys]
    tables = [np.zeros(int(np.prod(shape))) for shape in shapes]
    cells = [
        np.ravel_multi_index(tuple(features[name] for name in key), shape)
        for key, shape in zip(keys, shapes, strict=True)
    ]
    for _ in range(_ROUNDS):
        for key, cell, table in zip(keys, cells, tables, strict=True):
            precision = _OWN_PRECISION if key[0] == "question" else _SHARED_PRECISION
            chance = 1 / (1 + np.exp(-log_odds))
            slope = np.bincount(cell, happened - chance, len(table)) - precision * table
            curvature = np.bincount(cell, chance * (1 - chance), len(table)) + precision
            step = np.clip(slope / curvature, -1, 1)
            table += step
            log_odds += step[cell]
    tables[0] += base
    return tuple(table.reshape(shape) for table, shape in zip(tables, shapes, strict=True))
