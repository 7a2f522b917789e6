"""The command line, as a user meets it: what it prints, its exit codes, what it leaves behind."""

import json
import subprocess
import sys
from types import SimpleNamespace

import polars as pl
import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

import recordings
from autotts import __version__, programs, stores
from autotts.cli import app, main
from autotts.errors import ControllerError
from autotts.simulation import simulate

COMMANDS = sorted(get_command(app).commands)
READ_THREE = '''
"""Read three branches to their ends."""

def schedule(beta):
    return {"width": 3}

def solve(env, p):
    env.branch(p.width)
    while len(env.active()) > 0:
        env.advance(env.active())
    return env.vote()
'''


@pytest.fixture
def autotts(monkeypatch, capsys):
    """Runs a command in this process, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["autotts", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return run


def evaluate_few(autotts, simulated, spec, *more):
    return autotts("evaluate", simulated, "-c", spec, "--draws", "reference:2", *more)


def assert_narrow(text):
    assert max(map(len, text.splitlines())) <= 80, text


# Help.


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_every_command_has_help(command):
    ran = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80", "TERM": "dumb"})
    assert ran.exit_code == 0
    assert "Usage:" in ran.output
    assert_narrow(ran.output)
    if not command:
        assert all(name in ran.output for name in COMMANDS)


def commands_of(command, name=""):
    yield command, name
    for sub in getattr(command, "commands", {}).values():
        yield from commands_of(sub, sub.name)


def test_help_cuts_no_name_and_no_sentence():
    """At 80 columns; a list of commands has what each says of itself."""
    for command, name in commands_of(get_command(app)):
        told = command.get_help(typer.Context(command, info_name=name, terminal_width=80))
        for option in command.params:
            for spelled in (*option.opts, *option.secondary_opts):
                assert spelled in told, (name, spelled)
        words = " ".join(told.split())
        for sub in getattr(command, "commands", {}).values():
            assert " ".join(sub.get_short_help_str(1_000).split()) in words
        assert "\u2026" not in told


def test_help_waits_for_no_heavy_import():
    """`autotts --help` is to take half a second; NumPy, Numba and Polars alone take longer."""
    code = (
        "import sys, autotts.cli\n"
        "print({'numpy', 'numba', 'polars', 'scipy', 'matplotlib', 'pydantic'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_evaluating_what_is_ours_imports_nothing_for_others(simulated):
    """One store takes a tenth of a second: the command is to take little more than its imports."""
    arguments = ["evaluate", str(simulated), "-c", "cmc", "--draws", "reference:1"]
    code = (
        f"import sys; sys.argv = ['autotts', *{arguments}]\nfrom autotts.cli import main; main()\n"
    )
    unneeded = {"autotts.sandbox.sandbox", "rich.progress", "scipy.special"}
    watch = f"import atexit, sys; atexit.register(lambda: print({unneeded} & set(sys.modules)))\n"
    ran = subprocess.run(
        [sys.executable, "-c", watch + code], capture_output=True, text=True, check=True
    )
    assert "cmc" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "set()"


def test_the_module_is_the_command():
    ran = subprocess.run(
        [sys.executable, "-m", "autotts", "--version"], capture_output=True, text=True, check=True
    )
    assert ran.stdout == f"autotts {__version__}\n"


def test_an_error_is_one_message_and_exit_code_1():
    command = [sys.executable, "-m", "autotts", "data", "check", "nowhere"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "error: nowhere: no such file or folder\n"


# What works.


def test_controllers_are_listed_with_a_line_each(autotts):
    ran = autotts("controllers")
    assert [line.split()[0] for line in ran.out.splitlines()] == programs.built_in()


def test_stores_are_imported_checked_and_listed(autotts, tmp_path, released):
    file = tmp_path / "Tiny-1B" / "sums.json"
    file.parent.mkdir()
    file.write_text(json.dumps(released))
    out = tmp_path / "stores"
    told = autotts("data", "import", tmp_path, "--out", out).out
    assert told.startswith("Tiny-1B/sums: released, 2 questions x 2 branches")
    assert told.endswith(f"wrote {out}/Tiny-1B/sums\n")
    checked = autotts("data", "check", out)
    assert checked.code == 0
    assert "2 questions x 2 branches" in checked.out
    listed = autotts("data", "list", out)
    assert [word in listed.out for word in ("Tiny-1B", "sums", "500", "reference")] == [True] * 4
    assert_narrow(listed.out)


def test_ctrl_c_is_answered_in_a_word(autotts, tmp_path, monkeypatch):
    """By one word, or by how to go on; by none where the command has announced it as its end."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("autotts.stores.find", interrupted)
        ended = autotts("data", "list", tmp_path)
    assert (ended.code, ended.out, ended.err) == (130, "", "interrupted\n")
    (tmp_path / "s.json").write_text("[]")
    with monkeypatch.context() as patched:
        patched.setattr("autotts.stores.importing.read_recordings", interrupted)
        ended = autotts("data", "import", tmp_path / "s.json", "--out", tmp_path)
    assert (ended.code, ended.err.count("\n")) == (130, 1)
    assert "no store was written" in ended.err
    with monkeypatch.context() as patched:
        patched.setattr("autotts.reports.server.LoopbackServer.serve_forever", interrupted)
        ended = autotts("view", tmp_path)
    assert (ended.code, ended.err) == (0, "")


