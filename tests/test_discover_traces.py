"""The traces of a round: a sample of its episodes, within its size, without an answer."""

import re

import numpy as np
import pytest

from autotts import programs, stores
from autotts.diagnose import VERDICTS, Ran, diagnose
from autotts.discover import traces
from autotts.evaluate import Settings, run_cells
from autotts.stores import Branch, Recording

SETTINGS = Settings(draws="reference:6", max_branches=12, traces=True)
ANSWERS = ("31337", "271828", "161803")


@pytest.fixture(scope="module")
def ran():
    """Episodes of one controller at two betas, on questions that it gets right and wrong."""
    rng = np.random.default_rng(0)
    recordings = []
    for q in range(6):
        branches = []
        for _ in range(12):
            final = str(rng.choice(ANSWERS, p=[0.6 - 0.1 * q, 0.3 + 0.1 * q, 0.1]))
            length = int(rng.integers(3, 30))
            probes = [str(rng.choice(ANSWERS)), *[final] * (length - 1)]
            branches.append(Branch(probes, 500 * length, final))
        recordings.append(Recording(f"A secret question {q}?", ANSWERS[0], branches))
    store = stores.build(recordings, model="m", dataset="toy", interval_tokens=500)
    specs = [programs.parse("cmc").at(beta) for beta in (0.0, 1.0)]
    return [Ran.of(cell, SETTINGS) for cell in run_cells([store], specs, SETTINGS)]


def episodes(text):
    """(beta, question, draw) of the episodes in a text."""
    return re.findall(r"at beta (\S+) on .*, question (\d+), draw (\d+)\n", text)


def test_some_of_every_kind_are_shown_at_every_beta(ran):
    found = diagnose(ran)
    text = traces.sample(ran, found)
    shown = episodes(text)
    kinds = found.filter(found["verdict"] != VERDICTS[-1]).select("verdict", "beta").unique()
    assert kinds.height < len(shown) <= traces.EACH * kinds.height
    assert len(set(shown)) == len(shown)
    assert {beta for beta, _, _ in shown} == {"0", "1"}
    assert text.index("right answer was there") < text.index(": right.")


def test_the_same_episodes_give_the_same_text(ran):
    assert traces.sample(ran, diagnose(ran)) == traces.sample(ran, diagnose(ran))


def test_no_answer_and_no_question_is_told(ran):
    text = traces.sample(ran, diagnose(ran))
    assert "secret" not in text
    assert not any(answer in text for answer in ANSWERS)


@pytest.mark.parametrize("limit_bytes", [1_000, 4_000])
def test_only_whole_episodes_are_shown_and_within_the_limit(ran, limit_bytes):
    text = traces.sample(ran, diagnose(ran), limit_bytes=limit_bytes)
    assert len(text.encode()) <= limit_bytes
    assert text.count("```text\n") * 2 == text.count("```")
    assert traces.sample(ran, diagnose(ran)).startswith(text)
