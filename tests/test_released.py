"""Programs of the released research code: run unmodified, and ours do what they do."""

import re
from pathlib import Path

import polars as pl
import pytest

import wide_stores
from autotts import programs, stores
from autotts.errors import ControllerError, ProgramError, SpecError
from autotts.evaluation import Execution, Experiment, evaluate
from autotts.replay.released import Question
from autotts.simulation import simulate
from autotts.stores import Branch, Recording
from bare_pools import store_of

STYLE = Path(__file__).with_name("released_style.py")
TWENTY = Experiment(draws="reference:20")
COMPARED = ("question", "draw", "correct", "tokens", "width")


@pytest.fixture(scope="module", params=["simulated", "recorded"])
def store(request, tmp_path_factory):
    """A simulated store, and one that was recorded where there is one."""
    folder = tmp_path_factory.mktemp("released")
    if request.param == "simulated":
        return stores.load(simulate(folder, questions=6, branches=64, seed=4))
    file = request.getfixturevalue("recorded") / "scout" / "Qwen3-1.7B" / "aime24.json"
    return stores.load(stores.import_recordings(file, folder)[0])


def episodes(store, spec, experiment=TWENTY, **how):
    execution = Execution(**how)
    return evaluate([store], [spec], experiment=experiment, execution=execution).episodes


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Adaptive:threshold=0.95", "asc:threshold=0.95"),
        ("Adaptive:threshold=0.8,max_branches=9", "asc:threshold=0.8,max_branches=9"),
        ("Windows:max_branches=64,window=8", "esc:max_branches=64,window=8"),
        ("SideBySide:width=12", "short-mk:width=12,first=12"),
        (
            "ParallelProbe:width=32,stable=12,patience=4,warmup=6",
            "parallel-probe:width=32,stable=12,patience=4,warmup=6",
        ),
        (
            "ParallelProbe:width=64,stable=40,patience=7,warmup=15",
            "parallel-probe:width=64,stable=40,patience=7,warmup=15",
        ),
        ("ConfidenceMomentum:beta=0", "cmc:beta=0"),
        ("ConfidenceMomentum:beta=0.5", "cmc:beta=0.5"),
        ("ConfidenceMomentum:beta=1", "cmc:beta=1"),
    ],
)
def test_our_controllers_do_what_released_programs_do(store, theirs, ours):
    """Episode for episode: the same answer is right, for the same tokens, in as many branches."""
    released = episodes(store, f"reference:{STYLE}:{theirs}").select(COMPARED)
    assert released.equals(episodes(store, ours).select(COMPARED))


def test_reading_side_by_side_may_cost_more_than_reading_alone(simulated):
    """The released billing charges whole intervals, even those that a branch does not fill."""
    store = stores.load(simulated)
    alone = episodes(store, "sc:width=9")
    together = episodes(store, f"reference:{STYLE}:SideBySide:width=9")
    assert (together["tokens"] >= alone["tokens"]).all()
    assert together["correct"].mean() == pytest.approx(alone["correct"].mean(), abs=0.1)


# The question object.


def ask(billing):
    """One question with two branches: 1,150 tokens in three probes, 700 in two."""
    branches = [Branch(["7", "8", "8"], 1_150, "8"), Branch(["ERR", "9"], 700, "9")]
    store = stores.build(
        [Recording("Which?", "9", branches)],
        model="toy",
        dataset="toy",
        interval_tokens=500,
        billing=billing,
    )
    return Question(store.pool, store.answers[0], [1, 0], 0)


@pytest.fixture
def question():
    return ask("reference")


def test_a_branch_finishes_one_call_after_its_last_probe(question):
    assert question.probe_new() == ("ERR", 0, False)
    assert question.probe_more(0) == ("9", False)
    assert question.get_cost_per_branch_active() == [1_000]
    assert question.probe_more(0) == ("9", True)
    assert question.get_cost_per_branch_active() == [1_000]


def test_the_last_call_charges_what_whole_intervals_left_over(question):
    question.get_new_branch_final_answer()
    assert [question.probe_new()[0] for _ in range(1)] == ["7"]
    assert [question.probe_more(1) for _ in range(3)] == [("8", False), ("8", False), ("8", True)]
    assert question.get_cost_per_branch_active() == [700, 1_500]
    assert question.get_seq_and_total_tokens() == (0, 2_200)


def test_billed_exactly_a_branch_finishes_with_its_last_probe():
    question = ask("exact")
    question.probe_new()
    assert question.probe_more(0) == ("9", True)
    assert question.get_cost_per_branch_active() == [700]


def test_reading_a_branch_whole_costs_its_tokens(question):
    assert [question.get_new_branch_final_answer() for _ in range(2)] == ["9", "8"]
    assert question.get_seq_and_total_tokens() == (0, 1_850)