def test_everything_that_a_store_holds_is_told(autotts, tmp_path):
    samples = [
        {"id": "a", "question": "1 + 1?", "gold": ["2", "two"], "answer": answer, "tokens": 30,
         "prompt_tokens": 7, "weight": 2, "group:topic": "sums"}
        for answer in ("2", "2.0", "3")
    ]  # fmt: skip
    (tmp_path / "s.json").write_text(json.dumps(samples))
    names = ("--model", "m", "--dataset", "d", "--out", tmp_path)
    assert autotts("data", "import", tmp_path / "s.json", *names).code == 0
    (tmp_path / "m" / "d.kept").mkdir()
    held = autotts("data", "info", tmp_path).out
    assert held.startswith("m/d: 1 question x 3 branches\n")
    for words in (
        "answers at the end of branches only", "ids, weights",
        "several true answers", "topic", "equality math", "prompt tokens", "d.kept",
        "s.json in the samples layout",
    ):  # fmt: skip
        assert words in " ".join(held.split())
    several = ("--with-model", "a:0.4:0.6", "--with-model", "b:0.6:8", "--signal", "sure=0.7")
    small = ("--questions", 2, "--branches", 8, "--out", tmp_path / "more", "--family", "f")
    assert autotts("data", "simulate", *several, *small).code == 0
    held = autotts("data", "info", tmp_path / "more").out
    for words in ("of 500 tokens, answers probed", "sure", "a at 0.6, b at 8", "seed 0"):
        assert words in held
    assert_narrow(held)


def test_the_command_regrades_in_place_or_elsewhere(autotts, tmp_path):
    recordings.write("released", tmp_path / "in")
    assert autotts("data", "import", tmp_path / "in", "--out", tmp_path / "st").code == 0
    checked = autotts("data", "check", tmp_path / "st", "--equality", "math")
    assert "math instead of exact: other votes in 1 question" in checked.out
    told = autotts("data", "regrade", tmp_path / "st", "--equality", "math")
    assert "Tiny-1B/sums: 66.7 % of branches right, 33.3 % before" in told.out
    assert stores.load(tmp_path / "st" / "Tiny-1B" / "sums").manifest.equality == "math"
    autotts("data", "regrade", tmp_path / "st", "--equality", "exact", "--out", tmp_path / "other")
    assert stores.load(tmp_path / "other" / "Tiny-1B" / "sums").correct.sum() == 2


def test_a_store_is_simulated_like_another(autotts, tmp_path, simulated):
    ran = autotts(
        "data", "simulate", "--out", tmp_path, "--like", simulated, "--dataset", "twin",
        "--branches", 8,
    )  # fmt: skip
    assert ran.code == 0
    assert stores.load(tmp_path / "simulated" / "twin").pool.finals.shape == (4, 8)


