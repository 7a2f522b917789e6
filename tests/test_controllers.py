"""Controller programs: what each does, and that every environment sees it do the same."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from autotts import programs, stores
from autotts.controllers import best_of_infinity
from autotts.engine import cache, compiled
from autotts.replay.draws import Deal
from autotts.replay.in_process import (
    InProcess,
    compile_program,
    run_compiled,
    run_interpreted,
)
from autotts.replay.task import Cell, Rules, Task, all_pairs
from autotts.stores import Branch, Recording
from autotts.votes import runs
from toy_env import ToyEnv, play

NAMES = programs.built_in()
DATA = Path(os.environ.get("AUTOTTS_DATA", Path(__file__).parents[1] / "../shared/data")) / "scout"
BETAS = [b / 10 for b in range(11)]


def load(name):
    return programs.load_trusted(programs.find(name))


def solve(name, trajectories, *, beta=0.5, named=None, **settings_):
    """Run a controller on toy trajectories; returns (environment, outcome)."""
    program = load(name)
    env = ToyEnv(trajectories, **settings_)
    return env, play(program.solve, program.parameters(beta, named), env)


def whole(answer, tokens=1_200, probes=3):
    """A branch that gives one answer from its first probe on."""
    return [answer] * probes, tokens, answer


def test_all_controllers_are_there():
    assert NAMES == [
        "asc", "best-of-infinity", "budget-forcing", "cascade", "cdg", "certaindex", "cmc",
        "deepconf", "deepconf-offline", "dgcc", "distri-voting", "es-cot", "esc", "ibc",
        "kept-vote", "learned-race", "margin", "model-switch", "parallel-probe", "race-beta",
        "race-prune", "sac", "sc", "sc-sac", "scr", "sdgv", "short-mk",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_program_names_its_source(name):
    text = load(name).source.text
    assert text.startswith('"""')
    assert "arXiv" in text.split('"""')[1]


@pytest.mark.parametrize("name", NAMES)
def test_schedules_are_monotone_in_beta(name):
    """So that one knob goes from cheap to dear; a parameter keeps its kind."""
    program = load(name)
    values = [program.parameters(beta) for beta in BETAS]
    for key in program.kinds:
        along = [v[key] for v in values]
        assert along in (sorted(along), sorted(along, reverse=True)), key


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("asc", {"max_branches": 64, "threshold": 0.95}),
        ("esc", {"max_branches": 64, "window": 8}),
        ("parallel-probe", {"width": 64, "stable": 40, "patience": 7, "warmup": 15}),
        ("margin", {"max_branches": 64, "margin": 3}),
        ("sac", {"streak": 14}),
        ("sc-sac", {"width": 64, "streak": 14}),
        ("certaindex", {"streak": 5}),
        ("es-cot", {"min_jump": 10}),
    ],
)
def test_beta_one_half_is_the_sources_own_setting(name, own):
    assert load(name).parameters(0.5) == own


CMC_SCHEDULE = {
    0.0: (2, 4, 2, 3, 2, 0.70, 0.850, 0.040, 1, 1, 0.040, 2),
    0.2: (3, 16, 4, 5, 3, 0.62, 0.874, 0.034, 1, 2, 0.034, 3),
    0.4: (4, 28, 5, 7, 4, 0.54, 0.898, 0.028, 2, 2, 0.028, 3),
    0.5: (5, 34, 6, 8, 5, 0.50, 0.910, 0.025, 2, 2, 0.025, 4),
    0.6: (6, 40, 7, 8, 6, 0.46, 0.922, 0.022, 2, 3, 0.022, 4),
    0.8: (7, 52, 8, 10, 7, 0.38, 0.946, 0.016, 3, 3, 0.016, 4),
    1.0: (8, 64, 10, 12, 8, 0.30, 0.970, 0.010, 3, 4, 0.010, 5),
}


@pytest.mark.parametrize("beta", CMC_SCHEDULE)
def test_cmc_has_the_published_schedule(beta):
    """Rounded to even, as Python does: patience 3 + 9 * 0.5 is 8."""
    assert tuple(load("cmc").parameters(beta).values()) == CMC_SCHEDULE[beta]


# What single controllers do.


@pytest.mark.parametrize("counts", [(2,), (3, 1), (5, 4, 4), (20, 3, 1, 1), (1, 1, 1), (60, 2)])
def test_best_of_infinity_knows_the_chance_of_the_mode(counts):
    """As often as the leader has the largest share in draws of the posterior."""
    votes = np.array(counts)
    density, below = best_of_infinity.tables(64)
    chance = best_of_infinity.chance_of_mode(votes, 0, density, below)
    alphas = [*(votes + 1), best_of_infinity.UNSEEN]
    drawn = np.random.default_rng(0).dirichlet(alphas, 200_000)
    assert chance == pytest.approx((drawn.argmax(axis=1) == 0).mean(), abs=0.004)


