"""The loop: rounds, budgets, refusals, selection, finalizing."""

import json
import math
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from autotts.cli.app import app
from autotts.discovery import scoring
from autotts.discovery.explorer import FREE, Proposal
from autotts.discovery.explorers import make
from autotts.discovery.held_out import finalize
from autotts.discovery.loop import Discovery
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import RunLimits, parse_settings
from autotts.discovery.run.store_refs import open_stores
from autotts.discovery.scoring import Scorer
from autotts.errors import (
    ControllerError,
    ProposalError,
    RunError,
    SandboxError,
    ServerError,
    SpecError,
)
from autotts.reports.runs import from_run
from autotts.sandbox.confine.tier import Tier
from autotts.simulation import simulate
from discover_toy import Scripted, lines, program, result, session, settings, store_folder


class Proposes:
    """Proposes these sources, one a round, or raises what is no source."""

    name = "proposes"
    deterministic = True

    def __init__(self, *sources):
        self.sources = sources
        self.turns = []

    def settings(self):
        return {}

    def estimate(self, rounds, proposals):
        return FREE

    def propose(self, turn):
        self.turns.append(turn)
        found = self.sources[turn.round - 1]
        if isinstance(found, Exception):
            raise found
        return [Proposal(text) for text in ([found] if isinstance(found, str) else found)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return store_folder(tmp_path_factory.mktemp("stores"))


@pytest.fixture
def begin(tmp_path, store):
    def new(**changes):
        return RunFolder.create(tmp_path / "run", settings(store, **changes)).path

    return new


def of(folder, kind):
    return [e for e in lines(folder) if e["event"] == kind]


def test_a_run_is_a_folder_that_a_person_can_read(begin, tmp_path):
    folder = begin()
    outcome = session(folder, Scripted(tmp_path / "sent"))
    assert outcome.stopped == ""
    files = {path.name for path in (folder / "rounds" / "0002").iterdir()}
    assert files >= {
        "program.py", "proposal.md", "sweep.json", "sweep.csv", "digest.md", "traces.md",
        "errors.txt", "cost.json",
    }  # fmt: skip
    assert "width 12" in (folder / "rounds/0002/proposal.md").read_text()
    cost = json.loads((folder / "rounds/0002/cost.json").read_text())
    assert (cost["calls"], cost["usd"]) == (1, 0.25)
    best = RunFolder(folder).state.best
    assert (folder / "best.py").read_text() == best.proposal.source


def test_the_same_run_twice_is_the_same(begin, tmp_path, store):
    folder = begin()
    session(folder, Scripted(tmp_path / "sent"))
    again = RunFolder.create(tmp_path / "again", settings(store)).path
    session(again, Scripted(tmp_path / "sent"))
    assert result(folder) == result(again)


def test_settings_survive_their_file(store):
    made = settings(store, limits=RunLimits(rounds=3, usd=1.5), failed="abstain")
    assert parse_settings(made.toml().encode(), "run.toml") == made
    assert 'seconds = "unlimited"' in made.toml()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def solve(env, p:\n", "syntax error"),
        (program().replace('"""Race', 'import os\n"""Race'), "import"),
        (program().replace("round(1 + 12 * beta)", "3 if beta == 0.5 else 2").replace(
            "round(1 + 7 * beta)", "1"), "monotone|other way"),
        (program().replace("env.active()", "99"), "99"),
        (program().replace("return env.vote()", "return 1 // (env.n - env.n)"), "zero"),
    ],
)  # fmt: skip
def test_a_bad_program_is_a_result_and_the_next_round_comes(begin, source, words):
    folder = begin()
    explorer = Proposes(source, program())
    session(folder, explorer)
    first, second = of(folder, "scored")
    assert first["errors"]
    assert not first["points"]
    assert any(part in " ".join(first["errors"]) for part in words.split("|"))
    assert not second["errors"]
    (trial,) = explorer.turns[1].history.trials
    assert trial.errors == tuple(first["errors"])
    assert (folder / "rounds/0001/errors.txt").read_text()