def test_evaluate_prints_a_table_and_writes_json(autotts, tmp_path, simulated):
    path = tmp_path / "out.json"
    ran = autotts(
        "evaluate", simulated, "-c", "sc:width=4", "-c", "asc", "--beta", "0,1",
        "--draws", "reference:2", "--json", path,
    )  # fmt: skip
    assert ran.code == 0
    assert_narrow(ran.out)
    written = json.loads(path.read_text())
    assert [(row["name"], row["beta"]) for row in written["results"]] == [
        ("sc", 0), ("sc", 1), ("asc", 0), ("asc", 1),
    ]  # fmt: skip
    assert written["made_by"]["draws"] == "reference:2"
    assert all(f"{row['accuracy']:.2f}" in ran.out for row in written["results"])
    assert "Most accurate of 4 settings" in ran.out
    assert f"{written['winner']['fresh']:.2f} % on fresh draws" in " ".join(ran.out.split())


def test_what_fails_on_fresh_draws_takes_nothing_away(autotts, tmp_path, simulated, monkeypatch):
    def fail(*_, **__):
        raise ControllerError("line 7: no")

    monkeypatch.setattr("autotts.evaluation.winner.run_cells", fail)
    path = tmp_path / "out.json"
    words = ("-c", "sc", "--beta", "0,1", "--draws", "reference:2", "--json", path)
    ran = autotts("evaluate", simulated, *words)
    assert ran.code == 0
    assert "the most accurate fails on fresh draws: line 7: no" in ran.err
    assert len(json.loads(path.read_text())["results"]) == 2


def test_evaluate_passes_its_options_on(autotts, tmp_path, simulated):
    path = tmp_path / "out.json"
    ran = evaluate_few(
        autotts, simulated, "parallel-probe", "--budget", 90_000, "--probe-tokens", 9, "--failed",
        "abstain", "--max-branches", 5, "--seed", 3, "--jobs", 1, "--json", path,
    )  # fmt: skip
    assert ran.code == 0
    (row,) = json.loads(path.read_text())["results"]
    made_by = json.loads(path.read_text())["made_by"]
    assert (row["width"], row["probe_tokens"] > 0) == (5, True)
    assert [made_by[name] for name in ("budget", "probe_tokens", "failed", "seed")] == [
        90_000, 9, "abstain", 3,
    ]  # fmt: skip


def test_evaluate_writes_traces(autotts, tmp_path, simulated):
    assert evaluate_few(autotts, simulated, "sc:width=3", "--traces", tmp_path / "t").code == 0
    (file,) = (tmp_path / "t").iterdir()
    assert file.name == "sc-width=3-beta0.5-simulated-sim.parquet"
    assert len(pl.read_parquet(file)) == 4 * 2 * 3 * 2


def test_traces_of_two_specs_of_one_controller_stand_side_by_side(
    autotts, save, tmp_path, simulated
):
    """Parameters differ, or the programs do that two folders hold under one name."""
    text = programs.find("short-mk").text.replace("round(4 + 60 * beta)", "2")
    theirs = save(text, "sc.py")
    other = tmp_path / "other" / "sc.py"
    other.parent.mkdir()
    other.write_text(text.replace('"width": 2', '"width": 4'))
    specs = {"sc:width=1": 1, "sc:width=3": 3, theirs: 2, other: 4}
    words = [word for spec in specs for word in ("-c", spec)]
    ran = autotts(
        "evaluate", simulated, *words, "--draws", "reference:2", "--traces", tmp_path / "t"
    )
    assert ran.code == 0
    frames = [pl.read_parquet(file) for file in (tmp_path / "t").iterdir()]
    widths = sorted(frame["branch"].max() + 1 for frame in frames)
    assert widths == sorted(specs.values())


