"""Controllers that ask several models, on stores where it is known what that should do."""

import numpy as np
import pytest

from autotts import stores
from autotts.evaluation import Experiment, evaluate
from autotts.simulation import SimulatedModel, simulate
from autotts.stores import Branch, PricedModel, Recording, build

PAIR = (PricedModel(name="small", price=1), PricedModel(name="large", price=10, price_text="10"))


def store_of(*questions):
    """Questions as (answers of the small model, answers of the large one), all right where "1"."""
    return build(
        [
            Recording(
                f"q{q}", "1",
                [
                    Branch([answer], 100, answer, model=m)
                    for m, answers in enumerate(pair)
                    for answer in answers
                ],
            )
            for q, pair in enumerate(questions)
        ],
        model="pair", dataset="toy", interval_tokens=100, billing="exact", models=PAIR,
    )  # fmt: skip


def played(store, spec):
    """The single row of one controller in the order of the store."""
    (row,) = evaluate(store, spec, experiment=Experiment("subsets:1")).results()
    return row


def test_model_switch_stops_where_the_first_model_agrees():
    """Three samples of the small model; the large one is asked only on the second question."""
    agree, differ = (["1"] * 3, ["2"] * 3), (["1", "2", "3"], ["1"] * 3)
    row = played(store_of(agree, differ), "model-switch:samples=3")
    assert row["accuracy"] == 100
    assert row["tokens"] == (300 + 600) / 2
    assert row["cost"] == (300 + 300 + 3_000) / 2


def test_a_cascade_asks_the_next_model_only_for_what_is_not_settled():
    settled, open_ = (["1"] * 4, ["2"] * 4), (["1", "2"] * 2, ["1"] * 4)
    row = played(store_of(settled, open_), "cascade:samples=4,margin=2")
    assert row["accuracy"] == 100
    # Two of the small model; or four of it, which end level, and two of the large one.
    assert row["cost"] == (200 + 400 + 2_000) / 2


@pytest.mark.parametrize("name", ["cascade", "model-switch"])
def test_a_store_of_one_model_is_asked_once(tmp_path, name):
    """As many samples as one model gives, and no look for another."""
    store = stores.load(simulate(tmp_path, questions=4, branches=20))
    (row,) = evaluate(store, name, experiment=Experiment("subsets:3")).results()
    assert row["cost"] == row["tokens"]
    assert row["width"] <= {"model-switch": 9, "cascade": 20}[name]


def test_who_asks_several_models_pays_less_than_the_large_one_alone(tmp_path):
    """Where the small model is often right; at the accuracy of a vote of the large one or more."""
    models = [SimulatedModel("small", 0.5, "1"), SimulatedModel("large", 0.7, "10")]
    store = stores.load(simulate(tmp_path, questions=30, branches=64, models=models))
    large = store.pool.model == 1
    alone = 10 * np.where(large, store.pool.tokens, 0).sum(axis=1).mean()
    row = played(store, "cascade:samples=8,margin=3")
    right = np.mean(
        [
            np.bincount(store.pool.finals[q][large[q]]).argmax() == store.gold[q]
            for q in range(len(store.gold))
        ]
    )
    assert row["cost"] < 0.6 * alone
    assert row["accuracy"] > 100 * right - 10
