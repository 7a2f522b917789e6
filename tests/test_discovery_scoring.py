"""Scoring: a cached sweep stands in for another run of the very same, and for nothing else."""

import dataclasses

import numpy as np
import pytest

from autotts import stores
from autotts.discovery.scoring import Scorer, _key
from autotts.evaluation import Experiment
from autotts.programs import Source, parse
from discover_toy import program, settings, store_folder
from test_forecasting import SPEED


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return store_folder(tmp_path_factory.mktemp("stores"))


@pytest.fixture
def scorer(store, tmp_path):
    """A sealed one, whose tries and rounds have the same draws."""
    made = settings(store, driver="sealed", audit=12, draws="reference:2", try_draws="reference:2")
    with Scorer([stores.load(store)], made, tmp_path) as scorer:
        yield scorer


def test_a_program_that_was_tried_is_audited_anew_when_it_is_handed_in(scorer):
    """Its try was audited with fewer episodes."""
    source = Source("round-1", "program.py", program(), trusted=False)
    tried = scorer.sweep(source, draws="reference:2", audit=3)
    handed_in = scorer.sweep(source)
    assert (tried.how.audit.sample, handed_in.how.audit.sample) == (3, 12)


def test_the_first_draws_of_a_kept_sweep_are_what_a_sweep_on_them_gives(scorer, store, tmp_path):
    scorer.baseline("asc")
    kept = set(tmp_path.glob("*.sweep"))
    part = scorer.baseline("asc", draws="reference:1")
    assert set(tmp_path.glob("*.sweep")) == kept, "it was run, not taken from the whole"
    with Scorer([stores.load(store)], settings(store, draws="reference:2")) as without:
        few = without.baseline("asc", draws="reference:1")
    for one, other in zip(part.ran, few.ran, strict=True):
        assert np.array_equal(one.episodes.results, other.episodes.results)
    for key in few.curve.stores:
        assert np.array_equal(part.curve.correct[key], few.curve.correct[key])
        assert np.array_equal(part.curve.tokens[key], few.curve.tokens[key])
    scorer.baseline("asc", draws="subsets:2")
    assert len(set(tmp_path.glob("*.sweep")) - kept) == 1, "other draws are no part of the whole"


def test_fresh_draws_are_audited_too(scorer):
    """What looks ahead may do so on these draws alone."""
    source = Source("round-1", "program.py", program(), trusted=False)
    assert scorer.sweep_afresh(source).how.audit.sample == 12


def test_baselines_that_differ_in_a_named_parameter_have_sweeps_of_their_own(scorer):
    narrow, wide = (scorer.baseline(f"sc:width={width}") for width in (1, 9))
    assert [one.parameters["width"] for one in narrow.ran] == [1, 1, 1]
    assert [one.parameters["width"] for one in wide.ran] == [9, 9, 9]
    assert wide.curve.points().tokens.min() > narrow.curve.points().tokens.max()


def test_a_sweep_comes_back_from_the_cache_as_it_was(scorer, store, tmp_path):
    source = Source("round-1", "program.py", program(), trusted=False)
    made = scorer.sweep(source)
    files = sorted(tmp_path.iterdir())
    again = scorer.sweep(source)
    assert sorted(tmp_path.iterdir()) == files
    assert again.notes == made.notes
    assert again.how == made.how
    for first, second in zip(made.ran, again.ran, strict=True):
        assert first.parameters == second.parameters
        assert (first.episodes.results == second.episodes.results).all()
    assert again.curve.controller == "round-1"


CHANGES = {"draws": "subsets:100", "budget": 9, "cost_budget": 8, "probe_tokens": 7,
           "max_branches": 3, "failed": "abstain", "seed": 5, "cluster": "topic"}  # fmt: skip


def test_every_field_of_an_experiment_is_in_the_key(store):
    """A field that is added is in it too: this test asks for a change of it."""
    loaded, specs, plain = [stores.load(store)], [parse("sc")], Experiment()
    assert CHANGES.keys() == {field.name for field in dataclasses.fields(Experiment)}
    keys = {
        _key(specs, loaded, dataclasses.replace(plain, **{name: value}), 600, "sealed", None)
        for name, value in CHANGES.items()
    }
    keys.add(_key(specs, loaded, plain, 600, "sealed", None))
    keys.add(_key(specs, loaded, plain, 100, "sealed", None))
    keys.add(_key(specs, loaded, plain, 600, "blind", None))
    keys.add(_key([parse("sc:width=4")], loaded, plain, 600, "sealed", None))
    keys.add(_key([parse("sc:beta=0.4")], loaded, plain, 600, "sealed", None))
    for objective in ("seconds", "dollars"):
        keys.add(_key(specs, loaded, plain, 600, "sealed", (objective, SPEED)))
    assert len(keys) == len(CHANGES) + 7


def test_a_sweep_kept_before_a_field_was_added_is_found():
    """The key of an experiment without what came later is the one it had then."""
    assert Experiment(draws="reference:20").key() == {
        "draws": "reference:20",
        "budget": None,
        "probe_tokens": 0,
        "max_branches": 64,
        "failed": "vote",
        "seed": 0,
    }