def test_a_program_by_path_is_evaluated_and_audited(autotts, save, simulated, tmp_path):
    path = tmp_path / "out.json"
    assert evaluate_few(autotts, simulated, save(READ_THREE), "--json", path).code == 0
    (row,) = json.loads(path.read_text())["results"]
    assert (row["driver"], row["audit"]["status"], row["width"]) == ("sealed", "clean", 3)


def test_audit_says_what_it_bounds(autotts, save, simulated):
    ran = autotts("audit", save(READ_THREE), simulated, "--draws", "reference:2")
    assert ran.code == 0
    assert "clean: 0 of 8 sampled episodes" in ran.out
    assert "could (95 %)" in ran.out


def test_doctor_says_what_this_machine_reaches(autotts):
    ran = autotts("doctor")
    assert ran.code == (0 if "sandbox: sealed" in ran.out else 1)
    verdict = "run sealed" if ran.code == 0 else "can't be run safely"
    assert f"programs that others wrote {verdict}" in ran.out.splitlines()[-1]
    assert all(word in ran.out for word in (__version__, "numba", "compiled code", "seccomp"))


def test_table_1_says_where_data_are_absent(autotts, simulated):
    ran = autotts("reproduce", "table1", simulated)
    assert ran.code == 0
    assert "data absent" in ran.out
    assert "equal" not in ran.out
    assert_narrow(ran.out)


def test_an_episode_can_be_followed(autotts, simulated):
    ran = autotts("trace", simulated, "-c", "cmc:beta=0", "--question", 3, "--draw", 1)
    assert ran.code == 0
    assert ran.out.startswith("cmc:beta=0 at beta 0\nsimulated/sim, question 3, draw 1\n")
    assert_narrow(ran.out)


# Damaged stores and files.


@pytest.fixture
def released():
    """Two questions of two branches, in the layout of the released recordings."""
    return [
        {
            "question": f"What is {q} + {q}?",
            "gold_answer": str(2 * q),
            "probe_freq": 500,
            "final_answers_trace": [str(2 * q), "ERR"],
            "each_branch": [[["7", str(2 * q)], 900, str(2 * q)], [["ERR"], 450, "ERR"]],
        }
        for q in range(2)
    ]


def test_a_store_named_after_the_current_folder_says_so(autotts, tmp_path, monkeypatch):
    """A file named without its folder takes a name that its user did not write."""
    here = tmp_path / "work"
    here.mkdir()
    monkeypatch.chdir(here)
    line = {"question": "6 x 7?", "gold": "42", "answer": "42", "tokens": 11}
    (here / "samples.jsonl").write_text(json.dumps(line) + "\n")
    command = ("data", "import", "samples.jsonl", "--out", tmp_path / "stores")
    assert (
        "work is the name of this folder; --model and --dataset give others"
        in autotts(*command).out
    )
    told = autotts(*command, "--model", "Tiny", "--overwrite").out
    assert "name of this folder" not in told


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda d: d[1]["final_answers_trace"].pop(),
            "question 1: 2 branches in each_branch, 1 in",
        ),
        (lambda d: d[1]["each_branch"][0][0].append(7), "question 1, branch 0: answer 7 is not"),
        (lambda d: d[1].update(gold_answer=[]), "question 1: gold_answer is [], not a true answer"),
    ],
)
def test_a_damaged_recording_is_refused_and_nothing_is_written(
    autotts, tmp_path, released, damage, message
):
    damage(released)
    file = tmp_path / "Tiny-1B" / "sums.json"
    file.parent.mkdir()
    file.write_text(json.dumps(released))
    ran = autotts("data", "import", file, "--out", tmp_path / "stores")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"error: {file}: {message}")
    assert not (tmp_path / "stores").exists()


def test_a_recording_cut_short_is_refused_and_nothing_is_written(autotts, tmp_path, released):
    file = tmp_path / "sums.json"
    file.write_text(json.dumps(released)[:-40])
    ran = autotts("data", "import", file, "--out", tmp_path / "stores")
    assert ran.code == 1
    assert f"{file}: not JSON, perhaps cut short" in ran.err
    assert not (tmp_path / "stores").exists()


def cut_short(folder):
    file = folder / "branches.parquet"
    file.write_bytes(file.read_bytes()[:-100])


