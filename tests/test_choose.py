"""Choosing a beta: the promise it makes, and what it says where it can make none."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from autotts import simulation, stores
from autotts.cli import app
from autotts.errors import SpecError
from autotts.evaluation import Experiment
from autotts.evaluation.study.choose import (
    Allowed,
    choose,
    least_accurate,
    most_affordable,
    parse_amount,
    pick,
)
from autotts.stores import build, recordings_of

BETAS = (0.0, 0.1, 0.3, 0.6, 1.0)
FEW = Experiment(draws="reference:8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulation.simulate(
        tmp_path_factory.mktemp("choose"), questions=40, branches=16, seed=3, billing="exact"
    )


@pytest.fixture(scope="module")
def store(folder):
    return stores.load(folder)


def chosen(store, **asked):
    return choose(store, "cmc", betas=BETAS, experiment=FEW, **asked)


def test_the_walk_ends_at_the_first_bound_that_is_too_high():
    """A later setting that happens to fit is not taken: only so one bound is enough for all."""
    assert most_affordable(np.array([1.0, 2.0, 5.0, 3.0]), 4.0) == 1
    assert most_affordable(np.array([5.0, 1.0]), 4.0) is None
    assert most_affordable(np.array([1.0, 2.0]), 2.0) == 1
    assert least_accurate(np.array([0.6, 0.4, 0.5, 0.7]), 0.5) == 2
    assert least_accurate(np.array([0.6, 0.4]), 0.5) is None


def test_a_budget_buys_the_dearest_setting_whose_bound_it_covers(store):
    found = chosen(store, budget=Allowed(120_000.0))
    at = [one.beta for one in found.settings].index(found.chosen.beta)
    assert found.assured
    assert found.chosen.spent.high <= 120_000 < found.settings[at + 1].spent.high


def test_a_budget_outside_the_sweep_is_told(store):
    below = chosen(store, budget=Allowed(100.0))
    assert below.chosen is None
    assert "below the sweep" in below.why
    above = chosen(store, budget=Allowed(1e9))
    assert above.chosen.beta == 1.0
    assert any("above the sweep" in remark for remark in above.remarks)


def test_an_accuracy_that_is_only_measured_is_not_called_sure(store):
    found = chosen(store, accuracy=0.2)
    assert found.assured
    assert found.chosen.beta == 0.0
    measured = [one.accuracy.estimate for one in found.settings]
    barely = chosen(store, accuracy=max(measured) - 1e-6)
    assert not barely.assured
    assert barely.chosen.accuracy.estimate == max(measured)
    assert chosen(store, accuracy=0.999).chosen is None


def test_few_questions_and_few_branches_are_told(store):
    small = build(
        recordings_of(store)[:6], model="sim", dataset="six", billing="exact", interval_tokens=500
    )
    found = choose(small, "sc", betas=BETAS, experiment=FEW, budget=Allowed(900_000.0))
    assert any("6 questions are few" in remark for remark in found.remarks)
    assert any("16 branches per question" in remark for remark in found.remarks)


def test_what_can_not_be_chosen_is_refused(store):
    with pytest.raises(SpecError, match="one of them"):
        choose(store, "cmc")
    with pytest.raises(SpecError, match="names its beta"):
        choose(store, "cmc:beta=0.3", budget=Allowed(1.0))
    with pytest.raises(SpecError, match="between 0 and 1"):
        chosen(store, accuracy=60.0)
    with pytest.raises(SpecError, match="2000tokens"):
        parse_amount("twenty")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("2000tokens", Allowed(2000.0)),
        ("1,500", Allowed(1500.0)),
        ("900 sequential", Allowed(900.0, "sequential")),
    ],
)
def test_amounts_are_read_as_people_write_them(text, amount):
    assert parse_amount(text) == amount


def test_a_number_is_a_budget_of_tokens(folder):
    small = Experiment(draws="reference:2")
    found = choose(folder, "cmc", budget=120_000, betas=[0.0, 0.5], experiment=small)
    assert (found.target, found.objective) == (120_000, "tokens")
    with pytest.raises(SpecError, match="no beta was named"):
        choose(folder, "cmc", budget=120_000, betas=[])


def test_the_command_says_the_beta_what_it_buys_and_how_sure_that_is(folder, tmp_path):
    out = tmp_path / "chosen.json"
    command = ["choose", str(folder), "-c", "cmc", "--draws", "reference:4", "--json", str(out)]
    ran = CliRunner().invoke(app, [*command, "--budget", "120000tokens", "--beta", "0,0.1,0.5"])
    assert ran.exit_code == 0, ran.output
    record = json.loads(out.read_text())
    assert f"beta {record['chosen']['beta']:g}" in ran.output
    assert "keeps to it on other questions" in ran.output
    refused = CliRunner().invoke(app, [*command, "--budget", "10tokens", "--beta", "0.5"])
    assert refused.exit_code == 1
    assert "no beta" in refused.output


def test_the_budget_holds_on_questions_that_were_not_seen(tmp_path):
    """Twenty stores of one population; `benchmarks/choose_promise.py` has two hundred."""
    population = stores.load(
        simulation.simulate(tmp_path, questions=500, branches=8, seed=7, billing="exact")
    )
    every, held, inside = recordings_of(population), [], []
    how = {"betas": BETAS, "experiment": Experiment(draws="reference:2")}
    truth = choose(population, "sc", budget=Allowed(1.0), **how).settings
    for part in np.random.default_rng(0).permutation(500).reshape(20, 25):
        dealt = build(
            [every[q] for q in part], model="sim", dataset="part", billing="exact",
            interval_tokens=500,
        )  # fmt: skip
        settings = choose(dealt, "sc", budget=Allowed(1.0), **how).settings
        for budget in (60_000.0, 75_000.0, 100_000.0):
            at, _, _ = pick(settings, Allowed(budget), None)
            if at is not None:
                held.append(truth[at].spent.estimate <= budget)
                accuracy = settings[at].accuracy
                inside.append(accuracy.low <= truth[at].accuracy.estimate <= accuracy.high)
    assert len(held) > 30
    assert np.mean(held) >= 0.95
    assert np.mean(inside) >= 0.85
