"""Judging over families of models: one figure from areas by store."""

import numpy as np
import pytest
from typer.testing import CliRunner

from autotts.cli.app import app
from autotts.discovery.assembly import plan
from autotts.discovery.held_out import finalize
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import RunLimits
from autotts.discovery.scoring import Scorer
from autotts.discovery.selection import Candidate, lead
from autotts.errors import SpecError
from autotts.evaluation.compare import clears_noise
from autotts.evaluation.families import FamilyJudgement
from autotts.evaluation.frontiers import Curve
from autotts.programs import Source
from autotts.reports.runs import from_run
from autotts.simulation import simulate
from autotts.stores import load
from discover_toy import Scripted, program, session, settings

FAMILIES = {("a1", "d"): "qwen", ("a2", "d"): "qwen", ("n", "d"): "nemotron"}


def curve(name, *right):
    """Of one setting, that has these shares of 10 questions right in each store."""
    correct = {
        key: (np.arange(10) < 10 * share)[None, :, None].astype(float)
        for key, share in zip(FAMILIES, right, strict=True)
    }
    tokens = {key: np.full((1, 10, 1), 100.0) for key in FAMILIES}
    return Curve(name, np.ones(1), {"d": np.arange(10)}, correct, tokens)


def score(judgement, curve, areas):
    """Of areas that are told by the name of a curve."""
    return float(judgement(curve, lambda one: np.array([areas[one.controller]]))[0])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, 60),  # (90 + 60 + 30) / 3
        ({"weight": "equal"}, 52.5),  # (75 + 30) / 2
        ({"judge": "worst"}, 30),
        ({"judge": "regret"}, 60 - 20),  # 30 is 20 behind 50; 75 is behind nobody
        ({"judge": "regret", "weight": "equal"}, 52.5 - 20),
    ],
)
def test_one_figure_of_areas_by_store(how, expected):
    own, rival = curve("own", 1, 1, 1), curve("rival", 1, 1, 1)
    areas = {"own": [90.0, 60.0, 30.0], "rival": [40.0, 50.0, 50.0]}
    judgement = FamilyJudgement(FAMILIES, **how, rivals=(rival,))
    assert score(judgement, own, areas) == pytest.approx(expected)


def test_areas_by_family():
    judgement = FamilyJudgement(FAMILIES)
    found = judgement.by_family(curve("own", 1, 1, 1), np.array([90.0, 60.0, 30.0]))
    assert found == {"qwen": 75.0, "nemotron": 30.0}


def test_who_leads_depends_on_the_judgement():
    """More right on average, and less in one family."""
    specialist, even = curve("specialist", 0.9, 0.9, 0.2), curve("even", 0.5, 0.5, 0.5)
    leads = {
        judge: clears_noise(
            specialist, even, rng=np.random.default_rng(0), score=FamilyJudgement(FAMILIES, judge)
        ).difference
        for judge in ("mean", "worst")
    }
    assert leads["mean"].estimate > 0.02
    assert leads["worst"].estimate < -0.05
    assert leads["worst"].probability < 0.2


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two stores of one family, and one of another."""
    folder = tmp_path_factory.mktemp("stores")
    for seed, model in enumerate(("qwen-1", "qwen-2", "nemotron-1")):
        simulate(folder, questions=4, branches=16, seed=seed, like=None, model=model, dataset="toy")
    return sorted(path.parent for path in folder.rglob("manifest.json"))


@pytest.mark.parametrize(
    "how",
    [{}, {"family_weight": "equal"}, {"judge": "worst"}, {"judge": "regret"}],
    ids=["mean", "equal", "worst", "regret"],
)
def test_areas_leads_and_families_are_of_one_judgement(stores, tmp_path, how):
    """The figure of a program is made of what is recorded of its families."""
    from autotts.discovery.run.store_refs import references

    made = settings(stores[0]).model_copy(update={"stores": references(stores), **how})
    source = Source("mine", "mine.py", program(), trusted=False)
    with Scorer([load(path) for path in stores], made) as scorer:
        reference = scorer.reference()
        curves = [scorer.sweep(source).curve, scorer.baseline("asc").curve]
    mine, asc = (reference.by_family(one) for one in curves)
    assert list(mine) == ["nemotron", "qwen"]
    by_store = reference.store_areas(curves[0])
    expected = {
        "mean": by_store.mean(),
        "equal": np.mean(list(mine.values())),
        "worst": min(mine.values()),
        "regret": by_store.mean() - max(max(asc[f] - mine[f], 0) for f in mine),
    }
    area = reference.area(curves[0])
    judge = how.get("judge", "equal" if how else "mean")
    assert area == pytest.approx(expected[judge])
    found = lead(curves[0], Candidate("asc", curves[1]), reference, seed=0)
    assert found.difference == pytest.approx(area - reference.area(curves[1]))


@pytest.mark.parametrize(
    ("judge", "name", "note"),
    [
        ("worst", "frontier area in its worst family", "in which it is smallest"),
        ("regret", "frontier area less its worst regret", "less the regret: the most by which"),
    ],
)
def test_a_run_records_families_and_finalize_reports_each(stores, tmp_path, judge, name, note):
    """And all who show an area say what was made of those by store."""
    from autotts.discovery.run.store_refs import references

    made = settings(stores[0], traces=False, limits=RunLimits(rounds=1)).model_copy(
        update={"stores": references(stores[1:]), "held_out": references(stores), "judge": judge}
    )
    RunFolder.create(tmp_path / "run", made)
    session(tmp_path / "run", Scripted(tmp_path / "sent"))
    state = RunFolder(tmp_path / "run").state
    scored = state.scored[1, 0]
    assert set(scored.families) == set(state.baselines["asc"].families)
    if judge == "worst":
        assert scored.area == pytest.approx(min(scored.families.values()))
    with RunFolder(tmp_path / "run").open() as run:
        results = finalize(run, lambda text: None)
    for found in results.controllers.values():
        assert set(found.families) == {"nemotron", "qwen"}
        if judge == "worst":
            assert found.area == pytest.approx(min(found.families.values()))
    shown = CliRunner().invoke(app, ["finalize", str(tmp_path / "run"), "--yes"])
    assert note in " ".join(shown.output.split())
    report = from_run(tmp_path / "run", replay=False)
    assert f"has a {name} of" in report.conclusion
    assert note in dict(report.facts)["areas"]
    assert f"{name} of asc on the search questions" in dict(report.facts)


def test_a_judgement_that_would_say_nothing_is_refused(stores):
    with pytest.raises(SpecError, match="knows no families"):
        plan(stores, name="run", selection="accuracy", judge="worst")
    with pytest.raises(SpecError, match="needs a baseline"):
        plan(stores, name="run", judge="regret", baselines=())
