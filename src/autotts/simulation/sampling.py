"""Synthetic stores: branches drawn from the generative model, alike for the same seed."""

import os
from pathlib import Path

import numpy as np

from autotts.answers import FAILED
from autotts.errors import SpecError
from autotts.simulation.fitting import fit
from autotts.simulation.process import EVENTS, Parameters, Walk, log_odds
from autotts.simulation.typical import ACCURACY, typical
from autotts.stores.manifest import Billing
from autotts.stores.recordings import Branch, Recording, build
from autotts.stores.schema import Store
from autotts.stores.writing import store_folder, write


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
    overwrite: bool = False,
) -> Path:
    """Write a synthetic store to OUT/MODEL/DATASET, the same for the same arguments.

    Args:
        like: the store whose figures it gets, questions in the same order; a mid-sized model on a
            competition without it.
        accuracy: mean share of right branches, if there is no store to be like.
        billing: that of `like` by default, else `reference`.

    Returns:
        The folder of the store.

    Raises:
        SpecError: an argument that makes no store.
        StoreError: there is a store already.
    """
    _require_sound(questions, branches, seed, like, accuracy)
    folder = store_folder(out, model, dataset)
    of_questions, of_branches = np.random.default_rng(seed).spawn(2)
    if like:
        parameters, source = fit(like), f"like {like.name}, digest {like.digest}"
    else:
        accuracy = ACCURACY if accuracy is None else accuracy
        parameters = typical(questions, rng=of_questions, accuracy=accuracy)
        source = f"typical, accuracy {accuracy}"
    billing = billing or (like.pool.billing if like else "reference")
    recordings = sample(
        parameters, questions=questions, branches=branches, billing=billing, rng=of_branches
    )
    store = build(
        recordings,
        model=model,
        dataset=dataset,
        interval_tokens=parameters.interval_tokens,
        billing=billing,
        failed_answer=FAILED,
        sampling={"simulated": True, "seed": seed},
        source=f"simulated: {source}",
    )
    write(store, folder, overwrite=overwrite)
    return folder


def _require_sound(
    questions: int, branches: int, seed: int, like: Store | None, accuracy: float | None
) -> None:
    if questions < 1 or branches < 1 or seed < 0:
        raise SpecError(
            f"{questions} questions, {branches} branches, seed {seed}: need at least 1, 1 and 0"
        )
    if accuracy is not None and like is not None:
        raise SpecError(f"accuracy {accuracy} and a store to be like: the store has its own")
    if like is not None:
        odd = {
            "has no probes": like.pool.probes is None,
            "has questions with different numbers of branches": not like.pool.exists.all(),
            "has intervals of different sizes": like.pool.ends is not None,
        }
        told = [what for what, is_so in odd.items() if is_so]
        if told:
            raise SpecError(
                f"{like.name} {' and '.join(told)}; simulated are stores with probes, as many"
                " branches for every question, and intervals of one size"
            )
    if accuracy is not None and not 0 < accuracy < 1:
        raise SpecError(f"accuracy {accuracy}: a share, between 0 and 1")


def sample(
    parameters: Parameters,
    *,
    questions: int,
    branches: int,
    billing: Billing,
    rng: np.random.Generator,
) -> list[Recording]:
    """Draw recordings. Questions of the parameters come in turn, and shuffled after the first turn.

    Args:
        billing: with `exact` the last interval of a branch is its rest; with `reference` a branch
            may end before or after it, as in the released recordings.
        rng: consumed.
    """
    known = len(parameters.finals)
    turns = [np.arange(known)] + [rng.permutation(known) for _ in range((questions - 1) // known)]
    parameters = parameters.of(np.concatenate(turns)[:questions])
    question = np.repeat(np.arange(questions), branches)
    entry = _draw(parameters.finals[question], rng)
    finals = _tell_apart(entry, question, parameters, rng)
    lengths = _lengths(entry, question, parameters, rng)
    tokens = _tokens(lengths, parameters, billing, rng)
    probes = _probes(question, finals, lengths, parameters, rng)
    golds = rng.choice(1000, size=questions, replace=questions > 1000)
    words = [
        _words(str(gold), parameters.finals.shape[1] - 1 + int(rare), rng)
        for gold, rare in zip(golds, parameters.tail_size, strict=True)
    ]
    drawn = zip(
        *(column.tolist() for column in (question, probes, lengths, tokens, finals)), strict=True
    )
    every = [
        Branch([words[q][code] for code in shown[:length]], spent, words[q][final])
        for q, shown, length, spent, final in drawn
    ]
    return [
        Recording(f"Simulated question {q}", words[q][0], every[q * branches : (q + 1) * branches])
        for q in range(questions)
    ]


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


def _lengths(
    entry: np.ndarray, question: np.ndarray, parameters: Parameters, rng: np.random.Generator
) -> np.ndarray:
    knots = parameters.shape.shape[1]
    at, part = np.divmod(rng.random(len(entry)) * (knots - 1), 1)
    low = parameters.shape[question, at.astype(np.int64)]
    high = parameters.shape[question, at.astype(np.int64) + 1]
    score = low + part * (high - low)
    log = parameters.log_length[question, entry] + parameters.spread[question, entry] * score
    return np.asarray(np.clip(np.ceil(np.exp(log)), 1, parameters.intervals), np.int64)


def _tokens(
    lengths: np.ndarray, parameters: Parameters, billing: Billing, rng: np.random.Generator
) -> np.ndarray:
    interval = parameters.interval_tokens
    if billing == "exact":
        return np.asarray(lengths * interval - rng.integers(interval, size=len(lengths)))
    steps = np.linspace(0, 1, len(parameters.rest))
    rest = np.interp(rng.random(len(lengths)), steps, parameters.rest).astype(np.int64)
    cut = lengths == parameters.intervals
    return np.asarray(np.maximum(1, lengths * interval + np.where(cut, parameters.cut_rest, rest)))


def _probes(
    question: np.ndarray,
    finals: np.ndarray,
    lengths: np.ndarray,
    parameters: Parameters,
    rng: np.random.Generator,
) -> np.ndarray:
    """`[R, K]` what each branch shows at each interval; past its end it means nothing."""
    walk = Walk(question, finals, lengths, parameters.finals.shape[1])
    shown = []
    for depth in range(lengths.max()):
        features = walk.features(parameters.wander)
        happens = {
            event: _happens(log_odds(event, parameters.tables, features), rng) for event in EVENTS
        }
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
