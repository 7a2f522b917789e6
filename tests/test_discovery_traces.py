"""The traces of a round: a sample of its episodes, within its size, without an answer."""

import re

import numpy as np
import pytest

from autotts import programs
from autotts.diagnosis import VERDICTS, findings_of
from autotts.discovery import traces
from autotts.evaluation import run_cells
from secret_questions import EXECUTION, EXPERIMENT, assert_told_nothing, make_store


@pytest.fixture(scope="module")
def ran():
    """Episodes of one controller at two betas, on questions that it gets right and wrong."""
    store = make_store(np.random.default_rng(0), "m")
    spec = programs.parse("cmc")
    return run_cells([store], spec, (0.0, 1.0), experiment=EXPERIMENT, execution=EXECUTION)


def episodes(text):
    """(beta, question, draw) of the episodes in a text."""
    return re.findall(r"at beta (\S+) on .*, question (\d+), draw (\d+)\n", text)


def test_some_of_every_kind_are_shown_at_every_beta(ran):
    found = findings_of(ran)
    text = traces.sample(ran, found)
    shown = episodes(text)
    kinds = found.filter(found["verdict"] != VERDICTS[-1]).select("verdict", "beta").unique()
    assert kinds.height < len(shown) <= traces.EACH * kinds.height
    assert len(set(shown)) == len(shown)
    assert {beta for beta, _, _ in shown} == {"0", "1"}
    assert text.index("right answer was there") < text.index(": right.")


def test_the_same_episodes_give_the_same_text(ran):
    assert traces.sample(ran, findings_of(ran)) == traces.sample(ran, findings_of(ran))


def test_no_answer_and_no_question_is_told(ran):
    assert_told_nothing(traces.sample(ran, findings_of(ran)))


@pytest.mark.parametrize("limit_bytes", [1_000, 4_000])
def test_only_whole_episodes_are_shown_and_within_the_limit(ran, limit_bytes):
    text = traces.sample(ran, findings_of(ran), limit_bytes=limit_bytes)
    assert len(text.encode()) <= limit_bytes
    assert text.count("```text\n") * 2 == text.count("```")
    assert traces.sample(ran, findings_of(ran)).startswith(text)