def test_what_became_of_each_program_is_said(begin):
    said = []
    folder = begin()
    with RunFolder(folder).open() as run:
        Discovery(run, Proposes("def solve(env, p:\n", program()), said.append).go()
    refused, scored = of(folder, "scored")
    assert f"round-1 is refused: {refused['errors'][0]}" in said
    assert f"round-2 has area {scored['area']:.2f}" in said


def test_an_explorer_without_a_proposal_loses_its_round_only(begin):
    folder = begin()
    session(folder, Proposes(ProposalError("the reply was empty"), program()))
    assert of(folder, "failed")[0]["reason"] == "the reply was empty"
    assert of(folder, "selected")[-1]["best"] == "2"


def test_a_server_that_refuses_stops_the_run_and_costs_no_round(begin):
    """It would refuse in every round; once it doesn't, the run goes on where it was."""
    folder = begin(limits=RunLimits(rounds=3))
    refused = session(folder, Proposes(ServerError("no such model: m")))
    assert refused.stopped == "no such model: m"
    assert not of(folder, "failed")
    again = session(folder, Proposes(program(4), program(8), program(12)))
    assert again.stopped == ""
    assert len(of(folder, "scored")) == 3


def test_several_proposals_a_round_and_one_that_repeats(begin):
    folder = begin(proposals=3, limits=RunLimits(rounds=1))
    session(folder, Proposes([program(12), program(12, 3), program(12) + "\n"]))
    scored = of(folder, "scored")
    assert len(scored) == 3
    assert "does exactly what round 1 does" in scored[2]["errors"][0]
    assert (folder / "rounds/0001/2/program.py").read_text() == program(12, 3)


def test_a_budget_stops_the_run_and_more_lets_it_go_on(begin, tmp_path):
    folder = begin(limits=RunLimits(rounds=2, model_tokens=200))
    outcome = session(folder, Scripted(tmp_path / "sent"))
    assert "150 model tokens, 90 of 200 are left" in outcome.stopped
    outcome = session(folder, Scripted(tmp_path / "sent"), RunLimits(rounds=2, model_tokens=400))
    assert outcome.stopped == ""
    assert (tmp_path / "sent").read_text() == "1\n2\n"
    assert len(of(folder, "scored")) == 2


def test_evaluations_count_sweeps_and_tries(begin, tmp_path):
    folder = begin(limits=RunLimits(rounds=2, evaluations=3))
    assert "all 3 evaluations" in session(folder, Scripted(tmp_path / "sent")).stopped
    assert len(of(folder, "tried")) == 2
    assert len(of(folder, "scored")) == 1


def test_a_round_shows_episodes(begin):
    """In its folder and, the same, to the explorer of the next round."""
    folder = begin()
    explorer = Proposes(program(), program(9))
    session(folder, explorer)
    shown = (folder / "rounds/0001/traces.md").read_text()
    assert "round-1 at beta 0.5 on m/toy, question" in shown
    (trial,) = explorer.turns[1].history.trials
    assert trial.traces == shown
    assert "autotts diagnose STORE -c rounds/0001/program.py" in trial.digest


def test_without_traces_there_are_scores_only(begin):
    folder = begin(traces=False, limits=RunLimits(rounds=1))
    explorer = Proposes(program())
    session(folder, explorer)
    (scored,) = of(folder, "scored")
    assert (scored["digest"], scored["traces"]) == ("", "")
    assert {path.name for path in folder.glob("rounds/*/*.md")} == {"proposal.md"}
    assert not explorer.turns[0].traces


def test_the_paper_s_rule_takes_the_most_accurate_beta(begin):
    folder = begin(selection="accuracy")
    session(folder, Proposes(program(3, 1), program(15, 14)))
    chosen = of(folder, "selected")[-1]
    accuracies = {
        str(e["round"]): max(p["accuracy"] for p in e["points"]) for e in of(folder, "scored")
    }
    assert chosen["score"] == pytest.approx(max(accuracies.values()))
    assert accuracies[chosen["best"]] == max(accuracies.values())


