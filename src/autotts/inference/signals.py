"""How sure a model was of an interval, from the log-probabilities of its tokens."""

from collections.abc import Callable

import numpy as np

from autotts.inference.server import Logprobs

TOP = 20
"""Log-probabilities a token that signals are made of, as DeepConf has them."""

WINDOW = 2048
"""Tokens of a window, as DeepConf has them."""

ANSWER_LOGPROB = "answer_logprob"
NAMES = ("confidence", "entropy", "lowest_confidence", "end_of_thinking", ANSWER_LOGPROB)


def confidences_of(logprobs: Logprobs | None) -> np.ndarray:
    """float64 `[T]` the confidence of each token: minus the mean log-probability of the likeliest
    tokens (DeepConf, Fu et al. 2025, arXiv 2508.15260). Empty where a server gave none."""
    if logprobs is None or not np.isfinite(logprobs.top).any(axis=1).all():
        return np.zeros(0)
    there = np.isfinite(logprobs.top)
    summed = np.where(there, logprobs.top, 0.0).sum(axis=1, dtype=np.float64)
    confidences: np.ndarray = -summed / there.sum(axis=1)
    return confidences


def remembered(confidences: np.ndarray) -> np.ndarray:
    """float16 `[T]` confidences as windows have them, and a journal, where tokens are many."""
    halves: np.ndarray = np.minimum(confidences, np.finfo(np.float16).max).astype(np.float16)
    return halves


def signals_of(
    logprobs: Logprobs | None, before: np.ndarray, *, window: int = WINDOW
) -> dict[str, float]:
    """Signals of an interval by name; none where a server gave no log-probabilities.

    confidence: the mean over tokens of their confidence: larger is surer.
    entropy: the mean over tokens of the entropy of the likeliest tokens among themselves, in nats.
    lowest_confidence: the lowest mean confidence of a window of tokens, see `lowest_window`.
    end_of_thinking: the probability that `</think>` would have been drawn somewhere in the
        interval; where it is not among the likeliest, it counts as 0.

    Args:
        before: float16 `[P]` confidences of the branch's tokens before the interval, the last
            `window` at least where there are so many.
    """
    confidences = confidences_of(logprobs)
    if logprobs is None or not len(confidences):
        return {}
    top = logprobs.top.astype(np.float64)
    # Beside the likeliest, which has not to be likely at all.
    shares = np.exp(top - top.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    stays = np.log1p(-np.minimum(np.exp(logprobs.closing.astype(np.float64)), 1 - 1e-12))
    return {
        "confidence": float(confidences.mean()),
        "entropy": float(-(shares * logs).sum(axis=1).mean()),
        "lowest_confidence": lowest_window(before, remembered(confidences), window=window),
        "end_of_thinking": float(-np.expm1(stays.sum())),
    }


def lowest_window(before: np.ndarray, new: np.ndarray, *, window: int) -> float:
    """DeepConf's lowest group confidence, as far as an interval adds to it: the lowest mean of
    `window` tokens in a row that end in it. Of a branch that is shorter, the mean of all tokens.

    Args:
        before: float16 `[P]` confidences of tokens before the interval.
        new: float16 `[T]` those of the interval, one at least.
    """
    recent = np.concatenate([before[max(0, len(before) - window + 1) :], new]).astype(np.float64)
    if len(recent) < window:
        return float(recent.mean())
    sums = np.concatenate([[0.0], np.cumsum(recent)])
    return float((sums[window:] - sums[:-window]).min() / window)


def answer_logprob(
    answer: str, logprobs: Logprobs | None, answer_in: Callable[[str], str]
) -> float | None:
    """The log-probability of a probe's answer: of all tokens up to where it stands there.

    Args:
        answer_in: the answer that what the probe said gives, or a beginning of that.
    """
    if logprobs is None:
        return None
    said = ""
    for k, piece in enumerate(logprobs.pieces, start=1):
        said += piece
        if answer_in(said) == answer:
            return float(logprobs.chosen[:k].sum())
    return None
