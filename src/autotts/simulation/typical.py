"""A typical model on a typical competition: parameters that no recording is needed for.

The shared tables of `typical.json` are the mean of those fitted to the four Qwen3 models on
AIME24 (`benchmarks/simulated_vs_real.py --typical` writes it). The constants below describe how the
questions of those stores differ; with the accuracy of the 1.7B model, self-consistency over 64
branches reaches 60 to 70 %.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources

import numpy as np

from autotts.simulation.process import EVENTS, FAILED, GOLD, SIZES, Parameters
from autotts.simulation.solving import solve

ACCURACY = 0.48
"""Mean share of right branches; questions spread around it as in a U."""

_U_SHAPE = 0.8  # sum of the two exponents of the accuracies' beta distribution
_NAMED = 20  # wrong answers with entries of their own
_DISCOUNT = 0.3  # of the Pitman-Yor process of decoys: how slowly their shares fall off
_FAILED_SHARE = 0.01  # of wrong branches that end on a failed extraction
_TAIL_SIZE = 100
_INTERVALS, _INTERVAL_TOKENS, _CUT_REST = 80, 500, 1330

_LOG_LENGTH, _LOG_LENGTH_ACCURACY, _LOG_LENGTH_SD = 3.25, -0.6, 0.33  # of right branches
_WRONG_LONGER, _WRONG_LONGER_SD, _DECOY_SD = 0.38, 0.25, 0.1  # log length against right branches
_SPREAD, _SPREAD_SD = 0.28, 0.25  # of log lengths in a question; its own log deviation

_LURE_SCALE, _LURE_MEMORY = 3.5, 0.93  # of log weights of wandering answers; from depth to depth
_WANDER_GOLD, _WANDER_FAILED, _WANDER_TAIL = 0.03, 0.12, 0.2  # weights deep in a branch
_RAMP = np.array([0.2, 0.4, 0.5, 0.7, 0.8, 1, 1, 1, 1, 1])  # share of these, by depth

_OWN_SD = {
    ("enter", ("question", "ends")): 0.6,
    ("enter", ("question", "depth")): 0.7,
    ("leave", ("question", "ends")): 0.6,
    ("stay", ("question", "entry")): 0.6,
    ("stay", ("question", "depth")): 0.6,
    ("back", ("question",)): 0.6,
}
"""Deviation of the log odds of single questions, by event and table."""


def typical(questions: int, *, rng: np.random.Generator, accuracy: float = ACCURACY) -> Parameters:
    """Parameters of a store with that many different questions.

    Args:
        rng: consumed.
        accuracy: mean share of right branches, in (0, 1).
    """
    shared = json.loads(
        resources.files("autotts.simulation").joinpath("typical.json").read_text("utf-8")
    )
    right = _accuracies(questions, accuracy, rng)
    finals = _finals(right, rng)
    answers = finals.shape[1]
    log_length = np.empty_like(finals)
    log_length[:, GOLD] = rng.normal(_LOG_LENGTH + _LOG_LENGTH_ACCURACY * right, _LOG_LENGTH_SD)
    longer = rng.normal(_WRONG_LONGER, _WRONG_LONGER_SD, (questions, 1))
    decoys = rng.normal(longer, _DECOY_SD, (questions, answers - 1))
    log_length[:, GOLD + 1 :] = log_length[:, :1] + decoys
    spread = _SPREAD * np.exp(rng.normal(0, _SPREAD_SD, (questions, 1)))
    return Parameters(
        finals=finals,
        log_length=log_length,
        spread=np.repeat(spread, answers, axis=1),
        shape=np.repeat([shared["shape"]], questions, axis=0),
        wander=_wander(questions, answers, rng),
        tail_size=np.full(questions, _TAIL_SIZE),
        rest=np.array(shared["rest"]),
        intervals=_INTERVALS,
        cut_rest=_CUT_REST,
        interval_tokens=_INTERVAL_TOKENS,
        tables=_tables(shared["tables"], questions, answers, rng),
    )


def of_models(base: Parameters, accuracies: Sequence[float]) -> Parameters:
    """The same questions answered by several models, which differ in how often they are right.

    What is hard for one is hard for all, and lures all to the same answers.

    Args:
        base: of one model.
        accuracies: mean share of right branches of each, in (0, 1).
    """
    models = len(accuracies)
    rows = base.of(np.repeat(np.arange(len(base.finals)), models))
    finals = np.stack([_as_accurate(base.finals, one) for one in accuracies], axis=1)
    return replace(rows, finals=finals.reshape(rows.finals.shape), models=models)


def _as_accurate(finals: np.ndarray, accuracy: float) -> np.ndarray:
    """`[Q, A]` shares whose log odds of the true answer are all moved by the same number."""
    right = np.clip(finals[:, GOLD], 1e-6, 1 - 1e-6)
    odds = np.log(right / (1 - right))
    moved = solve(lambda by: float((1 / (1 + np.exp(-odds - by))).mean()), accuracy, 20.0)
    new = 1 / (1 + np.exp(-odds - moved))
    shares = finals * ((1 - new) / (1 - right))[:, None]
    shares[:, GOLD] = new
    return np.asarray(shares)


def _accuracies(questions: int, accuracy: float, rng: np.random.Generator) -> np.ndarray:
    """`[Q]` one from each quantile of a beta distribution: stores differ less than by chance."""
    crowd = rng.beta(_U_SHAPE * accuracy, _U_SHAPE * (1 - accuracy), 10_000)
    where = (rng.permutation(questions) + rng.random(questions)) / questions
    return np.asarray(np.quantile(crowd, where))


def _finals(right: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`[Q, A]` shares of final answers: broken sticks for the decoys, shorter on hard questions."""
    left = (1 - right) * (1 - _FAILED_SHARE)
    finals = [right, (1 - right) * _FAILED_SHARE]
    for rank in range(1, _NAMED + 1):
        part = rng.beta(1 - _DISCOUNT, 1 + 6 * right + rank * _DISCOUNT)
        finals.append(left * part)
        left = left * (1 - part)
    return np.stack([*finals, left], axis=1)


def _wander(questions: int, answers: int, rng: np.random.Generator) -> np.ndarray:
    """`[Q, depth, A]` weights that drift with depth, as one partial result gives way to another."""
    score = rng.normal(size=(questions, answers))
    steps = []
    for ramp in _RAMP:
        weights = np.exp(_LURE_SCALE * score)
        weights[:, [GOLD, FAILED, -1]] = 0
        apart = ramp * np.array([_WANDER_GOLD, _WANDER_FAILED, _WANDER_TAIL])
        weights *= (1 - apart.sum()) / weights.sum(axis=1, keepdims=True)
        weights[:, [GOLD, FAILED, -1]] = apart
        steps.append(weights)
        news = rng.normal(size=score.shape)
        score = _LURE_MEMORY * score + np.sqrt(1 - _LURE_MEMORY**2) * news
    return np.stack(steps, axis=1)


def _tables(
    shared: dict[str, list[list[float]]], questions: int, answers: int, rng: np.random.Generator
) -> dict[str, tuple[np.ndarray, ...]]:
    sizes = SIZES | {"question": questions, "entry": answers}
    tables = {}
    for event, keys in EVENTS.items():
        known = iter(shared[event])
        tables[event] = tuple(
            rng.normal(0, _OWN_SD[event, key], [sizes[name] for name in key])
            if key[0] == "question"
            else np.array(next(known))
            for key in keys
        )
    return tables
