"""Synthetic stores: branches drawn from the generative model, alike for the same seed."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autotts.answers import FAILED
from autotts.errors import SpecError
from autotts.simulation.fitting import fit
from autotts.simulation.process import EVENTS, GOLD, Parameters, Signal, Tables, Walk, log_odds
from autotts.simulation.solving import solve
from autotts.simulation.typical import ACCURACY, of_models, typical
from autotts.stores import measures
from autotts.stores.manifest import Billing, priced
from autotts.stores.measures import shifted_auc
from autotts.stores.recordings import Branch, Recording, build
from autotts.stores.schema import Store
from autotts.stores.writing import store_folder, write

_PRICES = ("models", "cost_scale", "price_unit")
"""What a manifest says of several models."""
_PRICE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_MOST_LIFT = 20.0  # deviations: far enough apart that no two branches are taken for each other
_MOST_STRETCH = 6.0  # of log lengths


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """One of several models whose branches a store holds.

    accuracy: mean share of right branches, in (0, 1).
    price: of a token, a decimal in whatever unit: "0.6".
    """

    name: str
    accuracy: float
    price: str = "1"


def simulate(
    out: str | os.PathLike[str],
    *,
    questions: int = 30,
    branches: int = 128,
    seed: int = 0,
    like: Store | None = None,
    accuracy: float | None = None,
    model: str = "simulated",
    dataset: str = "sim",
    billing: Billing | None = None,
    slope: float | None = None,
    signals: Mapping[str, float] | None = None,
    models: Sequence[SimulatedModel] = (),
    probes: bool = True,
    family: str = "",
    overwrite: bool = False,
) -> Path:
    """Write a synthetic store to OUT/MODEL/DATASET, the same for the same arguments.

    Args:
        branches: of each question; several models make equally many of them, as far as they go.
        like: the store whose figures it gets, questions in the same order, its models, signals and
            slope with them; a mid-sized model on a competition without it.
        accuracy: mean share of right branches, if there is no store to be like.
        billing: that of `like` by default, else `reference`.
        slope: how much likelier a question's longest branch is to be right than its shortest, see
            `stores.length_slopes`; as it comes by default.
        signals: by name, how well each signal's last value tells right branches from wrong ones,
            see `stores.signal_auc`.
        models: two or more, if there is no store to be like.
        probes: whether answers are known at each interval, and not at the end only.
        family: of the model, such as "qwen3", for leaderboards.

    Returns:
        The folder of the store.

    Raises:
        SpecError: an argument that makes no store, or a figure that these questions can't have.
        StoreError: there is a store already.
    """
    _require_sound(questions, branches, seed, like, accuracy, signals or {})
    _require_models(models, like, accuracy, branches)
    folder = store_folder(out, model, dataset)
    of_questions, of_branches = np.random.default_rng(seed).spawn(2)
    if like:
        parameters, source = fit(like), f"like {like.name}, digest {like.digest}"
        prices = {name: getattr(like.manifest, name) for name in _PRICES}
    else:
        shares = [one.accuracy for one in models] or [ACCURACY if accuracy is None else accuracy]
        mean = float(np.mean(shares))
        source = f"typical, accuracy {mean}"
        parameters = typical(questions, rng=of_questions, accuracy=mean)
        parameters = of_models(parameters, shares) if models else parameters
        known, scale = priced({m.name: m.price for m in models}) if models else ((), 0)
        prices = {"models": known, "cost_scale": scale}
    asked = {name: Signal(area) for name, area in (signals or {}).items()}
    parameters = replace(
        parameters,
        signals={**parameters.signals, **asked},
        tables=parameters.tables if probes else None,
    )
    billing = billing or (like.pool.billing if like else "reference")
    recordings = sample(
        parameters, questions=questions, branches=branches, billing=billing, slope=slope,
        rng=of_branches,
    )  # fmt: skip
    store = build(
        recordings,
        model=model,
        dataset=dataset,
        interval_tokens=parameters.interval_tokens,
        billing=billing,
        failed_answer=FAILED,
        family=family,
        **prices,
        sampling={"simulated": True, "seed": seed},
        source=f"simulated: {source}",
    )
    write(store, folder, overwrite=overwrite)
    return folder


def _require_sound(
    questions: int,
    branches: int,
    seed: int,
    like: Store | None,
    accuracy: float | None,
    signals: Mapping[str, float],
) -> None:
    for name, area in signals.items():
        if not 0 <= area <= 1:
            raise SpecError(f"signal {name}: an AUC of {area}; need one from 0 to 1")
    if questions < 1 or branches < 1 or seed < 0:
        raise SpecError(
            f"{questions} questions, {branches} branches, seed {seed}: need at least 1, 1 and 0"
        )
    if accuracy is not None and like is not None:
        raise SpecError(f"accuracy {accuracy} and a store to be like: the store has its own")
    if like is not None and like.pool.ends is not None:
        raise SpecError(
            f"{like.name} has intervals of different sizes; simulated are stores with intervals of"
            " one size"
        )
    if accuracy is not None and not 0 < accuracy < 1:
        raise SpecError(f"accuracy {accuracy}: a share, between 0 and 1")


def _require_models(
    models: Sequence[SimulatedModel], like: Store | None, accuracy: float | None, branches: int
) -> None:
    if not models:
        return
    if like is not None or accuracy is not None:
        raise SpecError("models have their own accuracies: name no other, and no store to be like")
    names = [one.name for one in models]
    if len(models) < 2 or len(set(names)) < len(names) or branches < len(models):
        raise SpecError(
            f"models {', '.join(names)} and {branches} branches: need two or more models of"
            " different names, and a branch of each"
        )
    for one in models:
        if not 0 < one.accuracy < 1:
            raise SpecError(f"{one.name}: accuracy {one.accuracy}: a share, between 0 and 1")
        if not _PRICE.fullmatch(one.price) or not float(one.price):
            raise SpecError(f"{one.name}: price {one.price!r}: need a decimal above 0, such as 0.6")


def sample(
    parameters: Parameters,
    *,
    questions: int,
    branches: int,
    billing: Billing,
    rng: np.random.Generator,
    slope: float | None = None,
) -> list[Recording]:
    """Draw recordings. Questions of the parameters come in turn, and shuffled after the first turn.

    Args:
        billing: with `exact` the last interval of a branch is its rest; with `reference` a branch
            may end before or after it, as in the released recordings.
        rng: consumed.
        slope: of accuracy on length, see `simulate`; as it comes by default.

    Raises:
        SpecError: the questions can't have this slope, or a signal what was asked of it.
    """
    models = parameters.models
    known = len(parameters.finals) // models
    turns = [np.arange(known)] + [rng.permutation(known) for _ in range((questions - 1) // known)]
    turn = np.concatenate(turns)[:questions]
    parameters = parameters.of((models * turn[:, None] + np.arange(models)).ravel())
    shares = [branches // models + (m < branches % models) for m in range(models)]
    row = np.repeat(np.arange(questions * models), shares * questions)
    entry = _draw(parameters.finals[row], rng)
    finals = _tell_apart(entry, row, parameters, rng)
    lengths, tokens = _lengths_and_tokens(entry, row, parameters, billing, rng, slope)
    probes = None
    if parameters.tables is not None:
        probes = _probes(row, finals, lengths, parameters, parameters.tables, rng)
    golds = rng.choice(1000, size=questions, replace=questions > 1000)
    tails = parameters.tail_size.reshape(questions, models).max(axis=1)
    words = [
        _words(str(gold), parameters.finals.shape[1] - 1 + int(rare), rng)
        for gold, rare in zip(golds, tails, strict=True)
    ]
    told = {
        name: _signal(signal, row // models, entry == GOLD, lengths, rng)
        for name, signal in parameters.signals.items()
    }
    every = []
    for at, (where, length, spent, final) in enumerate(
        zip(row.tolist(), lengths.tolist(), tokens.tolist(), finals.tolist(), strict=True)
    ):
        of = words[where // models]
        every.append(
            Branch(
                None if probes is None else [of[code] for code in probes[at, :length].tolist()],
                spent,
                of[final],
                model=where % models,
                signals={name: values[at, :length] for name, values in told.items()},
            )
        )
    return [
        Recording(f"Simulated question {q}", words[q][0], every[q * branches : (q + 1) * branches])
        for q in range(questions)
    ]


def _signal(
    signal: Signal,
    question: np.ndarray,
    right: np.ndarray,
    lengths: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """`[R, K]` values of a signal at the end of each interval.

    The noise is drawn first, and then what right branches add to it is found.
    """
    noise = rng.normal(size=(len(lengths), int(lengths.max())))
    for k in range(1, noise.shape[1]):
        fresh = np.sqrt(1 - signal.memory**2) * noise[:, k]
        noise[:, k] = signal.memory * noise[:, k - 1] + fresh
    last = noise[np.arange(len(lengths)), lengths - 1]
    found = shifted_auc(last, right, question)
    lift = 0.0 if np.isnan(found(0.0)) else solve(found, signal.auc, _MOST_LIFT)
    share = np.minimum(np.arange(1, noise.shape[1] + 1) / lengths[:, None], 1)
    return np.asarray(signal.mean + signal.deviation * (noise + lift * right[:, None] * share))


def _draw(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`[R]` an index for each row of weights `[R, A]`, in proportion to them."""
    up_to = np.cumsum(weights, axis=1)
    return np.asarray((up_to <= rng.random((len(up_to), 1)) * up_to[:, -1:]).sum(axis=1))


