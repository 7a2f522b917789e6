"""Controller programs: SPECs, schedules, digests, and what compiles with `solve`."""

import ast
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts import programs, stores
from autotts.errors import ProgramError, SpecError
from autotts.evaluation import Experiment, evaluate

PROGRAM = '''
"""Read a few branches."""

def schedule(beta):
    return {"width": round(2 + 6 * beta), "share": 0.5}

def solve(env, p):
    env.branch(min(p.width, env.room))
    env.finish(env.active())
    return env.vote()
'''


@pytest.fixture
def load(save):
    """Loads a program from its text."""
    return lambda text: programs.load(programs.read(save(text), trusted=True))


# SPECs.


def test_a_name_alone_is_that_controller_at_beta_one_half():
    spec = programs.parse("asc")
    assert (spec.name, spec.beta, spec.named) == ("asc", 0.5, {})
    assert spec.source.trusted


def test_options_name_parameters_and_beta():
    spec = programs.parse("parallel-probe:width=64,beta=0.25,stable=40")
    assert (spec.name, spec.beta, spec.named) == (
        "parallel-probe",
        0.25,
        {"width": 64, "stable": 40},
    )


def test_whole_numbers_stay_whole():
    named = programs.parse("asc:max_branches=64,threshold=1e-1").named
    assert named == {"max_branches": 64, "threshold": 0.1}
    assert isinstance(named["max_branches"], int)


@given(st.floats(0, 1))
def test_any_beta_from_0_to_1_is_one(beta):
    assert programs.parse(f"cmc:beta={beta!r}").beta == beta


@pytest.mark.parametrize("options", ["", ":beta=0.75"])
def test_a_path_is_a_program_of_somebody_else(save, options):
    path = save(PROGRAM)
    spec = programs.parse(f"{path}{options}")
    assert (spec.name, spec.source.path) == ("mine", str(path))
    assert spec.beta == (0.75 if options else 0.5)
    assert not spec.source.trusted


def test_an_import_path_is_an_installed_program():
    spec = programs.parse("autotts.controllers.short_mk:first=3")
    assert (spec.source.trusted, spec.named) == (True, {"first": 3})
    assert spec.source.text == programs.find("short-mk").text


def test_looking_for_a_module_imports_no_package_above_it(tmp_path, monkeypatch):
    """Nor one that has a name and no file, nor what is no name at all."""
    (tmp_path / "above/below").mkdir(parents=True)
    (tmp_path / "above/__init__.py").write_text("raise SystemExit\n")
    (tmp_path / "above/below/mine.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert programs.parse("above.below.mine").source.text == PROGRAM
    assert "above" not in sys.modules
    for name in ("above.below", "above.mine", "above.mine.mine", "above..mine", "os.path", "a\0.b"):
        with pytest.raises(SpecError, match="no module of that name"):
            programs.parse(name)


def test_a_released_program_is_a_file_and_its_class(save):
    path = save("class Mine: ...", "method.py")
    spec = programs.parse(f"reference:{path}:Mine:beta=1.0")
    assert (spec.source.path, spec.entry, spec.beta) == (str(path), "Mine", 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parallel-prob", "'parallel-prob' is not known; did you mean parallel-probe?"),
        ("zzzzzz", r"there are asc, .*\. Or name a file such as mine.py"),
        ("missing.py", "missing.py: there is no such file"),
        ("no.such.module", "there is no module of that name"),
        ("../c/mine.txt", r"\.\./c/mine.txt: a program is a file that ends in \.py"),
        ("some/folder", r"some/folder: a program is a file that ends in \.py"),
        ("asc:0.95", "'0.95' is not key=value"),
        ("asc:threshold=high", "threshold='high' is not a number"),
        ("asc:threshold=nan", "threshold='nan' is not a number"),
        ("asc:threshold=0.9,threshold=0.8", "threshold is given twice"),
        ("asc:beta=0,beta=1", "beta is given twice"),
        ("asc:beta=1.5", "beta '1.5': need a number from 0 to 1"),
        ("asc:beta=some", "beta 'some': need a number from 0 to 1"),
        ("reference:method.py", "need reference:PATH/method.py:Class"),
        ("reference:missing.py:Class", "missing.py: there is no such file"),
    ],
)
def test_what_is_no_spec_says_what_would_be(text, message):
    with pytest.raises(SpecError, match=message):
        programs.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("asc:treshold=0.9", "asc has no parameter treshold; did you mean threshold?"),
        ("asc:zzz=1", "it has max_branches, threshold"),
        ("asc:max_branches=9.5", "max_branches must be a whole number, got 9.5"),
    ],
)
def test_a_parameter_must_be_one_that_the_program_has(text, message):
    spec = programs.parse(text)
    with pytest.raises(SpecError, match=message):
        programs.check_named(spec, programs.load_trusted(spec.source).kinds)


def test_the_same_at_another_beta_keeps_its_parameters():
    spec = programs.parse("asc:threshold=0.9").at(1.0)
    assert (spec.beta, spec.named, spec.text) == (1.0, {"threshold": 0.9}, "asc:threshold=0.9")


# Schedules.


def test_a_parameters_kind_is_what_the_schedule_gives_at_load(load):
    assert load(PROGRAM).kinds == {"width": int, "share": float}