@pytest.mark.parametrize("call", ["probe_new", "get_new_branch_final_answer"])
def test_branches_run_out_with_a_value_error(question, call):
    for _ in range(2):
        getattr(question, call)()
    with pytest.raises(ValueError, match="all 2 branches are open"):
        getattr(question, call)()


def test_only_open_branches_can_be_read(question):
    question.probe_new()
    for index in (1, -1):
        with pytest.raises(ValueError, match="1 branches are open"):
            question.probe_more(index)


# How they are run.


def run(save, simulated, body, options="", **given):
    """A class whose `solve` has this body, on the simulated store."""
    lines = ["class Mine:", "    def __init__(self, config): self.config = config"]
    lines += ["    def solve(self, question):", *(f"        {line}" for line in body.splitlines())]
    path = save("\n".join(lines), "method.py")
    return episodes(stores.load(simulated), f"reference:{path}:Mine{options}", **given)


def test_config_has_beta_and_the_parameters_named(save, simulated):
    body = "assert self.config == {'beta': 0.75, 'width': 3}\nreturn None"
    assert run(save, simulated, body, ":beta=0.75,width=3")["tokens"].sum() == 0


def test_no_more_branches_than_were_asked_for(save, simulated):
    body = "while True:\n    question.get_new_branch_final_answer()"
    with pytest.raises(ControllerError, match="ValueError: all 5 branches are open"):
        run(save, simulated, body, experiment=Experiment(draws="reference:2", max_branches=5))


def test_a_program_may_catch_that_branches_ran_out(save, simulated):
    body = "try:\n    while True: question.probe_new()\nexcept ValueError:\n    return '1'"
    assert run(save, simulated, body)["width"].to_list() == [16] * 80


def test_an_answer_that_nobody_gave_is_wrong_and_none_is_no_answer(save, simulated):
    for answer in ("'never seen'", "None"):
        assert not run(save, simulated, f"return {answer}")["correct"].any()


def test_a_program_gets_nothing_but_the_question(save, simulated):
    """The gold answer is not in what a released program is given."""
    assert not run(save, simulated, "return getattr(question, 'gold_answer', 'none')")[
        "correct"
    ].any()


@pytest.mark.parametrize(
    "setting",
    [
        {"experiment": Experiment(budget=9_000)},
        {"experiment": Experiment(probe_tokens=5)},
        {"traces": True},
    ],
)
def test_what_a_released_program_does_not_know_is_refused(save, simulated, setting):
    with pytest.raises(SpecError, match="no budget and no cost of probes, and leaves no trace"):
        run(save, simulated, "return None", **setting)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ({"probes": False}, "no probes"),
        ({"ragged": True}, "questions with fewer branches than others"),
        ({"uneven": True}, "intervals that differ in their tokens"),
    ],
)
def test_a_store_that_the_released_code_does_not_know_is_refused(save, kind, named):
    plain = {"ragged": False, "probes": True, "uneven": False}
    pool = wide_stores.make_pool(3, billing="reference", **{**plain, **kind})
    path = save("class Mine: ...", "method.py")
    with pytest.raises(SpecError, match=f"toy/toy has {named}, which programs of the released"):
        evaluate([store_of(pool)], f"reference:{path}:Mine")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 1 / 0", r"method.py:4: question 0, draw 0: ZeroDivisionError: division by zero"),
        ("return 3", r"method.py: question 0, draw 0: solve returned 3; an answer is a string"),
        ("question.probe_more(0)", r"method.py:4: question 0, draw 0: ValueError: probe_more\(0\)"),
    ],
)
def test_what_fails_names_file_line_and_question(save, simulated, body, message):
    with pytest.raises(ControllerError, match=message):
        run(save, simulated, body)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Other: ...", "there is no class Mine"),
        ("Mine = 3", "there is no class Mine"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("class Mine:\n    def __init__(self, config):\n", "IndentationError"),
    ],
)
def test_a_file_without_the_class_is_named(save, simulated, text, message):
    path = save(text, "method.py")
    with pytest.raises(ProgramError, match=f"{re.escape(str(path))}: {message}"):
        episodes(stores.load(simulated), f"reference:{path}:Mine")


def test_results_say_that_a_released_program_made_them(simulated):
    evaluation = evaluate(
        [stores.load(simulated)], [f"reference:{STYLE}:Adaptive:beta=1"], experiment=TWENTY
    )
    assert evaluation.made_by()["drivers"] == ["released"]
    (row,) = evaluation.results()
    assert row["params"] == {"beta": 1.0}
    assert row["program_digest"] == programs.read(STYLE, trusted=False).digest
    assert evaluation.episodes.schema["tokens"] == pl.Int64
