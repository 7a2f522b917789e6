"""The offline explorer: what it writes does what was learned, and learning is repeatable."""

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from autotts import programs, stores
from autotts.diagnosis import value
from autotts.diagnosis.evidence import FEATURES, OF_FINISHERS, evidence
from autotts.discovery.ablations import ARMS, _at_its_tokens, ablate_loop
from autotts.discovery.explorer import ProgramRules
from autotts.discovery.explorers import make
from autotts.discovery.explorers.offline import lab
from autotts.discovery.explorers.offline.lab import Lab
from autotts.discovery.explorers.offline.search import Kept, _keep, _kept
from autotts.discovery.explorers.offline.writing import Learned, source
from autotts.discovery.loop import Discovery
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import RunLimits
from autotts.errors import RunError, SpecError
from autotts.evaluation import Experiment
from autotts.evaluation.frontiers import Curve
from autotts.evaluation.serving import unserved
from autotts.programs.checker import problems
from autotts.programs.needs import needs_of
from autotts.replay.in_process import InProcess
from autotts.replay.task import Cell
from autotts.simulation import simulate
from discover_toy import result, session, settings, store_folder
from known_truth import store


def weights():
    """Of features, and of signals with names of any kind."""
    numbers = st.floats(-3, 3).map(lambda x: round(x, 1))
    others = st.dictionaries(st.sampled_from(sorted(set(FEATURES) - {"votes"})), numbers)
    names = st.sampled_from(("mean_confidence", "last_confidence", "last_mean_len", "mean__x1"))
    signals = st.dictionaries(names, st.floats(-1e4, 1e4), max_size=2)
    return st.tuples(others, signals).map(lambda two: {"votes": 1.5, **two[0], **two[1]})


@st.composite
def learnings(draw):
    width = sorted(draw(st.lists(st.integers(1, 64), min_size=2, max_size=2)))
    price = sorted(draw(st.lists(st.floats(0.001, 50), min_size=2, max_size=2)), reverse=True)
    probes = draw(st.booleans())
    vote = draw(weights())
    return Learned(
        vote={k: w for k, w in vote.items() if probes or k in OF_FINISHERS or k not in FEATURES},
        stop=draw(st.none() | st.tuples(st.floats(-6, 0), st.floats(0.1, 3))),
        patience=draw(st.floats(1, 40)),
        evidence=draw(st.sampled_from((0.0, 0.3))),
        keep=draw(st.integers(0, 3)),
        cohort=draw(st.sampled_from((0, 4, 16))),
        last_margin=draw(st.sampled_from((0, 8, 64))),
        probes=probes,
        width=tuple(width),
        price=tuple(price),
        lessons=tuple(draw(st.lists(st.text("abc%{}#' ", max_size=200), max_size=2))),
    )


@examples(max_examples=30)
@given(learnings())
def test_every_program_passes_the_check_with_a_schedule_of_one_knob(learned):
    text = source(learned)
    assert problems(text) == []
    program = programs.load(programs.Source("made", "made.py", text, True))
    values = [program.parameters(beta) for beta in (0.0, 0.3, 0.7, 1.0)]
    assert (values[0]["width"], values[-1]["width"]) == learned.width
    for name in program.kinds:
        along = [one[name] for one in values]
        assert along in (sorted(along), sorted(along, reverse=True))


@pytest.fixture(scope="module")
def decoys(tmp_path_factory):
    return store(tmp_path_factory.mktemp("known"), "decoy", seed=2, questions=24, branches=24)


@pytest.mark.parametrize(
    ("vote", "failed", "cohort"),
    [
        (dict.fromkeys(FEATURES, 0.7), "vote", 0),
        (dict.fromkeys(FEATURES, 0.7), "vote", 3),
        (dict.fromkeys(FEATURES, -0.3) | {"votes": 1.0}, "abstain", 0),
    ],
)
def test_a_program_votes_by_the_features_that_were_fitted(decoys, vote, failed, cohort):
    assert_voted_by_evidence(decoys, vote, failed, cohort)


def assert_voted_by_evidence(recorded, vote, failed, cohort):
    """What it answers is what leads by the same weights over `evidence` of its own trace."""
    text = source(Learned(vote=vote, stop=(-2.0, 0.5), patience=5, keep=1, cohort=cohort))
    spec = programs.Spec(
        "made", programs.Source("made", "made.py", text, True), 0.5, {"price": 0.0, "width": 9}
    )
    task = Experiment(draws="subsets:2", failed=failed).task(recorded)
    (ran,) = InProcess().run([Cell(task, spec)], keep_log=True)
    assert ran.how.driver == "compiled"
    seen = evidence([ran])
    stands = value.standings(seen, vote)
    ends = np.flatnonzero(np.append(np.diff(seen.episode) > 0, True))
    sure = stands.lead[ends] > 1e-9  # rounding decides between equals
    assert sure.any()
    assert np.array_equal(stands.right[ends][sure], ran.correct[seen.episode[ends]][sure])


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return store(tmp_path_factory.mktemp("known"), "signal", seed=1, questions=24, branches=24)


