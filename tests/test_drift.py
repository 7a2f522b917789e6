"""Live traffic against the store: what is called a drift, and what is not."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import autotts
from autotts import stores
from autotts.answers import FAILED
from autotts.cli import app
from autotts.errors import SpecError, StoreError
from autotts.evaluation import Experiment, Local
from autotts.evaluation.shown import FigureValues, figures_of
from autotts.evaluation.study.drift import shifts
from autotts.live import served_under
from autotts.programs import parse
from autotts.replay.task import Cell
from autotts.simulation.sampling import sample
from autotts.simulation.typical import of_models, typical
from autotts.stores import Branch, Recording, build

QUESTIONS, TIMES = 50, 5


def told_alike(recording, q):
    """The same with one true answer whenever the question is sampled, where each has its own."""

    def said(answer):
        return f"right {q}" if answer == recording.gold else answer

    branches = [
        replace(one, final=said(one.final), probes=[said(probe) for probe in one.probes])
        for one in recording.branches
    ]
    return replace(recording, gold=f"right {q}", branches=branches)


def store_of(parameters, seed, branches, *, times=1, **more):
    """A store of questions, each so many times; as traffic it says what it was served under."""
    every = np.repeat(np.arange(QUESTIONS), times)
    recordings = sample(
        parameters.of(every), questions=len(every), branches=branches, billing="exact",
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    recordings = [told_alike(one, q) for q, one in zip(every.tolist(), recordings, strict=True)]
    if times > 1:
        groups = served_under("sc:width=8", 0.5, "answered")
        recordings = [
            replace(one, question=f"Simulated question {q}", id=f"{q}.{k}", groups=groups)
            for k, (q, one) in enumerate(zip(every.tolist(), recordings, strict=True))
        ]
    return build(
        recordings, model="sim", dataset="live", billing="exact", interval_tokens=500,
        failed_answer=FAILED, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def parameters():
    return typical(QUESTIONS, rng=np.random.default_rng(5))


@pytest.fixture(scope="module")
def store(parameters):
    return store_of(parameters, 1, 32)


def drifted(found):
    return [one.figure for one in found.drifted]


def test_the_same_model_is_not_called_and_a_changed_one_is(parameters, store):
    """250 requests; `benchmarks/drift_power.py` has the shares over many trials."""
    same = autotts.drift(store, store_of(parameters, 2, 8, times=TIMES))
    assert (same.requests, same.questions, same.same_questions) == (250, QUESTIONS, True)
    assert drifted(same) == []
    longer = replace(parameters, log_length=parameters.log_length + np.log(1.2))
    assert {"tokens", "length"} <= set(
        drifted(autotts.drift(store, store_of(longer, 3, 8, times=TIMES)))
    )
    worse = replace(of_models(parameters, [float(parameters.finals[:, 0].mean()) - 0.1]), models=1)
    assert "right" in drifted(autotts.drift(store, store_of(worse, 4, 8, times=TIMES)))


def test_questions_of_the_store_have_its_true_answers(parameters, store):
    live = store_of(parameters, 2, 8, times=TIMES)
    without = store_of(parameters, 2, 8, times=TIMES, ungraded=True)
    assert autotts.drift(store, without).shifts == autotts.drift(store, live).shifts


def test_without_true_answers_accuracy_is_not_looked_at(parameters, store):
    live = store_of(parameters, 2, 8, times=TIMES, ungraded=True)
    others = replace(live, texts=tuple(f"another {q}" for q in range(len(live.texts))))
    found = autotts.drift(store, others)
    assert [one.figure for one in found.shifts] == ["tokens", "length", "agreement", "unreadable"]
    with pytest.raises(StoreError, match="no true answers yet"):
        autotts.evaluate(live, "sc", experiment=Experiment(draws="recorded")).results()


def test_other_questions_leave_more_open(parameters, store):
    live = store_of(parameters, 2, 8, times=TIMES)
    others = replace(live, texts=tuple(f"another {q}" for q in range(len(live.texts))))
    found = autotts.drift(store, others)
    assert not found.same_questions
    same = autotts.drift(store, live)
    assert found.shifts[0].high - found.shifts[0].low > same.shifts[0].high - same.shifts[0].low


def test_what_an_episode_shows_is_counted_by_hand():
    """Two branches end on A and one on nothing; one changed its answer on the way."""
    branches = [
        Branch(("B", "A"), 900, "A"), Branch(("A", "A"), 800, "A"), Branch((FAILED,), 400, FAILED),
    ]  # fmt: skip
    store = build(
        [Recording("q", "A", branches)], model="m", dataset="d", billing="exact",
        interval_tokens=500, failed_answer=FAILED,
    )  # fmt: skip
    with Local() as driver:
        cell = Cell(Experiment(draws="recorded").task(store), parse("parallel-probe"))
        (ran,) = driver.run([cell], keep_log=True)
    assert ran.episodes.column("width").tolist() == [3]
    shown = figures_of(ran)
    found = {name: float(one.values[0]) for name, one in shown.items()}
    assert np.exp(found["tokens"]) == pytest.approx(2100)
    assert np.exp(found["length"]) == pytest.approx((900 * 800 * 400) ** (1 / 3))
    assert found["agreement"] == 1.0
    assert found["changes"] == pytest.approx(1 / 2)
    assert found["unreadable"] == pytest.approx(1 / 3)
    assert (found["right"], shown["right"].weights.tolist()) == (1.0, [2])


EARLY = """
def schedule(beta):
    return {}

