"""Controllers that weigh branches by a signal, on stores where it is known what it tells."""

import pytest

from autotts import stores
from autotts.evaluation import Experiment, evaluate
from autotts.simulation import simulate

NAMES = ("cdg", "deepconf", "deepconf-offline", "distri-voting")
FEW = Experiment("subsets:6")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Confidence tells right from wrong branches well."""
    out = tmp_path_factory.mktemp("stores")
    return stores.load(
        simulate(out, questions=20, branches=64, signals={"confidence": 0.85}, dataset="told")
    )


@pytest.fixture(scope="module")
def untold(tmp_path_factory):
    """No signal."""
    out = tmp_path_factory.mktemp("stores")
    return stores.load(simulate(out, questions=20, branches=64))


def accuracy(store, spec):
    (row,) = evaluate(store, spec, experiment=FEW).results()
    return row["accuracy"]


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_that_tells_helps(told, name):
    """Against a vote of as many branches."""
    assert accuracy(told, name) > accuracy(told, "sc:width=34") + 4


@pytest.mark.parametrize("name", ["cdg", "deepconf-offline", "distri-voting"])
def test_without_the_signal_they_vote(untold, name):
    assert accuracy(untold, f"{name}:width=20") == accuracy(untold, "sc:width=20")


def test_deepconf_gives_up_doubtful_branches(told):
    """Its later branches cost less than whole ones."""
    (row,) = evaluate(told, "deepconf:consensus=1.1", experiment=FEW).results()
    assert row["tokens"] < 0.95 * row["width"] * told.pool.tokens.mean()
