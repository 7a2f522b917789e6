"""Stores made one, and one made two: no branch is lost, and no answer changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from typer.testing import CliRunner

import autotts
from any_stores import any_stores, same
from autotts import stores
from autotts.cli.app import app
from autotts.errors import StoreError
from autotts.stores import Branch, Recording, Store, build

run = CliRunner().invoke
lenient = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])


def make(model: str, *finals: str, gold: str = "4", tokens: int = 150, first: int = 0) -> Store:
    """Questions from number `first` on, with a branch for each letter of their text."""
    recordings = [
        Recording(f"Q{q}?", gold, [Branch(["5", a], tokens + i, a) for i, a in enumerate(letters)])
        for q, letters in enumerate(finals, first)
    ]
    return build(recordings, model=model, dataset="d", interval_tokens=100, source=model)


@given(store=any_stores())
@lenient
def test_recordings_make_the_store_that_they_are_of(store: Store):
    """With its classes back, whatever parts it has."""
    about = store.manifest
    again = build(
        stores.recordings_of(store), model=about.model, dataset=about.dataset,
        interval_tokens=about.interval_tokens, billing=about.billing, models=about.models,
        cost_scale=about.cost_scale, price_unit=about.price_unit, family=about.family,
        sampling=about.sampling,
    )  # fmt: skip
    labels = [classes.tolist() for classes in stores.spellings_of(store).classes]
    again = stores.classified(
        again, labels, equality=about.equality, judge=about.judge, unreadable=about.unreadable
    )
    assert same(again, store)


@given(store=any_stores(everything=True))
@lenient
def test_a_split_store_has_every_question_once(store: Store):
    first, second = stores.split(store, 0.5, seed=1)
    assert sorted(first.ids + second.ids) == sorted(store.ids)
    for part in (first, second):
        rows = [store.ids.index(name) for name in part.ids]
        assert rows == sorted(rows)
        assert part.pool.n_branches.tolist() == store.pool.n_branches[rows].tolist()
        assert part.correct.sum() == store.correct[rows].sum()
        assert part.answers == tuple(store.answers[q] for q in rows)
    assert stores.split(store, 0.5, seed=1)[0].digest == first.digest


def test_models_are_joined_question_by_question(tmp_path: Path):
    """Each branch keeps its model, tokens and answer; prices become whole cost units."""
    small, big = make("small", "45", "5"), make("big", "44", "4", tokens=250)
    joined = stores.join([small, big], ["0.6", "8"], price_unit="billions of parameters")
    assert (joined.model, joined.pool.prices.tolist()) == ("small+big", [6, 80])
    assert joined.pool.model.tolist() == [[0, 0, 1, 1], [0, 1, -1, -1]]
    assert joined.pool.tokens.tolist() == [[150, 151, 250, 251], [150, 250, 0, 0]]
    assert joined.correct.tolist() == [[True, False, True, True], [False, True, False, False]]
    for one in (small, big):
        stores.write(one, tmp_path / one.model / "d")
    told = run(app, ["data", "join", *(str(tmp_path / m / "d") for m in ("small", "big")),
                     "--price", "0.6,8", "--unit", "billions of parameters",
                     "--out", str(tmp_path / "joined")])  # fmt: skip
    assert told.exit_code == 0, told.output
    assert stores.check(tmp_path / "joined" / "small+big" / "d").digest == joined.digest


def uneven_store(model: str, interval: int, billing: str, tokens: int, probes: int) -> Store:
    branch = Branch(["5"] * (probes - 1) + ["4"], tokens, "4")
    return build(
        [Recording("Q?", "4", [branch, branch])], model=model, dataset="d",
        interval_tokens=interval, billing=billing,
    )  # fmt: skip


READ_ONE = """
def schedule(beta):
    return {{}}

def solve(env, p):
    env.branch(1, model={model})
    while len(env.active()) > 0:
        env.advance(env.active())
    return env.vote()
