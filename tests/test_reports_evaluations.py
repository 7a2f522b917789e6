"""Reports of evaluations say what the evaluation says."""

import contextlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import pytest

from autotts import stores
from autotts.errors import ProgramError, SpecError
from autotts.evaluation import Evaluation, Execution, Experiment, evaluate
from autotts.evaluation.winner import winner_of
from autotts.reports.evaluations import evaluate_again, from_evaluation, from_results
from autotts.reports.model import ALPHABET, Report
from autotts.reports.page import build
from autotts.reports.plots import Drawing, path_of, read_rounds
from autotts.stores import Branch, Recording, Store
from fuzz_runs import VALUES, replace_some

CONTROLLERS = ("cmc", "asc", "short-mk")


@pytest.fixture(scope="module")
def store(simulated) -> Store:
    return stores.load(simulated)


@pytest.fixture(scope="module")
def evaluation(store) -> Evaluation:
    return evaluate(
        [store], CONTROLLERS, betas=[0.0, 0.5, 1.0],
        experiment=Experiment(draws="subsets:4", max_branches=16), execution=Execution(jobs=1),
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(evaluation) -> Report:
    return from_evaluation(evaluation, title="simulated")


def decoded(text: str) -> list[int]:
    return [ALPHABET.index(character) for character in text]


def test_curves_have_the_evaluation_s_means_and_intervals(report, evaluation):
    results = {(row["controller"], row["beta"]): row for row in evaluation.results()}
    for line in report.lines:
        for point in line.points:
            row = results[line.controller, point.beta]
            assert point.accuracy == pytest.approx(row["accuracy"])
            assert point.tokens == pytest.approx(row["tokens"])
            assert point.sequential_tokens == pytest.approx(row["sequential_tokens"])
            assert point.accuracy_low <= point.accuracy <= point.accuracy_high


def test_a_grid_averages_to_the_accuracy(report, evaluation):
    results = {(row["controller"], row["beta"]): row for row in evaluation.results()}
    for row in report.grids[0].rows:
        assert np.mean(row.right) == pytest.approx(results[row.controller, row.beta]["accuracy"])


def test_a_matrix_holds_the_pool_in_the_order_of_the_draw(report, store, evaluation):
    orders = evaluation.experiment.task(store).orders
    for matrix in report.matrices:
        q = matrix.question
        assert matrix.answers[matrix.gold] == store.answers[q][store.gold[q]]
        for i, branch in enumerate(orders[q, 0]):
            probes = store.pool.probes[q, branch]
            wanted = [store.answers[q][code] for code in probes[probes >= 0]]
            assert [matrix.answers[code] for code in decoded(matrix.probes[i])] == wanted
            final = store.answers[q][store.pool.finals[q, branch]]
            assert matrix.answers[decoded(matrix.finals)[i]] == final


def unrolled(runs: Sequence[int]) -> list[int]:
    return [value for value, count in zip(runs[::2], runs[1::2], strict=True) for _ in range(count)]


def test_episodes_are_those_of_the_evaluation(report, evaluation):
    frame = evaluation.episodes
    for episode in report.episodes:
        found = frame.filter(
            pl.col("question") == episode.question,
            pl.col("controller") == episode.controller,
            pl.col("beta") == episode.beta,
            pl.col("draw") == 0,
        )
        row = found.row(0, named=True)
        assert (episode.tokens, episode.correct, episode.rounds) == (
            row["tokens"],
            row["correct"],
            row["rounds"],
        )
        assert len(episode.reads) == row["width"]
        assert sum(unrolled(episode.spent)) == row["tokens"]
        assert len(unrolled(episode.spent)) == row["rounds"]


def test_nothing_is_read_after_a_branch_has_ended(report):
    for episode in report.episodes:
        for rounds, end in zip(read_rounds(episode), episode.finished, strict=True):
            assert rounds == sorted(rounds)
            assert not end or not rounds or rounds[-1] <= end


def test_the_path_of_an_episode_only_grows(report):
    for episode in report.episodes:
        matrix = report.matrices[episode.question]
        width, depth, active = path_of(matrix, episode)
        assert (np.diff(width) >= 0).all()
        assert (np.diff(depth) >= 0).all()
        assert width[-1] == len(episode.reads)
        assert (active <= width).all()


def test_a_store_of_any_name_is_drawn_into_its_folder(report, tmp_path):
    """Nothing of it is mathematics, leads elsewhere, or drives a terminal that lists files."""
    name = "../m$\\frac{$/\x1b[31m\x07 d"
    grids = (replace(report.grids[0], store=name),)
    drawing = Drawing(tmp_path / "figures", formats=("svg",))
    (path,) = drawing.curves(replace(report, lines=(), grids=grids))
    assert path == tmp_path / "figures" / "questions-..-m--frac-----31m--d.svg"


def test_waste_adds_up(report):
    assert {waste.controller for waste in report.waste} == set(CONTROLLERS)
    for waste in report.waste:
        assert sum(waste.findings.values()) == pytest.approx(100)


def test_a_results_file_is_a_report_of_its_own(evaluation, tmp_path):
    path = tmp_path / "results.json"
    evaluation.write_json(path)
    report = from_results(path)
    assert [point.accuracy for line in report.lines for point in line.points] == [
        row["accuracy"]
        for name in CONTROLLERS
        for row in evaluation.results()
        if row["controller"] == name
    ]
    assert {line.controller for line in report.lines} == set(CONTROLLERS)
    assert not report.grids


def test_the_best_of_many_stands_there_as_found_and_on_fresh_draws(evaluation, report, tmp_path):
    best = winner_of(evaluation)
    assert report.facts == tuple(best.facts)
    path = tmp_path / "results.json"
    evaluation.write_json(path, winner=asdict(best))
    assert from_results(path).facts == tuple(best.facts)
    evaluation.write_json(path)
    assert from_results(path).facts == ()


def test_a_results_file_is_replayed_to_the_same(evaluation, store, tmp_path):
    path = tmp_path / "results.json"
    evaluation.write_json(path)
    assert evaluate_again(path, [store]).results() == evaluation.results()


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.json"
    for content in (json.dumps({"results": [{}], "made_by": {}}), "[" * 100_000):
        path.write_text(content)
        with pytest.raises(SpecError, match=r"other\.json is no file of"):
            from_results(path)


def test_whatever_stands_in_a_results_file_ends_in_an_answer(evaluation, store, tmp_path):
    """A report, or an error that names the file."""
    path = tmp_path / "results.json"
    evaluation.write_json(path, winner=asdict(winner_of(evaluation)))
    for number in range(100):
        content = json.loads((tmp_path / "results.json").read_text())
        rng = random.Random(number)
        replace_some(content, rng.choice(VALUES), rng)
        changed = tmp_path / "changed.json"
        changed.write_text(json.dumps(content))
        with contextlib.suppress(SpecError, ProgramError):
            build(from_results(changed))
            with mock.patch("autotts.reports.evaluations.run", return_value=None):
                evaluate_again(changed, [store])


def test_another_store_is_refused(evaluation, store, tmp_path):
    path: Path = tmp_path / "results.json"
    evaluation.write_json(path)
    changed = replace(store, manifest=store.manifest.model_copy(update={"digest": "0" * 64}))
    with pytest.raises(SpecError, match="is another"):
        evaluate_again(path, [changed])
    with pytest.raises(SpecError, match="is missing"):
        evaluate_again(path, [])


def made(questions: int, branches: int, *, wrong: range = range(0), size: int = 100) -> Store:
    """A store of branches that are right but for those of `wrong`, 3 intervals of `size` each."""
    return stores.build(
        [
            Recording(
                f"Question {q}?",
                "4",
                [
                    Branch([end] * 3, 3 * size, end)
                    for end in ("5" if i in wrong else "4" for i in range(branches))
                ],
            )
            for q in range(questions)
        ],
        model="toy",
        dataset="hand",
        interval_tokens=size,
    )


DEGENERATE = {
    "one branch": made(4, 1),
    "one question": made(1, 8, wrong=range(3)),
    "one question, one branch": made(1, 1),
    "seven branches": made(3, 7, wrong=range(2)),
    "all wrong": made(3, 4, wrong=range(4)),
    "all right": made(3, 4),
    "huge tokens": made(2, 4, wrong=range(1), size=100_000_000),
}


@pytest.mark.parametrize("betas", [[0.5], [0.0, 1.0]], ids=["one beta", "two betas"])
@pytest.mark.parametrize("name", DEGENERATE)
def test_reports_and_figures_work_from_one_branch_and_one_question_on(name, betas, tmp_path):
    store = DEGENERATE[name]
    three = Experiment("reference:3")
    evaluation = evaluate([store], ["cmc", "sc"], betas=betas, experiment=three)
    report = from_evaluation(evaluation, title=name)
    build(report)
    drawing = Drawing(tmp_path)
    drawn = [*drawing.curves(report), *drawing.episodes(report)]
    assert {"curves.png", "probe-matrix.png"} <= {path.name for path in drawn}
    assert all(chart.series for chart in report.pools[0].charts)
    bounds = {(p.accuracy_low, p.accuracy_high) for line in report.lines for p in line.points}
    if len(store.gold) == 1:
        assert bounds == {(None, None)}
    else:
        assert all(low < high for low, high in bounds), "no certainty from so few questions"