def test_named_parameters_take_the_place_of_the_schedules(load):
    program = load(PROGRAM)
    assert program.parameters(1.0) == {"width": 8, "share": 0.5}
    given_one = program.parameters(1.0, {"share": 1})
    assert given_one == {"width": 8, "share": 1.0}
    assert isinstance(given_one["share"], float)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("[1, 2]", r"schedule\(0.5\) must return a dict of numbers by name"),
        ("{1: 2}", r"schedule\(0.5\) must return a dict of numbers by name"),
        ("{'width': 'wide'}", "gives width = 'wide'; need a finite number"),
        ("{'width': 1 / (beta - 0.5)}", r"schedule\(0.5\) raised ZeroDivisionError"),
        ("{'width': float('inf')}", "gives width = inf; need a finite number"),
        ("{'two words': 1}", "'two words'; a parameter's name must be a plain name"),
        ("{'class': 1}", "'class'; a parameter's name must be a plain name"),
        ("{'_hidden': 1}", "'_hidden'; a parameter's name must be a plain name"),
    ],
)
def test_a_schedule_gives_finite_numbers_by_plain_names(load, schedule, message):
    text = f"def schedule(beta):\n    return {schedule}\ndef solve(env, p):\n    return -1\n"
    with pytest.raises(ProgramError, match=message) as raised:
        load(text)
    assert "mine.py" in str(raised.value)


def test_a_parameter_keeps_its_name_for_every_beta(load):
    program = load(PROGRAM.replace('"share"', '"share" if beta == 0.5 else "part"'))
    with pytest.raises(ProgramError, match="the names must be the same for every beta"):
        program.parameters(1.0)


def test_a_parameter_keeps_its_kind_for_every_beta(load):
    program = load(PROGRAM.replace("round(2 + 6 * beta)", "4 if beta == 0.5 else 8 * beta"))
    with pytest.raises(ProgramError, match=r"width is an int at beta 0.5 and 2.0 at beta 0.25"):
        program.parameters(0.25)


# Files.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def solve(env, p:\n    pass\n", "mine.py:1: "),
        ("import nothing_of_this_name\n", "mine.py: ModuleNotFoundError"),
        ("def solve(env, p):\n    return -1\n", r"there is no function schedule\(beta\)"),
        ("def schedule(beta):\n    return {}\n", r"there is no function solve\(env, p\)"),
    ],
)
def test_a_file_that_is_no_program_is_named(load, text, message):
    with pytest.raises(ProgramError, match=message):
        load(text)


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "binary.py"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProgramError, match=r"binary\.py: can't be read"):
        programs.parse(str(path))


def test_reading_a_spec_runs_nothing(save):
    programs.parse(str(save("raise SystemExit\n")))


# Digests.


def code_digest(save, text):
    return programs.read(save(text), trusted=False).code_digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("round(2 + 6 * beta)", "round(3 + 9 * beta)"),
        ("Read a few branches.", "Another idea."),
        ("    env.branch", "    # A remark.\n    env.branch"),
    ],
)
def test_what_is_not_compiled_leaves_the_code_digest(save, old, new):
    """Constants of the schedule, docstrings and comments: tuning compiles nothing."""
    text = PROGRAM.replace(old, new)
    assert text != PROGRAM
    assert code_digest(save, text) == code_digest(save, PROGRAM)
    one, other = (programs.read(save(each), trusted=False) for each in (PROGRAM, text))
    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("env.vote()", "-1"),
        ("def solve", "LIMIT = 3\n\ndef solve"),
        ("def solve", "def helper(x):\n    return x\n\ndef solve"),
    ],
)
def test_what_is_compiled_is_in_the_code_digest(save, old, new):
    assert code_digest(save, PROGRAM.replace(old, new)) != code_digest(save, PROGRAM)


def test_a_schedule_that_the_code_uses_is_in_the_code_digest(save):
    text = PROGRAM.replace("    return env.vote()", "    schedule(0.5)\n    return env.vote()")
    assert text != PROGRAM
    changed = text.replace("round(2 + 6 * beta)", "round(3 + 9 * beta)")
    assert code_digest(save, changed) != code_digest(save, text)
    source = programs.read(save(text), trusted=False)
    assert source.without_schedule({"width": int}) == source


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_without_its_schedule_a_program_keeps_its_lines_and_its_code(save, end):
    text = PROGRAM.replace("    env.branch", "    # Form\x0cfeeds end no line.\n    env.branch")
    path = save("")
    path.write_bytes(text.replace("\n", end).encode())
    source = programs.read(path, trusted=False)
    kinds = programs.load(source).kinds
    bare = programs.load(source.without_schedule(kinds))
    assert bare.source.code_digest == source.code_digest
    assert bare.kinds == kinds
    assert set(bare.parameters(0.7).values()) == {0}
    where = [node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Return)]
    found = ast.walk(ast.parse(bare.source.text))
    assert [node.lineno for node in found if isinstance(node, ast.Return)][1:] == where[1:]


# What compiles with `solve`.


def test_functions_of_the_module_and_its_constants_compile_with_solve(trust, simulated):
    """A helper may call another one that stands below it, and both may read constants."""
    spec = trust(
        """
        import math

        import numpy as np

        from autotts.votes import majority

        LIMIT = 3

        def schedule(beta):
            return {"width": 5}

        def solve(env, p):
            env.branch(wanted(env, p.width))
            env.finish(env.active())
            return env.vote() if majority(env.votes) >= 0 else -1

        def wanted(env, width):
            return capped(width, env.room) + np.int64(math.floor(0.5))

        def capped(width, room):
            return min(width, room, LIMIT)
        """
    )
    run = evaluate([stores.load(simulated)], [spec], experiment=Experiment("reference:2"))
    assert run.ran[0].how.driver == "compiled"
    assert run.episodes["width"].to_list() == [3] * 8