def test_best_of_infinity_reads_on_while_answers_differ():
    pool = [whole("a"), whole("b"), whole("a"), whole("a"), whole("a"), whole("c")]
    env, outcome = solve("best-of-infinity", pool, named={"bound": 10.0})
    assert (env.n, outcome.answer) == (5, "a")
    env, _ = solve("best-of-infinity", pool[2:5] + pool, named={"bound": 10.0})
    assert env.n == 2
    env, _ = solve("best-of-infinity", pool, named={"bound": 1e6})
    assert env.n == 6


def test_sc_pays_for_every_branch_and_takes_the_first_of_equals():
    pool = [whole("a", 900), whole("b", 1_700), whole("b", 600), whole("a", 4_000), whole("c")]
    _, outcome = solve("sc", pool, named={"width": 4})
    assert outcome.answer == "a"
    assert outcome.tokens == 900 + 1_700 + 600 + 4_000
    assert outcome.sequential_tokens == 4_000


@pytest.mark.parametrize(("threshold", "read"), [(0.95, 4), (0.8, 2), (0.9375, 4), (0.93, 3)])
def test_asc_stops_strictly_above_its_threshold(threshold, read):
    """Unanimous votes give 1 - 2^-(n + 1), and one branch is never enough."""
    env, outcome = solve("asc", [whole("a")] * 9, named={"threshold": threshold})
    assert (env.n, outcome.answer) == (read, "a")


def test_esc_answers_what_the_unanimous_window_says():
    pool = [whole(x) for x in "aaab" + "aaab" + "cccc" + "aaaa"]
    env, outcome = solve("esc", pool, named={"window": 4})
    assert (env.n, outcome.answer) == (12, "c")


def test_esc_never_draws_a_partial_window():
    env, outcome = solve("esc", [whole(x) for x in "abcabcab"], named={"window": 3})
    assert (env.n, outcome.answer) == (6, "a")
    env, _ = solve("esc", [whole(x) for x in "abcabcab"], named={"window": 2, "max_branches": 5})
    assert env.n == 4


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.integers(1, 5))
def test_margin_in_batches_decides_as_one_by_one(finals, margin):
    """A batch is no larger than what a stop would need, so no branch is read in vain."""
    env, outcome = solve("margin", [whole(x) for x in finals], named={"margin": margin})
    for n in range(1, len(finals) + 1):
        cast = sorted((finals[:n].count(x) for x in "abc"), reverse=True)
        if cast[0] - cast[1] >= margin:
            break
    assert env.n == n
    assert outcome.answer == max(finals[:n], key=finals[:n].count)


def test_short_mk_stops_all_when_the_first_have_finished():
    pool = [whole("a", 5_000, 9), whole("b", 1_100, 2), whole("c", 2_200, 4), whole("c", 9_000, 17)]
    env, outcome = solve("short-mk", pool, named={"width": 4, "first": 2}, probe_tokens=7)
    assert outcome.answer == "b"
    assert env.n_finished == 2
    assert outcome.tokens == 2_500 + 1_100 + 2_200 + 2_500


def test_race_beta_needs_three_finishers():
    pool = [whole("a", 500 * n, n) for n in range(1, 9)]
    env, outcome = solve("race-beta", pool, named={"width": 8, "threshold": 0.5})
    assert (env.n_finished, outcome.answer) == (3, "a")


def test_race_prune_gives_up_who_disagrees_for_long_and_keeps_two():
    """The first to finish says "a"; of three that say "b" one is given up, when patience ends."""
    pool = [whole("a", 500, 1), *[whole("b", 5_000, 10)] * 3]
    env, outcome = solve("race-prune", pool, named={"width": 4, "patience": 3, "margin": 4})
    assert env.pruned.tolist() == [False, True, False, False]
    assert env.depth[1] == 4  # it finished, and so outvoted them, in the second round
    assert (outcome.answer, env.n_finished) == ("b", 3)


def test_race_prune_stops_at_its_margin():
    pool = [whole("a", 500 * n, n) for n in range(1, 9)]
    env, outcome = solve("race-prune", pool, named={"width": 8, "margin": 5})
    assert (env.n_finished, outcome.answer) == (5, "a")


def test_sac_counts_its_first_probe():
    pool = [(["x", "a", "a", "a", "b"], 2_600, "b")]
    env, outcome = solve("sac", pool, named={"streak": 3})
    assert (outcome.answer, outcome.tokens) == ("a", 2_000)
    env, outcome = solve("sac", pool, named={"streak": 4})
    assert (outcome.answer, outcome.tokens) == ("b", 2_600)
    assert env.finished[0]


