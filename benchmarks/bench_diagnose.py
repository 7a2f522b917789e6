"""How long a diagnosis and a tuning take: CMC at beta 1, and settings a minute, on AIME24."""

import time

import pytest

from autotts import programs, stores
from autotts.diagnosis import counterfactual, findings
from autotts.evaluation import Execution, Experiment, run_cells
from autotts.evaluation.study.tuning import tune

MOST_SECONDS = 5.0
LEAST_SETTINGS = 900


@pytest.fixture(scope="module")
def aime24(recorded, tmp_path_factory):
    """The four models' stores."""
    folder = tmp_path_factory.mktemp("stores")
    places = []
    for path in sorted((recorded / "scout").glob("*/aime24.json")):
        places += stores.import_recordings(path, folder)
    return [stores.load(place) for place in places]


def test_diagnosing_12_000_episodes(aime24, benchmark):
    """Replaying with traces and counterfactuals included, running the controller apart."""
    spec = programs.parse("cmc:beta=1")
    ran = run_cells(aime24, spec, experiment=Experiment(), execution=Execution(traces=True))
    counterfactual.walk()
    found = benchmark.pedantic(findings.findings_of, args=[ran], rounds=3, warmup_rounds=1)
    assert found.height == 12_000
    if benchmark.enabled:
        assert benchmark.stats.stats.min <= MOST_SECONDS


@pytest.mark.parametrize("name", ["asc", "race-beta", "cmc"])
def test_tuning_settings_a_minute(aime24, name, benchmark):
    """2,400 episodes a setting: 4 stores, 30 questions, 20 draws; fresh draws included."""
    spec = programs.parse(name)
    trials = 200 if benchmark.enabled else 5
    began = time.process_time()
    found = benchmark.pedantic(tune, args=[aime24, spec], kwargs={"trials": trials}, rounds=1)
    benchmark.extra_info["settings_a_minute"] = found.per_minute
    benchmark.extra_info["cpu_seconds"] = time.process_time() - began
    if benchmark.enabled:
        assert found.per_minute >= LEAST_SETTINGS
