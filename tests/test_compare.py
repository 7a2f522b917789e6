import time
import tracemalloc

import numpy as np
import pytest

from autotts.evaluation import statistics
from autotts.evaluation.compare import (
    AREA_RANGE,
    area,
    best,
    clears_noise,
    compare,
    compare_tokens,
    curve_intervals,
    frontier_band,
)
from autotts.evaluation.frontiers import BUDGET_FRACTIONS, Curve, curve, frontier_area

SPENDS = 0.04 * 16.0 ** np.linspace(0.0, 1.0, 5)  # share of all tokens at each beta


def exam(
    seed: int,
    *,
    lead: float = 0.0,
    questions: int = 30,
    draws: int = 4,
    models: int = 2,
    own: float = 0.3,
    name: str = "simulated",
    luck: int = 0,
) -> Curve:
    """A sweep on the questions of `seed`.

    lead: logits ahead of other controllers; own: standard deviation of the controller's luck with
    a question, another one for each `luck`.
    """
    shared = np.random.default_rng(seed)
    rng = np.random.default_rng((seed, luck + 1))
    difficulty = shared.normal(0.0, 2.0, questions)
    cells = {}
    for model in range(models):
        logit = lead - difficulty + shared.normal(0.0, 0.8, questions)
        logit = logit + rng.normal(0.0, own, questions)
        chance = rng.random((questions, draws))  # a draw has the same branches at every beta
        for beta, spend in enumerate(SPENDS):
            right = chance < 1 / (1 + np.exp(-logit - np.log10(10 * spend)))[:, None]
            tokens = spend * np.exp(0.3 * difficulty[:, None]) * rng.lognormal(13, 0.2, right.shape)
            cells[(f"m{model}", "exam"), float(beta)] = (right, tokens)
    return curve(name, cells)


def whole(seed: int, *, questions: int = 30, models: int = 2) -> Curve:
    """The reference: a single setting that spends everything."""
    full = exam(seed, questions=questions, models=models, luck=99)
    cells = {
        (store, 1.0): (full.correct[store][-1], full.tokens[store][-1] / SPENDS[-1])
        for store in full.stores
    }
    return curve("whole", cells)


def test_intervals_hold_the_point_and_every_row_is_a_beta() -> None:
    one = exam(0)
    table = curve_intervals(one, rng=np.random.default_rng(0))
    assert table["beta"].to_list() == one.betas.tolist()
    for name in ("accuracy", "tokens"):
        assert (table[f"{name}_low"] < table[name]).all()
        assert (table[name] < table[f"{name}_high"]).all()
    np.testing.assert_allclose(table["accuracy"], one.points().accuracy.mean(axis=0))


def test_models_of_one_dataset_share_its_questions() -> None:
    """Four models on 30 questions are not 120 questions: copies of a store add no certainty."""
    one = exam(0, models=1)
    store = ("m0", "exam")
    models = [(f"m{i}", "exam") for i in range(4)]
    four = Curve(
        "four",
        one.betas,
        one.questions,
        dict.fromkeys(models, one.correct[store]),
        dict.fromkeys(models, one.tokens[store]),
    )
    tables = [curve_intervals(c, rng=np.random.default_rng(0)) for c in (one, four)]
    np.testing.assert_allclose(tables[0].to_numpy(), tables[1].to_numpy())


def test_datasets_are_resampled_apart() -> None:
    """Other questions do add certainty."""
    one = exam(0, models=1)
    other = exam(1, models=1)
    both = Curve(
        "both",
        one.betas,
        {"exam": one.questions["exam"], "other": other.questions["exam"]},
        {("m0", "exam"): one.correct["m0", "exam"], ("m0", "other"): other.correct["m0", "exam"]},
        {("m0", "exam"): one.tokens["m0", "exam"], ("m0", "other"): other.tokens["m0", "exam"]},
    )
    tables = [curve_intervals(c, rng=np.random.default_rng(0)) for c in (one, both)]
    widths = [(t["accuracy_high"] - t["accuracy_low"]).mean() for t in tables]
    assert widths[1] < 0.85 * widths[0]


def test_a_curve_against_itself_is_no_difference() -> None:
    one = exam(0)
    rng = np.random.default_rng(0)
    table = compare(one, one, rng=rng)
    assert table["fraction"].to_list() == list(BUDGET_FRACTIONS)
    for name in ("difference", "low", "high", "detectable"):
        np.testing.assert_allclose(table[name], 0, atol=1e-12)
    assert table["probability"].to_list() == [0.5] * len(table)
    assert table["equal"].to_list() == [30] * len(table)
    assert set(table["verdict"]) == {"can't tell"}
    assert not clears_noise(one, one, rng=rng).accepted
    savings = compare_tokens(one, one, rng=rng)
    np.testing.assert_allclose(savings["saving"], 0, atol=1e-6)
    assert savings["tokens_a"].to_list() == savings["tokens_b"].to_list()