def _tell_apart(
    entry: np.ndarray, question: np.ndarray, parameters: Parameters, rng: np.random.Generator
) -> np.ndarray:
    """`[R]` codes: the entry of the tail becomes one of the rare answers, the first less rare."""
    tail = parameters.finals.shape[1] - 1
    rank = (parameters.tail_size[question] * rng.random(len(entry)) ** 2).astype(np.int64)
    return np.asarray(np.where(entry == tail, tail + rank, entry))


def _lengths_and_tokens(
    entry: np.ndarray,
    row: np.ndarray,
    parameters: Parameters,
    billing: Billing,
    rng: np.random.Generator,
    slope: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals and tokens of each branch, `[R]` each.

    For a slope that is asked for, right branches are made longer or shorter by some factor, and
    wrong ones the other way, so that a question's mean log length stays.
    """
    score = _scores(row, parameters, rng)
    intervals, tokens_of = parameters.intervals, _tokens(len(entry), parameters, billing, rng)
    log = parameters.log_length[row, entry] + parameters.spread[row, entry] * score
    right = entry == GOLD
    stretch = right - parameters.finals[row, GOLD]

    def drawn(by: float) -> tuple[np.ndarray, np.ndarray]:
        whole = np.ceil(np.exp(log + by * stretch))
        lengths = np.asarray(np.clip(whole, 1, intervals), np.int64)
        return lengths, tokens_of(lengths)

    if slope is None:
        return drawn(0.0)
    question = row // parameters.models
    mine = [np.flatnonzero(question == q) for q in np.unique(question)]

    def found(by: float) -> float:
        tokens = drawn(by)[1]
        return float(np.mean([measures.slope(tokens[rows], right[rows]) for rows in mine]))

    low, high = found(-_MOST_STRETCH), found(_MOST_STRETCH)
    if not low <= slope <= high:
        raise SpecError(f"slope {slope}: these questions can have one from {low:.2f} to {high:.2f}")
    return drawn(solve(found, slope, _MOST_STRETCH))


def _scores(row: np.ndarray, parameters: Parameters, rng: np.random.Generator) -> np.ndarray:
    """`[R]` standardised log lengths."""
    knots = parameters.shape.shape[1]
    at, part = np.divmod(rng.random(len(row)) * (knots - 1), 1)
    low = parameters.shape[row, at.astype(np.int64)]
    high = parameters.shape[row, at.astype(np.int64) + 1]
    return np.asarray(low + part * (high - low))


def _tokens(
    branches: int, parameters: Parameters, billing: Billing, rng: np.random.Generator
) -> Callable[[np.ndarray], np.ndarray]:
    """What gives the tokens of branches of so many intervals; its draws are made."""
    interval = parameters.interval_tokens
    if billing == "exact":
        short = rng.integers(interval, size=branches)
        return lambda lengths: np.asarray(lengths * interval - short)
    steps = np.linspace(0, 1, len(parameters.rest))
    rest = np.interp(rng.random(branches), steps, parameters.rest).astype(np.int64)

    def tokens_of(lengths: np.ndarray) -> np.ndarray:
        past = np.where(lengths == parameters.intervals, parameters.cut_rest, rest)
        return np.asarray(np.maximum(1, lengths * interval + past))

    return tokens_of


def _probes(
    question: np.ndarray,
    finals: np.ndarray,
    lengths: np.ndarray,
    parameters: Parameters,
    tables: Tables,
    rng: np.random.Generator,
) -> np.ndarray:
    """`[R, K]` what each branch shows at each interval; past its end it means nothing."""
    walk = Walk(question, finals, lengths, parameters.finals.shape[1])
    shown = []
    for depth in range(lengths.max()):
        features = walk.features(parameters.wander)
        happens = {event: _happens(log_odds(event, tables, features), rng) for event in EVENTS}
        home = np.where(walk.shown == finals, ~happens["leave"], happens["enter"])
        home |= depth == lengths - 1
        stays = happens["stay"] & (walk.shown >= 0) & (walk.shown != finals)
        back = happens["back"] & (walk.before >= 0) & (walk.before != finals)
        fresh = _wander(walk, ~(home | stays | back), features["depth"], parameters, rng)
        now = np.where(back, walk.before, fresh)
        now = np.where(stays, walk.shown, now)
        now = np.where(home, finals, now)
        walk.show(now)
        shown.append(now)
    return np.stack(shown, axis=1)


def _happens(odds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(rng.random(len(odds)) * (1 + np.exp(-odds)) < 1)


def _wander(
    walk: Walk,
    rows: np.ndarray,
    depth: np.ndarray,
    parameters: Parameters,
    rng: np.random.Generator,
) -> np.ndarray:
    """`[R]` another answer for the branches in `rows`: none they show, showed before or end on."""
    where = np.flatnonzero(rows)
    question = walk.question[where]
    weights = parameters.wander[question, depth[where]]
    tail = weights.shape[1] - 1
    for codes in (walk.shown[where], walk.before[where], walk.finals[where]):
        named = np.flatnonzero((codes >= 0) & (codes < tail))
        weights[named, codes[named]] = 0
    fresh = np.full(len(rows), -1)
    fresh[where] = _tell_apart(_draw(weights, rng), question, parameters, rng)
    return fresh


def _words(gold: str, codes: int, rng: np.random.Generator) -> list[str]:
    """The strings of a question's codes: integers, all different, but the failed answer."""
    numbers = rng.choice(max(1000, 4 * codes), size=codes, replace=False)
    return [gold, FAILED, *(str(number) for number in numbers if str(number) != gold)]