"""


def test_models_of_other_intervals_and_billing_keep_their_own(tmp_path: Path):
    """A branch costs what it has, an interval what was recorded in it, in one round each."""
    fine = uneven_store("fine", 100, "exact", 250, 3)
    coarse = uneven_store("coarse", 500, "reference", 1_130, 2)
    joined = stores.join([fine, coarse], ["1", "3"])
    assert (joined.pool.interval, joined.pool.billing) == (500, "exact")
    assert joined.pool.ends[0].tolist() == [[100, 200, 250]] * 2 + [[500, 1_130, 0]] * 2
    assert joined.pool.probes[0].tolist() == [[0, 0, 1]] * 2 + [[0, 1, -1]] * 2
    for model, tokens, rounds in ((0, 250, 3), (1, 1_130, 2)):
        program = tmp_path / f"read{model}.py"
        program.write_text(READ_ONE.format(model=model))
        (row,) = autotts.evaluate(
            joined, str(program), experiment=autotts.Experiment(draws="subsets:2"),
            execution=autotts.Execution(audit=2),
        ).results()  # fmt: skip
        assert (row["tokens"], row["rounds"], row["accuracy"]) == (tokens, rounds, 100)
        assert row["cost"] == tokens * (1, 3)[model]
    folder = stores.write(joined, tmp_path / "joined").path
    assert stores.check(folder).digest == joined.digest


def test_branches_without_probes_are_joined_by_their_own_intervals():
    """What a branch has is not lost where its tokens alone say how many intervals it has."""
    parts = [
        build(
            [Recording("Q?", "4", [Branch(None, 250, "4")])], model=model, dataset="d",
            interval_tokens=interval, billing="exact",
        )
        for model, interval in (("fine", 100), ("coarse", 500))
    ]  # fmt: skip
    joined = stores.join(parts, ["1", "1"])
    assert joined.pool.lengths.tolist() == [[3, 1]]
    assert joined.pool.ends.tolist() == [[[100, 200, 250], [250, 0, 0]]]


def test_joining_and_merging_count_equal_answers_together():
    """Spelled apart in two stores, they are one vote in the one store."""
    recordings = [[Recording("Half?", "0.5", [Branch(None, 9, a)])] for a in ("0.5", "1/2")]
    parts = [
        stores.regrade(
            build(r, model=m, dataset="d", interval_tokens=5), equality="math"
        )
        for r, m in zip(recordings, ("small", "big"), strict=True)
    ]  # fmt: skip
    joined = stores.join(parts, ["1", "2"])
    assert joined.pool.finals.tolist() == [[0, 0]]
    assert joined.correct.all()


def test_merging_adds_branches_and_questions(tmp_path: Path):
    one, two = make("m", "45", "5"), make("m", "4", "44", first=1)
    merged = stores.merge([one, two])
    assert merged.texts == ("Q0?", "Q1?", "Q2?")
    assert merged.pool.n_branches.tolist() == [2, 2, 2]
    assert merged.correct.tolist() == [[True, False], [False, True], [True, True]]
    for name, store in (("a", one), ("b", two)):
        stores.write(store, tmp_path / name)
    folders = [str(tmp_path / name) for name in "ab"]
    told = run(app, ["data", "merge", *folders, "--out", str(tmp_path / "out")])
    assert told.exit_code == 0, told.output
    assert stores.check(tmp_path / "out" / "m" / "d").digest == merged.digest


def test_stats_say_what_length_and_depth_mean(tmp_path: Path):
    """The two shortest of four branches are right, and so are their last probes."""
    store = make("m", "4455", "4455")
    stores.write(store, tmp_path / "s")
    assert stores.accuracy_by_length(store).tolist() == [1.0, 1.0, 0.0, 0.0]
    told = run(app, ["data", "stats", str(tmp_path / "s")])
    assert told.exit_code == 0, told.output
    for words in ("50.0 % of branches right", "100.0 100.0 0.0 0.0 %", "-120.0 points"):
        assert words in told.output
    rows = [line.split() for line in told.output.splitlines() if line.strip()[:1].isdigit()]
    assert rows[-2:] == [["1", "100.0", "0.0", "50.0"], ["2", "100.0", "50.0", "100.0"]]


def test_a_quarter_without_branches_has_no_accuracy():
    shares = stores.accuracy_by_length(make("m", "4"))
    assert np.isnan(shares).tolist() == [True, True, False, True]


WRONG = {
    "2 prices for 1 stores": lambda: stores.join([make("a", "4")], ["1", "2"]),
    "a model twice: a, a": lambda: stores.join([make("a", "4"), make("a", "5")], ["1", "2"]),
    "b/d has no question 'Q1?'": lambda: stores.join(
        [make("a", "4", "4"), make("b", "4")], ["1", "2"]
    ),
    "4 is right": lambda: stores.join([make("a", "4", gold="5"), make("b", "4")], ["1", "2"]),
    "price '-1': a decimal above 0": lambda: stores.join(
        [make("a", "4"), make("b", "4")], ["1", "-1"]
    ),
    "keep their ratio only": lambda: stores.join(
        [make("a", "4"), make("b", "4")], ["0.0000001", "1"]
    ),
    "two stores have the same content": lambda: stores.merge([make("a", "4")] * 2),
    "the stores differ in model: a in a/d, b in b/d": lambda: stores.merge(
        [make("a", "4"), make("b", "4")]
    ),
    "the stores differ in interval_tokens: 100 in m/d, 500 in m/d": lambda: stores.merge(
        [uneven_store("m", size, "exact", 600, 599 // size + 1) for size in (100, 500)]
    ),
    "n/d: weight of 'Q0?': 2.0, in another store 1.0": lambda: stores.join(
        [replace(make(m, "4"), weights=np.array([w])) for m, w in (("m", 1.0), ("n", 2.0))],
        ["1", "2"],
    ),
    "each part needs at least one": lambda: stores.split(make("a", "4"), 0.5),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_belong_together_is_told(message: str):
    with pytest.raises(StoreError) as caught:
        WRONG[message]()
    assert message in str(caught.value)


def ungraded(tmp_path, *texts):
    recordings = [
        Recording(text, "", [Branch(["5", "4"], 150, "4"), Branch(["5"], 90, "5")])
        for text in texts
    ]
    made = build(recordings, model="m", dataset="d", interval_tokens=100, ungraded=True)
    return stores.write(made, tmp_path / "live")


def test_true_answers_that_come_later_make_a_store_whole(tmp_path):
    live = ungraded(tmp_path, "2+2?", "3+1?")
    answers = tmp_path / "golds.jsonl"
    answers.write_text(
        '{"question": "3+1?", "answer": "4"}\n{"question": "2+2?", "answer": "5"}\n'
        '{"question": "another?", "answer": "7"}\n'
    )
    done = run(app, ["data", "gold", str(live.path), str(answers)])
    assert done.exit_code == 0, done.output
    assert "50.0 % of branches right" in done.output
    graded = stores.check(live.path)
    assert graded.graded
    assert graded.correct.tolist() == [[False, True], [True, False]]
    assert np.array_equal(graded.pool.tokens, live.pool.tokens)


def test_a_question_without_a_true_answer_changes_nothing(tmp_path):
    live = ungraded(tmp_path, "2+2?", "3+1?")
    answers = tmp_path / "golds.jsonl"
    answers.write_text('{"question": "2+2?", "answer": "4"}\n')
    done = run(app, ["data", "gold", str(live.path), str(answers)])
    assert isinstance(done.exception, StoreError)
    assert "1 question of 2, the first of text '3+1?'" in str(done.exception)
    assert not stores.load(live.path).graded