def test_a_program_votes_by_the_signals_that_were_fitted(told):
    vote = {"votes": 1.0, "mean_confidence": 0.7, "last_length": -1.3, "short": 0.5}
    assert_voted_by_evidence(told, vote, failed="vote", cohort=0)
    needed = needs_of(programs.Source("made", "made.py", source(Learned(vote=vote)), True))
    assert needed.signals == {"confidence", "length"}


def test_a_signal_that_tells_is_learned_where_all_stores_have_it(told, decoys, tmp_path):
    """Of two signals the one that tells is read; beside a store without, neither."""
    folder = learn(tmp_path, "run", told.path)
    (trial,) = folder.state.trials
    assert not trial.errors
    made = programs.Source("made", "made.py", trial.proposal.source, True)
    assert needs_of(made).signals == {"confidence"}
    assert "confidence of its finishers is above that of all" in trial.proposal.learned
    lacking = Lab(offline_turn([told.path, decoys.path]), 2)
    step = lacking.stage("vote", Learned(width=(3, 24)))
    assert "confidence" not in step.finding


def test_the_price_of_a_token_ends_an_episode(decoys):
    """Free tokens end nothing, dear ones end at the first finisher; in between it is monotone."""
    text = source(Learned(stop=(-2.0, 0.5)))
    program = programs.Source("made", "made.py", text, True)
    task = Experiment(draws="subsets:2").task(decoys)
    cells = [
        Cell(task, programs.Spec("made", program, 0.5, {"price": price, "width": 12}))
        for price in (0.0, 0.05, 0.5, math.inf)
    ]
    ran = InProcess().run(cells)
    tokens = [one.tokens for one in ran]
    assert all((later <= earlier).all() for earlier, later in itertools.pairwise(tokens))
    assert tokens[-1].mean() < tokens[0].mean() / 1.5


def test_a_cohort_as_wide_as_the_race_is_the_race(decoys):
    """And a narrower one has no more branches side by side, and opens others as they end."""
    task = Experiment(draws="subsets:2").task(decoys)
    ran = {}
    for cohort in (0, 4, 12):
        text = source(Learned(cohort=cohort, margin=100, patience=1e6))
        program = programs.Source("made", "made.py", text, True)
        spec = programs.Spec("made", program, 0.5, {"width": 12})
        (ran[cohort],) = InProcess().run([Cell(task, spec)])
    assert np.array_equal(ran[0].tokens, ran[12].tokens)
    assert np.array_equal(ran[0].correct, ran[12].correct)
    narrow, wide = (ran[c].episodes.column("sequential_tokens").mean() for c in (4, 12))
    assert narrow > 1.5 * wide
    assert np.array_equal(ran[4].tokens, ran[12].tokens)  # all twelve are read to the end


@pytest.mark.parametrize("cohort", [0, 4])
def test_without_probes_a_program_asks_for_none_and_plays_as_if_branches_showed_nothing(
    tmp_path, cohort
):
    path = simulate(tmp_path, questions=4, branches=12, seed=1, probes=False)
    task = Experiment(draws="subsets:2").task(stores.load(path))
    vote = dict.fromkeys(OF_FINISHERS, 0.5)
    ran = []
    for probes in (True, False):
        text = source(Learned(vote=vote, patience=5, evidence=0.3, cohort=cohort, probes=probes))
        program = programs.Source("made", "made.py", text, True)
        assert bool(unserved([task.store], program)) is probes
        (one,) = InProcess().run([Cell(task, programs.Spec("made", program, 0.5, {"width": 9}))])
        ran.append(one)
    assert np.array_equal(ran[0].tokens, ran[1].tokens)
    assert np.array_equal(ran[0].correct, ran[1].correct)


def test_what_was_learned_is_said_as_it_is_where_there_are_no_probes():
    said = "of what it held, shows, shown: env.branch(8)"
    assert f"- {said}\n" in source(Learned(probes=False, lessons=(said,)))


def test_recordings_without_probes_get_a_program_that_they_can_serve(tmp_path, paces):
    path = simulate(tmp_path / "store", questions=8, branches=24, seed=1, probes=False)
    folder = learn(tmp_path, "run", path, baselines=("asc", "short-mk"))
    (trial,) = folder.state.trials
    assert not trial.errors
    assert "probe=False" in trial.proposal.source
    assert not needs_of(programs.Source("made", "made.py", trial.proposal.source, True)).probes


