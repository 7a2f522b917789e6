import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autotts import programs, stores
from autotts.errors import SpecError
from autotts.evaluation import Execution, Experiment, Local, run_cells
from autotts.evaluation.study.tuning import BETAS, PREFIX, Range, tune
from autotts.stores import Branch, Recording, Store

EXPERIMENT = Experiment(draws="subsets:4", max_branches=16)


@pytest.fixture(scope="module")
def store() -> Store:
    """Eight questions, each harder; every branch ends on A or B after up to 6 intervals."""
    rng = np.random.default_rng(0)
    recordings = []
    for q in range(8):
        branches = []
        for _ in range(16):
            final = "A" if rng.random() < 0.9 - 0.1 * q else "B"
            length = int(rng.integers(1, 7))
            branches.append(Branch([final] * length, 10 * length, final))
        recordings.append(Recording(f"Question {q}?", "A", branches))
    return stores.build(
        recordings, model="toy", dataset="coins", interval_tokens=10, billing="exact"
    )


@example(low=2.3e-313, width=1.0, share=1.0, whole=False)
@given(st.floats(-5, 5), st.floats(0, 100), st.floats(0, 1), st.booleans())
def test_values_lie_in_their_range_and_find_their_share_again(low, width, share, whole):
    low, high = (round(low), round(low + width)) if whole else (low, low + width)
    found = Range(low, high, whole)
    value = found.at(share)
    assert low <= value <= high
    assert isinstance(value, int) == whole
    assert found.at(found.share(value)) == pytest.approx(value)


def test_a_search_starts_from_the_schedule_and_goes_on(store):
    found = tune([store], programs.parse("asc"), trials=30, experiment=EXPERIMENT)
    own = found.trials.drop_nulls("beta")
    assert own["beta"].to_list() == list(BETAS)
    assert found.trials.height == len(BETAS) + 30
    ran = run_cells([store], programs.parse("asc"), BETAS, experiment=EXPERIMENT)
    assert own["accuracy"].to_list() == [one.correct.mean() for one in ran]
    assert own["tokens"].to_list() == [one.tokens.mean() for one in ran]


def test_how_many_threads_measure_changes_no_figure(store):
    """Settings are measured side by side; each keeps its own score."""
    one, three = (
        tune(
            [store],
            programs.parse("asc"),
            trials=10,
            experiment=EXPERIMENT,
            execution=Execution(jobs=jobs),
        )
        for jobs in (1, 3)
    )
    assert one.trials.equals(three.trials)
    assert one.confirmed.equals(three.confirmed)


def test_residuals_are_measured_from_the_frontier(store):
    found = tune([store], programs.parse("asc"), trials=30, experiment=EXPERIMENT)
    assert found.trials["residual"].max() <= 1e-12
    on = found.trials.filter("on_frontier")
    assert on["residual"].abs().max() < 1e-12
    assert on.sort("tokens")["accuracy"].is_sorted()
    table = found.residuals(cost_bins=3, levels=3)
    assert set(table["parameter"]) == {"max_branches", "threshold"}
    trials = table.filter(pl.col("parameter") == "threshold")["trials"].sum()
    assert trials == found.trials.height


def test_the_frontier_is_measured_again_on_fresh_draws(store):
    found = tune([store], programs.parse("asc"), trials=10, experiment=EXPERIMENT)
    assert found.confirmed["trial"].to_list() == (
        found.trials.filter("on_frontier").sort("tokens")["trial"].to_list()
    )
    assert found.confirmed["fresh_accuracy"].is_between(0, 1).all()
    assert found.per_minute > 0


def test_ranges_and_named_parameters_are_kept(store):
    spec = programs.parse("asc:max_branches=8")
    found = tune([store], spec, trials=20, experiment=EXPERIMENT, ranges={"threshold": (0.9, 0.95)})
    tried = found.trials.filter(pl.col("beta").is_null())
    assert tried[PREFIX + "threshold"].is_between(0.9, 0.95).all()
    assert PREFIX + "max_branches" not in tried.columns


def test_the_same_seed_searches_the_same_settings(store):
    first, second = (
        tune([store], programs.parse("asc"), trials=10, experiment=EXPERIMENT, seed=3).trials
        for _ in range(2)
    )
    assert first.equals(second)


def test_nothing_to_tune_is_an_error(store):
    with pytest.raises(SpecError, match="width to tune"):
        tune([store], programs.parse("asc"), ranges={"width": (1, 2)}, experiment=EXPERIMENT)
    with pytest.raises(SpecError, match="leaves open are none"):
        tune([store], programs.parse("asc:max_branches=8,threshold=0.9"), experiment=EXPERIMENT)
    with pytest.raises(SpecError, match="low <= high"):
        Range(2, 1, True)


def test_the_frontier_of_a_program_by_path_is_audited_at_its_constants_and_draws(store, save):
    """On the draws of the search and on fresh ones; what was merely tried says that it wasn't."""
    spec = programs.parse(str(save(programs.find("short-mk").text)))
    execution = Execution(audit=50)
    found = tune([store], spec, trials=5, experiment=EXPERIMENT, execution=execution)
    assert (found.how.audit.status, found.how.audit.sample) == ("clean", 50)
    assert "the fresh run was audited: 50 episodes" in found.winner.words
    told = {True: {found.how.words}, False: {"unaudited"}}
    for (on,), part in found.table.partition_by("on_frontier", as_dict=True).items():
        assert set(part["audit"]) == told[on]
    ours = tune([store], programs.parse("short-mk"), trials=5, experiment=EXPERIMENT)
    assert ours.confirmed.equals(found.confirmed)
    assert set(ours.table["audit"]) == {""}


class Noting:
    """A driver that notes how many episodes were asked to be audited, on which draws."""

    def __init__(self):
        self._local = Local()
        self.asked = []

    def run(self, cells, *, audit=0, **how):
        self.asked += [(tuple(c.spec.named.items()), id(c.task.orders), audit) for c in cells]
        return self._local.run(cells, audit=audit, **how)


def test_what_is_told_of_the_frontier_was_asked_to_be_audited(store, save):
    spec = programs.parse(str(save(programs.find("short-mk").text)))
    driver = Noting()
    with driver._local:
        found = tune([store], spec, trials=5, experiment=EXPERIMENT, driver=driver)
    audited = {(named, orders) for named, orders, audit in driver.asked if audit == 600}
    for row in found.confirmed.iter_rows(named=True):
        named = tuple((name, row[PREFIX + name]) for name in ("width", "first"))
        assert len({orders for known, orders in audited if known == named}) == 2
