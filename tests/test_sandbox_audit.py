"""The audit: what it samples, what it compares, and what its verdict is worth."""

import math

import numpy as np
import pytest

from attacks import HONEST, toy
from autotts.errors import ControllerError
from autotts.sandbox import audit
from autotts.sandbox.allowance import SAMPLE


def test_the_bound_is_the_rule_of_three():
    """600 clean episodes: with 95 % confidence at most 0.5 % of all differ."""
    assert audit.bound(SAMPLE) == pytest.approx(0.00498, abs=1e-5)
    assert audit.bound(100) == pytest.approx(3 / 100, rel=0.02)
    assert audit.bound(0) == 1.0
    for n in (1, 30, 600):
        assert math.isclose((1 - audit.bound(n)) ** n, 0.05)


def test_a_sample_is_of_all_cells_and_without_repetition():
    cells = [toy.make_cell(toy.make_pool(s), n_draws=3 + s) for s in range(3)]
    sample = audit.draw_sample(cells, 40, np.random.default_rng(1))
    assert len(set(sample)) == len(sample) == 40
    assert {c for c, _ in sample} == {0, 1, 2}
    assert all(0 <= e < len(cells[c].task.pairs) for c, e in sample)
    everything = audit.draw_sample(cells, 10**6, np.random.default_rng(1))
    assert len(set(everything)) == len(everything) == sum(len(cell.task.pairs) for cell in cells)


def test_a_sample_gives_each_question_its_share():
    cells = [toy.make_cell(toy.make_pool(s), n_draws=10) for s in range(3)]
    questions = len(cells[0].task.pool.probes)
    for size in (questions * 4, questions * 4 + 1):
        sample = audit.draw_sample(cells, size, np.random.default_rng(size))
        counts = np.bincount([cells[c].task.pairs[e, 0] for c, e in sample], minlength=questions)
        assert len(sample) == size
        assert set(counts.tolist()) <= {4, 5}


def test_every_episode_is_as_likely_to_be_sampled():
    cells = [toy.make_cell(toy.make_pool(s), n_draws=2) for s in range(2)]
    rng = np.random.default_rng(0)
    times = {(c, e): 0 for c in range(2) for e in range(len(cells[c].task.pairs))}
    size, rounds = len(times) // 3, 600
    for _ in range(rounds):
        for task in audit.draw_sample(cells, size, rng):
            times[task] += 1
    expected = rounds * size / len(times)
    assert all(abs(n - expected) < 5 * expected**0.5 for n in times.values())


def test_questions_are_not_sampled_in_step():
    """Where each has half an episode to give, two that come one after the other often both do."""
    cells = [toy.make_cell(toy.make_pool(0, questions=4), n_draws=10)]
    rng = np.random.default_rng(0)
    together = 0
    for _ in range(400):
        pair = audit.draw_sample(cells, 2, rng)
        together += {int(cells[0].task.pairs[e, 0]) for _, e in pair} in ({0, 2}, {1, 3})
    assert 0.2 < together / 400 < 0.5


@pytest.mark.parametrize("mode", ["auto", "blind"])
def test_an_honest_program_passes(mode):
    cell = toy.make_cell(n_draws=20)
    (ran,) = toy.sandbox().run(toy.played(toy.program(HONEST), cell), mode=mode, audit=80)
    verdict = ran.how.audit
    assert verdict.status == ("clean" if mode == "auto" else "blind")
    assert (verdict.sample, verdict.differing) == (80, 0)
    assert verdict.bound == (audit.bound(80) if mode == "auto" else 0.0)


def test_without_a_sample_nothing_is_claimed():
    (ran,) = toy.sandbox().run(toy.played(toy.program(HONEST), toy.make_cell(n_draws=1)))
    assert (ran.how.audit.status, ran.how.audit.bound) == ("none", 1.0)
    assert ran.how.words == "unaudited"


FORGETFUL = HONEST.replace(
    "    env.branch(p.width)\n",
    "    rng = np.random.default_rng(3)\n    env.branch(p.width + rng.integers(0, 3))\n",
).replace("def schedule", "import numpy as np\n\ndef schedule")


def test_seeded_randomness_is_fine():
    """It gives the same in every order; it does not compile, and runs blind."""
    cells = toy.played(toy.program(FORGETFUL), toy.make_cell(n_draws=10))
    (ran,) = toy.sandbox().run(cells, audit=40)
    assert ran.how.audit.status == "blind"
    assert ran.how.audit.differing == 0


MEMORY = HONEST.replace("\ndef solve", "\nSEEN = []\n\ndef solve").replace(
    "    return env.vote()",
    "    SEEN.append({1: 'a', 'b': []})\n    if len(SEEN) % 2:\n"
    "        env.branch(1)\n    return env.vote()",
)


def test_the_verdict_on_a_program_that_remembers(monkeypatch):
    """`audit` says it, `run` raises it."""
    monkeypatch.setattr("autotts.sandbox.sandbox.check_source", lambda text, path: None)
    cells = toy.played(toy.program(MEMORY), toy.make_cell(n_draws=20))
    verdict = toy.sandbox().audit(cells, sample=100)
    assert verdict.status == "rejected"
    assert verdict.differing > 0
    assert "in another order" in verdict.reason
    with pytest.raises(ControllerError, match="rejected"):
        toy.sandbox().run(cells, audit=100)
