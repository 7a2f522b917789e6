"""The offline explorer: its sources do what was measured, and its search is repeatable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from autotts import programs, stores
from autotts.discover.explorers import make
from autotts.discover.explorers.mechanisms import (
    EVERYTHING,
    MECHANISMS,
    PARAMETERS,
    Composition,
    between,
    in_use,
    source,
)
from autotts.discover.folder import RunFolder
from autotts.discover.settings import Limits
from autotts.replay import episodes
from autotts.sandbox.check import problems
from discover_toy import result, session, settings, store_folder


@st.composite
def compositions(draw):
    used = frozenset(draw(st.sets(st.sampled_from(MECHANISMS), min_size=1)))
    ends = {}
    for name, p in PARAMETERS.items():
        if in_use(name, used):
            value = st.integers(int(p.low), int(p.high)) if p.whole else st.floats(p.low, p.high)
            ends[name] = (draw(value), draw(value))
    return Composition(used, ends)


def loaded(composition):
    return programs.load(programs.Source("made", "made.py", source(composition), True))


@given(compositions())
def test_every_source_passes_the_check_and_gives_the_parameters_measured(composition):
    assert problems(source(composition)) == []
    program = loaded(composition)
    for beta in (0.0, 0.3, 1.0):
        wanted = composition.parameters(beta)
        assert program.parameters(beta) == {name: wanted[name] for name in composition.ends}


@examples(max_examples=25)
@given(composition=compositions())
def test_a_source_with_what_is_used_decides_as_the_one_with_everything(toy, composition):
    """What is off has no effect, so what was measured is what is proposed."""
    store, orders = toy
    program = loaded(composition)
    neutral = composition.parameters(0.4)
    everything = loaded(Composition(EVERYTHING, {n: (p.low, p.low) for n, p in PARAMETERS.items()}))
    pairs = episodes.all_pairs(orders)[::3]
    ran = []
    for one, values in (
        (program, program.parameters(0.4)),
        (everything, {name: kind(neutral[name]) for name, kind in everything.kinds.items()}),
    ):
        ran.append(
            episodes.run_interpreted(
                one.solve, values, store.pool, orders, pairs, episodes.Rules(ceiling=16)
            )
        )
    assert np.array_equal(ran[0].results, ran[1].results)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    store = stores.load(store_folder(tmp_path_factory.mktemp("stores")))
    return store, settings(store.path).evaluation().orders(store)


def test_between_two_settings_both_ends_are_kept():
    cheap = Composition(frozenset({"quota"}), {"start": (3, 3), "first": (2, 2)})
    dear = Composition(
        frozenset({"lead"}), {"start": (60, 60), "quorum": (3, 3), "lead": (1.0, 1.0)}
    )
    joined = between(cheap, dear)
    assert joined.used == {"quota", "lead"}
    assert joined.ends["start"] == (3, 60)
    assert joined.parameters(0.0)["first"] == 2
    assert joined.parameters(1.0)["quorum"] == 3


def test_a_search_is_repeatable_and_learns_in_words(tmp_path):
    store = store_folder(tmp_path / "stores")
    found = []
    for name in ("a", "b"):
        made = settings(store, limits=Limits(rounds=2))
        folder = RunFolder.create(tmp_path / name, made).path
        session(folder, make("offline", {"trials": "40"}))
        found.append(result(folder))
    assert found[0] == found[1]
    proposed = [e for e in found[0] if e["event"] == "proposed"]
    assert "worth" in proposed[0]["proposals"][0]["learned"]
    assert "Round 1" in proposed[1]["proposals"][0]["learned"]