def change(**fields):
    def edit(folder):
        file = folder / "manifest.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "branches.parquet: its sha256 is"),
        (change(digest="0" * 64), "manifest.json: its digest is 000000000000..."),
        (change(schema_version=3), "manifest.json: schema version 3; this autotts reads 1 to 2"),
        (lambda folder: (folder / "questions.parquet").unlink(), "questions.parquet is missing"),
    ],
)
def test_a_damaged_store_is_refused_by_every_command(autotts, tmp_path, damage, message):
    folder = simulate(tmp_path / "s", questions=2, branches=4)
    damage(folder)
    path = tmp_path / "out.json"
    checked = autotts("data", "check", folder)
    assert checked.code == 1
    assert message in checked.err
    ran = evaluate_few(autotts, folder, "sc", "--json", path)
    assert (ran.code, ran.out) == (1, "")
    assert f"error: {folder}" in ran.err
    assert message in ran.err
    assert not path.exists()


def test_check_goes_on_after_a_damaged_store(autotts, tmp_path):
    folders = [simulate(tmp_path, questions=2, branches=4, dataset=d) for d in "ab"]
    cut_short(folders[0])
    ran = autotts("data", "check", tmp_path)
    assert ran.code == 1
    assert "damaged" in ran.err
    assert f"sound   {folders[1]}" in ran.out


# Controllers that fail; tests/test_evaluation.py has more of them.

