import textwrap

import numpy as np
import pytest

from autotts import programs, stores
from autotts.errors import SpecError
from autotts.evaluation import Execution, Experiment
from autotts.evaluation.study.ablation import ablate, mechanisms
from autotts.programs import Source
from autotts.stores import Branch, Recording, Store

EXPERIMENT = Experiment(draws="subsets:6", max_branches=16, seed=7)
BETAS = (0.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def store() -> Store:
    """Twelve questions whose majority is right, by less and less."""
    rng = np.random.default_rng(1)
    recordings = []
    for q in range(12):
        branches = []
        for _ in range(16):
            final = "A" if rng.random() < 0.95 - 0.03 * q else "B"
            length = int(rng.integers(2, 9))
            branches.append(Branch(["B", *[final] * (length - 1)], 10 * length, final))
        recordings.append(Recording(f"Question {q}?", "A", branches))
    return stores.build(
        recordings, model="toy", dataset="coins", interval_tokens=10, billing="exact"
    )


def source(text: str) -> Source:
    return Source("mine", "mine.py", textwrap.dedent(text), trusted=True)


def test_mechanisms_are_found_without_running_anything():
    found = dict(
        mechanisms(
            source(
                """
                raise SystemExit

                def schedule(beta):
                    for _ in range(3):
                        if beta > 2:
                            break
                    return {}

                def solve(env, p):
                    env.branch(4)
                    for step in range(9):
                        if step > 3:
                            env.prune(env.active())
                        if env.n_finished > 2:
                            break
                        env.branch(1)
                    return env.vote()
                """
            )
        )
    )
    assert list(found) == [
        "line 14: no pruning",
        "line 15: no stop if env.n_finished > 2",
        "line 17: no opening more",
    ]
    assert "env.prune" not in found["line 14: no pruning"].text
    assert "n_finished" not in found["line 15: no stop if env.n_finished > 2"].text
    assert "env.branch(1)" not in found["line 17: no opening more"].text
    assert "env.branch(4)" in found["line 17: no opening more"].text
    assert not any(variant.trusted for variant in found.values())


def test_freezing_compares_on_the_same_draws(store):
    """At most so many branches: held at its middle, the cheap end gets dearer."""
    table = ablate(
        [store], programs.parse("short-mk"), betas=BETAS, experiment=EXPERIMENT, mechanisms=False
    )
    assert set(table["kind"]) == {"frozen"}
    assert table["failure"].is_null().all()
    assert (table["accuracy_low"] <= table["accuracy"]).all()
    assert (table["accuracy"] <= table["accuracy_high"]).all()
    assert table["area"].is_sorted()


def test_what_changes_nothing_is_worth_nothing(store):
    """A threshold that every beta passes at once makes no difference, and neither does freezing."""
    spec = programs.parse("asc:max_branches=2")
    table = ablate([store], spec, betas=BETAS, experiment=EXPERIMENT, mechanisms=False)
    row = table.row(0, named=True)
    assert row["variant"].startswith("threshold = ")
    assert (row["accuracy"], row["tokens"], row["better"], row["worse"]) == (0, 0, 0, 0)


def test_a_removed_stop_costs_tokens(store):
    """Without its stop, adaptive self-consistency reads every branch."""
    execution = Execution(unsafe=True)
    spec = programs.parse("asc:threshold=0.9,max_branches=16")
    table = ablate([store], spec, betas=BETAS, experiment=EXPERIMENT, execution=execution)
    row = table.row(0, named=True)
    assert row["kind"] == "removed"
    assert row["failure"] is None
    assert row["tokens_low"] > 0.2


def test_nothing_to_take_out_is_an_error(store):
    with pytest.raises(SpecError, match="of mechanisms none is known"):
        ablate([store], programs.parse("sc:width=4"), betas=BETAS, experiment=EXPERIMENT)
