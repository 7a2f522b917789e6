"""Stores whose questions and answers are unmistakable, to see whether a text tells them."""

import numpy as np

from autotts import stores
from autotts.evaluation import Execution, Experiment
from autotts.stores import Branch, Recording, Store

EXPERIMENT = Experiment(draws="reference:6", max_branches=12)
EXECUTION = Execution(traces=True)
ANSWERS = ("31337", "271828", "161803")
QUESTION = "A secret question"


def make_store(rng: np.random.Generator, model: str) -> Store:
    """6 questions, of which the first are often answered right and the last seldom."""
    recordings = []
    for q in range(6):
        branches = []
        for _ in range(12):
            final = str(rng.choice(ANSWERS, p=[0.6 - 0.1 * q, 0.3 + 0.1 * q, 0.1]))
            length = int(rng.integers(3, 30))
            probes = [str(rng.choice(ANSWERS)), *[final] * (length - 1)]
            branches.append(Branch(probes, 500 * length, final))
        recordings.append(Recording(f"{QUESTION} {q}?", ANSWERS[0], branches))
    return stores.build(recordings, model=model, dataset="toy", interval_tokens=500)


def assert_told_nothing(text: str) -> None:
    assert not any(secret in text for secret in (*ANSWERS, QUESTION, "secret"))