def solve(env, p):
    env.branch(2)
    return env.answer[0]
"""


def test_what_no_branch_ended_on_is_taken_from_all(tmp_path):
    (tmp_path / "early.py").write_text(EARLY)
    branches = [Branch(("B", "A"), 900, "A"), Branch(("A", "A"), 800, "A")]
    store = build(
        [Recording("q", "A", branches)], model="m", dataset="d", billing="exact",
        interval_tokens=500, failed_answer=FAILED,
    )  # fmt: skip
    with Local() as driver:
        cell = Cell(Experiment(draws="recorded").task(store), parse(f"{tmp_path}/early.py"))
        (ran,) = driver.run([cell], keep_log=True)
    right = figures_of(ran)["right"]
    assert (right.values.tolist(), right.weights.tolist()) == ([0.5], [2])


def test_an_early_stop_at_a_right_branch_is_no_drift():
    """All pairs of an episode that stops at one right branch, and one that reads two wrong ones."""
    group = np.arange(20)
    right, branches = np.array([1.0, 0.0]), np.array([1.0, 2.0])
    stored = {"right": FigureValues(np.tile(right, 10), np.tile(branches, 10))}
    now = {"right": FigureValues(np.repeat(right, 10), np.repeat(branches, 10))}
    assert shifts((stored, group), (now, group), same=True)[0].change == pytest.approx(0)


def test_branches_count_once_each_where_questions_are_the_same():
    """By hand: 10 questions get a branch each, right as before, and 10 get 3, all wrong now."""
    group = np.arange(20)
    stored = {"right": FigureValues(np.full(20, 0.5), np.ones(20))}
    now = {"right": FigureValues(np.repeat([0.5, 0.0], 10), np.repeat([1.0, 3.0], 10))}
    (same,) = shifts((stored, group), (now, group), same=True)
    assert (same.stored, same.change) == (0.5, pytest.approx(-0.5 * 30 / 40))
    (other,) = shifts((stored, group), (now, group), same=False)
    assert other.change == pytest.approx(-0.25)


def test_a_change_of_the_size_that_is_noticed_is_called_in_nine_of_ten():
    """Of 800 comparisons, drawn with the true change that one of them says it notices."""
    rng = np.random.default_rng(3)
    group = np.arange(200)
    stored = {"agreement": FigureValues(np.full(200, 0.5), np.ones(200))}

    def compared(change):
        now = FigureValues(0.5 + change + rng.normal(0, 0.1, 200), np.ones(200))
        return shifts((stored, group), ({"agreement": now}, group), same=True)[0]

    noticed = float(np.mean([compared(0).noticed for _ in range(50)]))
    called = np.mean([compared(noticed).drifted for _ in range(800)])
    assert called == pytest.approx(0.9, abs=0.03)


def test_a_few_questions_that_weigh_most_are_not_called_too_often():
    """Of 1,500 comparisons in which nothing changed; a tenth of the questions has most branches."""
    rng = np.random.default_rng(4)
    group = np.arange(60)
    branches = np.where(group % 10 == 0, 64.0, 8.0)
    stored = {"agreement": FigureValues(np.full(60, 0.5), branches)}

    def called():
        now = FigureValues(0.5 + rng.normal(0, 0.1, 60), branches)
        return shifts((stored, group), ({"agreement": now}, group), same=True)[0].drifted

    assert np.mean([called() for _ in range(1500)]) < 0.035


def test_the_leading_figure_has_the_narrowest_interval_and_the_others_share():
    """The same values under several names, so that only the intervals differ."""
    group = np.arange(40)
    values = 0.5 + np.random.default_rng(0).normal(0, 0.1, 40)

    def widths(*names):
        stored = {name: FigureValues(np.full(40, 0.5), np.ones(40)) for name in names}
        now = {name: FigureValues(values, np.full(40, 100.0)) for name in names}
        found = shifts((stored, group), (now, group), same=True)
        return {one.figure: one.high - one.low for one in found}

    two, three = widths("agreement", "changes"), widths("agreement", "changes", "tokens")
    assert three["agreement"] == two["agreement"] < 0.95 * two["changes"]
    assert three["changes"] > 1.05 * two["changes"]
    graded = widths("agreement", "changes", "right")
    assert graded["right"] < graded["agreement"] == graded["changes"]


@pytest.mark.parametrize("same", [True, False])
def test_what_is_rare_is_not_called_for_being_absent(same):
    """By hand: 6 of 1,500 branches are expected, give or take 2.4, and none is there."""
    replays, group = np.zeros(5000), np.arange(100)
    replays[::17] = 1 / 15
    stored = {"unreadable": FigureValues(replays, np.full(5000, 15.0))}, np.repeat(group, 50)

    def called(count):
        now = np.zeros(100)
        now[:count] = 1 / 15
        live = {"unreadable": FigureValues(now, np.full(100, 15.0))}
        return shifts(stored, (live, group), same=same)[0].drifted

    assert not called(0)
    assert not called(6)
    assert called(30)


def test_what_few_episodes_of_a_question_have_counts_little_on_either_side():
    """Half of the questions have a length of 1 in all ten, the others one of 0 in one of them."""
    group = np.repeat(np.arange(40), 10)
    values = np.where(group < 20, 1.0, 0.0)
    has = (group < 20) | (np.arange(400) % 10 == 0)
    every = {"length": FigureValues(values, has.astype(float))}
    one = {"length": FigureValues(values, has.astype(float))}, np.arange(400)
    (found,) = shifts((every, group), one, same=False)
    assert found.change == pytest.approx(0)
    assert found.stored == pytest.approx(np.exp(200 / 220))


def test_what_can_not_be_compared_is_told(parameters, store):
    plain = store_of(parameters, 2, 8)
    with pytest.raises(SpecError, match="does not say what its traffic was served under"):
        autotts.drift(store, plain)
    assert autotts.drift(store, plain, controller="sc:width=8", beta=0.5).requests == QUESTIONS
    live = store_of(parameters, 2, 8, times=TIMES)
    with pytest.raises(SpecError, match=r"it has sc:width=8 at 0\.5"):
        autotts.drift(store, live, beta=0.9)
    groups = {**live.groups, "stop": ("deadline",) * 4 + live.groups["stop"][4:]}
    assert autotts.drift(store, replace(live, groups=groups)).left_out == (
        "4 requests ended by a budget or a deadline",
    )


def test_the_command_ends_with_3_for_a_drift(parameters, store, tmp_path):
    longer = replace(parameters, log_length=parameters.log_length + np.log(1.5))
    for name, made in (("store", store), ("live", store_of(longer, 3, 8, times=2))):
        stores.write(made, tmp_path / name)
    command = ["drift", str(tmp_path / "store"), str(tmp_path / "live")]
    ran = CliRunner().invoke(app, [*command, "--json", str(tmp_path / "found.json")])
    assert ran.exit_code == 3, ran.output
    assert "Collect anew" in ran.output
    assert "DRIFTED" in ran.output
    assert max(map(len, ran.output.splitlines())) <= 80
    assert "length" in json.loads((tmp_path / "found.json").read_text())["drifted"]
    assert CliRunner().invoke(app, ["drift", command[1], command[1]]).exit_code == 1
