"""What episodes show of the model that answers, most of it without the true answer."""

from dataclasses import dataclass

import numpy as np

from autotts import control
from autotts.evaluation.statistics import FloatArray
from autotts.replay.driver import Ran

FIGURES = {
    "tokens": "tokens of an episode",
    "length": "tokens of a branch that ended",
    "agreement": "branches that show the most frequent answer",
    "changes": "readings of a branch that differ from the one before",
    "unreadable": "ended branches without a readable answer",
    "right": "ended branches that are right",
    "accuracy": "episodes that are right",
}
"""What is known of an episode: logs of tokens, and shares."""

LOGS = ("tokens", "length")

_DECODES = (control.BRANCH, control.CONTINUE, control.FINISH)


@dataclass(frozen=True, slots=True)
class FigureValues:
    """One of `FIGURES`.

    values: `[E]`, nan where an episode does not have it.
    weights: `[E]` what each episode counts in a mean over episodes of one question: 1, or the
        branches that its value is a share of; 0 where it has none.
    """

    values: FloatArray
    weights: FloatArray

    def some(self, episodes: np.ndarray) -> "FigureValues":
        """The same of these episodes."""
        return FigureValues(self.values[episodes], self.weights[episodes])


def figures_of(ran: Ran) -> dict[str, FigureValues]:
    """Each of `FIGURES`.

    Whether branches and episodes are right is among them where the store has true answers. In an
    episode without an ended branch, `right` is of the latest answers of all branches: programs that
    stop early may never end one.

    Raises:
        SpecError: it was run without traces.
    """
    steps = ran.steps()
    episode, _, kind, branch, _, code, tokens, _ = steps[steps[:, 2] != control.NOTE].T
    questions = ran.task.pairs[:, 0]
    count, width = len(questions), int(branch.max(initial=0)) + 1
    key = episode * width + branch
    failed = ran.store.pool.failed[questions[episode]]
    spent = np.bincount(key, np.where(np.isin(kind, _DECODES), tokens, 0), count * width)
    ends = kind == control.FINISH
    read = (code >= 0) & (code != failed) & (kind != control.PRUNE)

    branches, answers = _latest(key[read], code[read], count * width)
    showing = branches // width
    ended = episode[ends]

    found = {
        "tokens": np.log(np.maximum(spent.reshape(count, width).sum(axis=1), 1)),
        "length": _mean(np.log(np.maximum(spent[key[ends]], 1)), ended, count),
        "agreement": _most_frequent(showing, answers, count) / _number(showing, count),
        "changes": _changes(key[read], code[read], count, width),
        "unreadable": _mean(~read[ends], ended, count),
    }
    if ran.store.graded:
        found["accuracy"] = ran.correct.astype(np.float64)
    shown = {name: FigureValues(values, 1.0 - np.isnan(values)) for name, values in found.items()}
    of_ended = np.bincount(ended, minlength=count).astype(np.float64)
    shown["unreadable"] = FigureValues(found["unreadable"], of_ended)
    if ran.store.graded:
        right = ran.store.accepts(answers, questions[showing])
        at_end = np.isin(branches, key[ends])
        none = np.bincount(showing[at_end], minlength=count) == 0
        counts = at_end | none[showing]
        shown["right"] = FigureValues(
            _mean(right[counts], showing[counts], count),
            np.bincount(showing[counts], minlength=count).astype(np.float64),
        )
    return shown


def _latest(key: np.ndarray, code: np.ndarray, branches: int) -> tuple[np.ndarray, np.ndarray]:
    """Branches that showed an answer, `[B]`, and what each showed last, `[B]`."""
    last = np.full(branches, -1, np.int64)
    last[key] = code  # of several values for one place the last one stays
    shows = np.flatnonzero(last >= 0)
    return shows, last[shows]


def _most_frequent(episode: np.ndarray, answer: np.ndarray, count: int) -> FloatArray:
    """`[E]` votes for the most frequent answer of each episode."""
    pairs, votes = np.unique(np.stack([episode, answer]), axis=1, return_counts=True)
    most = np.zeros(count)
    np.maximum.at(most, pairs[0], votes)
    return most


def _changes(key: np.ndarray, code: np.ndarray, count: int, width: int) -> FloatArray:
    """`[E]` share of readings of a branch that differ from the one before."""
    order = np.argsort(key, kind="stable")
    key, code = key[order], code[order]
    again = key[1:] == key[:-1]
    return _mean((code[1:] != code[:-1])[again], key[1:][again] // width, count)


def _number(episode: np.ndarray, count: int) -> FloatArray:
    """`[E]` how many there are of each episode; nan for none."""
    found = np.bincount(episode, minlength=count).astype(np.float64)
    return np.where(found == 0, np.nan, found)


def _mean(values: np.ndarray, episode: np.ndarray, count: int) -> FloatArray:
    """`[E]` mean of the values of each episode; nan where there are none."""
    return np.asarray(np.bincount(episode, values, count) / _number(episode, count))
