"""Regrading: other votes and true answers of a store, from what was recorded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import recordings
from any_stores import any_stores
from autotts.answers import EQUALITIES, algebra, equality, verdicts
from autotts.cli.app import app
from autotts.stores import Branch, Recording, build, check, disagreement, load, regrade, write
from autotts.stores.importing import read_recordings, write_understood


def sums(tmp_path, equality):
    [one] = read_recordings(recordings.write("released", tmp_path), equality=equality)
    return one.store


def test_regrading_goes_back_and_forth(tmp_path):
    """As mathematics, and as strings again, to the digest."""
    exact, mathematical = sums(tmp_path, "exact"), sums(tmp_path, "math")
    assert exact.correct.tolist() == [[True, False, True], [False, False, False]]
    assert mathematical.correct.tolist() == [[True, False, True], [True, True, False]]
    assert regrade(exact, equality="math").digest == mathematical.digest
    back = regrade(mathematical, equality="exact")
    assert back.spellings is None
    assert back.pool.probes.tolist() == exact.pool.probes.tolist()
    assert back.digest == regrade(exact, equality="exact").digest


def test_what_another_equality_changes(tmp_path):
    found = disagreement(sums(tmp_path, "exact"), "math")
    assert found.questions == (1,)
    assert found.right == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert found.majority == (0.5, 1.0)
    assert str(found) == (
        "math instead of exact: other votes in 1 question; branches right 66.7 % instead of 33.3 %,"
        " votes of all branches right 100.0 % instead of 50.0 %"
    )


def test_failed_extractions_can_be_named(tmp_path):
    store = regrade(sums(tmp_path, "exact"), equality="exact", unreadable=["3", "ERR"])
    assert store.pool.failed.tolist() == [0, 0]
    assert (store.pool.finals[0] == 0).tolist() == [False, True, False]


def test_a_regraded_store_comes_back_from_the_disk(tmp_path):
    [one] = read_recordings(recordings.write("lines", tmp_path / "in"))
    [folder] = write_understood([one], tmp_path / "out")
    assert check(folder).digest == one.store.digest
    assert regrade(load(folder), equality="exact").correct.sum() == 2


def test_import_says_that_spellings_differ(tmp_path):
    """Released recordings stay exact; whoever has other ones in that layout is told."""
    [one] = read_recordings(recordings.write("released", tmp_path))
    assert one.told[2] == (
        "  answers compared as strings: 33.3 % of branches right; 1 question with equal answers in"
        " other spellings, without which 66.7 % are: --equality math or choice"
    )


@settings(max_examples=60, deadline=None)
@given(any_stores(), st.sampled_from(EQUALITIES), st.sampled_from(EQUALITIES))
def test_the_last_equality_counts_whatever_the_store_and_the_way(store, first, second):
    """Stores of every shape; by strings again no vote is lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autotts.answers.equality.has_math_verify", lambda: False)
        there = regrade(regrade(store, equality=first), equality=second)
        straight = regrade(store, equality=second)
    assert there.pool.finals.tolist() == straight.pool.finals.tolist()
    assert there.golds == straight.golds
    assert there.correct.shape == store.correct.shape


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The formulas that math-verify is asked about, in a cache of their own; it says no to all."""
    pairs = []
    monkeypatch.setenv("AUTOTTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(equality, "has_math_verify", lambda: True)
    monkeypatch.setattr(verdicts, "_versions", lambda: "of this test")

    def ask(self, a, b):
        pairs.append((a, b))
        return False

    monkeypatch.setattr(algebra._Verifier, "ask", ask)
    return pairs


def forget():
    """As in another process: what is on disk is all that is left."""
    for kept in (equality.equal, equality._equal, verdicts._known):
        kept.cache_clear()


def of_formulas(questions, strings=6):
    branches = [Branch(None, 9, f"x^{i + 2}+x") for i in range(strings)]
    shown = [
        [Branch(None, 9, f"{b.final}+{q}x") for b in branches] for q in range(2, questions + 2)
    ]
    every = [Recording(f"{q}?", rows[0].final, rows) for q, rows in enumerate(shown)]
    return build(every, model="m", dataset="d", interval_tokens=5)


def test_regrading_that_is_stopped_goes_on_from_there(asked):
    """Ctrl-C ends it within the comparisons under way, and none is made twice."""
    store, told = of_formulas(questions=12), []

    def on_graded(name, done, of):
        told.append((name, done, of))
        if done == 3 and len(told) == 3:
            raise KeyboardInterrupt

    forget()
    with pytest.raises(KeyboardInterrupt):
        regrade(store, equality="math", on_graded=on_graded)
    assert told == [("m/d", 1, 12), ("m/d", 2, 12), ("m/d", 3, 12)]
    before = len(asked)
    whole = 12 * 6 * 5 // 2
    assert 3 * 15 <= before < whole
    forget()
    graded = regrade(store, equality="math", on_graded=on_graded)
    assert len(asked) == len(set(asked)) == whole
    assert told[-1] == ("m/d", 12, 12)
    assert graded.manifest.equality == "math"


def test_ctrl_c_while_answers_are_compared_leaves_the_store_and_says_how_to_go_on(
    asked, tmp_path, monkeypatch
):
    folder = write(of_formulas(questions=2), tmp_path / "s").path
    digest = check(folder).digest
    monkeypatch.setattr(
        "autotts.stores.regrading.classify",
        lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt),
    )
    told = CliRunner().invoke(app, ["data", "regrade", str(folder), "--equality", "math"])
    assert told.exit_code != 0
    assert "the same command goes on from there" in told.output
    assert check(folder).digest == digest
