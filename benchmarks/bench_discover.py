"""What a round of a search costs: its evaluation, as the loop makes it.

On four simulated stores of 30 questions and 128 branches. The limit is the one that was promised;
it is held only when timed (`make bench`), with nothing else running.
"""

import pytest

from autotts import programs
from autotts.discovery.run.settings import ExplorerRef, RunSettings
from autotts.discovery.run.store_refs import open_stores, references
from autotts.discovery.scoring import Scorer
from autotts.programs import Source
from autotts.sandbox.confine import seal
from autotts.simulation import simulate
from bench_sandbox import fastest, held

pytestmark = pytest.mark.skipif(seal.supported() is not None, reason=str(seal.supported()))

MOST_ROUND_SECONDS = 15.0


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> RunSettings:
    folder = tmp_path_factory.mktemp("stores")
    for seed in range(4):
        simulate(folder, seed=seed, model=f"m{seed}")
    return RunSettings(
        name="bench", explorer=ExplorerRef(name="none"), stores=references([str(folder)])
    )


def test_the_evaluation_of_a_round(settings, benchmark):
    """CMC as somebody's program: compiled, 11 betas x 4 stores x 3,000 episodes, audited."""
    if not benchmark.enabled:
        settings = settings.model_copy(update={"draws": "reference:2", "audit": 30})
    source = Source("round-1", "program.py", programs.find("cmc").text, trusted=False)
    # Sweeps are kept under their content in a run; without a folder each is made anew.
    with Scorer(open_stores(settings.stores), settings) as scorer:
        scorer.smoke(source)
        benchmark.pedantic(lambda: scorer.sweep(source), rounds=1)
        if benchmark.enabled:
            held(benchmark, fastest(lambda: scorer.sweep(source), times=2), MOST_ROUND_SECONDS)