def test_how_far_a_program_must_be_ahead_is_a_setting(tmp_path, store):
    """The same lead is accepted or not; its words say the 95 % interval either way."""
    first = {}
    for accept in (0.5, 0.99):
        made = settings(store, accept=accept, limits=RunLimits(rounds=1))
        folder = RunFolder.create(tmp_path / f"{accept}", made).path
        session(folder, Proposes(program(15, 14)))
        (first[accept],) = of(folder, "selected")
    assert (first[0.5]["accepted"], first[0.99]["accepted"]) == (["1"], [])
    said, asked = first[0.5]["words"][0], first[0.99]["words"][0]
    assert "(95 %: " in said
    assert said.removesuffix("accepted") == asked.removesuffix("99% are asked for")


@pytest.mark.parametrize("by", ["area", "accuracy"])
def test_the_best_of_several_is_measured_on_fresh_draws(begin, by):
    """Once for as many rounds; of one program there is nothing to choose."""
    folder = begin(selection=by, limits=RunLimits(rounds=1))
    programs = Proposes(program(15, 14), program(12, 7), program(3, 1))
    session(folder, programs)
    assert not of(folder, "winner")
    session(folder, programs, RunLimits(rounds=3))
    (event,) = of(folder, "winner")
    found = RunFolder(folder).state.winner
    chosen = of(folder, "selected")[-1]
    assert found.name.split()[0] == f"round-{chosen['best']}"
    assert found.found == pytest.approx(chosen["score"])
    # The most accurate setting gets the same of four questions right whatever the draws.
    assert (found.fresh == found.found) == (by == "accuracy")
    assert event["rounds"] == 3
    assert set(found.facts[2:]) <= set(from_run(folder, replay=False).facts)


def test_a_best_that_fails_on_fresh_draws_takes_nothing_away(begin, monkeypatch):
    def fail(*_):
        raise ControllerError("line 7: no")

    monkeypatch.setattr(Scorer, "sweep_afresh", fail)
    folder = begin()
    assert session(folder, Proposes(program(), program(9))).best is not None
    (event,) = of(folder, "winner")
    assert event["error"] == "line 7: no"
    assert RunFolder(folder).state.winner is None
    assert of(folder, "ended")


def test_a_recorded_run_is_proposed_again(begin, tmp_path, store):
    folder = begin()
    session(folder, Scripted(tmp_path / "sent"))
    again = RunFolder.create(tmp_path / "again", settings(store)).path
    session(again, make("recorded", {"run": str(folder)}))
    areas = [[e["area"] for e in of(path, "scored")] for path in (folder, again)]
    assert areas[0] == areas[1]
    assert not of(again, "call")


def test_held_out_stores_are_opened_once_and_end_the_run(tmp_path, store):
    held_out = store_folder(tmp_path / "held", name="held", seed=5)
    folder = RunFolder.create(
        tmp_path / "run", settings(store, held_out, limits=RunLimits(rounds=1))
    )
    session(folder.path, Proposes(program(), program(9)))
    assert not of(folder.path, "opened")
    with folder.open() as run:
        final = finalize(run, lambda text: None)
    assert set(final.controllers) == {"round 1", "asc"}
    (opened,) = of(folder.path, "opened")
    assert [ref["dataset"] for ref in opened["stores"]] == ["held"]
    assert (folder.path / "finalize/results.json").is_file()
    with pytest.raises(RunError, match="held-out stores were opened"):
        session(folder.path, Proposes(program(), program(9)), RunLimits(rounds=2))
    with folder.open() as run:
        again = finalize(run, lambda text: None)
    assert again == final


class Repeats(Proposes):
    """Tries from the second round on what leads, and keeps what it was told."""

    def __init__(self, *sources):
        super().__init__(*sources)
        self.told = []

    def propose(self, turn):
        if turn.history.best is not None:
            self.told.append(turn.try_program(turn.history.best.proposal.source).lead)
        return super().propose(turn)


def test_a_try_is_held_against_the_best_on_the_same_draws(begin):
    """The program that leads is, tried again, neither ahead nor behind; other draws said it was."""
    folder = begin()
    explorer = Repeats(program(), program(9))
    session(folder, explorer)
    assert explorer.told == [
        "area +0.00 points against 1 (95 %: +0.00 to +0.00; ahead in 50% of resamples)"
    ]