FAILING = {
    "raises": ("1 // (p.width - 3)", "ZeroDivisionError"),
    "advances a pruned branch": ("env.prune(1); env.advance(1)", "branch 1 is pruned"),
    "opens more branches than there are": ("env.branch(40)", "3 branches are open and 13 more"),
    "answers what it never saw": ("return 77", "solve returned 77"),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_controller_that_fails_is_an_error_with_its_place(
    autotts, save, simulated, tmp_path, case
):
    line, message = FAILING[case]
    file = save(READ_THREE.replace("    while", f"    {line}\n    while"))
    path = tmp_path / "out.json"
    path.write_text("of yesterday")
    ran = evaluate_few(autotts, simulated, file, "--audit", 0, "--json", path)
    assert (ran.code, ran.out) == (1, "")
    assert f"error: {file}" in ran.err
    assert "question" in ran.err
    assert message in ran.err
    assert path.read_text() == "of yesterday"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.py", "out.json"]


def test_a_controller_that_answers_a_float_is_refused_at_its_line(autotts, save, simulated):
    """Before anything is run, and with what to do."""
    file = save(READ_THREE.replace("    while", "    return 0.5\n    while"))
    ran = evaluate_few(autotts, simulated, file, "--audit", 0)
    assert (ran.code, ran.out) == (1, "")
    line = 1 + file.read_text().splitlines().index("    return 0.5")
    assert f"error: {file}:{line}: solve returns the id of an answer" in ran.err
    assert "`return env.vote()`; this is 0.5" in ran.err


def test_a_docstring_is_asked_for_and_not_required(autotts, save, simulated):
    told = evaluate_few(autotts, simulated, save(READ_THREE))
    bare = evaluate_few(autotts, simulated, save(READ_THREE.split('"""')[2]))
    assert (told.code, bare.code) == (0, 0)
    assert "has no docstring" in bare.err
    assert "docstring" not in told.err


def test_a_width_of_nothing_is_named(autotts, simulated):
    ran = autotts("evaluate", simulated, "-c", "sc:width=0")
    assert "branch(0): k must be at least 1, not 0 (width=0)" in ran.err


def test_a_function_that_is_not_called_is_told_so(autotts, save, simulated):
    """Where it stands, and where it only shows when the program runs."""
    for answer, words in (("env.vote", "brackets call it"), ("max", "brackets call it")):
        text = READ_THREE.replace("return env.vote()", f"answer = {answer}\n    return answer")
        ran = evaluate_few(autotts, simulated, save(text))
        assert words in ran.err
        assert len(ran.err.splitlines()) <= 3


def test_a_controller_that_loops_for_ever_is_stopped(autotts, save, simulated, tmp_path):
    file = save(READ_THREE.replace("env.advance(env.active())", "env.depth.sum()"))
    path = tmp_path / "out.json"
    ran = evaluate_few(autotts, simulated, file, "--timeout", 1, "--json", path)
    assert (ran.code, ran.out) == (1, "")
    assert f"error: {file}: " in ran.err
    assert "took too long" in ran.err
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def solve(env, p:\n", ":1: "),
        (READ_THREE.replace("    env.branch", "    import os\n    env.branch"), ":8: imports"),
        (READ_THREE.replace("env.vote()", "env.gold"), "gold"),
        (READ_THREE.replace("def schedule", "def plan"), "schedule"),
    ],
)
def test_a_program_that_breaks_the_rules_is_refused_before_it_runs(
    autotts, save, simulated, text, message
):
    file = save(text)
    ran = evaluate_few(autotts, simulated, file)
    assert (ran.code, ran.out) == (1, "")
    assert f"error: {file}" in ran.err
    assert message in ran.err


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-c", "parallel-prob"], "did you mean parallel-probe? Or name a file"),
        (["-c", "sc", "-c", "sc"], "-c sc: a controller is named twice"),
        (["-c", "sc", "--json", "/"], "--json /: that is a folder; name a file"),
        (["-c", "sc", "--json", "/nowhere/x.json"], "there is no folder /nowhere"),
        (["-c", "sc", "--traces", f"{__file__}/x"], "test_cli.py is a file; name a folder"),
        (["-c", "asc:treshold=0.9"], "asc has no parameter treshold; did you mean threshold?"),
        (["-c", "missing.py"], "missing.py: there is no such file"),
        (["-c", "sc", "--beta", "0,2"], "beta '2': need a number from 0 to 1"),
        (["-c", "sc", "--beta", "0.5,0.5"], "--beta 0.5,0.5: a beta is named twice"),
        (["-c", "sc", "--draws", "all"], "draws 'all': need reference:N or subsets:N"),
        (["-c", "sc", "--failed", "retry"], "failed 'retry': need vote or abstain"),
        (["-c", "sc", "--budget", "499"], "costs 500 tokens on simulated/sim"),
        (["-c", "sc", "--json", "no/such/out.json"], "there is no folder no/such"),
        (["-c", "sc", "--json", "/proc/x.json"], "nothing can be written to /proc"),
        (["-c", "sc", "--traces", "/proc/x"], "nothing can be written to /proc"),
    ],
)
def test_what_can_not_be_asked_says_what_can(autotts, simulated, arguments, message):
    ran = autotts("evaluate", simulated, *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1


def test_an_unknown_option_is_a_usage_error(autotts, simulated):
    ran = autotts("evaluate", simulated, "-c", "sc", "--braches", 3)
    assert ran.code == 2
    assert "No such option: --braches" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--question", 4], "question 4, draw 0: the store has questions 0 to 3"),
        (["--question", 0, "--draw", 100], "reference:100 has draws 0 to 99"),
        (["--question", 0, "-c", "asc"], "it needs one store and one -c; got simulated/sim and "),
    ],
)
def test_only_an_episode_that_is_there_can_be_followed(autotts, simulated, arguments, message):
    ran = autotts("trace", simulated, "-c", "sc", *arguments)
    assert ran.code == 1
    assert message in ran.err


def test_only_programs_given_by_path_are_audited(autotts, simulated):
    ran = autotts("audit", "asc", simulated)
    assert ran.code == 1
    assert "only a program given by path is audited" in ran.err


# Options that commands share.


