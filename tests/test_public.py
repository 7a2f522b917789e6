"""The public face: what `import autotts` offers, and how it takes what people give it."""

import inspect
import subprocess
import sys

import polars as pl
import pytest

import autotts
from autotts.errors import SpecError, StoreError

FUNCTIONS = sorted(set(autotts.__all__) - {"__version__", "Experiment", "Execution"})
PROGRAM = '''
"""Vote among the first branches."""

def schedule(beta):
    return {"width": round(2 + 6 * beta)}

def solve(env, p):
    env.finish(env.branch(min(p.width, env.room)))
    return env.vote()
'''


def run(code):
    """What code prints in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_importing_it_imports_nothing_heavy():
    heavy = ["numpy", "polars", "numba", "rich", "typer", "pydantic", "scipy", "matplotlib"]
    code = f"import sys, autotts; print([name for name in {heavy} if name in sys.modules])"
    assert run(code) == "[]\n"


def test_a_verb_stays_a_function_whatever_is_imported():
    """No package is named as a function is, and would hide it once it is imported."""
    code = (
        "import autotts, pkgutil, importlib\n"
        "for found in pkgutil.walk_packages(autotts.__path__, 'autotts.'):\n"
        "    if not found.name.endswith('__main__'): importlib.import_module(found.name)\n"
        f"print([name for name in {FUNCTIONS} if not callable(getattr(autotts, name))])"
    )
    assert run(code) == "[]\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_teaches(name):
    """`help()` says what it does, and each parameter has a type."""
    function = getattr(autotts, name)
    assert len(inspect.getdoc(function)) > 80
    parameters = inspect.signature(function).parameters.values()
    assert all(p.annotation is not inspect.Parameter.empty for p in parameters)
    assert name in dir(autotts)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        autotts.evalute  # noqa: B018


def test_stores_are_named_in_any_way(simulated):
    """A loaded store, its folder, as text or path, a pattern, or several of them."""
    store = autotts.load(simulated)
    given = [store, simulated, str(simulated), str(simulated.parent / "*"), [store], [simulated]]
    frames = [autotts.evaluate(stores, "sc", betas=[0.5]).frame() for stores in given]
    assert all(frame.equals(frames[0]) for frame in frames)


def test_controllers_are_named_in_any_way(simulated, save):
    mine = save(PROGRAM)
    few = autotts.Experiment(draws="reference:2")
    found = autotts.evaluate(simulated, ["sc", mine, f"{mine}:width=3"], experiment=few)
    assert found.frame()["controller"].to_list() == ["sc", str(mine), f"{mine}:width=3"]
    assert autotts.evaluate(simulated, mine, betas=0.5, experiment=few).frame().height == 1


def test_a_path_may_have_colons_and_commas(simulated, tmp_path):
    folder = tmp_path / "a:b,c=d.py"
    folder.mkdir()
    (folder / "mine.py").write_text(PROGRAM)
    few = autotts.Experiment(draws="reference:1")
    for text in (f"{folder}/mine.py", f"{folder}/mine.py:width=3"):
        assert autotts.evaluate(simulated, text, experiment=few).ran[0].spec.text == text


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda s: autotts.evaluate(s, []), SpecError, "no controller"),
        (lambda s: autotts.evaluate(s, len), SpecError, "got the function len"),
        (lambda s: autotts.evaluate(s, [3]), SpecError, "got 3"),
        (lambda s: autotts.evaluate(s, ["sc", "sc"]), SpecError, "named twice"),
        (lambda s: autotts.evaluate([], "sc"), StoreError, "no store"),
        (lambda s: autotts.evaluate(None, "sc"), StoreError, "got NoneType"),
        (lambda s: autotts.evaluate([3], "sc"), StoreError, "got int 3"),
        (lambda s: autotts.evaluate("sc", s), StoreError, "no such file or folder"),
        (lambda s: autotts.evaluate(s, "sc", betas=[2]), SpecError, "from 0 to 1"),
        (lambda s: autotts.evaluate(s, "sc", betas=-1), SpecError, "from 0 to 1"),
        (lambda s: autotts.evaluate(s, "sc", betas="high"), SpecError, "from 0 to 1"),
        (lambda s: autotts.evaluate(s, "sc", betas=[0.5, 0.5]), SpecError, "named twice"),
        (lambda s: autotts.compare("sc", "sc", s), SpecError, "named twice"),
        (lambda s: autotts.diagnose(s, solve), SpecError, "got the function solve"),
        (
            lambda s: autotts.evaluate(s, "sc", draws="subsets:5"), TypeError,
            r"evaluate\(\) takes no draws: .* experiment=autotts.Experiment\(draws='subsets:5'\)",
        ),
        (
            lambda s: autotts.compare("sc", "asc", s, jobs=1), TypeError,
            r"compare\(\) takes no jobs: give it execution=autotts.Execution\(jobs=1\)",
        ),
        (lambda s: autotts.diagnose(s, "sc", beta=1), TypeError, "did you mean betas?"),
        (lambda s: autotts.tune(s, "sc", rounds=1), TypeError, "takes stores, controller, trials"),
        (lambda s: autotts.ablate(s, "sc", seed=1), TypeError, r"autotts.Experiment\(seed=1\)"),
        (lambda s: autotts.load(s.parent), StoreError, "name one of these: .*sim"),
        (lambda s: autotts.load(f"{s.parent}/s*"), StoreError, "name one of these: .*sim"),
        (lambda s: autotts.report("nowhere"), SpecError, "no such file"),
    ],
)  # fmt: skip
def test_natural_mistakes_are_explained(simulated, call, error, words):
    with pytest.raises(error, match=words):
        call(simulated)


def solve(env, p):
    return -1


def test_results_show_short(simulated):
    """A repr says what it is of and fits a screen."""
    few = autotts.Experiment(draws="reference:3")
    store = autotts.load(simulated)
    found = autotts.evaluate(store, ["sc", "asc"], betas=[0, 1], experiment=few)
    compared = autotts.compare("sc", "asc", store, betas=[0, 1], experiment=few)
    diagnosed = autotts.diagnose(store, "sc", betas=0.5, experiment=few)
    for value in (store, found, compared, diagnosed):
        assert len(repr(value)) < 2_500
    assert "4 questions x 16 branches" in repr(store)
    assert "2 settings" not in repr(found)
    assert "4 settings" in repr(found)
    assert "<table" in found._repr_html_()
    assert "<table" in compared._repr_html_()
    assert isinstance(diagnosed.findings, pl.DataFrame)
    assert str(diagnosed) == diagnosed._repr_markdown_()


def test_a_report_and_figures_of_an_evaluation(simulated, tmp_path):
    few = autotts.Experiment(draws="reference:3")
    found = autotts.evaluate(simulated, ["sc", "asc"], betas=[0, 1], experiment=few)
    page = autotts.report(found, tmp_path / "report.html")
    assert page.read_text().startswith("<!doctype html>")
    drawn = autotts.plot(found, tmp_path / "figures", formats=["svg"])
    assert drawn
    assert all(path.stat().st_size for path in drawn)