def test_one_question_has_no_interval_and_is_read_again(tmp_path):
    """Where questions can't be resampled a bound is unknown, in the log as on the screen."""
    stores = [
        simulate(tmp_path / name, questions=1, branches=16, model="m", dataset=name, seed=seed)
        for name, seed in (("search", 0), ("held", 1))
    ]
    folder = RunFolder.create(tmp_path / "run", settings(*stores, limits=RunLimits(rounds=2)))
    session(folder.path, Proposes(program(), program(9)))
    with folder.open() as run:
        results = finalize(run, lambda text: None)
    (lead,) = results.against.values()
    assert math.isnan(lead.low)
    assert repr(folder.state.finalized.results) == repr(results)
    assert from_run(folder.path, replay=False).conclusion
    assert finalized_shown(folder.path)


def finalized_shown(path):
    done = CliRunner().invoke(app, ["finalize", str(path)])
    return done.exit_code == 0 and "held out" in done.output


def test_finalizing_needs_a_program_and_stores(begin):
    folder = begin()
    with RunFolder(folder).open() as run, pytest.raises(RunError, match="no program was selected"):
        finalize(run, lambda text: None)


@pytest.mark.parametrize("words", [[], [""]])
def test_a_log_without_the_reason_of_a_refusal_is_read(begin, words):
    """Its folder may be somebody else's."""
    folder = begin(limits=RunLimits(rounds=1))
    session(folder, Proposes("x = 1\n"))
    log = folder / "events.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()]
    (scored,) = (record for record in records if record["event"] == "scored")
    assert scored["errors"]
    scored["errors"] = words
    log.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    message = "no program was selected: all 1 were refused; "
    with RunFolder(folder).open() as run, pytest.raises(RunError, match=message):
        finalize(run, lambda text: None)


def test_a_sealed_sweep_is_the_same_as_ours(tmp_path, store):
    figures = []
    for driver in ("in-process", "sealed"):
        made = settings(store, driver=driver, audit=6, limits=RunLimits(rounds=1), baselines=())
        folder = RunFolder.create(tmp_path / driver, made).path
        session(folder, Proposes(program()))
        figures.append(of(folder, "scored")[0])
    assert figures[0]["points"] == figures[1]["points"]
    assert figures[1]["notes"]["audit"]["status"] == "clean"
    assert figures[1]["notes"]["tier"] == "sealed"
    facts = dict(from_run(folder, replay=False).facts)
    assert facts["programs that ran sealed"] == "1"
    assert facts["programs audited, with nothing found"] == "1"


def test_it_is_said_before_the_start_how_programs_run(store, monkeypatch):
    """Where no process can be sealed the run is refused, unless it was asked for all the same."""
    monkeypatch.setattr(scoring, "reach", lambda: Tier({"seccomp": "off: no Linux"}, ()))
    refused, unsafe = (
        Scorer(open_stores(made.stores), made)
        for made in (settings(store, driver="sealed", unsafe=unsafe) for unsafe in (False, True))
    )
    with refused, pytest.raises(SandboxError, match=r"off: no Linux(.|\n)*--unsafe-no-sandbox"):
        refused.check_sandbox()
    with unsafe:
        assert unsafe.check_sandbox().startswith("proposed programs run unsealed")


def test_unknown_explorers_and_options_suggest():
    with pytest.raises(SpecError, match="did you mean offline"):
        make("ofline", {})
    with pytest.raises(SpecError, match="did you mean draws"):
        make("offline", {"draw": "3"})


def test_the_history_names_trials_of_one_round(begin):
    folder = begin(proposals=2, limits=RunLimits(rounds=1))
    session(folder, Proposes([program(12), program(5)]))
    names = [t.name for t in RunFolder(folder).state.history.round(1)]
    assert names == ["1", "1.2"]
    trial = RunFolder(folder).state.history.trials[0]
    assert replace(trial, index=1).name == "1.2"