@pytest.mark.parametrize("command", ["evaluate", "compare", "diagnose", "tune", "ablate"])
def test_json_alone_stands_on_standard_output(autotts, simulated, command):
    """Every command that evaluates says what its figures are and what made them."""
    words = {
        "evaluate": ("-c", "asc"),
        "compare": (),
        "diagnose": ("-c", "asc"),
        "tune": ("-c", "asc", "--trials", 3),
        "ablate": ("-c", "asc", "--frozen-only"),
    }[command]
    first = ("cmc", "asc") if command == "compare" else ()
    options = ("--draws", "subsets:2", "--max-branches", 4, "--probe-tokens", 7, "--json", "-")
    ran = autotts(command, *first, simulated, *words, *options)
    assert ran.code == 0, ran.err
    made_by = json.loads(ran.out)["made_by"]
    assert (made_by["max_branches"], made_by["probe_tokens"]) == (4, 7)
    assert made_by["stores"][0]["digest"] == stores.load(simulated).digest
    assert made_by["version"] == __version__
    assert made_by["program_digest"]
    assert ran.err


def test_a_comparison_has_one_unit_of_accuracy(autotts, simulated):
    """Percent and points, in what is evaluated and in what is compared."""
    few = ("--draws", "subsets:2", "--beta", "0,1", "--json", "-")
    told = json.loads(autotts("compare", "cmc", "asc", simulated, *few).out)
    best = max(row["accuracy"] for row in told["results"] if row["controller"] == "cmc")
    (_, *_, dearest) = told["at_tokens"]
    assert 1 < dearest["accuracy_a"] <= best + 1e-9
    gaps = [row["accuracy_a"] - row["accuracy_b"] for row in told["at_tokens"]]
    assert [row["difference"] for row in told["at_tokens"]] == pytest.approx(gaps)
    gap = told["area"]["difference"]["estimate"]
    assert min(gaps) - 20 < gap < max(gaps) + 20
    assert abs(gap) > 0.01
    assert all(1 < row["accuracy"] <= 100 for row in told["at_accuracy"])


def test_a_pool_is_told_as_json(autotts, simulated, tmp_path):
    path = tmp_path / "pool.json"
    assert autotts("pool", simulated, "--json", path).code == 0
    told = json.loads(path.read_text())
    assert told["pools"][0]["summary"][0]["questions"] == len(stores.load(simulated).gold)
    assert told["made_by"]["stores"][0]["digest"] == stores.load(simulated).digest


def test_a_width_that_is_cut_is_told_with_its_reason(autotts, simulated):
    branches = stores.load(simulated).pool.finals.shape[1]
    ran = evaluate_few(autotts, simulated, "sc:width=1000", "--max-branches", 4, "--json", "-")
    assert "sc:width=1000 asks for width = 1000" in ran.err
    assert "--max-branches 4 holds it back" in ran.err
    (cut,) = json.loads(ran.out)["cut_widths"]
    assert (cut["parameter"], cut["asked"], cut["allowed"]) == ("width", 1000, 4)
    ran = evaluate_few(autotts, simulated, "sc:width=1000")
    assert f"the store has {branches} branches per question" in ran.err
    assert "asks for" not in evaluate_few(autotts, simulated, "sc:width=2").err


def test_a_bad_program_is_told_of_before_stores_are_read(autotts, save, tmp_path):
    ran = autotts("evaluate", tmp_path / "no-store", "-c", save("def schedule(beta:\n"))
    assert ran.code == 1
    assert "mine.py:1" in ran.err
    assert "no-store" not in ran.err


def test_stores_are_named_alike_in_every_command_and_results_saved_alike():
    """By arguments, whatever the command; `--stores` does where it did. And `--json` everywhere."""
    commands = get_command(app).commands
    options = {name: {o for p in c.params for o in p.opts} for name, c in commands.items()}
    kinds = {name: {p.name: p.param_type_name for p in c.params} for name, c in commands.items()}
    several = ("evaluate", "compare", "pool", "tune", "ablate", "play", "view", "leaderboard")
    for name in (*several, "discover", "report", "plot", "audit"):
        assert kinds[name]["stores"] == "argument", name
    for name in ("discover", "compare", "report", "plot", "play", "view", "audit"):
        assert "--stores" in options[name], name
    for name in ("evaluate", "compare", "pool", "tune", "ablate", "diagnose", "choose", "drift"):
        assert "--json" in options[name], name
