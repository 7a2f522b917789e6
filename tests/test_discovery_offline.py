"""The offline explorer: its sources do what was measured, and its search is repeatable."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from autotts import programs, stores
from autotts.discovery.explorer import ProgramRules
from autotts.discovery.explorers import make
from autotts.discovery.explorers.offline.mechanisms import (
    EVERYTHING,
    MECHANISMS,
    PARAMETERS,
    Composition,
    clip,
    in_use,
    one_way,
    source,
    through,
)
from autotts.discovery.explorers.offline.search import _changed, _kept
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import RunLimits
from autotts.errors import RunError
from autotts.programs.checker import problems
from autotts.replay.in_process import run_interpreted
from discover_toy import result, session, settings, store_folder


@st.composite
def compositions(draw):
    used = frozenset(draw(st.sets(st.sampled_from(MECHANISMS), min_size=1)))
    values = {}
    for name, p in PARAMETERS.items():
        if in_use(name, used):
            numbers = st.integers(int(p.low), int(p.high)) if p.whole else st.floats(p.low, p.high)
            value = numbers.map(partial(clip, name))
            values[name] = one_way(draw(value), draw(value), draw(value))
    return Composition(used, values)


def loaded(composition):
    return programs.load(programs.Source("made", "made.py", source(composition), True))


@given(compositions())
def test_every_source_passes_the_check_and_gives_the_parameters_measured(composition):
    assert problems(source(composition)) == []
    program = loaded(composition)
    for beta in (0.0, 0.3, 1.0):
        wanted = composition.parameters(beta)
        assert program.parameters(beta) == {name: wanted[name] for name in composition.values}


@examples(max_examples=25)
@given(composition=compositions())
def test_a_source_with_what_is_used_decides_as_the_one_with_everything(toy, composition):
    """What is off has no effect, so what was measured is what is proposed."""
    program = loaded(composition)
    neutral = composition.parameters(0.4)
    everything = loaded(Composition(EVERYTHING, {n: (p.low,) * 3 for n, p in PARAMETERS.items()}))
    task = toy.some(toy.pairs[::3])
    ran = []
    for one, values in (
        (program, program.parameters(0.4)),
        (everything, {name: kind(neutral[name]) for name, kind in everything.kinds.items()}),
    ):
        ran.append(run_interpreted(one.solve, values, task))
    assert np.array_equal(ran[0].results, ran[1].results)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    store = stores.load(store_folder(tmp_path_factory.mktemp("stores")))
    return settings(store.path).experiment().task(store)


def test_through_three_settings_each_is_met_where_that_is_monotone():
    cheap = Composition(frozenset({"quota"}), {"start": (3,) * 3, "first": (2,) * 3})
    middle = Composition(frozenset({"quota"}), {"start": (70,) * 3, "first": (5,) * 3})
    dear = Composition(
        frozenset({"lead"}), {"start": (60,) * 3, "quorum": (3,) * 3, "lead": (1.0,) * 3}
    )
    joined = through(cheap, middle, dear)
    assert joined.used == {"quota", "lead"}
    assert joined.values["start"] == (3, 60, 60)
    assert joined.parameters(0.0)["first"] == 2
    assert joined.parameters(0.5)["first"] == 5
    assert joined.parameters(1.0)["quorum"] == 3


@given(compositions(), st.integers(0, 2**32))
def test_a_changed_composition_keeps_the_rules_of_a_schedule(composition, seed):
    changed = _changed([composition], np.random.default_rng(seed))
    for name, values in changed.values.items():
        assert all(PARAMETERS[name].low <= value <= PARAMETERS[name].high for value in values)
        assert list(values) in (sorted(values), sorted(values, reverse=True))


def test_a_search_is_repeatable_and_learns_in_words(tmp_path):
    store = store_folder(tmp_path / "stores")
    found = []
    for name in ("a", "b"):
        made = settings(store, limits=RunLimits(rounds=2))
        folder = RunFolder.create(tmp_path / name, made).path
        session(folder, make("offline", {"trials": "40"}))
        found.append(result(folder))
    assert found[0] == found[1]
    proposed = [e for e in found[0] if e["event"] == "proposed"]
    assert "worth" in proposed[0]["proposals"][0]["learned"]
    assert "Round 1" in proposed[1]["proposals"][0]["learned"]


def test_nothing_is_handed_in_that_the_rules_refuse(tmp_path):
    """On a store so small that no frontier reaches, the rounds say so and score nothing."""
    store = store_folder(tmp_path / "stores")
    for name, rules in (("strict", ProgramRules(ceiling=16)), ("lenient", None)):
        changes = {} if rules is None else {"rules": rules}
        made = settings(store, limits=RunLimits(rounds=2), traces=False, **changes)
        folder = RunFolder.create(tmp_path / name, made)
        session(folder.path, make("offline", {"trials": "40"}))
        state = folder.state
        assert not any(trial.errors for trial in state.trials)
        if rules is not None:
            assert "no composition keeps to the rules" in state.why_nothing


@pytest.mark.parametrize(
    "content",
    [
        "[",
        "7",
        '[{"used": 3}]',
        '[{"used": ["no mechanism"], "values": {}}]',
        '[{"used": [], "values": {"start": ["4", 4, 4]}}]',
        '[{"used": [], "values": {"start": [4]}}]',
    ],
)
def test_what_an_earlier_round_kept_may_be_anything(tmp_path, content):
    made = settings(store_folder(tmp_path / "stores"), limits=RunLimits(rounds=2), traces=False)
    folder = RunFolder.create(tmp_path / "run", made)
    kept = folder.round(1) / "explorer" / "search.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(content)
    turn = SimpleNamespace(folder=folder.round(2) / "explorer", round=2)
    with pytest.raises(RunError, match=r"search.json: .*; delete it"):
        _kept(turn)
