"""The commands `report`, `plot` and `compare`, from the command line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from autotts import stores
from autotts.cli import app
from autotts.errors import RunError, SpecError
from autotts.evaluation import Experiment, evaluate

SMALL = Experiment(draws="subsets:4", max_branches=16)


@pytest.fixture(scope="module")
def results(simulated, tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("results") / "results.json"
    evaluate(
        [stores.load(simulated)], ["cmc", "asc"], betas=[0.0, 1.0], experiment=SMALL
    ).write_json(path)
    return path


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_results_file_becomes_a_page(results, tmp_path):
    page = tmp_path / "report.html"
    assert "wrote" in run("report", results, "--out", page).output
    assert page.read_text().startswith("<!doctype html>")


def test_with_its_stores_the_page_has_questions(results, simulated, tmp_path):
    page = tmp_path / "report.html"
    run("report", results, "--out", page)
    alone = page.stat().st_size
    run("report", results, "--out", page, "--stores", simulated)
    assert page.stat().st_size > alone + 1000
    run("report", results, simulated, "--out", page)
    assert page.stat().st_size > alone + 1000


def test_figures_are_written_in_the_formats_asked_for(results, tmp_path):
    run("plot", results, "--out", tmp_path / "figures", "--formats", "svg", "--theme", "dark")
    written = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert written == ["beta-tokens.svg", "curves.svg", "latency.svg"]


def test_a_comparison_says_what_fresh_draws_leave_of_the_better(simulated):
    words = (simulated, "--draws", "reference:2", "--beta", "0,1")
    told = " ".join(run("compare", "cmc", "asc", *words).output.split())
    assert "Largest frontier area of 2 controllers" in told
    assert "on fresh draws of the same questions" in told


def test_what_does_not_exist_is_named(results, simulated, tmp_path):
    with pytest.raises(SpecError, match="there is no folder"):
        run("report", results, "--out", tmp_path / "nowhere" / "report.html")
    with pytest.raises(SpecError, match="no such file or folder; name a run, or"):
        run("report", tmp_path / "nothing.json")
    with pytest.raises(RunError, match="it is a store, of which `autotts evaluate --json` writes"):
        run("plot", simulated, "--out", tmp_path)
    with pytest.raises(SpecError, match="name a folder"):
        run("plot", results, "--out", results)
    with pytest.raises(SpecError, match="as gif; there are png, svg, pdf"):
        run("plot", results, "--out", tmp_path, "--formats", "gif")
    with pytest.raises(SpecError, match="there are"):
        run("plot", results, "--store", "other/store", "--out", tmp_path)
    with pytest.raises(SpecError, match="named twice"):
        run("compare", "cmc", "cmc", tmp_path)
    with pytest.raises(SpecError, match="no store was named"):
        run("compare", "cmc", "asc")


def test_two_controllers_are_compared(simulated):
    told = run("compare", "cmc", "asc", "--stores", simulated, "--beta", "0,1", "--draws",
               "subsets:4")  # fmt: skip
    assert "Accuracy in % at equal tokens" in told.output
    assert "frontier area A − B" in told.output