def offline_turn(paths, ceiling=24, judge="mean", objective="tokens"):
    """As much of a round as the explorer's lab reads."""
    rules = ProgramRules(ceiling=ceiling, cheapest=1.0, dearest=0.0, isotonic_slack=1.0)
    return SimpleNamespace(
        seed=1, stores=paths, rules=rules, traces=True, server_model=None, objective=objective,
        judge=judge, family_weight="equal", history=SimpleNamespace(baselines={"margin": ()}),
    )  # fmt: skip


@pytest.fixture
def paces(monkeypatch):
    """A few of the paces, of each kind."""
    few = lab._PACES[::5]
    monkeypatch.setattr(lab, "_PACES", few)
    return few


@pytest.mark.parametrize("judge", ["mean", "regret"])
def test_a_pace_is_chosen_by_the_judgement_of_the_run_where_families_are_several(
    tmp_path, judge, paces
):
    paths = [
        simulate(tmp_path, questions=6, branches=16, seed=seed, like=None, model=model, dataset="d")
        for seed, model in enumerate(("a-1", "b-1", "c-1"))
    ]
    turn = offline_turn(paths, ceiling=16, judge=judge)
    made = Lab(turn, 2)
    step = made.stage("pace", Learned())
    figures = {}
    for pace in paces:
        cohort, margin, last, longer = pace
        one = Learned(cohort=cohort, margin=margin, last_margin=last, patience=round(12 * longer))
        figures[pace] = float(made._bench.area(made._bench.measure(one))[0])
    assert "on 3 families" in step.finding
    assert ("kept" in step.finding) == step.kept == (step.learned.lessons != ())
    assert step.area == pytest.approx(max(figures.values()))
    assert "With its numbers from other questions and families" in step.finding
    few = Lab(SimpleNamespace(**{**vars(turn), "stores": paths[:2]}), 2)
    assert few.stages == ("vote", "stop", "prune", "again")
    assert made.stages == ("pace", *few.stages)


def test_recordings_of_final_answers_get_a_pace_only_if_it_is_surely_better(tmp_path, paces):
    """Where branches tell nothing while they run, a pace is all that there is to learn of them."""
    path = simulate(tmp_path, questions=6, branches=16, seed=1, probes=False)
    made = Lab(offline_turn([path], ceiling=16), 2)
    assert made.stages[0] == "pace"
    step = made.stage("pace", made.plain)
    assert "on 1 family of models" in step.finding
    assert not step.kept
    assert step.learned == replace(made.plain, probes=False)
    assert step.area == float(made._bench.area(made._bench.measure(step.learned))[0])


@pytest.mark.parametrize(("branches", "width"), [(4, (1, 4)), (16, (1, 16)), (64, (3, 64))])
def test_a_race_begins_with_a_twentieth_of_the_branches(tmp_path, branches, width):
    path = simulate(tmp_path, questions=2, branches=branches)
    assert Lab(offline_turn([path], ceiling=64), 2).plain.width == width


def test_where_time_is_spent_a_race_ends_with_its_first_finisher(tmp_path):
    path = simulate(tmp_path, questions=12, branches=24, seed=3, slope=-0.4)
    of_tokens = Lab(offline_turn([path]), 2).plain
    made = Lab(offline_turn([path], objective="sequential"), 2)
    bench = made._bench
    assert bench.admitted(made.plain)
    assert bench.area(bench.measure(made.plain)) > bench.area(bench.measure(of_tokens)) + 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"vote": {"left": 1.0}},
        {"vote": {"votes": 1.0, "os.system": 1.0}},
        {"vote": {"votes": 1.0, 'mean_x", os.system("y': 1.0}},
        {"vote": {"votes": math.inf}},
        {"lessons": ('"""\nimport os\n',)},
        {"lessons": ("\\",)},
        {"vote": {"votes": 1.0, "left": 1.0}, "probes": False},
    ],
)
def test_what_could_not_be_a_program_of_ours_is_refused(wrong):
    with pytest.raises(ValueError, match=r"vote|finite|docstring"):
        Learned(**wrong)


def learn(tmp_path, name, path, **changes):
    made = settings(path, limits=RunLimits(rounds=1), **changes)
    folder = RunFolder.create(tmp_path / name, made)
    session(folder.path, make("offline", {"draws": "2"}))
    return folder


def test_learning_is_repeatable_and_finds_the_decoy(tmp_path, decoys):
    found = []
    for name in ("a", "b"):
        folder = learn(tmp_path, name, decoys.path)
        found.append(result(folder.path))
    assert found[0] == found[1]
    first = folder.state.trials[0]
    assert "What earns it: `at_once`" in first.proposal.learned
    assert "kept" in first.proposal.learned
    assert "fit a conditional logit" in first.proposal.idea
    said = " ".join(first.proposal.source.split('"""')[1].split())
    assert FEATURES["at_once"] in said
    assert "p.at_once * at_once[a] / env.votes[a]" in first.proposal.source


