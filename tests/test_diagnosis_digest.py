"""The digest: within its size, and without a word of what explorers must not see."""

import numpy as np
import polars as pl
import pytest

from autotts import programs
from autotts.diagnosis.digest import LIMIT_BYTES, digest
from autotts.diagnosis.episode_text import show
from autotts.diagnosis.findings import findings_of
from autotts.discovery.traces import sample
from autotts.evaluation import run_cells
from autotts.simulation import simulate
from secret_questions import EXECUTION, EXPERIMENT, assert_told_nothing, make_store


@pytest.fixture(scope="module")
def found():
    """Findings of two controllers on two models, with their episodes."""
    rng = np.random.default_rng(0)
    made = [make_store(rng, model) for model in ("small", "large")]
    runs = {}
    for name in ("cmc", "asc"):
        runs[name] = run_cells(
            made, programs.parse(name), (0.0, 1.0), experiment=EXPERIMENT, execution=EXECUTION
        )
    return {name: (findings_of(ran), ran) for name, ran in runs.items()}


def test_everything_is_there_and_fits(found):
    told = digest(*found["cmc"], parent=found["asc"][0])
    for heading in (
        "# Diagnosis of cmc",
        "## Where accuracy is lost",
        "## When the vote was settled",
        "## Against asc",
        "## Questions with most to win",
        "## Questions lost but winnable",
        "## The same branches under other votes",
        "## Answers held, kept and left",
        "## Streaks and finished branches",
        "## The best stop in hindsight",
        "## Marginal value at beta 1",
        "## Ceilings",
        "## Episodes to look at",
        "## The pools",
    ):
        assert heading in told
    assert len(told.encode()) <= LIMIT_BYTES


def test_no_answer_and_no_question_is_told(found):
    table, ran = found["cmc"]
    told = digest(table, ran, parent=found["asc"][0])
    told += "".join(show(one, table, q, d) for one in ran for q in range(6) for d in range(6))
    assert_told_nothing(told)


def test_a_small_limit_cuts_whole_lines_from_the_end(found):
    told = digest(*found["cmc"], limit_bytes=1_500, more="ask for more")
    assert len(told.encode()) <= 1_500
    assert told.startswith("# Diagnosis of cmc")
    assert told.endswith("(cut here; `ask for more` tells the rest)\n")
    whole = digest(*found["cmc"], more="ask for more").splitlines()
    assert all(line in whole for line in told.splitlines()[:-2])


def test_a_controller_that_is_always_right_has_nothing_to_lose(found):
    table, ran = found["asc"]
    perfect = table.with_columns(
        correct=pl.lit(True), verdict=pl.lit("right").cast(table.schema["verdict"])
    )
    assert "Nowhere: every vote is right." in digest(perfect, ran)


def test_an_episode_that_was_not_run_is_an_error(found):
    table, ran = found["asc"]
    with pytest.raises(ValueError, match="question 77, draw 0"):
        show(ran[0], table, 77, 0)


def test_recordings_without_probes_are_diagnosed_as_far_as_they_can_be(tmp_path):
    """Own samples have final answers only; a search diagnoses its programs on them too."""
    folder = simulate(tmp_path, questions=4, branches=12, seed=1, probes=False)
    ran = run_cells(
        [folder], programs.parse("asc"), (0.0, 1.0), experiment=EXPERIMENT, execution=EXECUTION
    )
    found = findings_of(ran)
    told = digest(found, ran)
    assert "Where accuracy is lost" in told
    assert "Only final answers were recorded" in told
    assert "inf" not in told.replace("information", "")
    assert "left open" in show(ran[0], found, 0, 0) or "ended on" in show(ran[0], found, 0, 0)
    assert sample(ran, found)