def test_a_failed_probe_is_no_streak_where_it_is_no_answer():
    pool = [(["ERR"] * 6 + ["a"] * 2, 4_100, "a")]
    assert solve("certaindex", pool)[1].answer == "ERR"
    assert solve("certaindex", pool, failed="ERR")[1].answer == "a"


def test_sc_sac_votes_with_cut_and_with_finished_branches():
    pool = [(list("aaaab"), 2_600, "b"), (list("bc"), 1_100, "b"), (list("bacbb"), 2_900, "b")]
    env, outcome = solve("sc-sac", pool, named={"width": 3, "streak": 3})
    assert outcome.answer == "b"
    assert env.tokens.tolist() == [1_500, 1_100, 2_900]


@pytest.mark.parametrize(
    ("tokens", "answer", "paid"), [(400, "x", 500), (1_000, "y", 1_000), (9_000, "z", 1_700)]
)
def test_budget_forcing_takes_the_answer_at_the_cut(tokens, answer, paid):
    _, outcome = solve(
        "budget-forcing", [(list("xyz"), 1_700, "z")], named={"thinking_tokens": tokens}
    )
    assert (outcome.answer, outcome.tokens) == (answer, paid)


def test_budget_forcing_pays_for_one_probe_of_each_branch():
    pool = [(list("xyyyz"), 2_700, "z")] * 3
    env, outcome = solve(
        "budget-forcing", pool, named={"width": 3, "thinking_tokens": 2_000}, probe_tokens=10
    )
    assert (outcome.answer, outcome.tokens) == ("y", 3 * (2_000 + 10))
    assert env.history(0).tolist() == [-1, -1, -1, 0]


def jumps_out(lengths, min_jump):
    """What ES-CoT says of runs of these lengths, by SciPy's t-test."""
    jumps = np.diff(lengths)
    if len(jumps) < 3 or jumps[-1] < min_jump:
        return False
    earlier = jumps[:-1]
    if earlier.std() == 0:
        return bool(jumps[-1] > earlier[0])
    return bool(ttest_1samp(earlier, jumps[-1], alternative="less").pvalue < 0.05)


@given(
    st.lists(st.tuples(st.sampled_from("abE"), st.integers(1, 25)), min_size=1, max_size=9),
    st.integers(1, 12),
)
def test_es_cot_stops_where_a_t_test_says(shown, min_jump):
    """E, a failed extraction that abstains, parts runs."""
    probes = [answer for answer, times in shown for _ in range(times)]
    ids = np.array([-1 if answer == "E" else ord(answer) for answer in probes])
    depths = range(1, len(probes) + 1)
    stops = [depth for depth in depths if jumps_out(runs(ids[:depth]), min_jump)]
    branch = probes, 500 * len(probes), "a"
    _, outcome = solve("es-cot", [branch], named={"min_jump": min_jump}, failed="E")
    assert outcome.tokens == 500 * min([*stops, len(probes)])


def test_parallel_probe_drops_deviants_and_stops_when_the_vote_stands():
    pool = [(["a"] * 30, 15_100, "a")] * 3 + [(["b"] * 30, 15_100, "b")]
    named = {"width": 4, "stable": 12, "patience": 3, "warmup": 5}
    env, outcome = solve("parallel-probe", pool, named=named)
    assert outcome.answer == "a"
    assert env.pruned.tolist() == [False, False, False, True]
    assert env.depth.tolist() == [14, 14, 14, 9]


def test_parallel_probe_answers_its_last_vote_when_all_have_ended():
    pool = [(list("aab"), 1_600, "b"), (list("ab"), 1_200, "b"), (list("aaaa"), 2_100, "a")]
    env, outcome = solve("parallel-probe", pool, named={"width": 3})
    assert outcome.answer == "b"
    assert env.n_finished == 3


def test_cmc_abandons_dissenters_but_keeps_two():
    pool = [whole("a", 600, 1)] + [(["b"] * 40, 20_300, "b")] * 4
    named = {"n_init": 5, "warm_up": 2, "patience": 3, "max_branches": 5, "threshold": 2.0}
    env, _ = solve("cmc", pool, beta=0.0, named=named)
    assert env.pruned.tolist() == [False, True, True, False, False]
    assert env.n_finished == 3


def test_cmc_reads_in_bursts_those_that_agree():
    pool = [whole("a", 600, 1), (["a"] * 40, 20_300, "a"), (["b"] * 40, 20_300, "b")]
    named = {"n_init": 3, "warm_up": 2, "burst": 3, "max_branches": 3, "threshold": 0.99}
    env, _ = solve("cmc", pool, beta=1.0, named=named, budget=10_000)
    assert env.depth[1] - 3 == 3 * (env.depth[2] - 3)


# All controllers, all environments.


def toy_store(seed, *, billing):
    """A store of random recordings: some questions easy, some branches failing or wavering."""
    rng = np.random.default_rng(seed)
    recordings = [
        Recording(f"question {q}", "a", [_toy_branch(rng) for _ in range(14)]) for q in range(2)
    ]
    return stores.build(
        recordings, model="toy", dataset="toy", interval_tokens=100, billing=billing
    )