def test_a_clear_lead_is_found_from_both_sides() -> None:
    ahead, behind, full = exam(0, lead=1.5, luck=1), exam(0, luck=2), whole(0)
    rng = np.random.default_rng(0)
    there = compare(ahead, behind, rng=rng, reference=full)
    assert set(there["verdict"]) == {"a better"}
    np.testing.assert_allclose(there["difference"], there["accuracy_a"] - there["accuracy_b"])
    assert (there["better"] > there["worse"]).all()
    np.testing.assert_array_equal(there["better"] + there["worse"] + there["equal"], 30)
    assert (there["detectable"] < there["difference"]).all()
    assert set(compare(behind, ahead, rng=rng, reference=full)["verdict"]) == {"b better"}
    assert clears_noise(ahead, behind, rng=rng, reference=full).accepted
    assert not clears_noise(behind, ahead, rng=rng, reference=full).accepted


def test_tokens_to_reach_what_the_other_reaches() -> None:
    ahead, behind, full = exam(0, lead=1.5, luck=1), exam(0, luck=2), whole(0)
    rng = np.random.default_rng(0)
    table = compare_tokens(ahead, behind, rng=rng, reference=full)
    np.testing.assert_allclose(table["saving"], 1 - table["tokens_a"] / table["tokens_b"])
    assert (table["saving"] > 0.3).all()
    assert set(table["verdict"]) == {"a better"}
    assert (table["better"] > table["worse"]).all()
    budget = full.dearest_tokens().mean() * np.array(BUDGET_FRACTIONS)
    np.testing.assert_allclose(table["tokens_b"][:-1], budget[:-1], rtol=1e-6)


def test_a_fixed_accuracy_moves_with_the_questions() -> None:
    """ "Tokens to reach X" gives what the same place on the curve gives."""
    a, b = exam(0, lead=0.5, luck=1), exam(0, luck=2)
    place = compare_tokens(a, b, rng=np.random.default_rng(0), fractions=[0.3])
    reach = compare_tokens(a, b, rng=np.random.default_rng(0), accuracies=place["accuracy"])
    for name in ("saving", "low", "high", "tokens_a"):
        assert reach[name][0] == pytest.approx(place[name][0], rel=1e-5)


def test_what_is_never_reached_costs_for_ever() -> None:
    ahead, behind = exam(0, lead=1.5, luck=1), exam(0, luck=2)
    top = float(ahead.points().accuracy.mean(axis=0).max()) - 0.01
    rng = np.random.default_rng(0)
    row = compare_tokens(ahead, behind, rng=rng, accuracies=[top]).row(0, named=True)
    assert (row["tokens_b"], row["saving"], row["better"]) == (np.inf, 1, None)
    row = compare_tokens(behind, ahead, rng=rng, accuracies=[top]).row(0, named=True)
    assert (row["tokens_a"], row["saving"], row["low"]) == (np.inf, -np.inf, -np.inf)
    row = compare_tokens(ahead, behind, rng=rng, accuracies=[0.999]).row(0, named=True)
    assert (row["low"], row["high"], row["verdict"]) == (-np.inf, np.inf, "can't tell")


def test_the_band_is_the_frontier_with_room_on_both_sides() -> None:
    one, full = exam(0), whole(0)
    band = frontier_band(one, rng=np.random.default_rng(0), reference=full)
    assert (band["accuracy"].diff().drop_nulls() >= 0).all()
    assert (band["accuracy_low"] < band["accuracy"]).all()
    assert (band["accuracy"] < band["accuracy_high"]).all()
    found = area(one, rng=np.random.default_rng(0), reference=full)
    low, high = (full.dearest_tokens() * share for share in AREA_RANGE)
    assert found.estimate == pytest.approx(frontier_area(one.points(), low, high).mean())
    assert found.low < found.estimate < found.high


def test_one_question_tells_nothing() -> None:
    a, b = exam(0, questions=1, lead=3, luck=1), exam(0, questions=1, luck=2)
    rng = np.random.default_rng(0)
    table = compare(a, b, rng=rng)
    assert set(table["verdict"]) == {"can't tell"}
    assert table["detectable"].to_list() == [np.inf] * len(table)
    assert curve_intervals(a, rng=rng)["accuracy_low"].to_list() == [0] * len(a.betas)


