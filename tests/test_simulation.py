"""Simulated stores: alike for the same seed, sound whatever they are fitted to, and lifelike."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotts.errors import SpecError, StoreError
from autotts.simulation import SimulatedModel, simulate
from autotts.simulation.fitting import fit
from autotts.simulation.process import DEPTHS, EVENTS, SIZES, Walk
from autotts.simulation.sampling import sample
from autotts.simulation.typical import typical
from autotts.stores import (
    Branch,
    Recording,
    Store,
    build,
    check,
    import_recordings,
    length_slopes,
    load,
    signal_auc,
)
from test_stores import stores

DATA = Path(os.environ.get("AUTOTTS_DATA", Path(__file__).parents[2] / "shared" / "data"))


def simulated(folder: Path, name: str = "sim", **options: object) -> Store:
    small = {"questions": 4, "branches": 12} | options
    return check(simulate(folder, dataset=name, **small))  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_store(tmp_path: Path) -> None:
    """And another seed another one."""
    first = simulated(tmp_path / "a", seed=3)
    assert simulated(tmp_path / "b", seed=3).digest == first.digest
    assert simulated(tmp_path / "c", seed=4).digest != first.digest


def test_a_typical_store_is_what_the_demo_expects(tmp_path: Path) -> None:
    """30 x 128 branches of a mid-sized model; the majority of all is right on 55 to 75 %."""
    path = simulate(tmp_path)
    assert path == tmp_path / "simulated" / "sim"
    store = check(path)
    assert store.pool.finals.shape == (30, 128)
    assert (store.pool.interval, store.pool.billing) == (500, "reference")
    assert store.manifest.sampling == {"simulated": True, "seed": 0}
    leaders = [np.bincount(finals).argmax() for finals in store.pool.finals]
    assert 0.55 <= np.mean(leaders == store.gold) <= 0.75
    assert 12_000 < store.pool.tokens.mean() < 18_000
    assert {0 <= int(store.answers[q][gold]) <= 999 for q, gold in enumerate(store.gold)} == {True}
    assert (store.pool.failed >= 0).mean() > 0.8


def test_accuracy_is_what_was_asked_for(tmp_path: Path) -> None:
    for accuracy in (0.2, 0.7):
        store = simulated(tmp_path, f"{accuracy}", questions=30, branches=40, accuracy=accuracy)
        assert abs(store.correct.mean() - accuracy) < 0.08


@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.3])
@pytest.mark.parametrize("billing", ["reference", "exact"])
def test_the_slope_is_what_was_asked_for(tmp_path: Path, slope: float, billing: str) -> None:
    """Branches get longer or shorter for it; which are right, and how long all are, stays."""
    small = {"questions": 12, "branches": 40, "billing": billing}
    store = simulated(tmp_path, "asked", slope=slope, **small)
    assert length_slopes(store).mean() == pytest.approx(slope, abs=0.01)
    plain = simulated(tmp_path, "plain", **small)
    assert np.array_equal(store.correct, plain.correct)
    assert abs(np.log(store.pool.tokens).mean() - np.log(plain.pool.tokens).mean()) < 0.1


def test_a_slope_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"slope -1.4: these questions can have one from -0"):
        simulated(tmp_path, slope=-1.4)
    assert not any(tmp_path.iterdir())


def test_signals_tell_as_much_as_was_asked_for(tmp_path: Path) -> None:
    """At the end of branches; at the beginning hardly anything."""
    asked = {"confidence": 0.8, "doubt": 0.3, "noise": 0.5}
    store = simulated(tmp_path, questions=12, branches=40, signals=asked)
    assert {name: signal_auc(store, name) for name in asked} == pytest.approx(asked, abs=0.01)
    pool = store.pool
    first = np.ascontiguousarray(pool.signals["confidence"][:, :, :1])
    early = replace(
        store,
        pool=replace(
            pool, probes=None, lengths=np.ones_like(pool.lengths), signals={"confidence": first}
        ),
    )
    assert 0.45 < signal_auc(early, "confidence") < 0.65
    assert np.isneginf(pool.signals["noise"][~pool.inside()]).all()


def test_models_answer_the_same_questions(tmp_path: Path) -> None:
    """With the accuracies and prices asked for; what is hard for one is hard for the other."""
    small, large = SimulatedModel("small", 0.35, "0.6"), SimulatedModel("large", 0.7, "8")
    store = simulated(tmp_path, questions=30, branches=81, models=[small, large], family="sims")
    pool = store.pool
    assert [(one.name, one.price) for one in pool.models] == [("small", 6), ("large", 80)]
    assert (store.manifest.cost_scale, store.manifest.family) == (1, "sims")
    assert [int((pool.model == m).sum()) for m in (0, 1)] == [30 * 41, 30 * 40]
    by_model = [
        np.array([store.correct[q][pool.model[q] == m].mean() for q in range(30)]) for m in (0, 1)
    ]
    assert by_model[0].mean() == pytest.approx(0.35, abs=0.06)
    assert by_model[1].mean() == pytest.approx(0.7, abs=0.06)
    assert np.corrcoef(*by_model)[0, 1] > 0.7


def test_without_probes_only_final_answers_are_known(tmp_path: Path) -> None:
    store = simulated(tmp_path, probes=False)
    assert store.pool.probes is None
    again = simulated(tmp_path, "again", like=store, seed=9, questions=12, branches=60)
    assert again.pool.probes is None
    assert abs(again.pool.tokens.mean() / store.pool.tokens.mean() - 1) < 0.25


def test_a_store_like_another_has_its_models_signals_and_slope(tmp_path: Path) -> None:
    models = [SimulatedModel("a", 0.4), SimulatedModel("b", 0.6, "2.5")]
    like = simulated(
        tmp_path, "first", questions=20, branches=80, models=models, slope=-0.5,
        signals={"confidence": 0.75},
    )  # fmt: skip
    store = simulated(tmp_path, "second", like=like, questions=20, branches=80, seed=7)
    assert store.pool.models == like.pool.models
    assert signal_auc(store, "confidence") == pytest.approx(0.75, abs=0.02)
    slopes = [length_slopes(one).mean() for one in (like, store)]
    assert slopes[1] == pytest.approx(slopes[0], abs=0.12)
    for m in (0, 1):
        shares = [one.correct[one.pool.model == m].mean() for one in (like, store)]
        assert shares[1] == pytest.approx(shares[0], abs=0.06)
    values = [one.pool.signals["confidence"][one.pool.inside()] for one in (like, store)]
    assert np.isclose(values[0].mean(), values[1].mean(), atol=0.25)


def test_questions_of_different_size_can_be_imitated(tmp_path: Path) -> None:
    toy = [
        Recording(f"q{q}", ["7", "07"], [Branch(["7"] * (1 + i), 100 * (i + 1), "7")] * n)
        for q, (i, n) in enumerate([(0, 1), (3, 4), (1, 2)])
    ]
    store = build(toy, model="m", dataset="d", interval_tokens=100)
    again = simulated(tmp_path, like=store, questions=3, branches=5)
    assert again.pool.finals.shape == (3, 5)
    assert again.correct.mean() > 0.6


def test_exact_billing_ends_branches_in_their_last_interval(tmp_path: Path) -> None:
    pool = simulated(tmp_path, billing="exact").pool
    assert (-(-pool.tokens // pool.interval) == pool.lengths).all()


@given(like=stores(), seed=st.integers(0, 1000), questions=st.integers(1, 6))
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
def test_any_store_can_be_imitated(like: Store, seed: int, questions: int) -> None:
    """However small or odd; what is drawn is a sound store that ends branches on their answer."""
    parameters = fit(like)
    recordings = sample(
        parameters,
        questions=questions,
        branches=5,
        billing=like.pool.billing,
        rng=np.random.default_rng(seed),
    )
    store = build(
        recordings,
        model="m",
        dataset="d",
        interval_tokens=parameters.interval_tokens,
        billing=like.pool.billing,
    )
    assert store.pool.finals.shape == (questions, 5)
    assert store.pool.lengths.max() <= like.pool.lengths.max()
    last = np.take_along_axis(
        store.pool.probes, store.pool.lengths[:, :, None].astype(np.int64) - 1, axis=2
    )
    assert (last[:, :, 0] == store.pool.finals).all()


def test_a_store_like_another_takes_its_interval_and_billing(tmp_path: Path) -> None:
    like = simulated(tmp_path, "first", billing="exact")
    store = simulated(tmp_path, "second", like=like, questions=9, seed=5)
    assert (store.pool.interval, store.pool.billing) == (500, "exact")
    assert store.manifest.source == f"simulated: like simulated/first, digest {like.digest}"
    assert len(set(store.texts)) == 9


def test_a_fit_recovers_the_parameters_it_was_drawn_from() -> None:
    """Shares, lengths and the shared chances of a large simulated store, from the store alone."""
    truth = typical(12, rng=np.random.default_rng(0))
    recordings = sample(
        truth, questions=12, branches=400, billing="reference", rng=np.random.default_rng(1)
    )
    found = fit(build(recordings, model="m", dataset="d", interval_tokens=500))
    assert np.abs(found.finals[:, 0] - truth.finals[:, 0]).max() < 0.08
    means = [(p.finals * p.log_length).sum(axis=1) for p in (found, truth)]
    assert np.corrcoef(*means)[0, 1] > 0.95
    for event, keys in EVENTS.items():
        main = found.tables[event][0], truth.tables[event][0]
        assert main[0].shape == tuple(SIZES[name] for name in keys[0])
    leave = [p.tables["leave"][0][:2, 2:] for p in (found, truth)]
    assert np.corrcoef(leave[0].ravel(), leave[1].ravel())[0, 1] > 0.9


def test_a_walk_knows_where_it_is() -> None:
    """Features of the interval to come, for a branch that ends on 4 after 5 intervals."""
    walk = Walk(np.array([0]), np.array([4]), np.array([5]), answers=6)
    wander = np.zeros((1, len(DEPTHS) + 1, 6))
    wander[:, :, 3] = 0.6
    before = walk.features(wander)
    assert {name: before[name][0] for name in ("seen", "ends", "kind", "age", "stage")} == {
        "seen": 0, "ends": 1, "kind": 3, "age": 0, "stage": 1,
    }  # fmt: skip
    for answer in (3, 3, 4, 1):
        walk.show(np.array([answer]))
    now = walk.features(wander)
    assert (walk.shown[0], walk.before[0], walk.depth) == (1, 4, 4)
    assert {name: now[name][0] for name in ("seen", "kind", "kind_before", "age")} == {
        "seen": 1, "kind": 0, "kind_before": 1, "age": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"questions": 0}, "0 questions, 12 branches, seed 0: need at least 1, 1 and 0"),
        ({"seed": -1}, "seed -1"),
        ({"accuracy": 1.0}, "accuracy 1.0: a share, between 0 and 1"),
        ({"accuracy": float("nan")}, "accuracy nan"),
        ({"signals": {"x": 1.2}}, "signal x: an AUC of 1.2; need one from 0 to 1"),
        ({"models": [SimulatedModel("a", 0.5)]}, "need two or more models"),
        (
            {"models": [SimulatedModel("a", 0.5), SimulatedModel("b", 0.5, "free")]},
            "b: price 'free': need a decimal above 0",
        ),
        (
            {"models": [SimulatedModel("a", 0.5), SimulatedModel("b", 1.5)]},
            "b: accuracy 1.5: a share, between 0 and 1",
        ),
    ],
)
def test_arguments_that_make_no_store(
    options: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=message):
        simulated(tmp_path, **options)
    assert not any(tmp_path.iterdir())


def test_a_store_to_be_like_has_its_own_accuracy(tmp_path: Path) -> None:
    like = simulated(tmp_path, "first")
    with pytest.raises(SpecError, match="the store has its own"):
        simulated(tmp_path, "second", like=like, accuracy=0.5)


def test_an_existing_store_is_kept(tmp_path: Path) -> None:
    simulated(tmp_path)
    with pytest.raises(StoreError, match="is there already"):
        simulated(tmp_path)


@pytest.mark.skipif(not (DATA / "scout").is_dir(), reason=f"no recorded data in {DATA}")
def test_a_recorded_store_is_imitated_closely(tmp_path: Path) -> None:
    """Qwen3-1.7B on AIME24; benchmarks/simulated_vs_real.py has the rest of the comparison."""
    [path] = import_recordings(DATA / "scout" / "Qwen3-1.7B" / "aime24.json", tmp_path)
    real = load(path)
    store = simulated(tmp_path, like=real, questions=30, branches=128)
    assert abs(store.correct.mean() - real.correct.mean()) < 0.02
    assert abs(store.pool.tokens.mean() / real.pool.tokens.mean() - 1) < 0.04
    assert np.corrcoef(store.correct.mean(axis=1), real.correct.mean(axis=1))[0, 1] > 0.98
    assert np.corrcoef(store.pool.tokens.mean(axis=1), real.pool.tokens.mean(axis=1))[0, 1] > 0.98