def _toy_branch(rng):
    answers = np.array(["a", "b", "c", "ERR"])
    length = int(rng.integers(1, 40))
    final = str(rng.choice(answers, p=[0.5, 0.3, 0.1, 0.1]))
    settled = int(rng.integers(0, length))
    probes = [str(x) for x in rng.choice(answers, settled)] + [final] * (length - settled)
    return Branch(probes, max(1, 100 * length + int(rng.integers(-99, 150))), final)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    beta=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    billing=st.sampled_from(["reference", "exact"]),
    budget=st.sampled_from([None, None, 700, 5_000]),
    probe_tokens=st.sampled_from([0, 0, 13]),
    abstain=st.booleans(),
)
@pytest.mark.parametrize("name", NAMES)
def test_every_environment_sees_the_same(name, seed, beta, billing, budget, probe_tokens, abstain):
    """Compiled, interpreted and by the letter of the Env table: answers, costs and rounds."""
    store = toy_store(seed, billing=billing)
    rules = Rules(budget=budget, probe_tokens=probe_tokens, abstain=abstain)
    orders = Deal("subsets:2", 12, seed % 97).orders(np.full(2, 14))
    task = Task(store, orders, all_pairs(orders), rules)
    program = load(name)
    values = program.parameters(beta)
    entry = cache.address(compile_program(program))
    fast = run_compiled(entry, list(values.values()), task)
    slow = run_interpreted(program.solve, values, task)
    assert fast.results.tolist() == slow.results.tolist()
    for (q, d), result in zip(task.pairs.tolist(), slow.results.tolist(), strict=True):
        env = ToyEnv(
            [_trajectory(store, q, i) for i in orders[q, d]],
            interval=100, billing=billing, ceiling=12, budget=budget, probe_tokens=probe_tokens,
            failed="ERR" if abstain else None,
        )  # fmt: skip
        outcome = play(program.solve, values, env)
        code = store.answers[q].index(outcome.answer) if outcome.answer is not None else -1
        assert result == [
            compiled.ANSWERED, code, outcome.tokens, outcome.sequential_tokens,
            outcome.probe_tokens, outcome.width, outcome.rounds, outcome.overrun, outcome.cost,
            outcome.cost_overrun,
        ]  # fmt: skip


def _trajectory(store, q, i):
    pool = store.pool
    words = store.answers[q]
    probes = [words[code] for code in pool.probes[q, i, : pool.lengths[q, i]]]
    return probes, int(pool.tokens[q, i]), words[pool.finals[q, i]]


# The recorded data.


def recorded(model, dataset):
    if not (DATA / model / f"{dataset}.json").is_file():
        pytest.skip("the recorded branches are not here; AUTOTTS_DATA names their folder")
    questions = json.loads((DATA / model / f"{dataset}.json").read_text())
    return stores.build(
        [
            Recording(
                question["question"],
                question["gold_answer"],
                [Branch(*branch) for branch in question["each_branch"]],
            )
            for question in questions
        ],
        model="recorded", dataset="recorded", interval_tokens=500,
    )  # fmt: skip


def accuracy_and_tokens(spec, store):
    """Over the 100 draws of the released code: percent, and tokens a question."""
    asked = programs.parse(spec)
    orders = Deal("reference:100", 64).orders(np.full(30, 128))
    (ran,) = InProcess().run([Cell(Task(store, orders, all_pairs(orders)), asked)])
    return 100 * ran.correct.mean(), ran.tokens.mean()


def test_recorded_figures_of_the_released_code():
    """Accuracy to two decimals and tokens to the last digit."""
    store = recorded("Qwen3-1.7B", "aime25")
    for row in json.loads((DATA / "expected.json").read_text()):
        if (row["model"], row["dataset"]) == ("Qwen3-1.7B", "aime25"):
            accuracy, tokens = accuracy_and_tokens(row["controller"], store)
            assert round(accuracy, 2) == row["accuracy"], row
            assert tokens == pytest.approx(row["tokens"], abs=0.01), row


@pytest.mark.parametrize(
    ("spec", "accuracy", "tokens"),
    [
        ("sc:width=64", 80.37, 910_813),
        ("sac:streak=14", 70.97, 12_069),
        ("sc-sac:streak=14", 76.67, 773_352),
        ("sdgv:beta=1", 36.90, 77_119),
    ],
)
def test_recorded_figures_of_the_papers(spec, accuracy, tokens):
    """What papers and an independent replay report for Qwen3-8B on AIME24."""
    store = recorded("Qwen3-8B", "aime24")
    assert accuracy_and_tokens(spec, store) == pytest.approx((accuracy, tokens), abs=0.5)
