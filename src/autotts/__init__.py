"""Find, replay and judge controllers for test-time scaling.

A *store* holds recorded branches: for each question N samples of a model, cut into intervals, with
the answer probed at the end of each. A *controller* decides which branches to open, to let run on
and to drop, and when to answer; its one knob, beta in [0, 1], goes from cheap to accurate. Replay
evaluates any controller on a store by looking things up, without a model.

    import autotts

    store = autotts.load(autotts.simulate("stores", model="sim", dataset="toy"))
    autotts.evaluate(store, ["cmc", "asc"], betas=[0.2, 0.8])
    autotts.compare("cmc", "mine.py", store)
    print(autotts.diagnose(store, "mine.py"))
    run = autotts.discover("stores/search", "runs/first", held_out="stores/held-out", rounds=5)
    autotts.finalize("runs/first")
    autotts.report("runs/first", "report.html")

Wherever stores are wanted, loaded ones, folders and patterns such as `"stores/*/aime24"` all do; a
controller is a name such as `"cmc"`, `"asc:threshold=0.9"`, or the path of a program. Everything
here is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from autotts.version import __version__

_HOMES = {
    "load": "stores:load",
    "import_": "stores:import_recordings",
    "simulate": "simulation:simulate",
    "evaluate": "evaluation:evaluate",
    "Experiment": "evaluation:Experiment",
    "Execution": "evaluation:Execution",
    "compare": "evaluation.study.comparison:compare",
    "choose": "evaluation.study.choose:choose",
    "drift": "evaluation.study.drift:drift",
    "leaderboard": "evaluation.study.leaderboard:leaderboard",
    "tune": "evaluation.study.tuning:tune",
    "ablate": "evaluation.study.ablation:ablate",
    "diagnose": "diagnosis:diagnose",
    "discover": "discovery:discover",
    "resume": "discovery:resume",
    "finalize": "discovery:finalize",
    "report": "reports:report",
    "plot": "reports:plot",
}
"""Where each public name is defined, below this package."""

__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from autotts.diagnosis import diagnose as diagnose
    from autotts.discovery import discover as discover
    from autotts.discovery import finalize as finalize
    from autotts.discovery import resume as resume
    from autotts.evaluation import Execution as Execution
    from autotts.evaluation import Experiment as Experiment
    from autotts.evaluation import evaluate as evaluate
    from autotts.evaluation.study.ablation import ablate as ablate
    from autotts.evaluation.study.choose import choose as choose
    from autotts.evaluation.study.comparison import compare as compare
    from autotts.evaluation.study.drift import drift as drift
    from autotts.evaluation.study.leaderboard import leaderboard as leaderboard
    from autotts.evaluation.study.tuning import tune as tune
    from autotts.reports import plot as plot
    from autotts.reports import report as report
    from autotts.simulation import simulate as simulate
    from autotts.stores import import_recordings as import_  # noqa: F401
    from autotts.stores import load as load


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'autotts' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    value = getattr(importlib.import_module(f"autotts.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