def test_where_nothing_can_be_learned_the_plain_race_is_proposed_once(tmp_path):
    """Four questions are too few for any fit; what is tried and not kept is said."""
    folder = learn(tmp_path, "run", store_folder(tmp_path / "stores"))
    said = []
    with folder.open() as run:
        Discovery(run, make("offline", {"draws": "2"}), said.append, RunLimits(rounds=2)).go()
    assert "round 2: every stage was tried; nothing is left to learn" in said
    (trial,) = folder.state.trials
    assert trial.round == 1
    assert "a plain race, so that is proposed" in trial.proposal.idea
    assert "Too few questions are ever contested to fit a vote. Learned from" in (
        trial.proposal.learned
    )
    assert not trial.errors


def test_nothing_is_handed_in_that_the_rules_refuse(tmp_path):
    folder = learn(
        tmp_path, "run", store_folder(tmp_path / "stores"), rules=ProgramRules(ceiling=16)
    )
    assert not folder.state.trials
    assert "does not keep to the rules" in folder.state.why_nothing


def test_the_loop_is_ablated(tmp_path, decoys):
    """Without a knob all betas are one setting; without traces nothing is fitted to episodes."""
    results = ablate_loop(
        [decoys.path], tmp_path, seeds=(1,), rounds=1, draws="reference:2", baselines=(),
        options={"draws": "2"}, driver="in-process", say=lambda line: None,
        rules={"cheapest": 1.0, "dearest": 0.0, "isotonic_slack": 1.0, "ceiling": 24},
    )  # fmt: skip
    assert [one.arm for one in results] == list(ARMS)
    full, fixed, blind = (
        RunFolder(tmp_path / f"{one.arm.replace(' ', '-')}-1").state.best for one in results
    )
    assert "fit a conditional logit" in full.proposal.idea
    assert len({point.tokens for point in fixed.points}) == 1
    assert "conditional logit" not in blind.proposal.idea
    assert full.digest
    assert not blind.digest
    assert results[0].over_full is None
    for one in results[1:]:
        assert one.over_full.estimate == pytest.approx(one.area.estimate - results[0].area.estimate)
        assert one.over_full.low <= one.over_full.estimate <= one.over_full.high


def test_a_setting_is_held_against_the_full_loop_at_its_own_tokens():
    """200 tokens are half-way between 100 and 400 in log tokens, and .5 and 1 are right there."""

    def curve(right, tokens):
        correct = np.array([[np.arange(8) < 8 * share for share in right]]).reshape(-1, 8, 1)
        spent = np.broadcast_to(np.array(tokens, float)[:, None, None], correct.shape)
        key = ("m", "d")
        betas = np.linspace(0, 1, len(right))
        return Curve("c", betas, {"d": np.arange(8)}, {key: correct}, {key: spent})

    found = _at_its_tokens(curve([0.25, 0.875], [50, 200]), 1, curve([0.5, 1], [100, 400]), 0)
    assert found.estimate == pytest.approx(87.5 - 75)
    assert found.low <= found.estimate <= found.high


def test_what_a_round_keeps_the_next_begins_with(tmp_path):
    kept = Kept(Learned(vote={"votes": 1.5, "left": -1.1}, lessons=("One.", "Two.")), 2)
    for number in (1, 3):
        (tmp_path / f"{number:04}" / "explorer").mkdir(parents=True)
    _keep(SimpleNamespace(folder=tmp_path / "0001" / "explorer"), kept)
    turn = SimpleNamespace(folder=tmp_path / "0003" / "explorer", round=3)
    assert _kept(turn) == kept


@pytest.mark.parametrize(
    "content",
    [
        "[",
        "7",
        '{"stages": 1}',
        '{"stages": 1, "learned": {"vote": {"votes": "many"}}}',
        '{"stages": 1, "learned": {"vote": {"votes": 1, "unheard_of": 2}}}',
    ],
)
def test_what_an_earlier_round_kept_may_be_anything(tmp_path, content):
    kept = tmp_path / "0001" / "explorer" / "learned.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(content)
    turn = SimpleNamespace(folder=tmp_path / "0002" / "explorer", round=2)
    with pytest.raises(RunError, match=r"learned.json: [\s\S]*; delete it"):
        _kept(turn)


@pytest.mark.parametrize("draws", ["0", "many", "1000"])
def test_draws_are_a_number_that_can_be_played(draws):
    with pytest.raises(SpecError, match="draws="):
        make("offline", {"draws": draws})
