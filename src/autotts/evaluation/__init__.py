"""Evaluation: sweeps, statistics, frontiers and comparisons."""

from autotts.evaluation.result import Evaluation
from autotts.evaluation.run import Local, evaluate, run_cells
from autotts.evaluation.settings import Execution, Experiment
from autotts.replay.driver import Ran
from autotts.replay.task import Cell

__all__ = [
    "Cell",
    "Evaluation",
    "Execution",
    "Experiment",
    "Local",
    "Ran",
    "evaluate",
    "run_cells",
]