def test_only_like_is_compared_with_like() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"different stores, .*m1"):
        compare(exam(0, models=1), exam(0, models=2), rng=rng)
    with pytest.raises(ValueError, match="different questions of exam"):
        clears_noise(exam(0, questions=8), exam(0), rng=rng)
    with pytest.raises(ValueError, match="different stores"):
        area(exam(0), rng=rng, reference=whole(0, models=1))
    with pytest.raises(ValueError, match="no curves"):
        best([], rng=rng)


def test_the_best_of_many_equals_is_mostly_luck() -> None:
    """What the best of many has over the rest is expected to be lost again, where all are equal."""
    many = [exam(0, draws=1, luck=k, name=f"c{k}") for k in range(12)]
    rng = np.random.default_rng(0)
    found = best(many, rng=rng)
    scores = [area(c, rng=rng, reference=many[0], resamples=1).estimate for c in many]
    assert found.controller == f"c{int(np.argmax(scores))}"
    assert found.beta is None
    assert found.best.estimate == pytest.approx(max(scores))
    lead = max(scores) - np.mean(scores)
    assert 0.4 * lead < found.best.optimism < 1.6 * lead


def test_the_paper_s_rule_takes_the_best_setting_of_all() -> None:
    many = [exam(0, luck=k, name=f"c{k}") for k in range(3)]
    found = best(many, rng=np.random.default_rng(0), by="accuracy")
    scores = {
        (c.controller, beta): accuracy
        for c in many
        for beta, accuracy in zip(c.betas, c.points().accuracy.mean(axis=0), strict=True)
    }
    assert (found.controller, found.beta) == max(scores, key=lambda key: scores[key])
    assert found.best.candidates == 15


def test_differences_of_frontiers_cover() -> None:
    """At equal tokens, at equal accuracy and in area; the truth is that of 20,000 questions."""
    true_a, true_b = (exam(10**6, lead=x, questions=20_000) for x in (0.6, 0))
    full = whole(10**6, questions=20_000)
    how = {"rng": np.random.default_rng(0), "resamples": 2, "reference": full}
    at, reach = (f(true_a, true_b, fractions=[0.3], **how) for f in (compare, compare_tokens))
    truth = {
        "difference": at["difference"][0],
        "saving": reach["saving"][0],
        "area": clears_noise(true_a, true_b, **how).difference.estimate,
    }
    hits = dict.fromkeys(truth, 0)
    trials = 200
    for trial in range(trials):
        a, b = (exam(trial, lead=x, luck=k) for k, x in ((1, 0.6), (2, 0)))
        how = {"rng": np.random.default_rng(trial), "resamples": 200, "reference": whole(trial)}
        found = {
            "difference": compare(a, b, fractions=[0.3], **how).row(0, named=True),
            "saving": compare_tokens(a, b, fractions=[0.3], **how).row(0, named=True),
        }
        gap = clears_noise(a, b, **how).difference
        found["area"] = {"low": gap.low, "high": gap.high}
        for name, true in truth.items():
            hits[name] += found[name]["low"] <= true <= found[name]["high"]
    assert all(0.90 <= count / trials <= 0.985 for count in hits.values()), hits


def test_a_bootstrap_of_the_usual_size_takes_well_under_a_second() -> None:
    """2,000 resamples of 11 betas, 4 stores, 30 questions and 100 draws."""
    rng = np.random.default_rng(0)
    store = [(f"m{i}", "exam") for i in range(4)]
    shape = (11, 30, 100)
    wide = Curve(
        "wide",
        np.linspace(0, 1, 11),
        {"exam": np.arange(30)},
        {s: rng.random(shape) < 0.5 for s in store},
        {s: rng.integers(1_000, 10**6, shape) for s in store},
    )
    frontier_band(wide, rng=rng, resamples=2)
    started = time.process_time()
    frontier_band(wide, rng=rng, resamples=statistics.RESAMPLES)
    assert time.process_time() - started < 1


def test_a_comparison_holds_a_byte_for_a_question_and_resample(monkeypatch) -> None:
    """Not the eight of a weight, which are 640 MB where 40,000 questions are compared."""
    monkeypatch.setattr(statistics, "_AT_ONCE", 2_000 * 8)
    questions, resamples = 2_000, 500
    a, b = (exam(0, questions=questions, draws=1, models=1, luck=luck) for luck in (1, 2))
    for found in (compare, compare_tokens, clears_noise):
        tracemalloc.start()
        found(a, b, rng=np.random.default_rng(0), resamples=resamples)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 1 < most / (questions * resamples) < 4
