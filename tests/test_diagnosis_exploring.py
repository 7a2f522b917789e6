"""What matters on some stores: found where it is there, and told without an answer in it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotts import stores
from autotts.diagnosis.exploring import CLEAR, HOPELESS, OUTNUMBERED, explore, kinds_of
from autotts.diagnosis.matters_text import LIMIT_BYTES, GoingOn, Matters, matters_text
from autotts.evaluation import Experiment
from autotts.stores import Branch, Recording
from known_truth import store as known_store


def explored(made, *, draws=2):
    return explore(Experiment(draws=f"subsets:{draws}").tasks(made), seed=0)


def test_a_decoy_that_branches_leave_is_told(tmp_path):
    """The feature that tells is kept, a hypothesis names it, and three are told."""
    found = explored([known_store(tmp_path, "decoy", seed=1, questions=24, branches=32)])
    told = {row.feature: row for row in found.features}
    kept = {name for name, row in told.items() if row.kept}
    assert kept & {"left", "at_once"}  # a decoy is shown at once, and left
    assert all(told[name].low > 0 for name in kept)
    assert any(f"`{name}`" in found.hypotheses[0] for name in kept)
    assert len(found.hypotheses) == 3
    assert found.states[0].low is None


def planted(seed, questions, branches, probes):
    """A store in which all of a question's answers and its text can be known again anywhere."""
    rng = np.random.default_rng(seed)
    recordings = []
    for q in range(questions):
        answers = [f"ANSWER{seed}x{q}x{k}" for k in range(4)]
        weights = rng.dirichlet(np.ones(4))
        made = []
        for _ in range(branches):
            final = answers[rng.choice(4, p=weights)]
            length = int(rng.integers(1, 12))
            shown = [answers[rng.integers(4)] for _ in range(length - 1)]
            made.append(Branch([*shown, final] if probes else None, 500 * length, final))
        recordings.append(
            Recording(f"TEXT{seed} of {q}", answers[0], made, groups={"topic": f"topic{q % 2}"})
        )
    return stores.build(recordings, model="m", dataset="planted", interval_tokens=500)


@settings(max_examples=8)
@given(
    st.integers(0, 10_000),
    st.integers(1, 14),
    st.integers(2, 12),
    st.booleans(),
    st.integers(0, 4_000),
)
def test_no_answer_and_no_question_is_told(seed, questions, branches, probes, limit):
    """Whatever the store; within its size; and each question is in one kind and in one group."""
    found = explored([planted(seed, questions, branches, probes)])
    text = matters_text(found)
    assert "ANSWER" not in text
    assert "TEXT" not in text
    assert len(text.encode()) <= LIMIT_BYTES
    assert len(matters_text(found, limit).encode()) <= limit
    kinds = [family for family in found.families if not family.name.startswith("topic: ")]
    assert sum(family.questions for family in kinds) == questions
    assert sum(family.tokens for family in kinds) == pytest.approx(100)
    groups = [family for family in found.families if family.name.startswith("topic: ")]
    assert all(family.questions > 1 for family in groups)


def test_questions_are_of_a_kind_by_what_their_branches_end_on():
    def asked(q, finals):
        return Recording(f"q{q}", "r", [Branch([a], 500, a) for a in finals])

    made = stores.build(
        [asked(0, "wwwv"), asked(1, "rwwv"), asked(2, "rrrw")],
        model="m", dataset="kinds", interval_tokens=500,
    )  # fmt: skip
    assert kinds_of(made) == [HOPELESS, OUTNUMBERED, CLEAR]


def test_what_is_told_of_states_is_what_is_won_above_chance():
    row = GoingOn(1.0, None, 10, 80.0, 2.0, -0.04, 4.0)
    assert not row.gains
    text = matters_text(Matters((), 0.0, 0.0, 0, (row,), (), ("a", "b", "c")))
    assert "| 1 and more | 80 | +2.0 [+0.0, +4.0] | no |" in text
