"""What programs need of a store, by what they read; and what becomes of those that lack it."""

import ast
import re
from dataclasses import replace

import pytest

import autotts
from autotts import programs, simulation, stores
from autotts.discovery.admission import Admission
from autotts.discovery.assembly import plan
from autotts.discovery.explorer import ProgramRules
from autotts.discovery.run.settings import RunSettings
from autotts.errors import SpecError
from autotts.evaluation.serving import doubts, lacks
from autotts.programs import Source
from autotts.programs.needs import needs_of, signals_read
from autotts.stores import Branch, Recording

PROBED = {
    "budget-forcing", "certaindex", "cmc", "dgcc", "es-cot", "ibc", "learned-race",
    "parallel-probe", "race-prune", "sac", "sc-sac", "scr", "sdgv",
}  # fmt: skip


def source(body):
    return Source("mine", "mine.py", f"def solve(env, p):\n    {body}\n", trusted=False)


@pytest.fixture(scope="module")
def final_answers_alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("needs")
    made = simulation.simulate(folder, questions=4, branches=12, seed=1)
    probed = stores.load(made)
    return probed, replace(probed, pool=replace(probed.pool, probes=None))


@pytest.mark.parametrize(
    ("body", "probes", "answers"),
    [
        ("return env.vote()", False, False),
        ("env.finish(env.active())\n    return env.answer[0]", False, False),
        ("env.advance(env.active())\n    return env.answer[0]", False, True),
        ("return env.history(0)[0]", True, False),
        ("env.probe(0)", True, False),
        ("return mode(env.answer, ~env.pruned)", True, False),
        ("dissent(off, env.active(), env.answer, 0)", True, False),
    ],
)
def test_needs_are_read_from_the_text(body, probes, answers):
    found = needs_of(source(body))
    assert (found.probes, found.answers) == (probes, answers)


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ("return env.vote()", set()),
        ("return env.signal('a', 0)[0] + env.signal('b', 1)[0]", {"a", "b"}),
        ("read = env.signal\n    return read('a', 0)[0]", None),
        ("return env.signal(name='a', i=0)[0]", None),
        ("return getattr(env, 'sig' + 'nal')('a', 0)[0]", None),
        ("from numpy import argmax\n    return argmax(env.signal('a', 0))", {"a"}),
        ("from mine import best\n    return best(env)", None),
        ("import mine\n    return mine.best(env)", None),
        ("from . import best\n    return best(env)", None),
    ],
)
def test_where_a_text_can_t_tell_which_signals_are_read_all_may_be(body, read):
    assert signals_read(source(body)) == read


def test_signals_and_models_are_needs_too():
    found = needs_of(source("return env.n_models + env.signal('confidence', 0)[0]"))
    assert found.models
    assert found.signals == {"confidence"}


def test_the_controllers_that_need_probes_are_refused_where_there_are_none(final_answers_alone):
    probed, bare = final_answers_alone
    built_in = [programs.parse(name) for name in programs.built_in()]
    without = {spec.name for spec in built_in if lacks(bare, spec)}
    always = {spec.name for spec in built_in if lacks(probed, spec)}
    assert without - always == PROBED
    with pytest.raises(SpecError, match=r"cmc needs the answers of running .* it can serve asc,"):
        autotts.evaluate(bare, "cmc")
    assert autotts.evaluate(bare, "asc", experiment=autotts.Experiment(draws="subsets:1")).ran


def test_who_reads_answers_of_branches_it_goes_on_with_is_told(final_answers_alone, tmp_path):
    probed, bare = final_answers_alone
    program = tmp_path / "mine.py"
    program.write_text(
        "def schedule(beta):\n    return {}\n\n\ndef solve(env, p):\n    env.branch(2)\n"
        "    env.advance(env.active())\n    return env.answer[0]\n"
    )
    spec = programs.parse(str(program))
    assert not lacks(bare, spec)
    assert "running ones show none" in doubts(bare, spec)
    assert not doubts(probed, spec)


@pytest.mark.parametrize("name", programs.built_in())
def test_docstrings_say_what_a_controller_needs(name):
    """As its program is read: probes, models, and each signal by its name."""
    text = programs.parse(name).source
    said = " ".join(ast.get_docstring(ast.parse(text.text)).split())
    needs = needs_of(text)
    assert ("Needs probes." in said) == (name in PROBED)
    assert ("Needs a store whose models" in said) == needs.models
    assert set(re.findall(r"Needs the signal `(\w+)`", said)) == needs.signals


def test_a_run_begins_with_the_baselines_that_its_stores_can_serve(tmp_path):
    branches = [Branch(None, 100 * (i + 1), str(i % 3)) for i in range(8)]
    recordings = [Recording(f"{q}?", "1", branches) for q in range(2)]
    bare = stores.build(recordings, model="m", dataset="bare", interval_tokens=100)
    folder = stores.write(bare, tmp_path / "bare").path
    probed = simulation.simulate(tmp_path, questions=2, branches=8, seed=1)
    assert plan(probed, name="run")[0].baselines == RunSettings.model_fields["baselines"].default
    assert plan(folder, name="run")[0].baselines == ("asc", "short-mk")
    with pytest.raises(SpecError, match=r"cmc needs the answers of running branches"):
        plan(folder, name="run", baselines=("cmc",))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return env.history(0)[0]", r"the answers of running branches, .* not recorded in m/d"),
        ("return int(env.signal('x', 0)[0])", r"the signal x in .*; signals recorded there: none"),
    ],
)
def test_a_proposal_that_reads_what_a_store_has_not_is_refused_before_it_runs(
    body, said, final_answers_alone
):
    """Whichever of the stores of a run lacks it, in one sentence; no episode is played."""
    probed, bare = final_answers_alone
    named = bare.manifest.model_copy(update={"model": "m", "dataset": "d"})

    def smoke(source):
        raise AssertionError("it ran")

    admission = Admission(ProgramRules(), (0.5,), (probed, replace(bare, manifest=named)), smoke)
    text = f"def schedule(beta):\n    return {{}}\n\n\n{source(body).text}"
    (error,) = admission.admit(text).errors
    assert re.fullmatch(rf"the program needs {said}", error)
