"""Figures and traces that must not move; `make golden` rewrites them."""

import json

import pytest

from golden import rewrite


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    if not rewrite.RECORDED.is_dir():
        pytest.skip("the recorded branches are not here; AUTOTTS_DATA names their folder")
    return rewrite.figures(rewrite.load_recorded(tmp_path_factory.mktemp("recorded")))


def test_figures_stand(replayed):
    assert replayed == json.loads(rewrite.FIGURES.read_text())


def test_figures_are_those_of_the_released_code(replayed):
    """Accuracy to two decimals and mean tokens to within 0.01, in all 40 cells."""
    ours = {(row["model"], row["dataset"], row["controller"]): row for row in replayed}
    expected = json.loads((rewrite.RECORDED / "expected.json").read_text())
    assert len(expected) == 40
    for row in expected:
        cell = ours[row["model"], row["dataset"], row["controller"]]
        assert cell["accuracy"] == row["accuracy"], row
        assert cell["tokens"] == pytest.approx(row["tokens"], abs=0.01), row


def test_traces_stand():
    """What every controller does on a toy question, step by step."""
    golden = {path.stem: path.read_text() for path in rewrite.TRACES.glob("*.csv")}
    assert rewrite.traces() == golden
