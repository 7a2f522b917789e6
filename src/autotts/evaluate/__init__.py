"""Evaluation: sweeps, statistics, frontiers and comparisons."""

from autotts.evaluate.evaluation import Cell, Evaluation, Settings, evaluate, run_cells

__all__ = ["Cell", "Evaluation", "Settings", "evaluate", "run_cells"]
