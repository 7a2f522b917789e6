"""How sure a model was of an interval, from the log-probabilities of its tokens."""

import numpy as np

from autotts.inference.server import Logprobs

TOP = 20
"""Log-probabilities a token that signals are made of, as DeepConf has them."""

NAMES = ("confidence", "entropy")


def signals_of(logprobs: Logprobs | None) -> dict[str, float]:
    """Signals of an interval by name; none where a server gave no log-probabilities.

    confidence: the mean over tokens of minus the mean log-probability of the likeliest tokens
        (DeepConf, Fu et al. 2025, arXiv 2508.15260): larger is surer.
    entropy: the mean over tokens of the entropy of the likeliest tokens among themselves, in nats.
    """
    if logprobs is None or not len(logprobs.top) or not np.isfinite(logprobs.top).any(axis=1).all():
        return {}
    top = logprobs.top.astype(np.float64)
    there = np.isfinite(top)
    count = there.sum(axis=1)
    confidence = -np.where(there, top, 0.0).sum(axis=1) / count
    # Beside the likeliest, which has not to be likely at all.
    shares = np.exp(np.where(there, top - top.max(axis=1, keepdims=True), -np.inf))
    shares /= shares.sum(axis=1, keepdims=True)
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    return {
        "confidence": float(confidence.mean()),
        "entropy": float(-(shares * logs).sum(axis=1).mean()),
    }
